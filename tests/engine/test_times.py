"""Relative times and parts of dates in a whole refresh: one instant and one zone for all of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.operations.why import explain_membership
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
kind: segment
name: Recent
rules: [{over: purchases, where: {bought_at: {within_last: 30 days}}}]
---
kind: segment
name: Lapsed
rules:
  - over: purchases
  - except: {over: purchases, where: {bought_at: {within_last: 1 year}}}
---
kind: segment
name: This month
rules: [{over: purchases, where: {bought_at: {to_date: month}}}]
---
kind: segment
name: Evening or weekend
rules:
  - over: purchases
    where: {any: [{bought_at: {hour_of: {at_least: 18}}}, {bought_at: {weekday_of: [saturday, 7]}}]}
---
kind: segment
name: Silent
rules: [{over: purchases, max: {bought_at: {not: {within_last: 6 months}}}}]
---
kind: segment
name: First bought in May
rules: [{over: purchases, min: {bought_at: {month_of: may}}}]
---
kind: segment
name: First purchase comes round
rules: [{over: purchases, min: {bought_at: {anniversary_within_next: 1 week}}}]
---
kind: segment
name: Birthday soon and bought
rules:
  - over: purchases
    where: {all: [{customer.born: {anniversary_within_next: 2 weeks}}, {bought_at: {to_date: year}}]}
---
kind: segment
name: Birthday soon
where: {born: {anniversary_within_next: 2 weeks}}
---
kind: segment
name: Born in spring
where: {born: {month_of: {between: [march, may]}, or_missing: true}}
"""
CUSTOMERS = {
    "customer_id": ["a", "b", "c", "d"],
    "born": pa.array([date(1990, 5, 9), date(2000, 2, 29), None, date(1985, 12, 31)], pa.date32()),
}
MOMENTS = ["2025-04-30T22:30", "2025-04-02T12:00", "2024-05-07T17:00", "2024-04-30T15:59"]
PURCHASES = {
    "purchase_id": [1, 2, 3, 4],
    "customer_id": ["a", "b", "c", "d"],
    "bought_at": pa.array(
        [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in MOMENTS], pa.timestamp("us", "UTC")
    ),
}


def members(workspace: Workspace, as_of: datetime) -> dict[str, list[str]]:
    report = workspace.refresh(as_of=as_of)
    assert {run.status for run in report.segments} == {Status.SUCCESSFUL}
    return workspace.published().members()


def test_all_times_are_as_of_one_instant(engine: EngineSession, embedded: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "purchases": PURCHASES}, SEGMENTS)
    workspace.apply()
    fixed = {"evening_or_weekend": ["c"], "born_in_spring": ["a", "c"], "first_bought_in_may": ["a", "c"]}
    in_may = {
        "recent": ["a", "b"],
        "lapsed": ["d"],
        "this_month": ["a"],  # it was the first of May in Berlin
        "birthday_soon": ["a"],
        "birthday_soon_and_bought": ["a"],
        "silent": ["c", "d"],
        "first_purchase_comes_round": ["c"],
        **fixed,
    }
    assert members(workspace, datetime(2025, 5, 2, 10, tzinfo=UTC)) == in_may
    assert members(workspace, datetime(2026, 2, 27, 23, 30, tzinfo=UTC)) == {
        "recent": [],
        "lapsed": ["c", "d"],
        "this_month": [],
        "birthday_soon": ["b"],  # the 28th, in Berlin
        "birthday_soon_and_bought": [],
        "silent": ["a", "b", "c", "d"],
        "first_purchase_comes_round": [],
        **fixed,
    }
    with workspace.on(embedded).opened() as project:  # the first snapshot is explained as of then
        for name, ids in in_may.items():
            found = [profile for profile in "ac" if explain_membership(project, name, profile, snapshot=1).is_member]
            assert found == [profile for profile in ids if profile in "ac"], name
        answer = explain_membership(project, "First bought in May", "a", snapshot=1)
        assert answer.lines[-1].saw == "2025-05-01 00:30:00+02:00"
        answer = explain_membership(project, "Birthday soon", "c", snapshot=1)
        assert [(line.text, line.truth) for line in answer.lines] == [
            ("born anniversary_within_next 2 weeks", "missing")
        ]
