"""`init` and `demo`: a new project, and a believable one with data, definitions and a past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from segengine.errors import ConfigError
from segengine.operations.apply import apply_definitions
from segengine.operations.context import (
    OpenProject,
    load_registered,
    open_project,
    open_settings,
    parse_as_of,
    read_state,
)
from segengine.operations.due import EVERYTHING, Wanted
from segengine.operations.insights import InsightDetails, describe_insight
from segengine.operations.measures import MeasureSummary, list_measures
from segengine.operations.refresh import RefreshReport, refresh_segments
from segengine.operations.schema import pull_schema
from segengine.operations.segments import SegmentSummary, list_segments
from segengine.operations.suggestions import SuggestionDetails, describe_suggestions
from segengine.project.definitions import ANALYSIS_KINDS
from segengine.project.names import make_slug
from segengine.project.settings import PROJECT_FILE
from segengine.store.runs import SegmentRun

CONTOSO_DAYS = (
    "2025-11-30",
    "2025-12-31",
    "2026-01-31",
    "2026-02-28",
    "2026-03-31",
    "2026-04-30",
    "2026-05-31",
    "2026-06-30",
)
HARBOR_SUPPLY_DAYS = ("2025-09-30", "2025-12-31", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30")
COMPLETE_JOURNEY_DAYS = ("2017-04-30", "2017-06-30", "2017-08-31", "2017-10-31", "2017-12-31")

_PROJECT = """\
project: {name}
time_zone: UTC
warehouse: warehouse/          # where results go: a path, or catalog.schema on Spark
definitions: definitions/
engine: embedded               # embedded | spark | sc://host:15002
schedule: {{daily: ["02:00"]}}   # when `refresh --due` refreshes; or {{weekly: {{day: monday, at: "06:00"}}}}

tables:
  customers:
    path: data/customers       # a Delta table; else add `format: parquet` or `format: csv`
    key: customer_id
#  purchases:
#    path: data/purchases
#    key: purchase_id
#    at: purchased_at          # when a row happened: lets `refresh --as-of` leave out later rows

relationships: []
#  - purchases.customer_id -> customers

audiences:
  customer: {{table: customers}}
#  account: {{table: accounts}}                          # companies, and the people there
#  contact: {{table: contacts, account: account}}
"""
_DEFINITIONS = """\
kind: segment
name: Everyone
description: All customers
where: everyone                # next a condition, as in `where: {state: California}`
"""


def init_project(folder: Path) -> list[Path]:
    """Write the files of a new project and return their paths.

    Raises:
        ConfigError: The folder has a project already, or cannot be written.
    """
    if (folder / PROJECT_FILE).exists():
        raise ConfigError(f"{folder.resolve()} has a {PROJECT_FILE} already.", "Choose another folder.")
    name = make_slug(folder.resolve().name) or "project"
    files = {folder / PROJECT_FILE: _PROJECT.format(name=name), folder / "definitions" / "segments.yml": _DEFINITIONS}
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.") from error
    return list(files)


@dataclass(frozen=True)
class DemoReport:
    """What the demo made: its folder, the last refresh, the lists, the snapshots of each segment, what models say."""

    folder: Path
    time_zone: str
    report: RefreshReport
    segments: tuple[SegmentSummary, ...]
    measures: tuple[MeasureSummary, ...]
    trends: dict[str, tuple[SegmentRun, ...]]
    suggestions: tuple[SuggestionDetails, ...]
    insights: tuple[InsightDetails, ...]


def make_demo(
    folder: Path,
    write_project: Callable[[Path], None],
    days: tuple[str, ...],
    engine: str = "",
    progress: Callable[[str], None] = lambda line: None,
) -> DemoReport:
    """Write an example project with its data into a folder, apply it, and refresh it as of past days.

    What models find is refreshed as of the last day alone: they take longer than all the others.

    Args:
        folder: Where it goes; new or empty.
        write_project: Writes project file, definitions and data.
        days: Days to refresh as of, oldest first; the project's zone decides when they end.
        engine: Another engine than the project's.
        progress: Called with a line for each step.

    Raises:
        ConfigError: The folder is not empty or cannot be written.
    """
    progress("writing data and definitions")
    write_project(folder)
    settings = open_settings(folder, engine=engine)
    with open_project(settings) as project:
        pull_schema(project.session, settings)
        plan = apply_definitions(project)
        progress(f"applied {len(plan.changes)} definitions")
        for day in days[:-1]:
            _refresh(project, day, Wanted(kinds=("segment", "measure")), progress)
        report = _refresh(project, days[-1], EVERYTHING, progress)
        catalogue, _ = load_registered(project)
        asked = {
            kind: [key for key, each in catalogue.analyses.items() if each.kind == kind] for kind in ANALYSIS_KINDS
        }
        return DemoReport(
            folder,
            settings.time_zone,
            report,
            tuple(list_segments(project)),
            tuple(list_measures(project)),
            _trends(project),
            tuple(describe_suggestions(project, identity) for identity in asked["suggestion"]),
            tuple(describe_insight(project, identity) for identity in asked["insight"]),
        )


def _refresh(project: OpenProject, day: str, wanted: Wanted, progress: Callable[[str], None]) -> RefreshReport:
    as_of: datetime = parse_as_of(day, project.settings.time_zone)
    report = refresh_segments(project, wanted, as_of=as_of, tracking=False, progress=lambda line: None)
    kinds = {"measures": report.measures, "segments": report.segments, "suggestions and insights": report.analyses}
    what = ", ".join(f"{len(runs)} {kind}" for kind, runs in kinds.items() if runs)
    progress(f"refreshed {what} as of {day} in {report.seconds:.1f} s")
    return report


def _trends(project: OpenProject) -> dict[str, tuple[SegmentRun, ...]]:
    _, history = read_state(project)
    return {identity: tuple(history.segments.snapshots(identity)) for identity in history.segments.ids}
