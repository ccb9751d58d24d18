"""`insights`: what insights found, and their output tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from segengine.models.differentiators import Differentiators
from segengine.models.insight_rows import DIFFERENTIATORS, OVERLAP, list_rows
from segengine.models.insights import Insight, read_insight
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.segments import find_snapshot
from segengine.project.analysis import Analysis
from segengine.project.find import find_analysis
from segengine.store.runs import AnalysisRun
from segengine.store.scores import read_result
from segengine.store.snapshots import snapshot_of
from segengine.store.warehouse import make_frame


@dataclass(frozen=True)
class InsightDetails:
    """A snapshot of an insight: what was found."""

    analysis: Analysis
    snapshot: AnalysisRun
    insight: Insight


def describe_insight(
    project: OpenProject, name: str, *, snapshot: int | None = None, at: datetime | None = None
) -> InsightDetails:
    """Return what an insight found.

    Raises:
        ConfigError: There is no such insight or snapshot.
        DataContractError: It was written by another version.
    """
    catalogue, _ = load_registered(project)
    analysis = find_analysis(catalogue, name, "insight")
    _, history = read_state(project)
    run = find_snapshot(history.analyses, analysis, snapshot, at)
    return InsightDetails(analysis, run, _read(project, run))


def write_insight_tables(project: OpenProject) -> list[str]:
    """Write what all insights found, their current snapshots, as tables for other tools; return the tables' names.

    Rows and columns: see `models.insight_rows.list_rows`; beside them `insight_id`, `snapshot_version`. Written after
    publication from what is published: they may lag behind, never lead.

    Raises:
        RunError: The engine failed.
    """
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    insights = [
        each for key, each in catalogue.analyses.items() if each.kind == "insight" and key not in catalogue.broken
    ]
    current = [(each, run) for each in insights if (run := history.analyses.current(each.id))]
    return [_write_table(project, each, run) for each, run in current]


def _write_table(project: OpenProject, analysis: Analysis, run: AnalysisRun) -> str:
    insight = _read(project, run)
    columns = DIFFERENTIATORS if isinstance(insight, Differentiators) else OVERLAP
    same = {"insight_id": analysis.id, "snapshot_version": run.snapshot_version}
    rows = [{**row, **same} for row in list_rows(insight, project.settings.time_zone)]
    frame = make_frame(project.session, f"{columns}, insight_id string, snapshot_version int", rows)
    project.warehouse.overwrite(analysis.output_table, frame)
    return analysis.output_table


def _read(project: OpenProject, run: AnalysisRun) -> Insight:
    return read_insight(read_result(project.warehouse, snapshot_of(run)))
