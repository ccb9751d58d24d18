"""Suggestions: groups found in ugly data, and segments of them that have exactly the members promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from shoppers import AS_OF, INFLUENCES, MEASURES, PROJECT, STORES, draw_customers, draw_purchases
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.models.activity import ActivityGroups
from segengine.models.answers import dump_answer
from segengine.models.suggestions import Suggestions
from segengine.operations.suggestions import SuggestionDetails, describe_suggestions
from segengine.project.nodes import Plain, dump_documents

DEFINITIONS = f"""
{MEASURES}
kind: suggestion
name: What drives spend
improve: Spend
influences: {INFLUENCES}
---
kind: suggestion
name: Who is in which tier
improve: tier
influences: [income, Spend, Buying.largest, Buying.latest, {{in_segment: Subscribers}}]
---
kind: suggestion
name: Who subscribes
improve: subscribed
influences: [income, tier, Spend, store.city]
---
kind: suggestion
name: What drives spend of subscribers
improve: Spend
influences: [income, score, tier]
of: Subscribers
---
kind: suggestion
name: Purchases
activity: purchase
---
kind: suggestion
name: Recent purchases of subscribers
activity: purchase
period: {{within_last: 6 months}}
dimensions: [frequency, monetary]
of: Subscribers
"""
COUNT = 2_000
NAMES = [
    *("What drives spend", "Who is in which tier", "Who subscribes", "What drives spend of subscribers"),
    *("Purchases", "Recent purchases of subscribers"),
]


@pytest.fixture(scope="module")
def made() -> dict[str, Workspace]:
    """The project of each engine, refreshed once."""
    return {}


@pytest.fixture
def found_by(engine: EngineSession, made: dict[str, Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a project that the engine refreshed once; tests read it, or go on with a copy."""
    if engine.kind not in made:
        workspace = Workspace(tmp_path_factory.mktemp("suggestions"), engine)
        customers = draw_customers(5, COUNT)
        tables = {"customers": customers, "stores": STORES, "purchases": draw_purchases(6, customers)}
        workspace.set_up(PROJECT, tables, DEFINITIONS)
        workspace.apply()
        report = workspace.refresh(as_of=AS_OF)
        assert [run.error for run in report.analyses] == [""] * len(NAMES)
        made[engine.kind] = workspace
    return made[engine.kind]


def describe(workspace: Workspace, name: str, **choice: Any) -> SuggestionDetails:
    with workspace.opened() as project:
        return describe_suggestions(project, name, **choice)


def find_groups(workspace: Workspace, name: str) -> ActivityGroups:
    result = describe(workspace, name).findings.result
    assert isinstance(result, ActivityGroups)
    return result


def define_all(workspace: Workspace, names: Sequence[str]) -> dict[str, int]:
    """Define every group of suggestions as a segment; return the promised size of each, by its id."""
    promised: dict[str, int] = {}
    documents: list[Plain] = []
    for name in names:
        for number, proposal in enumerate(describe(workspace, name).findings.proposals, start=1):
            identity = f"group_{len(promised)}"
            assert proposal.rule is not None
            documents.append({"kind": "segment", "name": f"{name} {number}", "id": identity, **proposal.rule})
            promised[identity] = proposal.member_count
    workspace.define(dump_documents(documents), "groups.yml")
    workspace.apply()
    return promised


def sizes(workspace: Workspace, ids: Mapping[str, object]) -> dict[str, int]:
    members = workspace.published().members()
    return {identity: len(members[identity]) for identity in ids}


def sum_spend(purchases: pa.Table) -> dict[str, Decimal]:
    spend: dict[str, Decimal] = {}
    for row in purchases.to_pylist():
        spend[row["customer_id"]] = spend.get(row["customer_id"], Decimal(0)) + (row["price"] or 0)
    return spend


def test_segments_have_exactly_the_members_promised(found_by: Workspace, tmp_path: Path) -> None:
    workspace = found_by.copy_to(tmp_path)
    promised = define_all(workspace, NAMES)
    assert len(promised) > 20
    workspace.refresh(*promised, as_of=AS_OF + timedelta(days=400))  # the same customers and purchases
    assert sizes(workspace, promised) == promised

    members = workspace.published().members()
    spend = sum_spend(draw_purchases(6, draw_customers(5, COUNT)))
    found = describe(workspace, "What drives spend").findings.result
    assert isinstance(found, Suggestions)
    assert found.suggestions
    for number, one in enumerate(found.suggestions):
        values = [spend.get(identity, Decimal(0)) for identity in members[f"group_{number}"]]
        assert one.average == pytest.approx(float(sum(values) / len(values)), rel=1e-12)
    within = [each for each in promised if "of subscribers" in workspace.listed()[each].segment.name]
    assert len(within) > 2
    assert all(set(members[each]) < set(members["subscribers"]) for each in within)


FIGURES = """
    select customer_id, count(*) as frequency, sum(coalesce(price, 0)) as monetary
    from purchases join customers using (customer_id)
    where subscribed and purchased_at >= timestamptz '2026-01-01 00:00:00+01' and purchased_at <= $as_of
    group by customer_id
"""


def test_groups_by_activity_are_those_of_sql(found_by: Workspace) -> None:
    """Against DuckDB, given nothing but the cuts."""
    found = find_groups(found_by, "Recent purchases of subscribers")
    customers = draw_customers(5, COUNT)
    purchases = draw_purchases(6, customers)
    with duckdb.connect() as database:
        database.register("customers", customers)
        database.register("purchases", purchases)
        figures = database.sql(FIGURES, params={"as_of": AS_OF}).to_arrow_table().to_pylist()
    assert found.active_count == len(figures)
    assert found.inactive_count == customers["subscribed"].to_pylist().count(True) - len(figures)
    assert len(found.groups) > 3
    for group in found.groups:
        rows = figures
        for level in group.levels:
            unit = 1 if level.dimension == "frequency" else 100
            values = [(row, row[level.dimension] * unit) for row in rows]
            low, high = level.above, level.at_most
            rows = [row for row, value in values if (low is None or value > low) and (high is None or value <= high)]
        assert group.member_count == len(rows)
        total = sum(row["monetary"] for row in figures)
        assert group.amount_share == pytest.approx(float(sum(row["monetary"] for row in rows) / total))


def test_other_orders_and_files_give_the_same(
    found_by: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the engine's tasks count them."""
    before = {name: dump_answer(describe(found_by, name).findings) for name in NAMES}
    customers = draw_customers(5, COUNT)
    purchases = draw_purchases(6, customers)
    other = Workspace(tmp_path, found_by.session)
    rng = np.random.default_rng(1)
    shuffled = [table.take(rng.permutation(table.num_rows)) for table in (customers, purchases)]
    tables = {"customers": shuffled[0].slice(0, 700), "stores": STORES, "purchases": shuffled[1].slice(0, 900)}
    other.set_up(PROJECT, tables, DEFINITIONS)
    other.append_rows("customers", shuffled[0].slice(700))
    other.append_rows("purchases", shuffled[1].slice(900))
    other.apply()
    monkeypatch.setattr("segengine.engine.features.MOST_KEPT", 0)
    other.refresh(as_of=AS_OF)
    assert {name: dump_answer(describe(other, name).findings) for name in NAMES} == before
