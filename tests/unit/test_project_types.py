"""How text becomes a value of each type: exact numbers, nearest floats, days and instants."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segengine.project.types import (
    AttributeType,
    Family,
    LiteralError,
    instant_of,
    is_time_zone,
    local_day,
    nearest_float,
    parse_instant,
    parse_span,
    parse_type,
)

HOUR = 3_600_000_000
DAY = 24 * HOUR


def span(text: str, type_: str, zone: str = "UTC") -> tuple[float, float]:
    found = parse_type(type_)
    assert found is not None
    return parse_span(text, found, zone)


def micros(text: str) -> int:
    return instant_of(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("text", "type_", "expected"),
    [
        ("3", "integer", (3, 4)),
        ("3.0", "integer", (3, 4)),
        ("1e2", "integer", (100, 101)),
        ("1.5", "integer", (2, 2)),
        ("-1.5", "integer", (-1, -1)),
        ("1.00", "decimal(12,2)", (100, 101)),
        ("1.005", "decimal(12,2)", (101, 101)),
        ("-1.005", "decimal(12,2)", (-100, -100)),
        ("+.5", "decimal(12,2)", (50, 51)),
        ("5.", "decimal(12,2)", (500, 501)),
        ("0.1", "decimal(38,38)", (10**37, 10**37 + 1)),
        ("9" * 38, "decimal(38,0)", (10**38 - 1, 10**38)),
        ("0." + "0" * 4_000 + "1", "decimal(12,2)", (1, 1)),
        ("1970-01-02", "date", (1, 2)),
        ("0001-01-01", "date", (-719162, -719161)),
        ("9999-12-31", "date", (2932896, 2932897)),
    ],
)
def test_spans_of_exact_values(text: str, type_: str, expected: tuple[int, int]) -> None:
    assert span(text, type_) == expected


@pytest.mark.parametrize("type_", ["integer", "decimal(12,2)", "double", "float"])
@pytest.mark.parametrize(
    "text", ["", " 1", "1,5", "1_000", "0x10", "nan", "inf", "1e", "--1", "٣", "1e99999", "true", "1 %"]
)
def test_texts_that_are_no_numbers(text: str, type_: str) -> None:
    with pytest.raises(LiteralError, match="number"):
        span(text, type_)


@pytest.mark.parametrize(
    ("text", "type_"),
    [("1e39", "float"), ("-1e309", "double"), ("1e9999", "double"), ("1e38", "integer"), ("1e9999", "decimal(12,2)")],
)
def test_numbers_nothing_can_hold(text: str, type_: str) -> None:
    with pytest.raises(LiteralError, match="expected a number"):
        span(text, type_)


@given(st.fractions(min_value=-(10**45), max_value=10**45) | st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_nearest_single_float_is_the_nearest(value: Fraction | float) -> None:
    number = Decimal(value) if isinstance(value, float) else Decimal(value.numerator) / Decimal(value.denominator)
    found = nearest_float(number, single=True)
    if math.isinf(found):
        assert abs(number) > Decimal(float(np.finfo(np.float32).max))
        return
    near = np.float32(found)
    assert float(near) == found
    distance = abs(Fraction(found) - Fraction(number))
    for neighbour in (np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        if np.isfinite(neighbour):
            assert abs(Fraction(float(neighbour)) - Fraction(number)) >= distance


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16777217", 16777216.0),  # a tie: to even
        ("16777219", 16777220.0),
        ("1.000000059604644775390625", 1.0),  # half a step above 1
        ("1.0000000596046447753906250000000001", 1.0000001192092896),  # just above: rounding twice would say 1
        ("-1e-46", -0.0),
        ("7.1e-46", 1.401298464324817e-45),
        ("0.1", 0.10000000149011612),
    ],
)
def test_single_floats_are_rounded_once(text: str, expected: float) -> None:
    assert nearest_float(Decimal(text), single=True) == expected


def test_there_is_one_zero() -> None:
    assert [math.copysign(1, span(text, "double")[0]) for text in ("0", "-0", "-0.0")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        ("2024-03-31", "Europe/Berlin", "2024-03-30T23:00:00+00:00", 23),
        ("2024-10-27", "Europe/Berlin", "2024-10-26T22:00:00+00:00", 25),
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00+00:00", 23),  # midnight does not exist
        ("2018-11-03", "America/Sao_Paulo", "2018-11-03T03:00:00+00:00", 24),
        ("2018-02-17", "America/Sao_Paulo", "2018-02-17T02:00:00+00:00", 25),  # 23:00 twice
        ("2024-03-31", "Asia/Beirut", "2024-03-30T22:00:00+00:00", 23),
        ("2024-10-26", "Asia/Beirut", "2024-10-25T21:00:00+00:00", 25),
        ("2024-04-07", "Australia/Lord_Howe", "2024-04-06T13:00:00+00:00", 24.5),
        ("2024-10-06", "Australia/Lord_Howe", "2024-10-05T13:30:00+00:00", 23.5),
        ("2011-12-29", "Pacific/Apia", "2011-12-29T10:00:00+00:00", 24),
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00:00+00:00", 24),
        ("2024-02-29", "UTC", "2024-02-29T00:00:00+00:00", 24),
    ],
)
def test_a_day_lasts_from_its_first_instant_to_the_next_days(day: str, zone: str, start: str, hours: float) -> None:
    low, high = span(day, "timestamp", zone)
    assert low == micros(start)
    assert high - low == hours * HOUR


def test_a_day_a_zone_skipped_is_empty() -> None:
    low, high = span("2011-12-30", "timestamp", "Pacific/Apia")
    assert low == high == micros("2011-12-30T10:00:00+00:00")


@pytest.mark.parametrize(
    "zone", ["UTC", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "America/Los_Angeles"]
)
def test_days_follow_each_other_without_gaps(zone: str) -> None:
    day = date(2018, 1, 1)
    _, before = local_day(day - timedelta(days=1), zone)
    for _ in range(800):
        low, high = local_day(day, zone)
        assert low == before
        first = datetime.fromtimestamp(low / 1e6, ZoneInfo(zone))
        assert first.date() == day
        assert datetime.fromtimestamp(low / 1e6 - 1, ZoneInfo(zone)).date() < day
        before, day = high, day + timedelta(days=1)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati", "Europe/Berlin"])
def test_the_ends_of_the_calendar_are_days_too(zone: str) -> None:
    _, first_end = span("0001-01-01", "timestamp", zone)
    second_start, _ = span("0001-01-02", "timestamp", zone)
    last_start, last_end = span("9999-12-31", "timestamp", zone)
    _, before = span("9999-12-30", "timestamp", zone)
    assert first_end == second_start
    assert before == last_start
    assert last_end - last_start == DAY
    span("9999-12-31T23:59:59.999999", "timestamp", zone)
    span("0001-01-01T00:00:00", "timestamp", zone)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-01-01T00:00:00Z", "Asia/Tokyo", "2024-01-01T00:00:00+00:00"),
        ("2024-01-01 00:00", "Asia/Tokyo", "2023-12-31T15:00:00+00:00"),
        ("2024-01-01t00:00:00.5+0530", "UTC", "2023-12-31T18:30:00.500000+00:00"),
        ("2024-03-31T02:30:00", "Europe/Berlin", "2024-03-31T01:30:00+00:00"),  # does not exist: moved forward
        ("2024-10-27T02:30:00", "Europe/Berlin", "2024-10-27T00:30:00+00:00"),  # exists twice: the earlier
        ("2024-10-27T02:30:00+01:00", "Europe/Berlin", "2024-10-27T01:30:00+00:00"),
    ],
)
def test_instants(text: str, zone: str, expected: str) -> None:
    assert parse_instant(text, zone) == micros(expected)
    assert span(text, "timestamp", zone) == (micros(expected), micros(expected) + 1)


@pytest.mark.parametrize(
    "text", ["2024-02-30", "2023-02-29", "0000-01-01", "2024-1-1", "20240101", "01.02.2024", "", "today", "2024-13-01"]
)
@pytest.mark.parametrize("type_", ["date", "timestamp"])
def test_texts_that_are_no_days(text: str, type_: str) -> None:
    with pytest.raises(LiteralError, match="expected"):
        span(text, type_)


@pytest.mark.parametrize(
    "text",
    ["2024-01-01T25:00:00", "2024-01-01T10", "2024-01-01T10:00:00+99:00", "2024-01-01T10:00:00.1234567", "10:00"],
)
def test_texts_that_are_no_times(text: str) -> None:
    with pytest.raises(LiteralError):
        span(text, "timestamp")
    with pytest.raises(LiteralError):
        span(text, "date")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text", AttributeType("text")),
        (" STRING ", AttributeType("text")),
        ("BigInt", AttributeType("integer")),
        ("decimal( 12 , 2 )", AttributeType("decimal", 12, 2)),
        ("decimal(38,38)", AttributeType("decimal", 38, 38)),
        *[(name, None) for name in ("decimal", "decimal(2,3)", "decimal(39,0)", "decimal(0,0)", "struct<a:int>", "")],
    ],
)
def test_names_of_types(text: str, expected: AttributeType | None) -> None:
    assert parse_type(text) == expected


def test_families_and_zones() -> None:
    assert AttributeType("array<int>").family is Family.UNSUPPORTED
    assert AttributeType("decimal", 4, 2).family is Family.NUMBER
    assert [is_time_zone(name) for name in ("Europe/Berlin", "UTC", "Europe/Berlinn", "../etc", "", "/etc")] == [
        *(True, True, False, False, False, False)
    ]
    assert datetime.fromtimestamp(0, UTC) == datetime(1970, 1, 1, tzinfo=UTC)
