"""The table of operators: each with values it accepts and refuses, missing ones, and types it does not fit."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import judging
import pyarrow as pa
import pytest

from segengine.project.conditions import ExpressionReader
from segengine.project.logic import push_not_inward
from segengine.project.model import AnyOf, Condition, Not
from segengine.project.nodes import parse_documents
from segengine.project.operators import BY_NAME, EVERY, MODIFIERS, OPERATORS, operators_for
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.relative import anchor_expression
from segengine.project.schema_lock import load_schema
from segengine.project.settings import RESERVED, load_settings
from segengine.project.types import Family, instant_of
from segengine.project.walk import expression_leaves

GOOD = Path(__file__).parents[1] / "golden" / "definitions" / "good"
TEXT, NUMBER, FLOAT = ("name", pa.string()), ("income", pa.decimal128(12, 2)), ("score", pa.float64())
DAY, TIME, BOOLEAN = ("born", pa.date32()), ("joined_at", pa.timestamp("us", "UTC")), ("subscriber", pa.bool_())
D = Decimal


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


MAY_DAY = (at(2024, 4, 30, 22), at(2024, 5, 1, 21, 59, 59, 999_999))  # the first of May in Berlin
AROUND = (at(2024, 4, 30, 21, 59, 59, 999_999), at(2024, 5, 1, 22))
NOW, AFTER_NOW, TODAY = at(2024, 5, 15, 10), at(2024, 5, 15, 10, 0, 0, 1), date(2024, 5, 15)
# operator: column, value as written, accepted, refused
CASES: list[tuple[str, tuple[str, pa.DataType], Any, list[Any], list[Any]]] = [
    ("equals", TEXT, "Ada", ["Ada"], ["ada", "Ada ", "Ad"]),
    ("equals", NUMBER, 1.5, [D("1.50")], [D("1.51"), D("0.00")]),
    ("equals", FLOAT, 0.1, [0.1], [0.1000000000000001]),
    ("any_of", TEXT, ["a", "B"], ["a", "B"], ["b", "aB"]),
    ("any_of", NUMBER, [1, 2], [D("1.00"), D("2.00")], [D("1.50")]),
    ("begins_with", TEXT, "San", ["San", "San José"], ["san", "a San"]),
    ("ends_with", TEXT, ["é", "a"], ["José", "Ada"], ["Jose"]),
    ("contains", TEXT, "%", ["5% off"], ["5 off"]),
    ("matches", TEXT, "^[A-C]", ["Ada", "C"], ["Dan", "a"]),
    ("greater_than", NUMBER, 1.005, [D("1.01")], [D("1.00")]),
    ("greater_than", NUMBER, 1, [D("1.01")], [D("1.00")]),
    ("at_least", NUMBER, 1, [D("1.00")], [D("0.99")]),
    ("less_than", NUMBER, 1, [D("0.99")], [D("1.00")]),
    ("at_most", NUMBER, 1.005, [D("1.00")], [D("1.01")]),
    ("at_most", FLOAT, 0.1, [0.1, -5.0], [0.2]),
    ("between", NUMBER, [1, 2], [D("1.00"), D("2.00")], [D("0.99"), D("2.01")]),
    ("between", DAY, ["2024-05-01", "2024-05-02"], [date(2024, 5, 1), date(2024, 5, 2)], [date(2024, 5, 3)]),
    ("between", TIME, ["2024-05-01", "2024-05-01"], [*MAY_DAY], [*AROUND]),
    ("on_day", DAY, "2024-05-01", [date(2024, 5, 1)], [date(2024, 4, 30), date(2024, 5, 2)]),
    ("on_day", TIME, "2024-05-01", [*MAY_DAY], [*AROUND]),
    ("after", DAY, "2024-05-01", [date(2024, 5, 2)], [date(2024, 5, 1)]),
    ("after", TIME, "2024-05-01", [AROUND[1]], [*MAY_DAY]),
    ("after", TIME, "2024-05-01T00:00:00Z", [at(2024, 5, 1, 0, 0, 0, 1)], [at(2024, 5, 1)]),
    ("before", DAY, "2024-05-01", [date(2024, 4, 30)], [date(2024, 5, 1)]),
    ("before", TIME, "2024-05-01", [AROUND[0]], [*MAY_DAY]),
    ("on_or_after", DAY, "2024-05-01", [date(2024, 5, 1)], [date(2024, 4, 30)]),
    ("on_or_after", TIME, "2024-05-01", [*MAY_DAY], [AROUND[0]]),
    ("on_or_before", DAY, "2024-05-01", [date(2024, 5, 1)], [date(2024, 5, 2)]),
    ("on_or_before", TIME, "2024-05-01", [*MAY_DAY], [AROUND[1]]),
    ("within_last", DAY, "1 week", [date(2024, 5, 8), date(2024, 5, 15)], [date(2024, 5, 7), date(2024, 5, 16)]),
    ("within_last", TIME, "1 week", [at(2024, 5, 7, 22), NOW], [at(2024, 5, 7, 21, 59), AFTER_NOW]),
    ("within_next", DAY, "1 month", [date(2024, 5, 16), date(2024, 6, 15)], [date(2024, 5, 15), date(2024, 6, 16)]),
    ("within_next", TIME, "2 hours", [AFTER_NOW, at(2024, 5, 15, 12)], [NOW, at(2024, 5, 15, 12, 0, 0, 1)]),
    ("to_date", DAY, "quarter", [date(2024, 4, 1), date(2024, 5, 15)], [date(2024, 3, 31), date(2024, 5, 16)]),
    ("to_date", TIME, "week", [at(2024, 5, 12, 22), NOW], [at(2024, 5, 12, 21, 59), AFTER_NOW]),
    ("anniversary_within_next", DAY, "1 day", [date(2000, 5, 15), date(1999, 5, 16)], [date(2000, 5, 17), TODAY]),
    ("anniversary_within_next", TIME, "0 days", [at(2000, 5, 14, 22)], [at(2000, 5, 14, 21, 59), NOW]),
    ("month_of", DAY, ["may", 6], [date(2024, 5, 1), date(1999, 6, 30)], [date(2024, 4, 30)]),
    ("month_of", TIME, 5, [*MAY_DAY], [AROUND[0]]),
    ("weekday_of", DAY, "wednesday", [date(2024, 5, 1)], [date(2024, 5, 2)]),
    ("weekday_of", TIME, {"at_most": 3, "at_least": "wednesday"}, [*MAY_DAY], [*AROUND]),
    ("day_of_month", DAY, {"between": [30, 31]}, [date(2024, 5, 30), date(2024, 5, 31)], [date(2024, 6, 1)]),
    ("day_of_month", TIME, 1, [*MAY_DAY], [*AROUND]),
    ("hour_of", TIME, {"less_than": 1}, [MAY_DAY[0], at(2024, 12, 31, 23, 59)], [MAY_DAY[1], at(2024, 12, 31, 0)]),
    ("year_of", DAY, {"not": {"less_than": 2000}}, [date(2000, 1, 1)], [date(1999, 12, 31)]),
    ("year_of", TIME, 2024, [at(2023, 12, 31, 23)], [at(2024, 12, 31, 23)]),
    ("is_true", BOOLEAN, "true", [True], [False]),
    ("is_false", BOOLEAN, "true", [False], [True]),
]
MISSING: dict[Family, list[Any]] = {Family.TEXT: [None, ""]}


@pytest.fixture(scope="module")
def project() -> Settings:
    return load_settings(GOOD)


def read(project: Settings, column: str, wanted: Any) -> tuple[Any, Problems]:
    problems = Problems()
    schema = load_schema(project, problems)
    (node,), _ = parse_documents(json.dumps({column: wanted}), "a.yml")
    return ExpressionReader(project, schema, "customers", problems).read(node, lambda *_: None), problems


def judge(expression: Any, array: pa.Array) -> list[bool]:
    """Return which values pass, as of `NOW` in the project's zone."""
    return judging.judge(anchor_expression(expression, instant_of(NOW), "Europe/Berlin"), array)


