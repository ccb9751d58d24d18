"""States of aggregates as Arrow columns that any engine can carry, and back.

A whole number takes two columns: what fits 64 bits, and beside it the digits of what does not, as text. Distinct
values are a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np
import pyarrow as pa

from segengine.kernel.aggregates import (
    Accumulator,
    Averages,
    Counts,
    DistinctCounts,
    Extremes,
    Sums,
    readings,
)
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.ordinals import Ordinals
from segengine.kernel.values import Groups, Numbered, Values, make_groups
from segengine.project.attributes import Aggregate, AggregateFunction, Arithmetic, Attribute
from segengine.project.types import AttributeType, Family

_SURE_DIGITS = 18  # a decimal of so many always fits 64 bits


class _Part(StrEnum):
    """One thing a state keeps of a group."""

    COUNT = "count"
    WHOLE = "whole"
    FLOAT = "float"
    TEXT = "text"
    DISTINCT = "distinct"


def _part(type_: AttributeType) -> _Part:
    if type_.family is Family.TEXT:
        return _Part.TEXT
    return _Part.FLOAT if type_.name in ("float", "double") else _Part.WHOLE


def _parts(aggregate: Aggregate) -> list[_Part]:
    if aggregate.of is None or aggregate.function is AggregateFunction.COUNT:
        return [_Part.COUNT]
    if aggregate.function is AggregateFunction.SUM:
        return [_Part.WHOLE]
    if aggregate.function is AggregateFunction.AVERAGE:
        return [_Part.WHOLE, _Part.COUNT]
    if aggregate.function is AggregateFunction.COUNT_UNIQUE:
        return [_Part.DISTINCT]
    return [_part(reading.of.type) for reading in readings(aggregate)]


def _distinct_type(of: Attribute | Arithmetic) -> pa.DataType:
    part = _part(of.type)
    if part is _Part.WHOLE:
        is_sure = of.type.name != "decimal" or of.type.precision <= _SURE_DIGITS
        return pa.int64() if is_sure else pa.string()
    return pa.float64() if part is _Part.FLOAT else pa.string()


def state_fields(number: int, aggregate: Aggregate) -> list[pa.Field]:
    """Return the columns of an aggregate's state: `s{number}_0`, ..."""
    types: list[pa.DataType] = []
    for part in _parts(aggregate):
        if part is _Part.DISTINCT and aggregate.of is not None:
            types.append(pa.list_(_distinct_type(aggregate.of)))
        elif part is _Part.WHOLE:
            types += [pa.int64(), pa.string()]
        else:
            types.append({_Part.COUNT: pa.int64(), _Part.FLOAT: pa.float64()}.get(part, pa.string()))
    return [pa.field(f"s{number}_{place}", type_) for place, type_ in enumerate(types)]


def state_arrays(accumulator: Accumulator, aggregate: Aggregate, numbered: Numbered, count: int) -> list[pa.Array]:
    """Return the states of the first `count` places; `numbered`: the distinct values, where these are counted."""
    every = slice(0, count)
    if isinstance(accumulator, DistinctCounts):
        if aggregate.of is None:
            raise TypeError("rows have no distinct values")
        return [_distinct_lists(accumulator, numbered, count, _distinct_type(aggregate.of))]
    if isinstance(accumulator, Counts | Sums | Extremes):
        found = [accumulator.result(every)]
    elif isinstance(accumulator, Averages):
        found = [accumulator.sums.result(every), accumulator.counts.result(every)]
    else:
        found = accumulator.kept(every)
    parts = _parts(aggregate)
    return [array for part, ordinals in zip(parts, found, strict=True) for array in _arrays(part, ordinals)]


def _arrays(part: _Part, ordinals: Ordinals) -> Iterator[pa.Array]:
    yield pa.array(ordinals.values, pa.string() if part is _Part.TEXT else None, mask=ordinals.missing)
    if part is _Part.WHOLE:
        digits = np.full(len(ordinals.values), None, dtype=object)
        digits[list(ordinals.large)] = [str(value) for value in ordinals.large.values()]
        yield pa.array(digits, pa.string())


