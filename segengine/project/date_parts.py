"""Parts of dates and times: the month, the weekday, ... as attributes of their own, compared as whole numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date

from segengine.project.attributes import Attribute
from segengine.project.types import EPOCH_DAY, WEEKDAYS, AttributeType, DatePart, Family, LiteralError, local_day
from segengine.project.values import Bound, Ranges, make_ranges, stored_ranges

INTEGER = AttributeType("integer")
DAY_OF_LEAP_YEAR = "day_of_leap_year"  # 1..366, the same for a day of any year; not for users: anniversaries need it
_MARGIN = 2 * 86_400_000_000  # clocks have been set back over midnight, even over a day
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


@dataclass(frozen=True)
class PartValues:
    """What a part can be: whole numbers from `first` to `last`, or their `names`."""

    first: int
    last: int
    names: tuple[str, ...] = ()

    @property
    def domain(self) -> Ranges:
        """The values as ranges."""
        return Ranges(((self.first, self.last + 1),))

    def __str__(self) -> str:
        """Return what is allowed, for people."""
        numbers = f"{self.first} to {self.last}"
        return f"{numbers}, or {self.names[0]} to {self.names[-1]}" if self.names else numbers


PARTS = {
    "month_of": PartValues(1, 12, MONTHS),
    "weekday_of": PartValues(1, 7, WEEKDAYS),
    "day_of_month": PartValues(1, 31),
    "hour_of": PartValues(0, 23),
    "year_of": PartValues(date.min.year, date.max.year),
    DAY_OF_LEAP_YEAR: PartValues(1, 366),
}


def part_of(attribute: Attribute, name: str, zone: str) -> Attribute:
    """Return a part of a date or time as an attribute.

    Args:
        attribute: The column.
        name: A key of `PARTS`.
        zone: The project's time zone.
    """
    return replace(attribute, type=INTEGER, part=DatePart(name, attribute.type, zone))


def read_part_value(text: str, name: str) -> str:
    """Return a literal of a part as a number: `december` is 12.

    Raises:
        LiteralError: It is no value that the part can have.
    """
    values = PARTS[name]
    if text.lower() in values.names:
        return str(values.first + values.names.index(text.lower()))
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not values.first <= int(text) <= values.last:
        raise LiteralError(f"expected {values}")
    return text


def column_ranges(attribute: Attribute, accepted: Ranges) -> Ranges:
    """Return ranges of the whole column that hold every value accepted of an attribute; of parts, years alone tell."""
    part = attribute.part
    if part is None:
        return accepted
    if part.name != "year_of":
        return Ranges(((None, None),))
    years = accepted.intersection(PARTS[part.name].domain).spans
    if part.of.family is Family.DATE:
        return make_ranges(tuple((_first_day(low), _first_day(high)) for low, high in years))
    spans = [
        (_first_instant(low, part.zone, -_MARGIN), _first_instant(high, part.zone, _MARGIN)) for low, high in years
    ]
    return stored_ranges(make_ranges(tuple(spans)), part.of, part.zone)


def _first_day(year: Bound) -> Bound:
    """Return the first day of a year, since 1970; None beyond the calendar."""
    return None if year is None or year > date.max.year else (date(int(year), 1, 1) - EPOCH_DAY).days


def _first_instant(year: Bound, zone: str, margin: int) -> Bound:
    return None if year is None or year > date.max.year else local_day(date(int(year), 1, 1), zone)[0] + margin
