"""One pass over the rows of a scan: clause bits per row, states per profile, bitmaps per bucket.

Rows carry the dense key of their profile. Accumulators are plain arrays indexed by the key's place: OR for "some row",
saturating counters for "at least n rows". Batches are joined to 256 K rows up to two million, by what a row takes,
ordered by profile once, and worked on in pieces that stay in the processor's cache.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.aggregates import ValueKey, ValueReader, aggregate_type, drop_overflow, readings, value_batch
from segengine.kernel.aggregation import Aggregation, Lanes
from segengine.kernel.arithmetic import Clock
from segengine.kernel.bad_values import BadValues, InvalidCounts
from segengine.kernel.bitmaps import BITMAP_BYTES, AnyArray, Words, transpose_words
from segengine.kernel.columns import Codes
from segengine.kernel.counters import Planes, add_saturating, at_least, sum_ranked
from segengine.kernel.groups import KEY as KEY
from segengine.kernel.matching import MatchedRows, Matcher
from segengine.kernel.program import ScanProgram, compile_scan
from segengine.kernel.ranks import Ranked, profile_order, rank_rows
from segengine.kernel.scan_groups import NOBODY, ScanGroups
from segengine.kernel.values import BadColumnError as BadColumnError  # callers know it from here
from segengine.kernel.values import Columns, Values, drop_room, joined_values, with_room
from segengine.plan.scans import BUCKET_SIZE, RowCount, Scan, SomeRow, SomeRowOf

_BATCH_ROWS = 1 << 21
_FEWEST_BATCH_ROWS = 1 << 18
_BATCH_BYTES = 16 << 20  # beyond it the memory of a batch is given back, and its pages are cleared again for the next
_GROUPING_BYTES = 48  # that a row takes while it is put into its group
_PIECE_ROWS = 1 << 14
_SHIFT = BUCKET_SIZE.bit_length() - 1

# On the embedded engine tasks are threads of one process. More of them at work than there are cores would only
# fight for the lock of the interpreter and for cache: seven tasks on two cores took half as much again.
_turns = threading.BoundedSemaphore(os.cpu_count() or 1)


class ScanKernel:
    """Accumulates the outputs of one scan over batches of rows."""

    def __init__(self, scan: Scan, program: ScanProgram | None = None, clock: Clock | None = None) -> None:
        """Prepare the accumulators.

        Args:
            scan: What to answer.
            program: The scan compiled before, once for all tasks; None: compile it now.
            clock: The time of the run where the scan is compiled now (`compile_scan`).
        """
        program = program or compile_scan(scan, clock)
        self._scan = scan
        self._indexes = program.fresh_indexes()
        self._readers: dict[ValueKey, ValueReader] = {
            reading.key: ValueReader(reading.of, reading.form, program.clock)
            for _, aggregate in (*scan.aggregates, *(value for each in scan.groups for value in each.values))
            for reading in readings(aggregate)
        }
        self._groups = ScanGroups(scan, self._readers, program.clock)
        self._matcher = Matcher(program.layout, program.base)
        self._state = _States(program, scan)
        self._bad_values = BadValues(scan)
        self.row_count = 0
        self.orphan_count = 0
        self.duplicate_count = 0

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in rows: column `profile_key` (NULL: reaches no profile) and `c0`, `c1`, ... in any order.

        Raises:
            BadColumnError: A value is not of its column's declared type.
        """
        for _ in self._add_until_full(batches):
            pass  # the states of groups are asked for at the end, whatever room they take

    def add_in_parts(self, batches: Iterable[pa.RecordBatch]) -> Iterator[dict[int, pa.RecordBatch]]:
        """Take in rows as `add` does; yield the states of groups whenever they take too much room, and at the end.

        By number of the scan's groups those that had a row; a group may be in several parts.
        """
        for _ in self._add_until_full(batches):
            yield self._groups.take()
        yield self._groups.take()

    def _add_until_full(self, batches: Iterable[pa.RecordBatch]) -> Iterator[None]:
        """Take in rows; stop where the groups are full."""
        waiting: list[_Coded] = []
        count, enough = 0, self._batch_rows()
        for batch in batches:
            for start in range(0, batch.num_rows, enough):
                with _turns:
                    waiting.append(self._encode(batch.slice(start, enough)))
                    count += len(waiting[-1].keys)
                    is_full = self._groups.is_full
                    if count and (count >= enough or is_full):
                        self._accumulate(_joined(waiting))
                        count = 0
                if is_full:
                    yield
        if count:
            with _turns:
                self._accumulate(_joined(waiting))

    def _batch_rows(self) -> int:
        """Return how many rows are joined: the more, the less often states are fetched, but not beyond some bytes."""
        row_bytes = 8 + 2 * len(self._indexes) + 8 * (len(self._readers) + len(self._groups.dimensions))
        if self._groups:
            row_bytes += _GROUPING_BYTES
        return min(_BATCH_ROWS, max(_FEWEST_BATCH_ROWS, _BATCH_BYTES // row_bytes))

    def _encode(self, rows: pa.RecordBatch) -> _Coded:
        """Return rows as profile keys and codes: from here on values, texts above all, are gone."""
        self.row_count += rows.num_rows
        keys = rows.column(rows.schema.get_field_index(KEY))
        if keys.null_count:
            self.orphan_count += keys.null_count
            if self._groups.keeps_orphans:
                keys = keys.fill_null(NOBODY)
            else:
                rows = rows.filter(keys.is_valid())
                keys = rows.column(rows.schema.get_field_index(KEY))
        known = self._invalid_counts()
        columns = Columns(lambda attribute: rows.column(rows.schema.get_field_index(self._scan.column_name(attribute))))
        codes = [index.read(columns) for index in self._indexes]
        values = [reader.read(columns) for reader in self._readers.values()]
        values += [reader.read(columns) for reader in self._groups.dimensions]
        if self._invalid_counts() != known:
            self._note_invalid(rows, known)
        return _Coded(keys.to_numpy(zero_copy_only=False), codes, values)

    def _invalid_counts(self) -> list[int]:
        counts = [index.invalid_count for index in self._indexes]
        counts += [reader.invalid_count for reader in self._readers.values()]
        return counts + [reader.invalid_count for reader in self._groups.dimensions]

    def _note_invalid(self, rows: pa.RecordBatch, known: list[int]) -> None:
        """Note in whose way a batch has values that are errors; `known`: counts before it."""
        grown = iter([now > before for now, before in zip(self._invalid_counts(), known, strict=True)])
        for index in self._indexes:
            if next(grown):
                self._bad_values.note_judged(index.attribute, rows)
        aggregated = {own for reader in self._readers.values() if next(grown) for own in reader.attributes}
        self._bad_values.note_aggregated(aggregated, rows)
        for reader in self._groups.dimensions:
            if next(grown):
                self._bad_values.note_dimension(reader.attribute, rows)

    def _accumulate(self, rows: _Coded) -> None:
        places = self._state.places(rows.keys)
        order, starts = profile_order(places, is_ranked=self._state.is_ranked)
        places = places.take(order, mode="clip")  # clip: several times faster than a check
        if self._scan.path is None:
            self.duplicate_count += len(places) - len(starts) + self._state.mark_seen(places[starts])
        self._matcher.begin([index.table for index in self._indexes], rows.codes, order)
        taken = [column.taken(order) for column in rows.values]
        values = dict(zip(self._readers, taken, strict=False))
        self._state.begin(values, starts, len(places), keeps_lanes=bool(self._groups))
        for piece in _pieces(starts, len(places)):
            first, last = np.searchsorted(starts, [piece.start, piece.stop])
            own = starts[first:last]
            self._state.update(self._matcher.match(piece), own - piece.start, places[piece])
        lanes = self._state.lanes(len(places))
        if lanes is not None:
            self._state.aggregate(places, lanes, values)
            if self._groups:
                self._groups.add(rows.keys[order], lanes, taken[len(self._readers) :], values)

    def invalid_counts(self) -> InvalidCounts:
        """Return how many values of a column or aggregate were errors for what is asked: infinities, bad years."""
        return self._bad_values.counts() | self._state.invalid_counts()

    def take(self) -> Iterator[BucketAnswers]:
        """Yield the answers for each bucket seen, once all rows are in, and forget it: memory shrinks meanwhile."""
        yield from self._state.take()

    def group_states(self, number: int) -> pa.RecordBatch | None:
        """Return the states of the scan's groups with that number (`state_schema`); None where there was no row."""
        return self._groups.states(number)


@dataclass(frozen=True)
class BucketAnswers:
    """What the rows of a scan say of the 32,768 profiles of a bucket.

    `bits`: the outputs, one bitmap of 4,096 bytes after the other. `overflow`: by output the places in the bucket of
    the profiles for whom the aggregate that it judges had too many digits. `values`: the scan's values, columns `v0`,
    `v1`, ... as `value_batch` makes them.
    """

    bucket: int
    bits: bytes
    overflow: dict[int, list[int]]
    values: pa.RecordBatch


@dataclass(frozen=True)
class _Coded:
    """Rows as profile keys, shape (n,), the codes of each column, shape (n,) each, and the values aggregated."""

    keys: npt.NDArray[np.int64]
    codes: list[Codes]
    values: list[Values]


def _joined(parts: list[_Coded]) -> _Coded:
    """Return parts as one; the list is empty then, so that their memory is free while the whole is worked on."""
    columns = zip(*(part.codes for part in parts), strict=True)
    values = zip(*(part.values for part in parts), strict=True)
    joined = _Coded(
        np.concatenate([part.keys for part in parts]),
        [np.concatenate(column) for column in columns],
        [joined_values(column) for column in values],
    )
    parts.clear()
    return joined


def _pieces(starts: AnyArray, count: int) -> Iterator[slice]:
    """Yield pieces of about `_PIECE_ROWS` rows that end where a profile ends."""
    begin = 0
    while begin < count:
        place = int(np.searchsorted(starts, begin + _PIECE_ROWS))
        end = int(starts[place]) if place < len(starts) else count
        yield slice(begin, end)
        begin = end


class _States:
    """The accumulators of all buckets seen."""

    def __init__(self, program: ScanProgram, scan: Scan) -> None:
        layout = program.layout
        self._layout = layout
        self._outputs = scan.outputs
        self._singles = {clause: place for place, clause in enumerate(layout.single)}
        self._lanes = {lane: layout.single_words.stop * 64 + place for place, lane in enumerate(layout.lanes)}
        self._counters = {rows: place for place, rows in enumerate(layout.counted)}
        self._slots: dict[int, int] = {}
        self._seen: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._bits: Words = np.zeros((0, layout.single_words.stop + layout.lane_words), dtype=np.uint64)
        self._counts: Planes = [np.zeros((0, layout.counter_words), dtype=np.uint64) for _ in range(layout.count_depth)]
        self._judges = program.fresh_judges()
        self._aggregation = Aggregation(scan.aggregates, layout.aggregated, layout.nests)
        self._values = scan.values
        self._noted: list[Words] = []
        self._keeps_lanes = False

    @property
    def is_ranked(self) -> bool:
        """Whether rows are counted, not only looked for or aggregated."""
        return bool(self._layout.counted)

    def places(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where each key's state lies, making room for buckets not seen before."""
        offsets = keys - 1
        buckets = (offsets >> _SHIFT) + 1
        slot_of = np.zeros(int(buckets.max()) + 1, dtype=np.int64)
        seen = len(self._slots)
        for bucket in np.flatnonzero(np.bincount(buckets)):
            slot_of[bucket] = self._slots.setdefault(int(bucket), len(self._slots))
        if len(self._slots) * BUCKET_SIZE > len(self._bits):
            room = max(len(self._slots), 2 * len(self._bits) // BUCKET_SIZE) * BUCKET_SIZE
            self._bits = with_room(self._bits, room)
            self._counts = [with_room(plane, room) for plane in self._counts]
            self._aggregation.grow(room)
        if len(self._slots) > seen:
            self._aggregation.clear(slice(seen * BUCKET_SIZE, len(self._slots) * BUCKET_SIZE))
        found = slot_of.take(buckets, mode="clip")
        found <<= _SHIFT
        offsets &= BUCKET_SIZE - 1
        found |= offsets
        return found

    def mark_seen(self, places: npt.NDArray[np.int64]) -> int:
        """Return how many of these profiles had a row in a batch before; from now on all of them had."""
        self._seen = with_room(self._seen, len(self._bits))
        before = int(np.count_nonzero(self._seen[places]))
        self._seen[places] = True
        return before

    def update(self, matched: MatchedRows, starts: AnyArray, places: AnyArray) -> None:
        """Take in a piece of a batch.

        Args:
            matched: What holds of its rows.
            starts: The first row of each profile.
            places: Where the state of each row's profile is.
        """
        layout = self._layout
        if wanted_words := self._bits.shape[1]:
            self._bits[places[starts]] |= np.bitwise_or.reduceat(matched.words[:, :wanted_words], starts, axis=0)
        if layout.counted:
            bits = np.ascontiguousarray(matched.words[:, layout.counters[0]])
            for ranked in rank_rows(starts, len(bits), places[starts]):
                self._count(bits, ranked)
        if layout.aggregated:
            self._aggregation.add_bits(matched.lanes, matched.rows, places)
            if self._keeps_lanes:
                self._noted.append(matched.lanes.of_rows(matched.lanes.bits).copy())  # it may lie in a buffer

    def _count(self, bits: Words, ranked: Ranked) -> None:
        """Count the rows that have a bit."""
        depth = self._layout.count_depth
        sums, places = sum_ranked(bits, ranked, depth)
        sums = add_saturating([plane[places] for plane in self._counts], sums, depth)
        for plane, total in zip(self._counts, sums, strict=True):
            plane[places] = total

    def begin(self, values: Mapping[ValueKey, Values], starts: AnyArray, count: int, *, keeps_lanes: bool) -> None:
        """Prepare for aggregating a batch of `count` rows; `starts`: the first row of each profile."""
        if self._layout.aggregated:
            longest = int(np.diff(np.append(starts, count)).max())
            self._keeps_lanes = self._aggregation.begin(values, longest) or keeps_lanes

    def lanes(self, count: int) -> Lanes | None:
        """Return which of the batch's `count` rows are aggregated; None where nothing needs to know any more."""
        if not self._noted:
            return None
        noted = np.concatenate([*self._noted, np.zeros((-count % 8, self._layout.summed_words), np.uint64)])
        self._noted = []
        return Lanes(dict(zip(self._layout.aggregated, transpose_words(noted), strict=False)), count)

    def aggregate(self, places: AnyArray, lanes: Lanes, values: Mapping[ValueKey, Values]) -> None:
        """Take in the values of a batch; `places`: of each row, by profile."""
        self._aggregation.add(places, lanes.rows, values)

    def invalid_counts(self) -> InvalidCounts:
        """Return for how many profiles a part of an aggregate's value was an error, by output."""
        return {
            (output, judge.name): index.invalid_count
            for judge in self._judges
            for index in judge.indexes
            if index.invalid_count
            for output in judge.outputs_of(index)
        }

    def take(self) -> Iterator[BucketAnswers]:
        """Yield the answers for each bucket, and drop its states; rows of nobody are in none."""
        for bucket, slot in reversed(self._slots.items()):
            own = slice(slot * BUCKET_SIZE, (slot + 1) * BUCKET_SIZE)
            if bucket:
                self._aggregation.settle(own)
                yield BucketAnswers(bucket, *self._outputs_of(own), self._values_of(own))
            self._bits = drop_room(self._bits, own.start)
            self._counts = [drop_room(plane, own.start) for plane in self._counts]
            self._aggregation.shrink(own.start)

    def _outputs_of(self, own: slice) -> tuple[bytes, dict[int, list[int]]]:
        """Return the bitmaps of all outputs, and the places of aggregates with too many digits."""
        rows = transpose_words(self._bits[own])
        planes = [transpose_words(plane[own]) for plane in self._counts] if self._counters else []
        blob = np.empty((len(self._outputs), BITMAP_BYTES), dtype=np.uint8)
        for place, output in enumerate(self._outputs):
            if isinstance(output, SomeRow):
                blob[place] = rows[self._singles[output.clause]]
            elif isinstance(output, SomeRowOf):
                blob[place] = rows[self._lanes[output]]
            elif isinstance(output, RowCount):
                lane = self._counters[output.rows]
                blob[place] = at_least([plane[lane] for plane in planes], output.at_least)
        overflow: dict[int, list[int]] = {}
        for judge in self._judges:
            values = self._aggregation.result((judge.rows, judge.aggregate), own)
            if places := drop_overflow(values):
                overflow |= dict.fromkeys(judge.outputs, places)
            blob[list(judge.outputs)] = transpose_words(judge.passed(values), len(judge.outputs))
        return blob.tobytes(), overflow

    def _values_of(self, own: slice) -> pa.RecordBatch:
        return value_batch(
            [
                (self._aggregation.result((value.rows, value.aggregate), own), aggregate_type(value.aggregate))
                for value in self._values
            ]
        )
