"""segengine itself in the benchmark: a whole refresh, published, and the members it published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segengine.kernel.bitmaps import bitmap_keys
from segengine.operations.apply import apply_definitions
from segengine.operations.context import OpenProject, open_project, open_settings
from segengine.operations.member_rows import write_member_rows
from segengine.operations.refresh import RefreshReport, refresh_segments
from segengine.operations.schema import pull_schema
from segengine.store.control import Control
from segengine.store.profile_keys import read_profile_keys
from segengine.store.runs import Status, read_history
from segengine.store.snapshots import read_bitmaps

from .measure import Outcome, Phases


def refresh_twice(folder: Path, engine: str, sample: Sequence[str], member_rows: bool, phases: Phases) -> Outcome:
    """Refresh a project's segments twice in full; the first counts, start and definitions are phases of their own.

    So are a refresh with nothing changed and, where asked for, the writing of every member id as a row.

    The members of the sampled segments are written beside the project as `<segment>.parquet`.
    """
    settings = open_settings(folder, engine=engine)
    with phases.measured("start"):
        opened = open_project(settings)
        project = opened.__enter__()
    try:
        with phases.measured("apply"):
            pull_schema(project.session, settings)
            apply_definitions(project)
        with phases.measured("run"):
            report = refresh_segments(project)
        size = snapshot_bytes(folder)
        with phases.measured("second refresh"):
            again = refresh_segments(project, full=True)
        if refresh_counts(again) != refresh_counts(report):
            raise AssertionError("the second refresh found other members than the first")
        with phases.measured("nothing changed"):
            kept = refresh_segments(project)
        if kept.unchanged_count != len(report.segments) or refresh_counts(kept) != refresh_counts(report):
            raise AssertionError(f"{kept.unchanged_count} segments kept their snapshots")
        if member_rows:
            with phases.measured("member rows"):
                table = write_member_rows(project)
            found = project.warehouse.read(f"output/{table}").count()
            if found != sum(refresh_counts(report).values()):
                raise AssertionError(f"{found} rows of members")
        for segment_id, ids in read_member_ids(project, sample).items():
            pq.write_table(pa.table({"customer_id": ids}), folder / f"{segment_id}.parquet")
    finally:
        opened.__exit__(None, None, None)
    return Outcome(counts=refresh_counts(report), snapshot_bytes=size)


def refresh_counts(report: RefreshReport) -> dict[str, int]:
    """Return the members of each segment, all of which must have been refreshed."""
    unsuccessful = [run for run in report.segments if run.status is not Status.SUCCESSFUL]
    if unsuccessful:
        raise AssertionError(f"{len(unsuccessful)} segments ended otherwise: {unsuccessful[0]}")
    return {run.segment_id: run.member_count or 0 for run in report.segments}


def snapshot_bytes(folder: Path) -> int:
    """Return the bytes of the Parquet files that hold member snapshots."""
    return sum(file.stat().st_size for file in (folder / "warehouse" / "snapshots").rglob("*.parquet"))


def read_member_ids(project: OpenProject, segment_ids: Sequence[str]) -> Mapping[str, pa.Array]:
    """Return the published members of segments, by segment."""
    history = read_history(project.warehouse, Control(project.warehouse, "control").read())
    keys = read_profile_keys(project.warehouse, "customer", history.run_ids).toArrow()
    places = np.argsort(keys.column("profile_key").to_numpy())
    ids = keys.column("profile_id").combine_chunks().take(pa.array(places))  # the id of key k stands at k - 1
    members = {}
    for segment_id in segment_ids:
        run = history.segments.current(segment_id)
        bitmaps = read_bitmaps(project.warehouse, run.snapshot_run_id, segment_id) if run else {}
        found = [bitmap_keys(bits, bucket) - 1 for bucket, bits in sorted(bitmaps.items())]
        members[segment_id] = ids.take(pa.array(np.concatenate(found) if found else np.zeros(0, dtype=np.int64)))
    return members
