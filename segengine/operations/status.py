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
from segengine.store.runs import History, Run, Status


@dataclass(frozen=True)
class RunSummary:
    """One published run: how its segments and measures ended, what it read, how long it took."""

    run: Run
    status_counts: Mapping[str, int]
    row_count: int
    orphan_count: int
    scans: tuple[Mapping[str, Any], ...]

    @property
    def seconds(self) -> float:
        """Wall-clock seconds from start to publication."""
        return (self.run.finished_at - self.run.started_at).total_seconds()


@dataclass(frozen=True)
class ProjectStatus:
    """Who holds the lease ('' if nobody), what it was doing at its last heartbeat, and the newest runs first.

    `due_count`: how many definitions are due now; `next_due`: when the next of the others will be, None: never.
    """

    owner: str
    work_id: str
    until: datetime | None
    progress: str
    refreshing: tuple[str, ...]
    runs: tuple[RunSummary, ...]
    due_count: int
    next_due: datetime | None


def read_status(project: OpenProject, limit: int = 10) -> ProjectStatus:
    """Return the state of the project's runs."""
    control, history = read_state(project)
    now = datetime.now(UTC)
    held = control is not None and control.is_held(now)
    due = _due_times(project, history, now)
    counts: dict[str, Counter[str]] = {}
    ended = [(run.run_id, run.status) for run in history.segments.runs]
    ended += [(run.run_id, run.status) for run in history.measures.runs]
    for run_id, status in ended:
        counts.setdefault(run_id, Counter())[str(status)] += 1
    runs = [_summarise(run, counts.get(run.run_id, Counter())) for run in history.runs[-limit:]]
    return ProjectStatus(
        owner=control.owner.split("|")[0] if control and held else "",
        work_id=control.work_id if control and held else "",
        until=control.until if control and held else None,
        progress=control.progress if control and held else "",
        refreshing=control.ids if control and held else (),
        runs=tuple(reversed(runs)),
        due_count=sum(time <= now for time in due),
        next_due=min((time for time in due if time > now), default=None),
    )


def _due_times(project: OpenProject, history: History, now: datetime) -> list[datetime]:
    """Return from when on each definition is due, of those that ever are; nothing before the first `apply`."""
    if not project.warehouse.exists("definitions"):
        return []
    catalogue, registry = load_registered(project)
    known = catalogue.evaluated.values()
    times = (find_next_due(catalogue, registry, history, definition, now) for definition in known)
    return [time for time in times if time is not None]


def _summarise(run: Run, counts: Counter[str]) -> RunSummary:
    scans = tuple(json.loads(run.scans))
    rows, orphans = (sum(scan[name] for scan in scans) for name in ("row_count", "orphan_count"))
    ordered = {str(status): counts[str(status)] for status in Status if counts[str(status)]}
    return RunSummary(run, ordered, rows, orphans, scans)
