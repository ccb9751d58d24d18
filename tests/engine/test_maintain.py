"""`maintain`: what is thinned, swept and tidied up, and what never is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from workspace import Workspace, read_rows

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, LeaseHeldError
from segengine.operations.measures import read_totals, show_measure
from segengine.operations.membership_changes import read_membership_changes
from segengine.operations.output_tables import write_output_tables
from segengine.operations.segments import count_outline, show_segment
from segengine.store.control import Control
from segengine.store.run_writing import make_run_id
from segengine.store.warehouse import make_frame

PROJECT = """
project: kept
tables:
  customers: {path: data/customers, key: customer_id}
  orders: {path: data/orders, key: order_id}
relationships: [orders.customer_id -> customers]
audiences: {customer: {table: customers}}
keep: {all: 3 days, weekly: 16 days}
"""
DEFINITIONS = """
kind: segment
name: Everybody
where: everyone
---
kind: segment
name: Big
where: {size: {at_least: 2}}
---
kind: measure
name: Size
per: customer
over: orders
value: {max: size}
---
kind: measure
name: Customers
per: business
value: {count: rows}
over: customers
"""
FIRST = datetime(2026, 6, 1, 12, tzinfo=UTC)  # a Monday
DAYS = [FIRST + timedelta(days=number) for number in range(0, 22, 3)]
NOW = DAYS[-1] + timedelta(hours=1)
KEPT = [3, 5, 7, 8]  # the 7th and 14th are Sundays; the last of all, 19th and 22nd, are younger than 3 days
FAR_AWAY = timedelta(days=10_000)


@pytest.fixture(scope="module")
def prepared(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with eight snapshots of everything; each day a customer more, who is big from the second on."""
    workspace = Workspace(tmp_path_factory.mktemp("kept"), embedded)
    workspace.set_up(PROJECT, tables(1), DEFINITIONS)
    workspace.apply()
    for number, day in enumerate(DAYS, start=1):
        for name, columns in tables(number).items():
            workspace.write_table(name, columns)
        workspace.refresh(as_of=day)
    return workspace


@pytest.fixture
def workspace(prepared: Workspace, engine: EngineSession, tmp_path: Path) -> Workspace:
    return prepared.copy_to(tmp_path).on(engine)


def tables(count: int) -> dict[str, dict[str, list[object]]]:
    """Return customers c1, c2, ... of sizes 1, 2, ..., each with an order of that size."""
    customers, sizes = [*ids(1, count)], [*range(1, count + 1)]
    orders: dict[str, list[object]] = {"order_id": [*sizes], "customer_id": [*customers], "size": [*sizes]}
    return {"customers": {"customer_id": [*customers], "size": [*sizes]}, "orders": orders}


def ids(first: int, last: int) -> list[str]:
    return [f"c{number}" for number in range(first, last + 1)]


def versions(workspace: Workspace) -> dict[str, int]:
    """Return the newest version of every table that a lease does not change."""
    folders = [each for each in workspace.warehouse.iterdir() if each.name not in ("control", "registry_control")]
    return {each.name: DeltaTable(str(each)).version() for each in folders if (each / "_delta_log").is_dir()}


def count_files(workspace: Workspace) -> int:
    return sum(each.is_file() for each in workspace.warehouse.rglob("*"))


def test_snapshots_are_thinned(workspace: Workspace, embedded: EngineSession) -> None:
    report = workspace.maintain(as_of=NOW, retention=timedelta(0))
    workspace = workspace.on(embedded)

    thinned = {each.id: [run.snapshot_version for run in each.thinned] for each in report.thinned}
    expected = [number for number in range(1, 9) if number not in KEPT]
    assert thinned == {"big": expected, "everybody": expected, "size": expected}
    stored = {(row["kind"], row["id"]) for row in read_rows(workspace.warehouse / "snapshots")}
    assert stored == {("segment", "big"), ("segment", "everybody"), ("measure", "size"), ("measure", "customers")}
    for number in KEPT:
        assert sorted(workspace.members("Everybody", limit=None, snapshot=number)) == ids(1, number)
        assert len(workspace.values("Size", limit=None, snapshot=number)) == number
    assert sorted(workspace.members("Big", limit=None)) == ids(2, 8)
    with pytest.raises(ConfigError, match=r"only the counts of snapshot 2 \(as of 2026-06-04 12:00 UTC\)") as caught:
        workspace.members("Everybody", snapshot=2)
    assert "Kept: snapshots 3, 5, 7, 8." in caught.value.hint
    with pytest.raises(ConfigError, match="only the counts of snapshot 4"):
        workspace.members("Everybody", at=DAYS[3])
    with pytest.raises(ConfigError, match="only the counts of snapshot 1"):
        workspace.values("Size", snapshot=1)


