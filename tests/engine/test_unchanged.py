"""What cannot have changed since its last refresh keeps its snapshot; each reason why it may have is shown."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from workspace import Workspace

from segengine.engine import commits
from segengine.engine.session import EngineSession
from segengine.errors import DataContractError
from segengine.operations import unchanged
from segengine.operations.dry_run import plan_refresh
from segengine.operations.refresh import RefreshReport
from segengine.operations.segments import count_outline, show_segment

PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: day}
  stores: {path: data/stores, key: store_id}
relationships:
  - purchases.customer_id -> customers
  - purchases.store_id -> stores
audiences: {customer: {table: customers}}
"""
WEST = "kind: segment\nname: West\nwhere: {state: West}\n"
BUYERS = "kind: segment\nname: Buyers\nrules: [{over: purchases, where: {amount: {at_least: 5}}}]\n"
ONLINE = "kind: segment\nname: Online\nrules: [{over: purchases, where: {store.kind: online}}]\n"
LATELY = "kind: segment\nname: Lately\nrules: [{over: purchases, where: {day: {within_last: 30 days}}}]\n"
SPEND = "kind: measure\nname: Spend\nper: customer\nover: purchases\nvalue: {sum: amount}\n"
RICH = "kind: segment\nname: Rich\nwhere: {Spend: {at_least: 10}}\n"
BOTH = "kind: segment\nname: Both\nwhere: {all: [{in_segment: West}, {in_segment: Buyers}]}\n"
ALL = (WEST, BUYERS, ONLINE, LATELY, SPEND, RICH, BOTH)
LONG_AGO = date(2020, 1, 1)
CUSTOMERS = {"customer_id": ["a", "b", "c"], "state": ["West", "West", "East"]}
PURCHASES = {
    "purchase_id": [1, 2, 3],
    "customer_id": ["a", "b", "c"],
    "store_id": [1, 2, 2],
    "amount": [5, 1, 20],
    "day": [LONG_AGO] * 3,
}
STORES = {"store_id": [1, 2], "kind": ["online", "shop"]}


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project whose definitions are applied and refreshed once."""
    workspace = Workspace(tmp_path_factory.mktemp("unchanged"), embedded)
    tables = {"customers": CUSTOMERS, "purchases": PURCHASES, "stores": STORES}
    workspace.set_up(PROJECT, tables, "---\n".join(ALL))
    workspace.apply()
    workspace.refresh()
    return workspace


@pytest.fixture
def workspace(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


def reasons(workspace: Workspace, **choice: bool) -> dict[str, str]:
    """Return why each definition would be evaluated, by name, of those that would."""
    with workspace.opened() as project:
        return {each.definition.name: each.reason for each in plan_refresh(project, **choice) if each.reason}


def kept(report: RefreshReport) -> set[str]:
    runs = [*report.segments, *report.measures]
    return {run.name for run in runs if run.status == "Successful" and run.snapshot_run_id != run.run_id}


@pytest.mark.before_the_engine
def test_nothing_changed(workspace: Workspace) -> None:
    before = {row["segment_id"]: row for row in workspace.published().segment_runs}
    only_time = {"Lately": "it depends on the time of the refresh"}
    assert reasons(workspace) == only_time
    lines: list[str] = []
    report = workspace.refresh(progress=lines.append)
    assert kept(report) == {"West", "Buyers", "Online", "Spend", "Rich", "Both"}
    assert report.unchanged_count == 6
    assert "6 of 7 definition(s) cannot have changed" in lines
    assert report.is_complete
    for run in report.segments:
        was = before[run.segment_id]
        same = ("member_count", "profile_count")
        assert [getattr(run, name) for name in same] == [was[name] for name in same]
        assert (run.entered_count, run.left_count) == (0, 0)
        assert run.snapshot_version == was["snapshot_version"] + (run.name == "Lately")
    assert workspace.members("Both") == ["a"]
    assert workspace.values("Spend") == [("a", 5), ("b", 1), ("c", 20)]
    with workspace.opened() as project:
        assert [run.snapshot_version for run in show_segment(project, "Rich").snapshots] == [1, 1]
        assert count_outline(project, "Buyers").lines[0].count == 2
    assert reasons(workspace) == only_time


def test_a_source_that_changed(workspace: Workspace, embedded: EngineSession) -> None:
    workspace.append_rows("stores", {"store_id": [3], "kind": ["online"]})
    changed = {"Online": 'table "stores" changed', "Lately": "it depends on the time of the refresh"}
    assert reasons(workspace) == changed
    workspace.on(embedded).refresh()
    row = {"purchase_id": [4], "customer_id": ["b"], "store_id": [1], "amount": [9], "day": [LONG_AGO]}
    workspace.append_rows("purchases", row)
    assert set(reasons(workspace)) == {"Buyers", "Online", "Lately", "Spend", "Rich", "Both"}
    assert reasons(workspace)["Rich"] == '"Spend" is evaluated, to which it refers'
    assert kept(workspace.refresh()) == {"West"}
    assert workspace.published().members(only=["buyers", "rich", "both", "online"]) == {
        "buyers": ["a", "b", "c"],
        "rich": ["b", "c"],
        "both": ["a", "b"],
        "online": ["a", "b"],
    }
    with workspace.opened() as project:
        assert [run.entered_count for run in show_segment(project, "Both").snapshots] == [1, 0, 1]


@pytest.mark.before_the_engine
def test_all_of_it_where_that_is_asked_for(workspace: Workspace) -> None:
    assert set(reasons(workspace, full=True).values()) == {"everything is"}
    report = workspace.refresh(full=True)
    assert report.unchanged_count == 0
    assert {run.snapshot_version for run in report.segments} == {2}


@pytest.mark.before_the_engine
def test_another_table_with_the_same_version(workspace: Workspace) -> None:
    shutil.rmtree(workspace.data / "stores")
    workspace.write_table("stores", {"store_id": [1, 2], "kind": ["shop", "online"]})
    assert DeltaTable(str(workspace.data / "stores")).version() == 0
    assert reasons(workspace)["Online"] == 'table "stores" changed'
    workspace.refresh()
    assert workspace.members("Online") == ["b", "c"]


@pytest.mark.before_the_engine
def test_definitions_that_changed(workspace: Workspace) -> None:
    everyone = WEST.replace("{state: West}", "everyone")
    workspace.define("---\n".join([everyone, *ALL[1:]]))
    workspace.apply()
    found = reasons(workspace)
    assert found["West"] == "its definition changed"
    assert found["Both"] == "a definition it refers to changed"
    assert set(found) == {"West", "Both", "Lately"}
    workspace.refresh()
    assert workspace.members("Both") == ["a", "c"]


@pytest.mark.before_the_engine
def test_a_parent_refreshed_by_itself(workspace: Workspace) -> None:
    workspace.refresh("Buyers", full=True)
    assert reasons(workspace)["Both"] == '"Buyers", to which it refers, has another snapshot'
    workspace.refresh("Both")
    assert set(reasons(workspace)) == {"Lately"}


@pytest.mark.before_the_engine
def test_a_refresh_that_did_not_succeed(workspace: Workspace) -> None:
    """Also where the source is then as it was: what failed is tried again."""
    log = workspace.data / "stores" / "_delta_log"
    log.rename(log.with_name("away"))
    with pytest.raises(DataContractError, match='Table "stores"'):
        workspace.refresh("Online")
    log.with_name("away").rename(log)
    assert reasons(workspace)["Online"] == "its last refresh ended Failed"
    assert workspace.refresh("Online").is_complete


@pytest.mark.before_the_engine
def test_a_file_just_written_does_not_tell_whether_it_changed(workspace: Workspace) -> None:
    """Another write within the same tick of the clock would leave it with the same times."""
    read_stores_from(workspace, "stores.csv", "csv")
    write_kinds(workspace, "online", "store")
    workspace.pull()
    workspace.refresh()
    assert reasons(workspace)["Online"] == 'table "stores" does not tell whether it changed'


@pytest.mark.before_the_engine
def test_csv_files(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    read_stores_from(workspace, "stores.csv", "csv")
    file = write_kinds(workspace, "online", "storey")
    workspace.pull()
    workspace.refresh()
    monkeypatch.setattr(commits, "_YOUNG_SECONDS", -60.0)
    assert reasons(workspace)["Online"] == 'table "stores" does not tell whether it changed', "when it was noted"
    workspace.refresh()
    assert "Online" in kept(workspace.refresh())
    assert workspace.members("Online") == ["a"]

    before = file.stat()
    write_kinds(workspace, "storey", "online")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert reasons(workspace)["Online"] == 'table "stores" changed'
    workspace.refresh()
    assert workspace.members("Online") == ["b", "c"]


@pytest.mark.before_the_engine
def test_parquet_files(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file, one less, and one put in the place of another: each is a change."""
    monkeypatch.setattr(commits, "_YOUNG_SECONDS", -60.0)
    read_stores_from(workspace, "kinds", "parquet")
    folder = workspace.data / "kinds"
    folder.mkdir()
    pq.write_table(pa.table(STORES), folder / "1.parquet")
    workspace.pull()
    workspace.refresh()
    assert "Online" in kept(workspace.refresh())

    changes = (
        lambda: pq.write_table(pa.table({"store_id": [3], "kind": ["online"]}), folder / "2.parquet"),
        lambda: (folder / "2.parquet").unlink(),
        lambda: shutil.copy2(folder / "1.parquet", folder / "new") and (folder / "new").rename(folder / "1.parquet"),
    )
    for change in changes:
        change()
        assert reasons(workspace)["Online"] == 'table "stores" changed'
        workspace.refresh()
        assert "Online" not in reasons(workspace)
    shutil.rmtree(folder)
    with pytest.raises(DataContractError, match='Table "stores": there is nothing at'):
        workspace.refresh("Online")


