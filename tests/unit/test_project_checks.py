"""What is certain of conditions together: that they cannot hold, always do, or one includes another."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from judging import judge

from segengine.project.checks import can_hold, includes
from segengine.project.conditions import ExpressionReader
from segengine.project.logic import push_not_inward
from segengine.project.model import Condition
from segengine.project.nodes import parse_documents
from segengine.project.problems import Problems
from segengine.project.relative import anchor_expression
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from segengine.project.types import instant_of

GOOD = Path(__file__).parents[1] / "golden" / "definitions" / "good"
ZONE = "Europe/Berlin"


SETTINGS = load_settings(GOOD)
SCHEMA = load_schema(SETTINGS, Problems())


def read(wanted: dict[str, Any]) -> Condition:
    problems = Problems()
    (node,), _ = parse_documents(json.dumps(wanted), "a.yml")
    found = ExpressionReader(SETTINGS, SCHEMA, "customers", problems).read(node, lambda *_: None)
    assert found is not None, problems.issues
    condition = push_not_inward(found)
    assert isinstance(condition, Condition)
    return condition


def at(operators: dict[str, Any]) -> Condition:
    return read({"joined_at": operators})


def born(operators: dict[str, Any]) -> Condition:
    return read({"born": operators})


@pytest.mark.parametrize(
    "conditions",
    [
        [at({"within_last": "3 days"}), at({"within_next": "3 days"})],
        [at({"within_last": "3 days"}), at({"not": {"within_last": "4 days"}})],
        [at({"to_date": "week"}), at({"not": {"within_last": "6 days"}})],
        [at({"to_date": "quarter"}), at({"not": {"within_last": "92 days"}})],
        [at({"within_last": "1 month"}), at({"not": {"within_last": "31 days"}})],
        [at({"within_last": "3 days"}), at({"empty": "true"})],
        [at({"month_of": "3"}), at({"month_of": "4"})],
        [at({"month_of": "3"}), at({"empty": "true"})],
        [at({"month_of": {"empty": "true"}}), at({"hour_of": "3"})],
        [at({"year_of": "2020"}), at({"after": "2021-02-01"})],
        [born({"year_of": {"at_most": "2020"}}), born({"after": "2020-12-31"})],
        [born({"within_next": "0 weeks"})],
        [born({"anniversary_within_next": "1 week"}), born({"not": {"anniversary_within_next": "7 days"}})],
        [born({"anniversary_within_next": "1 year"}), born({"empty": "true"})],
    ],
)
def test_what_can_never_hold(conditions: list[Condition]) -> None:
    assert not can_hold(conditions, ZONE)
    assert not can_hold(conditions[::-1], ZONE)
    assert all(can_hold([condition], ZONE) for condition in conditions) or len(conditions) == 1


@pytest.mark.parametrize(
    "conditions",
    [
        [at({"within_last": "29 days"}), at({"not": {"within_last": "1 month"}})],  # in March
        [at({"within_last": "366 days"}), at({"not": {"within_last": "1 year"}})],
        [at({"to_date": "week"}), at({"not": {"within_last": "5 days"}})],  # on Sundays
        [at({"to_date": "year"}), at({"not": {"to_date": "month"}})],
        [at({"within_last": "3 days"}), at({"before": "2001-01-01"})],  # as of a day then
        [at({"within_last": "3 days"}), at({"month_of": "may"}), at({"year_of": "1999"})],
        [at({"within_last": "3 days"}), at({"not": {"within_last": "3 days"}, "rolling": "true"})],
        [at({"month_of": "2"}), at({"day_of_month": "31"})],  # not certain by column and part alone
        [at({"empty": "true"}), at({"month_of": {"empty": "true"}})],
        [at({"year_of": "2020"}), at({"before": "2020-01-01"})],  # clocks may be set back over midnight
        [born({"anniversary_within_next": "1 month"}), born({"not": {"anniversary_within_next": "30 days"}})],
        [born({"anniversary_within_next": "3 days"}), born({"within_last": "1 year"})],
    ],
)
def test_what_can_hold_some_day(conditions: list[Condition]) -> None:
    assert can_hold(conditions, ZONE)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (at({"within_last": "3 days"}), at({"within_last": "4 days"})),
        (at({"within_last": "3 days"}), at({"not": {"within_next": "3 days"}})),
        (at({"within_last": "3 days"}), at({"empty": "false"})),
        (at({"to_date": "month"}), at({"to_date": "year"})),
        (at({"to_date": "month"}), at({"within_last": "30 days"})),
        (at({"month_of": ["3", "5"]}), at({"month_of": {"at_least": "march"}})),
        (at({"month_of": "3"}), at({"empty": "false"})),
        (at({"hour_of": "3"}), at({"hour_of": {"at_most": "23"}})),
        (at({"empty": "true"}), at({"empty": "true"})),
        (born({"anniversary_within_next": "1 week"}), born({"anniversary_within_next": "8 days"})),
        (read({"state": "Texas"}), read({"state": {"equals": "TEXAS", "ignore_case": "true"}})),
        (read({"state": ["Texas", "Tennessee"]}), read({"state": {"begins_with": "Te"}})),
    ],
)
def test_what_includes_what(narrow: Condition, wide: Condition) -> None:
    assert includes(wide, narrow, ZONE)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (at({"within_last": "4 days"}), at({"within_last": "3 days"})),
        (at({"within_last": "31 days"}), at({"within_last": "1 month"})),
        (at({"to_date": "month"}), at({"within_last": "29 days"})),
        (at({"within_last": "3 days"}), at({"after": "1900-01-01"})),
        (at({"month_of": "3"}), at({"hour_of": {"at_least": "0"}})),
        (at({"empty": "true"}), at({"within_last": "3 days"})),
        (born({"anniversary_within_next": "1 week"}), born({"within_last": "1 week"})),
        (read({"state": {"begins_with": "Te"}}), read({"state": {"begins_with": "T"}})),  # true, but not looked into
        (read({"name": {"matches": "a"}}), read({"name": {"contains": "a"}})),
    ],
)
def test_what_is_not_known_to_include(narrow: Condition, wide: Condition) -> None:
    assert not includes(wide, narrow, ZONE)


def draw(choose: random.Random, column: str) -> Condition:
    """Return a condition on a date or a timestamp."""
    units = ["days", "weeks", "months", "years"] + (["hours"] if column == "joined_at" else [])
    span = f"{choose.choice([1, 2, 7, 14, 28, 30, 31, 365])} {choose.choice(units)}"
    wanted: dict[str, Any] = choose.choice(
        [
            *({choose.choice(["within_last", "within_last", "within_next"]): span} for _ in range(3)),
            {"to_date": choose.choice(["week", "month", "quarter", "year"])},
            {choose.choice(["month_of", "day_of_month"]): {choose.choice(["at_least", "at_most"]): 6}},
            {"year_of": choose.choice([2023, 2024])},
            {choose.choice(["before", "on_or_after"]): f"{choose.choice([2023, 2024, 2025])}-01-01"},
        ]
    )
    if column == "joined_at" and "within_last" in wanted and choose.random() < 0.5:
        wanted["rolling"] = "true"
    if choose.random() < 0.3:
        wanted = {"not": wanted, "rolling": "true"} if wanted.pop("rolling", "") else {"not": wanted}
    return read({column: wanted})


@pytest.mark.parametrize("column", ["joined_at", "born"])
def test_what_is_said_is_so_at_every_instant(column: str) -> None:
    """Look for an instant and a value that show otherwise."""
    choose = random.Random(column)
    instants = [datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=choose.randrange(24 * 790)) for _ in range(20)]
    changes = ["2023-03-26T22:30", "2023-03-25T22:30", "2024-10-27T22:59", "2024-10-27T23:30", "2024-02-29T10:00"]
    instants += [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in changes]
    said = 0
    for _ in range(100):
        left, right = draw(choose, column), draw(choose, column)
        possible, included = can_hold([left, right], ZONE), includes(left, right, ZONE)
        said += included or not possible
        for as_of in instants if included or not possible else ():
            near = [as_of + timedelta(hours=hours) for hours in (*range(-50, 50), *range(-800, 800, 7))]
            array = pa.array(near, pa.timestamp("us", "UTC"))
            array = array if column == "joined_at" else array.cast(pa.date32())
            passed = [judge(anchor_expression(side, instant_of(as_of), ZONE), array) for side in (left, right)]
            both = [one and other for one, other in zip(*passed, strict=True)]
            assert possible or not any(both), (left.text, right.text, as_of)
            assert not included or both == passed[1], (left.text, right.text, as_of)
    assert said > 10
