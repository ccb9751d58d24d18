"""Sets of values: the algebra of ranges and wall clocks, against counting them one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segengine.project.types import EPOCH, instant_of
from segengine.project.values import (
    Constant,
    Ranges,
    TextTest,
    epoch_text,
    make_ranges,
    wall_clock_ranges,
)

BOUND = st.none() | st.integers(-6, 6)
RANGES = st.lists(st.tuples(BOUND, BOUND), max_size=5).map(lambda spans: make_ranges(tuple(spans)))
LINE = range(-8, 9)
MINUTE = 60_000_000
EVERYTHING = Ranges(((None, None),))


def contains(ranges: Ranges, value: float) -> bool:
    return any((low is None or low <= value) and (high is None or value < high) for low, high in ranges.spans)


def points(ranges: Ranges) -> set[int]:
    return {value for value in LINE if contains(ranges, value)}


@settings(deadline=None)
@given(st.lists(st.tuples(BOUND, BOUND), max_size=6))
def test_ranges_are_sorted_and_apart(spans: list[tuple[int | None, int | None]]) -> None:
    made = make_ranges(tuple(spans))
    assert points(made) == {
        value
        for value in LINE
        if any((low is None or low <= value) and (high is None or value < high) for low, high in spans)
    }
    for (_, high), (low, _) in zip(made.spans, made.spans[1:], strict=False):
        assert high is not None
        assert low is not None
        assert high < low
    assert all(low is None or high is None or low < high for low, high in made.spans)


@settings(deadline=None)
@given(RANGES, RANGES)
def test_the_algebra_of_ranges_is_that_of_sets(left: Ranges, right: Ranges) -> None:
    assert points(left.union(right)) == points(left) | points(right)
    assert points(left.intersection(right)) == points(left) & points(right)
    assert points(left.complement()) == set(LINE) - points(left)
    assert left.complement().complement() == left
    assert left.union(left.complement()) == EVERYTHING
    assert left.intersection(left.complement()).is_empty()
    assert left.union(right).complement() == left.complement().intersection(right.complement())


def test_ranges_take_exact_and_infinite_bounds() -> None:
    huge = 10**400
    assert make_ranges(((huge, huge + 1), (huge + 1, None))) == Ranges(((huge, None),))
    assert make_ranges(((0.1, 0.1), (2.0, 1.0))).is_empty()
    assert make_ranges(((None, None), (1, 2))) == EVERYTHING


CHANGES = [
    ("Europe/Berlin", "2024-03-31T01:00:00"),
    ("Europe/Berlin", "2024-10-27T01:00:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00:00"),
    ("Asia/Beirut", "2024-03-30T22:00:00"),
    ("Asia/Beirut", "2024-10-26T21:00:00"),
    ("Australia/Lord_Howe", "2024-04-06T15:00:00"),
    ("Australia/Lord_Howe", "2024-10-05T15:30:00"),
    ("America/St_Johns", "2006-10-29T02:31:00"),
    ("Pacific/Apia", "2011-12-30T10:00:00"),
    ("Africa/Monrovia", "1972-01-07T00:44:30"),
    ("Asia/Kathmandu", "1985-12-31T18:30:00"),
    ("UTC", "2024-01-01T00:00:00"),
]


def instant_of_wall(wall: int, zone: ZoneInfo) -> int:
    return instant_of((datetime(1970, 1, 1) + timedelta(microseconds=wall)).replace(tzinfo=zone, fold=0))


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_wall_clocks_around_a_change_of_the_clocks(zone: str, change: str) -> None:
    here = ZoneInfo(zone)
    middle = instant_of(datetime.fromisoformat(change).replace(tzinfo=UTC))
    local = middle + (EPOCH + timedelta(microseconds=middle)).astimezone(here).utcoffset() // timedelta(microseconds=1)
    walls = range(local - 26 * 60 * MINUTE, local + 26 * 60 * MINUTE, 10 * MINUTE)
    instants = {edge: instant_of_wall(edge, here) for wall in walls for edge in (wall, wall - 1)}
    bounds = [middle + minutes * MINUTE + extra for minutes in (-70, -60, -30, 0, 20, 30, 61, 120) for extra in (0, 1)]
    for low, high in [*zip(bounds, bounds[1:], strict=False), (None, middle), (middle, None), (bounds[0], bounds[-1])]:
        found = wall_clock_ranges(Ranges(((low, high),)), zone)
        for wall, instant in instants.items():
            assert contains(found, wall) == contains(Ranges(((low, high),)), instant), (low, high, wall - local)


def test_wall_clocks_of_everything_and_nothing() -> None:
    assert wall_clock_ranges(EVERYTHING, "Europe/Berlin") == EVERYTHING
    assert wall_clock_ranges(Ranges(()), "Europe/Berlin").is_empty()


@pytest.mark.parametrize("year", [1, 9999])
def test_wall_clocks_at_the_ends_of_the_calendar(year: int) -> None:
    edge = instant_of(datetime(year, 12 if year > 1 else 1, 31 if year > 1 else 1, tzinfo=UTC))
    found = wall_clock_ranges(Ranges(((edge, None),)), "Asia/Tokyo")
    assert len(found.spans) == 1
    assert found.spans[0][1] is None


@pytest.mark.parametrize(
    ("test", "accepted", "refused"),
    [
        (TextTest("equals", ("a", "b")), ["a", "b"], ["A", "ab", " a"]),
        (TextTest("equals", ("strasse",), True), ["STRASSE", "Straße"], ["STRASE"]),
        (TextTest("begins_with", ("san",)), ["san", "sand"], ["San", "a san"]),
        (TextTest("ends_with", ("😀",)), ["a😀"], ["😀a"]),
        (TextTest("contains", ("%",)), ["5%"], ["5"]),
        (TextTest("contains", ("i̇",), True), ["İSTANBUL"], ["ISTANBUL"]),
    ],
)
def test_text_tests_and_their_complements(test: TextTest, accepted: list[str], refused: list[str]) -> None:
    assert all(test.accepts(text) for text in accepted)
    assert not any(test.accepts(text) for text in refused)
    assert all(test.complement().accepts(text) for text in refused)
    assert test.complement().complement() == test
    assert TextTest("matches", ("a",)).accepts("a") is None
    assert Constant(True).complement() == Constant(False)


def test_instants_are_shown_in_utc() -> None:
    assert epoch_text(1_500_000) == "1970-01-01T00:00:01.500000Z"
