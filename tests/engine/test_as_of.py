"""`refresh --as-of`: Delta tables as they were, other tables cut off; members worked out in plain Python."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from history import Row, write_versions
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.engine.source_files import delta_commit_times
from segengine.engine.sources import Reading, open_sources
from segengine.errors import DataContractError
from segengine.operations.members import read_segment_members
from segengine.operations.past_sources import SourceReading, show_readings
from segengine.operations.segments import show_segment
from segengine.operations.why import explain_membership
from segengine.store.runs import Status

PROJECT = """
project: shop
time_zone: UTC
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: bought_at}
  visits: {path: data/visits.parquet, format: parquet, key: visit_id, at: day}
  regions: {path: data/regions.csv, format: csv, key: state}
relationships:
  - purchases.customer_id -> customers
  - visits.customer_id -> customers
  - customers.state -> regions
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Buyers
rules: [{over: purchases}]
---
kind: segment
name: West
where: {state.side: west}
---
kind: segment
name: Visitors
rules: [{over: visits}]
---
kind: segment
name: Everybody
where: everyone
"""
START = datetime(2026, 1, 5, 12, tzinfo=UTC)
WRITTEN_AT = [START, START + timedelta(days=30), START + timedelta(days=60)]
ENFORCED = "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration"
SIDES = {"CA": "west", "NV": "west", "NY": "east"}


def customer(customer_id: str, state: str) -> Row:
    return {"customer_id": customer_id, "state": state}


def purchase(number: int, customer_id: str, bought_at: datetime) -> Row:
    return {"purchase_id": number, "customer_id": customer_id, "bought_at": bought_at}


CUSTOMERS = [
    [customer("a", "CA"), customer("b", "NY")],
    [customer("a", "NY"), customer("b", "NV"), customer("c", "CA")],  # both moved
    [customer("b", "NY"), customer("c", "CA"), customer("d", "NV")],  # "a" is gone
]
PURCHASES = [
    [purchase(1, "a", START - timedelta(days=5)), purchase(2, "b", START + timedelta(days=90))],  # booked ahead
    [purchase(1, "a", START - timedelta(days=5)), purchase(3, "c", START + timedelta(days=20))],
    [purchase(3, "c", START + timedelta(days=20)), purchase(4, "d", START + timedelta(days=59))],
]
VISITS = [("a", date(2026, 1, 1)), ("b", date(2026, 2, 10)), ("c", date(2026, 3, 20))]


def visitors(as_of: datetime) -> set[str]:
    return {customer_id for customer_id, day in VISITS if day <= as_of.date()}


def expected(as_of: datetime) -> dict[str, list[str]]:
    """Return who is in each segment: of the versions written by then, else of the newest up to then."""
    written = [place for place, moment in enumerate(WRITTEN_AT) if moment <= as_of]
    customers = CUSTOMERS[written[-1] if written else -1]
    rows = PURCHASES[written[-1]] if written else [row for row in PURCHASES[-1] if row["bought_at"] <= as_of]
    present = {row["customer_id"] for row in customers}
    return {
        "buyers": sorted({row["customer_id"] for row in rows} & present),
        "west": sorted(row["customer_id"] for row in customers if SIDES[row["state"]] == "west"),
        "visitors": sorted(visitors(as_of) & present),
        "everybody": sorted(present),
    }


@pytest.fixture
def shop(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    workspace.write_project(PROJECT)
    write_versions(workspace.data / "customers", CUSTOMERS, WRITTEN_AT)
    write_versions(workspace.data / "purchases", PURCHASES, WRITTEN_AT)
    ids, days = zip(*VISITS, strict=True)
    pq.write_table(
        pa.table({"visit_id": [*range(len(ids))], "customer_id": [*ids], "day": pa.array(days, pa.date32())}),
        workspace.data / "visits.parquet",
    )
    sides = "".join(f"{state},{side}\n" for state, side in SIDES.items())
    (workspace.data / "regions.csv").write_text(f"state,side\n{sides}", encoding="utf-8")
    workspace.define(SEGMENTS)
    workspace.pull()
    workspace.apply()
    return workspace


def members_as_of(shop: Workspace, as_of: datetime) -> dict[str, list[str]]:
    report = shop.refresh(as_of=as_of)
    assert {run.status for run in report.segments} == {Status.SUCCESSFUL}
    published = shop.published()
    return {run.segment_id: published.members_of_run(run.segment_id, report.run_id) for run in report.segments}


def readings(shop: Workspace) -> dict[str, str]:
    found: dict[str, str] = json.loads(shop.published().runs[-1]["source_readings"])
    return found


BY_THEN = {"visits": "by_time_column", "regions": "as_it_is"}
TRAVELLED = {"customers": "as_it_was", "purchases": "as_it_was", **BY_THEN}
AS_NOW = {"customers": "as_it_is", "purchases": "by_time_column", **BY_THEN}


def check_members(shop: Workspace, versions: Mapping[datetime, int]) -> None:
    """Verify what runs as of some instants find, and which version of the Delta tables they read."""
    for moment, version in versions.items():
        assert members_as_of(shop, moment) == expected(moment)
        read = json.loads(shop.published().runs[-1]["source_versions"])
        assert read == {"customers": version, "purchases": version, "regions": None, "visits": None}
        assert readings(shop) == (AS_NOW if moment < START else TRAVELLED)


TICK = timedelta(milliseconds=1)


def test_members_are_those_of_the_time(shop: Workspace, embedded: EngineSession) -> None:
    check_members(shop, {START - TICK: 2, WRITTEN_AT[1]: 1})
    check_members(shop.on(embedded), {WRITTEN_AT[1] - TICK: 0})
    shop.on(embedded).refresh()
    assert readings(shop) == {}


@pytest.mark.before_the_engine
def test_a_version_lasts_from_its_commit_to_the_next(shop: Workspace) -> None:
    check_members(shop, {START: 0, WRITTEN_AT[2] - TICK: 1, WRITTEN_AT[2]: 2, WRITTEN_AT[2] + timedelta(days=100): 2})
    assert expected(START)["buyers"] == ["a", "b"]  # what was booked ahead is not cut off: it was there then


@pytest.mark.before_the_engine
def test_what_was_read_is_said_and_kept(shop: Workspace) -> None:
    said: list[str] = []
    shop.refresh(as_of=WRITTEN_AT[1], progress=said.append)
    line = (
        "customers (version 1), purchases (version 1) as they were; visits up to then by its time column; "
        "regions as it is now"
    )
    assert f"reading {line}" in said
    with shop.opened() as project:
        assert show_readings(show_segment(project, "Buyers").sources) == line
    shop.refresh(progress=said.append)
    assert sum(text.startswith("reading ") for text in said) == 1
    with shop.opened() as project:
        assert show_segment(project, "Buyers").sources == ()


def test_many_tables_are_said_in_one_line() -> None:
    many = [SourceReading(f"t{number}", number, Reading.AS_IT_WAS) for number in range(7)]
    first = "t0 (version 0), t1 (version 1), t2 (version 2), t3 (version 3), t4 (version 4)"
    assert show_readings(many) == f"{first}, 2 more as they were"


@pytest.mark.before_the_engine
def test_what_is_looked_up_later_is_as_it_was(shop: Workspace) -> None:
    shop.refresh(as_of=START)
    with shop.opened() as project:
        found = read_segment_members(project, "Buyers", snapshot=1, attributes=["state"])
        rows = [row for batch in found.rows for row in batch.to_pylist()]
        assert [(row["profile_id"], row["state"]) for row in rows] == [("a", "CA"), ("b", "NY")]
        why = explain_membership(project, "Buyers", "b", snapshot=1)
        assert [row["purchase_id"] for line in why.lines for row in line.rows] == ["2"]  # booked ahead


def remove_files(table: Path, version: int) -> None:
    """Do what a vacuum does: remove the files that only a version has."""
    kept = set(DeltaTable(str(table)).file_uris())
    for file in set(DeltaTable(str(table), version=version).file_uris()) - kept:
        Path(file).unlink()


@pytest.mark.before_the_engine
def test_vacuumed_tables_are_cut_off(shop: Workspace) -> None:
    remove_files(shop.data / "purchases", 1)
    moment = WRITTEN_AT[1]
    found = members_as_of(shop, moment)
    assert readings(shop) == TRAVELLED | {"purchases": "by_time_column"}
    assert found["buyers"] == ["c"]  # of the newest version, bought by then
    assert found["everybody"] == ["a", "b", "c"]


@pytest.mark.before_the_engine
def test_a_log_that_was_cleaned_up_is_no_history(shop: Workspace) -> None:
    table = shop.data / "customers"
    DeltaTable(str(table)).create_checkpoint()
    (table / "_delta_log" / f"{0:020d}.json").unlink()
    found = members_as_of(shop, WRITTEN_AT[1])  # its commit is there; what it builds on is not
    assert readings(shop) == TRAVELLED | {"customers": "as_it_is"}
    assert found["everybody"] == ["b", "c", "d"]
    members_as_of(shop, WRITTEN_AT[2])
    assert readings(shop) == TRAVELLED


@pytest.mark.before_the_engine
def test_a_table_that_was_created_again_has_a_new_history(shop: Workspace) -> None:
    shutil.rmtree(shop.data / "customers")
    write_versions(shop.data / "customers", [CUSTOMERS[0]], [WRITTEN_AT[2]])
    assert members_as_of(shop, WRITTEN_AT[1])["everybody"] == ["a", "b"]
    assert readings(shop) == TRAVELLED | {"customers": "as_it_is"}


@pytest.mark.before_the_engine
def test_other_columns_at_that_time_fail_who_asks_for_them(shop: Workspace) -> None:
    table = shop.data / "customers"
    shutil.rmtree(table)
    without = [{"customer_id": "a"}, {"customer_id": "b"}]
    write_versions(table, [without, CUSTOMERS[1]], WRITTEN_AT[:2])
    report = shop.refresh(as_of=START)
    ended = {run.segment_id: (run.status, run.error) for run in report.segments}
    message = (
        "As of 2026-01-05 12:00 UTC the sources had other columns: "
        'column "state" of table "customers" was not there at version 0, is text now.'
    )
    assert ended.pop("west") == (Status.FAILED, message)
    assert set(ended.values()) == {(Status.SUCCESSFUL, "")}
    with pytest.raises(DataContractError) as failure:
        shop.refresh("West", as_of=START)
    assert (failure.value.message, failure.value.hint) == (
        message,
        "Choose an instant from which on the tables are as they are in schema.lock.yml.",
    )
    shop.refresh("West", as_of=WRITTEN_AT[1])
    assert shop.published().members()["west"] == ["b", "c"]


def read_commit(table: Path, version: int) -> tuple[Path, list[dict[str, Any]]]:
    file = table / "_delta_log" / f"{version:020d}.json"
    return file, [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_clocks_of_commits(embedded_engine: EngineSession, tmp_path: Path) -> None:
    """In-commit times win; a commit that says nothing has its file's; none is older than the one before it."""
    workspace = Workspace(tmp_path, embedded_engine)
    workspace.write_project(PROJECT)
    table = workspace.data / "customers"
    rows = [[customer("a", "CA")]] * 4
    write_versions(table, rows, [START, START, START + timedelta(days=3), START + timedelta(days=2)])
    file, lines = read_commit(table, 0)
    in_commit = START - timedelta(days=1)
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"]["inCommitTimestamp"] = int(in_commit.timestamp() * 1000)
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    file, lines = read_commit(table, 1)
    silent = (line for line in lines if "commitInfo" not in line)
    file.write_text("".join(f"{json.dumps(line)}\n" for line in silent), encoding="utf-8")
    os.utime(file, (START.timestamp() + 60,) * 2)
    times = [in_commit, START + timedelta(minutes=1), START + timedelta(days=3), START + timedelta(days=2)]
    assert delta_commit_times(str(table)) == dict(enumerate(times))

    def version_at(moment: datetime) -> int | None:
        with workspace.opened() as project:
            return open_sources(project.session, project.settings, ["customers"], moment).versions["customers"]

    moments = [in_commit, START, *times[1:], START + timedelta(days=2, hours=23)]
    assert [version_at(moment) for moment in moments] == [0, 0, 1, 3, 1, 1]


