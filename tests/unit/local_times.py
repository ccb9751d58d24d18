"""Local time in plain Python, step by step, and the zones and moments in which it is odd."""

from __future__ import annotations

import random
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

ZONES = (
    *("America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns"),
    *("Pacific/Apia", "UTC", "Europe/Berlin", "Asia/Kathmandu"),
)
MICROSECOND = timedelta(microseconds=1)


def instant_of_wall(wall: datetime, zone: str) -> datetime:
    """Return the instant of a wall clock: the earlier of two; one that never was moves forward by the gap."""
    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


@cache
def start_of_day(day: date, zone: str) -> datetime:
    """Return the first instant whose local date is a day, or a later one where clocks skip it."""
    here = ZoneInfo(zone)
    midnight = datetime.combine(day, time(), UTC)
    offset = (midnight - timedelta(days=1)).astimezone(here).utcoffset() or timedelta()
    moment = midnight - offset - timedelta(hours=2)
    while moment.astimezone(here).date() < day:  # minute by minute: St John's has had days that began twice in an hour
        moment += timedelta(minutes=1)
    seconds = [moment - timedelta(seconds=second) for second in range(60, -1, -1)]
    return next(second for second in seconds if second.astimezone(here).date() >= day)


def day_of(instant: datetime, zone: str) -> date:
    """Return the local day an instant belongs to: the last one that has begun."""
    day = instant.astimezone(ZoneInfo(zone)).date()
    return day + timedelta(days=1) if instant >= start_of_day(day + timedelta(days=1), zone) else day


def shift(day: date, count: int, unit: str) -> date:
    """Return the day so many units away: the same day of a month, or its last."""
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    year, month = divmod(day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1), 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def random_moment(choose: random.Random, zone: str) -> datetime:
    """Return an instant between 1950 and 2090, half of them within hours of a change of the zone's clocks."""
    here = ZoneInfo(zone)
    moment = datetime(choose.randrange(1950, 2090), choose.randrange(1, 13), 1, tzinfo=UTC)
    moment += timedelta(seconds=choose.randrange(31 * 86_400), microseconds=choose.choice([0, 1, 999_999]))
    if choose.random() < 0.5:
        for _ in range(370):
            if moment.astimezone(here).utcoffset() != (moment + timedelta(days=1)).astimezone(here).utcoffset():
                break
            moment += timedelta(days=1)
        moment += timedelta(minutes=choose.randrange(24 * 60))
    return moment
