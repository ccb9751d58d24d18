"""Thresholds that read well lie between the two values they were asked between."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from segengine.models.thresholds import last_day, round_number, round_threshold
from segengine.project.types import EPOCH_DAY, AttributeType, local_day, nearest_float, parse_instant

INTEGER, MONEY, DATE = AttributeType("integer"), AttributeType("decimal", 12, 2), AttributeType("date")
TIMESTAMP = AttributeType("timestamp")


def days(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH_DAY).days


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (93_211, 101_877, 100_000),
        (96_511, 98_877, 97_000 + 1_000),  # 98,000 is as round as 97,000 and nearer to the middle (97,694)
        (96_511, 97_877, 97_000),
        (12, 18, 15),
        (-3, 8, 0),
        (-18, -12, -15),
        (41, 43, 42),
        (7, 7, 7),
    ],
)
def test_the_roundest_number_between(low: int, high: int, expected: int) -> None:
    assert round_threshold(low, high, INTEGER, "UTC") == expected


def test_decimals_are_rounded_in_their_unit() -> None:
    assert round_threshold(12_345, 12_789, MONEY, "UTC") == 12_500  # 123.45 to 127.89: 125.00


def test_random_numbers_are_the_roundest_of_all_between() -> None:
    random = np.random.default_rng(7)
    for _ in range(300):
        low = int(random.integers(-5_000, 5_000))
        high = low + int(random.integers(1, 400))
        found = int(round_number(Fraction(low), Fraction(high)))
        assert low <= found <= high
        assert roundness(found) == max(roundness(number) for number in range(low, high + 1))


def roundness(number: int) -> int:
    """Return the greatest of 1, 5, 10, 50, ... that divides a number."""
    return max(step * 10**power for step in (1, 5) for power in range(5) if number % (step * 10**power) == 0)


@pytest.mark.parametrize("single", [True, False])
def test_floats_become_a_literal_of_few_digits(single: bool) -> None:
    type_ = AttributeType("float" if single else "double")
    low, high = (nearest_float(Decimal(text), single=single) for text in ("0.1234", "0.1289"))
    assert round_threshold(low, high, type_, "UTC") == nearest_float(Decimal("0.125"), single=single)
    assert round_threshold(low, low, type_, "UTC") == low


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("1979-05-02", "1981-02-01", "1979-12-31"),
        ("1983-05-02", "1985-02-01", "1984-12-31"),
        ("1986-05-02", "1988-07-01", "1986-12-31"),
        ("1986-05-02", "1986-07-15", "1986-06-30"),
        ("1986-04-02", "1986-05-31", "1986-04-30"),
        ("1986-04-02", "1986-04-06", "1986-04-04"),
        ("1999-12-31", "2001-06-30", "1999-12-31"),
    ],
)
def test_days_end_a_year_a_quarter_or_a_month(low: str, high: str, expected: str) -> None:
    assert round_threshold(days(low), days(high), DATE, "UTC") == days(expected)


def test_times_end_a_local_day() -> None:
    zone = "America/Los_Angeles"
    low, high = (parse_instant(text, zone) for text in ("2024-03-09 10:00", "2024-04-02 09:00"))
    found = int(round_threshold(low, high, TIMESTAMP, zone))
    assert found == local_day(date(2024, 3, 31), zone)[1] - 1
    assert last_day(found, zone) == date(2024, 3, 31)
    assert last_day(found + 1, zone) is None


def test_times_within_a_day_are_full_hours() -> None:
    low, high = (parse_instant(text, "UTC") for text in ("2024-03-09 10:10", "2024-03-09 11:20"))
    assert round_threshold(low, high, TIMESTAMP, "UTC") == parse_instant("2024-03-09 11:00", "UTC")


def test_days_beyond_the_calendar_are_refused() -> None:
    with pytest.raises(OverflowError):
        round_threshold(10**7, 10**7 + 5, DATE, "UTC")
