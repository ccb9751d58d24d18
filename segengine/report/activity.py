"""Groups of customers by activity, as text: each with its levels, averages and shares."""

from __future__ import annotations

from segengine.models.activity import ActivityGroup, ActivityGroups, DimensionLevels
from segengine.models.cells import Cell, describe_cell
from segengine.project.relative import local_date
from segengine.project.types import AttributeType, Family
from segengine.report.charts import draw_bar
from segengine.report.differentiators import show_average
from segengine.report.lines import align, show_share

_BAR = 20


def draw_activity(result: ActivityGroups, zone: str) -> str:
    """Return the groups, those with the largest share of money or activity first, and what the levels mean."""
    title = f"{result.active_count:,} customers with activity, {result.inactive_count:,} without"
    parts = [title, *result.warnings]
    if result.groups:
        shared = "of the money" if result.ranked_by == "amount" else "of the activity"
        names = [one.dimension for one in result.dimensions]
        heads = ["", *names, "members", "of customers", shared, ""]
        rows = [heads, *(_row(place, one, zone) for place, one in enumerate(result.groups, start=1))]
        right = frozenset({0, len(names) + 1, len(names) + 2, len(names) + 3})
        parts += ["", *align(rows, right)]
    if result.other_count:
        share = show_share(result.other_count / result.active_count)
        parts += ["", f"in other, mostly small groups: {result.other_count:,} ({share})"]
    if result.dimensions:
        parts += ["", *(line for one in result.dimensions for line in _describe_levels(one, zone))]
    return "\n".join(parts) + "\n"


def _row(place: int, group: ActivityGroup, zone: str) -> list[str]:
    levels = [
        one.level if one.average is None else f"{one.level} ({_show_average(one.average, one.type, zone)})"
        for one in group.levels
    ]
    share = group.activity_share if group.amount_share is None else group.amount_share
    shares = [show_share(group.share), show_share(share), draw_bar(max(share, 0.0), _BAR)]
    return [str(place), *levels, f"{group.member_count:,}", *shares]


def _show_average(value: float, type_: AttributeType, zone: str) -> str:
    """Return an average; of times the local day, as levels of them are of days too."""
    is_time = type_.family is Family.TIMESTAMP
    return local_date(round(value), zone).isoformat() if is_time else show_average(value, type_, zone)


def _describe_levels(one: DimensionLevels, zone: str) -> list[str]:
    ends = (None, *one.cuts, None)
    parts = []
    for place, (name, share) in enumerate(one.shares):
        cell = Cell("missing") if name == "Unknown" else Cell("range", None, ends[place], ends[place + 1])
        parts.append(f"{name} {describe_cell(cell, one.type, zone)} ({show_share(share)})")
    recent = ", High is recent" if one.dimension == "recency" else ""
    return [f"{one.dimension} by {one.field}{recent}: {'; '.join(parts)}"]
