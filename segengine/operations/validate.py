"""`validate`: every problem of every file in one go, from files alone."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.errors import DefinitionError, Issue, Level, sort_issues
from segengine.project.catalogue import check_definitions
from segengine.project.definitions import load_definitions
from segengine.project.model import Condition, Segment, Settings
from segengine.project.problems import CODES, Problems
from segengine.project.schema_lock import load_schema
from segengine.project.values import TextTest
from segengine.project.walk import segment_leaves


@dataclass(frozen=True)
class Validation:
    """What `validate` found: all issues by file and line, and how many definitions there are."""

    issues: tuple[Issue, ...]
    definition_count: int

    @property
    def error_count(self) -> int:
        """How many of the issues are errors."""
        return sum(issue.level is Level.ERROR for issue in self.issues)


def validate_project(settings: Settings) -> Validation:
    """Return every issue of the project's definitions; starts no engine."""
    problems = Problems()
    try:
        schema = load_schema(settings, problems)
    except DefinitionError as error:
        return Validation(tuple(error.issues), 0)
    definitions = load_definitions(settings, problems)
    catalogue = check_definitions(definitions, settings, schema, problems)
    for segment in catalogue.segments.values():
        problems.issues += find_pattern_issues(segment)
    return Validation(tuple(sort_issues(problems.issues)), len(definitions))


def find_pattern_issues(segment: Segment) -> list[Issue]:
    """Return the patterns of a segment that RE2 does not take."""
    issues = []
    for leaf in segment_leaves(segment.steps):
        test = leaf.test if isinstance(leaf, Condition) else None
        for pattern in test.operands if isinstance(test, TextTest) and test.operation == "matches" else ():
            if reason := _re2_problem(pattern):
                message = f'segment "{segment.name}": the pattern {pattern!r} is no RE2 pattern: {reason}.'
                issues.append(Issue(leaf.place, "SEG207", CODES["SEG207"], message))
    return issues


def _re2_problem(pattern: str) -> str:
    """Return what RE2 itself says of a pattern, or ''; only loaded where there are patterns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return ""
