"""Table `segment_members`: the members of every segment as plain rows, for tools that read tables.

Written after publication from what is published: it may lag behind, never lead. Writing it again gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from segengine.kernel.bitmaps import bitmap_keys
from segengine.kernel.scan import KEY
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.project.names import SEGMENT_MEMBERS
from segengine.store.profile_keys import read_profile_keys
from segengine.store.runs import History, SegmentRun
from segengine.store.snapshots import read_contents, snapshot_of
from segengine.store.warehouse import make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_MEMBERS = pa.schema([("number", pa.int32()), (KEY, pa.int64())])


def write_member_rows(project: OpenProject) -> str:
    """Write one row for each member of each segment that has a snapshot, and return the table's name.

    Columns: `segment_id`, `profile_id` (text), `snapshot_version` (of the current snapshot). A segment without members
    has no row.

    Raises:
        ConfigError: There are no definitions yet.
        RunError: The engine failed.
    """
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    runs = [run for identity in catalogue.segments if (run := history.segments.current(identity))]
    rows: DataFrame | None = None
    for audience in project.settings.audiences:
        own = [run for run in runs if catalogue.segments[run.segment_id].audience == audience]
        found = _audience_rows(project, history, audience, own)
        if found is not None:
            rows = found if rows is None else rows.unionByName(found)
    if rows is None:
        rows = make_frame(project.session, "segment_id string, profile_id string, snapshot_version int", [])
    project.warehouse.overwrite(SEGMENT_MEMBERS, rows)
    return SEGMENT_MEMBERS


def _audience_rows(
    project: OpenProject, history: History, audience: str, runs: Sequence[SegmentRun]
) -> DataFrame | None:
    """Return the members of an audience's segments; None where it has no segment with members.

    Only numbers leave Python: text would be copied once a row, and over Connect it has a type that other readers of
    Delta refuse.
    """
    from pyspark.sql import functions as F

    snapshots = [snapshot_of(run) for run in runs]
    contents = read_contents(project.warehouse, snapshots)
    if contents is None:
        return None
    listed = [
        {"number": number, "source": key.source, "segment_id": run.segment_id, "snapshot_version": run.snapshot_version}
        for number, (key, run) in enumerate(zip(snapshots, runs, strict=True))
    ]
    columns = "number int, source string, segment_id string, snapshot_version int"
    segments = make_frame(project.session, columns, listed)
    bitmaps = contents.join(F.broadcast(segments.select("number", "source")), "source")
    members = bitmaps.select("number", "bucket", "content").mapInArrow(_list_members, "number int, profile_key bigint")
    keys = read_profile_keys(project.warehouse, audience, history.run_ids)
    rows = members.join(keys, KEY).join(F.broadcast(segments.drop("source")), "number")
    return rows.select("segment_id", "profile_id", "snapshot_version")


def _list_members(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Turn bitmaps (number, bucket, content) into a row for each bit that is set."""
    for batch in batches:
        for number, bucket, content in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            keys = bitmap_keys(content, bucket)
            numbers = pa.repeat(pa.scalar(number, pa.int32()), len(keys))
            yield pa.RecordBatch.from_arrays([numbers, pa.array(keys)], schema=_MEMBERS)