def test_history_by_sql(spark_engine: EngineSession, tmp_path: Path) -> None:
    """Where the log is not on this machine Spark says what the history is."""
    workspace = Workspace(tmp_path, spark_engine)
    table = workspace.data / "customers"
    workspace.write_project(PROJECT.replace("data/customers", f"file://{table}"))
    write_versions(table, CUSTOMERS, WRITTEN_AT)

    def opened(moment: datetime) -> tuple[int | None, Reading, list[str]]:
        with workspace.opened() as project:
            sources = open_sources(project.session, project.settings, ["customers"], moment)
            ids = sorted(row["customer_id"] for row in sources.read("customers").collect())
            return sources.versions["customers"], sources.reading("customers"), ids

    assert opened(WRITTEN_AT[1]) == (1, Reading.AS_IT_WAS, ["a", "b", "c"])
    assert opened(START - timedelta(days=1)) == (2, Reading.AS_IT_IS, ["b", "c", "d"])
    remove_files(table, 1)
    assert opened(WRITTEN_AT[1]) == (2, Reading.AS_IT_IS, ["b", "c", "d"])


def test_versions_that_spark_refuses_are_cut_off(spark_engine: EngineSession, tmp_path: Path) -> None:
    """Delta refuses what is older than a table keeps deleted files, unless told otherwise: not so on every cluster."""
    workspace = Workspace(tmp_path, spark_engine)
    workspace.write_project(PROJECT)
    write_versions(workspace.data / "customers", CUSTOMERS, WRITTEN_AT)
    settings = spark_engine.spark.conf
    before = settings.get(ENFORCED)
    settings.set(ENFORCED, "true")
    try:
        with workspace.opened() as project:
            sources = open_sources(project.session, project.settings, ["customers"], WRITTEN_AT[1])
            assert (sources.versions, sources.reading("customers")) == ({"customers": 2}, Reading.AS_IT_IS)
            assert sources.read("customers").count() == 3
    finally:
        settings.set(ENFORCED, before)  # other tests travel in the same session
