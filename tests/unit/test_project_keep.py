"""What `keep` says, and which snapshots it keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from segengine.errors import DefinitionError
from segengine.operations.thinning import find_needed, plan_thinning
from segengine.project.keep import FOREVER, Keep, choose_kept, parse_span
from segengine.project.settings import load_settings
from segengine.store.runs import History, SegmentRun, Status
from tests.unit.segment_runs import segment_run, trail_of

PROJECT = """
project: kept
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
"""
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def day(month: int, number: int, hour: int = 12) -> datetime:
    return datetime(2026, month, number, hour, tzinfo=UTC)


def kept(moments: list[datetime], keep: Keep, zone: str = "UTC") -> list[datetime]:
    return [moments[place] for place in sorted(choose_kept(moments, keep, NOW, zone))]


def load(tmp_path: Path, keep: str) -> Keep | None:
    (tmp_path / "segengine.yml").write_text(PROJECT + keep)
    return load_settings(tmp_path).keep


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("35 days", timedelta(days=35)),
        ("1 year", timedelta(days=366)),
        (" 2 Months ", timedelta(days=62)),
        ("12 hours", timedelta(hours=12)),
        ("forever", FOREVER),
        ("a week", None),
        ("35", None),
        ("-1 days", None),
    ],
)
def test_spans(text: str, span: timedelta | None) -> None:
    assert parse_span(text) == span


def test_keep_of_a_project(tmp_path: Path) -> None:
    assert load(tmp_path, "") is None
    found = load(tmp_path, "keep: {all: 35 days, weekly: 1 year, monthly: forever}")
    assert found == Keep(timedelta(days=35), timedelta(days=366), FOREVER)
    assert load(tmp_path, "keep: {all: 1 week}") == Keep(timedelta(days=7))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("keep: {}", 'keep without "all"'),
        ("keep: {weekly: 1 year}", 'keep without "all"'),
        ("keep: {all: some days}", 'all is "some days", expected hours, days'),
        ("keep: {all: 1 day, yearly: 1 year}", 'keep has no field "yearly"'),
        ("keep: 35 days", 'keep is "35 days", expected a mapping'),
    ],
)
def test_what_keep_cannot_be(tmp_path: Path, keep: str, message: str) -> None:
    with pytest.raises(DefinitionError, match="segengine.yml:5") as caught:
        load(tmp_path, keep)
    assert message in str(caught.value)


def test_all_then_the_last_of_weeks_then_of_months() -> None:
    moments = [NOW - timedelta(days=age) for age in range(400, -1, -1)]
    found = kept(moments, Keep(timedelta(days=10), timedelta(days=60), FOREVER))
    young = [moment for moment in found if NOW - moment <= timedelta(days=10)]
    assert young == moments[-11:]
    weekly = [moment for moment in found if timedelta(days=10) < NOW - moment <= timedelta(days=60)]
    # Sundays, and the last of May, which is one.
    assert weekly == [day(5, 3, 0), day(5, 10, 0), day(5, 17, 0), day(5, 24, 0), day(5, 31, 0), *[
        day(6, 7, 0), day(6, 14, 0)]]  # fmt: skip
    older = [moment for moment in found if NOW - moment > timedelta(days=60)]
    assert [(moment.month, moment.day) for moment in older][-4:] == [(1, 31), (2, 28), (3, 31), (4, 30)]
    assert len(older) == 12


def test_repeating_it_later_keeps_what_was_kept() -> None:
    """What a thinning leaves is what thinning everything at once would leave: nothing depends on how often."""
    keep = Keep(timedelta(days=10), timedelta(days=60), timedelta(days=200))
    days = [NOW - timedelta(days=400 - number) for number in range(401)]
    left: list[datetime] = []
    for today in days:
        left.append(today)
        left = [left[place] for place in sorted(choose_kept(left, keep, today, "UTC"))]
    assert left == [days[place] for place in sorted(choose_kept(days, keep, NOW, "UTC"))]


def test_weeks_and_months_are_those_of_the_zone() -> None:
    """Sunday evening in New York is Monday in UTC."""
    moments = [day(3, 1, 12), datetime(2026, 3, 2, 3, tzinfo=UTC), day(3, 7), datetime(2026, 4, 1, 2, tzinfo=UTC)]
    weekly, monthly = Keep(timedelta(0), weekly=FOREVER), Keep(timedelta(0), monthly=FOREVER)
    assert kept(moments, weekly) == moments[:1] + moments[2:]
    assert kept(moments, weekly, "America/New_York") == moments[1:]
    assert kept(moments, monthly) == moments[2:]
    assert kept(moments, monthly, "America/New_York") == moments[3:]


def run(
    segment_id: str,
    version: int,
    status: Status = Status.SUCCESSFUL,
    parents: dict[str, int] | None = None,
    snapshot_run_id: str = "",
) -> SegmentRun:
    run_id = f"run_{version}"
    return segment_run(
        day(1, version),
        run_id=run_id,
        segment_id=segment_id,
        snapshot_version=version if status is Status.SUCCESSFUL else 0,
        snapshot_run_id=snapshot_run_id or run_id,
        status=status,
        parents=json.dumps(parents or {}),
    )


def thin(runs: list[SegmentRun], untouched: tuple[str, ...] = ()) -> dict[str, list[int]]:
    """Return the numbers of the snapshots that go where only the current one of each segment is to be kept."""
    history = History(segments=trail_of(runs))
    found = plan_thinning(history, Keep(timedelta(0)), NOW, "UTC", untouched)
    return {each.id: [run.snapshot_version for run in each.thinned] for each in found}


def test_the_current_snapshot_stays() -> None:
    assert thin([run("a", 1), run("a", 2), run("b", 1)]) == {"a": [1]}
    assert thin([run("a", 1), run("a", 2)], untouched=("a",)) == {}
    assert plan_thinning(History(segments=trail_of([run("a", 1), run("a", 2)])), None, NOW, "UTC") == []


def test_a_snapshot_that_a_kept_run_uses_stays() -> None:
    """A run in which nothing had changed uses the snapshot of an earlier one."""
    assert thin([run("a", 1), run("a", 2), run("a", 3, snapshot_run_id="run_1")]) == {"a": [2]}


def test_parents_of_kept_snapshots_stay() -> None:
    grandparent, parent = [run("g", n) for n in (1, 2, 3)], [run("p", n, parents={"g": n}) for n in (1, 2, 3)]
    assert thin([*grandparent, *parent, run("c", 2, parents={"p": 2})]) == {"g": [1], "p": [1]}
    assert thin([run("p", 1), run("p", 2), run("c", 3, parents={"p": 1})]) == {}


def test_held_results_stay_as_long_as_they_wait() -> None:
    waiting = [run("a", 1), run("a", 2), run("a", 3, Status.HELD)]
    assert thin(waiting) == {"a": [1]}
    assert find_needed(History(segments=trail_of(waiting))) == {("run_1", "a"), ("run_2", "a"), ("run_3", "a")}
    replaced = [*waiting, run("a", 4)]
    assert find_needed(History(segments=trail_of(replaced))) == {(f"run_{n}", "a") for n in (1, 2, 4)}


def test_what_was_thinned_is_neither_needed_nor_compared_with() -> None:
    trail = replace(trail_of([run("a", n) for n in (1, 2, 3)]), thinned=frozenset({("run_2", "a")}))
    assert find_needed(History(segments=trail)) == {("run_1", "a"), ("run_3", "a")}
    assert [each.snapshot_version for each in trail.snapshots("a")] == [1, 2, 3]
    preceding = trail.preceding("a", day(1, 3))
    assert preceding is not None
    assert preceding.snapshot_version == 1
