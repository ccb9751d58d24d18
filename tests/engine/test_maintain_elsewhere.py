"""`maintain` of a warehouse that is no folder of this machine: at a URL, and in a catalog (by OPTIMIZE and VACUUM)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.operations.maintain import MaintainReport
from segengine.operations.output_tables import write_output_tables

PROJECT = """
project: elsewhere
warehouse: {warehouse}
tables: {{customers: {{path: data/customers, key: customer_id}}}}
audiences: {{customer: {{table: customers}}}}
keep: {{all: 2 days}}
"""
SEGMENT = "{kind: segment, name: Everybody, where: everyone}"
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
NOW = FIRST + timedelta(days=4)


def set_up(folder: Path, session: EngineSession, warehouse: str) -> Workspace:
    """Return a project with four snapshots, the last two of which are to be kept."""
    workspace = Workspace(folder, session)
    workspace.set_up(PROJECT.format(warehouse=warehouse), {"customers": {"customer_id": ["a"]}}, SEGMENT)
    workspace.apply()
    for number, other in enumerate("abcd"):
        workspace.write_table("customers", {"customer_id": sorted({"a", other})})
        workspace.refresh(as_of=FIRST + timedelta(days=number))
    with workspace.opened() as project:
        for _ in range(2):
            write_output_tables(project, ["Everybody"])
    return workspace


def check(workspace: Workspace, report: MaintainReport) -> None:
    """Verify that two snapshots went, the others stayed, and every table has few files."""
    assert report.is_complete, [each.problem for each in report.tables]
    assert [(each.id, [run.snapshot_version for run in each.thinned]) for each in report.thinned] == [
        ("everybody", [1, 2])
    ]
    after = {each.table.removeprefix("output/"): each.after for each in report.tables}
    assert {"snapshots", "runs", "control", "Everybody"} <= after.keys()
    assert {name: each.file_count for name, each in after.items() if each and each.file_count > 1} == {}
    assert sorted(workspace.members("Everybody", snapshot=3)) == ["a", "c"]
    assert sorted(workspace.members("Everybody")) == ["a", "d"]
    again = workspace.maintain(as_of=NOW, retention=timedelta(0))
    assert again.thinned_count == 0
    workspace.refresh(as_of=NOW)
    assert sorted(workspace.members("Everybody")) == ["a", "d"]


def count_data_files(folder: Path) -> int:
    return sum("_delta_log" not in file.parts for file in folder.rglob("*.parquet"))


@pytest.mark.before_the_engine
@pytest.mark.timeout(1_800)
def test_at_a_url(engine: EngineSession, tmp_path: Path) -> None:
    folder = tmp_path / "warehouse"
    workspace = set_up(tmp_path, engine, folder.as_uri())
    before = count_data_files(folder)

    report = workspace.maintain(as_of=NOW, retention=timedelta(0))

    assert count_data_files(folder) < before
    check(workspace, report)


@pytest.fixture
def schema(spark_engine: EngineSession, tmp_path: Path) -> Iterator[str]:
    name = f"kept_{uuid4().hex[:8]}"
    spark_engine.spark.sql(f"create schema {name} location '{(tmp_path / 'schema').as_uri()}'")
    yield name
    spark_engine.spark.sql(f"drop schema {name} cascade")


@pytest.mark.long  # every table is compacted and vacuumed by jobs of its own, twice
@pytest.mark.timeout(1_800)
def test_in_a_catalog(spark_engine: EngineSession, schema: str, tmp_path: Path) -> None:
    workspace = set_up(tmp_path, spark_engine, f"spark_catalog.{schema}")
    before = count_data_files(tmp_path / "schema")

    report = workspace.maintain(as_of=NOW, retention=timedelta(0))

    assert count_data_files(tmp_path / "schema") < before
    check(workspace, report)
    assert spark_engine.spark.conf.get("spark.databricks.delta.retentionDurationCheck.enabled", "true") == "true"
