"""Months, weekdays, hours, ... of whole batches of dates and times, in local time.

Time zones come from Python's `zoneinfo`, as everywhere else: its rules reach beyond the last change a zone's file
lists. Offsets are found by asking it day by day, once per zone and stretch of time, and narrowing down each change.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from segengine.kernel.ordinals import Ordinals
from segengine.project.date_parts import DAY_OF_LEAP_YEAR
from segengine.project.measure import DimensionPeriod
from segengine.project.types import CYCLE_MICROSECONDS, EPOCH, EPOCH_DAY, AttributeType, DatePart, Family

Numbers = npt.NDArray[np.int64]

_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_FIRST_DAY, _LAST_DAY = (date.min - EPOCH_DAY).days, (date.max - EPOCH_DAY).days
_PROBE = 2 * _DAY
_STRETCH = 45  # bits: about a year of microseconds
_DAYS_BEFORE_MONTH = np.array([0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335])  # in a leap year


def take_part(times: Ordinals, part: DatePart) -> Ordinals:
    """Return a part of dates (days) or times (microseconds) as whole numbers; years beyond 1 to 9999 are invalid."""
    days = local = times.values.astype(np.int64, copy=False)
    if part.of.family is not Family.DATE:
        if part.of.name == "timestamp_ntz":
            local = to_instants(local, part.of.zone or part.zone)
        local = to_local(local, part.zone)
        days = local // _DAY
    outside = (days < _FIRST_DAY) | (days > _LAST_DAY)
    invalid = np.flatnonzero(outside) if outside.any() else None
    if invalid is not None:
        days = np.where(outside, 0, days)
    values = (local - days * _DAY) // _HOUR if part.name == "hour_of" else _by_day(days, _CALENDAR[part.name])
    return Ordinals(values, times.missing, invalid=invalid)


def _by_day(days: Numbers, convert: Callable[[Numbers], Numbers]) -> Numbers:
    """Return what days become, through a table of all days between the first and the last where that is less work."""
    first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)
    if last - first >= len(days):
        return convert(days)
    return convert(np.arange(first, last + 1))[days - first]


def _month(days: Numbers) -> Numbers:
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1


def _day_of_month(days: Numbers) -> Numbers:
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    return days - months.astype("datetime64[D]").astype(np.int64) + 1


def _year(days: Numbers) -> Numbers:
    return days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970


_CALENDAR: dict[str, Callable[[Numbers], Numbers]] = {
    "month_of": _month,
    "weekday_of": lambda days: (days + 3) % 7 + 1,  # 1970 began on a Thursday
    "day_of_month": _day_of_month,
    "year_of": _year,
    DAY_OF_LEAP_YEAR: lambda days: _DAYS_BEFORE_MONTH[_month(days) - 1] + _day_of_month(days),
}


def local_days(times: Ordinals, type_: AttributeType, zone: str) -> Ordinals:
    """Return dates, or the local days of times in a zone (wall clocks stand in their own), as days since 1970."""
    if type_.family is Family.DATE:
        return times
    instants = times.values.astype(np.int64, copy=False)
    if type_.name == "timestamp_ntz":
        instants = to_instants(instants, type_.zone or zone)
    return Ordinals(to_local(instants, zone) // _DAY, times.missing, invalid=times.invalid)


def first_days(days: Ordinals, period: DimensionPeriod) -> Ordinals:
    """Return the first day of the period each day is in; years beyond 1 to 9999 are invalid."""
    whole = days.values.astype(np.int64, copy=False)
    outside = (whole < _FIRST_DAY) | (whole > _LAST_DAY)
    if days.invalid is not None:
        outside[days.invalid] = True
    invalid = np.flatnonzero(outside) if outside.any() else None
    if invalid is not None:
        whole = np.where(outside, 0, whole)
    return Ordinals(_by_day(whole, _FIRST_DAYS[period]), days.missing, invalid=invalid)


def _first_of_months(days: Numbers, months: int) -> Numbers:
    """Return the first day of the stretch of so many months, counted from January, that each day is in."""
    since = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) // months * months
    return since.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


_FIRST_DAYS: dict[DimensionPeriod, Callable[[Numbers], Numbers]] = {
    "day": lambda days: days,
    "week": lambda days: days - (days + 3) % 7,
    "month": lambda days: _first_of_months(days, 1),
    "quarter": lambda days: _first_of_months(days, 3),
    "year": lambda days: _first_of_months(days, 12),
}


def to_local(instants: Numbers, zone: str) -> Numbers:
    """Return instants (microseconds since 1970 UTC) as the local times of a zone.

    Cost: one binary search in the changes of the years that occur.
    """
    return instants if zone == "UTC" else instants + _offsets_at(instants, zone, False)


def to_instants(walls: Numbers, zone: str) -> Numbers:
    """Return local times of a zone as instants: the earlier of two; one that never was moves forward by the gap."""
    return walls if zone == "UTC" else walls - _offsets_at(walls, zone, True)


def settle_walls(walls: Numbers, zone: str) -> Numbers:
    """Return local times as the clocks showed them: one that never was becomes the later one it means.

    Those that are left have the order of the instants they mean, and are as many.
    """
    return walls if zone == "UTC" else to_local(to_instants(walls, zone), zone)


def _offsets_at(times: Numbers, zone: str, are_walls: bool) -> Numbers:
    """Return the offset at each time, in microseconds; far beyond the calendar that of its ends."""
    if not len(times):
        return times
    inside = np.clip(times, (_FIRST_DAY - 2) * _DAY, (_LAST_DAY + 2) * _DAY)
    stretches = inside >> _STRETCH
    first = int(stretches.min())
    starts, offsets = _pieces(zone, are_walls, tuple((first + np.flatnonzero(np.bincount(stretches - first))).tolist()))
    found: Numbers = offsets[np.searchsorted(starts, inside, side="right") - 1]
    return found


@lru_cache(maxsize=256)
def _pieces(zone: str, are_walls: bool, stretches: tuple[int, ...]) -> tuple[Numbers, Numbers]:
    """Return the times from which each offset holds, over several stretches of time, and the offsets."""
    changes = [change for stretch in stretches for change in _changes(zone, are_walls, stretch)]
    starts, offsets = zip(*changes, strict=True)
    return np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64)


@cache
def _changes(zone: str, are_walls: bool, stretch: int) -> tuple[tuple[int, int], ...]:
    """Return (time, offset from there on) for the start of a stretch and every change in it, in microseconds.

    Asked every other day: no zone has ever changed its clocks twice within six.
    """
    here = ZoneInfo(zone)
    start, end = stretch << _STRETCH, (stretch + 1) << _STRETCH
    found = [(start, _offset(start, here, are_walls))]
    for low in range(start, end, _PROBE):
        high = min(low + _PROBE, end - 1)
        after = _offset(high, here, are_walls)
        if after == found[-1][1]:
            continue
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if _offset(middle, here, are_walls) == after else (middle, high)
        found.append((high, after))
    return tuple(found)


def _offset(time: int, here: ZoneInfo, is_wall: bool) -> int:
    """Return a zone's offset at a time, in microseconds; beyond the calendar's ends that of 400 years nearer."""
    try:
        moment = EPOCH + timedelta(microseconds=time)
        local = moment.replace(tzinfo=here) if is_wall else moment.astimezone(here)
    except OverflowError:
        return _offset(time + (CYCLE_MICROSECONDS if time < 0 else -CYCLE_MICROSECONDS), here, is_wall)
    return (local.utcoffset() or timedelta()) // timedelta(microseconds=1)
