"""Times relative to as_of: what they accept by hand, and against plain Python in zones with odd clocks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from judging import judge
from local_times import MICROSECOND, ZONES, day_of, instant_of_wall, random_moment, shift, start_of_day

from segengine.project.attributes import Attribute
from segengine.project.model import All, AnyOf, Condition, Everyone, Expression, Not
from segengine.project.operators import BY_NAME, build_test
from segengine.project.relative import anchor_expression, read_relative
from segengine.project.types import AttributeType, LiteralError, instant_of
from segengine.project.values import Ranges, Relative

ARROW = {"date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"), "timestamp_ntz": pa.timestamp("us")}


def relative(operator: str, literal: str, type_: AttributeType, rolling: bool = False) -> Condition:
    test = build_test(BY_NAME[operator], [literal], type_, "UTC", False, rolling)
    assert isinstance(test, Relative)
    return Condition(Attribute("rows", (), "at", type_), test)


def accepted(expression: Expression, as_of: datetime, zone: str, values: list[Any], type_: str) -> list[bool]:
    return judge(anchor_expression(expression, instant_of(as_of), zone), pa.array(values, ARROW[type_]))


# operator, literal, rolling, zone, as_of, first and last instant accepted
BERLIN, SAO_PAULO, APIA = "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"
SPANS = [
    ("within_last", "20 days", False, "UTC", "2024-05-31T10:30Z", "2024-05-11T00:00Z", "2024-05-31T10:30Z"),
    ("within_last", "0 days", False, "UTC", "2024-05-31T10:30Z", "2024-05-31T00:00Z", "2024-05-31T10:30Z"),
    ("within_last", "2 weeks", False, "UTC", "2024-05-31T10:30Z", "2024-05-17T00:00Z", "2024-05-31T10:30Z"),
    ("within_last", "1 month", False, "UTC", "2024-03-31T10:30Z", "2024-02-29T00:00Z", "2024-03-31T10:30Z"),
    ("within_last", "1 year", False, "UTC", "2024-02-29T10:30Z", "2023-02-28T00:00Z", "2024-02-29T10:30Z"),
    ("within_last", "1 day", True, "UTC", "2024-05-31T10:30Z", "2024-05-30T10:30Z", "2024-05-31T10:30Z"),
    ("within_last", "1 month", True, "UTC", "2024-03-31T10:30Z", "2024-02-29T10:30Z", "2024-03-31T10:30Z"),
    ("within_last", "90 minutes", False, "UTC", "2024-05-31T10:30Z", "2024-05-31T09:00Z", "2024-05-31T10:30Z"),
    ("within_next", "0 days", False, "UTC", "2024-05-31T10:30Z", "2024-05-31T10:30:00.000001Z", "2024-06-01"),
    ("within_next", "2 weeks", False, "UTC", "2024-05-31T10:30Z", "2024-05-31T10:30:00.000001Z", "2024-06-15"),
    ("within_next", "1 month", False, "UTC", "2024-01-31T10:30Z", "2024-01-31T10:30:00.000001Z", "2024-03-01"),
    ("within_next", "3 hours", True, "UTC", "2024-05-31T23:00Z", "2024-05-31T23:00:00.000001Z", "2024-06-01T02:00Z"),
    ("within_next", "1 year", True, "UTC", "2024-02-29T10:00Z", "2024-02-29T10:00:00.000001Z", "2025-02-28T10:00Z"),
    ("to_date", "week", False, "UTC", "2024-05-31T10:30Z", "2024-05-27T00:00Z", "2024-05-31T10:30Z"),
    ("to_date", "week", False, "UTC", "2024-05-27T00:00Z", "2024-05-27T00:00Z", "2024-05-27T00:00Z"),
    ("to_date", "month", False, "UTC", "2024-05-31T10:30Z", "2024-05-01T00:00Z", "2024-05-31T10:30Z"),
    ("to_date", "quarter", False, "UTC", "2024-05-31T10:30Z", "2024-04-01T00:00Z", "2024-05-31T10:30Z"),
    ("to_date", "quarter", False, "UTC", "2024-12-31T10:30Z", "2024-10-01T00:00Z", "2024-12-31T10:30Z"),
    ("to_date", "year", False, "UTC", "2024-05-31T10:30Z", "2024-01-01T00:00Z", "2024-05-31T10:30Z"),
    # The local day decides: in Berlin it is already the first of June.
    ("to_date", "month", False, BERLIN, "2024-05-31T22:30Z", "2024-05-31T22:00Z", "2024-05-31T22:30Z"),
    # A day of 23 hours: one calendar day back is more than 24 hours rolling.
    ("within_last", "1 day", False, BERLIN, "2024-04-01T10:00Z", "2024-03-30T23:00Z", "2024-04-01T10:00Z"),
    ("within_last", "1 day", True, BERLIN, "2024-04-01T10:00Z", "2024-03-31T10:00Z", "2024-04-01T10:00Z"),
    # The same local time a month before does not exist: it moves forward by the gap.
    ("within_last", "1 month", True, BERLIN, "2024-04-30T00:30Z", "2024-03-30T01:30Z", "2024-04-30T00:30Z"),
    ("within_last", "1 month", True, BERLIN, "2026-04-29T00:30Z", "2026-03-29T01:30Z", "2026-04-29T00:30Z"),
    # A day that begins at one o'clock, and one that clocks skip.
    ("within_last", "0 days", False, SAO_PAULO, "2018-11-04T15:00Z", "2018-11-04T03:00Z", "2018-11-04T15:00Z"),
    ("within_last", "1 day", False, APIA, "2011-12-31T00:00Z", "2011-12-30T10:00Z", "2011-12-31T00:00Z"),
]


@pytest.mark.parametrize(("operator", "literal", "rolling", "zone", "as_of", "first", "last"), SPANS)
def test_windows_by_hand(
    operator: str, literal: str, rolling: bool, zone: str, as_of: str, first: str, last: str
) -> None:
    """`last` without a time: up to, and without, the local day."""
    moment = datetime.fromisoformat(as_of)
    low = datetime.fromisoformat(first)
    high = datetime.fromisoformat(last)
    if high.tzinfo is None:
        high = start_of_day(high.date(), zone) - MICROSECOND
    condition = relative(operator, literal, AttributeType("timestamp"), rolling)
    values = [low - MICROSECOND, low, high, high + MICROSECOND, None]
    assert accepted(condition, moment, zone, values, "timestamp") == [False, True, True, False, False]
    assert accepted(condition.negated(), moment, zone, values, "timestamp") == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("operator", "literal", "as_of", "first", "last"),
    [
        ("within_last", "20 days", "2024-05-31T10:30:00Z", "2024-05-11", "2024-05-31"),
        ("within_last", "0 days", "2024-05-31T10:30:00Z", "2024-05-31", "2024-05-31"),
        ("within_last", "1 month", "2024-03-31T10:30:00Z", "2024-02-29", "2024-03-31"),
        ("within_next", "1 day", "2024-05-31T10:30:00Z", "2024-06-01", "2024-06-01"),
        ("within_next", "1 month", "2024-01-31T10:30:00Z", "2024-02-01", "2024-02-29"),
        ("to_date", "week", "2024-05-31T10:30:00Z", "2024-05-27", "2024-05-31"),
        ("to_date", "year", "2024-05-31T10:30:00Z", "2024-01-01", "2024-05-31"),
        ("to_date", "month", "2024-05-31T22:30:00Z", "2024-06-01", "2024-06-01"),
    ],
)
def test_windows_of_dates_by_hand(operator: str, literal: str, as_of: str, first: str, last: str) -> None:
    condition = relative(operator, literal, AttributeType("date"))
    low, high, day = date.fromisoformat(first), date.fromisoformat(last), timedelta(days=1)
    values = [low - day, low, high, high + day, None]
    moment = datetime.fromisoformat(as_of)
    assert accepted(condition, moment, "Europe/Berlin", values, "date") == [False, True, True, False, False]
    assert accepted(condition.negated(), moment, "Europe/Berlin", values, "date") == [True, False, False, True, False]


@dataclass(frozen=True)
class Window:
    """A window as users write it, judged in plain Python from SPEC's words."""

    operator: str
    literal: str
    rolling: bool

    @property
    def count(self) -> int:
        return 0 if self.operator == "to_date" else int(self.literal.split()[0])

    @property
    def unit(self) -> str:
        return self.literal.split()[-1].rstrip("s")

    def days(self, today: date) -> tuple[date, date]:
        """Return the first and the last day."""
        if self.operator == "to_date":
            starts = {"week": today - timedelta(days=today.weekday()), "month": today.replace(day=1)}
            starts |= {"quarter": date(today.year, (today.month - 1) // 3 * 3 + 1, 1), "year": date(today.year, 1, 1)}
            return starts[self.unit], today
        if self.operator == "within_last":
            return shift(today, -self.count, self.unit), today
        return today, shift(today, self.count, self.unit)

    def far_end(self, as_of: datetime, zone: str) -> datetime:
        """Return the instant that a rolling window reaches."""
        count = -self.count if self.operator == "within_last" else self.count
        minutes = {"minute": 1, "hour": 60, "day": 1_440, "week": 10_080}.get(self.unit)
        if minutes:
            return as_of + count * timedelta(minutes=minutes)
        local = as_of.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        return instant_of_wall(datetime.combine(shift(local.date(), count, self.unit), local.time()), zone)

    def holds(self, value: Any, type_: AttributeType, as_of: datetime, zone: str) -> bool:
        today = day_of(as_of, zone)
        if type_.name == "date":
            first, last = self.days(today)
            return bool(first <= value <= last and not (self.operator == "within_next" and value == today))
        instant = value if type_.name == "timestamp" else instant_of_wall(value, type_.zone or zone)
        if self.rolling or self.unit in ("minute", "hour"):
            begin = end = self.far_end(as_of, zone)
        else:
            first, last = self.days(today)
            begin, end = start_of_day(first, zone), start_of_day(last + timedelta(days=1), zone) - MICROSECOND
        return bool(as_of < instant <= end if self.operator == "within_next" else begin <= instant <= as_of)


def draw_window(choose: random.Random, is_date: bool) -> Window:
    operator = choose.choice(["within_last", "within_next", "to_date"])
    if operator == "to_date":
        return Window(operator, choose.choice(["week", "month", "quarter", "year"]), False)
    unit = choose.choice(["day", "week", "month", "year"] + ([] if is_date else ["minute", "hour"]))
    rolling = not is_date and choose.random() < 0.4
    least = 1 if rolling or unit in ("minute", "hour") else 0
    return Window(operator, f"{choose.choice([least, 1, 2, 3, 13, 40])} {unit}s", rolling)


def values_around(choose: random.Random, as_of: datetime, zone: str) -> list[datetime]:
    """Return instants around as_of, and around the starts of days near and far."""
    spread = [timedelta(minutes=90), timedelta(days=3), timedelta(days=400)]
    found = [as_of + choose.uniform(-1, 1) * choose.choice(spread) for _ in range(20)]
    for _ in range(6):
        day = day_of(as_of, zone) + timedelta(days=choose.choice([0, 1, -1, *range(-45, 45), 365, -365, 366]))
        found += [start_of_day(day, zone), start_of_day(day, zone) - MICROSECOND]
    return [*found, as_of, as_of - MICROSECOND, as_of + MICROSECOND]


@pytest.mark.parametrize("zone", ZONES)
def test_windows_are_those_of_plain_python(zone: str) -> None:
    choose = random.Random(zone)
    for _ in range(40):
        type_ = AttributeType(choose.choice(["date", "timestamp", "timestamp_ntz"]))
        if type_.name == "timestamp_ntz" and choose.random() < 0.7:
            type_ = AttributeType("timestamp_ntz", zone=choose.choice(ZONES))
        window = draw_window(choose, type_.name == "date")
        as_of = random_moment(choose, zone)
        values: list[Any] = list(values_around(choose, as_of, zone))
        if type_.name == "date":
            values = [day_of(value, zone) for value in values]
        elif type_.name == "timestamp_ntz":
            own = ZoneInfo(type_.zone or zone)
            values = [value.astimezone(own).replace(tzinfo=None) for value in values]
            values += [value + timedelta(minutes=30) for value in values]
        condition = relative(window.operator, window.literal, type_, window.rolling)
        wanted = [window.holds(value, type_, as_of, zone) for value in values]
        assert accepted(condition, as_of, zone, values, type_.name) == wanted, (window, type_, as_of)
        opposite = accepted(condition.negated(), as_of, zone, values, type_.name)
        assert opposite == [not holds for holds in wanted]


def has_anniversary(day: date, first: date, last: date) -> bool:
    """Return whether a later year's day of the month, or its last, lies between two days."""
    years = [year for year in range(first.year, last.year + 1) if year > day.year]
    return any(first <= shift(day, 12 * (year - day.year), "month") <= last for year in years)


TODAYS = ("2024-02-28", "2024-02-29", "2023-02-28", "2023-03-01", "2024-12-31", "2025-01-01", "2024-12-20")
MONTH_DAYS = ((1, 1), (1, 30), (1, 31), (2, 27), (2, 28), (3, 1), (3, 2), (12, 19), (12, 20), (12, 31))


@pytest.mark.parametrize(
    "literal", ["0 days", "1 day", "30 days", "2 weeks", "1 month", "13 months", "1 year", "3 years"]
)
@pytest.mark.parametrize("today", TODAYS)
def test_anniversaries_of_dates(literal: str, today: str) -> None:
    first = date.fromisoformat(today)
    last = shift(first, int(literal.split()[0]), literal.split()[1].rstrip("s"))
    years = (1900, 1996, 1999, first.year - 1, first.year, first.year + 1)
    days = [date(year, month, day) for year in years for month, day in MONTH_DAYS]
    days += [date(2000, 2, 29), date(2024, 2, 29), first, last, last + timedelta(days=1), date.max, date.min]
    condition = relative("anniversary_within_next", literal, AttributeType("date"))
    as_of = datetime.combine(first, time(23), UTC)
    wanted = [has_anniversary(day, first, last) for day in days]
    opposite = [*(not holds for holds in wanted), False]
    assert accepted(condition, as_of, "UTC", [*days, None], "date") == [*wanted, False]
    assert accepted(condition.negated(), as_of, "UTC", [*days, None], "date") == opposite
    assert accepted(Not(condition), as_of, "UTC", [*days, None], "date") == opposite


def test_anniversaries_of_times_are_those_of_their_local_day() -> None:
    condition = relative("anniversary_within_next", "0 days", AttributeType("timestamp"))
    as_of = datetime(2024, 5, 31, 12, tzinfo=UTC)
    values = [datetime(2020, 5, 30, 22, tzinfo=UTC), datetime(2020, 5, 31, 21, 59, tzinfo=UTC)]
    values += [values[0] - MICROSECOND, values[1] + timedelta(minutes=1)]
    assert accepted(condition, as_of, "Europe/Berlin", values, "timestamp") == [True, True, False, False]


def test_anniversaries_need_few_spans() -> None:
    anchored = anchor_expression(relative("anniversary_within_next", "900 years", AttributeType("date")), 0, "UTC")
    assert isinstance(anchored, AnyOf)
    assert len(anchored.items) == 3


def test_everything_else_stays_as_it_is() -> None:
    plain = Condition(Attribute("rows", (), "visits", AttributeType("integer")), Ranges(((1, None),)))
    window = relative("within_last", "1 day", AttributeType("timestamp"))
    anchored = anchor_expression(All((plain, AnyOf((window, Not(window))), Everyone())), 0, "UTC")
    assert isinstance(anchored, All)
    kept, either, everyone = anchored.items
    assert (kept, everyone) == (plain, Everyone())
    assert isinstance(either, AnyOf)
    day = 86_400_000_000
    assert either.items[0] == Condition(window.attribute, Ranges(((-day, 1),)))
    assert either.items[1] == Not(either.items[0])


@pytest.mark.parametrize(
    ("operator", "literal", "rolling", "same"),
    [
        ("within_last", "2 weeks", False, Relative("within_last", 14, "day")),
        ("within_last", "1 year", False, Relative("within_last", 12, "month")),
        ("within_last", "2 hours", False, Relative("within_last", 120, "minute", True)),
        ("within_last", "1 day", True, Relative("within_last", 1_440, "minute", True)),
        ("within_next", "1 week", True, Relative("within_next", 10_080, "minute", True)),
        ("within_next", "1 MONTH", True, Relative("within_next", 1, "month", True)),
        ("to_date", "quarter", False, Relative("to_date", 0, "quarter")),
    ],
)
def test_what_means_the_same_is_kept_the_same(operator: Any, literal: str, rolling: bool, same: Relative) -> None:
    found = read_relative(operator, literal, AttributeType("timestamp"), rolling)
    assert found == same
    assert found.complement() != found
    assert found.complement().complement() == found


@pytest.mark.parametrize("text", ["", "days", "1", "1 quarter", "١ day", "1e3 days", "999999999999 minutes", "1 dayss"])
def test_what_is_no_span_of_time(text: str) -> None:
    with pytest.raises(LiteralError, match="expected"):
        read_relative("within_last", text, AttributeType("timestamp"), False)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue", "UTC"])
@pytest.mark.parametrize("as_of", [datetime(1, 1, 1, 5, tzinfo=UTC), datetime(9999, 12, 31, 20, tzinfo=UTC)])
@pytest.mark.parametrize("literal", ["1 day", "1 month", "1000 years"])
def test_windows_at_the_ends_of_the_calendar(zone: str, as_of: datetime, literal: str) -> None:
    edge = instant_of(as_of)
    for rolling in (False, True):
        last = relative("within_last", literal, AttributeType("timestamp"), rolling)
        following = relative("within_next", literal, AttributeType("timestamp"), rolling)
        values = pa.array([edge - 1, edge, edge + 1, edge + 1_000], pa.int64()).cast(pa.timestamp("us", "UTC"))
        assert judge(anchor_expression(last, edge, zone), values) == [True, True, False, False]
        assert judge(anchor_expression(following, edge, zone), values) == [False, False, True, True]
    for operator, period in (("to_date", "week"), ("anniversary_within_next", literal)):
        anchor_expression(relative(operator, period, AttributeType("timestamp")), edge, zone)
        anchor_expression(relative(operator, period, AttributeType("date")), edge, zone)
