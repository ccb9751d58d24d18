"""Sums and counts of one column over many row sets at once.

One row set after the other costs a search for its rows, and a pass over them, each. Here all row sets of a column are
the columns of a matrix: the bits of a row become masks, the masks its value in each row set, and rows are added up
whole. Profiles are taken longest first, and of all of them the first rows, then the second ones, and so on: then each
step adds two matrices that lie in the processor's cache, and no row is moved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segengine.kernel.aggregates import Counts, Sums, ValueKey
from segengine.kernel.bitmaps import AnyArray, Bytes, Words
from segengine.kernel.values import Texts, Values

_GROUPS = 1 << 11  # profiles at a time: their sums stay in cache
_SETTLED = 1 << 8  # places whose states are turned at a time
LONGEST = 1 << 6  # rows of one profile at a time; more are taken for several profiles
_INT32 = np.iinfo(np.int32)
_MOST_32 = (1 << 31) // LONGEST
_MOST_64 = (1 << 62) // LONGEST
_BITS = (np.arange(256)[:, None] >> np.arange(8)) & 1  # of each byte
_MASKS = {np.dtype(type_): (-_BITS).astype(type_) for type_ in (np.int32, np.int64)}
_ONES = _BITS.astype(np.uint8)


@dataclass(frozen=True)
class Ranked:
    """Rows of some profiles: the first of each, longest profile first, then the second of each that has one, ...

    `order`: the rows, shape (n,); `sizes`: how many first, second, ... rows there are; `places`: of the profiles, each
    once. Where it `is_rest`, rows beyond a profile's first `LONGEST` come for themselves and places several times.
    """

    order: AnyArray
    sizes: list[int]
    places: AnyArray
    is_rest: bool

    def steps(self) -> Iterator[slice]:
        """Yield where the first, second, ... rows are."""
        first = 0
        for size in self.sizes:
            yield slice(first, first + size)
            first += size


def rank_rows(starts: AnyArray, count: int, places: AnyArray) -> Iterator[Ranked]:
    """Yield rows some profiles at a time, and last the rows of long profiles beyond their first ones.

    Args:
        starts: The first row of each profile.
        count: How many rows there are.
        places: Of the profiles.
    """
    lengths = np.diff(np.append(starts, count))
    yield from _ranked(starts, np.minimum(lengths, LONGEST), places, is_rest=False)
    rests = (lengths - 1) // LONGEST  # how often `LONGEST` rows follow the first ones
    if rests.any():
        within = LONGEST * (1 + np.arange(int(rests.sum())) - np.repeat(np.cumsum(rests) - rests, rests))
        left = np.repeat(lengths, rests) - within
        yield from _ranked(
            np.repeat(starts, rests) + within, np.minimum(left, LONGEST), np.repeat(places, rests), is_rest=True
        )


def _ranked(starts: AnyArray, lengths: AnyArray, places: AnyArray, *, is_rest: bool) -> Iterator[Ranked]:
    for first in range(0, len(starts), _GROUPS):
        own = slice(first, first + _GROUPS)
        by_length = np.argsort(-lengths[own], kind="stable")
        begins = starts[own][by_length]
        sizes = (len(begins) - np.cumsum(np.bincount(lengths[own])))[:-1].tolist()
        order = np.concatenate([begins[:size] + rank for rank, size in enumerate(sizes)])
        yield Ranked(order, sizes, places[own][by_length], is_rest)


class Block(ABC):
    """The sums, or the counts, of one column over some row sets; their states are columns of one matrix."""

    def __init__(
        self, key: ValueKey | None, members: Mapping[int, Sequence[Sums | Counts]], type_: npt.DTypeLike
    ) -> None:
        """Take over states.

        Args:
            key: The column; None: the rows themselves.
            members: By number of the row set what is summed or counted of it: states that nothing was added to.
            type_: Of the states, as long as it holds them.
        """
        self.key = key
        self.is_ready = False
        self._bytes = slice(min(members) // 8, max(members) // 8 + 1)
        self._members = [(lane - 8 * self._bytes.start, member) for lane, found in members.items() for member in found]
        self._width = 8 * (self._bytes.stop - self._bytes.start)
        self._states: AnyArray = np.zeros((0, self._width), dtype=type_)
        self._bound = 0  # no state lies further from 0
        self._buffers: dict[tuple[str, np.dtype[np.generic]], AnyArray] = {}

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        more = np.zeros((room - len(self._states), self._width), dtype=self._states.dtype)
        self._keep(np.concatenate([self._states, more]))

    def settle(self) -> None:
        """Lay the states out by row set, as they are read in the end, not by place, as they are added to."""
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

    @abstractmethod
    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:
        """Prepare for a batch whose longest profile has so many rows; not `is_ready` where numbers are too large."""

    def add(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> None:
        """Take in rows of the batch.

        Args:
            bits: The row sets of each row, in the order of the rows, shape (n, bytes).
            rows: Which rows of the batch these are.
            ranked: Their profiles.
        """
        sums = self._summed(bits[:, self._bytes], rows, ranked)
        if ranked.is_rest:  # few: `add.at` takes as long for a place as a hundred additions
            np.add.at(self._states, ranked.places, sums)
            return
        states = self._buffer("states", self._states.dtype)[: len(sums)]
        np.take(self._states, ranked.places, axis=0, out=states, mode="clip")
        states += sums
        self._states[ranked.places] = states

    @abstractmethod
    def _summed(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
        """Return the sum or the count of each profile and row set, shape (profiles, width)."""

    def _buffer(self, name: str, type_: npt.DTypeLike) -> AnyArray:
        """Return a matrix to work in: new memory each time would cost more than the work."""
        key = name, np.dtype(type_)
        if key not in self._buffers:
            self._buffers[key] = np.empty((_GROUPS, self._width), dtype=type_)
        return self._buffers[key]


class SumBlock(Block):
    """Exact sums."""

    def __init__(self, key: ValueKey, members: Mapping[int, Sums]) -> None:
        super().__init__(key, {lane: [sums] for lane, sums in members.items()}, np.int32)
        self._sums = list(members.values())
        self._own_key = key
        self._data: AnyArray = np.zeros(0, dtype=np.int64)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        column = values[self._own_key]
        data = column.data
        if isinstance(data, Texts):
            raise TypeError("texts have no sum")
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

    def _summed(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
        type_ = self._data.dtype
        sums, products = self._buffer("sums", type_), self._buffer("products", type_)
        values = self._data.take(rows, mode="clip")[:, None]
        for step in ranked.steps():
            size = step.stop - step.start
            target = products[:size] if step.start else sums[:size]
            np.take(_MASKS[type_], bits[step], axis=0, out=target.reshape(size, -1, 8), mode="clip")
            np.bitwise_and(target, values[step], out=target)
            if step.start:
                np.add(sums[:size], target, out=sums[:size])
        return sums[: len(ranked.places)]


class CountBlock(Block):
    """Numbers of rows, of those that have a value."""

    def __init__(self, key: ValueKey | None, members: Mapping[int, Sequence[Counts]]) -> None:
        super().__init__(key, members, np.int16)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> None:  # noqa: D102 - as in the base
        there = None if self.key is None else values[self.key].there
        self._there = None if there is None else there.view(np.uint8)
        self._expect(longest)
        self.is_ready = True

    def _summed(self, bits: Bytes, rows: AnyArray, ranked: Ranked) -> AnyArray:
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


def ordered_bits(words: Words, ranked: Ranked) -> Bytes:
    """Return the bits of rows in the order of their ranks, shape (n, bytes)."""
    return np.take(words, ranked.order, axis=0, mode="clip").view(np.uint8)
