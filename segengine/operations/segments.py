"""Looking at segments: the list, one of them, its members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import overload

from segengine.engine.sources import cut_off
from segengine.errors import ConfigError
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.due import find_next_due
from segengine.operations.past_sources import SourceReading, load_readings
from segengine.operations.run_facts import OutlineCounts
from segengine.project.analysis import Analysis, Evaluated
from segengine.project.catalogue import Catalogue, resolve_version
from segengine.project.find import find_segment
from segengine.project.measure import Measure
from segengine.project.model import Segment
from segengine.project.nodes import Plain
from segengine.project.outline import outline_segment
from segengine.project.references import show_references
from segengine.project.schedule import Schedule
from segengine.project.usage import User, make_usage_graph
from segengine.store.control import ControlRow, died
from segengine.store.registry import DefinitionRecord, Registry
from segengine.store.runs import (
    AnalysisRun,
    AnyRun,
    DefinitionRun,
    History,
    MeasureRun,
    SegmentRun,
    Status,
    Trail,
    read_outline_counts,
)


@dataclass(frozen=True)
class SegmentSummary:
    """One line of the list: the definition, how its last refresh ended, its current snapshot, and when it is due.

    `next_due`: in the past since when it is due; None where it is refreshed only when asked. `held`: the result that
    waits for its release.
    """

    segment: Segment
    record: DefinitionRecord
    status: Status
    error: str
    last: SegmentRun | None
    current: SegmentRun | None
    schedule: Schedule | None
    next_due: datetime | None
    held: SegmentRun | None = None

    @property
    def member_share(self) -> float | None:
        """Share of all profiles who are members, 0 to 1; None without a snapshot or without profiles."""
        if self.current is None or not self.current.profile_count or self.current.member_count is None:
            return None
        return self.current.member_count / self.current.profile_count


@dataclass(frozen=True)
class SegmentDetails:
    """Everything about one segment: its summary, definition as text, snapshots oldest first, and where it is used.

    `sources`: how the run of the current snapshot read the project's tables; none where it was a run at the present.
    """

    summary: SegmentSummary
    fields: Plain
    snapshots: tuple[SegmentRun, ...]
    used_by: tuple[User, ...]
    sources: tuple[SourceReading, ...] = ()


def list_segments(project: OpenProject) -> list[SegmentSummary]:
    """Return a summary of every applied segment, by name."""
    catalogue, registry = load_registered(project)
    control, history = read_state(project)
    summaries = [_summary(catalogue, registry, segment, control, history) for segment in catalogue.segments.values()]
    return sorted(summaries, key=lambda summary: summary.segment.name.casefold())


def _summary(
    catalogue: Catalogue, registry: Registry, segment: Segment, control: ControlRow | None, history: History
) -> SegmentSummary:
    last, current = history.segments.last(segment.id), history.segments.current(segment.id)
    return SegmentSummary(
        segment,
        registry.newest[segment.id],
        *show_status(catalogue, segment.id, last, control),
        last,
        current,
        catalogue.settings.schedule_of(segment),
        find_next_due(catalogue, registry, history, segment, datetime.now(UTC)),
        history.segments.held(segment.id),
    )


def show_status(
    catalogue: Catalogue, identity: str, last: AnyRun | None, control: ControlRow | None
) -> tuple[Status, str]:
    """Return how a definition stands, and why: refreshing, failed (its run died; broken), or as its last run ended."""
    if control is not None and identity in control.ids:
        if control.is_held(datetime.now(UTC)):
            return Status.REFRESHING, ""
        return Status.FAILED, died(control)
    if identity in catalogue.broken:
        return Status.FAILED, catalogue.broken[identity]
    return (last.status, last.error) if last else (Status.NOT_STARTED, "")


def show_segment(project: OpenProject, name: str) -> SegmentDetails:
    """Return everything about one segment.

    Raises:
        ConfigError: There is no such segment.
    """
    catalogue, registry = load_registered(project)
    segment = find_segment(catalogue, name)
    control, history = read_state(project)
    record = registry.newest[segment.id]
    return SegmentDetails(
        summary=_summary(catalogue, registry, segment, control, history),
        fields=show_references(dict(record.fields), registry.names),
        snapshots=tuple(history.segments.snapshots(segment.id)),
        used_by=make_usage_graph(catalogue).direct(segment.id),
        sources=_past_readings(history, history.segments.current(segment.id)),
    )


def _past_readings(history: History, snapshot: SegmentRun | None) -> tuple[SourceReading, ...]:
    """Return how the run of a snapshot read its tables, where it was as of a past instant."""
    run = history.run(snapshot.snapshot_run_id) if snapshot else None
    return load_readings(run) if run and cut_off(run.as_of, run.started_at) else ()


@dataclass(frozen=True)
class OutlineLine:
    """One line of a segment's rules: how many profiles satisfy it, and how many the rules so far leave."""

    depth: int
    text: str
    count: int | None
    total: int | None


