"""`refresh`: evaluate what is defined, write its snapshots, publish all of them at once."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from segengine import __version__
from segengine.engine.commits import Pinned
from segengine.errors import DataContractError, RunError, SegEngineError
from segengine.operations.context import OpenProject, find_author, load_registered
from segengine.operations.due import EVERYTHING, Wanted, choose_definitions, find_late_parents
from segengine.operations.evaluation import Evaluation, Phase, Progress
from segengine.operations.gates import SourceNews, read_news
from segengine.operations.outcomes import Blocked, Definitions, Ended, Outcomes
from segengine.operations.past_sources import dump_readings
from segengine.operations.run_facts import ScanFacts
from segengine.operations.source_checks import find_failures
from segengine.operations.unchanged import Comparison, pin_present
from segengine.operations.unused import deactivate_unused
from segengine.operations.waiting import wait_for_lease
from segengine.project.model import Segment
from segengine.store.control import Control, Lease
from segengine.store.run_writing import append_run, make_run_id
from segengine.store.runs import (
    BACKFILLED,
    REFRESHED,
    AnalysisRun,
    AnyRun,
    History,
    MeasureRun,
    Run,
    SegmentRun,
    Status,
    read_history,
)
from segengine.store.sizes import TableSize, read_size
from segengine.store.snapshots import Written
from segengine.store.warehouse import ON_DEMAND, SCHEMAS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefreshReport:
    """How a refresh ended, with an entry for each definition asked for; `run_id`: '' where nothing was due."""

    run_id: str
    as_of: datetime
    engine: str
    segments: tuple[SegmentRun, ...]
    measures: tuple[MeasureRun, ...]
    analyses: tuple[AnalysisRun, ...]
    scans: tuple[ScanFacts, ...]
    profile_count: int
    seconds: float

    @property
    def unchanged_count(self) -> int:
        """How many kept their snapshot because they cannot have changed."""
        return sum(run.status is Status.SUCCESSFUL and run.snapshot_run_id != run.run_id for run in self.runs)

    @property
    def runs(self) -> list[AnyRun]:
        """How all definitions ended."""
        return [*self.segments, *self.measures, *self.analyses]

    def of(self, status: Status) -> list[SegmentRun]:
        """Return the segments that ended in a status."""
        return [segment for segment in self.segments if segment.status is status]

    @property
    def is_complete(self) -> bool:
        """Whether everything asked for was evaluated and published."""
        return all(run.status is Status.SUCCESSFUL for run in self.runs)


def refresh_segments(
    project: OpenProject,
    wanted: Wanted = EVERYTHING,
    *,
    full: bool = False,
    as_of: datetime | None = None,
    wait: timedelta = timedelta(0),
    tracking: bool = True,
    progress: Progress = logger.info,
) -> RefreshReport:
    """Evaluate segments, measures and analyses on their sources as of one instant and publish the result.

    What cannot have changed since its last refresh keeps its snapshot, and is not evaluated again. Without names, what
    nobody used for 45 days is deactivated first.

    Args:
        project: The project.
        wanted: What is evaluated. What is named and not active is skipped with that cause; where what is
            due is nothing, no run takes place.
        full: Evaluate also what cannot have changed.
        as_of: The instant that counts; None: now. As of an earlier one, Delta tables are read as they were then where
            their history reaches; of others, rows whose time column is later are left out.
        wait: How long to wait for another run to end; what is evaluated is what counts then.
        tracking: Record what models do in MLflow.
        progress: Called with a line for each phase.

    Raises:
        ConfigError: A name is unknown, or nothing has been applied.
        DefinitionError: An applied definition no longer fits the project.
        DataContractError: A source is not as the project says.
        LeaseHeldError: Another run is under way, and did not end in time.
        RunError: The engine failed, or the run lost its lease.
    """
    asked = _Asked(wanted, full, as_of, tracking)
    return wait_for_lease(project, wait, progress, lambda: _refresh_now(project, asked, progress))


@dataclass(frozen=True)
class _Asked:
    """What a caller of `refresh_segments` wants."""

    wanted: Wanted
    full: bool
    as_of: datetime | None
    tracking: bool


def _refresh_now(project: OpenProject, asked: _Asked, progress: Progress) -> RefreshReport:
    catalogue, registry = load_registered(project)
    if not asked.wanted.names and deactivate_unused(project, catalogue, registry, progress=progress):
        catalogue, registry = load_registered(project)
    control = create_tables(project)
    started_at = datetime.now(UTC)
    before = control.read()
    history = read_history(project.warehouse, before)
    chosen = choose_definitions(catalogue, registry, history, asked.wanted, started_at)
    instant = asked.as_of or started_at
    if asked.wanted.is_filter and not chosen:
        return _refresh_nothing(project, instant)
    run_id = make_run_id(started_at)
    with control.lease(run_id, sorted(chosen)) as lease:
        if lease.before.published_id != before.published_id:  # another run may have done it meanwhile
            history = read_history(project.warehouse, lease.before)
            chosen = choose_definitions(catalogue, registry, history, asked.wanted, started_at)
        if asked.wanted.is_filter and not chosen:
            return _refresh_nothing(project, instant)

        expected = _expect_seconds(history, len(chosen))

        def note(line: str) -> None:
            lease.check()
            lease.progress = line
            progress(Phase(line, expected))

        if asked.as_of is None and (warning := _find_clock_problem(history, started_at)):
            note(warning)
        if asked.as_of is None:
            for warning in find_late_parents(catalogue, registry, history, chosen, started_at):
                note(warning)
        pinned = pin_present(project, catalogue, chosen.values(), instant, started_at)
        evaluation = Evaluation(
            project=project,
            catalogue=catalogue,
            history=history,
            run_id=run_id,
            as_of=instant,
            started_at=started_at,
            last_keys=dict(lease.before.last_profile_key),
            progress=note,
            is_tracked=asked.tracking,
            versions={table: each.version for table, each in pinned.items()},
        )
        outcomes = Outcomes(catalogue, registry, history, lease, instant, started_at)
        return LeasedRun(project, control, lease, evaluation, outcomes, pinned, asked.full).execute(chosen)


def _expect_seconds(history: History, definition_count: int) -> float | None:
    """Return how long the newest refresh of so many definitions took that read anything; None where there was none."""
    counts = Counter(run_id for trail in history.trails for run_id in trail.runs.column("run_id"))
    runs = (run for run in reversed(history.runs) if run.purpose == REFRESHED and run.status is Status.SUCCESSFUL)
    alike = (run for run in runs if counts[run.run_id] == definition_count and run.row_count)
    return next((run.seconds for run in alike), None)


def _find_clock_problem(history: History, now: datetime) -> str:
    """Return what to say where a snapshot is of a later time than now, or ''."""
    newest = max((run.as_of for run in history.runs if run.status is Status.SUCCESSFUL), default=now)
    if newest <= now:
        return ""
    return (
        f"warning: it is {now:%Y-%m-%d %H:%M:%S} UTC by the clock of this machine, but there are snapshots as of "
        f"{newest:%Y-%m-%d %H:%M:%S} UTC: they stay current; check the clock"
    )


def _refresh_nothing(project: OpenProject, as_of: datetime) -> RefreshReport:
    return RefreshReport("", as_of, project.session.description, (), (), (), (), 0, 0.0)


def create_tables(project: OpenProject) -> Control:
    """Create the tables of runs where they are missing, and return the one that publishes.

    Raises:
        RunError: There are runs, but the table that says which of them count is gone.
    """
    control = Control(project.warehouse, "control")
    if not project.warehouse.exists("control") and project.warehouse.exists("runs"):
        if project.warehouse.fetch("runs", ("run_id",)).num_rows:
            raise RunError(
                f"Table control is gone from {project.warehouse.location}, but there are runs.",
                "Restore it; a new one would begin a new history and give profile keys a second time.",
            )
    for table in SCHEMAS:
        if table not in ("control", "registry_control", "definitions", *ON_DEMAND):
            project.warehouse.create(table)
    control.create()
    return control


@dataclass
class LeasedRun:
    """One run under its lease: evaluate, say how each definition ended, publish.

    `pinned`: the sources as a run at the present reads them; `full`: also what cannot have changed is evaluated;
    `failures`: what its sources fail, and why, by id; `unchanged`: what keeps its snapshot; `size_before`: of the
    table of snapshots.
    """

    project: OpenProject
    control: Control
    lease: Lease
    evaluation: Evaluation
    outcomes: Outcomes
    pinned: Mapping[str, Pinned]
    full: bool
    failures: dict[str, str] = field(default_factory=dict)
    unchanged: frozenset[str] = frozenset()
    size_before: TableSize | None = None

    def execute(self, chosen: Definitions) -> RefreshReport:
        """Evaluate what was chosen (by id, parents first) and publish how each of it ended.

        Raises:
            DataContractError: The sources fail everything; that is published.
            RunError: The engine failed, or the run lost its lease.
        """
        clock = time.perf_counter()
        blocked = self.outcomes.blocked(chosen, {})
        self.unchanged = self._find_unchanged(chosen, blocked)
        self.size_before = read_size(self.project.warehouse, "snapshots")
        try:
            blocked, written = self._evaluate(chosen, blocked)
            news = self._read_news(chosen, blocked)
        except (Exception, KeyboardInterrupt) as error:
            if not self.lease.lost_to:
                self._record_failure(chosen, blocked, error)
            raise
        scans, profile_counts = self.evaluation.scans, self._profile_counts()
        ended = self.outcomes.after_evaluation(chosen, blocked, self.unchanged, written, self.evaluation, news)
        self._publish(ended + self.outcomes.abandoned(chosen), Status.SUCCESSFUL, "")
        return RefreshReport(
            run_id=self.lease.work_id,
            as_of=self.outcomes.as_of,
            engine=self.project.session.description,
            segments=ended.segments,
            measures=ended.measures,
            analyses=ended.analyses,
            scans=tuple(scans),
            profile_count=sum(profile_counts.values()),
            seconds=time.perf_counter() - clock,
        )

    def _evaluate(self, chosen: Definitions, blocked: Mapping[str, Blocked]) -> tuple[dict[str, Blocked], Written]:
        """Evaluate what is not blocked; where sources fail some definitions, all the others.

        Raises:
            DataContractError: The sources fail everything, or it cannot be told whom they fail.
            RunError: The engine failed, for another reason than a source that cannot be read.
        """
        due = self._to_evaluate(chosen, blocked)
        try:
            self.evaluation.check_sources(due)
        except (DataContractError, RunError) as error:
            found = find_failures(due, self.outcomes.catalogue, self.outcomes.as_of, self.evaluation.open_sources)
            blocked = self._without_failing(chosen, found, error)
            due = self._to_evaluate(chosen, blocked)
            self.evaluation.check_sources(due)
        try:
            return dict(blocked), self.evaluation.evaluate(due)
        except (DataContractError, RunError) as error:
            self.lease.check()
            blocked = self._without_failing(chosen, self.evaluation.find_failing(due), error)
            due = self._to_evaluate(chosen, blocked)
            self.evaluation = self.evaluation.begin_again(make_run_id(self.outcomes.started_at), self.lease.before)
            self.lease.work_id = self.evaluation.run_id  # what the first try has written belongs to no run
            self.evaluation.check_sources(due)
            return dict(blocked), self.evaluation.evaluate(due)

    def _profile_counts(self) -> dict[str, int]:
        """Return the number of profiles of each audience, counted now or with the snapshot that is kept."""
        kept = [each for each in map(self.outcomes.history.segments.current, self.unchanged) if each is not None]
        segments = self.outcomes.catalogue.segments
        stored = {segments[run.segment_id].audience: run.profile_count or 0 for run in kept}
        return stored | self.evaluation.profile_counts

    def _find_unchanged(self, chosen: Definitions, blocked: Mapping[str, Blocked]) -> frozenset[str]:
        """Return what keeps its snapshot, as it cannot have changed."""
        if self.full or not self.pinned:
            return frozenset()
        comparison = Comparison(self.outcomes.catalogue, self.outcomes.history, self.pinned, self.outcomes.as_of)
        reasons = comparison.find_reasons(self._to_evaluate(chosen, blocked))
        unchanged = frozenset(identity for identity, reason in reasons.items() if not reason)
        if unchanged:
            self.evaluation.progress(f"{len(unchanged)} of {len(chosen)} definition(s) cannot have changed")
        return unchanged

    def _to_evaluate(self, chosen: Definitions, blocked: Mapping[str, Blocked]) -> Definitions:
        return {key: each for key, each in chosen.items() if key not in blocked and key not in self.unchanged}

    def _without_failing(
        self, chosen: Definitions, found: Mapping[str, str], error: SegEngineError
    ) -> dict[str, Blocked]:
        """Return what cannot be evaluated, with the definitions found to fail by themselves.

        Raises:
            SegEngineError: The error given, where it does not fail some and leave others; with all that fails them.
        """
        self.failures |= found
        blocked = self.outcomes.blocked(chosen, self.failures)
        if not found or len(blocked) == len(chosen):
            causes = [cause for cause, _ in Counter(found.values()).most_common()]
            raise replace(error, message=" ".join(causes)) if len(causes) > 1 else error
        self.evaluation.progress(f"{len(found)} definition(s) failed, going on without them: {error.message}")
        return blocked

    def _read_news(self, chosen: Definitions, blocked: Mapping[str, Blocked]) -> dict[str, SourceNews]:
        if self.outcomes.purpose == BACKFILLED:
            return {}
        segments = [each for key, each in chosen.items() if isinstance(each, Segment) and key not in blocked]
        tables = {table for segment in segments for table in self.evaluation.gated_tables(segment, chosen)}
        return read_news(self.evaluation.sources(), sorted(tables))

    def _publish(self, ended: Ended, status: Status, error: str) -> None:
        self.evaluation.progress("publishing")
        run = Run(
            run_id=self.lease.work_id,
            previous_run_id=self.lease.before.published_id,
            as_of=self.outcomes.as_of,
            purpose=self.outcomes.purpose,
            status=status,
            engine=self.project.session.description,
            author=find_author(),
            started_at=self.outcomes.started_at,
            finished_at=datetime.now(UTC),
            source_versions=json.dumps(self.evaluation.versions, sort_keys=True),
            source_readings=dump_readings(self.evaluation.sources()),
            source_commits=json.dumps({table: each.commit for table, each in self.pinned.items()}, sort_keys=True),
            scans=json.dumps([vars(scan) for scan in self.evaluation.scans]),
            error=error,
            segengine_version=__version__,
            snapshot_bytes=self._count_written() if status is Status.SUCCESSFUL else None,
        )
        append_run(self.project.warehouse, run, ended.runs)
        self.control.publish(self.lease, self.evaluation.last_keys)

    def _count_written(self) -> int | None:
        """Return the bytes this run added to the table of snapshots; None where nobody can tell."""
        after = read_size(self.project.warehouse, "snapshots")
        return after.byte_count - self.size_before.byte_count if after and self.size_before else None

    def _record_failure(
        self, chosen: Definitions, blocked: Mapping[str, Blocked], error: Exception | KeyboardInterrupt
    ) -> None:
        """Publish that the run failed and why; the last good snapshots stay current. Best effort: it already failed."""
        canceled = isinstance(error, KeyboardInterrupt)
        status = Status.CANCELED if canceled else Status.FAILED
        text = "canceled" if canceled else str(error) or type(error).__name__
        self.evaluation.last_keys = dict(self.lease.before.last_profile_key)  # the keys of this run never count
        self.evaluation.scans = []
        ended = self.outcomes.after_failure(chosen, blocked, status, text)
        try:
            self._publish(ended + self.outcomes.abandoned(chosen), status, text)
        except RunError as second:
            logger.warning("the failure could not be recorded: %s", second)
            return
        if canceled:
            self.evaluation.progress("canceled; everything keeps its last good snapshot")
