"""Output tables: the current members of a segment as plain rows, for tools that read tables.

Written after publication from what is published: they may lag behind, never lead. Writing one again gives the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from segengine.engine.attachments import attached_rows, attachment_scan
from segengine.engine.failures import engine_errors
from segengine.engine.joins import ScanRows, columns_by_table
from segengine.engine.sources import Sources, check_against_lock, open_sources
from segengine.engine.uniqueness import check_keys
from segengine.errors import RunError
from segengine.kernel.scan import KEY
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.members import member_columns, read_member_keys, select_members
from segengine.operations.past_sources import reopen_sources
from segengine.operations.segments import find_snapshot
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_segment
from segengine.project.model import Segment
from segengine.store.runs import History, SegmentRun
from segengine.store.scores import read_scores
from segengine.store.snapshots import read_bitmaps, snapshot_of
from segengine.store.warehouse import make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)


def write_output_tables(project: OpenProject, names: Sequence[str]) -> list[str]:
    """Write the output table of each named segment and return their names.

    Rows: the members of the current snapshot. Columns: the profile's key as text, that of its account where
    the audience has one, `segment_id`, `snapshot_version`;
    of an expansion `score`, 0 to 1 (NULL of members of the source itself);
    for each attachment an array of structs under its name (its rows' key, then the attached attributes, as stored) and
    `NAME_truncated`; with attachments also `attributes_as_of` (UTC): the as_of of the run whose source versions they
    were read at, or the time of writing where one of these sources cannot be read at that version any more.

    Raises:
        ConfigError: A segment is unknown or has no snapshot.
        DataContractError: A source of attached rows is not as the project says.
        RunError: The engine failed.
    """
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    segments = [find_segment(catalogue, name) for name in names]
    return [_OutputTable(project, catalogue, history, segment).write() for segment in segments]


@dataclass(frozen=True)
class _Reading:
    """How attached rows are read: from where, and the instant they are of."""

    sources: Sources
    as_of: datetime


@dataclass(frozen=True)
class _OutputTable:
    project: OpenProject
    catalogue: Catalogue
    history: History
    segment: Segment

    def write(self) -> str:
        snapshot = find_snapshot(self.history.segments, self.segment)
        audience = self.project.settings.audiences[self.segment.audience]
        keys = read_member_keys(self.project, self.history, snapshot, audience)
        bits = read_bitmaps(self.project.warehouse, snapshot.snapshot_run_id, self.segment.id)
        members = select_members(keys, bits)
        pinned = self._as_in_the_run(snapshot) if self.segment.attach else None
        if pinned is None:
            self._write(members, snapshot, self._as_it_is_now() if self.segment.attach else None)
            return self.segment.output_table
        try:
            self._write(members, snapshot, pinned)
        except RunError as error:
            now = self._as_it_is_now()
            if now.sources.versions == pinned.sources.versions:
                raise
            logger.warning("the run's versions of the sources are gone, reading them as they are now: %s", error)
            self._write(members, snapshot, now)
        return self.segment.output_table

    def _write(self, members: DataFrame, snapshot: SegmentRun, reading: _Reading | None) -> None:
        warehouse, name = self.project.warehouse, self.segment.output_table
        with engine_errors(f"writing output table {name}"):
            warehouse.overwrite(name, self._rows(members, snapshot, reading))

    def _rows(self, members: DataFrame, snapshot: SegmentRun, reading: _Reading | None) -> DataFrame:
        """Return the rows to write; what is the same on all of them is joined, so that its columns are nullable."""
        from pyspark.sql import functions as F

        same = {
            "segment_id": self.segment.id,
            "snapshot_version": snapshot.snapshot_version,
            "attributes_as_of": reading.as_of if reading else None,
        }
        columns = "segment_id string, snapshot_version int, attributes_as_of timestamp"
        rows = members.crossJoin(F.broadcast(make_frame(self.project.session, columns, [same])))
        names = ["segment_id", "snapshot_version"]
        if reading is not None:
            for attachment in self.segment.attach:
                limit, schema = self.segment.attach_limit, self.catalogue.schema
                found = attached_rows(self.segment.audience, attachment, limit, reading.sources, schema, members)
                rows = rows.join(found, KEY)
                names += [attachment.name, attachment.truncated_name]
            names.append("attributes_as_of")
        if self.segment.expansion:
            rows = rows.join(read_scores(self.project.warehouse, snapshot_of(snapshot)), KEY, "left")
            names.append("score")
        ids = member_columns(self.project.settings, self.segment.audience)
        return rows.select(*[F.col(column).alias(name) for column, name in ids.items()], *names)

    def _scan_rows(self) -> list[ScanRows]:
        scans = [attachment_scan(self.segment.audience, attachment) for attachment in self.segment.attach]
        return [ScanRows(scan, self.project.settings, self.catalogue.schema) for scan in scans]

    def _used_columns(self) -> dict[str, set[str]]:
        return columns_by_table(self._scan_rows())

    def _as_in_the_run(self, snapshot: SegmentRun) -> _Reading | None:
        """Return how the run of a snapshot read its sources; None where it did not pin all that are wanted now."""
        run = next(run for run in self.history.runs if run.run_id == snapshot.snapshot_run_id)
        pinned: dict[str, int | None] = json.loads(run.source_versions)
        versions = {table: pinned.get(table) for table in self._used_columns()}
        if None in versions.values():
            return None
        return _Reading(reopen_sources(self.project, run, versions), run.as_of)

    def _as_it_is_now(self) -> _Reading:
        """Return how the newest versions are read, checked as a run checks its own."""
        session, settings, schema = self.project.session, self.project.settings, self.catalogue.schema
        used = self._used_columns()
        as_of = datetime.now(UTC)
        sources = open_sources(session, settings, used)
        check_against_lock(sources, schema, used)
        check_keys(sources, {key for rows in self._scan_rows() for key in rows.unique_keys()})
        return _Reading(sources, as_of)
