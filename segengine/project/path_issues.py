"""What a path does to rows and profiles that its author may not expect: information, never an error."""

from __future__ import annotations

from segengine.errors import Level, Place
from segengine.project.attributes import Path
from segengine.project.logic import push_not_inward
from segengine.project.measure import Measure
from segengine.project.model import Condition, Quantifier, RowsRule, Segment
from segengine.project.paths import row_key
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.walk import expression_leaves, segment_rules


def find_path_issues(segment: Segment, settings: Settings, problems: Problems) -> None:
    """Report rows that multiply, and rules that profiles without rows may be lost to."""
    problems.subject = f'segment "{segment.name}"'
    for rule in segment_rules(segment.steps):
        if isinstance(rule, RowsRule):
            _tell_of_joined_rows(rule.path, "Counts and sums are over joined rows.", settings, rule.place, problems)
            _tell_of_profiles_without_rows(rule, problems)
    for attachment in segment.attach:
        _tell_of_joined_rows(attachment.path, "Each is a struct of its own.", settings, attachment.place, problems)


def find_measure_path_issues(measure: Measure, settings: Settings, problems: Problems) -> None:
    """Report rows of a measure that multiply."""
    problems.subject = f'measure "{measure.name}"'
    if measure.path is not None:
        _tell_of_joined_rows(measure.path, "Values are over joined rows.", settings, measure.place, problems)


def _tell_of_joined_rows(path: Path, hint: str, settings: Settings, place: Place, problems: Problems) -> None:
    """Say what a row is where a path leads from one to many."""
    if path.multiplies:
        key = ", ".join(row_key(settings, path))
        message = f"the path {path.via} leads from one to many: a row is one joined row, its key is {key}."
        problems.add(place, "SEG226", message, hint, Level.INFORMATION)


def _tell_of_profiles_without_rows(rule: RowsRule, problems: Problems) -> None:
    """Say that a rule which only denies wants a row all the same: `any` is not `none` of the opposite."""
    if rule.quantifier is not Quantifier.ANY or rule.where is None or rule.aggregates is not None:
        return
    leaves = list(expression_leaves(push_not_inward(rule.where)))
    denied = [leaf for leaf in leaves if isinstance(leaf, Condition) and leaf.text.startswith("not ")]
    missing = [leaf for leaf in leaves if isinstance(leaf, Condition) and leaf.about_missing and leaf.missing]
    if denied and len(denied) + len(missing) == len(leaves):
        message = f'the rule asks for a row with "{denied[0].text}"; it holds for no profile without rows.'
        hint = "If no row may be so, write `rows: none` and the condition without `not`."
        problems.add(rule.place, "SEG227", message, hint, Level.INFORMATION)
