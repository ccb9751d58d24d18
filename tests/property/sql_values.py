"""Conditions on single values as DuckDB SQL: true, false, or NULL where the value is missing.

Every timestamp is an instant here (TIMESTAMP in UTC), every decimal a whole number and a scale, every missing value
NULL, so that SQL's three-valued logic says what `not` means. Days are compared as local days, not as instants.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Literal

import numpy as np

Kind = Literal["text", "boolean", "whole", "double", "float", "date", "instant"]
MODIFIERS = ("ignore_case", "or_missing", "rolling")
RELATIVE = ("within_last", "within_next", "to_date", "anniversary_within_next")
PARTS = {
    "month_of": "month",
    "weekday_of": "isodow",
    "day_of_month": "day",
    "hour_of": "hour",
    "year_of": "year",
}
NAMES = {
    "month_of": {name: str(place) for place, name in enumerate(calendar.month_name)},
    "weekday_of": {name: str(place) for place, name in enumerate(calendar.day_name, start=1)},
}
COMPARISONS = {
    **dict.fromkeys(("greater_than", "after"), ">"),
    **dict.fromkeys(("at_least", "on_or_after"), ">="),
    **dict.fromkeys(("less_than", "before"), "<"),
    **dict.fromkeys(("at_most", "on_or_before"), "<="),
    **dict.fromkeys(("equals", "any_of", "on_day"), "="),
}
TEXT_FUNCTIONS = {"begins_with": "starts_with", "ends_with": "ends_with", "contains": "contains"}
BEYOND = 16 * 10**37  # greater than every decimal, and still a HUGEINT
MACROS = (
    "CREATE MACRO wall(u, z) AS timezone(z, timezone('UTC', u))",
    "CREATE MACRO offset_at(u, z) AS wall(u, z) - u",
    # A wall clock that exists twice is the earlier one, one that does not exist goes by the offset before the gap.
    """CREATE MACRO instant_of(w, z) AS CASE
        WHEN wall(w - offset_at(w - INTERVAL 1 DAY, z), z) = w THEN w - offset_at(w - INTERVAL 1 DAY, z)
        WHEN wall(w - offset_at(w + INTERVAL 1 DAY, z), z) = w THEN w - offset_at(w + INTERVAL 1 DAY, z)
        ELSE w - offset_at(w - INTERVAL 1 DAY, z) END""",
    """CREATE MACRO half_even(n, c) AS n // c + CASE
        WHEN 2 * abs(n % c) > c OR (2 * abs(n % c) = c AND (n // c) % 2 <> 0) THEN sign(n)::HUGEINT ELSE 0 END""",
    f"""CREATE MACRO in_range(n) AS CASE
        WHEN abs(n) < {10**38}::HUGEINT THEN n WHEN n IS NOT NULL THEN error('Overflow') END""",
    """CREATE MACRO has_anniversary(d, first, last) AS CASE
        WHEN d + to_years(CAST(year(last) - year(d) AS INTEGER)) <= last
        THEN year(last) > year(d) AND d + to_years(CAST(year(last) - year(d) AS INTEGER)) >= first
        ELSE year(last) - 1 > year(d) AND d + to_years(CAST(year(last) - year(d) - 1 AS INTEGER)) >= first END""",
)


# Where a date has come again after its end, a day is no longer all instants of one local date.
REPEATED_DATES = ("America/St_Johns",)


class NotExpressibleError(Exception):
    """SQL cannot say it here; the text says why."""


@dataclass(frozen=True)
class Value:
    """An expression of SQL and what it holds; a whole number stands for itself divided by 10 ** scale."""

    sql: str
    kind: Kind
    scale: int = 0


def quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class ValueWriter:
    """Writes conditions for one time zone and one as_of."""

    def __init__(self, zone: str, as_of: datetime) -> None:
        self._zone = quote(zone)
        self._as_of = self._moment(as_of)
        self._today = f"CAST(wall({self._as_of}, {self._zone}) AS DATE)"

    @property
    def as_of(self) -> Value:
        """The instant all is judged at."""
        return Value(self._as_of, "instant")

    def part(self, value: Value, part: str) -> Value:
        """Return a part of a date, or of a time's wall clock."""
        return Value(f"CAST(extract({PARTS[part]} FROM {self._wall(value)}) AS HUGEINT)", "whole")

    def holds(self, value: Value, wanted: Any, ignore_case: bool = False) -> str:
        """Return the condition that a value is as wanted."""
        if not isinstance(wanted, dict):
            return self._bare(value, wanted, ignore_case)
        folds = ignore_case or wanted.get("ignore_case") == "true"
        parts = []
        for operator, operand in wanted.items():
            if operator == "not":
                parts.append(f"NOT ({self.holds(value, operand, folds)})")
            elif operator not in MODIFIERS:
                parts.append(self._operation(value, operator, operand, folds, wanted.get("rolling") == "true"))
        together = " AND ".join(f"({part})" for part in parts)
        return f"({together}) OR {value.sql} IS NULL" if wanted.get("or_missing") == "true" else together

    def _bare(self, value: Value, wanted: Any, ignore_case: bool) -> str:
        if value.kind == "boolean":
            return value.sql if wanted == "true" else f"NOT {value.sql}"
        operator = "on_day" if value.kind in ("date", "instant") else "any_of"
        return self._operation(value, operator, wanted, ignore_case, False)

    def _operation(self, value: Value, operator: str, operand: Any, ignore_case: bool, rolling: bool) -> str:
        if operator == "empty":
            return f"{value.sql} IS {'' if operand == 'true' else 'NOT '}NULL"
        if operator in PARTS:
            return self.holds(self.part(value, operator), _numbered(operand, NAMES.get(operator, {})))
        if operator in ("is_true", "is_false"):
            return value.sql if operator == "is_true" else f"NOT {value.sql}"
        if operator in RELATIVE:
            return self._relative(value, operator, operand, rolling)
        if operator == "between":
            low, high = operand
            return f"{self._compare(value, '>=', low)} AND {self._compare(value, '<=', high)}"
        literals = operand if isinstance(operand, list) else [operand]
        if value.kind == "text":
            return " OR ".join(_text_holds(value.sql, operator, literal, ignore_case) for literal in literals)
        return " OR ".join(self._compare(value, COMPARISONS[operator], literal) for literal in literals)

    # Numbers and times against a literal

    def _compare(self, value: Value, sign: str, literal: str) -> str:
        if value.kind == "whole":
            return _compare_whole(value.sql, sign, Fraction(literal) * 10**value.scale)
        if value.kind in ("double", "float"):
            return f"{value.sql} {sign} CAST('{_nearest_float(Fraction(literal), value.kind)!r}' AS DOUBLE)"
        if value.kind == "date" or len(literal) == 10:
            return f"{self.day(value)} {sign} DATE '{literal}'"
        moment = datetime.fromisoformat(literal)
        if moment.tzinfo is not None:
            return f"{value.sql} {sign} {self._moment(moment)}"
        return f"{value.sql} {sign} instant_of(TIMESTAMP '{moment.isoformat(' ')}', {self._zone})"

    @staticmethod
    def _moment(moment: datetime) -> str:
        return f"TIMESTAMP '{moment.astimezone(UTC).replace(tzinfo=None).isoformat(' ')}'"

    def _wall(self, value: Value) -> str:
        return value.sql if value.kind == "date" else f"wall({value.sql}, {self._zone})"

    def day(self, value: Value) -> str:
        """Return a date, or the local day of a time."""
        if value.kind == "date":
            return value.sql
        if self._zone.strip("'") in REPEATED_DATES:
            raise NotExpressibleError("a date that comes again")
        return f"CAST({self._wall(value)} AS DATE)"

    # Relative dates

    def _relative(self, value: Value, operator: str, operand: str, rolling: bool) -> str:
        if operator == "anniversary_within_next":
            last = f"CAST({self._today} + {_interval(operand)} AS DATE)"
            return f"has_anniversary({self.day(value)}, {self._today}, {last})"
        not_later = f"{value.sql} <= {self._today if value.kind == 'date' else self._as_of}"
        later = f"NOT {not_later}"
        if operator == "to_date":
            return f"{self.day(value)} >= date_trunc('{operand}', {self._today}) AND {not_later}"
        if rolling or operand.split()[1].startswith(("minute", "hour")):
            if operator == "within_last":
                return f"{value.sql} >= {self._rolled(operand, '-')} AND {not_later}"
            return f"{value.sql} <= {self._rolled(operand, '+')} AND {later}"
        if operator == "within_last":
            return f"{self.day(value)} >= CAST({self._today} - {_interval(operand)} AS DATE) AND {not_later}"
        return f"{self.day(value)} <= CAST({self._today} + {_interval(operand)} AS DATE) AND {later}"

    def _rolled(self, operand: str, sign: str) -> str:
        count, unit = operand.split()
        if unit.startswith(("month", "year")):
            return f"instant_of(wall({self._as_of}, {self._zone}) {sign} {_interval(operand)}, {self._zone})"
        minutes = {"m": 1, "h": 60, "d": 1440, "w": 10_080}[unit[0]]
        return f"{self._as_of} {sign} INTERVAL {int(count) * minutes} MINUTE"


def _interval(text: str) -> str:
    count, unit = text.split()
    return f"INTERVAL {count} {unit.removesuffix('s').upper()}"


def _numbered(wanted: Any, names: Mapping[str, str]) -> Any:
    """Return what is wanted of a part with numbers in place of names."""
    if isinstance(wanted, dict):
        return {key: _numbered(value, names) for key, value in wanted.items()}
    if isinstance(wanted, list):
        return [_numbered(value, names) for value in wanted]
    return names.get(wanted.capitalize(), wanted)


def _text_holds(sql: str, operator: str, literal: str, ignore_case: bool) -> str:
    if operator == "matches":
        return f"regexp_matches({sql}, {quote(literal)}, '{'i' if ignore_case else 'c'}')"
    left, right = sql, quote(literal)
    if ignore_case:
        left, right = f"casefold({left})", f"casefold({right})"
    return f"{TEXT_FUNCTIONS[operator]}({left}, {right})" if operator in TEXT_FUNCTIONS else f"{left} = {right}"


def _compare_whole(sql: str, sign: str, bound: Fraction) -> str:
    """Return the comparison of a whole number with a fraction, by whole numbers alone."""
    if sign == "=":
        return f"{sql} = {_whole(int(bound))}" if bound.denominator == 1 else f"{sql} <> {sql}"
    rounded = math.floor(bound) if sign in (">", "<=") else math.ceil(bound)
    return f"{sql} {sign} {_whole(rounded)}"


def _whole(number: int) -> str:
    return f"CAST('{max(-BEYOND, min(BEYOND, number))}' AS HUGEINT)"


def _nearest_float(exact: Fraction, kind: str) -> float:
    """Return the float nearest to a fraction: for 32 bits by bisection between the two around it."""
    wide = float(exact)
    if kind == "double":
        return wide
    near = np.float32(wide)
    candidates = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    finite = [value for value in candidates if np.isfinite(value)]
    return float(min(finite, key=lambda value: (abs(Fraction(float(value)) - exact), int(value.view(np.uint32)) % 2)))
