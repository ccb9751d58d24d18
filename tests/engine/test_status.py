"""How a project stands: runs and what they read and wrote, whose the rows are, metrics for Prometheus."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable
from prometheus_client.parser import text_fd_to_metric_families
from workspace import Workspace, read_rows

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import SegEngineError
from segengine.operations.costs import RunCosts, read_costs
from segengine.operations.metrics import write_metrics
from segengine.operations.status import ProjectStatus, read_status

PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
  reviews: {path: data/reviews, key: review_id}
relationships:
  - purchases.customer_id -> customers
  - reviews.customer_id -> customers
audiences: {customer: {table: customers}}
"""
TABLES = {
    "customers": {"customer_id": ["a", "b", "c", "d"], "city": ["Rome", "Rome", "Oslo", "Oslo"]},
    "purchases": {"purchase_id": [1, 2, 3], "customer_id": ["a", "c", "x"], "amount": [5, 50, 5]},
    "reviews": {"review_id": [1, 2, 3, 4, 5], "customer_id": ["a", "a", "b", "c", "d"], "stars": [1, 5, 5, 5, 5]},
}
SEGMENTS = """
kind: segment
name: Everybody
where: everyone
---
kind: segment
name: Buyers
rules: [{over: purchases}]
---
kind: segment
name: Big buyers
rules: [{over: purchases, where: {amount: {at_least: 50}}}]
---
kind: segment
name: Romans who complain
rules:
  - where: {city: Rome}
  - intersect: {over: reviews, where: {stars: 1}}
---
kind: measure
name: Stars
per: customer
over: reviews
value: {average: stars}
"""


@pytest.fixture
def shop(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, TABLES, SEGMENTS)
    workspace.apply()
    return workspace


def status_of(workspace: Workspace) -> ProjectStatus:
    with workspace.opened() as project:
        return read_status(project)


def costs_of(workspace: Workspace) -> RunCosts:
    with workspace.opened() as project:
        return read_costs(project)


def metrics_of(workspace: Workspace, file: Path) -> dict[tuple[str, ...], float]:
    """Return the values of a file of metrics by name and labels without the project's, read as Prometheus does."""
    with workspace.opened() as project:
        write_metrics(project, file)
    with file.open() as text:
        samples = [sample for family in text_fd_to_metric_families(text) for sample in family.samples]
    assert {sample.labels.pop("project") for sample in samples} == {"shop"}
    return {(sample.name.removeprefix("segengine_"), *sample.labels.values()): sample.value for sample in samples}


def data_bytes(table: Path) -> int:
    return sum(file.stat().st_size for file in table.rglob("*.parquet") if "_delta_log" not in file.parts)


def test_what_runs_read_and_wrote(shop: Workspace, embedded: EngineSession) -> None:
    shop.on(embedded).refresh()
    created = data_bytes(shop.warehouse / "snapshots")  # on Spark with an empty file, which no run wrote
    shop.refresh(full=True)
    everything = data_bytes(shop.warehouse / "snapshots") - created
    shop.refresh("Buyers", full=True)
    buyers = data_bytes(shop.warehouse / "snapshots") - created - everything
    runs = status_of(shop).runs[:2]
    assert [summary.run.snapshot_bytes for summary in runs] == [buyers, everything]
    assert [(summary.run.row_count, summary.orphan_count) for summary in runs] == [(4 + 3, 1), (4 + 3 + 5, 1)]
    assert 0 < buyers < everything
    assert status_of(shop).last_success == runs[0].run


@pytest.mark.before_the_engine
def test_a_run_that_fails_leaves_the_last_success_as_it_was(shop: Workspace) -> None:
    shop.refresh()
    good = status_of(shop).last_success
    shutil.rmtree(shop.data / "customers")
    with pytest.raises(SegEngineError):
        shop.refresh()
    status = status_of(shop)
    assert status.last_success == good
    assert (status.runs[0].run.status, status.runs[0].run.snapshot_bytes) == ("Failed", None)


