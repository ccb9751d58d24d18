"""The types of attributes, and how text becomes a value of each.

A literal becomes a *span* of ordinals, half-open: the values of the attribute that equal it. Integers,
decimals (unscaled), dates (days since 1970) and timestamps (microseconds since 1970, UTC) have whole ordinals;
a float's ordinal is the float. The span of a day over a timestamp is that local day, the span of 1.005 over a
decimal with two digits is empty and sits between 1.00 and 1.01: so `after`, `at_most` and `between` need no
special case for either.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)

Ordinal = int | float
Span = tuple[Ordinal, Ordinal]


class Family(StrEnum):
    """Types that share their operators."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    UNSUPPORTED = "unsupported"


_NAMED_TYPES = {
    "text": Family.TEXT,
    "integer": Family.NUMBER,
    "float": Family.NUMBER,
    "double": Family.NUMBER,
    "boolean": Family.BOOLEAN,
    "date": Family.DATE,
    "timestamp": Family.TIMESTAMP,
    "timestamp_ntz": Family.TIMESTAMP,
}
_ALIASES = {
    "string": "text",
    "varchar": "text",
    "char": "text",
    "tinyint": "integer",
    "smallint": "integer",
    "byte": "integer",
    "short": "integer",
    "int": "integer",
    "bigint": "integer",
    "long": "integer",
    "bool": "boolean",
}
_DECIMAL = re.compile(r"decimal\s*\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


@dataclass(frozen=True)
class AttributeType:
    """The type of an attribute: a name (`text`, `integer`, `decimal`, ...) and what belongs to it.

    `zone` is the zone of a wall-clock timestamp (`timestamp_ntz`): the column's own, else the project's.
    """

    name: str
    precision: int = 0
    scale: int = 0
    zone: str = ""

    @property
    def family(self) -> Family:
        """The family whose operators apply."""
        return Family.NUMBER if self.name == "decimal" else _NAMED_TYPES.get(self.name, Family.UNSUPPORTED)

    def __str__(self) -> str:
        """Return the type as users write it."""
        return f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name


def parse_type(text: str) -> AttributeType | None:
    """Return the type a user or a schema names (`decimal(12,2)`, `text`, `bigint`), or None."""
    name = text.strip().lower()
    if matched := _DECIMAL.fullmatch(name):
        precision, scale = int(matched[1]), int(matched[2])
        return AttributeType("decimal", precision, scale) if scale <= precision <= 38 and precision else None
    name = _ALIASES.get(name, name)
    return AttributeType(name) if name in _NAMED_TYPES else None


@dataclass(frozen=True)
class DatePart:
    """A whole number taken from a date or time: `name` is the operator's (`month_of`), `of` the column's type.

    Times are read in `zone`, the project's, wherever the column's own clock stands.
    """

    name: str
    of: AttributeType
    zone: str


class LiteralError(ValueError):
    """A literal does not fit its attribute; the text says what was expected."""


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)\s*(Z|z|[+-]\d{2}:?\d{2})?", re.ASCII
)
_MAX_NUMBER = Decimal(10) ** 38  # what a decimal can hold; whole numbers beyond it have no use in a condition
# Time zones repeat every 400 years: days at the ends of the calendar are worked out in a year with room around it.
_CYCLE_YEARS = 400
CYCLE_MICROSECONDS = 146_097 * 86_400_000_000


def parse_span(text: str, type_: AttributeType, zone: str) -> Span:
    """Return the half-open span of ordinals that equal a literal.

    Args:
        text: The literal as written.
        type_: Type of the attribute it is compared with (a number, date or timestamp).
        zone: The project's time zone, for days and local times.

    Raises:
        LiteralError: The text is not a value of that type.
    """
    if type_.family is Family.NUMBER:
        return _number_span(text, type_)
    if type_.family is Family.DATE:
        days = (parse_date(text) - EPOCH_DAY).days
        return days, days + 1
    return _timestamp_span(text, zone)


