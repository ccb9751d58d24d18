"""`validate`: every problem of every file in one go, from files alone."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.errors import DefinitionError, Issue, Level, sort_issues
from segengine.operations.patterns import find_pattern_issues
from segengine.project.catalogue import check_definitions
from segengine.project.definitions import load_definitions
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.schema_lock import load_schema


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
    for identity in catalogue.order:
        problems.issues += find_pattern_issues(catalogue.find(identity))
    return Validation(tuple(sort_issues(problems.issues)), len(definitions))
