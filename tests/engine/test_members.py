"""Members with attributes, who entered and left, and how they are written to files."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import Workspace

from segengine import Project
from segengine.cli.main import main
from segengine.cli.periods import within_period
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.operations.members import read_segment_members
from segengine.operations.membership_changes import MembershipChanges, read_membership_changes

PROJECT = """
project: small
tables:
  customers: {path: data/customers, key: customer_id}
  stores: {path: data/stores, key: store_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [{from: customers.store_id, to: stores, name: home_store}, purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Adults
rules:
  - where: {all: [{age: {at_least: 18}}, {not: {home_store.city: Reno}}]}
  - except: {over: purchases, where: {amount: {less_than: 0}}}
"""
SPENDERS = """
kind: measure
name: Spend
per: customer
over: purchases
values: {sum: {sum: amount}, rows: {count: rows}}
---
kind: segment
name: Spenders
where: {all: [{Spend.sum: {at_least: 20}}, {Spend.rows: {at_least: 1}}]}
---
kind: segment
name: Adults
where: {age: {at_least: 18}}
"""
STORES = {"store_id": [1, 2], "city": ["Reno", "Oslo"]}
MARCH, APRIL, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))


def customers(ages: dict[str, int | None]) -> dict[str, object]:
    since = [date(2020, 1, 1 + number) for number in range(len(ages))]
    return {"customer_id": list(ages), "age": [*ages.values()], "store_id": [2] * len(ages), "since": since}


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three snapshots: a and b; b and c, for a is a child again; c alone, for b is gone from the table."""
    workspace = Workspace(tmp_path_factory.mktemp("members"), embedded)
    purchases = {"purchase_id": [1], "customer_id": ["a"], "amount": [1]}
    first = customers({"a": 20, "b": 30, "c": 1})
    workspace.set_up(PROJECT, {"customers": first, "stores": STORES, "purchases": purchases}, SEGMENTS)
    workspace.apply()
    workspace.refresh(as_of=MARCH)
    workspace.write_table("customers", customers({"a": 2, "b": 31, "c": 40}))
    workspace.refresh(as_of=APRIL)
    workspace.write_table("customers", customers({"a": 3, "c": 41}))
    workspace.refresh(as_of=MAY)
    return workspace


@pytest.fixture
def shop(engine: EngineSession, refreshed: Workspace) -> Workspace:
    return refreshed.on(engine)


def rows_of(changes: MembershipChanges) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for batch in changes.rows for row in batch.to_pylist()]


def test_members_with_attributes_as_their_run_read_them(shop: Workspace) -> None:
    with shop.opened() as project:
        members = read_segment_members(project, "Adults", snapshot=1, attributes=None)
        assert members.columns == {"profile_id": "customer_id", "age": "age", "home_store.city": "home_store.city"}
        assert [tuple(row.values()) for batch in members.rows for row in batch.to_pylist()] == [
            ("a", 20, "Oslo"),
            ("b", 30, "Oslo"),
        ]
        everybody = read_segment_members(project, "adults", limit=None, attributes=["since"])
        assert [tuple(row.values()) for batch in everybody.rows for row in batch.to_pylist()] == [
            ("c", date(2020, 1, 2))
        ]


@pytest.fixture(scope="module")
def spending(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two snapshots of a segment of what customers spent: of 20 and more, and the same when b has spent more."""
    workspace = Workspace(tmp_path_factory.mktemp("spending"), embedded)
    spent = {"purchase_id": [1, 2], "customer_id": ["a", "b"], "amount": [20, 30]}
    tables = {"customers": customers({"a": 20, "b": 30, "c": 1}), "stores": STORES, "purchases": spent}
    workspace.set_up(PROJECT, tables, SPENDERS)
    workspace.apply()
    workspace.refresh(as_of=MARCH)
    workspace.append_rows("purchases", {"purchase_id": [3], "customer_id": ["b"], "amount": [5]})
    workspace.refresh(as_of=APRIL)
    return workspace


@pytest.fixture
def measured(engine: EngineSession, spending: Workspace, tmp_path: Path) -> Workspace:
    return spending.copy_to(tmp_path).on(engine)


def members_of(workspace: Workspace, name: str, **choice: Any) -> list[tuple[object, ...]]:
    with workspace.opened() as project:
        rows = list(read_segment_members(project, name, **choice).rows)
    return [tuple(row.values()) for batch in rows for row in batch.to_pylist()]


def test_measures_beside_members_as_their_run_saw_them(measured: Workspace) -> None:
    assert members_of(measured, "Spenders", attributes=None) == [("a", 20, 1), ("b", 35, 2)]
    assert members_of(measured, "Spenders", attributes=None, snapshot=1) == [("a", 20, 1), ("b", 30, 1)]
    asked = ["Spend.rows", "age", "Spend.sum"]
    assert members_of(measured, "Adults", attributes=asked) == [("a", 1, 20, 20), ("b", 2, 30, 35)]
    with measured.opened() as project:
        changes = read_membership_changes(project, "Spenders", end="1", attributes=["Spend.sum"])
        assert rows_of(changes) == [("entered", "a", 20), ("entered", "b", 30)]


def test_measures_that_members_have_no_values_of(measured: Workspace, embedded: EngineSession) -> None:
    measured.define(SPENDERS.replace("sum: {sum: amount}", "sum: {max: amount}"))
    measured.apply()
    assert members_of(measured, "Spenders", attributes=None) == [("a",), ("b",)]
    with pytest.raises(ConfigError, match='There are no values of measure "Spend.sum" as snapshot 2 of "Spenders"'):
        members_of(measured, "Spenders", attributes=["Spend.sum"])
    with pytest.raises(ConfigError, match='"Spnd.sum".*Did you mean "Spend.sum"'):
        members_of(measured, "Spenders", attributes=["Spnd.sum"])
    with pytest.raises(ConfigError, match='no value "smu"'):
        members_of(measured, "Spenders", attributes=["Spend.smu"])
    measured.on(embedded).refresh(as_of=MAY)
    assert members_of(measured, "Spenders", attributes=["Spend.sum"]) == [("a", 20), ("b", 30)]


def test_who_entered_and_left(shop: Workspace) -> None:
    with shop.opened() as project:
        changes = read_membership_changes(project, "Adults", start="1", end="2026-04-02", attributes=["age"])
        assert (changes.entered_count, changes.left_count) == (1, 1)
        assert rows_of(changes) == [("entered", "c", 40), ("left", "a", 2)]
        newest = read_membership_changes(project, "Adults")
        assert newest.before is not None
        assert (newest.before.snapshot_version, newest.after.snapshot_version) == (2, 3)
        assert rows_of(newest) == [("left", "b", None, None)], "gone from the table: nothing is known of it"


@pytest.mark.before_the_engine
def test_changes_from_the_beginning_to_nowhere(shop: Workspace) -> None:
    with shop.opened() as project:
        first = read_membership_changes(project, "Adults", end="1", limit=1, attributes=())
        assert first.before is None
        assert (first.entered_count, rows_of(first)) == (2, [("entered", "a")])
        same = read_membership_changes(project, "Adults", start="2", end="2")
        assert (same.entered_count, same.left_count, rows_of(same)) == (0, 0, [])
        with pytest.raises(ConfigError, match="Snapshot 3 is later than snapshot 1"):
            read_membership_changes(project, "Adults", start="3", end="1")
        with pytest.raises(ConfigError, match="no snapshot that old"):
            read_membership_changes(project, "Adults", start="2025-01-01")
        with pytest.raises(ConfigError, match='has no column "agee"'):
            read_membership_changes(project, "Adults", attributes=["agee"])


def test_trends_of_a_period(refreshed: Workspace) -> None:
    runs = refreshed.listed()["adults"]
    assert runs.current is not None
    with refreshed.opened() as project:
        from segengine.operations.segments import show_segment

        snapshots = show_segment(project, "adults").snapshots
    kept = {period: [run.snapshot_version for run in within_period(snapshots, period)] for period in ("7-days", "all")}
    assert kept == {"7-days": [3], "all": [1, 2, 3]}
    assert [run.snapshot_version for run in within_period(snapshots, "30-days")] == [2, 3]
    assert within_period([], "7-days") == []


def test_files(refreshed: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = ["--conf", str(refreshed.folder)]
    file = tmp_path / "members.parquet"
    arguments = ["segments", "members", "adults", "--snapshot", "2", "--attributes", "age,since"]
    assert main([*arguments, "-o", "parquet", "--file", str(file), *conf]) == 0
    table = pq.read_table(file)
    assert table.schema.field("since").type == pa.date32()
    assert sorted(table.to_pydict()["customer_id"]) == ["b", "c"]
    assert main([*arguments, "-o", "csv", *conf]) == 0
    lines = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert lines[0] == ["customer_id", "age", "since"]
    assert sorted(lines[1:]) == [["b", "31", "2020-01-02"], ["c", "40", "2020-01-03"]]
    assert main(["segments", "changes", "adults", "-o", "json", *conf]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert changes["rows"] == [{"change": "left", "profile_id": "b", "age": None, "home_store.city": None}]
    first = ["segments", "changes", "adults", "--to", "1", "-o", "csv", "--file", str(tmp_path / "c.csv")]
    assert main([*first, *conf]) == 0
    assert (tmp_path / "c.csv").read_text().startswith("change,customer_id,age,home_store.city\nentered,")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert main(["segments", "members", "adults", "-o", "parquet", *conf]) == 2
    assert main(["segments", "members", "adults", "-o", "csv", "--file", str(tmp_path / "no" / "m.csv"), *conf]) != 0


def test_show_with_members(refreshed: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["segments", "show", "Adults", "--conf", str(refreshed.folder)]
    assert main([*command, "--members"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"customer_id +age +home_store.city\n.*\n +c +41 +Oslo\n", shown)
    assert shown.rstrip().endswith("the first 1 of 1 members")
    assert main([*command, "--members", "5", "-o", "json"]) == 0
    segment = json.loads(capsys.readouterr().out)["segment"]
    assert segment["members"] == [{"customer_id": "c", "age": 41, "home_store.city": "Oslo"}]
    assert main([*command, "-o", "json"]) == 0
    assert "members" not in json.loads(capsys.readouterr().out)["segment"]
    assert main([*command, "--members", "--counts"]) == 2
    assert "it goes without --members" in capsys.readouterr().err
    assert main([*command, "--members", "0"]) == 2


def test_show_with_members_before_there_are_any(
    embedded_engine: EngineSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path, embedded_engine)
    tables = {"customers": customers({"a": 20}), "stores": STORES}
    purchases = {"purchase_id": [1], "customer_id": ["a"], "amount": [1]}
    workspace.set_up(PROJECT, {**tables, "purchases": purchases}, SEGMENTS)
    workspace.apply()
    assert main(["segments", "show", "Adults", "--members", "--conf", str(tmp_path)]) == 0
    assert "no members: it has no snapshot yet" in capsys.readouterr().out


def test_members_as_a_table_from_python(refreshed: Workspace) -> None:
    with Project(refreshed.folder) as project:
        table = project.members_with_attributes("Adults", snapshot=1, limit=1)
        assert table.to_pylist() == [{"customer_id": "a", "age": 20, "home_store.city": "Oslo"}]
        since = project.members_with_attributes("Adults", limit=None, attributes=["since"])
        assert since.to_pylist() == [{"customer_id": "c", "since": date(2020, 1, 2)}]
