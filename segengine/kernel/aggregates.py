"""Aggregates per profile: exact sums and averages, extremes, numbers of distinct values.

A profile's state lives at its place in plain arrays. Values are int64 (extremes of floats: float64); what does not fit
comes as Python integers in an array of objects, and is kept in a dictionary by place: rare, and exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.date_parts import settle_walls
from segengine.kernel.ordinals import Ordinals, read_ordinals, text_values, to_nine_digits
from segengine.project.aggregates import MAX_PRECISION, QUOTIENT_SCALE
from segengine.project.model import Aggregate, AggregateFunction, Attribute
from segengine.project.types import Family

_INT64 = np.iinfo(np.int64)
_LIMIT = 10**MAX_PRECISION
_QUOTIENT = 10**QUOTIENT_SCALE
_EXACT_QUOTIENT = int(_INT64.max) // _QUOTIENT - 1  # whole parts up to here leave room for the digits
_ID_BITS = 32

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Values:
    """A column's values as aggregates take them.

    `data`: shape (n,), int64, float64 or Python integers; `there`: shape (n,), or None where nothing is missing.
    """

    data: AnyArray
    there: npt.NDArray[np.bool_] | None

    def taken(self, order: AnyArray) -> Values:
        """Return the values in another order."""
        return Values(self.data[order], None if self.there is None else self.there[order])


def joined_values(parts: Sequence[Values]) -> Values:
    """Return the values of several batches as one."""
    data = np.concatenate([part.data for part in parts])
    if all(part.there is None for part in parts):
        return Values(data, None)
    there = [np.ones(len(part.data), dtype=bool) if part.there is None else part.there for part in parts]
    return Values(data, np.concatenate(there))


class ValueReader:
    """Reads one attribute for one kind of aggregate; `invalid_count`: values seen that are errors (infinities)."""

    def __init__(self, attribute: Attribute, function: AggregateFunction) -> None:
        self.attribute = attribute
        self._function = function
        self._ids: dict[object, int] = {}
        self.invalid_count = 0

    def read(self, array: pa.Array) -> Values:
        """Return the values of a batch.

        Raises:
            BadValueError: A value is not of the attribute's declared type.
        """
        if self.attribute.type.family is Family.TEXT:
            encoded = text_values(array).dictionary_encode()
            codes = np.asarray(encoded.indices.fill_null(len(encoded.dictionary)))
            numbers = self._numbers([*encoded.dictionary.to_pylist(), None])[codes]
            return Values(numbers, numbers >= 0)
        ordinals = read_ordinals(array, self.attribute.type)
        missing = ordinals.missing
        if ordinals.invalid is not None:
            self.invalid_count += len(ordinals.invalid)
            missing = np.zeros(len(array), dtype=bool) if missing is None else missing
            missing[ordinals.invalid] = True
        values: AnyArray = ordinals.values
        if self.attribute.type.name == "timestamp_ntz":
            values = settle_walls(ordinals.values.astype(np.int64, copy=False), self.attribute.type.zone or "UTC")
        if ordinals.large:
            values = values.astype(object)
            values[list(ordinals.large)] = list(ordinals.large.values())
        if self._function is AggregateFunction.COUNT_UNIQUE:
            return self._numbered(values, missing)
        if values.dtype == np.float64 and self._function in (AggregateFunction.SUM, AggregateFunction.AVERAGE):
            values = to_nine_digits(np.where(missing, 0.0, values) if missing is not None else values)
        return Values(values, None if missing is None else ~missing)

    def _numbered(self, values: AnyArray, missing: npt.NDArray[np.bool_] | None) -> Values:
        if values.dtype == object:
            numbers = self._numbers(values.tolist())
        else:
            distinct, places = np.unique(values, return_inverse=True)
            numbers = self._numbers(distinct.tolist())[places]
        return Values(numbers, None if missing is None else ~missing)

    def _numbers(self, values: Sequence[object]) -> Integers:
        """Return a number for each value, the same in all batches of a task; -1 for missing text."""
        ids = self._ids
        return np.array([-1 if v is None or v == "" else ids.setdefault(v, len(ids)) for v in values], dtype=np.int64)


@dataclass(frozen=True)
class Groups:
    """Rows of one batch by profile: `places` (g,) ascending, `starts` (g,) the first row of each, `count` rows."""

    places: AnyArray
    starts: AnyArray
    count: int


def make_groups(places: AnyArray) -> Groups:
    """Return the groups of rows whose places are sorted."""
    starts = np.concatenate([[0], np.flatnonzero(places[1:] != places[:-1]) + 1])
    return Groups(places[starts], starts, len(places))


class Sums:
    """Exact sums."""

    def __init__(self) -> None:
        self._totals: Integers = np.zeros(0, dtype=np.int64)
        self._bound = 0  # no total lies further from 0
        self._exact: dict[int, int] = {}

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._totals = np.pad(self._totals, (0, room - len(self._totals)))

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in values, shape (groups.count,)."""
        bound = max(abs(int(values.max())), abs(int(values.min()))) * groups.count
        if values.dtype == object or bound > _INT64.max:
            sums = np.add.reduceat(values.astype(object), groups.starts)
            self._add_exactly(groups.places, sums)
            return
        if self._bound + bound > _INT64.max:
            self._spill(bound)
        self._bound += bound
        self._totals[groups.places] += np.add.reduceat(values, groups.starts)

    def _add_exactly(self, places: AnyArray, sums: AnyArray) -> None:
        for place, total in zip(places.tolist(), sums.tolist(), strict=True):
            self._exact[place] = self._exact.get(place, 0) + total

    def _spill(self, bound: int) -> None:
        """Learn how large the totals really are; move them out where a batch with that bound might overflow."""
        self._bound = max(int(self._totals.max(initial=0)), -int(self._totals.min(initial=0)))
        if self._bound + bound > _INT64.max:
            places = np.flatnonzero(self._totals)
            self._add_exactly(places, self._totals[places])
            self._totals[:] = 0
            self._bound = 0

    def result(self, own: slice) -> Ordinals:
        """Return the sums of a bucket, shape (32,768,); 0 where there was nothing."""
        values = self._totals[own].copy()
        large: dict[int, int] = {}
        for place in [place for place in self._exact if own.start <= place < own.stop]:
            total = self._exact[place] + int(self._totals[place])
            _put(values, large, place - own.start, total)
        return Ordinals(values, None, large)