def test_every_operator_has_cases_for_every_family() -> None:
    families = {(operator.name, family) for operator in OPERATORS for family in operator.families}
    names = {"name": Family.TEXT, "income": Family.NUMBER, "born": Family.DATE, "joined_at": Family.TIMESTAMP}
    covered = {(name, names.get(column, Family.BOOLEAN)) for name, (column, _), *_ in CASES}
    assert families - covered == {("empty", family) for family in EVERY}


@pytest.mark.parametrize(("operator", "column", "wanted", "accepted", "refused"), CASES)
def test_what_an_operator_accepts(
    operator: str,
    column: tuple[str, pa.DataType],
    wanted: Any,
    accepted: list[Any],
    refused: list[Any],
    project: Settings,
) -> None:
    condition, problems = read(project, column[0], {operator: wanted})
    assert not problems.issues
    missing = [None, ""] if column is TEXT else [None, float("nan")] if column is FLOAT else [None]
    array = pa.array([*accepted, *refused, *missing], column[1])
    outcome = [True] * len(accepted) + [False] * len(refused)
    assert judge(condition, array) == [*outcome, *[False] * len(missing)]
    assert judge(Not(condition), array) == [*[not holds for holds in outcome], *[False] * len(missing)]
    assert push_not_inward(Not(Not(condition))) == push_not_inward(condition)


@pytest.mark.parametrize("column", [TEXT, NUMBER, FLOAT, DAY, TIME, BOOLEAN], ids=lambda column: str(column[0]))
def test_empty_alone_sees_missing_values(column: tuple[str, pa.DataType], project: Settings) -> None:
    there = {"name": "a", "income": D("1.00"), "score": 0.0, "born": date(2024, 1, 1), "joined_at": at(2024, 1, 1)}
    missing = [None, ""] if column is TEXT else [None, float("nan")] if column is FLOAT else [None]
    array = pa.array([there.get(column[0], False), *missing], column[1])
    empty, _ = read(project, column[0], {"empty": "true"})
    full, _ = read(project, column[0], {"empty": "false"})
    assert judge(empty, array) == [False] + [True] * len(missing) == judge(full.negated(), array)
    assert judge(full, array) == [True] + [False] * len(missing) == judge(empty.negated(), array)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: str(operator.name))
