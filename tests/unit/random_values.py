"""Pools of plain and of ugly values by type, and how a value is written as a literal."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from reference_times import (
    anniversary,
    day_of,
    local_instant,
    shift_day,
    shift_instant,
    start_of_day,
    start_of_period,
)

TEXTS = (
    *("a", "A", "ab", "istanbul", "İstanbul", "ISTANBUL", "ß", "ss", "SS", "ẞ", "😀", "😀a", "ſ", "%", "a.b", "NULL"),
    *("San José", "San Jose\u0301", "san", " ", "x\ny", "null", "true", "1", "01", "Σ", "ς", "e\u0301", "nan", "${x}"),
    *("ı", "\u212a", "k", "a ", "_", "\\", "'", '"', "\u200b", "é"),
)
PATTERNS = ("^a", "a$", "[0-9]+", "san|ist", "😀", "^$", ".", r"\.", "a.b", "^.$", "(?i)SAN", "s{2}", "k", "[^a]")
WHOLE = (0, 1, -1, 2, 3, 255, 256, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63 - 2)
FLOATS = ("0", "-0.0", "0.1", "0.1000000001", "1e-46", "-1e-46", "1e28", "-2.5", "1", "16777217", "1.5", "-1e28")
SINGLES = tuple(float(np.float32(text)) for text in ("0", "-0.0", "0.1", "1e-45", "-2.5", "1", "16777216", "-1e-10"))
TIES = (0.5e-9 * 3, 2.5e-9, 0.0000000005, 1.0000000005, 0.1 + 0.2)  # at and near half of the ninth digit
MOMENTS = (
    *("2018-11-04T00:30:00", "2018-11-04T02:59:59.999999", "2018-02-17T23:30:00", "2024-03-10T02:30:00"),
    *("2024-11-03T01:30:00", "2024-11-03T08:30:00", "2024-03-31T00:00:00", "2024-04-07T01:45:00"),
    *("2024-10-06T02:15:00", "2024-03-10T10:00:00", "1969-12-31T23:59:59.999999", "2024-02-29T06:30:00"),
    *("2024-03-31T01:30:00", "2024-10-27T01:30:00", "2023-03-26T02:30:00", "2024-04-06T15:15:00"),
)
DAYS = ("2018-11-04", "2018-11-03", "2018-02-18", "2024-03-31", "2024-03-10", "2024-11-03", "2024-02-29", "1969-12-31")
LEAPS = ("2000-02-29", "2020-02-29", "2023-02-28", "2023-03-01", "1900-02-28", "0001-01-01", "9999-12-31")
AS_OFS = (
    *("2024-02-29T12:00:00", "2024-03-01T00:30:00", "2023-02-28T23:59:59.999999", "2024-12-31T23:30:00"),
    *("2025-01-01T00:00:00", "2024-11-03T08:30:00", "2024-11-03T09:30:00.000001", "2024-03-10T10:00:00"),
    *("2018-11-04T03:00:00", "2018-02-18T02:00:00", "2024-10-05T15:30:00", "2024-04-06T15:00:00"),
    *("2024-05-31T10:00:00.123456", "2024-03-30T22:30:00", "2026-08-09T17:45:12.5", "2028-02-29T12:00:00"),
    *(
        "2023-02-21T12:00:00",
        "2023-01-28T12:00:00",
        "2025-01-29T09:00:00",
        "2025-03-31T12:00:00",
        "2024-07-31T12:00:00",
    ),
)
DURATIONS = (
    *("0 days", "1 day", "7 days", "30 days", "90 days", "1 week", "2 weeks", "0 months", "1 month", "1 month"),
    *("2 months", "3 months", "12 months", "1 year", "2 years", "5 years"),
)
PERIODS = ("week", "month", "quarter", "year")
SHORT_DURATIONS = ("1 minute", "90 minutes", "1 hour", "24 hours", "36 hours", "720 hours")


def draw_pool(choose: random.Random, type_: str, as_of: datetime, zone: str) -> list[Any]:
    """Return the values a column has: plain ones or ugly ones, few or many."""
    ugly = choose.random() < 0.5
    count = choose.choice((2, 3, 5, 12))
    pool = [_draw(choose, type_, ugly, as_of, zone) for _ in range(count)]
    if type_ in ("double", "float", "text") and choose.random() < 0.3:
        pool.append("" if type_ == "text" else float("nan"))
    return pool


def _draw(choose: random.Random, type_: str, ugly: bool, as_of: datetime, zone: str) -> Any:
    if type_ == "text":
        return choose.choice(TEXTS) if ugly else "".join(choose.choices("abC", k=choose.choice((1, 2, 3))))
    if type_ == "boolean":
        return choose.random() < 0.5
    if type_ == "integer":
        return choose.choice(WHOLE) if ugly else choose.randrange(12)
    if type_.startswith("decimal"):
        return _draw_decimal(choose, type_, ugly)
    if type_ == "double":
        return float(choose.choice((*FLOATS, *TIES))) if ugly else choose.randrange(80) / choose.choice((4, 7, 10))
    if type_ == "float":
        return choose.choice(SINGLES) if ugly else float(np.float32(choose.randrange(80) / choose.choice((4, 7))))
    if type_ == "date":
        return _draw_day(choose, ugly, as_of, zone)
    instant = _draw_instant(choose, ugly, as_of, zone)
    if type_ == "timestamp":
        return instant
    own = type_.partition(" ")[2] or zone
    naive = instant.astimezone(ZoneInfo(own)) if choose.random() < 0.7 else instant
    return naive.replace(tzinfo=None, fold=0)


def _draw_decimal(choose: random.Random, type_: str, ugly: bool) -> Decimal:
    precision, scale = map(int, type_[8:-1].split(","))
    largest = 10**precision - 1
    if ugly:
        unscaled = choose.choice((0, 1, -1, largest, -largest, largest - 1, 10**scale, 10**scale // 2, 2**63, -(2**63)))
    else:
        unscaled = choose.randrange(-200, 2000) * 10 ** max(0, scale - 2)
    if abs(unscaled) > largest:
        unscaled = choose.randrange(largest + 1)
    return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))


def draw_duration(choose: random.Random, as_of: datetime, *, short: bool = False) -> str:
    """Return a span of time: mostly one of the few that a world's values and conditions have in common."""
    common = random.Random(as_of.isoformat())
    few = common.sample(DURATIONS, 2) + common.sample(SHORT_DURATIONS, 1)
    if choose.random() < 0.7:
        return choose.choice(few if short else few[:2])
    return choose.choice((*DURATIONS, *SHORT_DURATIONS) if short else DURATIONS)


