"""Several aggregates over several row sets of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segengine.kernel.aggregates import Accumulator, Reading, ValueKey, add_rows, make_accumulator, readings
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.ordinals import Ordinals
from segengine.kernel.values import Values, make_groups
from segengine.plan.rows import RowSet
from segengine.project.model import Aggregate

Wanted = tuple[RowSet, Aggregate]


@dataclass(frozen=True)
class _Member:
    accumulator: Accumulator
    readings: tuple[Reading, ...]

    @property
    def needed(self) -> list[bool]:
        return [reading.needed for reading in self.readings]


class Aggregation:
    """The states of aggregates, by place."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        self._members = {each: _Member(make_accumulator(each[1]), readings(each[1])) for each in dict.fromkeys(wanted)}
        self._by_rows: dict[RowSet, list[_Member]] = {}
        for (rows, _), member in self._members.items():
            self._by_rows.setdefault(rows, []).append(member)

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        for member in self._members.values():
            member.accumulator.grow(room)

    def add(self, places: AnyArray, rows_in: Callable[[RowSet], AnyArray], values: Mapping[ValueKey, Values]) -> None:
        """Take in rows of a batch.

        Args:
            places: Of each row, sorted.
            rows_in: Returns which rows are in a row set, ascending.
            values: What the aggregates read of each row.
        """
        for row_set, members in self._by_rows.items():
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
