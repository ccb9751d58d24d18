"""What a trail says of random runs, against the same worked out row by row."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from segengine.errors import ConfigError
from segengine.operations.segments import find_snapshot
from segengine.store.runs import BACKFILLED, DROPPED, REFRESHED, SegmentRun, Status, Trail
from tests.unit.segment_runs import segment_run, trail_of

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
IDS = ("a", "b", "c")


def draw_runs(choose: random.Random) -> list[SegmentRun]:
    """Return runs in the order they were published; some are as of an earlier time than one before."""
    return [draw_run(choose, number) for number in range(choose.randint(1, 60))]


def draw_run(choose: random.Random, number: int) -> SegmentRun:
    status = choose.choice([Status.SUCCESSFUL, Status.SUCCESSFUL, Status.HELD, Status.FAILED])
    purpose = choose.choice([REFRESHED, REFRESHED, BACKFILLED, DROPPED])
    as_of = FIRST_DAY + timedelta(days=choose.randint(0, 20), microseconds=choose.choice([0, 1]))
    identity = choose.choice(IDS)
    return segment_run(
        as_of,
        run_id=f"run_{number}",
        segment_id=identity,
        snapshot_version=number if status is Status.SUCCESSFUL else 0,
        purpose=purpose,
        status=status,
        member_count=number,
    )


def sorted_snapshots(runs: list[SegmentRun]) -> list[SegmentRun]:
    return sorted((run for run in runs if run.status is Status.SUCCESSFUL), key=lambda run: run.as_of)


@pytest.mark.parametrize("seed", range(40))
def test_trails(seed: int) -> None:
    choose = random.Random(seed)
    runs = draw_runs(choose)
    gone = frozenset((run.run_id, run.id) for run in runs if choose.random() < 0.3)
    trail = replace(trail_of(runs), thinned=gone)
    assert list(trail.runs) == runs
    assert set(trail.ids) == {run.id for run in runs}
    assert trail.runs.of_run("run_0") == runs[:1]
    instant = choose.choice(runs).as_of
    for identity in (*IDS, "nobody"):
        own = [run for run in runs if run.id == identity]
        compare(trail, identity, [run for run in own if run.purpose != BACKFILLED], instant)
        compare(trail.seen_at(instant), identity, [run for run in own if run.as_of == instant])
        assert trail.snapshots(identity) == sorted_snapshots(own)
        assert trail.last_version(identity) == max((run.snapshot_version for run in sorted_snapshots(own)), default=0)
        earlier = [run for run in sorted_snapshots(own) if run.as_of < instant and (run.run_id, identity) not in gone]
        assert trail.seen_at(instant).preceding(identity, instant) == (earlier[-1] if earlier else None)


def compare(
    trail: Trail[SegmentRun], identity: str, counting: list[SegmentRun], instant: datetime | None = None
) -> None:
    snapshots = sorted_snapshots(counting)
    settled = [run for run in counting if run.status in (Status.SUCCESSFUL, Status.HELD) or run.purpose == DROPPED]
    assert trail.of(identity) == counting
    assert trail.last(identity) == (counting[-1] if counting else None)
    assert trail.current(identity) == (snapshots[-1] if snapshots else None)
    assert trail.settled_until(identity) == max((run.as_of for run in settled), default=None)
    assert trail.held(identity) == (settled[-1] if settled and settled[-1].status is Status.HELD else None)
    if instant is not None:
        earlier = [run for run in snapshots if run.as_of < instant and trail.is_kept(run)]
        assert trail.preceding(identity, instant) == (earlier[-1] if earlier else None)


def test_before_the_first_run() -> None:
    trail: Trail[SegmentRun] = Trail()
    assert (len(trail.runs), trail.ids, trail.snapshots("a"), trail.last_version("a")) == (0, (), [], 0)
    compare(trail, "a", [], FIRST_DAY)


def test_an_unknown_snapshot_names_those_there_are_once_and_in_order() -> None:
    first = draw_run(random.Random(0), 0)
    versions = [7, 12, 9, 9, 10]
    runs = [
        replace(
            first,
            run_id=f"run_{place}",
            segment_id="a",
            snapshot_version=version,
            status=Status.SUCCESSFUL,
            purpose=REFRESHED,
            as_of=FIRST_DAY + timedelta(days=place),
        )
        for place, version in enumerate(versions)
    ]
    segment: Any = SimpleNamespace(kind="segment", id="a", name="A")
    with pytest.raises(ConfigError, match=r"no snapshot 99\. Known: 7, 9, 10, 12\."):
        find_snapshot(trail_of(runs), segment, 99)
