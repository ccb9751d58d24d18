"""Trends in the terminal: what entered and left is counted once."""

from __future__ import annotations

from datetime import UTC, datetime

from segengine.report.charts import draw_trend
from segengine.store.runs import BACKFILLED, REFRESHED, SegmentRun
from tests.unit.segment_runs import segment_run


def snapshot(day: int, purpose: str, members: int, entered: int, left: int) -> SegmentRun:
    at = datetime(2026, 5, day, tzinfo=UTC)
    return segment_run(at, purpose=purpose, member_count=members, entered_count=entered, left_count=left)


def totals_of(*snapshots: SegmentRun) -> list[str]:
    return [line.split()[-1] for line in draw_trend("Members", snapshots, "UTC").splitlines()[-2:]]


FIRST, AGAIN = snapshot(4, REFRESHED, 30, 30, 0), snapshot(4, REFRESHED, 31, 31, 0)
LATER = snapshot(8, REFRESHED, 26, 5, 10)
EARLY, BETWEEN = snapshot(2, BACKFILLED, 20, 20, 0), snapshot(6, BACKFILLED, 33, 4, 2)


def test_refreshes_add_up_to_the_members_there_are() -> None:
    assert totals_of(FIRST, LATER) == ["35", "10"]
    assert totals_of(FIRST, AGAIN, LATER) == ["36", "10"]


def test_back_fills_between_refreshes_count_no_change_twice() -> None:
    assert totals_of(EARLY, FIRST, BETWEEN, LATER) == ["35", "10"]
    assert totals_of(EARLY, BETWEEN) == ["24", "2"]
