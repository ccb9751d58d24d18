"""`refresh`: evaluate segments, write their snapshots, publish all of them at once."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from segengine import __version__
from segengine.engine.evaluate import evaluate_plan
from segengine.engine.joins import ScanRows, stored_name
from segengine.engine.sources import Sources, check_against_lock, column, pin_versions
from segengine.engine.uniqueness import check_unique_keys
from segengine.errors import RunError, SegEngineError
from segengine.kernel.bitmaps import BITMAP_BYTES
from segengine.operations.context import OpenProject, find_author, load_registered, read_state
from segengine.plan.refresh import AudiencePlan, plan_audience
from segengine.plan.scans import BUCKET_SIZE
from segengine.project.canonical import Hashes, hash_segments
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_segment
from segengine.project.model import Segment
from segengine.project.walk import used_attributes
from segengine.store.control import Control, Lease
from segengine.store.profile_keys import add_profile_keys, check_profile_ids, read_profile_keys
from segengine.store.registry import Registry
from segengine.store.runs import (
    History,
    Run,
    SegmentRun,
    Status,
    append_run,
    make_run_id,
    read_history,
)
from segengine.store.snapshots import (
    SegmentCounts,
    read_counts,
    read_members,
    snapshot_source,
    write_snapshots,
)
from segengine.store.warehouse import SCHEMAS

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
_LIVE_BUCKETS = 5  # buckets whose state one task may hold at a time


@dataclass(frozen=True)
class ScanFacts:
    """What a scan read: rows, and how many of them reach no profile."""

    name: str
    row_count: int
    orphan_count: int
    invalid: Mapping[str, int]


@dataclass(frozen=True)
class RefreshReport:
    """How a refresh ended. `segments` has one entry for each segment asked for."""

    run_id: str
    as_of: datetime
    engine: str
    segments: tuple[SegmentRun, ...]
    scans: tuple[ScanFacts, ...]
    profile_count: int
    seconds: float

    def of(self, status: Status) -> list[SegmentRun]:
        """Return the segments that ended in a status."""
        return [segment for segment in self.segments if segment.status is status]


def refresh_segments(
    project: OpenProject,
    names: Sequence[str] = (),
    *,
    as_of: datetime | None = None,
    progress: Progress = logger.info,
) -> RefreshReport:
    """Evaluate segments on their sources as of one instant and publish the result.

    Args:
        project: The project.
        names: Names or ids of segments; none: all dynamic ones, and static ones that have no snapshot yet.
        as_of: The instant that counts; None: now. An earlier one leaves out rows whose time column is later.
        progress: Called with a line for each phase.

    Raises:
        ConfigError: A name is unknown, or nothing has been applied.
        DefinitionError: An applied definition no longer fits the project.
        DataContractError: A source is not as the project says.
        LeaseHeldError: Another run is under way.
        RunError: The engine failed, or the run lost its lease.
    """
    catalogue, registry = load_registered(project)
    control = _create_tables(project)
    started_at = datetime.now(UTC)
    history = read_history(project.warehouse, control.read())
    chosen = _choose(catalogue, history, names)
    run_id = make_run_id(started_at)
    with control.lease(run_id, sorted(chosen)) as lease:
        history = read_history(project.warehouse, lease.before)
        run = _Refresh(project, catalogue, registry, history, control, lease, as_of, started_at, progress)
        return run.execute(chosen)


def choose_segments(project: OpenProject, names: Sequence[str] = ()) -> list[Segment]:
    """Return the segments a refresh would evaluate, parents first; reads the registry and writes nothing.

    Raises:
        ConfigError: A name is unknown, or nothing has been applied.
    """
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    return list(_choose(catalogue, history, names).values())


def _create_tables(project: OpenProject) -> Control:
    control = Control(project.warehouse, "control")
    if not project.warehouse.exists("control") and project.warehouse.exists("runs"):
        if project.warehouse.read("runs").limit(1).count():
            raise RunError(
                f"Table control is gone from {project.warehouse.location}, but there are runs.",
                "Restore it; a new one would begin a new history and give profile keys a second time.",
            )
    for table in SCHEMAS:
        if table not in ("control", "registry_control", "definitions"):
            project.warehouse.create(table)
    control.create()
    return control


def _choose(catalogue: Catalogue, history: History, names: Sequence[str]) -> dict[str, Segment]:
    """Return the segments to refresh by id, parents first.

    Raises:
        ConfigError: A name means no applied segment.
    """
    if not names:
        return {
            segment_id: segment
            for segment_id, segment in catalogue.segments.items()
            if segment.type == "dynamic" or history.current(segment_id) is None
        }
    wanted = {find_segment(catalogue, name).id for name in names}
    return {segment_id: segment for segment_id, segment in catalogue.segments.items() if segment_id in wanted}


class _Refresh:
    """One run under its lease."""

    def __init__(
        self,
        project: OpenProject,
        catalogue: Catalogue,
        registry: Registry,
        history: History,
        control: Control,
        lease: Lease,
        as_of: datetime | None,
        started_at: datetime,
        progress: Progress,
    ) -> None:
        self._project = project
        self._catalogue = catalogue
        self._registry = registry
        self._history = history
        self._control = control
        self._lease = lease
        self._as_of = as_of or started_at
        self._is_past = as_of is not None and as_of < started_at
        self._started_at = started_at
        self._progress = progress
        self._clock = time.perf_counter()
        self._versions: dict[str, int | None] = {}
        self._last_keys = dict(lease.before.last_profile_key)
        self._profile_counts: dict[str, int] = {}
        self._scans: list[ScanFacts] = []
        parents = {identity: catalogue.parents(identity) for identity in catalogue.segments}
        self._hashes: dict[str, Hashes] = hash_segments(catalogue.segments, parents, project.settings)

    def execute(self, chosen: Mapping[str, Segment]) -> RefreshReport:
        causes = self._skip_causes(chosen)
        due = {segment_id: segment for segment_id, segment in chosen.items() if segment_id not in causes}
        try:
            counts = self._evaluate(due)
        except (SegEngineError, KeyboardInterrupt) as error:
            self._record_failure(chosen, causes, error)
            raise
        outcomes = self._outcomes(chosen, causes, counts)
        self._publish([*outcomes, *self._abandoned(chosen)], Status.SUCCESSFUL, "")
        return RefreshReport(
            run_id=self._lease.work_id,
            as_of=self._as_of,
            engine=self._project.session.description,
            segments=tuple(outcomes),
            scans=tuple(self._scans),
            profile_count=sum(self._profile_counts.values()),
            seconds=time.perf_counter() - self._clock,
        )

    # --- which parents feed

    def _skip_causes(self, chosen: Mapping[str, Segment]) -> dict[str, str]:
        """Return why a segment cannot be evaluated: a parent outside of the run that must not feed it."""
        causes: dict[str, str] = {}
        for segment_id in chosen:
            for parent in self._catalogue.parents(segment_id):
                cause = causes.get(parent) if parent in chosen else self._stored_parent_problem(parent)
                if cause:
                    name = self._catalogue.segments[parent].name
                    causes[segment_id] = f'parent "{name}" was skipped: {cause}' if parent in chosen else cause
                    break
        return causes

    def _stored_parent_problem(self, parent: str) -> str:
        """Return why a parent's current snapshot must not feed a child, or ''."""
        name = self._catalogue.segments[parent].name
        current, last = self._history.current(parent), self._history.last(parent)
        if current is None or last is None:
            return f'parent "{name}" has never been refreshed'
        if last.status is not Status.SUCCESSFUL:
            return f'the last refresh of parent "{name}" ended {last.status}'
        hashes = self._hashes[parent]
        if (current.data_hash, current.parents_hash) != (hashes.data, hashes.parents):
            return f'the definition of parent "{name}" changed since its last refresh'
        return ""

    # --- evaluation

    def _evaluate(self, due: Mapping[str, Segment]) -> dict[str, SegmentCounts]:
        audiences = dict.fromkeys(segment.audience for segment in due.values())
        plans = [self._plan(audience, due) for audience in audiences]
        self._check_sources(plans)
        for plan in plans:
            self._run_plan(plan)
        counts, facts = read_counts(self._project.warehouse, self._lease.work_id)
        self._scans = _sum_facts(facts)
        return {segment_id: counts.get(segment_id, SegmentCounts()) for segment_id in due}

    def _plan(self, audience: str, due: Mapping[str, Segment]) -> AudiencePlan:
        own = {segment_id: segment for segment_id, segment in due.items() if segment.audience == audience}
        parents = {parent for segment_id in own for parent in self._catalogue.parents(segment_id)}
        return plan_audience(audience, own, sorted(parents - set(own)), self._project.settings)

    def _check_sources(self, plans: Sequence[AudiencePlan]) -> None:
        """Pin every source and check it against the lock and its keys, before anything is written."""
        settings, schema, session = self._project.settings, self._catalogue.schema, self._project.session
        used: dict[str, set[str]] = {}
        keys: set[tuple[str, tuple[str, ...]]] = set()
        for plan in plans:
            for scan in plan.scans:
                rows = ScanRows(scan, settings, schema)
                keys |= rows.unique_keys()
                for table, name in rows.used_columns():
                    used.setdefault(table, set()).add(name)
        self._progress(f"checking {len(used)} source table(s)")
        check_against_lock(session, settings, schema, used)
        self._versions = pin_versions(session, settings, set(used))
        check_unique_keys(self._sources(), keys)

    def _sources(self) -> Sources:
        as_of = self._as_of if self._is_past else None
        return Sources(self._project.session, self._project.settings, self._versions, as_of)

    def _run_plan(self, plan: AudiencePlan) -> None:
        from pyspark.sql import functions as F

        warehouse, settings, sources = self._project.warehouse, self._project.settings, self._sources()
        table = settings.tables[settings.audiences[plan.audience].table]
        key = stored_name(table, table.key[0])
        ids = sources.read(table.name).select(column(key).cast("string").alias("profile_id"))
        profile_count = check_profile_ids(ids, table.name, key)
        last_key = self._last_keys.get(plan.audience, 0)
        known = read_profile_keys(warehouse, plan.audience, self._history.run_ids) if last_key else None
        new_last_key = add_profile_keys(warehouse, plan.audience, ids, known, self._lease.work_id, last_key)
        self._last_keys[plan.audience] = new_last_key
        self._profile_counts[plan.audience] = profile_count
        run_ids = [*self._history.run_ids, self._lease.work_id]
        keys = read_profile_keys(warehouse, plan.audience, run_ids)
        if new_last_key != profile_count:  # some profiles are gone: their rows must not count as reaching a profile
            keys = keys.join(ids.where(F.col("profile_id") != ""), "profile_id", "left_semi")
        new_count = new_last_key - last_key
        row_scans = len(plan.scans) - 1
        self._progress(
            f"evaluating {len(plan.members)} segment(s) on {profile_count:,} profiles ({new_count:,} new), "
            f"{row_scans} table(s) of rows"
        )
        parents = [self._history.current(parent) for parent in plan.stored]
        before = {segment_id: self._history.preceding(segment_id, self._as_of) for segment_id in plan.members}
        stored = [run for run in (*parents, *before.values()) if run is not None]
        results = evaluate_plan(
            plan,
            sources,
            self._catalogue.schema,
            keys,
            read_members(warehouse, stored),
            [snapshot_source(run) for run in parents if run is not None],
            {segment_id: snapshot_source(run) for segment_id, run in before.items() if run is not None},
            self._partitions(plan, new_last_key),
        )
        write_snapshots(warehouse, self._lease.work_id, results)

    def _partitions(self, plan: AudiencePlan, last_key: int) -> int:
        """Return how many tasks share the buckets: enough that each holds few, not more than there are."""
        buckets = max(1, -(-last_key // BUCKET_SIZE))
        outputs = max(len(scan.outputs) for scan in plan.scans)
        logger.debug("%d buckets, %d MiB of bitmaps each", buckets, outputs * BITMAP_BYTES >> 20)
        return min(buckets, max(2 * self._project.session.parallelism, -(-buckets // _LIVE_BUCKETS)))

    # --- outcome

    def _outcomes(
        self, chosen: Mapping[str, Segment], causes: Mapping[str, str], counts: Mapping[str, SegmentCounts]
    ) -> list[SegmentRun]:
        failed = dict(self._column_failures(chosen))
        outcomes: list[SegmentRun] = []
        for segment_id in chosen:
            parent = next((p for p in self._catalogue.parents(segment_id) if p in failed), None)
            if segment_id in causes:
                outcomes.append(self._outcome(segment_id, Status.SKIPPED, causes[segment_id]))
            elif segment_id in failed:
                outcomes.append(self._outcome(segment_id, Status.FAILED, failed[segment_id]))
            elif parent is not None:
                failed[segment_id] = f'parent "{self._catalogue.segments[parent].name}" failed'
                outcomes.append(self._outcome(segment_id, Status.SKIPPED, failed[segment_id]))
            else:
                outcomes.append(self._successful(segment_id, counts[segment_id]))
        return outcomes

    def _abandoned(self, chosen: Mapping[str, Segment]) -> list[SegmentRun]:
        """Return Failed rows for segments of a run whose lease this one took over, as it did not end itself."""
        before = self._lease.before
        lost = [segment_id for segment_id in before.ids if segment_id not in chosen] if before.owner else []
        error = f"{before.work_id} ended without saying so"
        return [self._outcome(i, Status.FAILED, error) for i in lost if i in self._catalogue.segments]

    def _column_failures(self, chosen: Mapping[str, Segment]) -> dict[str, str]:
        """Return the segments that use a column with values that are errors, and what to say."""
        bad = {(scan.name, name): count for scan in self._scans for name, count in scan.invalid.items()}
        settings = self._project.settings
        failed: dict[str, str] = {}
        for segment_id, segment in chosen.items() if bad else ():
            for scan_name, attribute in used_attributes(segment.steps, settings.audiences[segment.audience].table):
                if count := bad.get((scan_name, attribute.name)):
                    failed[segment_id] = f'{count} value(s) of "{attribute.name}" are infinite or out of range'
        return failed

    def _outcome(self, segment_id: str, status: Status, error: str) -> SegmentRun:
        """Return a row for a segment without a new snapshot."""
        segment = self._catalogue.segments[segment_id]
        hashes = self._hashes[segment_id]
        record = self._registry.newest[segment_id]
        return SegmentRun(
            run_id=self._lease.work_id,
            segment_id=segment_id,
            name=segment.name,
            snapshot_version=0,
            snapshot_run_id="",
            as_of=self._as_of,
            purpose="refresh",
            status=status,
            profile_count=None,
            member_count=None,
            entered_count=None,
            left_count=None,
            definition_version=record.version,
            data_hash=hashes.data,
            parents_hash=hashes.parents,
            parents=json.dumps(self._parent_versions(segment_id)),
            error=error,
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
        )

    def _parent_versions(self, segment_id: str) -> dict[str, int]:
        """Return the snapshot version of each parent that lies outside of this run."""
        versions = {}
        for parent in self._catalogue.parents(segment_id):
            current = self._history.current(parent)
            versions[parent] = current.snapshot_version if current else 0
        return versions

    def _successful(self, segment_id: str, counts: SegmentCounts) -> SegmentRun:
        versions = [run.snapshot_version for run in self._history.snapshots(segment_id)]
        return replace(
            self._outcome(segment_id, Status.SUCCESSFUL, ""),
            snapshot_version=max(versions, default=0) + 1,
            snapshot_run_id=self._lease.work_id,
            profile_count=self._profile_counts[self._catalogue.segments[segment_id].audience],
            member_count=counts.member_count,
            entered_count=counts.entered_count,
            left_count=counts.left_count,
        )

    def _publish(self, outcomes: Sequence[SegmentRun], status: Status, error: str) -> None:
        self._progress("publishing")
        run = Run(
            run_id=self._lease.work_id,
            previous_run_id=self._lease.before.published_id,
            as_of=self._as_of,
            purpose="refresh",
            status=status,
            engine=self._project.session.description,
            author=find_author(),
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
            source_versions=json.dumps(self._versions, sort_keys=True),
            scans=json.dumps([vars(scan) for scan in self._scans]),
            error=error,
            segengine_version=__version__,
        )
        append_run(self._project.warehouse, run, outcomes)
        self._control.publish(self._lease, self._last_keys)

    def _record_failure(
        self, chosen: Mapping[str, Segment], causes: Mapping[str, str], error: SegEngineError | KeyboardInterrupt
    ) -> None:
        """Publish that the run failed and why; the last good snapshots stay current. Best effort: it already failed."""
        canceled = isinstance(error, KeyboardInterrupt)
        status = Status.CANCELED if canceled else Status.FAILED
        text = "canceled" if canceled else str(error)
        self._last_keys = dict(self._lease.before.last_profile_key)  # the keys of this run never count
        self._scans = []
        outcomes = [
            self._outcome(segment_id, Status.SKIPPED, causes[segment_id])
            if segment_id in causes
            else self._outcome(segment_id, status, text)
            for segment_id in chosen
        ]
        try:
            self._publish(outcomes, status, text)
        except RunError as second:
            logger.warning("the failure could not be recorded: %s", second)


def _sum_facts(texts: Sequence[str]) -> list[ScanFacts]:
    """Return the facts of each scan over all of its tasks."""
    sums: dict[str, ScanFacts] = {}
    for text in texts:
        task = json.loads(text)
        name = task["scan"]
        so_far = sums.get(name, ScanFacts(name, 0, 0, {}))
        invalid = dict(so_far.invalid)
        for column_name, count in task["invalid"].items():
            invalid[column_name] = invalid.get(column_name, 0) + count
        sums[name] = ScanFacts(name, so_far.row_count + task["rows"], so_far.orphan_count + task["orphans"], invalid)
    return list(sums.values())
