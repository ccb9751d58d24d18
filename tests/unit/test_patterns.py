"""Patterns of `matches`: what RE2 takes, and what is said of what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from judging import judge

from segengine.operations.patterns import find_pattern_issues
from segengine.project.attributes import Attribute
from segengine.project.model import Condition, ProfileRule, Segment, Step
from segengine.project.operators import BY_NAME, build_test
from segengine.project.types import AttributeType

NAME = Attribute("customers", (), "name", AttributeType("text"))


def matches(*patterns: str, ignore_case: bool = False) -> Condition:
    return Condition(NAME, build_test(BY_NAME["matches"], patterns, NAME.type, "UTC", ignore_case))


def issues(*patterns: str) -> list[str]:
    steps = (Step("union", ProfileRule(matches(*patterns))),)
    segment = Segment("a", "A", "", (), "customer", "dynamic", "A", steps, (), 0)
    return [f"{issue.message} {issue.hint}" for issue in find_pattern_issues(segment)]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?=a)", "look-around"),
        ("(?!a)", "look-around"),
        ("(?<=a)", "look-around"),
        ("(?<!a)", "look-around"),
        (r"(a)\1", "back references"),
        (r"(?P<n>a)(?P=n)", "back references"),
        (r"(?<n>a)\k<n>", "back references"),
        ("(a", "missing ): (a. Close the bracket"),
        ("a)", "unexpected ): a). Open the bracket"),
        ("[a", "missing ]: [a. Close the bracket"),
        ("*a", r"no argument for repetition operator: *. A *, + or ? itself is written \*"),
        ("a{1001}", "invalid repetition size: {1001}. At most 1000"),
        ("a\\", "A backslash itself"),
        ("[z-a]", "invalid character class range: z-a. What RE2 knows: https://github.com/google/re2"),
    ],
)
def test_what_is_said_of_patterns_that_re2_does_not_take(pattern: str, said: str) -> None:
    (found,) = issues(pattern)
    assert f"name matches {pattern}: expected a RE2 pattern: " in found
    assert said in found


@pytest.mark.parametrize(
    "pattern", ["a|b", r"\(?=", r"\\1", r"\bx\b", "(?i)a", "(?P<n>a)", r"\d{3}", "[(?=]", "é", "^$"]
)
def test_patterns_re2_takes(pattern: str) -> None:
    assert issues(pattern) == []


def test_every_pattern_of_a_list_is_looked_at() -> None:
    assert len(issues("(", "a", ")")) == 2


def test_a_pattern_is_found_anywhere_and_one_of_several_is_enough() -> None:
    names = pa.array(["Ada", "Bob", "", None, "ada b"])
    assert judge(matches("^A"), names) == [True, False, False, False, False]
    assert judge(matches("^A", "b$"), names) == [True, True, False, False, True]
    assert judge(matches("^a", ignore_case=True), names) == [True, False, False, False, True]
    assert judge(matches("^A", "b$").negated(), names) == [False] * 5


def test_validating_without_patterns_does_not_load_arrow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom segengine.operations.validate import validate_project\n"
        "from segengine.project.settings import load_settings\n"
        f"assert validate_project(load_settings(Path({str(tmp_path)!r}))).definition_count == 1\n"
        "assert 'pyarrow' not in sys.modules and 'numpy' not in sys.modules"
    )
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "a.yml").write_text("kind: segment\nname: A\nwhere: {born: {after: 2024-01-01}}\n")
    (tmp_path / "schema.lock.yml").write_text("customers: {id: text, born: date}\n")
    text = "project: p\ntables: {customers: {path: c, key: id}}\naudiences: {customer: {table: customers}}\n"
    (tmp_path / "segengine.yml").write_text(text)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
