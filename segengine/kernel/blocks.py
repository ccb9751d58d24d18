"""Aggregates of one column over many row sets at once.

One row set after the other costs a search for its rows, and a pass over them, each. Here all row sets of a column are
the columns of a matrix: the bits of a row become masks, the masks its value in each row set, and rows are joined whole,
by rank (`Ranked`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from segengine.kernel.aggregates import Counts, DistinctCounts, Extremes, Sums, ValueKey
from segengine.kernel.bitmaps import AnyArray, Bytes, Words
from segengine.kernel.packed import pack_pairs, pack_value, repack, unpack_pairs
from segengine.kernel.ranks import GROUPS, LONGEST, Ranked, rank_rows, sorted_order
from segengine.kernel.values import Texts, Values, make_groups, with_room

_SETTLED = 1 << 8  # places whose states are turned at a time
_INT32, _INT64 = np.iinfo(np.int32), np.iinfo(np.int64)
_MOST_32 = (1 << 31) // LONGEST
_MOST_64 = (1 << 62) // LONGEST
_UNSIGNED = tuple(map(np.dtype, (np.uint8, np.uint16, np.uint32, np.uint64)))
_BITS = (np.arange(256)[:, None] >> np.arange(8)) & 1  # of each byte
_MASKS = {type_: (-_BITS).astype(type_) for type_ in (*_UNSIGNED, np.dtype(np.int32), np.dtype(np.int64))}
_ONES = _BITS.astype(np.uint8)
_FEWEST_LOOSE = 1 << 20  # pairs from which they are made distinct


class Block(ABC):
    """An aggregate of one column over some row sets."""

    is_ready: bool = False

    @abstractmethod
    def grow(self, room: int) -> None:
        """Make room for so many places."""

    @abstractmethod
    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:
        """Prepare for a batch whose longest profile has so many rows; not `is_ready` where numbers are too large."""

    @abstractmethod
    def add(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> None:
        """Take in rows of the batch.

        Args:
            bits: The row sets of each row, in the order of the rows, shape (n, bytes).
            rows: Which rows of the batch these are.
            ranked: Their profiles.
        """

    @abstractmethod
    def settle(self) -> None:
        """Lay the states out by row set, as they are read in the end, not by place, as they are added to."""


def _needed_bytes(lanes: Iterable[int]) -> tuple[AnyArray, dict[int, int]]:
    """Return which bytes of a row's bits have some lanes, and where each lane is in those."""
    needed = sorted({lane // 8 for lane in lanes})
    place_of = {byte: place for place, byte in enumerate(needed)}
    return np.array(needed, dtype=np.intp), {lane: 8 * place_of[lane // 8] + lane % 8 for lane in lanes}


class MatrixBlock(Block):
    """A block whose states are columns of one matrix."""

    _join: np.ufunc = np.add

    def __init__(
        self, key: ValueKey | None, members: Mapping[int, Sequence[Sums | Counts | Extremes]], type_: npt.DTypeLike
    ) -> None:
        """Take over states.

        Args:
            key: The column; None: the rows themselves.
            members: By number of the row set what is aggregated of it: states that nothing was added to.
            type_: Of the states, as long as it holds them.
        """
        self.key = key
        self._bytes, columns = _needed_bytes(members)
        self._members = [(columns[lane], member) for lane, found in members.items() for member in found]
        self._width = 8 * len(self._bytes)
        self._states: AnyArray = np.zeros((0, self._width), dtype=type_)
        self._bound = 0  # no state lies further from 0
        self._buffers: dict[tuple[str, np.dtype[np.generic]], AnyArray] = {}

    def grow(self, room: int) -> None:  # noqa: D102 - as in the base
        self._keep(with_room(self._states, room))

    def settle(self) -> None:  # noqa: D102 - as in the base
        if self._states.flags.f_contiguous:
            return
        settled = np.empty(self._states.shape, dtype=self._states.dtype, order="F")
        for first in range(0, len(settled), _SETTLED):
            own = slice(first, first + _SETTLED)
            settled[own] = self._states[own]
        self._keep(settled)

    def _keep(self, states: AnyArray) -> None:
        self._states = states
        for column, member in self._members:
            member.share(states[:, column])

    def _expect(self, bound: int) -> None:
        """Take more bits for states from where theirs might not hold another batch that adds at most so much."""
        self._bound += bound
        if self._bound > np.iinfo(self._states.dtype).max and self._states.dtype != np.int64:
            self._keep(self._states.astype(np.int32 if self._bound <= _INT32.max else np.int64))

    def add(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> None:  # noqa: D102 - as in the base
        found = self._joined(bits.take(self._bytes, axis=1, mode="clip"), rows, ranked)
        if ranked.is_rest:  # few: `at` takes as long for a place as a hundred additions
            self._join.at(self._states, ranked.places, found)
            return
        states = self._buffer("states", self._states.dtype)[: len(found)]
        np.take(self._states, ranked.places, axis=0, out=states, mode="clip")
        self._join(states, found, out=states)
        self._states[ranked.places] = states

    @abstractmethod
    def _joined(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
        """Return the aggregate of each profile and row set, shape (profiles, width)."""

    def _joined_values(self, bits: Bytes, values: AnyArray, ranked: Ranked) -> AnyArray:
        """Return the values of the rows joined by profile and row set: what is 0 of rows that are not in it."""
        type_ = values.dtype
        joined, own = self._buffer("joined", type_), self._buffer("own", type_)
        values = values[:, None]
        for step in ranked.steps():
            size = step.stop - step.start
            target = own[:size] if step.start else joined[:size]
            np.take(_MASKS[type_], bits[step], axis=0, out=target.reshape(size, -1, 8), mode="clip")
            np.bitwise_and(target, values[step], out=target)
            if step.start:
                self._join(joined[:size], target, out=joined[:size])
        return joined[: len(ranked.places)]

    def _buffer(self, name: str, type_: npt.DTypeLike) -> AnyArray:
        """Return a matrix to work in: new memory each time would cost more than the work."""
        key = name, np.dtype(type_)
        if key not in self._buffers:
            self._buffers[key] = np.empty((GROUPS, self._width), dtype=type_)
        return self._buffers[key]


def _numbers(column: Values) -> AnyArray:
    if isinstance(column.data, Texts):
        raise TypeError("texts are no numbers")
    return column.data


class SumBlock(MatrixBlock):
    """Exact sums."""

    def __init__(self, key: ValueKey, members: Mapping[int, Sums]) -> None:
        super().__init__(key, {lane: [sums] for lane, sums in members.items()}, np.int32)
        self._sums = list(members.values())
        self._own_key = key
        self._data: AnyArray = np.zeros(0, dtype=np.int64)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        column = values[self._own_key]
        data = _numbers(column)
        if column.there is not None:
            data = np.where(column.there, data, 0)
        most = max(int(data.max()), -int(data.min())) if data.dtype == np.int64 else _MOST_64
        self._expect(most * longest)
        self.is_ready = most < _MOST_64
        if not self.is_ready:
            return
        self._data = data.astype(np.int32) if most < _MOST_32 else data
        for sums in self._sums:
            sums.expect(most * longest)

    def _joined(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
        return self._joined_values(bits, self._data.take(rows, mode="clip"), ranked)


class CountBlock(MatrixBlock):
    """Numbers of rows, of those that have a value."""

    def __init__(self, key: ValueKey | None, members: Mapping[int, Sequence[Counts]]) -> None:
        super().__init__(key, members, np.int16)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        there = None if self.key is None else values[self.key].there
        self._there = None if there is None else there.view(np.uint8)
        self._expect(longest)
        self.is_ready = True

    def _joined(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
        if self._there is not None:
            bits = bits * self._there.take(rows, mode="clip")[:, None]
        counts, ones = self._buffer("counts", np.uint8), self._buffer("ones", np.uint8)
        for step in ranked.steps():  # no profile has as many rows here as a byte can count
            size = step.stop - step.start
            target = ones[:size] if step.start else counts[:size]
            np.take(_ONES, bits[step], axis=0, out=target.reshape(size, -1, 8), mode="clip")
            if step.start:
                np.add(counts[:size], target, out=counts[:size])
        return counts[: len(ranked.places)]


class ExtremeBlock(MatrixBlock):
    """Smallest or largest whole numbers, as `pack_value` keeps them."""

    _join = np.maximum

    def __init__(self, key: ValueKey, members: Mapping[int, Extremes]) -> None:
        super().__init__(key, {lane: [extremes] for lane, extremes in members.items()}, np.uint8)
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
        most = max(high, -low)
        type_ = next(each for each in _UNSIGNED if most < 1 << (8 * each.itemsize - 1))
        if type_.itemsize > self._states.dtype.itemsize:
            self._keep(repack(self._states, type_))
        self._data = pack_value(data, self._states.dtype)
        if column.there is not None:
            self._data[~column.there] = 0

    def _joined(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
        return self._joined_values(bits, self._data.take(rows, mode="clip"), ranked)


class DistinctBlock(Block):
    """Numbers of distinct values: (place, number of the value) as one integer, each once, with the row sets it is in.

    In the end these are rows to be counted.
    """

    def __init__(self, key: ValueKey, members: Mapping[int, DistinctCounts]) -> None:
        self.key = key
        self.is_ready = True
        self._bytes, columns = _needed_bytes(members)
        self._words = -(-len(self._bytes) // 8)
        wanted = np.zeros(64 * self._words, dtype=np.uint8)
        wanted[list(columns.values())] = 1
        self._wanted: Words = np.packbits(wanted, bitorder="little").view(np.uint64)
        self._counts = {columns[lane]: [Counts()] for lane in members}
        for lane, member in members.items():
            member.count_by(self._counts[columns[lane]][0])
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

    def add(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> None:  # noqa: D102 - as in the base
        own = np.zeros((len(bits), 8 * self._words), dtype=np.uint8)
        own[:, : len(self._bytes)] = bits.take(self._bytes, axis=1, mode="clip")
        words = own.view(np.uint64) & self._wanted
        found = words[:, 0] != 0 if self._words == 1 else words.any(axis=1)
        if self._there is not None:
            found &= self._there.take(rows, mode="clip")
        pairs = pack_pairs(ranked.row_places(), self._numbers.take(rows, mode="clip"))[found]
        self._pairs.append(pairs)
        self._bits.append(words[found])
        self._loose += len(pairs)

    def _compact(self) -> None:
        pairs, bits = np.concatenate(self._pairs), np.concatenate(self._bits)
        order = sorted_order(pairs)
        pairs = pairs.take(order)
        starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
        self._pairs = [pairs.take(starts)]
        self._bits = [np.bitwise_or.reduceat(bits.take(order, axis=0), starts, axis=0)]
        self._distinct_count, self._loose = len(starts), 0

    def settle(self) -> None:  # noqa: D102 - as in the base
        if self._is_settled:
            return
        counted = CountBlock(None, self._counts)
        counted.grow(self._room)
        if any(map(len, self._pairs)):
            self._compact()
            groups = make_groups(unpack_pairs(self._pairs[0])[0])
            counted.begin({}, int(groups.lengths.max()))
            for ranked in rank_rows(groups.starts, groups.count, groups.places):
                counted.add(ordered_bits(self._bits[0], ranked), ranked.order, ranked)
        counted.settle()
        self._is_settled = True


def ordered_bits(words: Words, ranked: Ranked) -> Bytes:
    """Return the bits of rows in the order of their ranks, shape (n, bytes)."""
    return np.take(words, ranked.order, axis=0, mode="clip").view(np.uint8)
