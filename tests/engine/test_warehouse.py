"""Where the few rows of runs and leases go: by deltalake in a folder of this machine, by the engine elsewhere."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NoReturn

import pytest
from deltalake import DeltaTable, TableFeatures
from store_checker import check_store
from workspace import Workspace

from segengine.engine.session import EngineSession

PROJECT = """
project: elsewhere
warehouse: {warehouse}
tables: {{customers: {{path: data/customers, key: customer_id}}}}
audiences: {{customer: {{table: customers}}}}
"""
SEGMENTS = """
{kind: segment, name: Everybody, where: everyone}
---
{kind: segment, name: Others, where: {not: {customer_id: [a]}}}
"""
SMALL_TABLES = ("control", "registry_control", "definitions", "runs", "segment_runs", "measure_runs")


def set_up(folder: Path, engine: EngineSession, warehouse: str = "warehouse") -> Workspace:
    workspace = Workspace(folder, engine)
    customers = {"customer_id": ["a", "b"]}
    workspace.set_up(PROJECT.format(warehouse=warehouse), {"customers": customers}, SEGMENTS)
    workspace.apply()
    return workspace


def refresh_twice(workspace: Workspace) -> None:
    """Verify what is published after each refresh; the second one reads what the first one wrote."""
    workspace.refresh()
    assert workspace.published().members() == {"everybody": ["a", "b"], "others": ["b"]}
    workspace.write_table("customers", {"customer_id": ["b", "c"]})
    workspace.refresh()
    assert workspace.published().members() == {"everybody": ["b", "c"], "others": ["b", "c"]}
    assert {summary.segment.name for summary in workspace.listed().values()} == {"Everybody", "Others"}
    check_store(workspace.warehouse)


def written_by(workspace: Workspace, table: str) -> set[str]:
    """Return the programs that a table's commits name."""
    logs = (workspace.warehouse / table / "_delta_log").glob("*.json")
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return {re.split("[:/]", line["commitInfo"]["engineInfo"])[0] for line in lines if "commitInfo" in line}


@pytest.mark.before_the_engine
def test_in_a_folder(engine: EngineSession, tmp_path: Path) -> None:
    workspace = set_up(tmp_path, engine)
    refresh_twice(workspace)
    assert {table: written_by(workspace, table) for table in SMALL_TABLES} == dict.fromkeys(SMALL_TABLES, {"delta-rs"})
    assert written_by(workspace, "snapshots") > {"delta-rs"}, "created by deltalake, filled by the engine"


@pytest.mark.over_connect
def test_definitions_at_a_url(engine: EngineSession, tmp_path: Path) -> None:
    workspace = set_up(tmp_path, engine, (tmp_path / "warehouse").as_uri())
    assert {str(change.action) for change in workspace.plan().changes} == {"unchanged"}
    assert not any("delta-rs" in written_by(workspace, table) for table in ("registry_control", "definitions"))


def test_runs_at_a_url(engine: EngineSession, embedded: EngineSession, tmp_path: Path) -> None:
    prepared = set_up(tmp_path, embedded, (tmp_path / "warehouse").as_uri())
    prepared.write_table("customers", {"customer_id": ["a", "c"]})
    prepared.refresh()
    workspace = prepared.on(engine)
    workspace.write_table("customers", {"customer_id": ["a", "b"]})
    workspace.refresh()
    assert workspace.published().members() == {"everybody": ["a", "b"], "others": ["b"]}
    assert workspace.published().last_keys == {"customer": 3}
    listed = workspace.listed().values()
    assert {summary.segment.name: summary.current and summary.current.member_count for summary in listed} == {
        "Everybody": 2,
        "Others": 1,
    }
    check_store(workspace.warehouse)
    assert not any("delta-rs" in written_by(workspace, table) for table in SMALL_TABLES)


@pytest.mark.before_the_engine
def test_in_a_folder_without_hard_links(engine: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As mounts of object stores are: deltalake reads there, and the engine writes."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    workspace = set_up(tmp_path, engine)
    refresh_twice(workspace)
    assert not any("delta-rs" in written_by(workspace, table) for table in SMALL_TABLES)
    assert [each.name for each in workspace.warehouse.iterdir() if each.name.startswith(".")] == []


@pytest.mark.before_the_engine
def test_tables_with_a_feature_that_deltalake_lacks(engine: EngineSession, tmp_path: Path) -> None:
    workspace = set_up(tmp_path, engine)
    workspace.refresh()
    for table in ("control", "runs", "segment_runs"):
        stored = DeltaTable(workspace.warehouse / table)
        stored.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    workspace.write_table("customers", {"customer_id": ["b", "c"]})
    workspace.refresh()
    assert sorted(workspace.members("Everybody")) == ["b", "c"]
    assert {summary.current.snapshot_version for summary in workspace.listed().values() if summary.current} == {2}
    assert written_by(workspace, "control") > {"delta-rs"}
