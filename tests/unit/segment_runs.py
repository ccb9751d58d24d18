"""What runs say of segments: tests name what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from segengine.store.runs import REFRESHED, SegmentRun, Status, Trail, hold_runs


def segment_run(as_of: datetime, **facts: Any) -> SegmentRun:
    """Return what a run says of a segment: "s", refreshed, without a count, unless the facts say otherwise."""
    usual: dict[str, Any] = {
        "run_id": "run",
        "segment_id": "s",
        "name": "S",
        "snapshot_version": 1,
        "snapshot_run_id": facts.get("run_id", "run"),
        "as_of": as_of,
        "purpose": REFRESHED,
        "status": Status.SUCCESSFUL,
        **dict.fromkeys(("profile_count", "member_count", "entered_count", "left_count")),
        "definition_version": 1,
        "data_hash": "",
        "parents_hash": "",
        "parents": "{}",
        "error": "",
        "started_at": as_of,
        "finished_at": as_of,
    }
    return SegmentRun(**{**usual, **facts})


def trail_of(runs: Sequence[SegmentRun]) -> Trail[SegmentRun]:
    """Return the trail of runs, oldest first, as it is read from their stored rows."""
    rows = [{**vars(run), "status": str(run.status)} for run in runs]
    return Trail(hold_runs(pa.Table.from_pylist(rows), "segment_id", SegmentRun))
