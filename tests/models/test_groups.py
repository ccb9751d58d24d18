"""Groups have the members that a rule of their conditions has, as the language's own reader and kernel judge it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from segengine.kernel.columns import make_index
from segengine.kernel.ordinals import read_ordinals
from segengine.models.groups import Condition, find_members, write_rule
from segengine.project.conditions import ExpressionReader
from segengine.project.logic import push_not_inward
from segengine.project.model import All
from segengine.project.model import Condition as RuleCondition
from segengine.project.nodes import Plain, dump_documents, parse_documents
from segengine.project.problems import Problems
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from segengine.project.types import AttributeType, parse_instant

PROJECT = Path(__file__).parents[1] / "golden" / "definitions" / "good"
ZONE = "Europe/Berlin"  # the project's
TYPES = {
    "name": AttributeType("text"),
    "income": AttributeType("decimal", 12, 2),
    "score": AttributeType("double"),
    "born": AttributeType("date"),
    "joined_at": AttributeType("timestamp"),
    "subscriber": AttributeType("boolean"),
}
LAST_OF_MAY = parse_instant("2024-06-01 00:00", ZONE) - 1


def instant(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


COLUMNS = {
    "name": pa.array(["Ada", "ada", "true", "3", None, "O'Brien: yes"]),
    "income": pa.array(
        [*map(Decimal, ("1.00", "99.99", "100.00", "100.01")), None, Decimal("-5.00")], pa.decimal128(12, 2)
    ),
    "score": pa.array([0.1, 0.1 + 0.2, 0.3, -0.0, None, 1e12]),
    "born": pa.array([date(1980, 12, 31), date(1981, 1, 1), date(1980, 1, 1), None, date(2000, 2, 29), None]),
    "joined_at": pa.array(
        [*(instant(LAST_OF_MAY + step) for step in (-1, 0, 1, 2)), None, instant(0)], pa.timestamp("us", "UTC")
    ),
    "subscriber": pa.array([True, False, None, True, None, False]),
}
CONDITIONS = [
    Condition("name", "equals", "Ada"),
    Condition("name", "equals", "true"),
    Condition("name", "not_equals", "3"),
    Condition("name", "not_equals", "O'Brien: yes"),
    Condition("name", "empty"),
    Condition("income", "at_most", 10_000),
    Condition("income", "greater_than", 10_000),
    Condition("income", "not_empty"),
    Condition("score", "at_most", 0.3),
    Condition("score", "greater_than", 0.3),
    Condition("score", "at_most", 0.0),
    Condition("born", "at_most", 4_017),  # 1980-12-31
    Condition("born", "greater_than", 4_017),
    Condition("joined_at", "at_most", LAST_OF_MAY),
    Condition("joined_at", "greater_than", LAST_OF_MAY),
    Condition("joined_at", "at_most", LAST_OF_MAY + 1),
    Condition("subscriber", "equals", 1),
    Condition("subscriber", "equals", 0),
    Condition("subscriber", "empty"),
]


def make_features() -> pa.RecordBatch:
    """Return the columns as a feature table has them."""
    arrays = {}
    for name, column in COLUMNS.items():
        if name == "name":
            arrays[name] = column
            continue
        ordinals = read_ordinals(column, TYPES[name])
        arrays[name] = pa.array(ordinals.values, mask=ordinals.missing)
    return pa.RecordBatch.from_pydict(arrays)


def judge_rule(rule: Plain) -> list[bool]:
    """Return which rows a `where` accepts."""
    settings, problems = load_settings(PROJECT), Problems()
    schema = load_schema(settings, problems)
    (node,), issues = parse_documents(dump_documents([rule]), "a.yml")
    read = ExpressionReader(settings, schema, "customers", problems).read(node, lambda *_: None)
    assert not issues
    assert not problems.issues
    assert read is not None
    expression = push_not_inward(read)
    outcome = np.ones(6, dtype=bool)
    for leaf in expression.items if isinstance(expression, All) else (expression,):
        assert isinstance(leaf, RuleCondition)
        index = make_index(leaf.attribute, [frozenset((leaf,))])
        codes = index.codes(COLUMNS[leaf.attribute.name])
        outcome &= (index.table[codes][:, 0] & np.uint64(1)).astype(bool)
    return outcome.tolist()


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_condition_has_the_members_of_its_rule(condition: Condition) -> None:
    assert find_members((condition,), make_features()).tolist() == judge_rule(write_rule((condition,), TYPES, ZONE))


def test_a_group_has_the_members_of_its_rule() -> None:
    group = (CONDITIONS[2], CONDITIONS[5], CONDITIONS[8])
    members = find_members(group, make_features()).tolist()
    assert members == judge_rule(write_rule(group, TYPES, ZONE)) == [True, False, True, False, False, False]


def test_a_group_without_conditions_has_everyone() -> None:
    assert find_members((), make_features()).all()


def test_the_end_of_a_day_is_written_as_the_day() -> None:
    assert write_rule((CONDITIONS[13],), TYPES, ZONE) == {"joined_at": {"on_or_before": "2024-05-31"}}
    assert write_rule((CONDITIONS[5],), TYPES, ZONE) == {"income": {"at_most": "100"}}
