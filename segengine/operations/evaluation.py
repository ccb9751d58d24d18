"""Evaluating definitions: sources checked and pinned, new profiles keyed, plans run, snapshots written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from segengine.engine.accounts import Carried, carry_over
from segengine.engine.business import merge_business
from segengine.engine.evaluate import evaluate_plan, try_scans
from segengine.engine.features import Asked, Features, FeatureSources, read_features
from segengine.engine.handover import Handover
from segengine.engine.measure_rows import find_nothing
from segengine.engine.sources import Sources, column, cut_off, open_sources
from segengine.errors import ConfigError, DataContractError, RunError, SegEngineError
from segengine.models.run_record import RunRecord, Subject
from segengine.models.tracking import track
from segengine.operations.answer import answer
from segengine.operations.context import OpenProject
from segengine.operations.expansion import ExpansionRun
from segengine.operations.model_run import ModelRun
from segengine.operations.past_sources import readings_of, show_readings
from segengine.operations.run_facts import (
    OutlineCounts,
    ScanFacts,
    count_outlines,
    find_invalid,
    find_overflow,
    show_evaluated,
    sum_nodes,
    sum_scans,
)
from segengine.operations.source_checks import check_sources, find_culprits, find_source_use, find_use_of_plans
from segengine.operations.suppression import find_erased
from segengine.plan.audiences import plan_run, split_waves
from segengine.plan.refresh import AudiencePlan
from segengine.plan.scans import BUCKET_SIZE, LIVE_BUCKETS
from segengine.project.analysis import Analysis, DifferenceQuestion, Evaluated, owner_of
from segengine.project.catalogue import Catalogue
from segengine.project.model import Expansion, Segment
from segengine.project.outline import outline_segment
from segengine.project.types import instant_of
from segengine.project.walk import definition_parents, find_behind
from segengine.store.control import ControlRow
from segengine.store.profile_keys import add_profile_keys, read_profile_keys
from segengine.store.runs import History
from segengine.store.snapshots import (
    SnapshotKey,
    Written,
    read_contents,
    read_pairs,
    read_states,
    read_written,
    snapshot_of,
    write_snapshots,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Progress = Callable[[str], None]


class Phase(str):
    """A line of progress that also says how many seconds all of the run is expected to take; None: not known."""

    expected_seconds: float | None

    def __new__(cls, line: str, expected_seconds: float | None = None) -> Phase:
        """Return the line."""
        phase = super().__new__(cls, line)
        phase.expected_seconds = expected_seconds
        return phase


@dataclass
class Evaluation:
    """One run's evaluation. Where its as_of lies before its start, sources are read as of then.

    Entered and left are against the newest snapshot before `compared_before` (None: before as_of). `is_tracked`: what
    models do is recorded in MLflow.

    Filled while it runs: the pinned `versions` of sources where they are not given and which of them are read
    `as_they_were` then, the last profile key given and the number of profiles of each audience, what the `scans` read,
    the counts of each segment's outline (`outline_counts`), how many numbers of a definition had too many digits
    (`overflow_counts`), which column in its way has how many values that are errors (`invalid_values`), and which
    models failed, and why (`failures`).
    """

    project: OpenProject
    catalogue: Catalogue
    history: History
    run_id: str
    as_of: datetime
    started_at: datetime
    last_keys: dict[str, int]
    progress: Progress
    compared_before: datetime | None = None
    is_tracked: bool = False
    versions: dict[str, int | None] = field(default_factory=dict)
    as_they_were: frozenset[str] = frozenset()
    profile_counts: dict[str, int] = field(default_factory=dict)
    scans: list[ScanFacts] = field(default_factory=list)
    outline_counts: dict[str, OutlineCounts] = field(default_factory=dict)
    overflow_counts: dict[str, int] = field(default_factory=dict)
    invalid_values: dict[str, tuple[int, str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    _sources: dict[object, Sources] = field(default_factory=dict)
    _plans: dict[tuple[int, frozenset[str]], list[AudiencePlan]] = field(default_factory=dict)
    _keys: dict[str, DataFrame] = field(default_factory=dict)
    _written: set[str] = field(default_factory=set)

    def check_sources(self, due: Mapping[str, Evaluated]) -> None:
        """Pin every source that is read and check it against the lock and its keys, before anything is written.

        Raises:
            DataContractError: A source is not as the project says.
            RunError: The engine failed.
        """
        plans = [plan for number, wave in enumerate(split_waves(due)) for plan in self._plan(wave, number)]
        use = find_use_of_plans(due, plans, self.catalogue)
        if use.columns:
            self.progress(f"checking {len(use.columns)} source table(s)")
        opened = self.open_sources(set(use.columns) - set(self.versions))
        self.versions |= opened.versions
        self.as_they_were |= opened.as_they_were
        if opened.as_of is not None and opened.versions:
            self.progress(f"reading {show_readings(readings_of(opened))}")
        self.profile_counts |= check_sources(self.sources(), self.catalogue.schema, use)

    def evaluate(self, due: Mapping[str, Evaluated]) -> Written:
        """Write the snapshots of segments and measures, and the answers of analyses, under the run's id.

        Returns:
            What was written.

        Raises:
            RunError: The engine failed.
        """
        if not due:
            return Written({}, {}, [])
        plans: list[AudiencePlan] = []
        for number, wave in enumerate(split_waves(due)):
            able = {key: one for key, one in wave.items() if self.failures.keys().isdisjoint(definition_parents(one))}
            for plan in self._plan(able, number):
                self._run_plan(plan)
                plans.append(plan)
            for definition in able.values():
                if isinstance(definition, Analysis):
                    self._analyse(definition)
                elif isinstance(definition, Segment) and definition.expansion:
                    self._expand(definition, definition.expansion)
        written = read_written(self.project.warehouse, self.run_id)
        counts = sum_nodes(fact for fact in written.facts if "nodes" in fact)
        self.scans = sum_scans(fact for fact in written.facts if "scan" in fact)
        self.outline_counts |= count_outlines(plans, counts)
        overflow = find_overflow(plans, counts)
        overflow |= {key: found.overflow for key, found in written.measures.items() if found.overflow}
        self.overflow_counts = {owner_of(key): count for key, count in overflow.items()}
        invalid = find_invalid(plans, [fact for fact in written.facts if "invalid" in fact])
        self.invalid_values = {owner_of(key): found for key, found in invalid.items()}
        return written

    def _plan(self, due: Mapping[str, Evaluated], wave: int) -> list[AudiencePlan]:
        """Return the plans of a wave's rules and values, made once: they say what is read before they are run."""
        ids = frozenset(due)
        if (wave, ids) not in self._plans:
            self._plans[wave, ids] = plan_run(due, self.catalogue, instant_of(self.as_of), wave)
        return self._plans[wave, ids]

    def find_failing(self, due: Mapping[str, Evaluated]) -> dict[str, str]:
        """Return the definitions whose scans fail by themselves, by id, and why; for use after `evaluate` failed."""
        groups: dict[str, dict[str, Evaluated]] = {}
        for identity, definition in due.items():
            use = find_source_use({identity: definition}, self.catalogue, self.as_of)
            groups.setdefault(repr(sorted(use.columns)), {})[identity] = definition
        found: dict[str, str] = {}
        for group in groups.values():
            found |= find_culprits(group, partial(self._try, group))
        return found

    def _try(self, group: Mapping[str, Evaluated], ids: Sequence[str]) -> str:
        """Scan for some definitions of a group; return why that fails, or ''."""
        due = {identity: group[identity] for identity in ids}
        try:
            for plan in plan_run(due, self.catalogue, instant_of(self.as_of)):
                keys = self._give_keys(plan.audience)
                partitions = self._partitions(self.last_keys[plan.audience])
                try_scans(plan, self.sources(), self.catalogue.schema, keys, partitions)
        except SegEngineError as error:
            return error.message
        return ""

    def gated_tables(self, segment: Segment, due: Mapping[str, Evaluated]) -> list[str]:
        """Return the tables that a gate of a segment asks something of: all that it and what is due behind it reads."""
        gates = segment.gates
        if not gates.sources_not_empty and gates.sources_not_older_than is None:
            return []
        behind = set(find_behind(due, segment.id))
        asked = {identity: definition for identity, definition in due.items() if identity in behind}
        return sorted(find_source_use(asked, self.catalogue, self.as_of).columns)

    def sources(self) -> Sources:
        """Return the sources as this run reads them; what they found out of their tables is not asked again."""
        past = cut_off(self.as_of, self.started_at)
        pinned = dict(self.versions)
        sources = Sources(self.project.session, self.project.settings, pinned, past, self.as_they_were)
        return self._sources.setdefault((*pinned.items(), self.as_they_were), sources)

    def open_sources(self, tables: Iterable[str]) -> Sources:
        """Return tables as a run of this instant reads them, pinned now."""
        return open_sources(self.project.session, self.project.settings, tables, cut_off(self.as_of, self.started_at))

    def begin_again(self, run_id: str, before: ControlRow) -> Evaluation:
        """Return an evaluation of the same sources that has done nothing yet, under another run's id."""
        return Evaluation(
            project=self.project,
            catalogue=self.catalogue,
            history=self.history,
            run_id=run_id,
            as_of=self.as_of,
            started_at=self.started_at,
            last_keys=dict(before.last_profile_key),
            progress=self.progress,
            compared_before=self.compared_before,
            is_tracked=self.is_tracked,
            versions=dict(self.versions),
            as_they_were=self.as_they_were,
        )

    def _run_plan(self, plan: AudiencePlan) -> None:
        warehouse = self.project.warehouse
        before = self.last_keys.get(plan.audience, 0)
        keys = self._give_keys(plan.audience)
        profile_count, last_key = self.profile_counts[plan.audience], self.last_keys[plan.audience]
        self.progress(
            f"evaluating {show_evaluated(plan)} on {profile_count:,} profiles "
            f"({last_key - before:,} new), {len(plan.table_scans) - 1} table(s) of rows"
        )
        parents = {parent: self._snapshot(parent) for parent in (*plan.stored, *plan.stored_measures)}
        earlier = self.compared_before or self.as_of
        preceding = {segment_id: self.history.segments.preceding(segment_id, earlier) for segment_id in plan.members}
        previous = {segment_id: snapshot_of(run) for segment_id, run in preceding.items() if run is not None}
        with Handover() as handover:
            results = evaluate_plan(
                plan,
                self.sources(),
                self.catalogue.schema,
                keys,
                read_contents(warehouse, [*parents.values(), *previous.values()]),
                {parent: snapshot.source for parent, snapshot in parents.items()},
                {segment_id: snapshot.source for segment_id, snapshot in previous.items()},
                self._partitions(last_key),
                self._carry(plan, keys),
                handover.name,
            )
            write_snapshots(warehouse, self.run_id, results)
        if any(result.states is not None for result in plan.results.values()):
            states = read_states(warehouse, self.run_id, plan.results)
            pairs = read_pairs(warehouse, self.run_id, plan.label)
            write_snapshots(warehouse, self.run_id, merge_business(states, pairs, plan, self.project.session))
        self._written |= {*plan.members, *plan.results}

    def _expand(self, segment: Segment, expansion: Expansion) -> None:
        """Evaluate an expansion."""
        self.progress(f'finding customers similar to "{self.catalogue.segments[expansion.source].name}"')
        preceding = self.history.segments.preceding(segment.id, self.compared_before or self.as_of)
        expansion_run = ExpansionRun(
            run=self._model_run(segment, lenient=expansion.is_recommended),
            segment=segment,
            expansion=expansion,
            keys=self._give_keys(segment.audience),
            preceding=snapshot_of(preceding) if preceding else None,
            tasks=self._partitions(self.last_keys[segment.audience]),
        )
        if self._execute(segment, "expansion", expansion_run.evaluate):
            self.outline_counts[segment.id] = [[None, None] for _ in outline_segment(segment, {})]
            self._written.add(segment.id)

    def _analyse(self, analysis: Analysis) -> None:
        """Answer the question of an analysis."""
        self.progress(f'answering "{analysis.name}"')
        question = analysis.question
        run = self._model_run(analysis, lenient=isinstance(question, DifferenceQuestion) and question.is_every_field)
        self._execute(analysis, analysis.kind, partial(answer, run, analysis))

    def _model_run(self, definition: Segment | Analysis, *, lenient: bool) -> ModelRun:
        """Return this run as a model sees it; `lenient`: of fields that nobody chose bad values are missing."""
        return ModelRun(
            warehouse=self.project.warehouse,
            catalogue=self.catalogue,
            run_id=self.run_id,
            as_of=self.as_of,
            seed_text=self.catalogue.hashes[definition.id].data,
            count_profiles=partial(self._count_profiles, definition.audience),
            snapshot_of=self._snapshot,
            read_features=partial(self.features, definition.audience, lenient=lenient),
        )

    def _execute(self, definition: Segment | Analysis, kind: str, evaluate: Callable[[RunRecord], None]) -> bool:
        """Let a model evaluate a definition, tracked in MLflow; return False where it fails, which it does alone."""
        subject = Subject(
            kind=kind,
            definition_id=definition.id,
            name=definition.name,
            definition_hash=self.catalogue.hashes[definition.id].data,
            engine=self.project.session.description,
            run_id=self.run_id,
            table_versions={
                table: "not pinned" if version is None else version for table, version in self.versions.items()
            },
        )
        try:
            with track(self.project.settings, subject, enabled=self.is_tracked) as record:
                evaluate(record)
        except (ConfigError, DataContractError, RunError) as error:
            self.failures[definition.id] = f"{error.message} {error.hint}".strip()
            return False
        finally:
            if record.outcome.warning:
                self.progress(f"warning: {record.outcome.warning}")
        return True

    def features(self, audience: str, asked: Mapping[str, Asked], *, lenient: bool = False) -> Features:
        """Return the features of an audience's profiles, as this run reads them (see `read_features`)."""
        parents = {each if isinstance(each, str) else each.measure for each in asked.values()} - {""}
        snapshots = {parent: self._snapshot(parent) for parent in parents}
        older = parents.intersection(self.catalogue.measures) - self._written
        sources = FeatureSources(
            audience=audience,
            tables=self.sources(),
            schema=self.catalogue.schema,
            keys=self._give_keys(audience),
            contents=read_contents(self.project.warehouse, list(snapshots.values())),
            snapshots={parent: key.source for parent, key in snapshots.items()},
            measures=self.catalogue.stored_measures,
            nothing=find_nothing(audience, older, self.catalogue, instant_of(self.as_of)),
            tasks=self._partitions(self.last_keys[audience]),
            profile_count=self.profile_counts[audience],
        )
        return read_features(asked, sources, lenient=lenient)

    def _count_profiles(self, audience: str) -> int:
        """Return how many profiles of an audience count: all but those kept out, which giving keys finds."""
        self._give_keys(audience)
        return self.profile_counts[audience]

    def _give_keys(self, audience: str) -> DataFrame:
        """Return `profile_id`, `profile_key` of the audience's profiles, after giving keys to new ones."""
        if audience in self._keys:
            return self._keys[audience]
        from pyspark.sql import functions as F

        warehouse, settings = self.project.warehouse, self.project.settings
        table = settings.tables[settings.audiences[audience].table]
        key = table.stored_name(table.key[0])
        ids = self.sources().read(table.name).select(column(key).cast("string").alias("profile_id"))
        profile_count = self.profile_counts[audience]
        last_key = self.last_keys.get(audience, 0)
        known = read_profile_keys(warehouse, audience, self.history.run_ids) if last_key else None
        erased = find_erased(self.project, self.history, audience, self.as_of, ids)
        if erased is not None:
            ids = ids.join(F.broadcast(erased), "profile_id", "left_anti")
            profile_count -= erased.count()
            self.profile_counts[audience] = profile_count
        new_last_key = add_profile_keys(warehouse, audience, ids, known, self.run_id, last_key, profile_count)
        keys = read_profile_keys(warehouse, audience, [*self.history.run_ids, self.run_id])
        # Where some profiles are gone or forgotten, their rows must not count as reaching a profile.
        if new_last_key != profile_count or erased is not None:
            keys = keys.join(ids.where(F.col("profile_id") != ""), "profile_id", "left_semi")
        self.last_keys[audience] = new_last_key
        self._keys[audience] = keys
        return keys

    def _carry(self, plan: AudiencePlan, keys: DataFrame) -> DataFrame | None:
        """Return what the plan asks of the profiles' accounts, as parts for the profiles' buckets."""
        settings = self.project.settings
        accounts = settings.account_of(plan.audience)
        snapshots = {identity: self._snapshot(identity) for identity in (*plan.carried, *plan.carried_values)}
        contents = read_contents(self.project.warehouse, list(snapshots.values()))
        if accounts is None or contents is None:
            return None
        carried = Carried(
            segments=tuple(snapshots[identity].source for identity in plan.carried),
            measures=tuple(snapshots[identity].source for identity in plan.carried_values),
        )
        return carry_over(
            self.sources(),
            settings.audiences[plan.audience],
            keys,
            self._give_keys(accounts.name),
            contents,
            carried,
            self._partitions(self.last_keys[accounts.name]),
        )

    def _snapshot(self, identity: str) -> SnapshotKey:
        """Return the snapshot with which a parent feeds: of this run where it is in it, else the current one."""
        if identity in self._written:
            return SnapshotKey(self.run_id, identity)
        current = self.history.current(identity)
        if current is None:
            raise LookupError(f"{identity} has no snapshot to feed others")
        return snapshot_of(current)

    def _partitions(self, last_key: int) -> int:
        """Return how many tasks share the buckets.

        Spark runs tasks one after the other on each core: enough that each holds few buckets. On the embedded engine
        all tasks live at once and rows wait in memory, without bound, for those that get no processor: one per core.
        """
        buckets = max(1, -(-last_key // BUCKET_SIZE))
        session = self.project.session
        if session.kind == "embedded":
            return min(buckets, session.parallelism)
        return min(buckets, max(2 * session.parallelism, -(-buckets // LIVE_BUCKETS)))
