"""`maintain`: thin snapshots by `keep`, remove what no published run needs, put small files together."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from segengine.errors import ConfigError, LeaseHeldError, RunError
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.evaluation import Progress
from segengine.operations.run_log import log_run
from segengine.operations.thinning import ThinnedDefinition, find_needed, plan_thinning
from segengine.operations.waiting import check_last_run_ended
from segengine.project.catalogue import Catalogue
from segengine.project.names import SEGMENT_MEMBERS, make_measure_table, make_output_table
from segengine.project.project_file import Settings
from segengine.store.control import Control, Lease
from segengine.store.registry import registry_control
from segengine.store.run_writing import make_run_id
from segengine.store.runs import MAINTAINED, History, read_history
from segengine.store.sweep import Leavings, delete_leavings, find_leavings
from segengine.store.upkeep import TableContent, list_output_tables, list_own_tables, measure_table, tidy_table

logger = logging.getLogger(__name__)

RETENTION = timedelta(days=7)
_LONGEST_PREVIEW = timedelta(days=1)  # what counts something without a lease has certainly ended after that
_SHORTEST_WRITE = timedelta(hours=1)
_REGISTRY = ("definitions", "registry_control")


@dataclass(frozen=True)
class TableUpkeep:
    """One table before and after; `after` is None where it was not touched: a dry run, or for the reason given."""

    table: str
    before: TableContent
    swept_rows: int
    after: TableContent | None = None
    problem: str = ""


@dataclass(frozen=True)
class MaintainReport:
    """What was done, or with `dry_run` would be: definitions of which snapshots go, and every table."""

    dry_run: bool
    thinned: tuple[ThinnedDefinition, ...]
    tables: tuple[TableUpkeep, ...]
    seconds: float

    @property
    def thinned_count(self) -> int:
        """How many snapshots were thinned."""
        return sum(len(each.thinned) for each in self.thinned)

    @property
    def is_complete(self) -> bool:
        """Whether every table was seen to."""
        return not any(each.problem for each in self.tables)


def maintain_warehouse(
    project: OpenProject,
    *,
    retention: timedelta = RETENTION,
    as_of: datetime | None = None,
    dry_run: bool = False,
    progress: Progress = logger.info,
) -> MaintainReport:
    """Thin snapshots by the project's `keep`, sweep what no published run needs, compact and vacuum every table.

    Counts and run rows stay, and so do the values of business measures without dimensions: trends stay whole. What is
    thinned is published first, by one MERGE; only then nobody's content is deleted. Doing it again changes nothing.

    Args:
        project: The project.
        retention: How far back tables can still be read as they were. Zero: nobody else may work meanwhile.
        as_of: The instant that ages of snapshots are counted to; None: now.
        dry_run: Only say what would be done.
        progress: Called with a line for each step.

    Raises:
        ConfigError: Nothing has been refreshed yet, or the last run was killed and no other one has followed.
        LeaseHeldError: A run is under way.
        RunError: The engine failed; what was done so far stays done.
    """
    if retention < timedelta(0):
        raise ConfigError(f"The retention is {retention}, expected 0 or more.")
    control = Control(project.warehouse, "control")
    if not project.warehouse.exists(control.table):
        raise ConfigError("There is nothing to maintain: no refresh has run yet.", "Run `segengine refresh`.")
    clock, now = time.perf_counter(), datetime.now(UTC)
    catalogue, _ = load_registered(project)
    work = _Maintenance(project, catalogue, control, retention, as_of or now, now, progress)
    thinned, tables = work.look() if dry_run else work.execute()
    return MaintainReport(dry_run, tuple(thinned), tuple(tables), time.perf_counter() - clock)


@dataclass(frozen=True)
class _Maintenance:
    project: OpenProject
    catalogue: Catalogue
    control: Control
    retention: timedelta
    as_of: datetime
    now: datetime
    progress: Progress

    def look(self) -> tuple[list[ThinnedDefinition], list[TableUpkeep]]:
        """Return what `execute` would do; rows that would go are counted, files are not."""
        _, history = read_state(self.project)
        thinned = self._plan(history)
        leavings = self._find_leavings(_without(history, thinned))
        return thinned, [self._measure(table, leavings.get(table)) for table in self._tables()]

    def execute(self) -> tuple[list[ThinnedDefinition], list[TableUpkeep]]:
        check_last_run_ended(self.control)
        with self.control.lease(make_run_id(self.now), []) as lease:
            history = read_history(self.project.warehouse, lease.before)
            thinned = self._plan(history)
            if thinned:
                self._publish(lease, thinned)
                history = read_history(self.project.warehouse, self.control.read())
            leavings = self._find_leavings(history)
            return thinned, [self._keep_up(lease, table, leavings.get(table)) for table in self._tables()]

    def _plan(self, history: History) -> list[ThinnedDefinition]:
        settings, measures = self.project.settings, self.catalogue.measures.items()
        totals = [identity for identity, each in measures if not each.per_profile and not each.dimensions]
        return plan_thinning(history, settings.keep, self.as_of, settings.time_zone, totals)

    def _publish(self, lease: Lease, thinned: Sequence[ThinnedDefinition]) -> None:
        """Say that content is no longer kept. Nobody asks for it from then on, and it can go."""
        gone = {(run.snapshot_run_id, run.id) for each in thinned for run in each.thinned}
        self._note(lease, f"thinning {len(gone)} snapshot(s)")
        warehouse = self.project.warehouse
        warehouse.create("thinned_snapshots")
        rows = [{"run_id": lease.work_id, "snapshot_run_id": run_id, "id": identity} for run_id, identity in gone]
        warehouse.append_rows("thinned_snapshots", rows)
        log_run(self.project, lease, MAINTAINED, self.now)
        self.control.publish(lease, keep_lease=True)

    def _find_leavings(self, history: History) -> dict[str, Leavings]:
        before = self.now - min(self.retention, _LONGEST_PREVIEW)
        found = find_leavings(self.project.warehouse, history, find_needed(history), before)
        return {each.table: each for each in found}

    def _tables(self) -> list[str]:
        warehouse = self.project.warehouse
        written = list_written_tables(self.project.settings, self.catalogue)
        return [*list_own_tables(warehouse), *list_output_tables(warehouse, written)]

    def _measure(self, table: str, leavings: Leavings | None) -> TableUpkeep:
        before = measure_table(self.project.warehouse, table)
        return TableUpkeep(table, before, leavings.row_count if leavings else 0)

    def _keep_up(self, lease: Lease, table: str, leavings: Leavings | None) -> TableUpkeep:
        """See to one table; what goes wrong with it does not stop the others."""
        lease.check()
        warehouse = self.project.warehouse
        found = self._measure(table, leavings)
        self._note(lease, f"table {table}: {found.before.row_count:,} rows in {found.before.file_count:,} files")
        try:
            with self._alone(lease, table):
                if leavings:
                    delete_leavings(warehouse, leavings)
                tidy_table(warehouse, table, self._retention_of(table))
        except LeaseHeldError:
            return replace(found, problem="left alone: somebody is changing definitions")
        except RunError as error:
            return replace(found, problem=error.message)
        return replace(found, after=measure_table(warehouse, table))

    @contextmanager
    def _alone(self, lease: Lease, table: str) -> Iterator[None]:
        """Keep others from changing a table inside the block: heartbeats, and whoever changes definitions."""
        with ExitStack() as stack:
            if table == self.control.table:
                stack.enter_context(lease.writing)
            elif table in _REGISTRY:
                registry = stack.enter_context(registry_control(self.project.warehouse).lease(lease.work_id, []))
                if table == "registry_control":
                    stack.enter_context(registry.writing)
            yield

    def _retention_of(self, table: str) -> timedelta:
        """Return how long a table's old files stay: anybody may note a use at any time."""
        return max(self.retention, _SHORTEST_WRITE) if table == "usage" else self.retention

    def _note(self, lease: Lease, line: str) -> None:
        lease.progress = line
        self.progress(line)


def list_written_tables(settings: Settings, catalogue: Catalogue) -> list[str]:
    """Return the tables that are written for other tools, where somebody asked for them."""
    segments = [segment.output_table for segment in catalogue.segments.values()]
    measures = [make_output_table(each.name) for each in catalogue.measures.values() if not each.is_attribute]
    insights = [each.output_table for each in catalogue.analyses.values() if each.kind == "insight"]
    return [*segments, *measures, *insights, *map(make_measure_table, settings.audiences), SEGMENT_MEMBERS]


def _without(history: History, thinned: Sequence[ThinnedDefinition]) -> History:
    """Return a history after a thinning."""
    gone = history.segments.thinned | {(run.snapshot_run_id, run.id) for each in thinned for run in each.thinned}
    return replace(
        history,
        segments=replace(history.segments, thinned=gone),
        measures=replace(history.measures, thinned=gone),
        analyses=replace(history.analyses, thinned=gone),
    )
