"""Suggestions where there are several audiences, and several ways from rows to them; held against DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.models.activity import ActivityGroups
from segengine.models.suggestions import Suggestions
from segengine.operations.suggestions import SuggestionDetails, describe_suggestions
from segengine.project.nodes import Plain, dump_documents

PROJECT = """
project: trade
time_zone: UTC
tables:
  accounts: {path: data/accounts, key: account_id}
  contacts: {path: data/contacts, key: contact_id}
  orders: {path: data/orders, key: order_id}
  calls: {path: data/calls, key: call_id}
relationships:
  - {from: contacts.account_id, to: accounts, name: company}
  - {from: orders.account_id, to: accounts, name: payer}
  - {from: orders.contact_id, to: contacts, name: buyer}
  - {from: calls.caller_id, to: contacts, name: caller}
  - {from: calls.called_id, to: contacts, name: called}
audiences:
  account: {table: accounts}
  contact: {table: contacts, account: account}
activities:
  order: {table: orders, at: ordered_at, amount: amount}
  call: {table: calls, at: called_at}
"""
DEFINITIONS = """
kind: segment
name: Bosses
audience: contact
where: {role: Boss}
---
kind: measure
name: Bought
per: contact
over: orders
via: [buyer]
value: {sum: amount}
---
kind: suggestion
name: What accounts pay for
audience: account
activity: order
via: [payer]
dimensions: [frequency, monetary]
---
kind: suggestion
name: What their contacts order
audience: account
activity: order
via: [buyer, company]
dimensions: [monetary]
---
kind: suggestion
name: Calls of bosses
audience: contact
activity: call
via: [caller]
period: {within_last: 60 days}
dimensions: [recency, frequency]
of: Bosses
---
kind: suggestion
name: Who buys
audience: contact
improve: Bought
influences: [role, company.size]
of: Bosses
"""
AS_OF = datetime(2026, 7, 1, 12, tzinfo=UTC)
ACCOUNTS, CONTACTS = 300, 1_200
FIGURES = {
    "What accounts pay for": """
        select account_id as id, count(*) as frequency, sum(amount) as monetary
        from orders join accounts using (account_id) group by all""",
    "What their contacts order": """
        select contacts.account_id as id, count(*) as frequency, sum(amount) as monetary
        from orders join contacts using (contact_id) join accounts on accounts.account_id = contacts.account_id
        group by all""",
    "Calls of bosses": """
        select caller_id as id, count(*) as frequency, max(called_at) as recency
        from calls join contacts on contact_id = caller_id
        where role = 'Boss' and called_at >= timestamptz '2026-05-02 00:00:00+00' group by all""",
}


def draw_tables() -> dict[str, pa.Table]:
    """Return accounts, their contacts, who orders for them, and who calls whom; some of nobody who is there."""
    rng = np.random.default_rng(3)
    contacts = {
        "contact_id": [f"c{number:04d}" for number in range(CONTACTS)],
        "account_id": pa.array(rng.integers(0, ACCOUNTS + 9, CONTACTS), mask=rng.random(CONTACTS) < 0.05),
        "role": np.array(["Boss", "Clerk"])[rng.integers(0, 2, CONTACTS)],
    }
    sizes = rng.integers(1, 1_000, ACCOUNTS)
    eager = np.append(sizes, np.zeros(9, np.int64))[contacts["account_id"].fill_null(0).to_numpy()] > 500
    buyers = np.repeat(np.arange(CONTACTS), rng.poisson(np.where(eager, 4, 1)))
    calls = 4 * CONTACTS
    days = rng.integers(1, 200, calls)
    return {
        "accounts": pa.table({"account_id": np.arange(ACCOUNTS), "size": sizes}),
        "contacts": pa.table(contacts),
        "orders": pa.table(
            {
                "order_id": np.arange(len(buyers)),
                "account_id": rng.integers(0, ACCOUNTS + 5, len(buyers)),
                "contact_id": [f"c{buyer:04d}" for buyer in buyers],
                "ordered_at": pa.array([AS_OF - timedelta(days=1)] * len(buyers), pa.timestamp("us", "UTC")),
                "amount": rng.integers(1, 900, len(buyers)),
            }
        ),
        "calls": pa.table(
            {
                "call_id": np.arange(calls),
                "caller_id": [f"c{each:04d}" for each in rng.integers(0, CONTACTS + 20, calls)],
                "called_id": [f"c{each:04d}" for each in rng.integers(0, CONTACTS // 2, calls)],
                "called_at": pa.array([AS_OF - timedelta(days=int(day)) for day in days], pa.timestamp("us", "UTC")),
            }
        ),
    }


def describe(workspace: Workspace, name: str) -> SuggestionDetails:
    with workspace.opened() as project:
        return describe_suggestions(project, name)


def find_members(found: ActivityGroups, figures: list[dict[str, object]]) -> list[set[str]]:
    """Return who is in each group by what SQL finds of everybody, given nothing but the bounds."""

    def is_inside(value: object, above: object, at_most: object) -> bool:
        own = int(value.timestamp() * 1_000_000) if isinstance(value, datetime) else value
        return (above is None or own > above) and (at_most is None or own <= at_most)  # type: ignore[operator]

    return [
        {
            str(row["id"])
            for row in figures
            if all(is_inside(row[level.dimension], level.above, level.at_most) for level in group.levels)
        }
        for group in found.groups
    ]


def test_each_audience_and_way_has_its_own_groups(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    tables = draw_tables()
    workspace.set_up(PROJECT, tables, DEFINITIONS)
    workspace.apply()
    report = workspace.refresh(as_of=AS_OF)
    assert [(run.analysis_id, run.error) for run in report.analyses if run.error] == []
    assert len(report.analyses) == len(FIGURES) + 1
    expected: dict[str, set[str]] = {}
    documents: list[Plain] = []
    with duckdb.connect() as database:
        for name, table in tables.items():
            database.register(name, table)
        for name, query in FIGURES.items():
            figures = database.sql(query).to_arrow_table().to_pylist()
            details = describe(workspace, name)
            found = details.findings.result
            assert isinstance(found, ActivityGroups)
            assert found.active_count == len(figures)
            members = find_members(found, figures)
            assert [one.member_count for one in found.groups] == [len(each) for each in members]
            assert len(members) > 1
            for number, (own, proposal) in enumerate(zip(members, details.findings.proposals, strict=True)):
                save(documents, f"{details.suggestion.id}_{number}", details, proposal.rule)
                expected[f"{details.suggestion.id}_{number}"] = own
        check_target(workspace, database, documents, expected)
    workspace.define(dump_documents(documents), "saved.yml")
    workspace.apply()
    workspace.refresh(*expected, as_of=AS_OF)
    published = workspace.published()
    members_of = {
        name: set(ids)
        for audience in ("account", "contact")
        for name, ids in published.members(
            audience, [str(each["name"]) for each in documents if each["audience"] == audience]
        ).items()
    }
    assert members_of == expected


def save(documents: list[Plain], name: str, details: SuggestionDetails, rule: Mapping[str, Plain] | None) -> None:
    assert rule is not None
    documents.append({"kind": "segment", "name": name, "audience": details.suggestion.audience, **rule})


def check_target(
    workspace: Workspace,
    database: duckdb.DuckDBPyConnection,
    documents: list[Plain],
    expected: dict[str, set[str]],
) -> None:
    """Hold the one suggestion for what contacts buy against SQL: those of the large accounts buy more."""
    details = describe(workspace, "Who buys")
    found = details.findings.result
    assert isinstance(found, Suggestions)
    one = found.suggestions[0]
    (condition,) = one.group
    assert (condition.field, condition.operator) == ("company.size", "greater_than")
    rows = database.sql(
        f"""select contact_id, coalesce(sum(amount), 0) from contacts join accounts using (account_id)
            left join orders using (contact_id) where role = 'Boss' and size > {condition.value} group by all"""
    ).fetchall()
    assert one.member_count == len(rows)
    assert one.average == pytest.approx(float(sum(row[1] for row in rows)) / len(rows))
    save(documents, "who_buys_0", details, details.findings.proposals[0].rule)
    expected["who_buys_0"] = {row[0] for row in rows}