def test_a_run_that_publishes_no_snapshot_is_no_success(shop: Workspace, embedded: EngineSession) -> None:
    shop.on(embedded).refresh()
    good = status_of(shop).last_success
    shop.define("kind: segment\nname: Many\nwhere: everyone\npublish_if: {at_least: 100}\n", "many.yml")
    shop.apply()
    assert [str(run.status) for run in shop.refresh("Many").segments] == ["Held"]
    assert status_of(shop).last_success == good


def test_the_size_of_the_warehouse(shop: Workspace) -> None:
    assert status_of(shop).size.tables.keys() == {"definitions", "registry_control"}, "nothing was refreshed"
    shop.refresh()
    size = status_of(shop).size
    assert {"control", "runs", "segment_runs", "snapshots", "profile_keys"} <= size.tables.keys()
    for name, table in size.tables.items():
        files = DeltaTable(str(shop.warehouse / name)).file_uris()
        assert (table.file_count, table.byte_count) == (len(files), sum(Path(file).stat().st_size for file in files))
    assert size.byte_count == sum(table.byte_count for table in size.tables.values())
    assert size.disk_bytes == sum(file.stat().st_size for file in shop.warehouse.rglob("*") if file.is_file())
    assert size.disk_bytes > size.byte_count, "the control row was rewritten, and there are logs"


@pytest.mark.before_the_engine
def test_rows_are_divided_among_those_that_ask_something_of_them(shop: Workspace) -> None:
    assert costs_of(shop) == RunCosts(None)
    report = shop.refresh()
    found = costs_of(shop)
    assert found.run is not None
    assert found.run.run_id == report.run_id
    # 4 customers are read for one segment; 3 purchases, and 5 reviews, for two definitions each
    assert [(each.definition.name, each.cost.share * 12, each.cost.own_row_count) for each in found.costs] == [
        ("Romans who complain", pytest.approx(4 + 2.5), 4),
        ("Stars", pytest.approx(2.5), 0),
        ("Big buyers", pytest.approx(1.5), 0),
        ("Buyers", pytest.approx(1.5), 0),
    ]
    assert found.costs[0].cost.scans == ("customers", "reviews > customer")
    shop.refresh("Everybody", full=True)
    assert [(each.definition.name, each.cost.share) for each in costs_of(shop).costs] == [("Everybody", 1.0)], (
        "it asks nothing, but the profiles are read to know who is there"
    )


