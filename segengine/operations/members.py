"""The members of a snapshot: their ids, and attributes of their profiles where wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from segengine.engine.accounts import read_account_ids
from segengine.engine.failures import engine_errors
from segengine.engine.joins import ScanRows, columns_by_table
from segengine.errors import ConfigError
from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys
from segengine.kernel.scan import KEY
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.member_measures import find_measure_runs, read_measured
from segengine.operations.past_sources import sources_of_run
from segengine.operations.segments import find_held, find_snapshot
from segengine.operations.unused import note_use
from segengine.plan.scans import BUCKET_SIZE, Scan
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_segment
from segengine.project.model import Condition, ProfileRule, Segment
from segengine.project.profile_attributes import find_profile_attribute
from segengine.project.profile_measures import find_profile_measure, names_measure, suggest_measure
from segengine.project.project_file import Audience, Settings
from segengine.project.walk import expression_leaves, segment_rules
from segengine.store.profile_keys import read_profile_keys
from segengine.store.runs import History, MeasureRun, SegmentRun
from segengine.store.snapshots import read_bitmaps

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PREVIEW_MEMBERS = 100


@dataclass(frozen=True)
class Members:
    """The members of one snapshot.

    `rows` yields `profile_id` and, where the audience has an account, `account_id` (NULL where the source has none or
    the profile is gone from it), in the order of the profile keys where limited. Their names for people: `id_name`,
    `account_name` ('' without an account). Then come `attributes`, as stored and as the snapshot's run read them where
    that is still to be had (NULL where the profile is gone).
    """

    segment: Segment
    snapshot: SegmentRun
    id_name: str
    account_name: str
    attributes: tuple[str, ...]
    rows: Iterator[pa.RecordBatch]

    @property
    def columns(self) -> dict[str, str]:
        """What the columns of the rows are called for people."""
        ids = {"profile_id": self.id_name} | ({"account_id": self.account_name} if self.account_name else {})
        return ids | {name: name for name in self.attributes}

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
    held: bool = False,
    attributes: Sequence[str] | None = (),
) -> Members:
    """Return the ids of a segment's members, with those of their accounts where they belong to any.

    Args:
        project: The project.
        name: Name or id of the segment.
        limit: At most so many; None: all.
        snapshot: Number of a snapshot; None: the current one.
        at: The snapshot that was the newest as of that time.
        held: The result that waits for its release, instead of a snapshot.
        attributes: What else is wanted, as rules on the profile write it; None: what the segment's rules ask.

    Raises:
        ConfigError: There is no such segment, snapshot or attribute, or nothing is held back.
    """
    catalogue, _ = load_registered(project)
    segment = find_segment(catalogue, name)
    _, history = read_state(project)
    run = find_held(history.segments, segment) if held else find_snapshot(history.segments, segment, snapshot, at)
    profiles = find_profiles(project, catalogue, history, run, attributes)
    if limit is None:
        note_use(project, segment.id, "members")
    bitmaps = read_bitmaps(project.warehouse, run.snapshot_run_id, run.segment_id)
    id_name, *account_names = member_columns(project.settings, segment.audience).values()
    names = tuple(profiles.attributes)
    return Members(segment, run, id_name, "".join(account_names), names, profiles.read(bitmaps, limit))


@dataclass(frozen=True)
class Profiles:
    """The profiles of a segment's audience as one of its runs read them: ids, and some attributes by name."""

    project: OpenProject
    catalogue: Catalogue
    history: History
    run: SegmentRun
    attributes: Mapping[str, Attribute]
    measure_runs: Mapping[str, MeasureRun]

    @property
    def _audience(self) -> Audience:
        return self.project.settings.audiences[self.catalogue.segments[self.run.segment_id].audience]

    def read(self, bitmaps: Mapping[int, bytes], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of those in bitmaps: all, or the first by profile key."""
        keys = read_member_keys(self.project, self.history, self.run, self._audience)
        chosen = select_members(keys, bitmaps) if limit is None else _first_keys(keys, bitmaps, limit)
        if not bitmaps:
            return
        names = [*member_columns(self.project.settings, self._audience.name), *self.attributes]
        with engine_errors("reading the ids of members"):
            found = self._with_attributes(chosen).toArrow()
        if limit is not None:
            found = found.sort_by(KEY)
        yield from found.drop_columns(KEY).rename_columns(names).to_batches()

    def _with_attributes(self, keys: DataFrame) -> DataFrame:
        if not self.attributes:
            return keys
        distinct = tuple(dict.fromkeys(self.attributes.values()))
        plain = tuple(each for each in distinct if not each.measure)
        measured = tuple(each for each in distinct if each.measure)
        names = {attribute: f"m{place}" for place, attribute in enumerate(measured)}
        rows = keys
        if plain:
            scan = Scan(self._audience.name, self._audience.table, None, plain, ())
            names |= {attribute: scan.column_name(attribute) for attribute in plain}
            rows = rows.join(self._rows_of(scan, keys), KEY, "left")
        values = read_measured(self.project, self.catalogue, self.measure_runs, measured)
        if values is not None:
            rows = rows.join(values, KEY, "left")
        ids = member_columns(self.project.settings, self._audience.name)
        return rows.select(KEY, *ids, *(names[attribute] for attribute in self.attributes.values()))

    def _rows_of(self, scan: Scan, keys: DataFrame) -> DataFrame:
        """Return `profile_key` and the columns of a scan of the profiles, as the run read them."""
        rows = ScanRows(scan, self.project.settings, self.catalogue.schema)
        sources = sources_of_run(self.project, self.history, self.run.snapshot_run_id, columns_by_table([rows]))
        return rows.rows_of(sources, keys.select("profile_id", KEY))


def find_profiles(
    project: OpenProject,
    catalogue: Catalogue,
    history: History,
    run: SegmentRun,
    attributes: Sequence[str] | None,
) -> Profiles:
    """Return the profiles of a segment's run with attributes, measures among them.

    None: those that the segment's rules ask of profiles, but for measures whose values of then are not to be had.

    Raises:
        ConfigError: There is no such attribute, or a measure that is named has no values for that run.
    """
    segment = catalogue.segments[run.segment_id]
    if attributes is None:
        found = rule_attributes(segment)
    else:
        found = {name: _find_attribute(catalogue, name, segment.audience) for name in attributes}
    runs = find_measure_runs(catalogue, history, run, found.values())
    missing = {name for name, each in found.items() if each.measure and (each.hops or each.measure not in runs)}
    if missing and attributes is not None:
        name = min(missing)
        shown = f"snapshot {run.snapshot_version}" if run.snapshot_version else "the held result"
        message = f'There are no values of measure "{name}" as {shown} of "{segment.name}" saw them.'
        raise ConfigError(message, f"Leave it out, or ask of a newer snapshot, after `segengine refresh {segment.id}`.")
    return Profiles(project, catalogue, history, run, {n: a for n, a in found.items() if n not in missing}, runs)


def _find_attribute(catalogue: Catalogue, name: str, audience: str) -> Attribute:
    if names_measure(catalogue, name):
        attribute = find_profile_measure(catalogue, name, audience)[1]
        if attribute.hops:
            message = f'"{name}" is a value of the profiles\' {attribute.hops[-1].name}.'
            raise ConfigError(message, "It is shown beside members of segments of those alone.")
        return attribute
    try:
        return find_profile_attribute(catalogue.settings, catalogue.schema, name, audience)[1]
    except ConfigError as error:
        raise suggest_measure(catalogue, name, error) from None


def rule_attributes(segment: Segment) -> dict[str, Attribute]:
    """Return what a segment's rules ask of the profiles themselves, by name: columns and values of measures."""
    leaves = (
        leaf
        for rule in segment_rules(segment.steps)
        if isinstance(rule, ProfileRule)
        for leaf in expression_leaves(rule.where)
    )
    asked = (leaf.attribute.whole for leaf in leaves if isinstance(leaf, Condition))
    return {attribute.name: attribute for attribute in asked}


def read_member_keys(project: OpenProject, history: History, run: SegmentRun, audience: Audience) -> DataFrame:
    """Return `profile_key`, `profile_id` of all profiles, and `account_id` where they belong to accounts."""
    keys = read_profile_keys(project.warehouse, audience.name, history.run_ids)
    if audience.account:
        sources = sources_of_run(project, history, run.snapshot_run_id, [audience.table])
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


def _first_keys(keys: DataFrame, bitmaps: Mapping[int, bytes], limit: int) -> DataFrame:
    from pyspark.sql import functions as F

    wanted: list[int] = []
    for bucket in sorted(bitmaps):
        wanted += bitmap_keys(bitmaps[bucket], bucket)[: limit - len(wanted)].tolist()
        if len(wanted) >= limit:
            break
    return keys.where(F.col(KEY).isin(wanted))


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
