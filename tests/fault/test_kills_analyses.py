"""Refreshes cut off before they are published: no answer counts without the members it is about."""

from __future__ import annotations

from pathlib import Path

import pytest
from answering import Answers
from killing import cut_off, list_changes
from store_checker import check_store
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.operations.context import read_state
from segengine.store.scores import read_result
from segengine.store.snapshots import snapshot_of

PROJECT = """
project: killed
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Rich
where: {income: {at_least: 10}}
---
kind: segment
name: Everybody
where: everyone
"""
INSIGHT = "---\nkind: insight\nname: Both\noverlap: [Rich, Everybody]\n"


@pytest.fixture
def refreshed(embedded: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project with one refresh, whose source has changed since, and which asks something for the first time."""
    monkeypatch.setattr("segengine.operations.evaluation.answer", Answers())
    workspace = Workspace(tmp_path / "refreshed", embedded)
    workspace.folder.mkdir()
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a", "b"], "income": [5, 50]}}, SEGMENTS)
    workspace.apply()
    workspace.refresh()
    workspace.write_table("customers", {"customer_id": ["a", "b", "c"], "income": [5, 50, 70]})
    workspace.define(SEGMENTS + INSIGHT)
    workspace.apply()
    return workspace


def test_a_refresh_that_is_cut_off(refreshed: Workspace, tmp_path: Path) -> None:
    whole = refreshed.copy_to(tmp_path / "whole")
    done = list_changes(whole, "refresh")
    assert done[-1] == "update_one"
    assert done.count("create") == 2, "of the tables of answers and of runs"
    check(whole, is_new=True)
    created = [place + 1 for place, change in enumerate(done) if change == "create"]
    for number in (*created, len(done) - 1, len(done)):
        workspace = refreshed.copy_to(tmp_path / f"{number}")
        cut_off(workspace, "refresh", number)
        check(workspace, is_new=False)
        workspace.refresh()
        check(workspace, is_new=True)


def check(workspace: Workspace, *, is_new: bool) -> None:
    """Verify that members and answer are those before the cut, or those after it."""
    check_store(workspace.warehouse)
    rich = {"b", "c"} if is_new else {"b"}
    assert set(workspace.members("Rich")) == rich
    with workspace.opened() as project:
        _, history = read_state(project)
        current = history.analyses.current("both")
        answer = read_result(project.warehouse, snapshot_of(current)) if current else {}
    assert answer == ({"rich": 2, "everybody": 3} if is_new else {})
