"""`release` and `drop`: what becomes of results that a gate held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from segengine.errors import ConfigError
from segengine.operations.context import OpenProject, find_author, load_registered, read_state
from segengine.operations.run_log import log_run
from segengine.operations.segments import find_held
from segengine.operations.waiting import check_last_run_ended
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_segment
from segengine.store.control import Control
from segengine.store.run_writing import make_run_id
from segengine.store.runs import (
    DROPPED,
    RELEASED,
    History,
    SegmentRun,
    Status,
    read_history,
)

Decision = Literal["release", "drop"]


@dataclass(frozen=True)
class ReleaseReport:
    """What was decided: one entry for each segment, with what is now said of it."""

    run_id: str
    segments: tuple[SegmentRun, ...]


def decide_held(project: OpenProject, names: Sequence[str], decision: Decision) -> ReleaseReport:
    """Make held-back results current, or drop them, all at once.

    A released snapshot keeps its as_of, and what entered and left it: it is current where no later one is.

    Raises:
        ConfigError: A segment is unknown, has nothing held back, or its definition changed since; or a run was killed.
        LeaseHeldError: A run is under way.
    """
    catalogue, registry = load_registered(project)
    _, history = read_state(project)
    ids = [find_segment(catalogue, name).id for name in dict.fromkeys(names)]
    for identity in ids:
        _find_held(catalogue, history, identity, decision)
    now = datetime.now(UTC)
    control = Control(project.warehouse, "control")
    check_last_run_ended(control)
    with control.lease(make_run_id(now), []) as lease:
        history = read_history(project.warehouse, lease.before)  # another run may have been faster
        decided = []
        for identity in ids:
            held = _find_held(catalogue, history, identity, decision)
            decided.append(_decide(history, held, lease.work_id, decision, now))
        log_run(project, lease, decision, now, max(each.as_of for each in decided), decided)
        control.publish(lease)
    return ReleaseReport(lease.work_id, tuple(decided))


def _find_held(catalogue: Catalogue, history: History, identity: str, decision: Decision) -> SegmentRun:
    segment = catalogue.segments[identity]
    held = find_held(history.segments, segment)
    hashes = catalogue.hashes[identity]
    if decision == "release" and (held.data_hash, held.parents_hash) != (hashes.data, hashes.parents):
        message = f'What is held back of segment "{segment.name}" is of an earlier definition.'
        raise ConfigError(message, f"Run `segengine refresh {identity}`, or `segengine drop {identity}`.")
    return held


def _decide(history: History, held: SegmentRun, run_id: str, decision: Decision, now: datetime) -> SegmentRun:
    common = replace(held, run_id=run_id, started_at=now, finished_at=datetime.now(UTC))
    if decision == "drop":
        error = f"held back ({held.error}) and dropped by {find_author()}"
        return replace(common, purpose=DROPPED, status=Status.CANCELED, snapshot_run_id="", error=error)
    return replace(
        common,
        purpose=RELEASED,
        status=Status.SUCCESSFUL,
        snapshot_version=history.segments.last_version(held.id) + 1,
        error="",
    )
