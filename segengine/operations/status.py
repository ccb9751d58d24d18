"""`status`: is a run under way, how did the last ones end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.due import find_next_due
from segengine.project.catalogue import Catalogue
from segengine.store.control import ControlRow, died
from segengine.store.registry import Registry
from segengine.store.runs import REFRESHED, History, Run, Status
from segengine.store.sizes import WarehouseSize, read_sizes


@dataclass(frozen=True)
class RunSummary:
    """One published run: how its definitions ended, what it read, how long it took."""

    run: Run
    status_counts: Mapping[str, int]
    orphan_count: int
    scans: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ProjectStatus:
    """Who holds the lease ('' if nobody), what it was doing at its last heartbeat, and the newest runs first.

    `died`: what is said of a run that was killed, '' where none was since the last one ended. `due_count`: how many
    definitions are due now; `next_due`: when the next of the others will be, None: never. `last_success`: the newest
    refresh of which something ended well, however far back.
    """

    owner: str
    work_id: str
    until: datetime | None
    progress: str
    died: str
    refreshing: tuple[str, ...]
    runs: tuple[RunSummary, ...]
    due_count: int
    next_due: datetime | None
    last_success: Run | None
    size: WarehouseSize


def read_status(project: OpenProject, limit: int = 10) -> ProjectStatus:
    """Return the state of the project's runs."""
    return make_status(project, read_definitions(project), *read_state(project), limit)


def read_definitions(project: OpenProject) -> tuple[Catalogue, Registry] | None:
    """Return the applied definitions; None before the first `apply`."""
    return load_registered(project) if project.warehouse.exists("definitions") else None


def make_status(
    project: OpenProject,
    definitions: tuple[Catalogue, Registry] | None,
    control: ControlRow | None,
    history: History,
    limit: int = 10,
) -> ProjectStatus:
    """Return the state of the project's runs out of what is published; only the sizes of tables are read for it."""
    now = datetime.now(UTC)
    held = control is not None and control.is_held(now)
    due = _due_times(*definitions, history, now) if definitions else []
    counts: dict[str, Counter[str]] = {}
    for trail in history.trails:
        for run_id, status in zip(trail.runs.column("run_id"), trail.runs.column("status"), strict=True):
            counts.setdefault(run_id, Counter())[status] += 1
    runs = [_summarise(run, counts.get(run.run_id, Counter())) for run in history.runs[-limit:]]
    return ProjectStatus(
        owner=control.owner.split("|")[0] if control and held else "",
        work_id=control.work_id if control and held else "",
        until=control.until if control and held else None,
        progress=control.progress if control and held else "",
        died=died(control) if control and control.is_abandoned(now) else "",
        refreshing=control.ids if control and held else (),
        runs=tuple(reversed(runs)),
        due_count=sum(time <= now for time in due),
        next_due=min((time for time in due if time > now), default=None),
        last_success=next((run for run in reversed(history.runs) if _is_success(run, counts)), None),
        size=read_sizes(project.warehouse),
    )


def _is_success(run: Run, counts: Mapping[str, Counter[str]]) -> bool:
    """Return whether a refresh published a snapshot; one of which everything failed or was held back did not."""
    return run.purpose == REFRESHED and counts.get(run.run_id, Counter())[Status.SUCCESSFUL] > 0


def _due_times(catalogue: Catalogue, registry: Registry, history: History, now: datetime) -> list[datetime]:
    """Return from when on each definition is due, of those that ever are."""
    known = catalogue.evaluated.values()
    times = (find_next_due(catalogue, registry, history, definition, now) for definition in known)
    return [time for time in times if time is not None]


def _summarise(run: Run, counts: Counter[str]) -> RunSummary:
    scans = tuple(json.loads(run.scans))
    orphans = sum(scan["orphan_count"] for scan in scans)
    ordered = {str(status): counts[str(status)] for status in Status if counts[str(status)]}
    return RunSummary(run, ordered, orphans, scans)
