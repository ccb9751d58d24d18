"""Rows that nothing published refers to: of runs that were killed or counted something only, and of thinned snapshots.

Whoever deletes them holds the lease: no run is writing then. Previews write without it, and are told by their age.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from segengine.engine.failures import engine_errors
from segengine.engine.results import MEASURE, SEGMENT
from segengine.store.run_writing import read_run_time
from segengine.store.runs import History
from segengine.store.warehouse import SCHEMAS, Row, Warehouse, make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OF_MODELS = ("similarity_scores", "model_results")
_NOT_OF_RUNS = frozenset({"snapshots", "profile_keys", *_OF_MODELS})


@dataclass(frozen=True)
class Leavings:
    """Groups of rows of one table that go: the values they are told by, and the number of rows."""

    table: str
    groups: tuple[Row, ...]
    row_count: int


def find_leavings(
    warehouse: Warehouse, history: History, needed: Collection[tuple[str, str]], before: datetime
) -> list[Leavings]:
    """Return what can go, by table.

    Args:
        warehouse: The project's warehouse.
        history: What is published.
        needed: The snapshots something published can ask for, by run and id.
        before: Rows of unpublished runs that started later stay.
    """
    published = {run.run_id for run in history.runs}
    keyed = set(history.run_ids)

    def has_ended(row: Row) -> bool:
        started_at = read_run_time(row["run_id"])
        return row["run_id"] in published or started_at is None or started_at < before

    def is_needed(row: Row) -> bool:
        return (row["run_id"], row["id"]) in needed and row.get("kind", SEGMENT) in (SEGMENT, MEASURE)

    found = [
        _leavings("snapshots", [row for row in _groups(warehouse, "snapshots", "kind", "id") if not is_needed(row)]),
        *(
            _leavings(table, [row for row in _groups(warehouse, table, "id") if not is_needed(row)])
            for table in _OF_MODELS
        ),
        _leavings("profile_keys", [row for row in _groups(warehouse, "profile_keys") if row["run_id"] not in keyed]),
    ]
    for table, schema in SCHEMAS.items():
        if schema.startswith("run_id ") and table not in _NOT_OF_RUNS:
            rows = [row for row in _groups(warehouse, table) if row["run_id"] not in published]
            found.append(_leavings(table, rows))
    ended = [_leavings(each.table, [row for row in each.groups if has_ended(row)]) for each in found]
    return [each for each in ended if each.groups]


def _leavings(table: str, groups: Sequence[Row]) -> Leavings:
    return Leavings(table, tuple(groups), sum(row["row_count"] for row in groups))


def _groups(warehouse: Warehouse, table: str, *columns: str) -> list[Row]:
    """Return how many rows each run has in a table, told apart by further columns."""
    from pyspark.sql import functions as F

    if not warehouse.exists(table):
        return []
    with engine_errors(f"reading table {table}"):
        counts = warehouse.read(table).groupBy("run_id", *columns).agg(F.count(F.lit(1)).alias("row_count"))
        rows: list[Row] = counts.toArrow().to_pylist()
    return rows


def delete_leavings(warehouse: Warehouse, leavings: Leavings) -> None:
    """Delete the rows of a table that can go, in one commit."""
    warehouse.delete_rows(leavings.table, _frame(warehouse, leavings))


def _frame(warehouse: Warehouse, leavings: Leavings) -> DataFrame:
    columns = ", ".join(f"{name} string" for name in leavings.groups[0] if name != "row_count")
    return make_frame(warehouse.session, columns, leavings.groups)
