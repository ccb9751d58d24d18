"""Days, relative windows and parts of dates, for the reference evaluator: local time, step by step."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

RELATIVE = ("within_last", "within_next", "to_date", "anniversary_within_next")
PARTS = ("month_of", "weekday_of", "day_of_month", "hour_of", "year_of")
NAMES = {
    "month_of": (
        *("january", "february", "march", "april", "may", "june"),
        *("july", "august", "september", "october", "november", "december"),
    ),
    "weekday_of": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
}
FIXED = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(1), "week": timedelta(7)}
MONTHS = {"month": 1, "year": 12}


def to_instant(found: datetime, type_: str, zone: str) -> datetime:
    """Return the instant of a timestamp: of a wall clock that exists twice the earlier, else with the gap passed."""
    if type_.startswith("timestamp_ntz"):
        found = found.replace(tzinfo=ZoneInfo(type_.partition(" ")[2] or zone), fold=0)
    return found.astimezone(UTC)


def local_instant(wall: datetime, zone: str) -> datetime:
    return to_instant(wall, f"timestamp_ntz {zone}", zone)


@lru_cache(maxsize=4096)
def start_of_day(day: date, zone: str) -> datetime:
    """Return a local day's first instant, searched by quarters of an hour, then by minutes, then by seconds.

    By quarters, because a date can begin, last a minute, and begin again after the clocks went back.
    """
    here = ZoneInfo(zone)
    moment = datetime.combine(day, time(), UTC) - timedelta(hours=16)
    for step in (900, 60, 1):
        while (moment + timedelta(seconds=step)).astimezone(here).date() < day:
            moment += timedelta(seconds=step)
    return moment + timedelta(seconds=1)


def day_of(instant: datetime, zone: str) -> date:
    """Return the local day an instant belongs to: the last one that has begun."""
    day = instant.astimezone(ZoneInfo(zone)).date()
    return day + timedelta(1) if instant >= start_of_day(day + timedelta(1), zone) else day


def shift_day(day: date, count: int, unit: str) -> date:
    """Return the day so many days, weeks, months or years later; a day the month does not have is its last."""
    if unit in FIXED:
        return day + count * FIXED[unit]
    month = day.year * 12 + day.month - 1 + count * MONTHS[unit]
    year, month = month // 12, month % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def shift_instant(instant: datetime, count: int, unit: str, zone: str) -> datetime:
    """Return the instant so many units later: n x 24 hours, or the same local time of another month or year."""
    if unit in FIXED:
        return instant + count * FIXED[unit]
    wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local_instant(datetime.combine(shift_day(wall.date(), count, unit), wall.time()), zone)


def start_of_period(today: date, period: str) -> date:
    if period == "week":
        return today - timedelta(days=today.isoweekday() - 1)
    if period == "month":
        return today.replace(day=1)
    if period == "quarter":
        return today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
    return today.replace(month=1, day=1)


def read_duration(text: str) -> tuple[int, str]:
    number, unit = text.split()
    return int(number), unit.removesuffix("s")


def relative_holds(
    found: date, type_: str, operator: str, literal: str, rolling: bool, as_of: datetime, zone: str
) -> bool:
    """Return whether a date or timestamp stands in a window relative to as_of."""
    today = day_of(as_of, zone)
    if operator == "anniversary_within_next":
        day = found if type_ == "date" else day_of(to_instant(found, type_, zone), zone)
        return _has_anniversary(day, today, shift_day(today, *read_duration(literal)))
    if type_ == "date":
        return _day_holds(found, operator, literal, today)
    instant = to_instant(found, type_, zone)
    if operator == "to_date":
        return start_of_day(start_of_period(today, literal), zone) <= instant <= as_of
    count, unit = read_duration(literal)
    if rolling or unit in ("minute", "hour"):
        if operator == "within_last":
            return shift_instant(as_of, -count, unit, zone) <= instant <= as_of
        return as_of < instant <= shift_instant(as_of, count, unit, zone)
    if operator == "within_last":
        return start_of_day(shift_day(today, -count, unit), zone) <= instant <= as_of
    return as_of < instant < start_of_day(shift_day(today, count, unit) + timedelta(1), zone)


def _day_holds(found: date, operator: str, literal: str, today: date) -> bool:
    if operator == "to_date":
        return start_of_period(today, literal) <= found <= today
    count, unit = read_duration(literal)
    if operator == "within_last":
        return shift_day(today, -count, unit) <= found <= today
    return today < found <= shift_day(today, count, unit)


def _has_anniversary(day: date, first: date, last: date) -> bool:
    return any(first <= anniversary(day, year) <= last for year in range(first.year, last.year + 1) if year > day.year)


def anniversary(day: date, year: int) -> date:
    return date(year, day.month, min(day.day, monthrange(year, day.month)[1]))


def part_of(found: date, type_: str, part: str, zone: str) -> int:
    """Return a part of a date, or of a timestamp's local time in the project's zone."""
    if type_ != "date":
        found = to_instant(found, type_, zone).astimezone(ZoneInfo(zone))
    if part == "weekday_of":
        return found.isoweekday()
    return {"month_of": found.month, "day_of_month": found.day, "year_of": found.year}.get(part) or found.hour


def read_names(wanted: object, part: str) -> object:
    """Return what is wanted of a part with numbers in place of the names of months and weekdays."""
    if isinstance(wanted, dict):
        return {key: read_names(value, part) for key, value in wanted.items()}
    if isinstance(wanted, list):
        return [read_names(value, part) for value in wanted]
    names = NAMES.get(part, ())
    return str(names.index(wanted) + 1) if wanted in names else wanted
