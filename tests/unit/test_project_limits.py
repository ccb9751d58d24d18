"""The warning where a project comes near the most active definitions."""

from __future__ import annotations

from segengine.project.limits import find_limit_issues
from tests.unit.measured import catalogue_of


def segments(active: int, inactive: int) -> str:
    states = ["active"] * active + ["inactive"] * inactive
    return "---\n".join(
        f"kind: segment\nname: S{number}\nwhere: everyone\nstate: {state}\n" for number, state in enumerate(states)
    )


def test_only_active_definitions_count() -> None:
    assert find_limit_issues(catalogue_of(segments(899, 50))) == []
    (issue,) = find_limit_issues(catalogue_of(segments(900, 50)))
    assert issue.level == "warning"
    assert issue.message == "900 segments and measures are active; a project is meant to have at most 1,000."
