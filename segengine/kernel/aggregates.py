"""Aggregates per profile: exact sums and averages, extremes, counts, numbers of distinct values.

A profile's state lives at its place in plain arrays. Values are int64 (extremes of floats: float64); what does not fit
comes as Python integers in an array of objects, and is kept in a dictionary by place: rare, and exact.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.arithmetic import Clock, compute, exact_numbers, half_even, put_exactly
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.date_parts import settle_walls
from segengine.kernel.narrow import narrow_values
from segengine.kernel.ordinals import Ordinals, text_values
from segengine.kernel.packed import pack_pairs, unpack_pairs, unpack_value
from segengine.kernel.picks import Kept, Picks
from segengine.kernel.values import Columns, Groups, Numbered, Texts, Values, make_groups, with_room
from segengine.project.aggregates import MAX_PRECISION, QUOTIENT_SCALE, value_type
from segengine.project.attributes import Aggregate, AggregateFunction, Arithmetic, Attribute, ValueOf
from segengine.project.types import AttributeType, Family
from segengine.project.walk import aggregate_attributes

_INT64 = np.iinfo(np.int64)
_LIMIT = 10**MAX_PRECISION
_QUOTIENT = 10**QUOTIENT_SCALE
_EXACT_QUOTIENT = int(_INT64.max) // _QUOTIENT - 1  # whole parts up to here leave room for the digits
_WHOLE_FLOATS = 1 << 52
_FLOATS = ("float", "double")

Integers = npt.NDArray[np.int64]


class Form(StrEnum):
    """How an aggregate takes its values."""

    EXACT = "exact"
    ORDERED = "ordered"
    PLAIN = "plain"
    DISTINCT = "distinct"
    THERE = "there"


_FORMS = {
    AggregateFunction.SUM: Form.EXACT,
    AggregateFunction.AVERAGE: Form.EXACT,
    AggregateFunction.MIN: Form.ORDERED,
    AggregateFunction.MAX: Form.ORDERED,
    AggregateFunction.COUNT_UNIQUE: Form.DISTINCT,
    AggregateFunction.COUNT: Form.THERE,
}


ValueKey = tuple[Attribute | Arithmetic, Form]


@dataclass(frozen=True)
class Reading:
    """One column that an aggregate takes in one form; of a row where it is missing nothing is taken if `needed`."""

    of: Attribute | Arithmetic
    form: Form
    needed: bool = True

    @property
    def key(self) -> ValueKey:
        """The column in its form: equal ones are read once."""
        return self.of, self.form


def readings(aggregate: Aggregate) -> tuple[Reading, ...]:
    """Return what an aggregate takes of each row: its value; a pick what it is ordered by, the key and the value."""
    if aggregate.of is None:
        return ()
    if aggregate.by is None:
        return (Reading(aggregate.of, _FORMS[aggregate.function]),)
    key = (Reading(part, Form.ORDERED, needed=False) for part in aggregate.key)
    return (Reading(aggregate.by, Form.ORDERED), *key, Reading(aggregate.of, Form.PLAIN))


class ValueReader:
    """Reads one attribute, or arithmetic on several, in one form.

    `attributes` are those it reads; `invalid_count`: values seen that are errors (infinities). `numbered`: the distinct
    values, where these are counted.
    """

    def __init__(self, of: Attribute | Arithmetic, form: Form, clock: Clock | None = None) -> None:
        self.of = of
        self.invalid_count = 0
        self.attributes = tuple(dict.fromkeys(aggregate_attributes(Aggregate(AggregateFunction.COUNT, of))))
        self._form = form
        self._clock = clock
        self.numbered = Numbered()

    def read(self, columns: Columns) -> Values:
        """Return the values of a batch.

        Raises:
            BadColumnError: A value is not of its attribute's declared type.
        """
        if isinstance(self.of, Attribute) and self.of.type.family is Family.TEXT:
            return self._texts(columns.array(self.of))
        read: dict[Attribute | ValueOf, Ordinals] = {own: columns.ordinals(own) for own in self.attributes}
        self.invalid_count += sum(len(own.invalid) for own in read.values() if own.invalid is not None)
        if isinstance(self.of, Attribute):
            return self._values(read[self.of])
        if self._clock is None:
            raise ValueError("arithmetic on rows needs the time of the run")
        count = len(next(iter(read.values())).values)
        return self._values(compute(self.of, read.__getitem__, self._clock.as_of, self._clock.zone, count))

    def _texts(self, array: pa.Array) -> Values:
        texts = text_values(array)
        if self._form is Form.DISTINCT:
            numbers = self.numbered.of_texts(texts)
            return Values(numbers, numbers >= 0)
        there = pc.fill_null(pc.not_equal(texts, ""), False).to_numpy(zero_copy_only=False)
        return Values(_nothing(len(texts)) if self._form is Form.THERE else Texts(texts), there)

    def _values(self, ordinals: Ordinals) -> Values:
        missing = ordinals.missing
        if ordinals.invalid is not None:
            missing = np.zeros(len(ordinals.values), dtype=bool) if missing is None else missing.copy()
            missing[ordinals.invalid] = True
        there = None if missing is None else ~missing
        if self._form is Form.THERE:
            return Values(_nothing(len(ordinals.values)), there)
        if self._form is Form.EXACT:
            ordinals = exact_numbers(ordinals, self.of.type)
        values: AnyArray = ordinals.values
        if self.of.type.name == "timestamp_ntz" and self._form is not Form.PLAIN:
            values = settle_walls(ordinals.values.astype(np.int64, copy=False), self.of.type.zone or "UTC")
        if ordinals.large:
            values = values.astype(object)
            values[list(ordinals.large)] = list(ordinals.large.values())
        if self._form is Form.DISTINCT:
            return Values(self.numbered.of_array(values), there)
        return Values(values, there)


def _nothing(count: int) -> AnyArray:
    """Return what stands for values of which only the number counts."""
    return np.broadcast_to(np.int64(0), count)


class Counts:
    """Numbers of rows."""

    def __init__(self) -> None:
        self._counts: Integers = np.zeros(0, dtype=np.int64)
        self._first = 0

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._counts = with_room(self._counts, room)

    def share(self, counts: Integers, first: int) -> None:
        """Have the counts kept elsewhere; these are those of the places from `first` on."""
        self._counts, self._first = counts, first

    def add(self, groups: Groups) -> None:
        """Take in rows."""
        self._counts[groups.places] += groups.lengths

    def add_counts(self, counts: AnyArray, groups: Groups) -> None:
        """Take in numbers of rows, shape (groups.count,)."""
        self._counts[groups.places] += np.add.reduceat(counts, groups.starts)

    def result(self, own: slice) -> Ordinals:
        """Return the counts of a bucket, shape (32,768,)."""
        return Ordinals(self._counts[_shifted(own, self._first)].copy(), None)


class Sums:
    """Exact sums."""

    def __init__(self) -> None:
        self._totals: Integers = np.zeros(0, dtype=np.int64)
        self._first = 0
        self._is_shared = False
        self._bound = 0  # no total lies further from 0
        self._exact: dict[int, int] = {}

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._totals = with_room(self._totals, room)

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in values, shape (groups.count,); beside a shared array, those that it cannot hold."""
        bound = max(abs(int(values.max())), abs(int(values.min()))) * groups.count
        if values.dtype == object or bound > _INT64.max or self._is_shared:
            sums = np.add.reduceat(values.astype(object), groups.starts)
            self._add_exactly(groups.places, sums)
            return
        if self._bound + bound > _INT64.max:
            self._bound = most(self._totals)
            if self._bound + bound > _INT64.max:
                self.spill()
                self._bound = 0
        self._bound += bound
        self._totals[groups.places] += np.add.reduceat(values, groups.starts)

    def share(self, totals: Integers, first: int) -> None:
        """Have the totals kept elsewhere; these are those of the places from `first` on."""
        self._totals, self._first, self._is_shared = totals, first, True

    def spill(self) -> None:
        """Move the totals out of their array, which is 0 then."""
        places = np.flatnonzero(self._totals)
        self._add_exactly(places + self._first, self._totals[places])
        self._totals[:] = 0

    def _add_exactly(self, places: AnyArray, sums: AnyArray) -> None:
        for place, total in zip(places.tolist(), sums.tolist(), strict=True):
            self._exact[place] = self._exact.get(place, 0) + total

    def result(self, own: slice) -> Ordinals:
        """Return the sums of a bucket, shape (32,768,); 0 where there was nothing."""
        values = self._totals[_shifted(own, self._first)].copy()
        large: dict[int, int] = {}
        exact = [place for place in self._exact if own.start <= place < own.stop]
        if exact:
            values = values.astype(np.int64)
        for place in exact:
            here = place - own.start
            put_exactly(values, large, here, self._exact[place] + int(values[here]))
        return Ordinals(values, None, large)