def _put(values: Integers, large: dict[int, int], place: int, value: int) -> None:
    if _INT64.min <= value <= _INT64.max:
        values[place] = value
    else:
        values[place] = 0
        large[place] = value


class Averages:
    """Exact averages, rounded half to even at six digits more than the values have."""

    def __init__(self) -> None:
        self._sums = Sums()
        self._counts: Integers = np.zeros(0, dtype=np.int64)

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._sums.grow(room)
        self._counts = np.pad(self._counts, (0, room - len(self._counts)))

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in values, shape (groups.count,)."""
        self._sums.add(values, groups)
        self._counts[groups.places] += np.diff(np.append(groups.starts, groups.count))

    def result(self, own: slice) -> Ordinals:
        """Return the averages of a bucket; missing where there was no value."""
        sums, counts = self._sums.result(own), self._counts[own]
        missing = counts == 0
        divisors = np.where(missing, 1, counts)
        whole, rest = np.divmod(sums.values, divisors)
        digits, left = np.divmod(rest * _QUOTIENT, divisors)
        twice = 2 * left
        digits += (twice > divisors) | ((twice == divisors) & (digits & 1 == 1))
        fits = (whole <= _EXACT_QUOTIENT) & (whole >= -_EXACT_QUOTIENT)
        averages = np.where(fits, whole, 0) * _QUOTIENT + digits
        large: dict[int, int] = {}
        for place in {*np.flatnonzero(~fits).tolist(), *sums.large}:
            total = sums.large.get(place, int(sums.values[place]))
            _put(averages, large, place, half_even(total * _QUOTIENT, int(divisors[place])))
        return Ordinals(averages, missing if missing.any() else None, large)


def half_even(numerator: int, denominator: int) -> int:
    """Return a quotient rounded half to even; the denominator is positive."""
    whole, left = divmod(numerator, denominator)
    return whole + (2 * left > denominator or (2 * left == denominator and whole % 2 == 1))


class Extremes:
    """Smallest or largest values."""

    def __init__(self, function: AggregateFunction, is_float: bool) -> None:
        self._least = function is AggregateFunction.MIN
        self._best: AnyArray = np.zeros(0, dtype=np.float64 if is_float else np.int64)
        self._seen: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._exact: dict[int, int] = {}

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._best = np.pad(self._best, (0, room - len(self._best)))
        self._seen = np.pad(self._seen, (0, room - len(self._seen)))

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in values, shape (groups.count,)."""
        join = np.minimum if self._least else np.maximum
        best = join.reduceat(values, groups.starts)
        places = groups.places
        if values.dtype == object:
            pick = min if self._least else max
            for place, value in zip(places.tolist(), best.tolist(), strict=True):
                self._exact[place] = pick(value, self._exact.get(place, value))
            return
        self._best[places] = np.where(self._seen[places], join(self._best[places], best), best)
        self._seen[places] = True

    def result(self, own: slice) -> Ordinals:
        """Return the extremes of a bucket; missing where there was no value."""
        values, missing = self._best[own].copy(), ~self._seen[own]
        pick = min if self._least else max
        large: dict[int, int] = {}
        for place in [place for place in self._exact if own.start <= place < own.stop]:
            here = place - own.start
            value = self._exact[place]
            _put(values, large, here, value if missing[here] else pick(value, int(values[here])))
            missing[here] = False
        return Ordinals(values, missing if missing.any() else None, large)


