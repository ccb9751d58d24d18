"""Looking at segments: the list, one of them, its members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, overload

import numpy as np
import pyarrow as pa

from segengine.engine.accounts import read_account_ids
from segengine.engine.failures import engine_errors
from segengine.errors import ConfigError
from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.evaluation import OutlineCounts
from segengine.operations.past_sources import sources_of_run
from segengine.plan.scans import BUCKET_SIZE
from segengine.project.catalogue import Catalogue, resolve_version
from segengine.project.find import find_segment
from segengine.project.model import Audience, Measure, Segment, Settings
from segengine.project.nodes import Plain
from segengine.project.outline import outline_segment
from segengine.project.references import show_references
from segengine.project.usage import User, make_usage_graph
from segengine.store.control import ControlRow
from segengine.store.profile_keys import read_profile_keys
from segengine.store.registry import DefinitionRecord, Registry
from segengine.store.runs import DefinitionRun, History, MeasureRun, SegmentRun, Status, Trail, read_outline_counts
from segengine.store.snapshots import read_bitmaps

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PREVIEW_MEMBERS = 100


@dataclass(frozen=True)
class SegmentSummary:
    """One line of the list: the definition, how its last refresh ended, and its current snapshot."""

    segment: Segment
    record: DefinitionRecord
    status: Status
    error: str
    last: SegmentRun | None
    current: SegmentRun | None

    @property
    def member_share(self) -> float | None:
        """Share of all profiles who are members, 0 to 1; None without a snapshot or without profiles."""
        if self.current is None or not self.current.profile_count or self.current.member_count is None:
            return None
        return self.current.member_count / self.current.profile_count


@dataclass(frozen=True)
class SegmentDetails:
    """Everything about one segment: its summary, definition as text, snapshots oldest first, and where it is used."""

    summary: SegmentSummary
    fields: Plain
    snapshots: tuple[SegmentRun, ...]
    used_by: tuple[User, ...]


def list_segments(project: OpenProject) -> list[SegmentSummary]:
    """Return a summary of every applied segment, by name."""
    catalogue, registry = load_registered(project)
    control, history = read_state(project)
    summaries = [
        _summary(catalogue, segment, registry.newest[segment.id], control, history)
        for segment in catalogue.segments.values()
    ]
    return sorted(summaries, key=lambda summary: summary.segment.name.casefold())


def _summary(
    catalogue: Catalogue, segment: Segment, record: DefinitionRecord, control: ControlRow | None, history: History
) -> SegmentSummary:
    last, current = history.segments.last(segment.id), history.segments.current(segment.id)
    return SegmentSummary(segment, record, *show_status(catalogue, segment.id, last, control), last, current)


def show_status(
    catalogue: Catalogue, identity: str, last: SegmentRun | MeasureRun | None, control: ControlRow | None
) -> tuple[Status, str]:
    """Return how a definition stands, and why: refreshing now, broken, or as its last run ended."""
    if control is not None and identity in control.ids and control.is_held(datetime.now(UTC)):
        return Status.REFRESHING, ""
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
        summary=_summary(catalogue, segment, record, control, history),
        fields=show_references(dict(record.fields), registry.names),
        snapshots=tuple(history.segments.snapshots(segment.id)),
        used_by=make_usage_graph(catalogue).direct(segment.id),
    )


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
    run = find_snapshot(history.segments, find_segment(catalogue, name), snapshot, at)
    segment = find_version(catalogue, registry, run)
    counts = read_outline_counts(project.warehouse, run)
    lines = make_outline(segment, registry.names, counts)
    return CountedOutline(segment, run, lines)


@overload
def find_version(catalogue: Catalogue, registry: Registry, run: SegmentRun) -> Segment: ...


@overload
def find_version(catalogue: Catalogue, registry: Registry, run: MeasureRun) -> Measure: ...


def find_version(catalogue: Catalogue, registry: Registry, run: SegmentRun | MeasureRun) -> Segment | Measure:
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


@dataclass(frozen=True)
class Members:
    """The members of one snapshot.

    `rows` yields `profile_id` and, where the audience has an account, `account_id` (NULL where the source has none or
    the profile is gone from it), in the order of the profile keys where limited. Their names for people: `id_name`,
    `account_name` ('' without an account).
    """

    segment: Segment
    snapshot: SegmentRun
    id_name: str
    account_name: str
    rows: Iterator[pa.RecordBatch]

    @property
    def batches(self) -> Iterator[pa.Array]:
        """The ids alone, once: `rows` is used up by it."""
        return (rows.column("profile_id") for rows in self.rows)


def read_segment_members(
    project: OpenProject,
    name: str,
    *,
    limit: int | None = PREVIEW_MEMBERS,
    snapshot: int | None = None,
    at: datetime | None = None,
) -> Members:
    """Return the ids of a segment's members, with those of their accounts where they belong to any.

    Args:
        project: The project.
        name: Name or id of the segment.
        limit: At most so many; None: all.
        snapshot: Number of a snapshot; None: the current one.
        at: The snapshot that was the newest as of that time.

    Raises:
        ConfigError: There is no such segment or snapshot.
    """
    catalogue, _ = load_registered(project)
    segment = find_segment(catalogue, name)
    _, history = read_state(project)
    run = find_snapshot(history.segments, segment, snapshot, at)
    audience = project.settings.audiences[segment.audience]
    bitmaps = read_bitmaps(project.warehouse, run.snapshot_run_id, run.segment_id)
    keys = read_member_keys(project, history, run, audience)
    rows = _all_rows(keys, bitmaps) if limit is None else _first_rows(keys, bitmaps, limit)
    id_name, *account_names = member_columns(project.settings, audience.name).values()
    return Members(segment, run, id_name, "".join(account_names), rows)


def read_member_keys(project: OpenProject, history: History, run: SegmentRun, audience: Audience) -> DataFrame:
    """Return `profile_key`, `profile_id` of all profiles, and `account_id` where they belong to accounts."""
    keys = read_profile_keys(project.warehouse, audience.name, history.run_ids)
    if audience.account:
        sources = sources_of_run(project, history, run.run_id, [audience.table])
        keys = keys.join(read_account_ids(sources, audience), "profile_id", "left")
    return keys.select("profile_key", *member_columns(project.settings, audience.name))


def member_columns(settings: Settings, audience_name: str) -> dict[str, str]:
    """Return what the ids of a member, and of its account where it has one, are called for people."""
    audience = settings.audiences[audience_name]
    id_name = settings.tables[audience.table].key[0]
    if audience.account is None:
        return {"profile_id": id_name}
    column = audience.account.relationship.from_columns[0]
    account_name = column if column != id_name else f"{audience.account.audience}_id"
    return {"profile_id": id_name, "account_id": account_name}


def find_snapshot(
    trail: Trail[DefinitionRun], definition: Segment | Measure, number: int | None = None, at: datetime | None = None
) -> DefinitionRun:
    """Return a definition's snapshot: of a number, the newest as of a time, or the current one.

    Raises:
        ConfigError: There is none.
    """
    subject = f'{"Segment" if isinstance(definition, Segment) else "Measure"} "{definition.name}"'
    snapshots = trail.snapshots(definition.id)
    if not snapshots:
        last = trail.last(definition.id)
        reason = f"its last refresh ended {last.status}: {last.error}" if last else "it was never refreshed"
        raise ConfigError(f"{subject} has no snapshot: {reason}.", f"Run `segengine refresh {definition.id}`.")
    if number is not None:
        chosen = [run for run in snapshots if run.snapshot_version == number]
        known = ", ".join(str(run.snapshot_version) for run in snapshots[-10:])
        missing = f"{subject} has no snapshot {number}."
    else:
        chosen = [run for run in snapshots if at is None or run.as_of <= at]
        known = f"the first is as of {snapshots[0].as_of:%Y-%m-%d %H:%M} UTC"
        missing = f"{subject} has no snapshot that old."
    if not chosen:
        raise ConfigError(missing, f"Known: {known}.")
    return chosen[-1]


def _first_rows(keys: DataFrame, bitmaps: Mapping[int, bytes], limit: int) -> Iterator[pa.RecordBatch]:
    from pyspark.sql import functions as F

    wanted: list[int] = []
    for bucket in sorted(bitmaps):
        wanted += bitmap_keys(bitmaps[bucket], bucket)[: limit - len(wanted)].tolist()
        if len(wanted) >= limit:
            break
    with engine_errors("reading the ids of members"):
        found = keys.where(F.col("profile_key").isin(wanted)).toArrow() if wanted else None
    if found is not None:
        yield from found.sort_by("profile_key").drop_columns("profile_key").to_batches()


def _all_rows(keys: DataFrame, bitmaps: Mapping[int, bytes]) -> Iterator[pa.RecordBatch]:
    if bitmaps:
        with engine_errors("reading the ids of members"):
            yield from select_members(keys, bitmaps).drop("profile_key").toArrow().to_batches()


def select_members(keys: DataFrame, bitmaps: Mapping[int, bytes]) -> DataFrame:
    """Return the rows of `keys` that are a snapshot's members; the bit test runs in the engine's tasks.

    Only keys go through Python: over Connect the text it gives has a type that other readers of Delta refuse.

    Args:
        keys: `profile_key` and ids as text of all profiles.
        bitmaps: The snapshot's bitmaps by bucket.
    """
    highest = max(bitmaps, default=1)
    bits = np.zeros(highest * BITMAP_BYTES, dtype=np.uint8)
    for bucket, bitmap in bitmaps.items():
        bits[(bucket - 1) * BITMAP_BYTES : bucket * BITMAP_BYTES] = np.frombuffer(bitmap, dtype=np.uint8)
    schema = pa.schema([("profile_key", pa.int64())])

    def filter_members(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            places = batch.column(0).to_numpy(zero_copy_only=False) - 1
            inside = places < highest * BUCKET_SIZE
            clipped = np.where(inside, places, 0)
            member = inside & ((bits[clipped >> 3] >> (clipped & 7).astype(np.uint8)) & 1).astype(bool)
            yield batch.filter(pa.array(member)).cast(schema)

    members = keys.select("profile_key").mapInArrow(filter_members, "profile_key bigint")
    return keys.join(members, "profile_key")
