"""How single values stand to literals, for the reference evaluator: exact, slow and obvious."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np


def bare_operator(type_: str, wanted: Any) -> tuple[str, Any]:
    if type_ == "boolean":
        return ("is_true" if wanted == "true" else "is_false"), "true"
    if type_.startswith(("date", "timestamp")):
        return "on_day", wanted
    return "any_of", wanted


def text_holds(found: str, operator: str, literal: str, ignore_case: bool) -> bool:
    if operator == "matches":
        # Python takes dotted and dotless Turkish i for i where case does not count, RE2 does not.
        found = found.translate({0x130: "\ue000", 0x131: "\ue001"}) if ignore_case else found
        return re.search(literal, found, re.IGNORECASE if ignore_case else 0) is not None
    if ignore_case:
        found, literal = found.casefold(), literal.casefold()
    if operator == "begins_with":
        return found[: len(literal)] == literal
    if operator == "ends_with":
        return found[-len(literal) :] == literal
    return found.count(literal) > 0 if operator == "contains" else found == literal


def ordered_holds(operator: str, compared: list[int]) -> bool:
    """Judge by the order of the value and each literal: -1 less, 0 equal, 1 greater."""
    first = compared[0]
    if operator == "between":
        return first >= 0 and compared[1] <= 0
    if operator in ("equals", "any_of", "on_day"):
        return 0 in compared
    if operator in ("greater_than", "after"):
        return first > 0
    if operator in ("at_least", "on_or_after"):
        return first >= 0
    return first < 0 if operator in ("less_than", "before") else first <= 0


def compare(found: Any, literal: str, type_: str, zone: str) -> int:
    """Return how a value stands to a literal; a timestamp to a day: before it, in it, after it."""
    if type_.startswith("timestamp"):
        return _compare_time(found, literal, type_, zone)
    if type_ == "date":
        return _order(found, date.fromisoformat(literal))
    exact = Fraction(literal)
    if type_ == "double":
        exact = Fraction(float(exact))
    elif type_ == "float":
        exact = _nearest_single(exact)
    return _order(Fraction(found), exact)


def _order(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def _nearest_single(exact: Fraction) -> Fraction:
    near = np.float32(float(exact))
    around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    finite = [value for value in around if np.isfinite(value)]
    least = min(abs(Fraction(float(value)) - exact) for value in finite)
    nearest = [value for value in finite if abs(Fraction(float(value)) - exact) == least]
    even = [value for value in nearest if int(value.view(np.uint32)) % 2 == 0]
    return Fraction(float((even or nearest)[0]))


def _compare_time(found: datetime, literal: str, type_: str, zone: str) -> int:
    if type_.startswith("timestamp_ntz"):  # a wall clock: twice -> the earlier; never -> moved forward by the gap
        own = type_.partition(" ")[2] or zone
        found = found.replace(tzinfo=ZoneInfo(own), fold=0)
    instant = found.astimezone(UTC)
    if len(literal) == 10:
        day = date.fromisoformat(literal)
        if instant < _start_of_day(day, zone):
            return -1
        return 0 if instant < _start_of_day(day + timedelta(days=1), zone) else 1
    moment = datetime.fromisoformat(literal)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone), fold=0)
    return _order(instant, moment.astimezone(UTC))


def _start_of_day(day: date, zone: str) -> datetime:
    """Return a local day's first instant, found second by second around midnight."""
    here = ZoneInfo(zone)
    moment = datetime.combine(day, time(), UTC) - timedelta(hours=16)
    for step in (3600, 60, 1):
        while (moment + timedelta(seconds=step)).astimezone(here).date() < day:
            moment += timedelta(seconds=step)
    return moment + timedelta(seconds=1)
