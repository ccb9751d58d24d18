"""Times relative to the instant a run is for: read as such, kept as such, and anchored just before planning.

All relative conditions of a run are anchored to one `as_of` and one time zone, so that they agree with each other. What
a run anchors is ordinary ranges (an anniversary: ranges of parts), so the kernel never asks what time it is.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from segengine.project.date_parts import DAY_OF_LEAP_YEAR, part_of
from segengine.project.logic import push_not_inward
from segengine.project.model import All, AnyOf, Condition, Expression, Not
from segengine.project.types import (
    EPOCH,
    EPOCH_DAY,
    AttributeType,
    Family,
    LiteralError,
    instant_of,
    local_day,
)
from segengine.project.values import Bound, Ranges, Relative, RelativeOperation, Unit, stored_ranges

PERIODS: tuple[Unit, ...] = ("week", "month", "quarter", "year")
SPAN = re.compile(r"(\d{1,12})\s*(minute|hour|day|week|month|year)s?", re.ASCII)
# How users say a span of time, and as what it is kept.
_UNITS: Mapping[str, tuple[int, Unit]] = {
    "minute": (1, "minute"),
    "hour": (60, "minute"),
    "day": (1, "day"),
    "week": (7, "day"),
    "month": (1, "month"),
    "year": (12, "month"),
}
_DAY_MINUTES = 1_440
_MINUTE = 60_000_000
_MOST: Mapping[Unit, int] = {"minute": 1_000 * 366 * _DAY_MINUTES, "day": 1_000 * 366, "month": 1_000 * 12}
_FEBRUARY_28 = 59  # as a day of a leap year


def read_relative(operation: RelativeOperation, text: str, type_: AttributeType, rolling: bool) -> Relative:
    """Return the test of a relative operator.

    Args:
        operation: The operator's name.
        text: What stands behind it: `20 days`, or a period.
        type_: The attribute's type, a date or a timestamp.
        rolling: Whether the span is counted from the very instant; checked to fit before.

    Raises:
        LiteralError: The text is no span of time, or no period, that fits.
    """
    if operation == "to_date":
        period = next((known for known in PERIODS if known == text), None)
        if period is None:
            raise LiteralError(f"expected {', '.join(PERIODS[:-1])} or {PERIODS[-1]}")
        return Relative(operation, 0, period)
    matched = SPAN.fullmatch(text.strip().lower())
    if not matched:
        raise LiteralError("expected a whole number and minutes, hours, days, weeks, months or years, as `20 days`")
    factor, unit = _UNITS[matched[2]]
    count = int(matched[1]) * factor
    if unit == "minute" and (type_.family is Family.DATE or operation == "anniversary_within_next"):
        what = "a date" if type_.family is Family.DATE else "an anniversary"
        raise LiteralError(f"expected days, weeks, months or years: {what} has no time of day")
    if count > _MOST[unit]:
        raise LiteralError("expected at most 1000 years")
    rolling = rolling or unit == "minute"
    if rolling and not count:
        raise LiteralError("expected at least 1 (today is `0 days` without `rolling`)")
    if rolling and unit == "day":
        return Relative(operation, count * _DAY_MINUTES, "minute", rolling)
    return Relative(operation, count, unit, rolling)


def anchor_expression(expression: Expression, as_of: int, zone: str) -> Expression:
    """Return an expression with every relative condition as of one instant.

    Args:
        expression: The expression as resolved.
        as_of: The instant the run is for, in microseconds since 1970 UTC.
        zone: The project's time zone.
    """
    if isinstance(expression, All | AnyOf):
        return replace(expression, items=tuple(anchor_expression(item, as_of, zone) for item in expression.items))
    if isinstance(expression, Not):
        return replace(expression, item=anchor_expression(expression.item, as_of, zone))
    if not isinstance(expression, Condition) or not isinstance(expression.test, Relative):
        return expression
    test = expression.test
    if test.operation == "anniversary_within_next":
        return _anchor_anniversary(expression, test, local_date(as_of, zone), zone)
    return replace(expression, test=anchor_test(test, expression.attribute.type, as_of, zone))


@lru_cache(maxsize=4_096)
def anchor_test(test: Relative, type_: AttributeType, as_of: int, zone: str) -> Ranges:
    """Return what a relative test (no anniversary) accepts of a type, as of an instant."""
    if type_.family is Family.DATE:
        accepted = _dates(test, local_date(as_of, zone))
    else:
        accepted = stored_ranges(_instants(test, as_of, zone), type_, zone)
    return accepted.complement() if test.negated else accepted


def _dates(test: Relative, today: date) -> Ranges:
    if test.operation == "within_next":
        return _span(_ordinal(today) + 1, _after(_moved(today, test)))
    first = _period_start(today, test.unit) if test.operation == "to_date" else _moved(today, test)
    return _span(None if first is None else _ordinal(first), _ordinal(today) + 1)


def _instants(test: Relative, as_of: int, zone: str) -> Ranges:
    today = local_date(as_of, zone)
    if test.operation == "within_next":
        if test.rolling:
            end = _rolled(as_of, test, zone)
            return _span(as_of + 1, None if end is None else end + 1)
        last = _moved(today, test)
        return _span(as_of + 1, None if last is None else local_day(last, zone)[1])
    if test.rolling:
        return _span(_rolled(as_of, test, zone), as_of + 1)
    first = _period_start(today, test.unit) if test.operation == "to_date" else _moved(today, test)
    return _span(None if first is None else local_day(first, zone)[0], as_of + 1)


def _span(low: Bound, high: Bound) -> Ranges:
    return Ranges(((low, high),) if low is None or high is None or low < high else ())


def _ordinal(day: date) -> int:
    return (day - EPOCH_DAY).days


def _after(day: date | None) -> Bound:
    return None if day is None else _ordinal(day) + 1


def _moved(day: date, test: Relative) -> date | None:
    """Return the day a test reaches from a day, back or ahead; None beyond the calendar."""
    count = test.count if test.operation in ("within_next", "anniversary_within_next") else -test.count
    if test.unit == "month":
        return add_months(day, count)
    try:
        return day + timedelta(days=count)
    except OverflowError:
        return None


def add_months(day: date, months: int) -> date | None:
    """Return the same day of another month, or its last day; None beyond the calendar."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not date.min.year <= year <= date.max.year:
        return None
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _rolled(as_of: int, test: Relative, zone: str) -> Bound:
    """Return the instant a rolling test reaches: so many minutes away, or the same local time months away."""
    ahead = test.operation == "within_next"
    if test.unit == "minute":
        return as_of + test.count * _MINUTE * (1 if ahead else -1)
    local = _local(as_of, zone)
    day = _moved(local.date(), test)
    if day is None:
        return None
    return instant_of(datetime.combine(day, local.time(), ZoneInfo(zone)))