class DistinctCounts:
    """Numbers of distinct values: (place, number of the value) as one integer, each once."""

    def __init__(self) -> None:
        self._pairs: list[Integers] = []
        self._loose = 0  # pairs since they were last made distinct
        self._room = 0

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._room = room

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in numbers of values, shape (groups.count,)."""
        lengths = np.diff(np.append(groups.starts, groups.count))
        pairs = _distinct((np.repeat(groups.places, lengths) << _ID_BITS) | values)
        self._pairs.append(pairs)
        self._loose += len(pairs)
        if self._loose > 2 * len(self._pairs[0]):
            self._compact()

    def _compact(self) -> None:
        self._pairs = [_distinct(np.concatenate(self._pairs))]
        self._loose = 0

    def result(self, own: slice) -> Ordinals:
        """Return the counts of a bucket, shape (32,768,); 0 where there was nothing."""
        if len(self._pairs) > 1:
            self._compact()
        pairs = self._pairs[0] if self._pairs else np.zeros(0, dtype=np.int64)
        first, last = np.searchsorted(pairs, [own.start << _ID_BITS, own.stop << _ID_BITS])
        places = (pairs[first:last] >> _ID_BITS) - own.start
        return Ordinals(np.bincount(places, minlength=own.stop - own.start).astype(np.int64), None)


def _distinct(pairs: Integers) -> Integers:
    """Return the values sorted, each once; sorting whole numbers is several times faster than `np.unique`'s hashing."""
    pairs.sort()
    distinct: Integers = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    return distinct


Accumulator = Sums | Averages | Extremes | DistinctCounts


def make_accumulator(aggregate: Aggregate) -> Accumulator:
    """Return the state of an aggregate before any row."""
    if aggregate.function is AggregateFunction.SUM:
        return Sums()
    if aggregate.function is AggregateFunction.AVERAGE:
        return Averages()
    if aggregate.function is AggregateFunction.COUNT_UNIQUE:
        return DistinctCounts()
    return Extremes(aggregate.function, aggregate.of.type.name in ("float", "double"))


def drop_overflow(values: Ordinals) -> int:
    """Make missing what has more than 38 digits; return how many there were."""
    over = [place for place, value in values.large.items() if abs(value) >= _LIMIT]
    if over:
        values.missing = np.zeros(len(values.values), dtype=bool) if values.missing is None else values.missing
        values.missing[over] = True
        for place in over:
            del values.large[place]
    return len(over)
