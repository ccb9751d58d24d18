"""Thresholds that read well: the roundest number or the last day of a year or month between two values."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from zoneinfo import ZoneInfo

from segengine.project.types import EPOCH, EPOCH_DAY, AttributeType, Family, Ordinal, local_day, nearest_float

_MONTHS = (120, 60, 12, 3, 1)
_CLOCK = (3_600_000_000, 60_000_000, 1_000_000)


def round_threshold(low: Ordinal, high: Ordinal, type_: AttributeType, zone: str) -> Ordinal:
    """Return the ordinal of `low <= t <= high` that reads best as "at most t".

    Args:
        low: An ordinal of the type.
        high: Another, not less.
        type_: A number, a date or a time.
        zone: The project's time zone, whose days times are rounded to.

    Raises:
        OverflowError: The days lie beyond the calendar, so that no literal says them.
    """
    if type_.family is Family.DATE:
        return _round_day(int(low), int(high))
    if type_.family is Family.TIMESTAMP:
        return _round_instant(int(low), int(high), zone)
    if low == high:
        return low
    rounded = round_number(Fraction(low), Fraction(high))
    if type_.name in ("float", "double"):
        return nearest_float(Decimal(rounded.numerator) / rounded.denominator, single=type_.name == "float")
    return int(rounded)


def round_number(low: Fraction, high: Fraction) -> Fraction:
    """Return the roundest number of `low < high`; of several the one nearest to the middle.

    The roundest is 0, then what the greatest of ..., 100, 50, 10, 5, 1, 0.5, ... divides.
    """
    if low <= 0 <= high:
        return Fraction(0)
    digits = len(str(int(max(abs(low), abs(high)))))
    for power in count(digits, -1):
        for step in (Fraction(10) ** power, Fraction(10) ** power / 2):
            if (found := _nearest_multiple(low, high, step)) is not None:
                return found
    raise AssertionError  # pragma: no cover - some step is smaller than the gap


def _nearest_multiple(low: Fraction, high: Fraction, step: Fraction) -> Fraction | None:
    first, last = -(-low // step), high // step
    if first > last:
        return None
    middle = round((low + high) / (2 * step))
    return min(max(middle, first), last) * step


def _round_day(low: int, high: int) -> int:
    """Return the last day of a decade, of five years, a year, a quarter or a month; else the day in the middle."""
    # A month ends on the day before the first of the next.
    start, end = (EPOCH_DAY + timedelta(days=days + 1) for days in (low, high))
    first, last = start.year * 12 + start.month - (start.day == 1), end.year * 12 + end.month - 1
    for months in _MONTHS:
        ends = range(-(-first // months) * months, last + 1, months)
        if ends:
            year, month = divmod(ends[(len(ends) - 1) // 2], 12)
            return (date(year, month + 1, 1) - EPOCH_DAY).days - 1
    return (low + high) // 2


def _round_instant(low: int, high: int, zone: str) -> int:
    """Return the last microsecond of a local day; within one day, a full hour, minute or second."""
    first = _local_date(low, zone)
    last = _local_date(high + 1, zone) - timedelta(days=1)
    if first <= last:
        days = _round_day((first - EPOCH_DAY).days, (last - EPOCH_DAY).days)
        return local_day(EPOCH_DAY + timedelta(days=days), zone)[1] - 1
    for step in _CLOCK:
        if (found := _nearest_multiple(Fraction(low), Fraction(high), Fraction(step))) is not None:
            return int(found)
    return low


def last_day(instant: int, zone: str) -> date | None:
    """Return the local day that ends with an instant, None where the instant is within a day or beyond the calendar."""
    try:
        day = _local_date(instant, zone)
    except OverflowError:
        return None
    return day if local_day(day, zone)[1] == instant + 1 else None


def end_of_day(instant: int, zone: str) -> int:
    """Return the last microsecond of the local day an instant is in.

    Raises:
        OverflowError: It lies beyond the calendar.
    """
    return local_day(_local_date(instant, zone), zone)[1] - 1


def _local_date(instant: int, zone: str) -> date:
    return (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).date()
