"""Rules of one project on every engine: members, counts of each line, and why somebody is in."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.operations.apply import plan_definitions
from segengine.operations.preview import preview_plan
from segengine.operations.segments import count_outline
from segengine.operations.why import Why, explain_membership
from segengine.store.runs import Status

PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
{kind: segment, name: Rich, where: {income: {at_least: 50}}}
---
kind: segment
name: Big spenders
rules:
  - over: purchases
    sum: {amount: {at_least: 10}}
    average: {amount: {greater_than: 2.5}}
    count_unique: {channel: 2}
    max: {bought_at: {after: 2025-01-01}}
---
{kind: segment, name: Small spenders, rules: [{over: purchases, sum: {amount: {less_than: 10}}}]}
---
{kind: segment, name: No average, rules: [{over: purchases, average: {amount: {less_than: 0, or_missing: true}}}]}
---
{kind: segment, name: Heavy, rules: [{over: purchases, sum: {weight: {at_least: 0}}}]}
---
kind: segment
name: Late and dear
rules:
  - {over: purchases, max: {bought_at: {after: 2025-01-04}}, min: {amount: {at_least: 5}}}
---
kind: segment
name: Rich web buyers
rules:
  - over: purchases
    where: {any: [{all: [{in_segment: Rich}, {channel: web}]}, {customer.income: {less_than: 20}}]}
---
kind: segment
name: Rich without web
rules:
  - {over: purchases, rows: none, where: {all: [{in_segment: Rich}, {channel: web}]}}
---
kind: segment
name: Steps
rules:
  - where: {income: {empty: false}}
  - except: {over: purchases, rows: {at_least: 2}, where: {channel: web}}
  - union: {where: {in_segment: Big spenders}}
"""
CUSTOMERS = {"customer_id": ["a", "b", "c", "d"], "income": [100, 10, None, 60]}


def instant(day: int) -> datetime:
    return datetime(2025, 1, day, 23, 30, tzinfo=UTC)


PURCHASES = {
    "purchase_id": [1, 2, 3, 4, 5, 6],
    "customer_id": ["a", "a", "b", "b", "c", "nobody"],
    "amount": pa.array([Decimal("9.99"), Decimal("0.01"), Decimal("5"), None, Decimal("-1"), Decimal("99")]),
    "channel": ["web", "store", "web", "web", "store", "web"],
    "bought_at": pa.array([instant(day) for day in (1, 2, 3, 4, 5, 6)], pa.timestamp("us", tz="UTC")),
    "weight": [1.5, 0.1, float("inf"), 2.0, None, 1.0],
}
MEMBERS = {
    "rich": ["a", "d"],
    "big_spenders": ["a"],
    "small_spenders": ["b", "c", "d"],
    "no_average": ["c", "d"],
    "late_and_dear": ["b"],
    "rich_web_buyers": ["a", "b"],
    "rich_without_web": ["b", "c", "d"],
    "steps": ["a", "d"],
}


def make_shop(folder: Path, engine: EngineSession) -> Workspace:
    workspace = Workspace(folder, engine)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "purchases": PURCHASES}, SEGMENTS)
    return workspace


@pytest.fixture(scope="module")
def made() -> dict[str, Workspace]:
    """The project of each engine, made once."""
    return {}


