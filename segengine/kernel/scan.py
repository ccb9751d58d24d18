"""One pass over the rows of a scan: clause bits per row, states per profile, bitmaps per bucket.

Rows carry the dense key of their profile. Accumulators are plain arrays indexed by the key's place: OR for "some row",
saturating counters for "at least n rows". Batches are joined to some 256 K rows, sorted by place once, and worked on
in pieces that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.bitmaps import BITMAP_BYTES, AnyArray, Words, pack_booleans, transpose_words
from segengine.kernel.columns import Codes, ColumnIndex, make_index
from segengine.kernel.ordinals import BadValueError
from segengine.plan.rows import Clause, Clauses, Combined, RowSet
from segengine.plan.scans import BUCKET_SIZE, RowCount, Scan, SomeRow, SomeRowOf

KEY = "profile_key"
_BATCH_ROWS = 1 << 18
_PIECE_ROWS = 1 << 14
_SHIFT = BUCKET_SIZE.bit_length() - 1


class BadColumnError(Exception):
    """A column has values that are not of its declared type."""

    def __init__(self, column: str, type_: str, count: int) -> None:
        super().__init__(column, type_, count)
        self.column, self.type, self.count = column, type_, count


class _Layout:
    """Where each clause sits in the words of a row.

    First the clauses whose bits are wanted themselves, then one lane per row set in layers: lane i is the OR of bit i
    over the layers, so that row sets of several clauses cost one OR of words, not one per row set.
    """

    def __init__(self, scan: Scan) -> None:
        self.positions: list[Clause | None] = []
        self.single = [output.clause for output in scan.outputs if isinstance(output, SomeRow)]
        self.lanes = [output for output in scan.outputs if isinstance(output, SomeRowOf)]
        self.counted = list(dict.fromkeys(o.rows for o in scan.outputs if isinstance(o, RowCount)))
        self.single_words = self._block(list(self.single))
        self.inside = self._layers([lane.inside for lane in self.lanes])
        self.outside = self._layers([lane.outside for lane in self.lanes])
        self.counters = self._layers(self.counted)
        trees = [s for lane in self.lanes for s in (lane.inside, lane.outside) if not isinstance(s, Clauses)]
        self.trees = {tree: self._leaves(tree) for tree in [*trees, *self.counted] if not isinstance(tree, Clauses)}
        self.width = max(1, len(self.positions) // 64)

    def _block(self, clauses: list[Clause | None]) -> slice:
        start = len(self.positions) // 64
        self.positions += clauses + [None] * (-len(clauses) % 64)
        return slice(start, len(self.positions) // 64)

    def _layers(self, row_sets: list[RowSet]) -> list[slice]:
        """Return one block of words per layer; trees have no clause in it and are filled in row by row."""
        flat = [row_set.clauses if isinstance(row_set, Clauses) else () for row_set in row_sets]
        depth = max(1, max(map(len, flat), default=0)) if row_sets else 0
        return [self._block([own[k] if k < len(own) else None for own in flat]) for k in range(depth)]

    def _leaves(self, tree: RowSet) -> dict[Clause, int]:
        """Return the position of every clause of a tree, in a block of its own."""
        clauses = list(dict.fromkeys(_tree_clauses(tree)))
        start = self._block(list(clauses)).start * 64
        return {clause: start + place for place, clause in enumerate(clauses)}


def _tree_clauses(tree: RowSet) -> Iterator[Clause]:
    if isinstance(tree, Clauses):
        yield from tree.clauses
    else:
        for part in tree.parts:
            yield from _tree_clauses(part)


class ScanKernel:
    """Accumulates the outputs of one scan over batches of rows."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._layout = _Layout(scan)
        positions = self._layout.positions
        self._base = pack_booleans(
            np.array([[clause is not None for clause in positions]], dtype=bool), self._layout.width
        )
        self._indexes = [make_index(attribute, positions) for attribute in scan.columns]
        self._state = _States(self._layout, scan)
        self.row_count = 0
        self.orphan_count = 0
        self.duplicate_count = 0

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in rows: column `profile_key` (NULL: reaches no profile) and `c0`, `c1`, ... in any order.

        Raises:
            BadColumnError: A value is not of its column's declared type.
        """
        for table in _joined(batches):
            self._add(table)

    def _add(self, rows: pa.RecordBatch) -> None:
        self.row_count += rows.num_rows
        keys = rows.column(rows.schema.get_field_index(KEY))
        if keys.null_count:
            self.orphan_count += keys.null_count
            rows = rows.filter(keys.is_valid())
            keys = rows.column(rows.schema.get_field_index(KEY))
        if not rows.num_rows:
            return
        places = self._state.places(keys.to_numpy(zero_copy_only=False))
        packed = np.sort((places << 20) | np.arange(len(places)))  # sorting packed pairs is several times an argsort
        order, places = packed & 0xFFFFF, packed >> 20
        starts = np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]]))
        if self._scan.path is None:
            self.duplicate_count += len(places) - len(starts) + self._state.mark_seen(places[starts])
        codes = [self._codes(index, rows)[order] for index in self._indexes]
        for piece in _pieces(starts, len(places)):
            first, last = np.searchsorted(starts, [piece.start, piece.stop])
            own = starts[first:last]
            words = self._match(codes, piece)
            self._state.update(words, own - piece.start, places[own])

    def _codes(self, index: ColumnIndex, rows: pa.RecordBatch) -> Codes:
        column = rows.column(rows.schema.get_field_index(self._scan.column_name(index.attribute)))
        try:
            return index.codes(column)
        except BadValueError as error:
            raise BadColumnError(index.attribute.name, str(index.attribute.type), error.count) from None

    def _match(self, codes: list[Codes], piece: slice) -> Words:
        """Return the clause bits of a piece of rows, shape (n, words)."""
        count = piece.stop - piece.start
        words = self._state.buffer(0, count)
        words[:] = self._base
        for index, column in zip(self._indexes, codes, strict=True):
            found = np.take(index.table, column[piece], axis=0, out=self._state.buffer(1, count), mode="clip")
            np.bitwise_and(words, found, out=words)
        return words

    def invalid_counts(self) -> dict[str, int]:
        """Return how many values of each column were errors (infinities, overflow)."""
        return {index.attribute.name: index.invalid_count for index in self._indexes if index.invalid_count}

    def bitmaps(self) -> Iterator[tuple[int, bytes]]:
        """Yield each bucket seen and its outputs: one bitmap of 4,096 bytes after the other."""
        yield from self._state.bitmaps()


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches of about `_BATCH_ROWS`, never more than fit the packed sort."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            part = batch.slice(start, _BATCH_ROWS)
            waiting.append(part)
            count += part.num_rows
            if count >= _BATCH_ROWS:
                yield from _whole(waiting)
                waiting, count = [], 0
    if count:
        yield from _whole(waiting)


def _whole(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return batches as one, or as a few where their text is too long for one."""
    joined: list[pa.RecordBatch] = pa.Table.from_batches(batches).combine_chunks().to_batches()
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
    """The accumulators of all buckets seen, and the buffers of one piece."""

    def __init__(self, layout: _Layout, scan: Scan) -> None:
        self._layout = layout
        self._outputs = scan.outputs
        most = max((o.at_least for o in scan.outputs if isinstance(o, RowCount)), default=1)
        self._count_type: type[np.unsignedinteger] = np.uint8 if most < 255 else np.uint32
        self._limit = 255 if most < 255 else np.iinfo(np.uint32).max
        self._slots: dict[int, int] = {}
        self._single_words = layout.single_words.stop
        self._lane_words = layout.inside[0].stop - layout.inside[0].start if layout.lanes else 0
        self._bits: Words = np.zeros((0, self._single_words + self._lane_words), dtype=np.uint64)
        self._counts: AnyArray = np.zeros((0, 64 * self._counter_words()), dtype=self._count_type)
        self._seen = np.zeros(0, dtype=bool)  # grows for the profiles' own scan alone
        self._buffers: list[Words] = [np.zeros((0, layout.width), dtype=np.uint64)] * 2

    def _counter_words(self) -> int:
        return self._layout.counters[0].stop - self._layout.counters[0].start if self._layout.counted else 0

    def buffer(self, number: int, count: int) -> Words:
        """Return a reused work array of shape (count, words)."""
        if len(self._buffers[number]) < count:
            self._buffers[number] = np.empty((count, self._layout.width), dtype=np.uint64)
        return self._buffers[number][:count]

    def places(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where each key's state lies, making room for buckets not seen before."""
        buckets = (keys - 1) >> _SHIFT
        slot_of = np.zeros(int(buckets.max()) + 1, dtype=np.int64)
        for bucket in np.flatnonzero(np.bincount(buckets)):
            slot_of[bucket] = self._slots.setdefault(int(bucket), len(self._slots))
        needed = len(self._slots) * BUCKET_SIZE
        if needed > len(self._bits):
            self._bits = _grown(self._bits, needed)
            self._counts = _grown(self._counts, needed)
        found: npt.NDArray[np.int64] = (slot_of[buckets] << _SHIFT) | ((keys - 1) & (BUCKET_SIZE - 1))
        return found

    def mark_seen(self, places: npt.NDArray[np.int64]) -> int:
        """Return how many of these profiles had a row in a batch before; from now on all of them had."""
        self._seen = np.pad(self._seen, (0, len(self._bits) - len(self._seen)))
        before = int(np.count_nonzero(self._seen[places]))
        self._seen[places] = True
        return before

    def update(self, words: Words, starts: AnyArray, places: AnyArray) -> None:
        """Take in the clause bits of a piece; `starts`: first row of each profile, `places`: where its state is."""
        layout = self._layout
        if layout.lanes:
            lanes = self._joined_layers(words, layout.inside, [lane.inside for lane in layout.lanes])
            lanes &= ~self._joined_layers(words, layout.outside, [lane.outside for lane in layout.lanes])
        wanted = words[:, : self._single_words + self._lane_words]
        self._bits[places] |= np.bitwise_or.reduceat(wanted, starts, axis=0)
        if layout.counted:
            counted = self._joined_layers(words, layout.counters, layout.counted)
            self._count(counted, starts, places)

    def _joined_layers(self, words: Words, layers: list[slice], row_sets: list[RowSet]) -> Words:
        """Return the lanes' bits in the words of the first layer, trees filled in."""
        joined = words[:, layers[0]]
        for layer in layers[1:]:
            joined |= words[:, layer]
        for place, row_set in enumerate(row_sets):
            if not isinstance(row_set, Clauses):
                bits = self._tree_bits(words, row_set, self._layout.trees[row_set]).astype(np.uint64)
                joined[:, place // 64] |= bits << np.uint64(place % 64)
        return joined

    def _tree_bits(self, words: Words, tree: RowSet, positions: dict[Clause, int]) -> npt.NDArray[np.bool_]:
        if isinstance(tree, Clauses):
            found = np.zeros(len(words), dtype=bool)
            for clause in tree.clauses:
                place = positions[clause]
                found |= (words[:, place // 64] >> np.uint64(place % 64)) & np.uint64(1) != 0
            return found
        join = np.logical_or if isinstance(tree, Combined) else np.logical_and
        joined: npt.NDArray[np.bool_] = join.reduce([self._tree_bits(words, part, positions) for part in tree.parts])
        return joined

    def _count(self, counted: Words, starts: AnyArray, places: AnyArray) -> None:
        """Add the set bits of each lane to the profiles' counters, which stop at their limit."""
        bits = np.unpackbits(np.ascontiguousarray(counted).view(np.uint8), axis=1, bitorder="little")
        lengths = np.diff(np.append(starts, len(counted)))
        if lengths.max() <= 255:
            sums = np.add.reduceat(bits, starts, axis=0)
        else:
            sums = np.minimum(np.add.reduceat(bits, starts, axis=0, dtype=np.uint32), self._limit)
        before = self._counts[places]
        room = (self._limit - before).astype(self._count_type)
        self._counts[places] = before + np.minimum(sums, room).astype(self._count_type)

    def bitmaps(self) -> Iterator[tuple[int, bytes]]:
        singles = {clause: place for place, clause in enumerate(self._layout.single)}
        lanes = {lane: self._single_words * 64 + place for place, lane in enumerate(self._layout.lanes)}
        counters = {rows: place for place, rows in enumerate(self._layout.counted)}
        for bucket, slot in self._slots.items():
            own = slice(slot * BUCKET_SIZE, (slot + 1) * BUCKET_SIZE)
            rows = transpose_words(self._bits[own])
            counts = np.ascontiguousarray(self._counts[own, : len(counters)].T)
            blob = np.empty((len(self._outputs), BITMAP_BYTES), dtype=np.uint8)
            for place, output in enumerate(self._outputs):
                if isinstance(output, SomeRow):
                    blob[place] = rows[singles[output.clause]]
                elif isinstance(output, SomeRowOf):
                    blob[place] = rows[lanes[output]]
                else:
                    enough = counts[counters[output.rows]] >= output.at_least
                    blob[place] = np.packbits(enough, bitorder="little")
            yield bucket + 1, blob.tobytes()


def _grown(states: AnyArray, length: int) -> AnyArray:
    return np.concatenate([states, np.zeros((length - len(states), states.shape[1]), dtype=states.dtype)])
