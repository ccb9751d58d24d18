"""The Python API: a project and what can be done with it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa

from segengine.errors import ConfigError
from segengine.operations.analyses import AnalysisSummary, list_analyses
from segengine.operations.apply import Side, apply_definitions, plan_definitions
from segengine.operations.backfill import BackfillReport, Every, PlannedInstant, backfill_definitions, plan_backfill
from segengine.operations.context import OpenProject, open_project, open_settings
from segengine.operations.costs import RunCosts, read_costs
from segengine.operations.definition_plan import DefinitionPlan
from segengine.operations.describe_tables import TableView, describe_tables, read_samples
from segengine.operations.dry_run import Planned, plan_refresh
from segengine.operations.due import Wanted
from segengine.operations.evaluation import Progress
from segengine.operations.explain import explain_refresh
from segengine.operations.forget import ForgetReport, forget_profile
from segengine.operations.get import get_definitions
from segengine.operations.history import DefinitionVersion, read_versions
from segengine.operations.insights import InsightDetails, describe_insight, write_insight_tables
from segengine.operations.maintain import RETENTION, MaintainReport, maintain_warehouse
from segengine.operations.manage import (
    Selection,
    plan_change,
    plan_copy,
    plan_removal,
    record_change,
    record_copy,
    record_removal,
)
from segengine.operations.measure_preview import preview_measure
from segengine.operations.measures import (
    MeasureDetails,
    MeasureSummary,
    list_measures,
    read_measure_values,
    read_totals,
    show_measure,
    write_measure_tables,
)
from segengine.operations.member_rows import write_member_rows
from segengine.operations.members import PREVIEW_MEMBERS, read_segment_members
from segengine.operations.membership_changes import read_membership_changes
from segengine.operations.metrics import write_metrics
from segengine.operations.output_tables import write_output_tables
from segengine.operations.preview import PreviewedSegment, preview_plan
from segengine.operations.profile_attribute import AttributeProfile, profile_attribute
from segengine.operations.quick_segment import CountedDraft, count_draft, draft_segment, load_measures, record_draft
from segengine.operations.refresh import RefreshReport, refresh_segments
from segengine.operations.release import ReleaseReport, decide_held
from segengine.operations.schema import SchemaPull, pull_schema
from segengine.operations.segments import (
    CountedOutline,
    SegmentDetails,
    SegmentSummary,
    count_outline,
    list_segments,
    show_segment,
)
from segengine.operations.similar import SimilarityDetails, describe_similarity
from segengine.operations.status import ProjectStatus, read_status
from segengine.operations.suggestions import SavedAs, SuggestionDetails, describe_suggestions, draft_proposal
from segengine.operations.unused import LastUse, read_deactivations
from segengine.operations.usage import Usage, list_consumers, read_usage, register_consumer
from segengine.operations.validate import Validation, validate_project
from segengine.operations.why import Why, explain_membership
from segengine.plan.explain import AudienceExplanation
from segengine.project.changes import Change
from segengine.project.find import Filter
from segengine.project.model import Consumer
from segengine.project.nodes import Plain
from segengine.project.quick import QuickSegment, Source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


class Project:
    """A segengine project: a folder with `segengine.yml`.

    As a context manager it keeps one engine session for all calls inside the block; without, each call that needs one
    opens and closes its own.

        with segengine.Project("contoso") as project:
            project.apply()
            report = project.refresh()
            ids = project.members("Millennials", limit=None)

    What means the same in every method:
        name, names: Names or ids of definitions; a ConfigError says which is unknown.
        snapshot, at: A snapshot by its number, or the newest as of a time; neither: the current one. A ConfigError
            says that there is none, and which there are.
        as_of: The instant that counts; None: now.
        limit: At most so many rows, by profile key; None: all.
        dry_run: Only return what would be done.
        progress: Called with a line for each phase.
    """

    def __init__(
        self,
        folder: Path | str = ".",
        *,
        environment: str = "",
        engine: str = "",
        spark: SparkSession | None = None,
    ) -> None:
        """Read the project file.

        Args:
            folder: The project's folder.
            environment: Overlay of `environments` to use.
            engine: "embedded", "spark" or "sc://host:port" instead of the project's own.
            spark: A session to use (a notebook's); it is neither changed nor stopped.

        Raises:
            ConfigError: There is no project there, or no such environment.
            DefinitionError: The project file has errors.
        """
        self.settings = open_settings(folder, environment, engine)
        self._spark = spark
        self._open: OpenProject | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Project:
        """Open the engine session that all calls inside the block share."""
        self._open = self._stack.enter_context(open_project(self.settings, self._spark))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        self._open = None
        self._stack.close()

    @contextmanager
    def _session(self) -> Iterator[OpenProject]:
        if self._open is not None:
            yield self._open
            return
        with open_project(self.settings, self._spark) as project:
            yield project

    def validate(self) -> Validation:
        """Return every issue of the definition files; starts no engine."""
        return validate_project(self.settings)

    def explain(self, names: Sequence[str] = (), *, as_of: datetime | None = None) -> list[AudienceExplanation]:
        """Return what a refresh (as of now, or an instant) would read and share; starts no engine."""
        return explain_refresh(self.settings, names, as_of)

    def pull_schema(self) -> SchemaPull:
        """Write the sources' columns and types to `schema.lock.yml`."""
        with self._session() as project:
            return pull_schema(project.session, self.settings)

    def tables(self, names: Sequence[str] = (), *, samples: bool = True) -> list[TableView]:
        """Return the tables that rules can be about (all, or the named ones), with their columns' names in rules.

        Args:
            names: Tables; none: all.
            samples: Read up to three values of each column; without, no engine is started.

        Raises:
            ConfigError: There is no such table.
        """
        views = describe_tables(self.settings, names)
        if not samples:
            return views
        with self._session() as project:
            return read_samples(project, views)

    def plan(self, files: Sequence[Path] = (), *, prune: bool = False, take: Side | None = None) -> DefinitionPlan:
        """Return what `apply` would change in the registry."""
        with self._session() as project:
            return plan_definitions(project, files, prune=prune, take=take)

    def preview(
        self,
        files: Sequence[Path] = (),
        *,
        prune: bool = False,
        take: Side | None = None,
        as_of: datetime | None = None,
        progress: Progress = logger.info,
    ) -> tuple[DefinitionPlan, list[PreviewedSegment]]:
        """Return what `apply` would change, and the members each changed definition would have; publishes nothing."""
        with self._session() as project:
            plan = plan_definitions(project, files, prune=prune, take=take)
            return plan, preview_plan(project, plan, as_of=as_of, progress=progress)

    def apply(self, files: Sequence[Path] = (), *, prune: bool = False, take: Side | None = None) -> DefinitionPlan:
        """Record the definition files in the registry."""
        with self._session() as project:
            return apply_definitions(project, files, prune=prune, take=take)

    def get(self, names: Sequence[str] = ()) -> list[Plain]:
        """Return applied definitions as plain fields."""
        with self._session() as project:
            return get_definitions(project, names)

    def profile(self, attribute: str, *, audience: str = "", as_of: datetime | None = None) -> AttributeProfile:
        """Return how the values of an attribute are distributed over the profiles: frequencies, percentiles, missing.

            project.profile("home_store.city").values[0]     # ValueCount(value='Los Angeles', count=495, share=0.099)
            project.profile("income").percentiles["50"]      # '61308.42'

        Args:
            attribute: As rules on the profile write it: `state`, `home_store.city`, `churn.score`; or a measure, whose
                stored values are shown.
            audience: Whose profiles, where several audiences have the attribute.
            as_of: The instant that counts; None: now. Of a measure: the snapshot that was the newest then.

        Raises:
            ConfigError: There is no such attribute, several audiences have one, or the measure was never refreshed.
        """
        with self._session() as project:
            return profile_attribute(project, attribute, audience=audience, as_of=_aware(as_of))

    def create_segment(
        self,
        attribute: str,
        operator: str,
        *values: str,
        name: str,
        source: Source = "profiles",
        audience: str = "",
        output_table: str = "",
        id: str = "",
        file: Path | None = None,
        as_of: datetime | None = None,
        dry_run: bool = False,
    ) -> CountedDraft:
        """Record a segment of one condition, and return it with its exact size.

            project.create_segment("state", "any_of", "California", "Nevada", name="West")
            project.create_segment("customer_since", "within_last", "20 days", name="Newcomers", dry_run=True)

        Args:
            attribute: As rules on the profile write it.
            operator: An operator that fits its type.
            values: The operator's values as text, as in a definition file; none where it needs none.
            name: What the segment is called.
            source: "predictions": only columns of prediction tables, also by the column alone; "measures": `attribute`
                is the name of an applied measure, of several values `Name.value`.
            audience: Whose profiles, where several audiences have the attribute.
            output_table: Its output table; '': made from the name.
            id: Its id; '': made from the name.
            file: A definition file it is written to as well.
            as_of: The instant the size is counted as of; None: now.
            dry_run: Count it, and record nothing.

        Raises:
            ConfigError: The source has no such attribute, or the audience is not clear.
            DefinitionError: The issues that a file with this definition would have; a taken name is one.
        """
        quick = QuickSegment(source, attribute, operator, values, name, audience, output_table, id)
        with ExitStack() as stack:
            opened = stack.enter_context(self._session()) if source == "measures" else None
            draft = draft_segment(self.settings, quick, file, load_measures(opened) if opened else None)
            project = opened or stack.enter_context(self._session())
            counted = count_draft(project, draft, as_of=_aware(as_of))
            if not dry_run:
                record_draft(project, draft)
        return counted

    def change(
        self,
        names: Sequence[str],
        change: Change,
        *,
        kind: str = "segment",
        tags: Sequence[str] = (),
        search: str = "",
        dry_run: bool = False,
    ) -> DefinitionPlan:
        """Change applied definitions, several at once, and return what was (`dry_run`: would be) written.

            from segengine.project.changes import activate, add_tags, rename
            project.change(["Young", "West coast"], add_tags("spring"))
            project.change([], activate(), tags=["spring"])

        Args:
            names: Names or ids; none: all that have the tags and the text.
            change: One of those that `segengine.project.changes` makes.
            kind: "segment", "measure", "suggestion", "insight" or "consumer".
            tags: Only those with all these tags.
            search: Only those with this text in their name, id or description.
            dry_run: Write nothing.

        Raises:
            ConfigError: A name is unknown.
            DefinitionError: The definitions after it have errors.
        """
        selection = Selection(kind, tuple(names), Filter(tuple(tags), search))
        with self._session() as project:
            return (plan_change if dry_run else record_change)(project, selection, change)

    def duplicate(self, name: str, new_name: str, *, kind: str = "segment", dry_run: bool = False) -> DefinitionPlan:
        """Record a copy of a definition under another name, with an id and an output table of its own."""
        with self._session() as project:
            return (plan_copy if dry_run else record_copy)(project, kind, name, new_name)

    def delete(
        self, names: Sequence[str], *, kind: str = "segment", force: bool = False, dry_run: bool = False
    ) -> DefinitionPlan:
        """Delete definitions; `force`: also those that others use, which fail from then on.

        Raises:
            ConfigError: A name is unknown, or others use one of them.
        """
        selection = Selection(kind, tuple(names))
        with self._session() as project:
            return plan_removal(project, selection) if dry_run else record_removal(project, selection, force=force)

    def history(self, name: str) -> list[DefinitionVersion]:
        """Return the versions of a definition, oldest first, and what each changed."""
        with self._session() as project:
            return read_versions(project, name)

    def usage(self, names: Sequence[str] = ()) -> list[Usage]:
        """Return who uses the named segments and measures, or all: definitions and registered outside consumers."""
        with self._session() as project:
            return read_usage(project, names)

    def unused(self) -> list[LastUse]:
        """Return the active definitions that nobody uses, and when they are deactivated for it, soonest first."""
        with self._session() as project:
            return read_deactivations(project)

    def consumers(self) -> list[tuple[Consumer, tuple[str, ...]]]:
        """Return the registered outside consumers, each with the names of what it uses."""
        with self._session() as project:
            return list_consumers(project)

    def register_consumer(
        self, name: str, uses: Sequence[str], *, link: str = "", description: str = ""
    ) -> DefinitionPlan:
        """Register who uses segments or measures outside of segengine; `delete(..., kind="consumer")` ends it."""
        with self._session() as project:
            return register_consumer(project, name, uses, link=link, description=description)

    def refresh(
        self,
        names: Sequence[str] = (),
        *,
        kinds: Sequence[str] = (),
        due: bool = False,
        with_parents: bool = False,
        full: bool = False,
        as_of: datetime | None = None,
        wait: timedelta = timedelta(0),
        tracking: bool = True,
        progress: Progress = logger.info,
    ) -> RefreshReport:
        """Evaluate what is defined (all that is active, or what is named) and publish its snapshots.

        Args:
            names: Names or ids.
            kinds: Only definitions of these kinds: segment, expansion, measure, suggestion, insight.
            due: Only what is due by its schedule.
            with_parents: Also all active and dynamic definitions that these refer to, directly or not.
            full: Evaluate also what cannot have changed since its last refresh, and would keep its snapshot.
            as_of: The instant that counts; None: now.
            wait: How long to wait for another run to end.
            tracking: Record what models do in MLflow.
            progress: Called with a line for each phase.

        Raises:
            DataContractError: A source is not as the project says; nothing was published.
            LeaseHeldError: Another run is under way.
            RunError: The engine failed; the last published state is untouched.
        """
        _aware(as_of)
        with self._session() as project:
            return refresh_segments(
                project,
                Wanted(names, kinds, due, with_parents),
                full=full,
                as_of=as_of,
                wait=wait,
                tracking=tracking,
                progress=progress,
            )

    def backfill(
        self,
        names: Sequence[str],
        first: date,
        last: date,
        every: Every,
        *,
        wait: timedelta = timedelta(0),
        progress: Progress = logger.info,
    ) -> BackfillReport:
        """Fill the trend of segments and measures: snapshots as of the ends of past days, which never become current.

            project.backfill(["Millennials"], date(2025, 7, 6), date(2026, 6, 28), "week")

        Args:
            names: Names or ids.
            first: The first day, in the project's time zone.
            last: Until when, itself included; it has ended.
            every: "day", "week", or "month": the same day of each month, or its last.
            wait: How long to wait, at each instant, for another run to end.
            progress: Called with a line for each instant.

        Raises:
            ConfigError: A name is unknown or its definition is broken, or the days are not in the past or in order.
            DataContractError: A source is not as the project says, as of none of the instants.
            LeaseHeldError: Another run is under way; what is done stays.
            RunError: The engine failed, as of every instant.
        """
        with self._session() as project:
            return backfill_definitions(project, names, first, last, every, wait=wait, progress=progress)

    def planned_backfill(
        self, names: Sequence[str], first: date, last: date, every: Every
    ) -> tuple[PlannedInstant, ...]:
        """Return the instants of a back-fill, and what would be evaluated as of each; writes nothing."""
        with self._session() as project:
            return plan_backfill(project, names, first, last, every)

    def release(self, names: Sequence[str]) -> ReleaseReport:
        """Make results that gates held back current."""
        with self._session() as project:
            return decide_held(project, names, "release")

    def drop(self, names: Sequence[str]) -> ReleaseReport:
        """Drop results that gates held back; the last good snapshots stay."""
        with self._session() as project:
            return decide_held(project, names, "drop")

    def plan_refresh(
        self,
        names: Sequence[str] = (),
        *,
        kinds: Sequence[str] = (),
        due: bool = False,
        with_parents: bool = False,
        full: bool = False,
        as_of: datetime | None = None,
    ) -> list[Planned]:
        """Return what such a refresh would take, parents first, and why each would be evaluated; writes nothing."""
        _aware(as_of)
        with self._session() as project:
            return plan_refresh(project, Wanted(names, kinds, due, with_parents), full=full, as_of=as_of)

    def segments(self) -> list[SegmentSummary]:
        """Return a summary of every applied segment, by name."""
        with self._session() as project:
            return list_segments(project)

    def segment(self, name: str) -> SegmentDetails:
        """Return everything about one segment."""
        with self._session() as project:
            return show_segment(project, name)

    def counts(self, name: str, *, snapshot: int | None = None, at: datetime | None = None) -> CountedOutline:
        """Return a segment's rules as a tree, each line with the profiles that satisfied it in a snapshot's run."""
        with self._session() as project:
            return count_outline(project, name, snapshot=snapshot, at=_aware(at))

    def similarity(self, name: str, *, snapshot: int | None = None, at: datetime | None = None) -> SimilarityDetails:
        """Return what there is to know of the model behind an expansion: fields, evidence, scores."""
        with self._session() as project:
            return describe_similarity(project, name, snapshot=snapshot, at=_aware(at))

    def suggestions(self, name: str, *, snapshot: int | None = None, at: datetime | None = None) -> SuggestionDetails:
        """Return the groups that a suggestion found: each in a line, with its size and its rule.

        The first line: `project.suggestions("What drives lifetime spend").findings.proposals[0].card`.
        """
        with self._session() as project:
            return describe_suggestions(project, name, snapshot=snapshot, at=_aware(at))

    def save_suggestion(
        self,
        suggestion: str,
        number: int,
        *,
        name: str,
        output_table: str = "",
        id: str = "",
        file: Path | None = None,
        snapshot: int | None = None,
        at: datetime | None = None,
        as_of: datetime | None = None,
        dry_run: bool = False,
    ) -> CountedDraft:
        """Record a group that a suggestion found as a segment, and return it with its exact size.

        `number`: which group, from 1 on, in the order of `suggestions`. What the segment is to be: as for
        `create_segment`.

        Raises:
            ConfigError: There is no such suggestion, snapshot or group, or no rule can say who is in it.
            DefinitionError: The issues that a file with this definition would have; a taken name is one.
        """
        saved_as = SavedAs(name, output_table, id, file)
        with self._session() as project:
            draft = draft_proposal(project, suggestion, number, saved_as, snapshot=snapshot, at=_aware(at))
            counted = count_draft(project, draft, as_of=_aware(as_of))
            if not dry_run:
                record_draft(project, draft)
            return counted

    def insight(self, name: str, *, snapshot: int | None = None, at: datetime | None = None) -> InsightDetails:
        """Return what an insight found: `differentiators` or an `overlap` of segments."""
        with self._session() as project:
            return describe_insight(project, name, snapshot=snapshot, at=_aware(at))

    def why(self, name: str, profile_id: str, *, snapshot: int | None = None, at: datetime | None = None) -> Why:
        """Return why a profile is in a segment or not: each rule and condition, the values and rows it saw."""
        with self._session() as project:
            return explain_membership(project, name, profile_id, snapshot=snapshot, at=_aware(at))

    def members(
        self,
        name: str,
        *,
        limit: int | None = PREVIEW_MEMBERS,
        snapshot: int | None = None,
        at: datetime | None = None,
        held: bool = False,
    ) -> list[str]:
        """Return the ids of a segment's members; `held`: of what a gate holds back instead of a snapshot."""
        with self._session() as project:
            members = read_segment_members(project, name, limit=limit, snapshot=snapshot, at=_aware(at), held=held)
            return [str(profile_id) for batch in members.batches for profile_id in batch.to_pylist()]

    def members_with_attributes(
        self,
        name: str,
        *,
        limit: int | None = PREVIEW_MEMBERS,
        snapshot: int | None = None,
        at: datetime | None = None,
        held: bool = False,
        attributes: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return a row for each member as `members` does: the ids, then attributes and measures as rules write them.

        `attributes` None: those that the segment's rules ask of profiles. NULL where the profile is gone. Measures are
        as the snapshot's run saw them.
        """
        with self._session() as project:
            members = read_segment_members(
                project, name, limit=limit, snapshot=snapshot, at=_aware(at), held=held, attributes=attributes
            )
            return _as_table(members.rows, members.columns)

    def members_with_accounts(
        self,
        name: str,
        *,
        limit: int | None = PREVIEW_MEMBERS,
        snapshot: int | None = None,
        at: datetime | None = None,
    ) -> list[tuple[str, str | None]]:
        """Return the ids of a segment's members as `members` does, each with its account's id.

        That is the id the source has, whether or not there is such an account; None where it has none.
        """
        with self._session() as project:
            members = read_segment_members(project, name, limit=limit, snapshot=snapshot, at=_aware(at))
            if not members.account_name:
                message = f'Segment "{members.segment.name}" is of audience "{members.segment.audience}"'
                raise ConfigError(f"{message}, which has no account.", "Use `members` for the ids alone.")
            return [(row["profile_id"], row["account_id"]) for rows in members.rows for row in rows.to_pylist()]

    def changes(
        self,
        name: str,
        *,
        start: str = "",
        end: str = "",
        limit: int | None = PREVIEW_MEMBERS,
        attributes: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return who entered and left a segment between two snapshots, given by number or time.

        By default between the current one and the one before, with what the segment's rules ask of profiles. Columns:
        `change`, the ids, the attributes.
        """
        with self._session() as project:
            found = read_membership_changes(project, name, start=start, end=end, limit=limit, attributes=attributes)
            return _as_table(found.rows, {column: column for column in found.columns})

    def write_output_tables(self, names: Sequence[str]) -> list[str]:
        """Write the output tables of segments and return the tables' names."""
        with self._session() as project:
            return write_output_tables(project, names)

    def write_member_rows(self) -> str:
        """Write the members of all segments as rows into one table (`segment_members`) and return its name."""
        with self._session() as project:
            return write_member_rows(project)

    def measures(self) -> list[MeasureSummary]:
        """Return a summary of every applied measure, by name."""
        with self._session() as project:
            return list_measures(project)

    def measure(self, name: str) -> MeasureDetails:
        """Return everything about one measure."""
        with self._session() as project:
            return show_measure(project, name)

    def totals(self, name: str) -> list[Mapping[str, object]]:
        """Return the values of a business measure without dimensions at each of its snapshots, oldest first."""
        with self._session() as project:
            details = show_measure(project, name)
            return read_totals(project, details.summary.measure, details.snapshots)

    def values(
        self,
        name: str,
        *,
        limit: int | None = PREVIEW_MEMBERS,
        snapshot: int | None = None,
        at: datetime | None = None,
    ) -> pa.Table:
        """Return the values of a measure.

        Columns: `profile_id` where the values belong to profiles, its dimensions, its values; missing ones are NULL.
        """
        with self._session() as project:
            return pa.Table.from_batches(
                read_measure_values(project, name, limit=limit, snapshot=snapshot, at=_aware(at)).rows
            )

    def preview_values(
        self,
        name: str,
        files: Sequence[Path] = (),
        *,
        limit: int | None = PREVIEW_MEMBERS,
        as_of: datetime | None = None,
        progress: Progress = logger.info,
    ) -> pa.Table:
        """Return the values a measure would have after `apply` and `refresh`, as `values` does; publishes nothing.

        `files`: definition files; none: all of the project's, beside what is applied.
        """
        with self._session() as project:
            plan = plan_definitions(project, files)
            found = preview_measure(project, plan, name, limit=limit, as_of=_aware(as_of), progress=progress)
            return pa.Table.from_batches(found.rows)

    def write_measure_tables(self) -> list[str]:
        """Write the current values of all measures as tables for other tools, and return the tables' names."""
        with self._session() as project:
            return write_measure_tables(project)

    def analyses(self) -> list[AnalysisSummary]:
        """Return a summary of every suggestion and insight, by name."""
        with self._session() as project:
            return list_analyses(project)

    def write_insight_tables(self) -> list[str]:
        """Write what all insights found as rows of tables for other tools, and return the tables' names."""
        with self._session() as project:
            return write_insight_tables(project)

    def status(self, limit: int = 10) -> ProjectStatus:
        """Return who holds the lease, what is due, how the newest runs ended, and how large the tables are."""
        with self._session() as project:
            return read_status(project, limit)

    def costs(self) -> RunCosts:
        """Return each definition's share of the rows that the newest run read: an estimate, see `read_costs`."""
        with self._session() as project:
            return read_costs(project)

    def write_metrics(self, file: Path | str) -> None:
        """Write how the project stands as metrics for Prometheus, into a text file (.prom) of a folder that is there.

        Raises:
            ConfigError: The library prometheus_client is missing, or the file cannot be written.
        """
        with self._session() as project:
            write_metrics(project, Path(file))

    def maintain(
        self,
        *,
        retention: timedelta = RETENTION,
        as_of: datetime | None = None,
        dry_run: bool = False,
        progress: Progress = logger.info,
    ) -> MaintainReport:
        """Thin snapshots by `keep`, remove what no published run needs, compact and vacuum every table.

        Args:
            retention: How far back tables can still be read as they were. Zero: nobody else may work meanwhile.
            as_of: The instant that ages of snapshots are counted to; None: now.
            dry_run: Only return what would be done.
            progress: Called with a line for each table.

        Raises:
            ConfigError: No refresh has run yet, or the last one was killed and none has followed.
            LeaseHeldError: A run is under way.
        """
        _aware(as_of)
        with self._session() as project:
            return maintain_warehouse(project, retention=retention, as_of=as_of, dry_run=dry_run, progress=progress)

    def forget(
        self,
        profile_id: str,
        *,
        audience: str = "",
        suppress: bool = False,
        dry_run: bool = False,
        progress: Progress = logger.info,
    ) -> ForgetReport:
        """Erase a person from everything segengine stores, and keep the person out of runs as of a time before now.

        Args:
            profile_id: The id as the profile table has it.
            audience: Whose profiles, where there are several audiences of people.
            suppress: Keep the person out of every run, even where a source has a row of it.
            dry_run: Only return what would be done.
            progress: Called with a line for each step.

        Raises:
            ConfigError: `suppress_key` or its secret is missing, or a source still has the person.
            LeaseHeldError: A run is under way.
        """
        with self._session() as project:
            return forget_profile(
                project, profile_id, audience=audience, suppress=suppress, dry_run=dry_run, progress=progress
            )


def _as_table(rows: Iterable[pa.RecordBatch], names: Mapping[str, str]) -> pa.Table:
    """Return batches as one table, its columns named as said; text where there are no rows to tell the types."""
    batches = list(rows)
    if not batches:
        return pa.table({name: pa.array([], pa.string()) for name in names.values()})
    return pa.Table.from_batches(batches).rename_columns([*names.values()]).replace_schema_metadata()


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise ConfigError(f"The time {moment} has no time zone.", "Example: datetime(2026, 6, 30, tzinfo=UTC).")
    return moment
