"""Groups of customers by activity as rules: each over the rows of the activity, in the same period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segengine.models.activity import ActivityGroup, GroupLevel
from segengine.models.groups import Condition, write_operators
from segengine.project.nodes import Plain


@dataclass(frozen=True)
class ActivityRows:
    """The rows of an activity as rules name them.

    `rows`: the fields that say which rows: `over`, perhaps `via` and `where`. `aggregates`: of a dimension's field the
    function and the column it is made of; the number of rows needs none.
    """

    rows: Mapping[str, Plain]
    count_field: str
    aggregates: Mapping[str, tuple[str, str]]


def write_activity_rules(group: ActivityGroup, rows: ActivityRows, zone: str) -> list[Plain] | None:
    """Return the steps under `rules` in a segment that has exactly the members of a group.

    None where a level is of something that is no aggregate of a column: no rule can say that.

    Args:
        group: Its levels.
        rows: What they are levels of.
        zone: The project's time zone.
    """
    aggregates: dict[str, dict[str, Plain]] = {}
    least, most = 1, None
    for level in group.levels:
        if level.field == rows.count_field:
            least, most = int(level.above or 0) + 1, level.at_most
            continue
        if level.field not in rows.aggregates:
            return None
        function, column = rows.aggregates[level.field]
        aggregates.setdefault(function, {})[column] = _write_level(level, zone)
    parts: list[dict[str, Plain]] = [{"rows": {"at_least": str(least)}} if least != 1 else {}]
    parts += [{"rows": {"at_most": str(most)}}] if most is not None else []
    parts += [dict(aggregates)] if aggregates else []
    rules: list[Plain] = [{**rows.rows, **part} for part in parts]
    first, *others = rules
    return [first, *({"intersect": rule} for rule in others)]


def _write_level(level: GroupLevel, zone: str) -> dict[str, Plain]:
    above = Condition(level.field, "greater_than", level.above)
    at_most = Condition(level.field, "at_most", level.at_most)
    bounds = [bound for bound in (above, at_most) if bound.value is not None]
    found: dict[str, Plain] = {}
    for bound in bounds or [Condition(level.field, "empty")]:
        found |= write_operators(bound, level.type, zone)
    return found
