"""Aggregates per profile against plain Python on random values, rows in batches of any size."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from segengine.kernel.aggregates import (
    ValueReader,
    drop_overflow,
    make_accumulator,
    make_groups,
)
from segengine.kernel.arithmetic import half_even
from segengine.kernel.ordinals import Ordinals, to_nine_digits
from segengine.plan.scans import BUCKET_SIZE
from segengine.project.model import Aggregate, AggregateFunction, Attribute
from segengine.project.types import AttributeType

INTEGER, DECIMAL, WIDE = AttributeType("integer"), AttributeType("decimal", 12, 2), AttributeType("decimal", 38, 0)
DOUBLE, TEXT = AttributeType("double"), AttributeType("text")
ARROW = {INTEGER: pa.int64(), DECIMAL: pa.decimal128(12, 2), WIDE: pa.decimal128(38, 0), DOUBLE: pa.float64()}
DRAWS: dict[AttributeType, Callable[[random.Random], Any]] = {
    INTEGER: lambda c: c.choice([0, 1, -1, 7, 2**63 - 1, -(2**63), c.randrange(1_000)]),
    DECIMAL: lambda c: Decimal(c.choice([0, 1, -5, 10**12 - 1, c.randrange(10**6)])).scaleb(-2),
    WIDE: lambda c: Decimal(c.choice([0, 1, -1, 10**36, -(10**36), 2**63, -(2**64), c.randrange(100)])),
    DOUBLE: lambda c: c.choice([0.0, -0.0, 0.1, 2.5e-10, 1e300, -4e9, 5e9, 1e-320, c.uniform(-1e7, 1e7)]),
    TEXT: lambda c: c.choice(["", "a", "A", "ß", "😀", str(c.randrange(9))]),
}


def accumulate(function: AggregateFunction, type_: AttributeType, rows: list[tuple[int, Any]], size: int) -> Ordinals:
    """Return the values of one bucket's profiles, rows coming in batches."""
    attribute = Attribute("purchases", (), "value", type_)
    reader = ValueReader(attribute, function)
    accumulator = make_accumulator(Aggregate(function, attribute))
    accumulator.grow(BUCKET_SIZE)
    for start in range(0, len(rows), size):
        batch = sorted(rows[start : start + size], key=lambda row: row[0])
        values = reader.read(pa.array([value for _, value in batch], ARROW.get(type_, pa.string())))
        places = np.array([place for place, _ in batch])
        there = np.ones(len(batch), dtype=bool) if values.there is None else values.there
        if there.any():
            accumulator.add(values.data[there], make_groups(places[there]))
    return accumulator.result(slice(0, BUCKET_SIZE))


def value_at(ordinals: Ordinals, place: int) -> Any:
    if ordinals.missing is not None and ordinals.missing[place]:
        return None
    return ordinals.large.get(place, ordinals.values[place].item())


def exact(value: Any, type_: AttributeType) -> int:
    """Return a value as sums take it: unscaled, a float as the nearest decimal with nine digits."""
    return round(Fraction(value) * 10**9) if type_ is DOUBLE else int(Decimal(value).scaleb(type_.scale))


def expected(function: AggregateFunction, type_: AttributeType, values: list[Any]) -> Any:
    if function is AggregateFunction.COUNT_UNIQUE:
        return len(set(values))
    if function is AggregateFunction.SUM:
        return sum(exact(value, type_) for value in values)
    if not values:
        return None
    if function is AggregateFunction.AVERAGE:
        with localcontext() as context:
            context.prec = 500
            mean = Decimal(sum(exact(value, type_) for value in values)) * 10**6 / len(values)
            return int(mean.to_integral_value(ROUND_HALF_EVEN))
    best = min(values) if function is AggregateFunction.MIN else max(values)
    return best if type_ is DOUBLE else exact(best, type_)


CASES = [(function, type_) for function in AggregateFunction for type_ in (INTEGER, DECIMAL, WIDE, DOUBLE)]


@pytest.mark.parametrize(("function", "type_"), [*CASES, (AggregateFunction.COUNT_UNIQUE, TEXT)])
@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_aggregates_equal_plain_python(function: AggregateFunction, type_: AttributeType, size: int) -> None:
    choose = random.Random(size)
    for _ in range(20):
        rows = [
            (choose.choice([0, 1, 63, 64, 32_767]), None if choose.random() < 0.2 else DRAWS[type_](choose))
            for _ in range(choose.choice([1, 5, 60]))
        ]
        found = accumulate(function, type_, rows, size)
        for place in (0, 1, 2, 63, 64, 32_767):
            values = [value for own, value in rows if own == place and value not in (None, "")]
            assert value_at(found, place) == expected(function, type_, values)


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


def test_sums_beyond_38_digits_are_counted_as_overflow() -> None:
    rows = [(4, Decimal(10**38 - 1)), (4, Decimal(1)), (5, Decimal(10**38 - 1))]
    found = accumulate(AggregateFunction.SUM, WIDE, rows, 2)
    assert drop_overflow(found) == 1
    assert value_at(found, 4) is None
    assert value_at(found, 5) == 10**38 - 1