@pytest.mark.before_the_engine
def test_counts_and_trends_stay(workspace: Workspace) -> None:
    workspace.maintain(as_of=NOW)

    with workspace.opened() as project:
        trend = show_segment(project, "Big").snapshots
        outline = count_outline(project, "Big", snapshot=2)
        details = show_measure(project, "Customers")
        totals = read_totals(project, details.summary.measure, details.snapshots)
        changes = read_membership_changes(project, "Everybody", end="7")
        entered = sorted(row["profile_id"] for batch in changes.rows for row in batch.to_pylist())
    assert [run.member_count for run in trend] == list(range(8))
    assert [run.entered_count for run in trend] == [0, *[1] * 7]
    assert [line.count for line in outline.lines] == [1]
    assert [int(str(next(iter(row.values())))) for row in totals] == list(range(1, 9))
    assert (changes.before.snapshot_version if changes.before else None, entered) == (5, ["c6", "c7"])
    workspace.refresh(as_of=NOW)
    workspace.refresh(as_of=DAYS[3] + timedelta(hours=1))
    back, newest = workspace.published().of("everybody")[-1], workspace.published().of("everybody")[-2]
    assert (newest["snapshot_version"], newest["entered_count"]) == (9, 0)
    assert (back["entered_count"], back["left_count"]) == (5, 0), "against the third, the newest that is kept"


@pytest.mark.before_the_engine
def test_again_it_changes_nothing(workspace: Workspace) -> None:
    workspace.maintain(as_of=NOW, retention=timedelta(0))
    before, files = versions(workspace), count_files(workspace)

    report = workspace.maintain(as_of=NOW, retention=timedelta(0))

    assert report.thinned == ()
    assert [each.swept_rows for each in report.tables] == [0] * len(report.tables)
    assert versions(workspace) == before
    assert abs(count_files(workspace) - files) <= 4, "what the lease leaves"
    assert all(each.after and each.after.row_count == each.before.row_count for each in report.tables)


@pytest.mark.before_the_engine
def test_files_are_put_together(workspace: Workspace) -> None:
    told = workspace.maintain(as_of=NOW, dry_run=True)
    assert sum(each.before.file_count for each in told.tables) == count_files(workspace)

    report = workspace.maintain(as_of=NOW, retention=timedelta(0))

    sizes = {each.table: (each.before, each.after) for each in report.tables}
    for table, (old, new) in sizes.items():
        assert new is not None
        assert new.file_count < 12, table
        assert new.file_count <= max(old.file_count, 6), table
        assert len(DeltaTable(str(workspace.warehouse / table)).file_uris()) == 1, table
    assert sorted(workspace.members("Everybody", limit=None)) == ids(1, 8)
    workspace.refresh()
    assert workspace.published().members()["big"] == ids(2, 8)


@pytest.mark.before_the_engine
def test_time_travel_within_the_retention(workspace: Workspace) -> None:
    snapshots = workspace.warehouse / "snapshots"
    version = DeltaTable(str(snapshots)).version()
    rows = sorted(map(repr, read_rows(snapshots)))

    report = workspace.maintain(as_of=NOW)

    assert report.thinned_count > 0
    assert sorted(map(repr, DeltaTable(str(snapshots), version=version).to_pyarrow_table().to_pylist())) == rows
    assert DeltaTable(str(snapshots), version=0).version() == 0


@pytest.mark.before_the_engine
def test_dry_run_only_says(workspace: Workspace) -> None:
    files = count_files(workspace)

    told = workspace.maintain(as_of=NOW, dry_run=True)

    assert count_files(workspace) == files
    assert all(each.after is None for each in told.tables)
    done = workspace.maintain(as_of=NOW)
    assert [each.id for each in told.thinned] == [each.id for each in done.thinned]
    swept = {each.table: each.swept_rows for each in told.tables if each.swept_rows}
    assert swept == {each.table: each.swept_rows for each in done.tables if each.swept_rows}
    assert set(swept) == {"snapshots"}


