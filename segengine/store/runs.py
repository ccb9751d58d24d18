"""Published runs: the chain back from the control row, and what each run says of each segment."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.project.analysis import Analysis, Evaluated
from segengine.project.model import Segment
from segengine.project.types import instant_of
from segengine.store.control import ControlRow, walk_chain
from segengine.store.run_rows import Places, RunRows, make_no_rows
from segengine.store.warehouse import Row, Warehouse, column_names


class Status(StrEnum):
    """How the last refresh of a segment ended."""

    NOT_STARTED = "Not started"
    QUEUED = "Queued"
    REFRESHING = "Refreshing"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    HELD = "Held"
    SKIPPED = "Skipped"
    CANCELED = "Canceled"


REFRESHED, RELEASED, DROPPED, BACKFILLED = "refresh", "release", "drop", "back-fill"  # what a run was for
MAINTAINED, FORGOTTEN = "maintain", "forget"


@dataclass(frozen=True)
class Run:
    """One published run; times in UTC.

    JSON by table: `source_versions`, the version each was read at, null where it has none; `source_commits`, of a run
    at the present, what tells that version from another table's, '' where it has none; `source_readings`, of a run as
    of a past instant, how it read them. `snapshot_bytes`: of the files of snapshots it wrote, None: not known.
    """

    run_id: str
    previous_run_id: str
    as_of: datetime
    purpose: str
    status: Status
    engine: str
    author: str
    started_at: datetime
    finished_at: datetime
    source_versions: str
    source_readings: str
    source_commits: str
    scans: str
    error: str
    segengine_version: str
    snapshot_bytes: int | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock seconds from start to publication."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def row_count(self) -> int:
        """The rows it read from sources."""
        return sum(int(scan["row_count"]) for scan in json.loads(self.scans))


@dataclass(frozen=True)
class EvaluatedRun:
    """What one published run says of one definition, whatever its kind.

    `snapshot_run_id` is the run whose snapshot it uses (of an analysis: whose answer it has), '' where it has none.
    """

    run_id: str
    name: str
    snapshot_version: int
    snapshot_run_id: str
    as_of: datetime
    purpose: str
    status: Status
    definition_version: int
    data_hash: str
    parents_hash: str
    parents: str
    error: str
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class SegmentRun(EvaluatedRun):
    """What one published run says of one segment; counts are None where it has no snapshot.

    `outline_counts` (JSON) is only filled where it is written: histories are read without it.
    """

    segment_id: str
    profile_count: int | None
    member_count: int | None
    entered_count: int | None
    left_count: int | None
    outline_counts: str = ""

    @property
    def id(self) -> str:
        """The segment."""
        return self.segment_id


@dataclass(frozen=True)
class MeasureRun(EvaluatedRun):
    """What one published run says of one measure.

    `row_count`: profiles, or rows by dimensions, None where it has no snapshot; `value_counts` (JSON): how many
    profiles have each value, by column.
    """

    measure_id: str
    row_count: int | None
    value_counts: str

    @property
    def id(self) -> str:
        """The measure."""
        return self.measure_id


@dataclass(frozen=True)
class AnalysisRun(EvaluatedRun):
    """What one published run says of one analysis."""

    analysis_id: str

    @property
    def id(self) -> str:
        """The analysis."""
        return self.analysis_id


AnyRun = SegmentRun | MeasureRun | AnalysisRun
DefinitionRun = TypeVar("DefinitionRun", SegmentRun, MeasureRun, AnalysisRun)


@dataclass(frozen=True)
class Trail(Generic[DefinitionRun]):
    """Every published run of the segments, of the measures, or of the analyses, oldest first.

    Back-fills are among the snapshots, and count for nothing else: not for what is current, how the last run ended,
    what is due or held, or what a refresh is compared with. Only a back-fill itself sees them, in the trail `as_of` the
    instant it fills: there, what is current is the snapshot of exactly that instant, and any earlier one precedes it.

    `thinned`: the snapshots whose content is no longer kept, by (snapshot_run_id, id); their rows stay.
    """

    runs: RunRows[DefinitionRun] = field(default_factory=make_no_rows)
    thinned: frozenset[tuple[str, str]] = frozenset()
    as_of: datetime | None = None

    def seen_at(self, as_of: datetime) -> Trail[DefinitionRun]:
        """Return the trail as a back-fill of an instant sees it."""
        return replace(self, as_of=as_of)

    @property
    def ids(self) -> tuple[str, ...]:
        """The definitions that ever had a run."""
        return self.runs.ids

    def of(self, identity: str) -> list[DefinitionRun]:
        """Return the runs of one definition that count, oldest first."""
        return self.runs.take(self._counting(identity))

    def _counting(self, identity: str) -> Places:
        places = self.runs.places(identity)
        if self.as_of is None:
            counts = ~self.runs.are("purpose", BACKFILLED)[places]
        else:
            counts = self.runs.instants[places] == instant_of(self.as_of)
        return places[counts]

    def last(self, identity: str) -> DefinitionRun | None:
        """Return the newest run of a definition, however it ended."""
        return self._newest(self._counting(identity))

    def _newest(self, places: Places) -> DefinitionRun | None:
        return self.runs[int(places[-1])] if len(places) else None

    def snapshots(self, identity: str) -> list[DefinitionRun]:
        """Return all runs with a snapshot, kept or thinned, by (as_of, run), back-fills among them."""
        return self.runs.take(self._with_snapshot(self.runs.places(identity)))

    def _with_snapshot(self, places: Places) -> Places:
        """Return the places of runs with a snapshot, by (as_of, run)."""
        good = places[self.runs.are("status", Status.SUCCESSFUL)[places]]
        return good[np.argsort(self.runs.instants[good], kind="stable")]  # runs of one as_of stay in order

    def last_version(self, identity: str) -> int:
        """Return the number of a definition's newest snapshot, 0 before the first."""
        places = self._with_snapshot(self.runs.places(identity))
        return int(self.runs.numbers("snapshot_version")[places].max(initial=0))

    def is_kept(self, run: AnyRun) -> bool:
        """Return whether the content of a run's snapshot is still kept."""
        return (run.snapshot_run_id, run.id) not in self.thinned

    def _settled(self, identity: str) -> Places:
        """Return the places of the runs with a result, also one that was held back or dropped, oldest first."""
        places = self._counting(identity)
        has_result = self.runs.are("status", Status.SUCCESSFUL, Status.HELD)[places]
        was_dropped = self.runs.are("purpose", DROPPED)[places]
        return places[has_result | was_dropped]

    def settled_until(self, identity: str) -> datetime | None:
        """Return the latest instant that a definition has a result for, also one that was held back or dropped."""
        places = self._settled(identity)
        return self.runs[int(places[self.runs.instants[places].argmax()])].as_of if len(places) else None

    def held(self, identity: str) -> DefinitionRun | None:
        """Return the result that waits for its release: the newest one, where it was held back."""
        newest = self._newest(self._settled(identity))
        return newest if newest is not None and newest.status is Status.HELD else None

    def current(self, identity: str) -> DefinitionRun | None:
        """Return the published successful run with the greatest (as_of, run)."""
        return self._newest(self._with_snapshot(self._counting(identity)))

    def preceding(self, identity: str, as_of: datetime) -> DefinitionRun | None:
        """Return the newest successful run with an earlier as_of whose snapshot is kept."""
        places = self._counting(identity) if self.as_of is None else self.runs.places(identity)
        known = self._with_snapshot(places)
        earlier = known[self.runs.instants[known] < instant_of(as_of)]
        newest_first = (self.runs[place] for place in earlier[::-1].tolist())
        return next((run for run in newest_first if self.is_kept(run)), None)

    def compared_with(self, run: DefinitionRun) -> DefinitionRun | None:
        """Return the snapshot a snapshot's entered and left are against; of back-fills made since then as well."""
        trail = self.seen_at(run.as_of) if run.purpose == BACKFILLED else self
        return trail.preceding(run.id, run.as_of)