@dataclass(frozen=True)
class CountedOutline:
    """A segment's rules with the counts of one snapshot."""

    segment: Segment
    snapshot: SegmentRun
    lines: tuple[OutlineLine, ...]


def count_outline(
    project: OpenProject, name: str, *, snapshot: int | None = None, at: datetime | None = None
) -> CountedOutline:
    """Return the rules of a segment as a snapshot's run judged them, each with its number of profiles.

    Raises:
        ConfigError: There is no such segment or snapshot.
        DefinitionError: The definition of that time no longer fits the project.
    """
    catalogue, registry = load_registered(project)
    _, history = read_state(project)
    run = find_snapshot(history.segments, find_segment(catalogue, name), snapshot, at, counts_only=True)
    segment = find_version(catalogue, registry, run)
    counts = read_outline_counts(project.warehouse, run)
    lines = make_outline(segment, registry.names, counts)
    return CountedOutline(segment, run, lines)


@overload
def find_version(catalogue: Catalogue, registry: Registry, run: SegmentRun) -> Segment: ...


@overload
def find_version(catalogue: Catalogue, registry: Registry, run: MeasureRun) -> Measure: ...


@overload
def find_version(catalogue: Catalogue, registry: Registry, run: AnalysisRun) -> Analysis: ...


def find_version(catalogue: Catalogue, registry: Registry, run: AnyRun) -> Evaluated:
    """Return the definition a run evaluated.

    Raises:
        DefinitionError: It no longer fits the project.
    """
    if registry.newest[run.id].version == run.definition_version and run.id not in catalogue.broken:
        return catalogue.find(run.id)
    wanted = (run.id, run.definition_version)
    record = next(known for known in registry.versions if (known.id, known.version) == wanted)
    others = [known.as_definition() for known in registry.newest.values()]
    return resolve_version(record.as_definition(), others, catalogue.settings, catalogue.schema)


def make_outline(segment: Segment, names: Mapping[str, str], counts: OutlineCounts) -> tuple[OutlineLine, ...]:
    """Return a segment's rules with the counts of one run; `names`: of the segments referred to, by id."""
    items = outline_segment(segment, names)
    return tuple(OutlineLine(item.depth, item.text, *line) for item, line in zip(items, counts, strict=True))


def find_snapshot(
    trail: Trail[DefinitionRun],
    definition: Evaluated,
    number: int | None = None,
    at: datetime | None = None,
    *,
    counts_only: bool = False,
) -> DefinitionRun:
    """Return a definition's snapshot: of a number (the run that made it), the newest as of a time, or the current one.

    `counts_only`: also one whose content is no longer kept.

    Raises:
        ConfigError: There is none, or it is no longer kept.
    """
    subject = f'{definition.kind.capitalize()} "{definition.name}"'
    snapshots = trail.snapshots(definition.id)
    current = trail.current(definition.id)
    if number is None and at is None and current is not None:
        return current
    if not snapshots or (number is None and at is None):
        last = trail.last(definition.id)
        reason = f"its last refresh ended {last.status}: {last.error}" if last else "it was never refreshed"
        what = "only snapshots of back-fills" if snapshots else "no snapshot"
        raise ConfigError(f"{subject} has {what}: {reason}.", f"Run `segengine refresh {definition.id}`.")
    if number is not None:
        chosen = [run for run in snapshots if run.snapshot_version == number][:1]
        known = ", ".join(map(str, sorted({run.snapshot_version for run in snapshots})[-10:]))
        missing = f"{subject} has no snapshot {number}."
    else:
        chosen = [run for run in snapshots if at is not None and run.as_of <= at]
        known = f"the first is as of {snapshots[0].as_of:%Y-%m-%d %H:%M} UTC"
        missing = f"{subject} has no snapshot that old."
    if not chosen:
        raise ConfigError(missing, f"Known: {known}.")
    run = chosen[-1]
    if not counts_only and not trail.is_kept(run):
        kept = ", ".join(dict.fromkeys(str(each.snapshot_version) for each in snapshots if trail.is_kept(each)))
        which = f"snapshot {run.snapshot_version} (as of {run.as_of:%Y-%m-%d %H:%M} UTC)"
        raise ConfigError(
            f"{subject}: only the counts of {which} are kept.",
            f"`keep` of the project thinned it. Kept: snapshots {kept}.",
        )
    return run


def find_held(trail: Trail[SegmentRun], segment: Segment) -> SegmentRun:
    """Return the result of a segment that waits for its release.

    Raises:
        ConfigError: Nothing is held back.
    """
    held = trail.held(segment.id)
    if held is None:
        last = trail.last(segment.id)
        state = f"its last refresh ended {last.status}" if last else "it was never refreshed"
        raise ConfigError(f'Segment "{segment.name}" has nothing held back: {state}.')
    return held