class Averages:
    """Exact averages, rounded half to even at six digits more than the values have."""

    def __init__(self) -> None:
        self.sums = Sums()
        self.counts = Counts()

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self.sums.grow(room)
        self.counts.grow(room)

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in values, shape (groups.count,)."""
        self.sums.add(values, groups)
        self.counts.add(groups)

    def result(self, own: slice) -> Ordinals:
        """Return the averages of a bucket; missing where there was no value."""
        sums, counts = self.sums.result(own), self.counts.result(own).values
        missing = counts == 0
        divisors = np.maximum(counts, 1)
        totals = np.asarray(sums.values, dtype=np.int64)
        inexact = set(sums.large)
        if most(totals) < _WHOLE_FLOATS // _QUOTIENT:
            averages = _rounded(totals * _QUOTIENT, divisors)
        else:
            whole, rest = np.divmod(totals, divisors)
            fits = (whole <= _EXACT_QUOTIENT) & (whole >= -_EXACT_QUOTIENT)
            averages = np.where(fits, whole, 0) * _QUOTIENT + _rounded(rest * _QUOTIENT, divisors)
            inexact.update(np.flatnonzero(~fits).tolist())
        large: dict[int, int] = {}
        for place in inexact:
            total = sums.large.get(place, int(sums.values[place]))
            put_exactly(averages, large, place, half_even(total * _QUOTIENT, int(divisors[place])))
        return Ordinals(averages, missing if missing.any() else None, large)


def _shifted(own: slice, first: int) -> slice:
    """Return where places are in an array that starts with the place `first`."""
    return slice(own.start - first, own.stop - first)


def _rounded(numbers: Integers, divisors: Integers) -> Integers:
    """Return quotients rounded half to even; divisors are positive.

    Processors divide floats several times faster than whole numbers, and of numbers below 2^52 no quotient is on the
    wrong side: it is off by less than the 1 / (2 * divisor) that is the least between it and a half.
    """
    if most(numbers) < _WHOLE_FLOATS:
        nearest: Integers = np.rint(numbers / divisors).astype(np.int64)
        return nearest
    quotients, left = np.divmod(numbers, divisors)
    twice = 2 * left
    quotients += (twice > divisors) | ((twice == divisors) & (quotients & 1 == 1))
    return quotients


def most(numbers: AnyArray) -> int:
    """Return how far from 0 numbers lie at most."""
    return max(int(numbers.max(initial=0)), -int(numbers.min(initial=0)))


class Extremes:
    """Smallest or largest values."""

    def __init__(self, function: AggregateFunction, is_float: bool) -> None:
        self.least = function is AggregateFunction.MIN
        self.is_float = is_float
        self._best: AnyArray = np.zeros(0, dtype=np.float64 if is_float else np.int64)
        self._shared: AnyArray | None = None
        self._first = 0
        self._seen: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._exact: dict[int, int] = {}

    def grow(self, room: int) -> None:
        """Make room for so many places."""
        self._best = with_room(self._best, room)
        self._seen = with_room(self._seen, room)

    def share(self, packed: AnyArray, first: int) -> None:
        """Have the extremes kept elsewhere, by `pack_value`, of the smallest the complement.

        These are those of the places from `first` on.
        """
        self._shared, self._first = packed, first

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in values, shape (groups.count,); beside a shared array, those that it cannot hold."""
        join = np.minimum if self.least else np.maximum
        if self._shared is not None:
            values = values.astype(object)
        best = join.reduceat(values, groups.starts)
        places = groups.places
        if values.dtype == object:
            pick = min if self.least else max
            for place, value in zip(places.tolist(), best.tolist(), strict=True):
                self._exact[place] = pick(value, self._exact.get(place, value))
            return
        self._best[places] = np.where(self._seen[places], join(self._best[places], best), best)
        self._seen[places] = True

    def result(self, own: slice) -> Ordinals:
        """Return the extremes of a bucket; missing where there was no value."""
        if self._shared is None:
            values, missing = self._best[own].copy(), ~self._seen[own]
        else:
            packed = self._shared[_shifted(own, self._first)]
            values, missing = unpack_value(packed), packed == 0
            values = np.where(missing, 0, ~values if self.least else values)
        pick = min if self.least else max
        large: dict[int, int] = {}
        for place in [place for place in self._exact if own.start <= place < own.stop]:
            here = place - own.start
            value = self._exact[place]
            put_exactly(values, large, here, value if missing[here] else pick(value, int(values[here])))
            missing[here] = False
        return Ordinals(values, missing if missing.any() else None, large)


