"""Snapshots: what a run found, by definition and bucket, never changed afterwards.

Of a segment one bitmap of members a bucket; of a measure its values for the profiles of a bucket, or its rows by
dimensions (of a business measure all of them under bucket 0).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.erasure import VALUES, erase_from_values
from segengine.engine.parts import unpack_rows
from segengine.engine.results import FACTS, MEASURE, PAIRS, SEGMENT, STATES
from segengine.store.runs import AnyRun
from segengine.store.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FEW_DEFINITIONS = 200


@dataclass(frozen=True)
class SegmentCounts:
    """What the written snapshot of one segment holds."""

    member_count: int = 0
    entered_count: int = 0
    left_count: int = 0


@dataclass(frozen=True)
class MeasureCounts:
    """What the written snapshot of one measure holds.

    `row_count`: profiles, or rows by dimensions; `values`: how many profiles have each value, by column; `overflow`:
    values with too many digits in rows by dimensions.
    """

    row_count: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    overflow: int = 0


@dataclass(frozen=True)
class Written:
    """What a run has written: the counts of every definition, and the facts its tasks left (JSON)."""

    segments: Mapping[str, SegmentCounts]
    measures: Mapping[str, MeasureCounts]
    facts: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SnapshotKey:
    """Which snapshot: the run that wrote it, and the definition."""

    run_id: str
    id: str

    @property
    def source(self) -> str:
        """The name under which a stored snapshot travels to the formulas."""
        return f"{self.run_id}/{self.id}"


def snapshot_of(run: AnyRun) -> SnapshotKey:
    """Return the snapshot a definition's run uses."""
    return SnapshotKey(run.snapshot_run_id, run.id)


def write_snapshots(warehouse: Warehouse, run_id: str, results: DataFrame) -> None:
    """Write evaluated results under a run's id; nobody reads them before the run is published."""
    from pyspark.sql import functions as F

    warehouse.append("snapshots", results.withColumn("run_id", F.lit(run_id)))


def read_states(warehouse: Warehouse, run_id: str, measures: Iterable[str]) -> DataFrame:
    """Return `id`, `content` of what the tasks of a run left of some business measures."""
    from pyspark.sql import functions as F

    rows = warehouse.read("snapshots").where((F.col("run_id") == run_id) & (F.col("kind") == STATES))
    return rows.where(F.col("id").isin(sorted(measures))).select("id", "content")


def read_pairs(warehouse: Warehouse, run_id: str, plan: str) -> DataFrame:
    """Return `bucket` (the share), `content` of the distinct values that the tasks of a run's plan left."""
    from pyspark.sql import functions as F

    rows = warehouse.read("snapshots").where((F.col("run_id") == run_id) & (F.col("kind") == PAIRS))
    return rows.where(F.col("id") == plan).select("bucket", "content")


def read_written(warehouse: Warehouse, run_id: str) -> Written:
    """Return what a run has written."""
    names = ("row_count", "entered_count", "left_count")
    rows = warehouse.fetch("snapshots", ("kind", "id", "facts", *names), run_id=run_id)
    segments = rows.filter(pc.equal(rows["kind"], SEGMENT)).group_by("id")
    sums = segments.aggregate([(name, "sum") for name in names]).to_pylist()
    others = rows.filter(pc.is_in(rows["kind"], pa.array([MEASURE, FACTS]))).to_pylist()
    return Written(
        segments={row["id"]: SegmentCounts(*(row[f"{name}_sum"] for name in names)) for row in sums},
        measures=_sum_measures([row for row in others if row["kind"] == MEASURE]),
        facts=[json.loads(row["facts"]) for row in others if row["kind"] == FACTS],
    )


def _sum_measures(rows: Sequence[Mapping[str, Any]]) -> dict[str, MeasureCounts]:
    counts: dict[str, MeasureCounts] = {}
    for row in rows:
        so_far, facts = counts.get(row["id"], MeasureCounts()), json.loads(row["facts"])
        values = Counter(so_far.values)
        values.update(facts.get("values", {}))
        overflow = so_far.overflow + facts.get("overflow", 0)
        counts[row["id"]] = MeasureCounts(so_far.row_count + row["row_count"], values, overflow)
    return counts


def read_contents(warehouse: Warehouse, keys: Sequence[SnapshotKey]) -> DataFrame | None:
    """Return `bucket`, `source`, `content` of snapshots, others among them; None where there are none to read."""
    from pyspark.sql import functions as F

    if not keys:
        return None
    runs, definitions = sorted({key.run_id for key in keys}), sorted({key.id for key in keys})
    rows = warehouse.read("snapshots").where(F.col("run_id").isin(runs) & (F.col("row_count") > 0))
    if len(definitions) <= _FEW_DEFINITIONS:
        rows = rows.where(F.col("id").isin(definitions))
    source = F.concat(F.col("run_id"), F.lit("/"), F.col("id"))
    return rows.where(F.col("kind").isin([SEGMENT, MEASURE])).select("bucket", source.alias("source"), "content")


def read_bitmaps(warehouse: Warehouse, run_id: str, segment_id: str) -> Mapping[int, bytes]:
    """Return the bitmaps a run wrote of one segment, by bucket."""
    return dict(_read_own(warehouse, SEGMENT, SnapshotKey(run_id, segment_id)))


def read_values(warehouse: Warehouse, run_id: str, measure_id: str) -> dict[int, pa.RecordBatch]:
    """Return what a run wrote of one measure, by bucket: values of 32,768 profiles, or rows by dimensions.

    Values are there for every place, also those without a profile; column `PRESENT` says which have one.
    """
    found = _read_own(warehouse, MEASURE, SnapshotKey(run_id, measure_id))
    return {bucket: unpack_rows(content) for bucket, content in found}


def erase_values(warehouse: Warehouse, profile_key: int | None, profile_id: str, of_others: Collection[str]) -> None:
    """Take a profile out of all stored values of measures: its own, and its id where that is a value or dimension.

    `of_others`: the ids of measures of other audiences, whose profiles have keys of their own.
    """
    from pyspark.sql import functions as F

    columns = [column.split()[0] for column in VALUES.split(", ")]
    stored = warehouse.read("snapshots").where((F.col("kind") == MEASURE) & (F.col("row_count") > 0)).select(*columns)
    changed = stored.mapInArrow(erase_from_values(profile_key, profile_id, of_others), VALUES)
    key = " and ".join(f"t.{name} = s.{name}" for name in columns[:-1])
    warehouse.update_rows("snapshots", changed, f"t.kind = '{MEASURE}' and {key}", {"content": "s.content"})


def _read_own(warehouse: Warehouse, kind: str, key: SnapshotKey) -> list[tuple[int, bytes]]:
    rows = warehouse.fetch("snapshots", ("bucket", "content", "row_count"), run_id=key.run_id, id=key.id, kind=kind)
    rows = rows.filter(pc.greater(rows["row_count"], 0))
    return list(zip(rows["bucket"].to_pylist(), rows["content"].to_pylist(), strict=True))
