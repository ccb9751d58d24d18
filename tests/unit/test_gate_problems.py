"""What holds a result back, gate by gate, at the limit and beyond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from segengine.operations.gates import SourceNews, find_gate_problems
from segengine.project.model import Gates
from segengine.store.runs import SegmentRun
from tests.unit.segment_runs import segment_run

AS_OF = datetime(2026, 5, 5, 12, tzinfo=UTC)


def run(members: int, entered: int = 0, left: int = 0) -> SegmentRun:
    return segment_run(AS_OF, profile_count=1000, member_count=members, entered_count=entered, left_count=left)


HALF, TENTH = Gates(change_at_most=Decimal("0.5")), Gates(churn_at_most=Decimal("0.1"))


@pytest.mark.parametrize(
    ("gates", "new", "old", "problem"),
    [
        (HALF, run(150), run(100), ""),
        (HALF, run(50), run(100), ""),
        (HALF, run(151), run(100), "the number of members changed by 51 from 100 (51.0 %), at most 50.0 % is allowed"),
        (HALF, run(49), run(100), "the number of members changed by 51 from 100 (51.0 %), at most 50.0 % is allowed"),
        (HALF, run(1000), None, ""),
        (HALF, run(1000), run(0), ""),
        (HALF, run(0), run(1), "the number of members changed by 1 from 1 (100.0 %), at most 50.0 % is allowed"),
        (Gates(change_at_most=Decimal("0.3")), run(13), run(10), ""),  # exactly: 0.3 is no binary fraction
        (TENTH, run(100, 5, 5), run(100), ""),
        (
            TENTH,
            run(100, 6, 5),
            run(100),
            "11 members entered or left, of 100 before (11.0 %), at most 10.0 % is allowed",
        ),
        (TENTH, run(100, 100, 0), None, ""),
        (Gates(not_empty=True), run(0), None, "it has no members"),
        (Gates(not_empty=True), run(1), None, ""),
        (Gates(at_least=2), run(1), None, "it has 1 members, fewer than 2"),
        (Gates(at_least=2), run(2), None, ""),
        (Gates(not_empty=True, at_least=2), run(0), None, "it has no members; it has 0 members, fewer than 2"),
    ],
)
def test_members(gates: Gates, new: SegmentRun, old: SegmentRun | None, problem: str) -> None:
    assert "; ".join(find_gate_problems(gates, new, old, {})) == problem


@pytest.mark.parametrize(
    ("newest", "problem"),
    [
        (AS_OF - timedelta(days=2), ""),
        (AS_OF + timedelta(days=1), ""),
        (AS_OF - timedelta(days=2, minutes=1), 'the news of table "t" is 48 hours old, at most 2 days are allowed'),
        (AS_OF - timedelta(days=9), 'the news of table "t" is 9 days old, at most 2 days are allowed'),
        (AS_OF - timedelta(days=12, hours=5), 'the news of table "t" is 12 days old, at most 2 days are allowed'),
        (None, 'table "t" has no news'),
    ],
)
def test_stale_sources(newest: datetime | None, problem: str) -> None:
    gates = Gates(sources_not_older_than=timedelta(days=2))
    assert "; ".join(find_gate_problems(gates, run(1), None, {"t": SourceNews(False, newest)})) == problem


def test_empty_sources() -> None:
    news = {"t": SourceNews(True, None), "u": SourceNews(False, None)}
    assert find_gate_problems(Gates(sources_not_empty=True), run(0), None, news) == ['table "t" is empty']
