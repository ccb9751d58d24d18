"""Output tables: the current members of a segment as plain rows, for tools that read tables.

Written after publication from what is published: they may lag behind, never lead. Writing one again gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from segengine.engine.failures import engine_errors
from segengine.operations.context import OpenProject, load_registered
from segengine.operations.segments import read_segment_members
from segengine.project.find import find_segment
from segengine.store.warehouse import make_frame


def write_output_tables(project: OpenProject, names: Sequence[str]) -> list[str]:
    """Write the output table of each named segment and return their names.

    Columns: the profile's key as text, `segment_id`, `snapshot_version`. Rows: the members of the current snapshot.

    Raises:
        ConfigError: A segment is unknown or has no snapshot.
    """
    catalogue, _ = load_registered(project)
    return [_write(project, find_segment(catalogue, name).id) for name in names]


def _write(project: OpenProject, segment_id: str) -> str:
    import pyarrow as pa

    members = read_segment_members(project, segment_id, limit=None)
    ids = pa.chunked_array(list(members.batches), pa.string())
    count = len(ids)
    rows = pa.table(
        {
            members.id_name: ids,
            "segment_id": pa.array([segment_id] * count, pa.string()),
            "snapshot_version": pa.array([members.snapshot.snapshot_version] * count, pa.int32()),
        }
    )
    spark = project.session.spark
    schema = f"{members.id_name} string, segment_id string, snapshot_version int"
    frame = spark.createDataFrame(rows) if count else make_frame(project.session, schema, [])
    name = members.segment.output_table
    with engine_errors(f"writing output table {name}"):
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        if project.warehouse.is_catalog:
            writer.saveAsTable(project.warehouse.path(name))
        else:
            writer.save(project.warehouse.path(f"output/{name}"))
    return name
