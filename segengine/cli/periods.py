"""How far back a trend is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from segengine.store.runs import MeasureRun, SegmentRun

Run = TypeVar("Run", "SegmentRun", "MeasureRun")
Period = Literal["7-days", "30-days", "6-months", "all"]
PERIODS: dict[Period, timedelta | None] = {
    "7-days": timedelta(days=7),
    "30-days": timedelta(days=30),
    "6-months": timedelta(days=183),
    "all": None,
}


def within_period(snapshots: Sequence[Run], period: Period) -> list[Run]:
    """Return the snapshots (oldest first) as of a period before the newest one, and that one."""
    length = PERIODS[period]
    if not snapshots or length is None:
        return list(snapshots)
    return [run for run in snapshots if run.as_of >= snapshots[-1].as_of - length]
