"""Member snapshots: one bitmap per run, segment and bucket, never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segengine.engine.failures import engine_errors
from segengine.store.runs import SegmentRun
from segengine.store.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FEW_SEGMENTS = 200


@dataclass(frozen=True)
class SegmentCounts:
    """What the written snapshot of one segment holds."""

    member_count: int = 0
    entered_count: int = 0
    left_count: int = 0


@dataclass(frozen=True)
class SnapshotKey:
    """Which snapshot: the run that wrote it, and the segment."""

    run_id: str
    segment_id: str

    @property
    def source(self) -> str:
        """The name under which a stored snapshot travels to the formulas."""
        return f"{self.run_id}/{self.segment_id}"


def snapshot_of(run: SegmentRun) -> SnapshotKey:
    """Return the snapshot a segment run uses."""
    return SnapshotKey(run.snapshot_run_id, run.segment_id)


def write_snapshots(warehouse: Warehouse, run_id: str, results: DataFrame) -> None:
    """Write evaluated members under a run's id; nobody reads them before the run is published."""
    from pyspark.sql import functions as F

    warehouse.append("segment_snapshots", results.withColumn("run_id", F.lit(run_id)))


def read_counts(warehouse: Warehouse, run_id: str) -> tuple[dict[str, SegmentCounts], list[str]]:
    """Return the counts of every segment a run wrote, and the facts its scans left (JSON)."""
    from pyspark.sql import functions as F

    rows = warehouse.read("segment_snapshots").where(F.col("run_id") == run_id)
    names = ("member_count", "entered_count", "left_count")
    with engine_errors("counting members"):
        sums = rows.groupBy("segment_id").agg(*[F.sum(F.col(name).cast("bigint")).alias(name) for name in names])
        counts = {row["segment_id"]: SegmentCounts(*(int(row[name]) for name in names)) for row in sums.collect()}
        facts = [row["facts"] for row in rows.where(F.col("segment_id") == "").select("facts").collect()]
    return {segment_id: count for segment_id, count in counts.items() if segment_id}, facts


def read_members(warehouse: Warehouse, keys: Sequence[SnapshotKey]) -> DataFrame | None:
    """Return `bucket`, `source`, `bits` of snapshots, others among them; None where there are none to read."""
    from pyspark.sql import functions as F

    if not keys:
        return None
    wanted = sorted({key.run_id for key in keys})
    segments = sorted({key.segment_id for key in keys})
    rows = warehouse.read("segment_snapshots").where(F.col("run_id").isin(wanted) & (F.col("member_count") > 0))
    if len(segments) <= _FEW_SEGMENTS:
        rows = rows.where(F.col("segment_id").isin(segments))
    source = F.concat(F.col("run_id"), F.lit("/"), F.col("segment_id"))
    return rows.select("bucket", source.alias("source"), F.col("members").alias("bits"))


def read_bitmaps(warehouse: Warehouse, run_id: str, segment_id: str) -> Mapping[int, bytes]:
    """Return the bitmaps a run wrote of one segment, by bucket."""
    from pyspark.sql import functions as F

    own = (F.col("run_id") == run_id) & (F.col("segment_id") == segment_id) & (F.col("member_count") > 0)
    with engine_errors(f'reading the members of segment "{segment_id}"'):
        table = warehouse.read("segment_snapshots").where(own).select("bucket", "members").toArrow()
    return dict(zip(table.column("bucket").to_pylist(), table.column("members").to_pylist(), strict=True))