@pytest.mark.parametrize("column", [TEXT, NUMBER, DAY, TIME, BOOLEAN], ids=lambda column: str(column[0]))
def test_operators_that_do_not_fit_are_refused(operator: Any, column: tuple[str, Any], project: Settings) -> None:
    names = {"name": Family.TEXT, "income": Family.NUMBER, "born": Family.DATE, "joined_at": Family.TIMESTAMP}
    family = names.get(column[0], Family.BOOLEAN)
    _, problems = read(project, column[0], {operator.name: "x"})
    codes = {issue.code for issue in problems.issues}
    assert ("SEG206" in codes) == (operator not in operators_for(family))


@pytest.mark.parametrize(
    "part", [operator for operator in OPERATORS if operator.argument == "part"], ids=lambda part: str(part.name)
)
def test_a_part_is_compared_like_a_number(part: Any, project: Settings) -> None:
    for wanted in (
        [1, 2],
        {"any_of": [1, 2]},
        {"between": [1, 2]},
        {"at_least": 1, "less_than": 3},
        {"not": {"not": 1}},
    ):
        found, problems = read(project, "joined_at", {part.name: wanted})
        assert not problems.issues
        leaves = [leaf for leaf in expression_leaves(found) if isinstance(leaf, Condition)]
        assert {leaf.attribute.name for leaf in leaves} == {f"joined_at {part.name}"}
        assert {leaf.attribute.type.name for leaf in leaves} == {"integer"}
        assert {leaf.attribute.whole.name for leaf in leaves} == {"joined_at"}
    there, _ = read(project, "joined_at", {part.name: {"empty": "false"}})
    assert judge(there, pa.array([NOW, None], TIME[1])) == [True, False]
    either, _ = read(project, "joined_at", {part.name: {"not": 1, "or_missing": "true"}})
    assert judge(either, pa.array([None], TIME[1])) == [True]


def test_rolling_is_about_the_windows_beside_it_and_under_not(project: Settings) -> None:
    calendar, _ = read(project, "joined_at", {"within_last": "1 day"})
    for wanted in (
        {"within_last": "1 day", "rolling": "true"},
        {"not": {"not": {"within_last": "1 day"}}, "rolling": "true"},
        {"within_last": "24 hours"},
    ):
        rolling, problems = read(project, "joined_at", wanted)
        assert not problems.issues
        assert judge(rolling, pa.array([at(2024, 5, 14, 10), at(2024, 5, 14, 9, 59)], TIME[1])) == [True, False]
        assert push_not_inward(rolling) != calendar
    mixed, problems = read(project, "joined_at", {"within_last": "1 day", "after": "2024-05-14", "rolling": "true"})
    assert not problems.issues
    assert read(project, "joined_at", {"within_last": "1 day", "rolling": "false"})[0] == calendar


def test_a_bare_value_means_an_operator(project: Settings) -> None:
    for column, bare, meant in [
        ("name", "a", {"equals": "a"}),
        ("name", ["a", "b"], {"any_of": ["b", "a"]}),
        ("income", "1.50", {"equals": "1.5"}),
        ("born", "2024-01-01", {"on_day": "2024-01-01"}),
        ("joined_at", "2024-01-01", {"on_day": "2024-01-01"}),
        ("subscriber", "true", {"is_true": "true"}),
        ("subscriber", "false", {"is_false": "true"}),
    ]:
        assert read(project, column, bare)[0] == read(project, column, meant)[0]


def test_modifiers(project: Settings) -> None:
    both, _ = read(project, "income", {"at_least": "3", "or_missing": "true"})
    assert isinstance(both, AnyOf)
    assert judge(both.items[1], pa.array([None, 5], pa.decimal128(12, 2))) == [True, False]
    folded, _ = read(project, "name", {"begins_with": "STRASSE", "ignore_case": "true"})
    assert judge(folded, pa.array(["Straße 1", "strasse", "Gasse"])) == [True, True, False]
    for wanted in ({"not": {"equals": "ADA"}, "ignore_case": "true"}, {"not": "ada", "ignore_case": "true"}):
        negated, problems = read(project, "name", wanted)
        assert not problems.issues
        assert isinstance(negated, Not)
        assert isinstance(negated.item, Condition)
        assert judge(negated.item.negated(), pa.array(["Ada", "Bob", None])) == [False, True, False]


def test_words_of_the_language_are_reserved() -> None:
    assert {*BY_NAME, *MODIFIERS, "all", "any", "in_segment", "everyone"} == RESERVED
    assert all(operator.summary for operator in OPERATORS)
