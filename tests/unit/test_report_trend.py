"""Trends in the terminal: what entered and left is counted once."""

from __future__ import annotations

from datetime import UTC, datetime

from segengine.report.charts import draw_lines, draw_trend
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


def bars_of(*snapshots: SegmentRun) -> list[str]:
    return [line.split()[1] for line in draw_trend("Members", snapshots, "UTC").splitlines()[-2:]]


def test_bars_are_to_the_scale_of_the_changes_after_the_first_members() -> None:
    first = snapshot(1, REFRESHED, 1000, 1000, 0)
    assert bars_of(first, snapshot(2, REFRESHED, 1014, 14, 0), snapshot(3, REFRESHED, 1007, 0, 7)) == ["██▁", "▁▁▅"]
    assert bars_of(first, snapshot(2, REFRESHED, 1000, 0, 0)) == ["█▁", "▁▁"]
    assert bars_of(snapshot(1, REFRESHED, 0, 0, 0), snapshot(2, REFRESHED, 0, 0, 0)) == ["▁▁", "▁▁"]


def test_the_days_of_a_trend_are_times_where_it_is_all_one_day() -> None:
    noon = [datetime(2026, 5, 4, hour, tzinfo=UTC) for hour in (12, 18)]
    chart = draw_lines("Members", noon, [1, 2], "UTC")
    assert ["04 May 12:00" in chart, "04 May 18:00" in chart] == [True, True]
    assert "04 May 26" in draw_lines("Members", [noon[0], datetime(2026, 5, 5, tzinfo=UTC)], [1, 2], "UTC")


def test_back_fills_between_refreshes_count_no_change_twice() -> None:
    assert totals_of(EARLY, FIRST, BETWEEN, LATER) == ["35", "10"]
    assert totals_of(EARLY, BETWEEN) == ["24", "2"]
