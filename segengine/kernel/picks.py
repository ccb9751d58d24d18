"""Picks: the value of the row that is first or last by another of its attributes.

Among rows that are equal by it, the smallest key of the row wins, then the smallest value; a missing part of a key
comes after all others. So the pick is the same however rows are spread over batches and tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segengine.kernel.arithmetic import put_exactly
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.ordinals import Ordinals
from segengine.kernel.values import Groups, Values, with_room


class Kept:
    """One value by place in `data`; whole numbers become Python's own once one does not fit int64."""

    def __init__(self, is_text: bool, is_float: bool) -> None:
        self.is_text = is_text
        self.data: AnyArray = np.zeros(0, dtype=object if is_text else np.float64 if is_float else np.int64)
        self._there: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        more = np.full(room - len(self.data), "" if self.is_text else 0, dtype=self.data.dtype)
        self.data = np.concatenate([self.data, more])
        self._there = with_room(self._there, room)

    def put(self, places: AnyArray, values: Values, rows: AnyArray) -> None:
        """Keep the values of rows, one for each place."""
        data = values.at(rows)
        if data.dtype == object and self.data.dtype != object:
            self.data = self.data.astype(object)
        self.data[places] = data
        self._there[places] = True if values.there is None else values.there[rows]

    def at(self, places: AnyArray | slice) -> Values:
        """Return what is kept at some places, copied."""
        return Values(self.data[places].copy(), self._there[places].copy())

    def ordinals(self, places: AnyArray | slice, missing: npt.NDArray[np.bool_]) -> Ordinals:
        """Return what is kept at some places: texts as objects, numbers where they fit."""
        data, missing = self.data[places].copy(), missing | ~self._there[places]
        gaps = missing if missing.any() else None
        if self.is_text or data.dtype != object:
            return Ordinals(data, gaps)
        numbers, large = np.zeros(len(data), dtype=np.int64), dict[int, int]()
        for place in np.flatnonzero(~missing).tolist():
            put_exactly(numbers, large, place, data[place])
        return Ordinals(numbers, gaps, large)


class Picks:
    """The values of the rows picked."""

    def __init__(self, least: bool, columns: Sequence[Kept]) -> None:
        """Prepare the state.

        Args:
            least: Whether the smallest of what is ordered by wins.
            columns: Empty columns for what is ordered by, the parts of the row's key, and the value.
        """
        self._least = least
        self._columns = columns
        self._seen: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        for column in self._columns:
            column.grow(room)
        self._seen = with_room(self._seen, room)

    def add(self, columns: Sequence[Values], rows: AnyArray, groups: Groups) -> None:
        """Take in rows.

        Args:
            columns: The batch's values, in the order of the state's columns.
            rows: Which rows of the batch count, shape (groups.count,): they have a value, and what is ordered by.
            groups: These rows by place.
        """
        by = columns[0].at(rows)
        best = (np.minimum if self._least else np.maximum).reduceat(by, groups.starts)
        kept = self._columns[0].data[groups.places]
        seen = self._seen[groups.places]
        equal = seen & (best == kept)
        better = ~seen | (best < kept if self._least else best > kept)
        group = np.repeat(np.arange(len(best)), groups.lengths)
        hits = np.flatnonzero((equal | better)[group] & (by == best[group]))
        group = group[hits]
        contested = np.bincount(group, minlength=len(best)) + equal > 1
        alone = ~contested[group]
        self._put(groups.places[group[alone]], columns, rows[hits[alone]])
        if contested.any():
            self._settle(columns, rows[hits[~alone]], group[~alone], np.flatnonzero(contested & equal), groups.places)

    def _settle(
        self, columns: Sequence[Values], rows: AnyArray, group: AnyArray, held: AnyArray, places: AnyArray
    ) -> None:
        """Pick among equal rows, each of a `group`; the groups `held` have one equal to them already."""
        ranks = [_ranks(values, rows, own.at(places[held])) for values, own in zip(columns, self._columns, strict=True)]
        groups = np.concatenate([group, held])
        order = np.lexsort([*reversed(ranks[1:]), groups])
        ordered = groups[order]
        first = order[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
        new = first[first < len(rows)]
        self._put(places[group[new]], columns, rows[new])

    def _put(self, places: AnyArray, columns: Sequence[Values], rows: AnyArray) -> None:
        for own, values in zip(self._columns, columns, strict=True):
            own.put(places, values, rows)
        self._seen[places] = True

    def kept(self, places: AnyArray | slice) -> list[Ordinals]:
        """Return what is kept at some places, column by column."""
        missing = ~self._seen[places]
        return [column.ordinals(places, missing) for column in self._columns]

    def result(self, own: slice) -> Ordinals:
        """Return the picks of a bucket, texts as objects; missing where there was no row."""
        return self._columns[-1].ordinals(own, ~self._seen[own])


def _ranks(values: Values, rows: AnyArray, held: Values) -> AnyArray:
    """Return whole numbers that have the order of some rows' values and those held, missing ones last."""
    data = np.concatenate([values.at(rows), held.at(np.arange(len(held.data)))])
    own = np.ones(len(rows), dtype=bool) if values.there is None else values.there[rows]
    there = own if held.there is None else np.concatenate([own, held.there])
    ranks = np.full(len(data), len(data), dtype=np.int64)
    ranks[there] = np.unique(data[there], return_inverse=True)[1]
    return ranks
