"""What is kept how long: all snapshots for a while, then one a week, then one a month.

Ages are counted from a snapshot's as_of; weeks (ISO) and months are those of the project's time zone. A snapshot that
any of the three keeps stays, so one that is once the last of its completed week or month stays for that whole span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from segengine.project.nodes import Fields, Node
from segengine.project.problems import Problems

KEEP_FIELDS = ("all", "weekly", "monthly")
FOREVER = timedelta.max
SPAN_PATTERN = r"([0-9]{1,6}) *(hour|day|week|month|year)s?"
_SPAN_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}  # the longest there are: nothing goes too early
_EXAMPLE = "`keep: {all: 35 days, weekly: 1 year, monthly: forever}`"


@dataclass(frozen=True)
class Keep:
    """How long every snapshot is kept, the last one of each week, and the last one of each month."""

    all: timedelta
    weekly: timedelta = timedelta(0)
    monthly: timedelta = timedelta(0)


def parse_span(text: str) -> timedelta | None:
    """Return a span of time such as `35 days`, at its longest; `forever` is the longest of all; None: it is neither."""
    if text.strip().lower() == "forever":
        return FOREVER
    matched = re.fullmatch(SPAN_PATTERN, text.strip().lower())
    if matched is None:
        return None
    count, unit = int(matched[1]), matched[2]
    return timedelta(hours=count) if unit == "hour" else timedelta(days=count * _SPAN_DAYS[unit])


def read_keep(node: Node | None, problems: Problems) -> Keep | None:
    """Return what is kept; None: everything, for ever, or what is wrong (which is reported)."""
    fields = problems.fields(node, "keep", KEEP_FIELDS, "SEG101")
    if fields is None:
        return None
    before = problems.error_count
    if fields.get("all") is None:
        problems.add(fields.place, "SEG101", 'keep without "all".', f"Write {_EXAMPLE}.")
    spans = {name: span for name in KEEP_FIELDS if (span := _read_span(fields, name, problems)) is not None}
    return Keep(**spans) if problems.error_count == before else None


def _read_span(fields: Fields, name: str, problems: Problems) -> timedelta | None:
    text = problems.text(fields.get(name), name)
    span = None if text is None else parse_span(text)
    if text is not None and span is None:
        hint = f"Example: {_EXAMPLE}."
        message = f'{name} is "{text}", expected hours, days, weeks, months or years, or forever.'
        problems.add(fields.key_place(name), "SEG102", message, hint)
    return span


def choose_kept(moments: Sequence[datetime], keep: Keep, now: datetime, zone: str) -> set[int]:
    """Return the places of those that are kept.

    Args:
        moments: The as_of of each snapshot of one definition, ascending.
        keep: What is kept.
        now: The instant ages are counted to.
        zone: The time zone of weeks and months.
    """
    here = ZoneInfo(zone)
    days = [moment.astimezone(here).date() for moment in moments]
    last_of_week = {day.isocalendar()[:2]: place for place, day in enumerate(days)}
    last_of_month = {(day.year, day.month): place for place, day in enumerate(days)}
    spans = (
        (keep.all, range(len(moments))),
        (keep.weekly, last_of_week.values()),
        (keep.monthly, last_of_month.values()),
    )
    return {place for span, places in spans for place in places if now - moments[place] <= span}
