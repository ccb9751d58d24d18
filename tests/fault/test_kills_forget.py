"""A `forget` killed between any two changes of the disk harms nobody; done again, nothing of the person is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from erased import find_text
from killing import GONE, OPERATIONS, cut_off, kill, list_changes
from workspace import Workspace, read_rows

from segengine.engine.session import EngineSession
from segengine.operations.measures import write_measure_tables
from segengine.operations.member_rows import write_member_rows
from segengine.operations.output_tables import write_output_tables

PROJECT = """
project: forgetting
suppress_key: FORGET_KEY
tables:
  customers: {path: data/customers, key: customer_id}
  orders: {path: data/orders, key: order_id}
relationships: [orders.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: segment, name: Buyers, rules: [{over: orders}]}
---
{kind: measure, name: Last referrer, per: customer, over: orders, value: {arg_max: referrer, by: order_id}}
"""
ORDERS = {"order_id": [1, 2, 3], "customer_id": ["ann", GONE, "cid"], "referrer": [GONE, "ann", "ann"]}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGET_KEY", "a long random text")


@pytest.fixture(scope="module")
def prepared(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with tables of all kinds, whose sources no longer have the person."""
    workspace = Workspace(tmp_path_factory.mktemp("forgetting"), embedded)
    tables = {"customers": {"customer_id": ["ann", GONE, "cid"]}, "orders": ORDERS}
    workspace.set_up(PROJECT, tables, DEFINITIONS)
    workspace.apply()
    workspace.refresh()
    with workspace.opened() as project:
        write_output_tables(project, ["Buyers"])
        write_measure_tables(project)
        write_member_rows(project)
    workspace.write_table("customers", {"customer_id": ["ann", "cid"]})
    workspace.write_table("orders", {"order_id": [3], "customer_id": ["cid"], "referrer": ["ann"]})
    return workspace


def check_others(workspace: Workspace) -> None:
    others = {"ann", "cid"}
    assert set(workspace.members("Buyers", limit=None)) - {GONE} == others
    values = dict(workspace.values("Last referrer", limit=None))
    assert (set(values) - {GONE}, values["cid"]) == (others, "ann")
    assert {row["customer_id"] for row in read_rows(workspace.warehouse / "output/Buyers")} - {GONE} == others
    assert {row["member_count"] for row in workspace.published().of("buyers")} == {3}


End = Callable[[Workspace, str, int], None]


def check_end(workspace: Workspace, number: int, end: End) -> None:
    end(workspace, "forget", number)
    check_others(workspace)
    with workspace.opened() as project:
        OPERATIONS["forget"](project)
    check_others(workspace)
    workspace.maintain(retention=timedelta(0))
    assert find_text(workspace.warehouse, GONE) == []


def test_a_forgetting_that_is_cut_off(prepared: Workspace, tmp_path: Path) -> None:
    """Before anything is there, with nothing published, before the first and before the last erasure."""
    done = list_changes(prepared.copy_to(tmp_path / "whole"), "forget")
    merges = [place for place, name in enumerate(done, 1) if name in ("update_one", "_merge")]
    _, publish, first, *_ = merges
    for number in (1, publish, first, merges[-2]):  # the last one gives the lease back
        check_end(prepared.copy_to(tmp_path / f"cut_off_{number}"), number, cut_off)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("end", [cut_off, kill])
def test_a_forgetting_cut_off_anywhere(prepared: Workspace, tmp_path: Path, end: End) -> None:
    done = list_changes(prepared.copy_to(tmp_path / "whole"), "forget")
    for number in range(1, len(done) + 1):
        check_end(prepared.copy_to(tmp_path / f"{number}"), number, end)