def _edge_day(choose: random.Random, as_of: datetime, zone: str) -> date:
    """Return a day at the edge of what a relative condition accepts."""
    today = day_of(as_of, zone)
    draw = choose.random()
    if draw < 0.25:
        return start_of_period(today, choose.choice(PERIODS))
    count, unit = draw_duration(choose, as_of).split()
    ahead = draw < 0.6
    day = shift_day(today, int(count) if ahead else -int(count), unit.removesuffix("s"))
    if draw > 0.45:
        return day
    if (day.month, day.day) in ((2, 28), (3, 1)) and choose.random() < 0.5:
        return date(2000, 2, 29)
    return anniversary(day, day.year - choose.choice((1, 2, 4, 24)))


def _draw_day(choose: random.Random, ugly: bool, as_of: datetime, zone: str) -> date:
    draw = choose.random()
    if ugly and draw < 0.4:
        return date.fromisoformat(choose.choice((*DAYS, *LEAPS, *LEAPS)))
    if draw < 0.8:
        return _edge_day(choose, as_of, zone) + timedelta(days=choose.choice((-1, 0, 0, 1)))
    return day_of(as_of, zone) + timedelta(days=choose.randrange(-800, 400))


def _draw_instant(choose: random.Random, ugly: bool, as_of: datetime, zone: str) -> datetime:
    """Return an instant near a change of clocks, at or next to the edge of a relative condition, or any."""
    weights = {"change": 4 if ugly else 0, "day": 4, "rolled": 3, "now": 1, "any": 1}
    (near,) = choose.choices(list(weights), list(weights.values()))
    if near == "change":
        moment = datetime.fromisoformat(choose.choice(MOMENTS)).replace(tzinfo=UTC)
        return moment + timedelta(minutes=choose.choice((0, 0, 15, 60, 180, 420, 479, 480, 600, -60, -660)))
    if near == "any":
        return as_of + timedelta(minutes=choose.randrange(-800 * 1440, 400 * 1440))
    edge = as_of
    if near == "day":
        edge = start_of_day(_edge_day(choose, as_of, zone), zone)
    elif near == "rolled":
        count, unit = draw_duration(choose, as_of, short=True).split()
        edge = shift_instant(as_of, choose.choice((-1, 1)) * int(count), unit.removesuffix("s"), zone)
    return edge + timedelta(microseconds=choose.choice((-1, 0, 0, 1)))


def write_literal(choose: random.Random, value: Any, type_: str, zone: str) -> str:
    """Return a literal that means a value, or for a timestamp perhaps its day."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _write_moment(choose, value, type_, zone)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Fraction):
        return write_decimal(value)
    if isinstance(value, float):
        return choose.choice((repr(value), f"{value:.3f}"))
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def write_decimal(value: Fraction, digits: int = 20) -> str:
    """Return a fraction as decimal text, exactly where so many digits after the point are enough for it."""
    text = str(abs(round(value * 10**digits))).rjust(digits + 1, "0")
    text = f"{text[:-digits]}.{text[-digits:]}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def _write_moment(choose: random.Random, value: datetime, type_: str, zone: str) -> str:
    own = type_.partition(" ")[2] or zone
    aware = value.replace(tzinfo=ZoneInfo(own)) if value.tzinfo is None else value
    draw = choose.random()
    if draw < 0.4:
        return aware.astimezone(ZoneInfo(zone)).date().isoformat()
    if draw < 0.7:
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return aware.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat()


def other_literals(type_: str) -> Callable[[random.Random], str]:
    """Return what draws a literal that need not occur in any row."""
    pools: dict[str, tuple[str, ...]] = {
        "text": TEXTS,
        "boolean": ("true", "false"),
        "integer": (*map(str, WHOLE), "1.5", "3.0", str(2**63), str(-(2**63) - 1), "1e2"),
        "double": FLOATS,
        "float": (*FLOATS, "0.3"),
        "date": DAYS,
        "part": ("1", "2", "6", "9", "12", "15", "23", "2024"),
        "exact": ("0", "1", "10", "0.5", "100"),
    }
    moments = (*MOMENTS, *(f"{moment}Z" for moment in MOMENTS), "2024-02-29T12:00:00+05:30", *DAYS)
    decimals = ("0", "1", "0.01", "-0.01", "1.005", "0.1", "3.14", "9" * 38, "-" + "9" * 38, str(2**64), "0.5")
    pool = pools.get(type_) or (decimals if type_.startswith("decimal") else moments)
    return lambda choose: choose.choice(pool)


def literal_order(text: str, type_: str, zone: str) -> Any:
    """Return what literals of one type are ordered by; a day stands where it starts."""
    if type_ == "date":
        return date.fromisoformat(text)
    if not type_.startswith("timestamp"):
        return Fraction(text)
    if len(text) == 10:
        return start_of_day(date.fromisoformat(text), zone)
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else local_instant(moment, zone)
