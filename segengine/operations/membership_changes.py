"""Who entered and who left a segment between two of its snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from segengine.errors import ConfigError
from segengine.kernel.bitmaps import count_members, subtract_bitmaps
from segengine.operations.context import OpenProject, load_registered, parse_as_of, read_state
from segengine.operations.members import PREVIEW_MEMBERS, find_profiles, member_columns
from segengine.operations.segments import find_snapshot
from segengine.operations.unused import note_use
from segengine.project.find import find_segment
from segengine.project.model import Segment
from segengine.project.project_file import Settings
from segengine.store.runs import History, SegmentRun
from segengine.store.snapshots import read_bitmaps


@dataclass(frozen=True)
class MembershipChanges:
    """Who entered and left from one snapshot to a later one; `before` None: everybody entered.

    `rows` yields `change` ("entered", "left"), then the columns of the profiles: ids, and attributes as the run of
    `after` read them where that is still to be had (NULL where the profile is gone). `columns`: what they are called
    for people.
    """

    segment: Segment
    before: SegmentRun | None
    after: SegmentRun
    entered_count: int
    left_count: int
    columns: dict[str, str]
    rows: Iterator[pa.RecordBatch]


def read_membership_changes(
    project: OpenProject,
    name: str,
    *,
    start: str = "",
    end: str = "",
    limit: int | None = PREVIEW_MEMBERS,
    attributes: Sequence[str] | None = None,
) -> MembershipChanges:
    """Return who entered and left a segment between two snapshots.

    Args:
        project: The project.
        name: Name or id of the segment.
        start: The earlier snapshot: its number, or a time as of which it was the newest; '': the one before the later.
        end: The later one; '': the current one.
        limit: At most so many that entered, and so many that left; None: all.
        attributes: Of the profiles, as rules on them write it; None: what the segment's rules ask.

    Raises:
        ConfigError: There is no such segment, snapshot or attribute, or the snapshots are the wrong way round.
    """
    catalogue, _ = load_registered(project)
    segment = find_segment(catalogue, name)
    _, history = read_state(project)
    after = _snapshot(history, segment, end, project.settings)
    preceding = history.segments.compared_with(after)
    before = _snapshot(history, segment, start, project.settings) if start else preceding
    if before is not None and before.as_of > after.as_of:
        message = f"Snapshot {before.snapshot_version} is later than snapshot {after.snapshot_version}."
        raise ConfigError(message, "Exchange --from and --to.")
    old = read_bitmaps(project.warehouse, before.snapshot_run_id, segment.id) if before else {}
    new = read_bitmaps(project.warehouse, after.snapshot_run_id, segment.id)
    changed = {"entered": subtract_bitmaps(new, old), "left": subtract_bitmaps(old, new)}
    profiles = find_profiles(project, catalogue, history, after, attributes)
    ids = member_columns(project.settings, segment.audience)
    if limit is None:
        note_use(project, segment.id, "changes")

    def rows() -> Iterator[pa.RecordBatch]:
        for change, bitmaps in changed.items():
            for batch in profiles.read(bitmaps, limit):
                names = ["change", *batch.schema.names]
                yield pa.RecordBatch.from_arrays([pa.repeat(change, batch.num_rows), *batch.columns], names)

    entered, left = (sum(count_members(bits) for bits in bitmaps.values()) for bitmaps in changed.values())
    columns = {"change": "change", **ids, **{name: name for name in profiles.attributes}}
    return MembershipChanges(segment, before, after, entered, left, columns, rows())


def _snapshot(history: History, segment: Segment, which: str, settings: Settings) -> SegmentRun:
    if which.isdigit():
        return find_snapshot(history.segments, segment, int(which))
    moment = parse_as_of(which, settings.time_zone) if which else None
    return find_snapshot(history.segments, segment, None, moment)