@pytest.mark.before_the_engine
def test_metrics(shop: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()
    before = metrics_of(shop, folder / "shop.prom")
    assert before["definitions", "segment", "Not started"] == 4
    assert ("last_success_timestamp_seconds",) not in before, "there was none"
    began = datetime.now(UTC).timestamp()
    shop.refresh()
    good = metrics_of(shop, folder / "shop.prom")
    assert good["last_success_timestamp_seconds",] == good["last_run_timestamp_seconds",] > began
    assert good["last_run_duration_seconds",] > 0
    assert good["last_run_rows_read",] == 12
    assert good["last_run_snapshot_bytes",] == status_of(shop).runs[0].run.snapshot_bytes
    assert good["last_run_snapshot_bytes",] > 0
    assert good["segment_members", "buyers"] == 2
    assert began < good["segment_as_of_timestamp_seconds", "buyers"] < good["last_success_timestamp_seconds",]
    assert (good["definitions", "segment", "Successful"], good["definitions", "measure", "Successful"]) == (4, 1)
    assert (good["last_run_success",], good["run_under_way",], good["due_definitions",]) == (1, 0, 0)
    shutil.rmtree(shop.data / "customers")
    with pytest.raises(SegEngineError):
        shop.refresh()
    bad = metrics_of(shop, folder / "shop.prom")
    assert bad["last_run_success",] == 0
    assert bad["last_success_timestamp_seconds",] == good["last_success_timestamp_seconds",]
    assert (bad["definitions", "segment", "Failed"], bad["segment_members", "buyers"]) == (4, 2)
    assert [file.name for file in folder.iterdir()] == ["shop.prom"], "written beside it, then renamed"


@pytest.fixture
def written(embedded_engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, embedded_engine)
    workspace.set_up(PROJECT, TABLES, SEGMENTS)
    workspace.apply()
    return workspace


def test_refresh_writes_metrics_however_it_ends(written: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    file = written.folder / "shop.prom"
    arguments = ["refresh", "--conf", str(written.folder), "--metrics-file", str(file)]
    assert main(arguments) == 0
    assert 'segengine_last_run_success{project="shop"} 1.0' in file.read_text()
    shutil.rmtree(written.data / "customers")
    assert main(arguments) == 1
    assert "there is nothing at" in capsys.readouterr().err
    assert 'segengine_last_run_success{project="shop"} 0.0' in file.read_text()


def test_status_as_table_json_and_metrics(written: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    written.refresh()
    file = written.folder / "shop.prom"
    conf = ["--conf", str(written.folder)]
    assert main(["status", "--costs", "--metrics-file", str(file), *conf]) == 0
    shown = capsys.readouterr().out
    assert "due now: 0 definitions; next due: nothing by a schedule" in shown
    assert "5 Successful" in shown
    assert " of it snapshots; " in shown
    assert "whose are the 12 rows that run_" in shown
    assert "Romans who complain   segment   54.2 %" in shown
    assert "segengine_last_success_timestamp_seconds" in file.read_text()
    assert main(["status", "--costs", "-o", "json", *conf]) == 0
    document = json.loads(capsys.readouterr().out)
    (run,) = document["runs"]
    assert (run["row_count"], run["purpose"]) == (12, "refresh")
    assert run["snapshot_bytes"] == data_bytes(written.warehouse / "snapshots")
    assert document["last_success"]["run_id"] == run["run_id"] == document["costs"]["run_id"]
    assert document["warehouse"]["tables"]["runs"]["file_count"] == 1
    first = document["costs"]["definitions"][0]
    assert (first["id"], first["own_row_count"], round(first["row_share"], 3)) == ("romans_who_complain", 4, 0.542)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/shop.prom", "there is no folder"),
        ("shop.txt", "the collector reads files whose names end with .prom"),
    ],
)
def test_metrics_that_cannot_be_written_are_refused_before_any_work(
    written: Workspace, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    file = written.folder / name
    assert main(["refresh", "--conf", str(written.folder), "--metrics-file", str(file)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "starting engine" not in error
    assert not (written.warehouse / "runs").exists()
    assert not file.exists()


def test_without_the_library_metrics_say_how_to_get_it(
    written: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    file = written.folder / "shop.prom"
    assert main(["status", "--conf", str(written.folder), "--metrics-file", str(file)]) == 2
    error = capsys.readouterr().err
    assert "Metrics need the library prometheus_client, which is not installed." in error
    assert "pip install 'segengine[metrics]'" in error


def test_runs_of_a_warehouse_are_rows_for_everybody(written: Workspace) -> None:
    written.refresh()
    (row,) = read_rows(written.warehouse / "runs")
    assert row["snapshot_bytes"] == data_bytes(written.warehouse / "snapshots")


def test_a_refresh_logged_for_machines(written: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["refresh", "--conf", str(written.folder), "--log-format", "json"]
    assert main(arguments) == 0
    first = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in first] == ["progress"] * 4 + ["summary"]
    assert not any("expected_seconds" in event for event in first), "nobody knows yet"
    shutil.rmtree(written.data / "reviews")
    assert main([*arguments, "--full"]) == 4
    again = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (run,) = [summary.run for summary in status_of(written).runs if summary.run.run_id == first[-1]["run_id"]]
    assert {event["expected_seconds"] for event in again if "expected_seconds" in event} == {run.seconds}
    summary = again[-1]
    assert (summary["command"], summary["exit_code"], summary["level"]) == ("segengine refresh", 4, "error")
    assert (summary["segments"], summary["measures"]) == ({"Successful": 3, "Failed": 1}, {"Failed": 1})
    assert summary["row_count"] == 4 + 3
    seconds = [event["seconds"] for event in again]
    assert seconds == sorted(seconds)
