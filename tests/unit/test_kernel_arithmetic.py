"""Arithmetic on columns against fractions, and stored types there and back."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from segengine.kernel.arithmetic import compute, stored_type, to_arrow
from segengine.kernel.ordinals import Ordinals, read_ordinals
from segengine.project.attributes import Arithmetic, ArithmeticOperator, AsOf, Attribute, Number, Operand, ValueOf
from segengine.project.types import EPOCH, AttributeType, instant_of

INTEGER, DOUBLE, FLOAT = AttributeType("integer"), AttributeType("double"), AttributeType("float")
TEXT, BOOLEAN, DATE = AttributeType("text"), AttributeType("boolean"), AttributeType("date")
TIMESTAMP = AttributeType("timestamp")
PRICE, WIDE = AttributeType("decimal", 12, 2), AttributeType("decimal", 38, 10)
BERLIN = "Europe/Berlin"
AS_OF = datetime(2024, 3, 31, 22, 30, tzinfo=UTC)  # in Berlin the first of April

POOLS: dict[AttributeType, list[Any]] = {
    INTEGER: [0, 1, -1, 3, -7, 10**6, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63)],
    PRICE: [Decimal(f"{n}E-2") for n in (0, 1, -1, 5, 333, -1250, 10**11, -(10**12) + 1)],
    WIDE: [Decimal(f"{n}E-10") for n in (0, 1, -1, 10**10, 2**63, -(2**64), 10**37, 1 - 10**38)],
    DOUBLE: [0.0, -0.0, 0.1, -2.5e-10, 1e300, -4e9, 1e-320, 0.0000000005, 123.456],
}


def scale_of(type_: AttributeType) -> int:
    return 9 if type_ is DOUBLE else type_.scale


def arithmetic(operator: ArithmeticOperator, left: Operand, right: Operand) -> Arithmetic:
    left_scale, right_scale = scale_of(left.type), scale_of(right.type)
    scale = max(left_scale, right_scale)
    scale = {"*": left_scale + right_scale, "/": scale + 6}.get(operator, scale)
    return Arithmetic(operator, left, right, AttributeType("decimal", 38, scale))


def ordinals_of(values: Sequence[Any], type_: AttributeType) -> Ordinals:
    """Return ordinals through Arrow: integers and decimals as their own types, floats as they are."""
    arrow = {PRICE: pa.decimal128(12, 2), WIDE: pa.decimal128(38, 10)}.get(type_) or stored_type(type_)
    return read_ordinals(pa.array(values, arrow), type_)


def entry(ordinals: Ordinals, place: int) -> int | None:
    if ordinals.missing is not None and ordinals.missing[place]:
        return None
    return ordinals.large.get(place, int(ordinals.values[place]))


def reference(operand: Operand, row: Mapping[str, Any]) -> Fraction | None:
    """Return the value of an expression on one row."""
    if isinstance(operand, Number):
        return Fraction(operand.unscaled, 10**operand.type.scale)
    if isinstance(operand, Attribute | ValueOf):
        value = row[operand.column if isinstance(operand, Attribute) else operand.value]
        if value is None or value != value:
            return None
        return Fraction(round(Fraction(value) * 10**9), 10**9) if operand.type is DOUBLE else Fraction(value)
    assert isinstance(operand, Arithmetic)
    left, right = reference(operand.left, row), reference(operand.right, row)
    if left is None or right is None or (operand.operator == "/" and right == 0):
        return None
    if operand.operator == "/":
        return Fraction(round(left / right * 10**operand.type.scale), 10**operand.type.scale)
    return left * right if operand.operator == "*" else left + right if operand.operator == "+" else left - right


def draw(choose: random.Random, columns: Sequence[Operand], depth: int) -> Operand:
    if depth == 0 or choose.random() < 0.2:
        if choose.random() < 0.2:
            scale = choose.randrange(4)
            unscaled = choose.choice([0, 1, -1, 15, 10**9, 10**25])
            return Number(unscaled, AttributeType("decimal", 38, scale))
        return choose.choice(columns)
    operators: list[ArithmeticOperator] = ["+", "-", "*", "/"]
    left, right = draw(choose, columns, depth - 1), draw(choose, columns, depth - 1)
    return arithmetic(choose.choice(operators), left, right)


@pytest.mark.parametrize("seed", range(60))
def test_arithmetic_equals_fractions(seed: int) -> None:
    choose = random.Random(seed)
    columns: list[Attribute | ValueOf] = [Attribute("rows", (), f"c{n}", type_) for n, type_ in enumerate(POOLS)]
    columns.append(ValueOf("v", PRICE))
    pools = [*POOLS.values(), POOLS[PRICE]]
    names = ["c0", "c1", "c2", "c3", "v"]
    count = choose.choice([1, 5, 80])
    data = {
        name: [None if choose.random() < 0.15 else choose.choice(pool) for _ in range(count)]
        for name, pool in zip(names, pools, strict=True)
    }
    data["c3"] = [float("nan") if choose.random() < 0.1 else value for value in data["c3"]]
    read = {column: ordinals_of(data[name], column.type) for name, column in zip(names, columns, strict=True)}
    for _ in range(10):
        operand = arithmetic("+", draw(choose, columns, choose.randrange(1, 4)), Number(0, INTEGER))
        found = compute(operand, read.__getitem__, 0, "UTC", count)
        for place in range(count):
            wanted = reference(operand, {name: values[place] for name, values in data.items()})
            unscaled = None if wanted is None else wanted * 10**operand.type.scale
            assert entry(found, place) == unscaled, operand


def test_products_and_quotients_of_ordinary_numbers_stay_in_arrays() -> None:
    prices, counts = [Decimal("19.99"), Decimal("-0.05"), Decimal("10.00")], [3, 7, -3]
    price, count = Attribute("rows", (), "price", PRICE), Attribute("rows", (), "count", INTEGER)
    read = {price: ordinals_of(prices, PRICE), count: ordinals_of(counts, INTEGER)}
    product = compute(arithmetic("*", price, count), read.__getitem__, 0, "UTC", 3)
    quotient = compute(arithmetic("/", price, count), read.__getitem__, 0, "UTC", 3)
    assert product.values.tolist() == [5997, -35, -3000]
    assert quotient.values.tolist() == [666_333_333, -714_286, -333_333_333]
    assert product.missing is quotient.missing is None
    assert not product.large
    assert not quotient.large


def test_quotients_are_rounded_half_to_even() -> None:
    whole, two = Attribute("rows", (), "whole", INTEGER), Number(2_000_000, INTEGER)
    numbers = list(range(-9, 10))
    found = compute(arithmetic("/", whole, two), lambda _: ordinals_of(numbers, INTEGER), 0, "UTC", len(numbers))
    assert found.values.tolist() == [round(Fraction(number, 2)) for number in numbers]


def test_infinite_operands_are_invalid() -> None:
    score = Attribute("rows", (), "score", DOUBLE)
    values = [1.5, float("inf"), None, float("-inf")]
    found = compute(arithmetic("*", score, score), lambda _: ordinals_of(values, DOUBLE), 0, "UTC", 4)
    assert found.invalid is not None
    assert found.invalid.tolist() == [1, 3]
    assert [entry(found, place) for place in range(4)] == [2_250_000_000 * 10**9, 0, None, 0]


def test_times_differ_by_local_days() -> None:
    choose = random.Random(3)
    here = ZoneInfo(BERLIN)
    local, other = AttributeType("timestamp_ntz"), AttributeType("timestamp_ntz", zone="America/New_York")
    types = {"day": DATE, "at": TIMESTAMP, "wall": local, "away": other}
    columns = {name: Attribute("rows", (), name, type_) for name, type_ in types.items()}
    moments = [
        None if choose.random() < 0.1 else EPOCH + timedelta(seconds=choose.randrange(0, 60 * 10**7))
        for _ in range(500)
    ]
    data: dict[str, list[Any]] = {
        "day": [moment and moment.date() for moment in moments],
        "at": [moment and moment + timedelta(hours=choose.randrange(200)) for moment in moments],
        "wall": [moment and moment.replace(tzinfo=None) for moment in moments],
        "away": [moment and moment.replace(tzinfo=None) for moment in moments],
    }
    read = {columns[name]: ordinals_of(values, types[name]) for name, values in data.items()}
    read_any: Any = read.__getitem__

    def days(name: str, place: int) -> date | None:
        value = AS_OF if name == "as_of" else data[name][place]
        if value is None or not isinstance(value, datetime):
            return value
        if value.tzinfo is None:
            value = value.replace(tzinfo=ZoneInfo("America/New_York") if name == "away" else here)
        return value.astimezone(UTC).astimezone(here).date()

    operands: dict[str, Operand] = {**columns, "as_of": AsOf(TIMESTAMP)}
    for left in operands:
        for right in operands:
            difference = Arithmetic("-", operands[left], operands[right], INTEGER)
            found = compute(difference, read_any, instant_of(AS_OF), BERLIN, len(moments))
            for place in range(len(moments)):
                first, second = days(left, place), days(right, place)
                wanted = None if first is None or second is None else (first - second).days
                assert entry(found, place) == wanted


STORED: dict[AttributeType, list[Any]] = {
    INTEGER: [1, None, -(2**63), 2**63 - 1],
    AttributeType("decimal", 38, 3): [Decimal(f"{n}E-3") for n in (0, -1, 2**63, -(2**63), 10**38 - 1, 1 - 10**38)],
    PRICE: [None, Decimal("1.25")],
    DOUBLE: [0.5, None, -1e300],
    FLOAT: [0.25, None],
    DATE: [date(2024, 2, 29), None, date(1, 1, 1)],
    TIMESTAMP: [AS_OF, None],
    AttributeType("timestamp_ntz", zone=BERLIN): [AS_OF.replace(tzinfo=None), None],
    BOOLEAN: [True, False, None],
}


@pytest.mark.parametrize("type_", STORED, ids=str)
def test_stored_values_are_read_back(type_: AttributeType) -> None:
    array = pa.array(STORED[type_], stored_type(type_))
    found = to_arrow(read_ordinals(array, type_), type_)
    found.validate(full=True)
    assert found.equals(array)
    assert to_arrow(read_ordinals(array[:0], type_), type_).equals(array[:0])


def test_stored_texts_and_gaps() -> None:
    texts: Any = np.array(["a", None, ""], dtype=object)
    stored = to_arrow(Ordinals(texts, np.array([False, True, False])), TEXT)
    assert stored.to_pylist() == ["a", None, ""]
    gaps = Ordinals(np.array([1.0, -0.0, 3.0]), np.array([True, False, False]), invalid=np.array([2]))
    assert [str(value) for value in to_arrow(gaps, DOUBLE).to_pylist()] == ["None", "0.0", "None"]


def test_more_than_38_digits_cannot_be_stored() -> None:
    with pytest.raises(OverflowError):
        to_arrow(Ordinals(np.zeros(1, np.int64), None, {0: 10**38}), WIDE)
    with pytest.raises(OverflowError):
        to_arrow(Ordinals(np.zeros(1, np.int64), None, {0: 2**63}), INTEGER)
