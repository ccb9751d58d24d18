"""Several aggregates over several row sets of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segengine.kernel.aggregates import (
    Accumulator,
    Averages,
    Counts,
    DistinctCounts,
    Extremes,
    Form,
    Reading,
    Sums,
    ValueKey,
    add_rows,
    make_accumulator,
    readings,
)
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.blocks import Block, CountBlock, DistinctBlock, ExtremeBlock, SumBlock
from segengine.kernel.matching import RowLanes
from segengine.kernel.nests import Nest
from segengine.kernel.ordinals import Ordinals
from segengine.kernel.values import Values, make_groups
from segengine.plan.rows import RowSet
from segengine.project.attributes import Aggregate, Arithmetic, Attribute

Wanted = tuple[RowSet, Aggregate]

_ADDED = "added"
_FEWEST = 12  # row sets from which a block is less work than one after the other


@dataclass(frozen=True)
class _Member:
    accumulator: Accumulator
    readings: tuple[Reading, ...]

    @property
    def needed(self) -> list[bool]:
        return [reading.needed for reading in self.readings]


def _kind(aggregate: Aggregate, accumulator: Accumulator) -> str | None:
    """Return which aggregates of a column go into one block; None: into none."""
    if isinstance(accumulator, Counts | Sums | Averages):
        return _ADDED
    is_whole = isinstance(accumulator, Extremes) and not accumulator.is_float
    return aggregate.function if is_whole or isinstance(accumulator, DistinctCounts) else None


class Aggregation:
    """The states of aggregates, by place."""

    def __init__(self, wanted: Iterable[Wanted], lanes: Sequence[RowSet] = (), nests: Sequence[Nest] = ()) -> None:
        """Prepare the states.

        Args:
            wanted: What is aggregated over which rows.
            lanes: The row sets in the order of their bits, where these come along (`begin`, `add_bits`): then sums and
                counts of a column over many of them are kept in blocks.
            nests: The nests that the lanes are in.
        """
        self._nests = nests
        self._members = {each: _Member(make_accumulator(each[1]), readings(each[1])) for each in dict.fromkeys(wanted)}
        self._blocks: list[Block] = []
        self._spare: list[tuple[Block, dict[RowSet, _Member]]] = []
        self._loose: dict[RowSet, list[_Member]] = {}
        blocked = self._make_blocks({row_set: lane for lane, row_set in enumerate(lanes)})
        for (row_set, aggregate), member in self._members.items():
            if (row_set, aggregate) not in blocked:
                self._loose.setdefault(row_set, []).append(member)

    def _make_blocks(self, lane_of: Mapping[RowSet, int]) -> set[Wanted]:
        """Put what is aggregated of a column over many row sets into blocks; return what is in them."""
        alike: dict[tuple[Attribute | Arithmetic | None, str], list[Wanted]] = {}
        for (row_set, aggregate), member in self._members.items():
            kind = _kind(aggregate, member.accumulator)
            if row_set in lane_of and kind is not None:
                alike.setdefault((aggregate.of, kind), []).append((row_set, aggregate))
        blocked: set[Wanted] = set()
        for (_, kind), own in alike.items():
            if len({row_set for row_set, _ in own}) < _FEWEST:
                continue
            blocked.update(own)
            if kind == _ADDED:
                self._add_sums(own, lane_of)
            else:
                self._add_block(own, lane_of)
        return blocked

    def _add_sums(self, wanted: Sequence[Wanted], lane_of: Mapping[RowSet, int]) -> None:
        """Put sums and counts of one column into a block each; an average has a part in both."""
        sums: dict[RowSet, Sums] = {}
        counts: dict[RowSet, list[Counts]] = {}
        for row_set, aggregate in wanted:
            member = self._members[row_set, aggregate]
            if isinstance(member.accumulator, Averages):
                member.accumulator.sums = sums.setdefault(row_set, member.accumulator.sums)
                counts.setdefault(row_set, []).append(member.accumulator.counts)
            elif isinstance(member.accumulator, Sums):
                shared = sums.setdefault(row_set, member.accumulator)
                self._members[row_set, aggregate] = replace(member, accumulator=shared)
            elif isinstance(member.accumulator, Counts):
                counts.setdefault(row_set, []).append(member.accumulator)
        column = wanted[0][1].of
        key = None if column is None else (column, Form.EXACT if sums else Form.THERE)  # either says where values are
        if counts:
            counted = {lane_of[row_set]: found for row_set, found in counts.items()}
            self._blocks.append(CountBlock(key, counted, self._nests))
        if sums and key is not None:
            block = SumBlock(key, {lane_of[row_set]: found for row_set, found in sums.items()}, self._nests)
            self._blocks.append(block)
            reading = (Reading(key[0], Form.EXACT),)
            self._spare.append((block, {row_set: _Member(found, reading) for row_set, found in sums.items()}))

    def _add_block(self, wanted: Sequence[Wanted], lane_of: Mapping[RowSet, int]) -> None:
        """Put one extreme, or the numbers of distinct values, of one column into a block."""
        members = {row_set: self._members[row_set, aggregate] for row_set, aggregate in wanted}
        key = next(iter(members.values())).readings[0].key
        extremes: dict[int, Extremes] = {}
        distinct: dict[int, DistinctCounts] = {}
        for row_set, member in members.items():
            if isinstance(member.accumulator, Extremes):
                extremes[lane_of[row_set]] = member.accumulator
            elif isinstance(member.accumulator, DistinctCounts):
                distinct[lane_of[row_set]] = member.accumulator
        if distinct:
            self._blocks.append(DistinctBlock(key, distinct))
        if extremes:
            block = ExtremeBlock(key, extremes, self._nests)
            self._blocks.append(block)
            self._spare.append((block, members))

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        for block in self._blocks:
            block.grow(room)
        for members in self._loose.values():
            for member in members:
                member.accumulator.grow(room)

    def clear(self, own: slice) -> None:
        """Prepare for the first rows of some places."""
        for block in self._blocks:
            block.clear(own)

    def shrink(self, room: int) -> None:
        """Forget the places beyond in blocks; the other states take little."""
        for block in self._blocks:
            block.shrink(room)

    def settle(self, own: slice) -> None:
        """Prepare for the results of some places, when all rows are in."""
        for block in self._blocks:
            block.settle(own)

    def begin(self, values: Mapping[ValueKey, Values], longest: int) -> bool:
        """Prepare for the bits of a batch.

        Args:
            values: What the aggregates read of each row.
            longest: How many rows one place has at most.

        Returns:
            Whether the batch has to be added by row set too.
        """
        for block in self._blocks:
            block.begin(values, longest)
        return bool(self._loose) or not all(block.is_ready for block in self._blocks)

    def add_bits(self, lanes: RowLanes, rows: slice, places: AnyArray) -> None:
        """Take in some rows of the batch, as far as they go into blocks.

        Args:
            lanes: The row sets they are in.
            rows: Which rows of the batch these are.
            places: Of each row's profile.
        """
        for block in self._blocks:
            if block.is_ready:
                block.add(lanes, rows, places)

    def add(self, places: AnyArray, rows_in: Callable[[RowSet], AnyArray], values: Mapping[ValueKey, Values]) -> None:
        """Take in the rows of a batch, except for what blocks have taken in.

        Args:
            places: Of each row, by profile.
            rows_in: Returns which rows are in a row set, ascending.
            values: What the aggregates read of each row.
        """
        wanted = {row_set: list(members) for row_set, members in self._loose.items()}
        for block, spare in self._spare:
            if not block.is_ready:
                for row_set, member in spare.items():
                    wanted.setdefault(row_set, []).append(member)
        for row_set, members in wanted.items():
            rows = rows_in(row_set)
            if not len(rows):
                continue
            groups = make_groups(places[rows])
            for member in members:
                columns = [values[reading.key] for reading in member.readings]
                add_rows(member.accumulator, columns, member.needed, rows, groups)

    def accumulator(self, wanted: Wanted) -> Accumulator:
        """Return the state of an aggregate."""
        return self._members[wanted].accumulator

    def result(self, wanted: Wanted, own: slice) -> Ordinals:
        """Return the values of an aggregate at some places; those with too many digits are still among them."""
        return self._members[wanted].accumulator.result(own)


class Lanes:
    """Which rows of a batch are in each row set, as bitmaps."""

    def __init__(self, bitmaps: Mapping[RowSet, AnyArray], count: int) -> None:
        self._bitmaps = bitmaps
        self._count = count

    def mask(self, row_set: RowSet) -> npt.NDArray[np.bool_]:
        """Return whether each row is in a row set."""
        return np.unpackbits(self._bitmaps[row_set], count=self._count, bitorder="little").view(np.bool_)

    def rows(self, row_set: RowSet) -> AnyArray:
        """Return the rows of a row set, ascending."""
        return np.flatnonzero(self.mask(row_set))