def _distinct_lists(accumulator: DistinctCounts, numbered: Numbered, count: int, type_: pa.DataType) -> pa.Array:
    places, numbers = accumulator.pairs()
    values = numbered.values()
    distinct = pa.array([str(value) for value in values] if pa.types.is_string(type_) else values, type_)
    offsets = np.searchsorted(places, np.arange(count + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), distinct.take(pa.array(numbers)))


def absorb_states(
    accumulator: Accumulator, arrays: Sequence[pa.Array], numbered: Numbered, order: AnyArray, groups: Groups
) -> None:
    """Take in states.

    Args:
        accumulator: What they become part of.
        arrays: The columns of `state_fields`, one row for each state.
        numbered: The distinct values of this accumulator.
        order: The states by group.
        groups: The groups of the states so ordered.
    """
    if isinstance(accumulator, DistinctCounts):
        _absorb_distinct(accumulator, arrays[0], numbered, order, groups)
        return
    if isinstance(accumulator, Counts):
        accumulator.add_counts(_numbers(arrays[0])[order], groups)
        return
    if isinstance(accumulator, Averages):
        accumulator.sums.add(_values(arrays[:2]).at(order), groups)
        accumulator.counts.add_counts(_numbers(arrays[2])[order], groups)
        return
    if isinstance(accumulator, Sums):
        accumulator.add(_values(arrays).at(order), groups)
        return
    columns = list(_columns(arrays))
    if columns[0].there is not None:
        order, groups = _there(columns[0].there[order], order, groups)
    if not len(order):
        return
    if isinstance(accumulator, Extremes):
        accumulator.add(columns[0].at(order), groups)
    else:
        accumulator.add(columns, order, groups)


def _there(there: AnyArray, order: AnyArray, groups: Groups) -> tuple[AnyArray, Groups]:
    if there.all() or not there.any():
        return order[there], groups
    return order[there], make_groups(np.repeat(groups.places, groups.lengths)[there])


def _columns(arrays: Sequence[pa.Array]) -> Iterator[Values]:
    """Yield the values of state columns: a whole number has two."""
    rest = list(arrays)
    while rest:
        size = 2 if pa.types.is_integer(rest[0].type) else 1
        yield _values(rest[:size])
        rest = rest[size:]


def _values(arrays: Sequence[pa.Array]) -> Values:
    there = np.asarray(arrays[0].is_valid()) if arrays[0].null_count else None
    if pa.types.is_string(arrays[0].type):
        return Values(arrays[0].to_numpy(zero_copy_only=False), there)
    numbers = _numbers(arrays[0])
    if len(arrays) > 1 and arrays[1].null_count < len(arrays[1]):
        rows = np.flatnonzero(np.asarray(arrays[1].is_valid()))
        numbers = numbers.astype(object)
        numbers[rows] = [int(digits) for digits in arrays[1].take(pa.array(rows)).to_pylist()]
    return Values(numbers, there)


def _numbers(array: pa.Array) -> AnyArray:
    numbers: AnyArray = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return numbers


def _absorb_distinct(
    accumulator: DistinctCounts, lists: pa.ListArray, numbered: Numbered, order: AnyArray, groups: Groups
) -> None:
    values = lists.flatten()
    if not len(values):
        return
    if not pa.types.is_string(values.type):
        numbers = numbered.of_array(_numbers(values))
    else:
        numbers = numbered.of_texts(values)
    place_of = np.empty(len(lists), dtype=np.int64)
    place_of[order] = np.repeat(groups.places, groups.lengths)
    places = np.repeat(place_of, _numbers(lists.value_lengths()))
    by_place = np.argsort(places)
    accumulator.add(numbers[by_place], make_groups(places[by_place]))
