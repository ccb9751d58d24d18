"""Aggregates per profile against plain Python on random values, rows in batches of any size."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from segengine.kernel.aggregates import (
    ValueReader,
    _rounded,
    add_rows,
    drop_overflow,
    make_accumulator,
    readings,
)
from segengine.kernel.arithmetic import half_even
from segengine.kernel.ordinals import Ordinals, to_nine_digits
from segengine.kernel.values import Columns, make_groups
from segengine.plan.scans import BUCKET_SIZE
from segengine.project.attributes import Aggregate, AggregateFunction, Attribute
from segengine.project.types import AttributeType

INTEGER, DECIMAL, WIDE = AttributeType("integer"), AttributeType("decimal", 12, 2), AttributeType("decimal", 38, 0)
DOUBLE, TEXT = AttributeType("double"), AttributeType("text")
ARROW = {
    INTEGER: pa.int64(),
    DECIMAL: pa.decimal128(12, 2),
    WIDE: pa.decimal128(38, 0),
    DOUBLE: pa.float64(),
    TEXT: pa.string(),
}
DRAWS: dict[AttributeType, Callable[[random.Random], Any]] = {
    INTEGER: lambda c: c.choice([0, 1, -1, 7, 2**63 - 1, -(2**63), c.randrange(1_000)]),
    DECIMAL: lambda c: Decimal(c.choice([0, 1, -5, 10**12 - 1, c.randrange(10**6)])).scaleb(-2),
    WIDE: lambda c: Decimal(c.choice([0, 1, -1, 10**36, -(10**36), 2**63, -(2**64), c.randrange(100)])),
    DOUBLE: lambda c: c.choice([0.0, -0.0, 0.1, 2.5e-10, 1e300, -4e9, 5e9, 1e-320, math.nan, c.uniform(-1e7, 1e7)]),
    TEXT: lambda c: c.choice(["", "a", "A", "ß", "😀", "\uffff", str(c.randrange(9))]),
}
ATTRIBUTES = [Attribute("purchases", (), type_.name + "38" * (type_ is WIDE), type_) for type_ in ARROW]
PLACES = (0, 1, 63, 64, 32_767)
PICKS = {AggregateFunction.FIRST, AggregateFunction.LAST, AggregateFunction.ARG_MAX, AggregateFunction.ARG_MIN}
Row = tuple[int, dict[str, Any]]


def accumulate(aggregate: Aggregate, rows: list[Row], size: int) -> Ordinals:
    """Return the values of one bucket's profiles, rows (place and attributes' values) coming in batches."""
    wanted = readings(aggregate)
    readers = [ValueReader(reading.of, reading.form) for reading in wanted]
    accumulator = make_accumulator(aggregate)
    accumulator.grow(BUCKET_SIZE)
    for start in range(0, len(rows), size):
        batch = sorted(rows[start : start + size], key=lambda row: row[0])
        arrays = {
            attribute: pa.array([values.get(attribute.column) for _, values in batch], ARROW[attribute.type])
            for attribute in ATTRIBUTES
        }
        values = [reader.read(Columns(arrays.__getitem__)) for reader in readers]
        places = np.array([place for place, _ in batch])
        every = np.arange(len(batch))
        add_rows(accumulator, values, [reading.needed for reading in wanted], every, make_groups(places))
    return accumulator.result(slice(0, BUCKET_SIZE))


def value_at(ordinals: Ordinals, place: int) -> Any:
    if ordinals.missing is not None and ordinals.missing[place]:
        return None
    value = ordinals.values[place]
    return ordinals.large.get(place, value if isinstance(value, str) else value.item())


def exact(value: Any, type_: AttributeType) -> int:
    """Return a value as sums take it: unscaled, a float as the nearest decimal with nine digits."""
    if type_ is DOUBLE:
        return round(Fraction(value) * 10**9)
    return int(Fraction(value) * 10**type_.scale)


def plain(value: Any, type_: AttributeType) -> Any:
    """Return a value as it is stored: unscaled."""
    return value if type_ in (DOUBLE, TEXT) else exact(value, type_)


def expected(function: AggregateFunction, type_: AttributeType, values: list[Any]) -> Any:
    if function is AggregateFunction.COUNT:
        return len(values)
    if function is AggregateFunction.COUNT_UNIQUE:
        return len(set(values))
    if function is AggregateFunction.SUM:
        return sum(exact(value, type_) for value in values)
    if not values:
        return None
    if function is AggregateFunction.AVERAGE:
        return round(Fraction(sum(exact(value, type_) for value in values), len(values)) * 10**6)
    return plain(min(values) if function is AggregateFunction.MIN else max(values), type_)


def draw_rows(choose: random.Random, count: int) -> list[Row]:
    """Return rows at few places around the edges of words, with values missing here and there."""
    rows = []
    for _ in range(count):
        values = {
            attribute.column: None if choose.random() < 0.2 else DRAWS[attribute.type](choose)
            for attribute in ATTRIBUTES
        }
        rows.append((choose.choice(PLACES), values))
    return rows


def of_place(rows: list[Row], place: int, attribute: Attribute) -> list[Any]:
    found = [values[attribute.column] for own, values in rows if own == place]
    return [value for value in found if not is_missing(value)]


def is_missing(value: Any) -> bool:
    return value is None or value == "" or value != value


SIMPLE = [f for f in AggregateFunction if f not in PICKS]
CASES = [(function, attribute) for function in SIMPLE for attribute in ATTRIBUTES]
CASES = [(f, a) for f, a in CASES if a.type is not TEXT or f not in (AggregateFunction.SUM, AggregateFunction.AVERAGE)]


@pytest.mark.parametrize(("function", "attribute"), CASES, ids=lambda case: getattr(case, "column", case))
@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_aggregates_equal_plain_python(function: AggregateFunction, attribute: Attribute, size: int) -> None:
    choose = random.Random(size)
    for _ in range(20):
        rows = draw_rows(choose, choose.choice([1, 5, 60]))
        found = accumulate(Aggregate(function, attribute), rows, size)
        for place in (*PLACES, 2):
            assert value_at(found, place) == expected(function, attribute.type, of_place(rows, place, attribute))


def order_of(values: dict[str, Any], key: tuple[Attribute, ...], of: Attribute) -> list[Any]:
    """Return what tells rows apart that are equal by what picks are ordered by."""
    parts = [values[part.column] for part in key]
    return [*((is_missing(part), 0 if is_missing(part) else part) for part in parts), values[of.column]]


@pytest.mark.parametrize("function", sorted(PICKS))
@pytest.mark.parametrize("of", ATTRIBUTES, ids=lambda attribute: attribute.column)
@pytest.mark.parametrize("size", [1, 4, 1_000])
def test_picks_equal_plain_python(function: AggregateFunction, of: Attribute, size: int) -> None:
    choose = random.Random(f"{function} {of.column} {size}")
    least = function in (AggregateFunction.FIRST, AggregateFunction.ARG_MIN)
    for _ in range(25):
        by = choose.choice(ATTRIBUTES)
        key = tuple(choose.sample(ATTRIBUTES, choose.randrange(4)))
        rows = draw_rows(choose, choose.choice([1, 5, 60]))
        found = accumulate(Aggregate(function, of, by, key), rows, size)
        for place in (*PLACES, 2):
            own = [row for p, row in rows if p == place and not is_missing(row[by.column])]
            own = [row for row in own if not is_missing(row[of.column])]
            if not own:
                assert value_at(found, place) is None
                continue
            best = (min if least else max)(row[by.column] for row in own)
            ties = [row for row in own if row[by.column] == best]
            picked = min(ties, key=lambda row: order_of(row, key, of))
            assert value_at(found, place) == plain(picked[of.column], of.type)


def test_rows_are_counted_whatever_they_have() -> None:
    rows: list[Row] = [(3, {}), (3, {"integer": 1}), (64, {})]
    found = accumulate(Aggregate(AggregateFunction.COUNT, None), rows, 2)
    assert [value_at(found, place) for place in (2, 3, 64)] == [0, 2, 1]


def test_floats_become_the_nearest_nine_digits_with_ties_to_even() -> None:
    choose = random.Random(5)
    ties = [sign * (step + 0.5) * 2.0**-9 / 1_953_125 for step in range(50) for sign in (1, -1)]
    exact_ties = [step / 2**10 for step in range(-2_000, 2_000)]  # a 1024th has ten digits: many end in 5
    near = [float(np.nextafter(value, choose.choice([-1e9, 1e9]))) for value in exact_ties]
    wide = [choose.uniform(-1, 1) * 10.0 ** choose.randrange(-12, 10) for _ in range(20_000)]
    for values in (ties, exact_ties, near, [value for value in wide if abs(value) < 4e9], wide):
        found = to_nine_digits(np.array(values)).tolist()
        assert found == [round(Fraction(value) * 10**9) for value in values]


def test_averages_are_rounded_half_to_even() -> None:
    assert [half_even(numerator, 2) for numerator in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]


def test_quotients_are_rounded_half_to_even_whatever_their_size() -> None:
    choose = random.Random(11)
    for most in (10, 10**6, 2**40, 2**52 - 1, 2**52, 2**62):
        divisors = [choose.randrange(1, min(most, 2**40) + 1) for _ in range(5_000)]
        halves = [choose.randrange(-2 * (most // divisor), 2 * (most // divisor) + 1) for divisor in divisors]
        near = [
            max(-most, min(most, divisor * half // 2 + choose.randrange(-1, 2)))
            for divisor, half in zip(divisors, halves, strict=True)
        ]
        for numbers in (near, [choose.randrange(-most, most + 1) for _ in divisors]):
            found = _rounded(np.array(numbers), np.array(divisors)).tolist()
            assert found == [round(Fraction(*pair)) for pair in zip(numbers, divisors, strict=True)]


def test_sums_beyond_38_digits_are_taken_out() -> None:
    wide = ATTRIBUTES[2]
    rows: list[Row] = [(4, {wide.column: Decimal(10**38 - 1)}), (4, {wide.column: 1}), (5, {wide.column: 10**38 - 1})]
    found = accumulate(Aggregate(AggregateFunction.SUM, wide), rows, 2)
    assert drop_overflow(found) == [4]
    assert value_at(found, 4) is None
    assert value_at(found, 5) == 10**38 - 1
