"""When something is to be refreshed: local times of days, weeks or months, and what follows from them.

What is due is worked out from the last success alone: the first planned instant after it. So a machine that was off, a
run that failed, or times that were moved never leave anything out.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from segengine.project.types import WEEKDAYS

Period = Literal["daily", "weekly", "monthly"]
_LONGEST_GAP = 31  # days from one planned day to the next
_MARGIN = 2  # days that a zone may be ahead, behind, or leave out


@dataclass(frozen=True)
class Schedule:
    """Local times at which something is to be refreshed.

    `day`: of a weekly schedule the weekday, 0 is Monday; of a monthly one the day of the month, its last day where it
    is shorter; a daily one has none.
    """

    period: Period
    times: tuple[time, ...]
    zone: str
    day: int = 0

    def __str__(self) -> str:
        """Return the schedule for people: `weekly on monday at 06:00 Europe/Berlin`."""
        when = {"weekly": f" on {WEEKDAYS[self.day]}", "monthly": f" on day {self.day}"}.get(self.period, "")
        return f"{self.period}{when} at {', '.join(f'{each:%H:%M}' for each in self.times)} {self.zone}"

    def following(self, moment: datetime) -> datetime:
        """Return the first planned instant after a moment, in UTC."""
        today = moment.astimezone(ZoneInfo(self.zone)).date()
        days = (today + timedelta(days=offset) for offset in range(-_MARGIN, _LONGEST_GAP + _MARGIN + 1))
        return min(instant for day in days for instant in self._instants(day) if instant > moment)

    def _instants(self, day: date) -> list[datetime]:
        if self.period == "weekly" and day.weekday() != self.day:
            return []
        if self.period == "monthly" and day.day != min(self.day, monthrange(day.year, day.month)[1]):
            return []
        return [_instant(day, each, self.zone) for each in self.times]


@lru_cache(maxsize=4_096)
def _instant(day: date, at: time, zone: str) -> datetime:
    """Return a local time as an instant: one that does not exist moves forward, of one that exists twice the first."""
    return datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC)


def next_due(schedule: Schedule, succeeded_at: datetime | None, now: datetime) -> datetime:
    """Return from when on something is due: at once where it never succeeded, else as planned after it did."""
    return now if succeeded_at is None else schedule.following(succeeded_at)
