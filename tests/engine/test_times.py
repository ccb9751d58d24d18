"""Relative times and parts of dates in a whole refresh: one instant and one zone for all of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from workspace import Workspace

from segengine.engine.session import EngineSession
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


def test_all_times_are_as_of_one_instant(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    workspace.write_project(PROJECT)
    workspace.write_table("customers", CUSTOMERS)
    workspace.write_table("purchases", PURCHASES)
    workspace.define(SEGMENTS)
    workspace.pull()
    workspace.apply()
    fixed = {"evening_or_weekend": ["c"], "born_in_spring": ["a", "c"]}
    assert members(workspace, datetime(2025, 5, 2, 10, tzinfo=UTC)) == {
        "recent": ["a", "b"],
        "lapsed": ["d"],
        "this_month": ["a"],  # it was the first of May in Berlin
        "birthday_soon": ["a"],
        **fixed,
    }
    assert members(workspace, datetime(2026, 2, 27, 23, 30, tzinfo=UTC)) == {
        "recent": [],
        "lapsed": ["c", "d"],
        "this_month": [],
        "birthday_soon": ["b"],  # the 28th, in Berlin
        **fixed,
    }
