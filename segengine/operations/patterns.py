"""Checking the patterns of `matches` with the library that judges them: RE2, as Arrow has it."""

from __future__ import annotations

from collections.abc import Iterator

from segengine.errors import Issue
from segengine.project.analysis import Evaluated
from segengine.project.model import Condition
from segengine.project.problems import CODES
from segengine.project.values import TextTest
from segengine.project.walk import definition_leaves

_LOOK_AROUND = (
    "look-around is not supported (RE2)",
    "Match what stands around it too, or use `not` with a pattern of its own.",
)
_REFERENCES = ("back references are not supported (RE2)", "Write the repeated text out.")
# How RE2's messages begin, what to say instead ('': what RE2 says), and a hint.
_KNOWN = (
    *((f"invalid perl operator: (?{sign}", *_LOOK_AROUND) for sign in ("=", "!", "<")),
    *((f"invalid escape sequence: \\{sign}", *_REFERENCES) for sign in "123456789gk"),
    ("invalid perl operator: (?P", *_REFERENCES),
    ("missing )", "", r"Close the bracket, or write \( for a bracket itself."),
    ("unexpected )", "", r"Open the bracket, or write \) for a bracket itself."),
    ("missing ]", "", r"Close the bracket, or write \[ for a bracket itself."),
    ("invalid repetition size", "", "At most 1000 repetitions can be asked for."),
    ("no argument for repetition operator", "", r"A *, + or ? itself is written \*, \+ or \?."),
    ("trailing \\", "", r"A backslash itself is written \\."),
    ("", "", "What RE2 knows: https://github.com/google/re2/wiki/Syntax."),
)


def find_pattern_issues(definition: Evaluated) -> list[Issue]:
    """Return an issue for each pattern of a definition that RE2 does not take; loads Arrow only where there are any."""
    issues = []
    for condition, test in _patterns(definition):
        for pattern in test.operands:
            if found := _re2_problem(pattern, test.ignore_case):
                _, reason, hint = next(known for known in _KNOWN if found.startswith(known[0]))
                what = f'{definition.kind} "{definition.name}": {condition.attribute.name} matches {pattern}'
                message = f"{what}: expected a RE2 pattern: {reason or found}."
                issues.append(Issue(condition.place, "SEG207", CODES["SEG207"], message, hint))
    return issues


def _patterns(definition: Evaluated) -> Iterator[tuple[Condition, TextTest]]:
    for leaf in definition_leaves(definition):
        if isinstance(leaf, Condition) and isinstance(leaf.test, TextTest) and leaf.test.operation == "matches":
            yield leaf, leaf.test


def _re2_problem(pattern: str, ignore_case: bool) -> str:
    """Return what RE2 itself says of a pattern, or ''."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern, ignore_case=ignore_case)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return ""
