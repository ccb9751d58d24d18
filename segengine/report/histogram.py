"""Stretches of an ordered attribute for a histogram: about ten, with round ends, open where few values lie far out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from segengine.project.literals import show_literal
from segengine.project.types import EPOCH, EPOCH_DAY, AttributeType, Family, Ordinal, local_midnight

_MOST = 8  # stretches between the ends of the bulk
_FAR = 2  # stretches more on each side, before that end is left open
_MONTHS = (1, 3, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000)
_MONDAY = date(1969, 12, 29)

Edge = Ordinal | None


@dataclass(frozen=True)
class Spread:
    """Where the values of an attribute lie: the least and the greatest, and the ends of the bulk between."""

    least: Ordinal
    low: Ordinal
    high: Ordinal
    greatest: Ordinal


@dataclass(frozen=True)
class Edges:
    """The ends of stretches that follow each other, as ordinals (None: open), and what each stretch is called."""

    ends: tuple[Edge, ...]
    labels: tuple[str, ...]


def choose_edges(spread: Spread, type_: AttributeType, zone: str) -> Edges:
    """Return the stretches for values spread so; of numbers round ones, of dates and times calendar ones in `zone`."""
    if type_.family is Family.NUMBER:
        return _number_edges(spread, type_, zone)
    return _calendar_edges(spread, type_, zone)


def _number_edges(spread: Spread, type_: AttributeType, zone: str) -> Edges:
    unit = Fraction(1, 10**type_.scale)
    is_float = type_.name in ("float", "double")
    least, low, high, greatest = (
        Fraction(value) * (1 if is_float else unit)
        for value in (spread.least, spread.low, spread.high, spread.greatest)
    )
    if low == high:
        low, high = least, greatest
    step = _round_step((high - low) / _MOST)
    step = step if is_float else max(step, unit)
    first, last = low // step, high // step
    least_step, greatest_step = least // step, greatest // step
    first_open, last_open = least_step < first - _FAR, greatest_step > last + _FAR
    first, last = first if first_open else least_step, last if last_open else greatest_step
    inner: list[Ordinal] = [
        float(place * step) if is_float else int(place * step / unit) for place in range(first, last + 2)
    ]
    ends = (*([None] if first_open else []), *inner, *([None] if last_open else []))
    names = {end: show_literal(end, type_, zone) for end in inner}
    whole = not is_float and not type_.scale
    labels = [_number_label(start, end, names, whole) for start, end in pairwise(ends)]
    if not last_open and inner[-2] == spread.greatest:
        labels[-1] = names[inner[-2]]  # nothing but this value
    return Edges(ends, tuple(labels))


def _number_label(start: Edge, end: Edge, names: dict[Ordinal, str], whole: bool) -> str:
    if start is None or end is None:
        return f"below {names[end]}" if end is not None else f"{names[start]} and more" if start is not None else ""
    if whole:
        return names[start] if end == start + 1 else f"{start} to {end - 1}"
    return f"{names[start]} to below {names[end]}"


def _round_step(width: Fraction) -> Fraction:
    """Return the least of 1, 2 and 5 times a power of ten that is not below a width."""
    power = Fraction(1)
    while width and power >= width:
        power /= 10
    while power * 10 < width:
        power *= 10
    return next((power * digit for digit in (1, 2, 5) if power * digit >= width), power * 10)


@dataclass(frozen=True)
class _Calendar:
    """One length of stretches of the calendar: the day each begins with, by number, and what it is called."""

    number: Callable[[date], int]
    first_day: Callable[[int], date]
    label: Callable[[int], str]


def _days() -> _Calendar:
    return _Calendar(
        lambda day: (day - EPOCH_DAY).days,
        lambda number: EPOCH_DAY + timedelta(days=number),
        lambda number: str(EPOCH_DAY + timedelta(days=number)),
    )


def _weeks() -> _Calendar:
    return _Calendar(
        lambda day: (day - _MONDAY).days // 7,
        lambda number: _MONDAY + timedelta(weeks=number),
        lambda number: f"week of {_MONDAY + timedelta(weeks=number)}",
    )


def _months(count: int) -> _Calendar:
    def first_day(number: int) -> date:
        year, month = divmod(number * count, 12)
        return date(max(year, 1), month + 1, 1)  # there is no year 0

    def label(number: int) -> str:
        first, last = first_day(number), number * count + count - 1
        if count == 1:
            return f"{first:%Y-%m}"
        if count < 12:
            return f"{first:%Y-%m} to {last // 12:04}-{last % 12 + 1:02}"
        return f"{first.year}" if count == 12 else f"{first.year} to {last // 12}"

    return _Calendar(lambda day: (day.year * 12 + day.month - 1) // count, first_day, label)


def _calendars() -> Iterator[_Calendar]:
    """Yield the lengths of stretches, shortest first."""
    yield _days()
    yield _weeks()
    yield from (_months(count) for count in _MONTHS)


def _calendar_edges(spread: Spread, type_: AttributeType, zone: str) -> Edges:
    least, low, high, greatest = (
        _local_day(value, type_, zone) for value in (spread.least, spread.low, spread.high, spread.greatest)
    )
    if low == high:
        low, high = least, greatest
    fitting = (calendar for calendar in _calendars() if calendar.number(high) - calendar.number(low) <= _MOST)
    calendar = next(fitting, _months(_MONTHS[-1]))
    first, last = calendar.number(low), calendar.number(high)
    first_open, last_open = calendar.number(least) < first - _FAR, calendar.number(greatest) > last + _FAR
    first = first if first_open else calendar.number(least)
    last = last if last_open else calendar.number(greatest)
    numbers = range(first, last + 1)
    labels = [calendar.label(number) for number in numbers]
    ends = [_edge(calendar, number, type_, zone) for number in (*numbers, last + 1)]
    if first_open:
        ends.insert(0, None)
        labels.insert(0, f"before {calendar.first_day(first)}")
    if last_open:
        ends.append(None)
        labels.append(f"from {calendar.first_day(last + 1)} on")
    return Edges(tuple(ends), tuple(labels))


def _edge(calendar: _Calendar, number: int, type_: AttributeType, zone: str) -> Edge:
    """Return where a stretch begins; None at the ends of the calendar, so that what lies beyond them counts too."""
    try:
        day = calendar.first_day(number)
    except (OverflowError, ValueError):
        return None
    if day == date.min:
        return None
    return (day - EPOCH_DAY).days if type_.family is Family.DATE else local_midnight(day, zone)


def _local_day(ordinal: Ordinal, type_: AttributeType, zone: str) -> date:
    """Return the day of a date or an instant; those beyond the calendar are its ends."""
    try:
        if type_.family is Family.DATE:
            return EPOCH_DAY + timedelta(days=int(ordinal))
        return (EPOCH + timedelta(microseconds=int(ordinal))).astimezone(ZoneInfo(zone)).date()
    except OverflowError:
        return date.min if ordinal < 0 else date.max