AnyTrail = Trail[SegmentRun] | Trail[MeasureRun] | Trail[AnalysisRun]


@dataclass(frozen=True)
class History:
    """Every published run, and what each says of its segments, measures and analyses."""

    runs: tuple[Run, ...] = ()
    segments: Trail[SegmentRun] = field(default_factory=Trail)
    measures: Trail[MeasureRun] = field(default_factory=Trail)
    analyses: Trail[AnalysisRun] = field(default_factory=Trail)

    @property
    def trails(self) -> tuple[AnyTrail, ...]:
        """The trails of all that is evaluated."""
        return self.segments, self.measures, self.analyses

    def trail_of(self, definition: Evaluated) -> AnyTrail:
        """Return the trail of what a definition is."""
        if isinstance(definition, Analysis):
            return self.analyses
        return self.segments if isinstance(definition, Segment) else self.measures

    def current(self, identity: str) -> AnyRun | None:
        """Return the current snapshot's run of a definition."""
        return next((run for trail in self.trails if (run := trail.current(identity))), None)

    def last(self, identity: str) -> AnyRun | None:
        """Return the newest run of a definition, however it ended."""
        return next((run for trail in self.trails if (run := trail.last(identity))), None)

    @cached_property
    def _runs_by_id(self) -> dict[str, Run]:
        return {run.run_id: run for run in self.runs}

    def run(self, run_id: str) -> Run | None:
        """Return a published run."""
        return self._runs_by_id.get(run_id)

    def seen_at(self, as_of: datetime) -> History:
        """Return the history as a back-fill of an instant sees it."""
        return replace(
            self,
            segments=self.segments.seen_at(as_of),
            measures=self.measures.seen_at(as_of),
            analyses=self.analyses.seen_at(as_of),
        )

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The ids of the runs whose profile keys count, oldest first; a failed run's keys were never given."""
        return tuple(run.run_id for run in self.runs if run.status is Status.SUCCESSFUL)


