"""How definitions are operated: when they are refreshed, and what holds a result back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import time, timedelta
from decimal import Decimal
from typing import TypeVar

from segengine.project.model import NO_GATES, Gates
from segengine.project.nodes import Fields, Node
from segengine.project.problems import Problems, did_you_mean, show_node
from segengine.project.schedule import Period, Schedule
from segengine.project.types import WEEKDAYS, is_time_zone

MAX_TIMES = 4
SYSTEM_PERIODS: tuple[Period, ...] = ("daily", "weekly")
OWN_PERIODS: tuple[Period, ...] = ("daily", "weekly", "monthly")
GATES = {
    "change_at_most": "The number of members may change by this share of what it was",
    "churn_at_most": "Members who entered or left may be this share of those there were",
    "not_empty": "There must be a member",
    "at_least": "There must be so many members",
    "sources_not_empty": "Every table it reads must have a row, also those of what it refers to, if refreshed with it",
    "sources_not_older_than": "Every one of these tables must have news of this span of time before as_of: `2 days`",
}
TIME_PATTERN = r"([01]?[0-9]|2[0-3]):([0-5][0-9])"
AGE_PATTERN = r"([0-9]{1,6}) *(minute|hour|day|week)s?"
_FORMS: dict[Period, str] = {
    "daily": 'daily: ["02:00", "14:00"]',
    "weekly": 'weekly: {day: monday, at: "06:00"}',
    "monthly": 'monthly: {day: 1, at: "06:00"}',
}
_SHARE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,12}", re.ASCII)
Value = TypeVar("Value")


def read_schedule(
    node: Node | None, what: str, periods: tuple[Period, ...], zone: str, problems: Problems
) -> Schedule | None:
    """Return a schedule, or None where there is none or it cannot be told (which is reported).

    Args:
        node: `{daily: [...]}`, `{weekly: {day: ..., at: ...}}` or `{monthly: {day: ..., at: ...}}`, and a `zone`.
        what: The field, for messages.
        periods: The periods it may have.
        zone: The zone it is in unless it names one.
        problems: Where what is wrong goes.
    """
    before = problems.error_count
    fields = problems.fields(node, what, (*periods, "zone"), "SEG233")
    if fields is None:
        return None
    given = [period for period in periods if fields.get(period) is not None]
    if len(given) != 1:
        hint = f"Write {' or '.join(f'`{what}: {{{_FORMS[period]}}}`' for period in periods)}."
        problems.add(fields.place, "SEG233", f"{what} has {len(given)} of {', '.join(periods)}, expected one.", hint)
        return None
    own_zone = problems.text(fields.get("zone"), "zone") or zone
    if not is_time_zone(own_zone):
        place = fields.key_place("zone")
        problems.add(place, "SEG233", f"zone {own_zone!r} is no zone of the IANA database.", "Example: Europe/Berlin.")
    (period,) = given
    schedule = _read_period(fields.get(period), period, own_zone, problems)
    return schedule if problems.error_count == before else None


def _read_period(node: Node | None, period: Period, zone: str, problems: Problems) -> Schedule | None:
    if period == "daily":
        return Schedule(period, _read_times(node, period, problems), zone)
    fields = problems.fields(node, period, ("day", "at"), "SEG233")
    if fields is None:
        return None
    for name in ("day", "at"):
        if fields.get(name) is None:
            problems.add(fields.place, "SEG233", f'{period} without "{name}".', f"Write `{_FORMS[period]}`.")
    read_day = _read_weekday if period == "weekly" else _read_day_of_month
    day = read_day(fields, problems)
    return Schedule(period, _read_times(fields.get("at"), "at", problems), zone, day)


def _read_times(node: Node | None, what: str, problems: Problems) -> tuple[time, ...]:
    texts = problems.texts(node, what)
    found = [re.fullmatch(TIME_PATTERN, text) for text in texts]
    if node is not None and not all(found):
        hint = 'Example: "06:00", in quotes.'
        problems.add(node.place, "SEG233", f"{what} is {show_node(node)}, expected hours and minutes.", hint)
    if node is not None and not 1 <= len(texts) <= MAX_TIMES:
        problems.add(node.place, "SEG233", f"{what} has {len(texts)} times, expected 1 to {MAX_TIMES}.")
    return tuple(sorted({time(int(each[1]), int(each[2])) for each in found if each}))


def _read_weekday(fields: Fields, problems: Problems) -> int:
    text = problems.text(fields.get("day"), "day")
    if text is None:
        return 0
    if text.lower() in WEEKDAYS:
        return WEEKDAYS.index(text.lower())
    problems.add(fields.key_place("day"), "SEG233", f'there is no weekday "{text}".', did_you_mean(text, WEEKDAYS))
    return 0


def _read_day_of_month(fields: Fields, problems: Problems) -> int:
    text = problems.text(fields.get("day"), "day")
    if text is None:
        return 1
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 31:
        return int(text)
    problems.add(fields.key_place("day"), "SEG233", f'day is "{text}", expected 1 to 31.')
    return 1


def read_gates(node: Node | None, problems: Problems) -> Gates:
    """Return what `publish_if` asks of a result; nothing where there is none, or where it is wrong (reported)."""
    fields = problems.fields(node, "publish_if", GATES, "SEG234")
    if fields is None:
        return NO_GATES

    def read(name: str, expected: str, parse: Callable[[str], Value | None]) -> Value | None:
        return _read_value(fields, name, expected, parse, problems)

    return replace(
        NO_GATES,
        change_at_most=read("change_at_most", "a share, such as 0.5", _parse_share),
        churn_at_most=read("churn_at_most", "a share, such as 0.5", _parse_share),
        not_empty=bool(problems.boolean(fields.get("not_empty"), "not_empty")),
        at_least=read("at_least", "a whole number", _parse_count) or 0,
        sources_not_empty=bool(problems.boolean(fields.get("sources_not_empty"), "sources_not_empty")),
        sources_not_older_than=read(
            "sources_not_older_than", "minutes, hours, days or weeks, such as `2 days`", _parse_age
        ),
    )


def _read_value(
    fields: Fields, name: str, expected: str, parse: Callable[[str], Value | None], problems: Problems
) -> Value | None:
    text = problems.text(fields.get(name), name)
    if text is None:
        return None
    value = parse(text.strip())
    if value is None:
        problems.add(fields.key_place(name), "SEG234", f'{name} is "{text}", expected {expected}.')
    return value


def _parse_share(text: str) -> Decimal | None:
    return Decimal(text) if _SHARE.fullmatch(text) else None


def _parse_count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _parse_age(text: str) -> timedelta | None:
    matched = re.fullmatch(AGE_PATTERN, text.lower())
    return timedelta(**{f"{matched[2]}s": int(matched[1])}) if matched else None
