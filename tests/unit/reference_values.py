"""How single values stand to literals, and what many come to, for the reference evaluator: exact, slow, obvious."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from reference_times import start_of_day, to_instant

DIGITS = 38
EXACT = "exact"  # the type of sums, averages and counts: a fraction, compared exactly


class FailedError(Exception):
    """A segment has no result: a value is infinite or out of range."""


def is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def is_time(type_: str) -> bool:
    return type_.startswith(("date", "timestamp"))


def bare_operator(type_: str, wanted: Any) -> tuple[str, Any]:
    if type_ == "boolean":
        return ("is_true" if wanted == "true" else "is_false"), "true"
    return ("on_day" if is_time(type_) else "any_of"), wanted


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
    instant = to_instant(found, type_, zone)
    if len(literal) == 10:
        day = date.fromisoformat(literal)
        if instant < start_of_day(day, zone):
            return -1
        return 0 if instant < start_of_day(day + timedelta(days=1), zone) else 1
    moment = datetime.fromisoformat(literal)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone), fold=0)
    return _order(instant, moment.astimezone(UTC))


def aggregate(function: str, values: Sequence[Any], type_: str, zone: str) -> tuple[Any, str]:
    """Return what the values of some rows come to, and its type; missing ones are skipped.

    Raises:
        FailedError: The result, or a float in it, has more than 38 digits.
    """
    there = [value for value in values if not is_missing(value)]
    if type_.startswith("timestamp"):
        there, type_ = [to_instant(value, type_, zone) for value in there], "timestamp"
    if function == "count_unique":
        return len(set(there)), EXACT
    if function in ("min", "max"):
        return ((min if function == "min" else max)(there) if there else None), type_
    scale = scale_of(type_)
    total = sum((enter_decimal(value) for value in there), Fraction(0))
    if function == "sum":
        return check_digits(total, scale), EXACT
    if not there:
        return None, EXACT
    return check_digits(half_even(total / len(there), scale + 6), scale + 6), EXACT


def enter_decimal(value: Any) -> Fraction:
    """Return a number as it enters a sum: a float as the nearest decimal with 9 digits after the point."""
    return check_digits(half_even(Fraction(value), 9), 9) if isinstance(value, float) else Fraction(value)


def half_even(value: Fraction, scale: int) -> Fraction:
    return Fraction(round(value * 10**scale), 10**scale)


def check_digits(value: Fraction, scale: int) -> Fraction:
    if abs(value) * 10**scale >= 10**DIGITS:
        raise FailedError(f"more than {DIGITS} digits")
    return value


def scale_of(type_: str) -> int:
    if type_ in ("double", "float"):
        return 9
    return int(type_.rstrip(")").partition(",")[2]) if type_.startswith("decimal") else 0


def check_finite(value: Any) -> Any:
    """Return a value that is not infinite.

    Raises:
        FailedError: It is.
    """
    if isinstance(value, float) and math.isinf(value):
        raise FailedError("an infinite value")
    return value


def id_text(value: Any) -> str | None:
    """Return a key's value as exact text, plain digits for numbers, or None where it is missing."""
    if is_missing(value):
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)
