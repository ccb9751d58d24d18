"""Scores of similar customers, and what a reader should know of the models that gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.store.snapshots import SnapshotKey
from segengine.store.warehouse import SCHEMAS, Row, Warehouse, make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ERASED = "(forgotten)"


def write_scores(warehouse: Warehouse, key: SnapshotKey, scores: DataFrame) -> None:
    """Write the scores of candidates under a run's id; nobody reads them before the run is published.

    `scores`: `profile_key`, `score`, `candidate_count` (1); without a key how many have about that score.
    """
    from pyspark.sql import functions as F

    warehouse.create("similarity_scores")
    own = scores.withColumn("run_id", F.lit(key.run_id)).withColumn("id", F.lit(key.id))
    warehouse.append("similarity_scores", own)


def read_scores(warehouse: Warehouse, key: SnapshotKey) -> DataFrame:
    """Return `profile_key`, `score` of the candidates that could be chosen for a snapshot, members and others."""
    from pyspark.sql import functions as F

    return _own(warehouse, key).where(F.col("profile_key").isNotNull()).select("profile_key", "score")


def count_scores(warehouse: Warehouse, key: SnapshotKey) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Return the distinct scores and how many candidates have each (those that nobody is chosen by: about each)."""
    from pyspark.sql import functions as F

    with engine_errors("counting scores"):
        sums = _own(warehouse, key).groupBy("score").agg(F.sum("candidate_count").alias("candidate_count"))
        found = sums.toArrow().combine_chunks()
    if not found.num_rows:
        return pa.array([], pa.float64()), np.array([], dtype=np.int64)
    return found.column("score").chunk(0), found.column("candidate_count").to_numpy()


def _own(warehouse: Warehouse, key: SnapshotKey) -> DataFrame:
    from pyspark.sql import functions as F

    return warehouse.read("similarity_scores").where((F.col("run_id") == key.run_id) & (F.col("id") == key.id))


def write_result(warehouse: Warehouse, key: SnapshotKey, kind: str, content: Mapping[str, Any]) -> None:
    """Write what a model says beside its members under a run's id (JSON)."""
    warehouse.create("model_results")
    row = {"run_id": key.run_id, "id": key.id, "kind": kind, "content": json.dumps(content)}
    warehouse.append_rows("model_results", [row])


def read_result(warehouse: Warehouse, key: SnapshotKey) -> dict[str, Any]:
    """Return what a model said with a snapshot, empty where it said nothing."""
    if not warehouse.exists("model_results"):
        return {}
    rows = warehouse.fetch("model_results", ("content",), run_id=key.run_id, id=key.id)
    found: dict[str, Any] = json.loads(rows["content"][0].as_py()) if rows.num_rows else {}
    return found


def find_results_saying(warehouse: Warehouse, text: str) -> list[Row]:
    """Return the rows of what models said, published or not, of which a value is a text."""
    from pyspark.sql import functions as F

    if not warehouse.exists("model_results"):
        return []
    with engine_errors("reading table model_results"):
        rows = warehouse.read("model_results").where(F.col("content").contains(json.dumps(text))).toArrow().to_pylist()
    return [row for row in rows if _without(json.loads(row["content"]), text) != json.loads(row["content"])]


def erase_from_results(warehouse: Warehouse, rows: Sequence[Row], text: str) -> None:
    """Put `ERASED` into rows of what models said for each value that is a text."""
    if not rows:
        return
    left = [{**row, "content": json.dumps(_without(json.loads(row["content"]), text))} for row in rows]
    changed = make_frame(warehouse.session, SCHEMAS["model_results"], left)
    with engine_errors("writing table model_results"):
        same = "t.run_id = s.run_id and t.id = s.id"
        warehouse.update_rows("model_results", changed, same, {"content": "s.content"})


def _without(value: object, text: str) -> object:
    if isinstance(value, dict):
        return {_without(name, text): _without(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(each, text) for each in value]
    return ERASED if value == text else value