def read_history(warehouse: Warehouse, control: ControlRow) -> History:
    """Return what is published: rows count only where the chain back from the control row reaches their run."""
    if not control.published_id:
        return History()
    by_id = {row["run_id"]: row for row in warehouse.fetch("runs").to_pylist()}
    previous = {run_id: row["previous_run_id"] for run_id, row in by_id.items()}
    chain = walk_chain("runs", control.published_id, previous)
    gone = _published(warehouse, "thinned_snapshots", chain) if warehouse.exists("thinned_snapshots") else None
    thinned = frozenset((row["snapshot_run_id"], row["id"]) for row in gone.to_pylist()) if gone else frozenset()
    columns = [name for name in column_names("segment_runs") if name != "outline_counts"]
    segment_runs = _published(warehouse, "segment_runs", chain, columns)
    measure_runs = _published(warehouse, "measure_runs", chain)
    analyses: Trail[AnalysisRun] = Trail(thinned=thinned)
    if warehouse.exists("analysis_runs"):
        analysis_runs = _published(warehouse, "analysis_runs", chain)
        analyses = replace(analyses, runs=hold_runs(analysis_runs, "analysis_id", AnalysisRun))
    return History(
        runs=tuple(Run(**_typed(by_id[run_id])) for run_id in chain),
        segments=Trail(hold_runs(segment_runs, "segment_id", SegmentRun), thinned),
        measures=Trail(hold_runs(measure_runs, "measure_id", MeasureRun), thinned),
        analyses=analyses,
    )


def _published(warehouse: Warehouse, table: str, chain: Sequence[str], columns: Sequence[str] = ()) -> pa.Table:
    """Return the rows of the published runs, in the order of these."""
    rows = warehouse.fetch(table, columns)
    place = pc.index_in(rows["run_id"].cast(pa.string()), value_set=pa.array(chain, pa.string()))
    order = np.argsort(place.drop_null().to_numpy(), kind="stable")
    return rows.filter(pc.is_valid(place)).take(order)


def hold_runs(rows: pa.Table, id_column: str, kind: Callable[..., DefinitionRun]) -> RunRows[DefinitionRun]:
    """Return what runs say of one kind of definitions, from rows of their table, oldest run first."""
    return RunRows(rows, id_column, lambda row: kind(**_typed(row)))


def read_outline_counts(warehouse: Warehouse, run: SegmentRun) -> list[list[int | None]]:
    """Return, for each line of the outline of a snapshot's definition, its profiles and those of the running total."""
    rows = warehouse.fetch(
        "segment_runs", ("outline_counts",), run_id=run.snapshot_run_id, segment_id=run.segment_id
    ).to_pylist()
    text = rows[0]["outline_counts"] if rows else None
    counts: list[list[int | None]] = json.loads(text) if text else []
    return counts


def _typed(row: Row) -> Row:
    return {**row, "status": Status(row["status"])}
