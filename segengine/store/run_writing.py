"""Writing runs: their ids, and the rows that nobody reads before they are published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from segengine.store.runs import AnalysisRun, AnyRun, MeasureRun, Run, SegmentRun
from segengine.store.warehouse import ON_DEMAND, Row, Warehouse, column_names

_RUN_TIME = "%Y%m%dt%H%M%S"
_TABLES = {AnalysisRun: "analysis_runs", MeasureRun: "measure_runs", SegmentRun: "segment_runs"}


def append_run(warehouse: Warehouse, run: Run, runs: Sequence[AnyRun]) -> None:
    """Write the rows of a run and of its definitions; nobody reads them before the control row names the run."""
    for kind, table in _TABLES.items():
        if rows := [_as_row(table, each) for each in runs if isinstance(each, kind)]:
            if table in ON_DEMAND:
                warehouse.create(table)
            warehouse.append_rows(table, rows)
    warehouse.append_rows("runs", [_as_row("runs", run)])


def _as_row(table: str, item: Any) -> Row:
    values = {name: getattr(item, name) for name in column_names(table)}
    return {name: str(value) if isinstance(value, StrEnum) else value for name, value in values.items()}


def make_run_id(started_at: datetime) -> str:
    """Return a run id that sorts by time and repeats for nobody else."""
    return f"run_{started_at.astimezone(UTC):{_RUN_TIME}}_{uuid4().hex[:8]}"


def read_run_time(run_id: str) -> datetime | None:
    """Return when the run of an id started, in UTC, to the second; None where the id is none of ours."""
    try:
        return datetime.strptime(run_id.split("_")[1], _RUN_TIME).replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return None
