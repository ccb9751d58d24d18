"""Projects in, issues out: what `validate` says, word for word.

`pytest tests/golden --update-golden` writes the issues found; read the difference as a marketer would.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from segengine.errors import DefinitionError, Level
from segengine.operations.validate import validate_project
from segengine.project.problems import CODES
from segengine.project.settings import load_settings

CASES = sorted(folder for folder in (Path(__file__).parent / "definitions").iterdir() if folder.is_dir())
WITHOUT_ISSUES = {"good"}


def found_issues(folder: Path) -> str:
    """Return all issues of a project, one a line."""
    try:
        issues = validate_project(load_settings(folder)).issues
    except DefinitionError as error:
        issues = tuple(error.issues)
    return "".join(f"{issue}\n" for issue in issues)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_issues_are_as_expected(folder: Path, update_golden: bool) -> None:
    found = found_issues(folder)
    expected = folder / "issues.txt"
    if update_golden:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
    assert (found == "") == (folder.name in WITHOUT_ISSUES)


def test_every_code_has_a_case() -> None:
    shown = "\n".join((folder / "issues.txt").read_text(encoding="utf-8") for folder in CASES)
    assert [code for code in CODES if code not in shown] == ["SEG407"], "of the registry: test_project_limits.py"


def test_messages_are_one_line_with_a_place() -> None:
    for folder in CASES:
        for line in (folder / "issues.txt").read_text(encoding="utf-8").splitlines():
            place, _, rest = line.partition(": ")
            assert place
            assert rest.split()[0] in [level.value for level in Level]
            assert rest.split()[1] in CODES
            assert rest.rstrip().endswith((".", "?", ")"))