@pytest.mark.before_the_engine
def test_what_was_never_published_is_swept(workspace: Workspace) -> None:
    now = datetime.now(UTC)
    dead, counting = make_run_id(now - timedelta(days=2)), make_run_id(now - timedelta(minutes=5))
    with workspace.opened() as project:
        warehouse = project.warehouse
        for run_id in (dead, counting):
            key = {"audience": "customer", "profile_id": f"of {run_id}", "profile_key": 9, "run_id": run_id}
            warehouse.append_rows("profile_keys", [key])
            warehouse.append_rows("snapshots", [{"run_id": run_id, "kind": "segment", "id": "everybody", "bucket": 1}])
            warehouse.append_rows("segment_runs", [{"run_id": run_id, "segment_id": "everybody"}])
            warehouse.append_rows("runs", [{"run_id": run_id}])
    published = workspace.published()

    def left(run_id: str) -> list[str]:
        tables = ("profile_keys", "snapshots", "segment_runs", "runs")
        return [t for t in tables if any(row["run_id"] == run_id for row in read_rows(workspace.warehouse / t))]

    workspace.maintain(as_of=FIRST - FAR_AWAY)
    assert (left(dead), left(counting)) == ([], ["profile_keys", "snapshots", "segment_runs", "runs"])
    workspace.maintain(as_of=FIRST - FAR_AWAY, retention=timedelta(0))
    assert left(counting) == []
    after = workspace.published()
    assert after.keys == published.keys
    assert after.segment_runs == published.segment_runs
    assert after.members() == published.members()


@pytest.mark.before_the_engine
def test_nobody_else_may_be_at_work(workspace: Workspace) -> None:
    with workspace.opened() as project:
        control = Control(project.warehouse, "control")
        with control.lease(make_run_id(datetime.now(UTC)), ["big"]), pytest.raises(LeaseHeldError):
            workspace.maintain()
        source = {"name": "control", "token": control.read().token, "owner": "x|y|z|1|2", "ids": '["big"]'}
        project.warehouse.update_one(
            "control",
            source,
            "name string, token bigint, owner string, ids string",
            "true",
            {"owner": "s.owner", "ids": "s.ids"},
        )
    with pytest.raises(ConfigError, match="ended without saying so"):
        workspace.maintain()


@pytest.mark.before_the_engine
def test_definitions_that_somebody_changes_are_left_alone(workspace: Workspace) -> None:
    with workspace.opened() as project, Control(project.warehouse, "registry_control").lease("a change", []):
        report = workspace.maintain()
    problems = {each.table: each.problem for each in report.tables if each.problem}
    assert set(problems) == {"definitions", "registry_control"}
    assert not report.is_complete


@pytest.mark.before_the_engine
def test_a_damaged_table_does_not_stop_the_others(workspace: Workspace) -> None:
    with workspace.opened() as project:
        (name,) = write_output_tables(project, ["Big"])
        write_output_tables(project, ["Big"])
        output = workspace.warehouse / "output" / name
        frame = make_frame(workspace.session, "segment_id string", [{"segment_id": "x"}])
        frame.write.format("delta").mode("append").save(str(workspace.warehouse / "output" / "Gone"))
    report = workspace.maintain(retention=timedelta(0))
    assert {f"output/{name}", "output/Gone"} <= {each.table for each in report.tables}
    assert len(list(output.glob("*.parquet"))) == 1
    assert sorted(row["customer_id"] for row in read_rows(output)) == ids(2, 8)

    for file in (workspace.warehouse / "output" / "Gone").glob("*.parquet"):
        file.write_bytes(b"no parquet")
    frame.write.format("delta").mode("append").save(str(workspace.warehouse / "output" / "Gone"))
    report = workspace.maintain(retention=timedelta(0))
    assert [each.table for each in report.tables if each.problem] == ["output/Gone"]


@pytest.mark.before_the_engine
def test_nothing_to_maintain(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, tables(1), DEFINITIONS)
    with pytest.raises(ConfigError, match="no refresh has run yet"):
        workspace.maintain()


@pytest.mark.before_the_engine
def test_in_a_terminal(prepared: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = prepared.copy_to(tmp_path)
    argv = ["maintain", "--conf", str(workspace.folder), "--as-of", NOW.isoformat()]

    assert main([*argv, "--dry-run"]) == 0
    assert "12 snapshot(s) of 3 definition(s) would keep only counts, 20 stay" not in capsys.readouterr().out
    assert main([*argv, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["kept"] for each in document["thinned"]] == [KEPT] * 3
    (snapshots,) = (each for each in document["tables"] if each["table"] == "snapshots")
    assert snapshots["row_count_after"] == snapshots["row_count_before"] - snapshots["swept_rows"]
    assert main([*argv, "--retention", "0"]) == 0
    captured = capsys.readouterr()
    assert "no snapshot was thinned" in captured.out
    assert "table snapshots:" in captured.err
    assert main([*argv, "--retention", "soon"]) == 2
    assert "'soon' is no span of time. Examples: 7 days, 12 hours, 0." in capsys.readouterr().err
    assert main(["status", "--conf", str(workspace.folder), "-o", "json", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["purpose"] == "maintain"
    assert main(["segments", "members", "big", "--snapshot", "4", "--conf", str(workspace.folder)]) == 2
    assert "only the counts of snapshot 4" in capsys.readouterr().err