class DistinctCounts:
    """Numbers of distinct values: (place, number of the value) as one integer, each once."""

    def __init__(self) -> None:
        self._pairs: list[Integers] = []
        self._loose = 0  # pairs since they were last made distinct
        self._counts: Counts | None = None

    def grow(self, room: int) -> None:
        """Make room for so many places."""

    def count_by(self, counts: Counts) -> None:
        """Have the distinct values counted elsewhere from now on."""
        self._counts = counts

    def add(self, values: AnyArray, groups: Groups) -> None:
        """Take in numbers of values, shape (groups.count,)."""
        pairs = _distinct(pack_pairs(np.repeat(groups.places, groups.lengths), values))
        self._pairs.append(pairs)
        self._loose += len(pairs)
        if self._loose > 2 * len(self._pairs[0]):
            self._compact()

    @property
    def byte_count(self) -> int:
        """What the pairs take."""
        return sum(pairs.nbytes for pairs in self._pairs)

    def pairs(self) -> tuple[Integers, Integers]:
        """Return places, ascending, and the numbers of the distinct values there."""
        if len(self._pairs) > 1:
            self._compact()
        pairs = self._pairs[0] if self._pairs else np.zeros(0, dtype=np.int64)
        return unpack_pairs(pairs)

    def _compact(self) -> None:
        self._pairs = [_distinct(np.concatenate(self._pairs))]
        self._loose = 0

    def result(self, own: slice) -> Ordinals:
        """Return the counts of a bucket, shape (32,768,); 0 where there was nothing."""
        if self._counts is not None:
            return self._counts.result(own)
        places, _ = self.pairs()
        first, last = np.searchsorted(places, [own.start, own.stop])
        places = places[first:last] - own.start
        return Ordinals(np.bincount(places, minlength=own.stop - own.start).astype(np.int64), None)