@pytest.fixture
def shop(engine: EngineSession, made: dict[str, Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a project that was refreshed once; tests only read it."""
    if engine.kind not in made:
        workspace = make_shop(tmp_path_factory.mktemp("rules"), engine)
        workspace.apply()
        workspace.refresh()
        made[engine.kind] = workspace
    return made[engine.kind]


def why(shop: Workspace, name: str, profile_id: str) -> Why:
    with shop.opened() as project:
        return explain_membership(project, name, profile_id)


@pytest.mark.over_connect
def test_aggregates_and_profile_conditions_decide_members(shop: Workspace) -> None:
    assert shop.published().members() == MEMBERS


def test_an_infinite_value_fails_what_sums_it_and_nothing_else(shop: Workspace) -> None:
    heavy = shop.listed()["heavy"]
    assert heavy.status is Status.FAILED
    assert heavy.error == '1 value(s) of "weight" are infinite or out of range'


def test_every_line_of_a_segment_has_its_count_and_running_total(shop: Workspace) -> None:
    with shop.opened() as project:
        lines = count_outline(project, "Steps").lines
        aggregates = count_outline(project, "Big spenders").lines
    assert [(line.depth, line.text, line.count, line.total) for line in lines] == [
        (0, "income empty false", 3, 3),
        (0, "except purchases > customer: at least 2 rows", 1, 2),
        (1, "where channel equals web", None, None),
        (0, 'union in segment "Big spenders"', 1, 2),
    ]
    assert [(line.text, line.count) for line in aggregates] == [
        ("purchases > customer: aggregates", 1),
        ("all of", 1),
        ("count_unique of channel equals 2", 1),
        ("sum of amount at_least 10", 1),
        ("average of amount greater_than 2.5", 2),
        ("max of bought_at after 2025-01-01", 3),
    ]


@pytest.mark.over_connect
def test_why_names_what_decided_with_values_and_rows(shop: Workspace) -> None:
    answer = why(shop, "Steps", "b")
    assert not answer.is_member
    assert [(line.truth, line.saw, line.total, line.decided) for line in answer.lines] == [
        ("true", "10", True, False),
        ("true", "2 of 2 rows", False, True),
        (None, "2 of 2 rows", None, False),
        ("false", "", False, False),
    ]
    assert answer.lines[1].rows == (
        {"purchase_id": "3", "channel": "web"},
        {"purchase_id": "4", "channel": "web"},
    )


def test_why_shows_values_of_aggregates_in_the_projects_zone(shop: Workspace) -> None:
    answer = why(shop, "Big spenders", "a")
    assert answer.is_member
    assert [line.saw for line in answer.lines] == ["2 of 2 rows", "", "2", "10", "5", "2025-01-03 00:30:00+01:00"]
    assert [len(line.rows) for line in answer.lines] == [2, 0, 0, 0, 0, 1]
    missing = why(shop, "No average", "d")
    assert missing.is_member
    assert [line.saw for line in missing.lines] == ["0 of 0 rows", "", "missing", "missing"]


def test_why_names_the_rows_with_the_smallest_and_largest_value(shop: Workspace) -> None:
    latest = why(shop, "Late and dear", "a")
    assert [line.saw for line in latest.lines] == ["2 of 2 rows", "", "0.01", "2025-01-03 00:30:00+01:00"]
    rows = [[row["purchase_id"] for row in line.rows] for line in latest.lines]
    assert rows == [[], [], ["2"], ["2"]]
    assert latest.lines[3].rows[0]["bought_at"] == "2025-01-03 00:30:00+01:00"
    nothing = why(shop, "Late and dear", "d")
    assert [(line.saw, line.rows) for line in nothing.lines[2:]] == [("missing", ()), ("missing", ())]


@pytest.mark.before_the_engine
def test_why_agrees_with_the_members_of_every_segment(shop: Workspace) -> None:
    for segment_id, members in MEMBERS.items():
        found = [name for name in CUSTOMERS["customer_id"] if why(shop, segment_id, str(name)).is_member]
        assert found == members, segment_id


@pytest.mark.over_connect
def test_a_preview_counts_what_is_not_applied_and_publishes_nothing(shop: Workspace, tmp_path: Path) -> None:
    changed = shop.copy_to(tmp_path)
    changed.define(SEGMENTS.replace("income: {at_least: 50}", "income: {less_than: 70}"))
    before = changed.published()
    with changed.opened() as project:
        found = {item.segment.id: item for item in preview_plan(project, plan_definitions(project))}

    rich = found["rich"]
    assert (rich.member_count, rich.entered_count, rich.left_count) == (2, 1, 1)
    assert (rich.entered, rich.left) == (("b",), ("a",))
    # Its children change with it; who does not refer to it is left alone.
    assert set(found) == {"rich", "rich_web_buyers", "rich_without_web"}
    assert found["rich_without_web"].member_count == 3
    after = changed.published()
    assert (after.control, after.runs, after.segment_runs, after.keys, after.members()) == (
        *(before.control, before.runs, before.segment_runs, before.keys, before.members()),
    )


@pytest.mark.before_the_engine
def test_a_preview_as_of_a_snapshots_instant_is_compared_with_it(shop: Workspace, tmp_path: Path) -> None:
    changed = shop.copy_to(tmp_path)
    as_of = changed.refresh("rich", as_of=datetime(2025, 6, 1, tzinfo=UTC)).as_of
    changed.define(SEGMENTS.replace("income: {at_least: 50}", "income: {less_than: 70}"))
    with changed.opened() as project:
        found = preview_plan(project, plan_definitions(project), as_of=as_of)
    rich = next(item for item in found if item.segment.id == "rich")
    assert rich.before is not None
    assert rich.before.as_of == rich.as_of == as_of
    assert (rich.member_count, rich.entered, rich.left) == (2, ("b",), ("a",))


@pytest.mark.before_the_engine
def test_a_preview_works_before_the_first_refresh(engine: EngineSession, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path, engine)
    with workspace.opened() as project:
        found = {item.segment.id: item.member_count for item in preview_plan(project, plan_definitions(project))}
    found.pop("heavy")
    assert found == {name: len(ids) for name, ids in MEMBERS.items()}


@pytest.mark.before_the_engine
def test_why_of_an_unknown_profile_says_so(shop: Workspace) -> None:
    with pytest.raises(ConfigError, match='There is no profile "z" in table "customers"'):
        why(shop, "Rich", "z")
