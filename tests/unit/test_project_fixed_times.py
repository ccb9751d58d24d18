"""Periods written with their days and times accept, whenever they are read, what they meant as of one instant."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from local_times import ZONES, random_moment

from segengine.project.conditions import ExpressionReader
from segengine.project.fixed_times import write_fixed_times
from segengine.project.logic import push_not_inward
from segengine.project.model import All, AnyOf, Condition, Expression
from segengine.project.nodes import Plain, dump_documents, parse_documents
from segengine.project.problems import Problems
from segengine.project.project_file import Schema, Settings, Table
from segengine.project.relative import anchor_expression
from segengine.project.types import AttributeType, instant_of
from segengine.project.values import Ranges

LATER = instant_of(datetime(2026, 3, 31, 10, 30, tzinfo=UTC))
TYPES = {
    "on": AttributeType("date"),
    "at": AttributeType("timestamp"),
    "local": AttributeType("timestamp_ntz"),
    "far": AttributeType("timestamp_ntz", zone="Australia/Lord_Howe"),
}
PERIODS: list[Plain] = [
    {"within_last": "12 months"},
    {"within_last": "90 days", "rolling": "true"},
    {"to_date": "quarter"},
    {"not": {"within_last": "3 months"}},
    {"not": {"within_next": "1000 years"}},
    {"within_last": "1 year", "not": {"within_last": "1 month"}},
    {"between": ["2025-01-01", "2025-12-31"]},
    {"after": "2025-06-30"},
    {"not": {"between": ["2025-06-01", "2025-06-30"]}},
    {"month_of": ["november", "december"], "within_last": "2 years"},
]


def read(where: Plain, zone: str) -> Expression:
    problems = Problems()
    table = Table("rows", "rows", False, "delta", ("id",), "", ())
    settings = Settings("p", Path(), zone, "w", "d", "embedded", {"rows": table}, (), {})
    schema = Schema({"rows": TYPES}, {"rows": {}})
    (node,), issues = parse_documents(dump_documents([where]), "a.yml")
    found = ExpressionReader(settings, schema, "rows", problems).read(node, lambda *_: None)
    assert not issues
    assert not problems.issues
    assert found is not None
    return found


def accepted(where: Plain, as_of: int, zone: str) -> dict[str, Ranges]:
    """Return what a `where` on one column accepts as of an instant, by the name of the column or its part."""
    return find_accepted(push_not_inward(anchor_expression(read(where, zone), as_of, zone)))


def find_accepted(expression: Expression) -> dict[str, Ranges]:
    if isinstance(expression, Condition):
        assert isinstance(expression.test, Ranges)
        return {expression.attribute.name: expression.test}
    assert isinstance(expression, All | AnyOf)
    found: dict[str, Ranges] = {}
    for item in expression.items:
        for name, ranges in find_accepted(item).items():
            join = ranges.intersection if isinstance(expression, All) else ranges.union
            found[name] = join(found[name]) if name in found else ranges
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("column", TYPES)
def test_what_is_written_means_the_same_later(column: str, zone: str) -> None:
    choose = random.Random(f"{column} {zone}")
    for period in [period for period in PERIODS if column != "on" or "rolling" not in str(period)]:
        as_of = instant_of(random_moment(choose, zone))
        where: Plain = {column: period}
        written = write_fixed_times(read(where, zone), as_of, zone)
        assert accepted(written, LATER, zone) == accepted(where, as_of, zone), (period, as_of)
