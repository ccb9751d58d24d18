"""Refreshes of two audiences killed anywhere, also between them: nothing of either is published, or all of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from store_checker import check_store
from test_kills import TABLES, is_taken, kills, run_until_killed, start
from workspace import Published, Workspace

from segengine.engine.session import EngineSession
from segengine.store.runs import Status

PROJECT = """
project: killed
tables:
  accounts: {path: data/accounts, key: account_id}
  contacts: {path: data/contacts, key: contact_id}
  orders: {path: data/orders, key: order_id}
relationships:
  - contacts.account_id -> accounts
  - orders.account_id -> accounts
audiences:
  account: {table: accounts}
  contact: {table: contacts, account: account}
"""
SEGMENTS = """
kind: segment
name: Large
audience: account
where: {employees: {at_least: 500}}
---
kind: segment
name: At large
audience: contact
where: {in_segment: Large}
---
kind: segment
name: At buyers
audience: contact
rules: [{over: orders}]
---
kind: segment
name: Others
audience: contact
where: {not: {in_segment: At buyers}}
"""
OLD = {"large": ["x"], "at_large": ["a"], "at_buyers": ["b"], "others": ["a", "c"]}
NEW = {"large": ["y", "z"], "at_large": ["b", "d"], "at_buyers": ["a", "d"], "others": ["b"]}
KEYS = {False: {"account": 2, "contact": 3}, True: {"account": 3, "contact": 4}}
# On each side new keys, then snapshots; the account's rows and keys come before anything of the contacts.
WRITES = [
    "take lease",
    *("account keys", "account snapshots", "contact keys", "contact snapshots"),
    *("segment_runs", "runs", "publish"),
]
PUBLISHING = len(TABLES) + len(WRITES)


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with one refresh, whose sources have changed since on both sides."""
    workspace = Workspace(tmp_path_factory.mktemp("refreshed"), embedded)
    tables = {
        "accounts": {"account_id": ["x", "y"], "employees": [900, 9]},
        "contacts": {"contact_id": ["a", "b", "c"], "account_id": ["x", "y", None]},
        "orders": {"order_id": [1], "account_id": ["y"]},
    }
    workspace.set_up(PROJECT, tables, SEGMENTS)
    workspace.apply()
    workspace.refresh()
    assert members(workspace.published()) == OLD
    workspace.write_table("accounts", {"account_id": ["x", "y", "z"], "employees": [9, 900, 900]})
    workspace.write_table("contacts", {"contact_id": ["a", "b", "d"], "account_id": ["x", "y", "z"]})
    workspace.write_table("orders", {"order_id": [1, 2], "account_id": ["x", "z"]})
    return workspace


def members(published: Published) -> dict[str, list[str]]:
    return published.members("account", ["large"]) | published.members("contact", ["at_large", "at_buyers", "others"])


def check(workspace: Workspace, is_new: bool, run_count: int, died: bool = False) -> None:
    """Verify that the old state counts, or the new one, on both sides at once; `died`: a run was cut off."""
    check_store(workspace.warehouse)
    published = workspace.published()
    assert members(published) == (NEW if is_new else OLD)
    assert len(published.runs) == run_count
    assert published.last_keys == KEYS[is_new]
    statuses = {summary.status for summary in workspace.listed().values()}
    assert statuses == {Status.FAILED if died else Status.SUCCESSFUL}


def test_number_of_writes(refreshed: Workspace, tmp_path: Path) -> None:
    """The kills below hit every write there is."""
    workspace = refreshed.copy_to(tmp_path)
    child = start(workspace, "refresh", 0, "never", "embedded")
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    assert output.split() == ["started", "opened", str(PUBLISHING)]
    check(workspace, True, 2)


@pytest.mark.parametrize(("number", "when"), kills(len(TABLES) + 1, PUBLISHING))
def test_killed_refresh_leaves_the_old_or_the_new_state_of_both(
    refreshed: Workspace, tmp_path: Path, number: int, when: str
) -> None:
    workspace = refreshed.copy_to(tmp_path)

    run_until_killed(workspace, "refresh", number, when)

    done = (number, when) == (PUBLISHING, "after")
    check(workspace, done, 2 if done else 1, died=not done and is_taken(number, when))
    workspace.refresh()
    check(workspace, True, 3 if done else 2)


@pytest.mark.parametrize("audience", ["account", "contact"])
def test_failure_of_one_side_publishes_nothing_of_the_other(
    refreshed: Workspace, tmp_path: Path, audience: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segengine.errors import RunError
    from segengine.operations import evaluation

    write: Any = evaluation.write_snapshots
    stages: list[str] = []

    def fail_at(*arguments: Any) -> None:
        stages.append("account" if not stages else "contact")
        if stages[-1] == audience:
            raise RunError("the disk is full")
        write(*arguments)

    workspace = refreshed.copy_to(tmp_path)
    monkeypatch.setattr(evaluation, "write_snapshots", fail_at)
    with pytest.raises(RunError, match="the disk is full"):
        workspace.refresh()

    published = workspace.published()
    assert members(published) == OLD
    assert published.last_keys == KEYS[False]
    assert {summary.status for summary in workspace.listed().values()} == {Status.FAILED}
    monkeypatch.undo()
    workspace.refresh()
    check(workspace, True, 3)