def _period_start(day: date, period: Unit) -> date:
    if period == "week":
        return day - timedelta(days=min(day.weekday(), (day - date.min).days))
    month = {"month": day.month, "quarter": day.month - (day.month - 1) % 3}.get(period, 1)
    return date(day.year, month, 1)


def _local(as_of: int, zone: str) -> datetime:
    """Return an instant's local time, without zone; at the very ends of the calendar UTC's."""
    moment = EPOCH + timedelta(microseconds=as_of)
    try:
        return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    except OverflowError:
        return moment.astimezone(UTC).replace(tzinfo=None)


@lru_cache(maxsize=1_024)
def local_date(as_of: int, zone: str) -> date:
    """Return the local day an instant (microseconds since 1970 UTC) belongs to: the last one that has begun.

    Where clocks are set back over midnight, that is a day later than they show for an hour.
    """
    day = _local(as_of, zone).date()
    return day + timedelta(days=1) if day < date.max and as_of >= local_day(day, zone)[1] else day


def days_to_anniversary(test: Relative, today: date) -> Ranges:
    """Return the numbers of days to the next anniversary that a test accepts on a day."""
    last = _moved(today, test) or date.max
    accepted = Ranges(((0, (last - today).days + 1),))
    return accepted.complement() if test.negated else accepted


def _anchor_anniversary(condition: Condition, test: Relative, today: date, zone: str) -> Expression:
    """Return an anniversary as conditions on parts: the days that come round, and the years that came before."""
    end = _moved(today, test) or date.max
    # Of the years that lie wholly between, the last is enough: it takes every day, and the most years of birth.
    years = [year for year in (today.year, end.year - 1, end.year) if year >= today.year]
    found: list[Expression] = []
    for year in dict.fromkeys(years):
        first, last = max(today, date(year, 1, 1)), min(end, date(year, 12, 31))
        low, high = _day_of_leap_year(first), _day_of_leap_year(last)
        if high == _FEBRUARY_28 and not isleap(year):
            high += 1  # who was born on 29 February
        days = part_of(condition.attribute, DAY_OF_LEAP_YEAR, zone)
        born = part_of(condition.attribute, "year_of", zone)
        name = condition.attribute.name
        on_days = Condition(days, Ranges(((low, high + 1),)), text=f"{name} anniversary {first} to {last}")
        found.append(All((on_days, Condition(born, Ranges(((None, year),)), text=f"{name} before {year}"))))
    return push_not_inward(AnyOf(tuple(found)), test.negated)


def _day_of_leap_year(day: date) -> int:
    return date(2000, day.month, day.day).timetuple().tm_yday
