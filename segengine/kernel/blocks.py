"""Aggregates of one column over many row sets at once.

The states of all row sets are the columns of a matrix. A row is added to the innermost row set of each nest alone, so
that the work does not grow with the number of row sets; in the end each row set takes in those inside it (`Nest`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from segengine.kernel.aggregates import Counts, DistinctCounts, Extremes, Sums, ValueKey, most
from segengine.kernel.bitmaps import AnyArray, Words, transpose_words
from segengine.kernel.matching import RowLanes
from segengine.kernel.nests import Nest
from segengine.kernel.packed import pack_pairs, pack_value, repack, unpack_pairs
from segengine.kernel.ranks import sorted_order
from segengine.kernel.values import Texts, Values, drop_room, make_groups, with_room
from segengine.plan.scans import BUCKET_SIZE

_TURNED = 1 << 8  # places whose states are laid out at a time: they stay in the processor's cache
_INT64 = np.iinfo(np.int64)
_UNSIGNED = tuple(map(np.dtype, (np.uint8, np.uint16, np.uint32, np.uint64)))
_FEWEST_LOOSE = 1 << 20  # pairs from which they are made distinct


class Block(ABC):
    """An aggregate of one column over some row sets."""

    is_ready: bool = False

    @abstractmethod
    def grow(self, room: int) -> None:
        """Make room for so many places."""

    def clear(self, own: slice) -> None:  # noqa: B027 - not all blocks have states by place
        """Prepare for the first rows of some places."""

    def shrink(self, room: int) -> None:  # noqa: B027 - as above
        """Forget the states of the places beyond."""

    @abstractmethod
    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:
        """Prepare for a batch whose longest profile has so many rows; not `is_ready` where numbers are too large."""

    @abstractmethod
    def add(self, lanes: RowLanes, rows: slice, places: AnyArray) -> None:
        """Take in rows of the batch.

        Args:
            lanes: The row sets they are in.
            rows: Which rows of the batch these are.
            places: Of their profiles, shape (n,).
        """

    @abstractmethod
    def settle(self, own: slice) -> None:
        """Prepare for the results of some places, until others are prepared."""


class MatrixBlock(Block):
    """A block whose states are columns of one matrix, the last of which takes rows that are in no row set."""

    _join: np.ufunc = np.add

    def __init__(
        self,
        key: ValueKey | None,
        members: Mapping[int, Sequence[Sums | Counts | Extremes]],
        nests: Sequence[Nest],
        type_: npt.DTypeLike,
    ) -> None:
        """Take over states.

        Args:
            key: The column; None: the rows themselves.
            members: By lane what is aggregated of the row set: states that nothing was added to.
            nests: All nests.
            type_: Of the states, as long as it holds them.
        """
        self.key = key
        columns = {lane: column for column, lane in enumerate(members)}
        self._members = [(columns[lane], member) for lane, found in members.items() for member in found]
        self._columns = [
            (place, nest.columns(columns, len(columns)))
            for place, nest in enumerate(nests)
            if not columns.keys().isdisjoint(nest.lanes)
        ]
        self._links = [link for nest in nests for link in nest.links(columns)]
        self._states: AnyArray = np.zeros((0, len(columns) + 1), dtype=type_)
        self._settled: AnyArray = self._states[:, :-1].T
        self._bound = 0  # no state lies further from 0
        self._share(0)

    def _share(self, first: int) -> None:
        for column, member in self._members:
            member.share(self._settled[column], first)

    def grow(self, room: int) -> None:  # noqa: D102 - as in the base
        self._states = with_room(self._states, room)

    def clear(self, own: slice) -> None:
        """Have the system find memory for the states of some places.

        Otherwise it would while rows are added, which holds the interpreter's lock: all tasks would wait for it.
        """
        self._states[own] = 0

    def shrink(self, room: int) -> None:  # noqa: D102 - as in the base
        self._states = drop_room(self._states, room)

    def settle(self, own: slice) -> None:
        """Lay the states out by row set, not by place as they are added to, each with those inside it.

        In one buffer for all places: as many again as there are states would be half of a task's memory.
        """
        states = self._states[own, :-1]
        if self._settled.shape != states.T.shape or self._settled.dtype != states.dtype:
            self._settled = np.empty(states.T.shape, dtype=states.dtype)
        for first in range(0, len(states), _TURNED):
            turned = slice(first, first + _TURNED)
            self._settled[:, turned] = states[turned].T
        for inner, outer in self._links:
            self._join(self._settled[outer], self._settled[inner], out=self._settled[outer])
        self._share(own.start)

    def _expect(self, bound: int) -> None:
        """Take more bits for states from where theirs might not hold another batch that adds at most so much."""
        self._bound += bound
        needed = np.min_scalar_type(-1 - self._bound)
        if needed.itemsize > self._states.dtype.itemsize:
            self._states = self._states.astype(needed)

    def _add(self, data: AnyArray, lanes: RowLanes, places: AnyArray) -> None:
        """Join values, of the type of the states, with these."""
        flat = self._states.reshape(-1)
        begins = places * self._states.shape[1]
        for nest, columns in self._columns:
            column_of = columns.take(lanes.innermost[nest], mode="clip")
            self._join.at(flat, begins + lanes.of_rows(column_of), data)


def _numbers(column: Values) -> AnyArray:
    if isinstance(column.data, Texts):
        raise TypeError("texts are no numbers")
    return column.data


class SumBlock(MatrixBlock):
    """Exact sums."""

    def __init__(self, key: ValueKey, members: Mapping[int, Sums], nests: Sequence[Nest]) -> None:
        super().__init__(key, {lane: [sums] for lane, sums in members.items()}, nests, np.int32)
        self._sums = list(members.values())
        self._own_key = key
        self._data: AnyArray = np.zeros(0, dtype=np.int64)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        column = values[self._own_key]
        data = _numbers(column)
        if column.there is not None:
            data = np.where(column.there, data, 0)
        bound = max(int(data.max()), -int(data.min())) * longest
        self.is_ready = data.dtype == np.int64 and bound <= _INT64.max
        if not self.is_ready:
            return
        if self._bound + bound > _INT64.max:
            self._make_room(bound)
        self._expect(bound)
        self._data = data.astype(self._states.dtype, copy=False)

    def _make_room(self, bound: int) -> None:
        """Learn how large the sums really are; move them out where a batch with that bound might overflow."""
        self._bound = max(most(self._settled) for _ in self._settle_all())
        if self._bound + bound > _INT64.max:
            for _ in self._settle_all():
                for sums in self._sums:
                    sums.spill()
            self._states[:] = 0
            self._bound = 0

    def _settle_all(self) -> Iterator[None]:
        """Settle all places, a bucket at a time."""
        for first in range(0, len(self._states), BUCKET_SIZE):
            self.settle(slice(first, first + BUCKET_SIZE))
            yield

    def add(self, lanes: RowLanes, rows: slice, places: AnyArray) -> None:  # noqa: D102
        self._add(self._data[rows], lanes, places)


class CountBlock(MatrixBlock):
    """Numbers of rows, of those that have a value."""

    def __init__(self, key: ValueKey | None, members: Mapping[int, Sequence[Counts]], nests: Sequence[Nest]) -> None:
        super().__init__(key, members, nests, np.int8)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        self._there = None if self.key is None else values[self.key].there
        self._expect(longest)
        self.is_ready = True

    def add(self, lanes: RowLanes, rows: slice, places: AnyArray) -> None:  # noqa: D102
        type_ = self._states.dtype
        there = np.ones(len(places), dtype=type_) if self._there is None else self._there[rows].astype(type_)
        self._add(there, lanes, places)


class ExtremeBlock(MatrixBlock):
    """Smallest or largest whole numbers, as `pack_value` keeps them."""

    _join = np.maximum

    def __init__(self, key: ValueKey, members: Mapping[int, Extremes], nests: Sequence[Nest]) -> None:
        super().__init__(key, {lane: [extremes] for lane, extremes in members.items()}, nests, np.uint8)
        self._own_key = key
        self._least = next(iter(members.values())).least
        self._data: AnyArray = np.zeros(0, dtype=np.uint8)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        column = values[self._own_key]
        data = _numbers(column)
        self.is_ready = data.dtype == np.int64
        if not self.is_ready:
            return
        if self._least:
            data = ~data
        low, high = int(data.min()), int(data.max())
        self.is_ready = low > _INT64.min
        if not self.is_ready:
            return
        furthest = max(high, -low)
        type_ = next(each for each in _UNSIGNED if furthest < 1 << (8 * each.itemsize - 1))
        if type_.itemsize > self._states.dtype.itemsize:
            self._states = repack(self._states, type_)
        self._data = pack_value(data, self._states.dtype)
        if column.there is not None:
            self._data[~column.there] = 0

    def add(self, lanes: RowLanes, rows: slice, places: AnyArray) -> None:  # noqa: D102
        self._add(self._data[rows], lanes, places)


class DistinctBlock(Block):
    """Numbers of distinct values: (place, number of the value) as one integer, each once, with the row sets it is in.

    In the end these are counted.
    """

    def __init__(self, key: ValueKey, members: Mapping[int, DistinctCounts]) -> None:
        self.key = key
        self.is_ready = True
        self._words = np.array(sorted({lane // 64 for lane in members}), dtype=np.intp)
        place_of = {word: place for place, word in enumerate(self._words.tolist())}
        self._members = {64 * place_of[lane // 64] + lane % 64: member for lane, member in members.items()}
        wanted = np.zeros(64 * len(self._words), dtype=np.uint8)
        wanted[list(self._members)] = 1
        self._wanted: Words = np.packbits(wanted, bitorder="little").view(np.uint64)
        self._is_settled = False
        self._room = 0
        self._pairs: list[AnyArray] = []
        self._bits: list[Words] = []
        self._distinct_count = 0
        self._loose = 0  # pairs since they were last made distinct

    def grow(self, room: int) -> None:  # noqa: D102 - as in the base
        self._room = room

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        self._is_settled = False
        if self._loose > max(_FEWEST_LOOSE, 2 * self._distinct_count):
            self._compact()
        self._numbers, self._there = _numbers(values[self.key]), values[self.key].there

    def add(self, lanes: RowLanes, rows: slice, places: AnyArray) -> None:  # noqa: D102
        words = lanes.bits.take(self._words, axis=1, mode="clip") & self._wanted
        found = lanes.of_rows(words[:, 0] != 0 if len(self._words) == 1 else np.asarray(words.any(axis=1)))
        if self._there is not None:
            found = found & self._there[rows]
        pairs = pack_pairs(places, self._numbers[rows])[found]
        self._pairs.append(pairs)
        self._bits.append(lanes.of_rows(words)[found])
        self._loose += len(pairs)

    def _compact(self) -> None:
        pairs, bits = np.concatenate(self._pairs), np.concatenate(self._bits)
        order = sorted_order(pairs)
        pairs = pairs.take(order)
        starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
        self._pairs = [pairs.take(starts)]
        self._bits = [np.bitwise_or.reduceat(bits.take(order, axis=0), starts, axis=0)]
        self._distinct_count, self._loose = len(starts), 0

    def settle(self, own: slice) -> None:
        """Count the pairs of all places, where this was not done before."""
        if self._is_settled:
            return
        counts = {lane: Counts() for lane in self._members}
        for lane, member in self._members.items():
            counts[lane].grow(self._room)
            member.count_by(counts[lane])
        if any(map(len, self._pairs)):
            self._compact()
            places, _ = unpack_pairs(self._pairs[0])
            bits = np.concatenate([self._bits[0], np.zeros((-len(places) % 8, len(self._words)), dtype=np.uint64)])
            bitmaps = transpose_words(bits)
            for lane, count in counts.items():
                counted = np.unpackbits(bitmaps[lane], count=len(places), bitorder="little").view(np.bool_)
                if counted.any():
                    count.add(make_groups(places[counted]))
        self._is_settled = True