def read_stores_from(workspace: Workspace, path: str, kind: str) -> None:
    """Let the project read the stores from files without versions."""
    text = PROJECT.replace("{path: data/stores, key", f"{{path: data/{path}, format: {kind}, key")
    workspace.write_project(text)


def write_kinds(workspace: Workspace, *kinds: str) -> Path:
    file = workspace.data / "stores.csv"
    file.write_text("store_id,kind\n" + "".join(f"{store},{kind}\n" for store, kind in enumerate(kinds, start=1)))
    return file


@pytest.mark.before_the_engine
def test_a_refresh_for_a_past_time(workspace: Workspace) -> None:
    """It may leave rows out."""
    with workspace.opened() as project:
        planned = plan_refresh(project, as_of=datetime.now(UTC) - timedelta(days=1))
    assert {each.reason for each in planned} == {"the refresh is for a past time"}


@pytest.mark.before_the_engine
def test_another_version_of_segengine(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "__version__", "99.0")
    assert "it was evaluated by segengine" in reasons(workspace)["West"]


@pytest.mark.before_the_engine
def test_a_snapshot_of_a_later_time(workspace: Workspace) -> None:
    workspace.refresh("West", as_of=datetime.now(UTC) + timedelta(days=400))
    assert reasons(workspace)["West"] == "its snapshot is of a later time"


@pytest.mark.before_the_engine
def test_gates_judge_what_is_kept(workspace: Workspace) -> None:
    workspace.define("---\n".join([WEST + "publish_if: {at_least: 3}\n", *ALL[1:]]))
    workspace.apply()
    assert "West" not in reasons(workspace)
    (west,) = (run for run in workspace.refresh().segments if run.name == "West")
    assert (west.status, west.error) == ("Held", "it has 2 members, fewer than 3")
    assert workspace.members("West") == ["a", "b"]


@pytest.mark.before_the_engine
def test_a_run_notes_what_it_read(workspace: Workspace) -> None:
    report = workspace.refresh("West")
    run = workspace.published().runs[-1]
    assert run["run_id"] == report.run_id
    assert json.loads(run["source_versions"]) == {"customers": 0}
    assert set(json.loads(run["source_commits"])) == {"customers"}
    assert report.scans == ()
    assert report.profile_count == 3