def _number_span(text: str, type_: AttributeType) -> Span:
    if not _NUMBER.fullmatch(text):
        hint = " (write it without separators or units)" if re.search(r"\d", text) else ""
        raise LiteralError(f"expected a number{hint}")
    number = Decimal(text)
    if type_.name in ("float", "double"):
        nearest = nearest_float(number, single=type_.name == "float")
        if math.isinf(nearest):
            raise LiteralError("expected a number that a float can hold")
        return nearest + 0.0, math.nextafter(nearest, math.inf)  # + 0.0: there is one zero
    if number.copy_abs() >= _MAX_NUMBER:  # abs() would round to the context
        raise LiteralError("expected a number of at most 38 digits")
    scaled = Fraction(number) * 10**type_.scale
    lower = math.ceil(scaled)
    return lower, lower + 1 if scaled == lower else lower


def nearest_float(number: Decimal, *, single: bool) -> float:
    """Return the nearest float (`single`: of 32 bits) to a decimal, ties to even; infinite if out of range."""
    wide = float(number)
    if not single or math.isinf(wide):
        return wide
    narrow: float = struct.unpack("=f", _single_bytes(wide))[0]
    if math.isinf(narrow):
        return narrow
    if wide == narrow:
        return narrow
    # Rounding twice can be off by one step: compare the neighbours (of the same sign) exactly.
    bits = struct.unpack("=i", struct.pack("=f", abs(narrow)))[0]
    neighbours: list[float] = [struct.unpack("=f", struct.pack("=i", max(0, bits + step)))[0] for step in (-1, 0, 1)]
    exact = abs(Fraction(number))
    finite = [value for value in neighbours if math.isfinite(value)]
    nearest = min(finite, key=lambda value: (abs(Fraction(value) - exact), value != abs(narrow)))
    return math.copysign(nearest, wide)


def _single_bytes(wide: float) -> bytes:
    try:
        return struct.pack("=f", wide)
    except OverflowError:
        return struct.pack("=f", math.copysign(math.inf, wide))


def parse_date(text: str) -> date:
    """Return the day of an ISO date.

    Raises:
        LiteralError: The text is no date, or a day that does not exist.
    """
    if not _DATE.fullmatch(text):
        raise LiteralError("expected a date (YYYY-MM-DD)")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise LiteralError(f"expected a day that exists ({error})") from None


def _timestamp_span(text: str, zone: str) -> Span:
    if _DATE.fullmatch(text):
        return local_day(parse_date(text), zone)
    instant = parse_instant(text, zone)
    return instant, instant + 1


def parse_instant(text: str, zone: str) -> int:
    """Return the instant of a timestamp literal, in microseconds since 1970 UTC.

    Without an offset the text is wall clock in `zone`: a time that does not exist moves forward by the gap, one
    that exists twice is the earlier.

    Raises:
        LiteralError: The text is no timestamp.
    """
    matched = _TIMESTAMP.fullmatch(text)
    if not matched:
        raise LiteralError("expected a timestamp (YYYY-MM-DDTHH:MM:SS, with Z or an offset if not local) or a date")
    try:
        moment = datetime.fromisoformat(f"{matched[1]}T{matched[2]}{(matched[5] or '').upper()}")
    except ValueError as error:
        raise LiteralError(f"expected a time that exists ({error})") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return instant_of(moment)


def instant_of(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970 UTC."""
    try:
        return (moment - EPOCH) // _MICROSECOND
    except OverflowError:
        return (moment.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


def local_day(day: date, zone: str) -> tuple[int, int]:
    """Return the instants a local day spans, half-open, in microseconds since 1970 UTC."""
    cycles = {date.min.year: 1, date.max.year: -1}.get(day.year, 0)
    near = day.replace(year=day.year + cycles * _CYCLE_YEARS)
    back = cycles * CYCLE_MICROSECONDS
    return local_midnight(near, zone) - back, local_midnight(near + timedelta(days=1), zone) - back


@lru_cache(maxsize=4_096)
def local_midnight(day: date, zone: str) -> int:
    """Return the first instant of a local day, in microseconds since 1970 UTC."""
    here = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=here)
    instant = instant_of(midnight)
    # Where midnight falls into a gap, the day starts at the gap's end, not the gap's length after midnight.
    back = (EPOCH + instant * _MICROSECOND).astimezone(here)
    if back.replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    low, high = instant - 86_400_000_000, instant
    while low < high:  # the first instant whose local date is this day
        middle = (low + high) // 2
        if (EPOCH + middle * _MICROSECOND).astimezone(here).date() >= day:
            high = middle
        else:
            low = middle + 1
    return low


def is_time_zone(name: str) -> bool:
    """Return whether a name is a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