def _distinct(pairs: Integers) -> Integers:
    """Return the values sorted, each once; sorting whole numbers is several times faster than `np.unique`'s hashing."""
    pairs.sort()
    distinct: Integers = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    return distinct


Accumulator = Counts | Sums | Averages | Extremes | DistinctCounts | Picks


def make_accumulator(aggregate: Aggregate) -> Accumulator:
    """Return the state of an aggregate before any row."""
    function, of = aggregate.function, aggregate.of
    if function is AggregateFunction.COUNT or of is None:
        return Counts()
    if aggregate.by is not None:
        columns = [_kept(reading.of) for reading in readings(aggregate)]
        return Picks(function in (AggregateFunction.FIRST, AggregateFunction.ARG_MIN), columns)
    if function is AggregateFunction.SUM:
        return Sums()
    if function is AggregateFunction.AVERAGE:
        return Averages()
    if function is AggregateFunction.COUNT_UNIQUE:
        return DistinctCounts()
    if of.type.family is Family.TEXT:
        return Picks(function is AggregateFunction.MIN, [_kept(of)])
    return Extremes(function, of.type.name in _FLOATS)


def _kept(of: Attribute | Arithmetic) -> Kept:
    return Kept(of.type.family is Family.TEXT, of.type.name in _FLOATS)


def add_rows(
    accumulator: Accumulator, columns: Sequence[Values], needed: Sequence[bool], rows: AnyArray, groups: Groups
) -> None:
    """Take in those of some rows that have what the aggregate needs.

    Args:
        accumulator: The state.
        columns: The batch's values, one for each of the aggregate's `readings`.
        needed: Of each, whether a row without it is left out.
        rows: Rows of the batch by place, at least one.
        groups: These rows' places.
    """
    gaps = [
        values.there[rows]
        for values, is_needed in zip(columns, needed, strict=True)
        if is_needed and values.there is not None
    ]
    if gaps:
        there = np.logical_and.reduce(gaps)
        if not there.any():
            return
        rows, groups = rows[there], make_groups(np.repeat(groups.places, groups.lengths)[there])
    if isinstance(accumulator, Counts):
        accumulator.add(groups)
    elif isinstance(accumulator, Picks):
        accumulator.add(columns, rows, groups)
    else:
        accumulator.add(columns[0].at(rows), groups)


def drop_overflow(values: Ordinals) -> list[int]:
    """Make missing what has more than 38 digits; return where that was."""
    over = sorted(place for place, value in values.large.items() if abs(value) >= _LIMIT)
    if over:
        values.missing = np.zeros(len(values.values), dtype=bool) if values.missing is None else values.missing
        values.missing[over] = True
        for place in over:
            del values.large[place]
    return over


def aggregate_type(aggregate: Aggregate) -> AttributeType:
    """Return the type of an aggregate's value."""
    return AttributeType("integer") if aggregate.of is None else value_type(aggregate.function, aggregate.of.type)


def value_batch(columns: Sequence[tuple[Ordinals, AttributeType]]) -> pa.RecordBatch:
    """Return values as columns `v0`, `v1`, ... of their stored types, narrowed (`narrow`).

    NULL where missing. A number of more than 38 digits is NULL too, and the schema's metadata have `overflow`: by
    number of the column the places, as JSON.
    """
    overflow: dict[str, list[int]] = {}
    found = []
    for number, (values, type_) in enumerate(columns):
        if places := drop_overflow(values):
            overflow[str(number)] = places
        found.append(narrow_values(f"v{number}", values, type_))
    metadata = {"overflow": json.dumps(overflow)} if overflow else None
    schema = pa.schema([field for _, field in found], metadata)
    return pa.RecordBatch.from_arrays([array for array, _ in found], schema=schema)
