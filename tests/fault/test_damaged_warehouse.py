"""A warehouse that cannot be written, is half written, or damaged: said in words, or healed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from store_checker import check_store
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, RunError, SegEngineError

PROJECT = """
project: damaged
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
"""
SEGMENTS = "kind: segment\nname: Everybody\nwhere: everyone\n"


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("damaged"), embedded)
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a", "b"]}}, SEGMENTS)
    workspace.apply()
    workspace.refresh()
    return workspace


@pytest.fixture
def workspace(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


@pytest.mark.before_the_engine
def test_warehouse_that_is_a_file(workspace: Workspace) -> None:
    shutil.rmtree(workspace.warehouse)
    workspace.warehouse.write_text("no folder")

    with pytest.raises(ConfigError) as caught:
        workspace.apply()

    assert str(caught.value) == (
        f"The warehouse {workspace.warehouse} cannot be written: File exists. "
        "Check `warehouse` in the project file and the rights on that folder."
    )
    assert workspace.warehouse.read_text() == "no folder"


@pytest.mark.parametrize(
    "table",
    ["profile_keys", *(pytest.param(name, marks=pytest.mark.before_the_engine) for name in ("runs", "control"))],
)
def test_tables_whose_creation_was_cut_off_are_created(
    workspace: Workspace, embedded: EngineSession, table: str
) -> None:
    """Data files without a log, an empty log, and files nobody committed: all are as good as not there."""
    for name in ("runs", "segment_runs", "profile_keys", "snapshots", "control"):
        shutil.rmtree(workspace.warehouse / name)
    (workspace.warehouse / table / "_delta_log").mkdir(parents=True)
    stray = workspace.warehouse / table / "part-00000-0000.snappy.parquet"
    pq.write_table(pa.table({"anything": [1]}), stray)

    workspace.refresh()

    assert workspace.published().members() == {"everybody": ["a", "b"]}
    assert workspace.published().last_keys == {"customer": 2}
    check_store(workspace.warehouse)
    assert workspace.on(embedded).members("Everybody", limit=None) != []


def test_files_nobody_committed_do_not_count(workspace: Workspace, embedded: EngineSession) -> None:
    for table in ("snapshots", "profile_keys", "segment_runs", "runs"):
        folder = workspace.warehouse / table
        (file,) = [*folder.glob("*.parquet")][:1]
        shutil.copyfile(file, folder / "part-00009-uncommitted.snappy.parquet")
        (folder / "part-0000#1.parquet").write_bytes(b"half a fi")
    workspace.write_table("customers", {"customer_id": ["b", "c"]})

    workspace.refresh()

    assert workspace.published().members() == {"everybody": ["b", "c"]}
    check_store(workspace.warehouse)
    assert sorted(workspace.on(embedded).members("Everybody")) == ["b", "c"]


def refuse(workspace: Workspace) -> SegEngineError:
    with pytest.raises(RunError) as caught:
        workspace.refresh()
    return caught.value


@pytest.mark.before_the_engine
def test_control_without_its_row(workspace: Workspace) -> None:
    DeltaTable(str(workspace.warehouse / "control")).delete()

    assert str(refuse(workspace)).startswith("Table control has 0 different rows, expected one.")


@pytest.mark.before_the_engine
def test_control_that_is_gone_is_not_begun_anew(workspace: Workspace) -> None:
    shutil.rmtree(workspace.warehouse / "control")

    assert str(refuse(workspace)).startswith(f"Table control is gone from {workspace.warehouse}, but there are runs.")
    assert not (workspace.warehouse / "control").exists()


@pytest.mark.before_the_engine
def test_control_with_two_rows(workspace: Workspace) -> None:
    table = DeltaTable(str(workspace.warehouse / "control"))
    row = table.to_pyarrow_table()
    other = row.set_column(row.column_names.index("token"), "token", pa.array([99]))
    write_deltalake(str(workspace.warehouse / "control"), other, mode="append")

    assert str(refuse(workspace)).startswith("Table control has 2 different rows, expected one.")


@pytest.mark.parametrize("column", ["ids", "last_profile_key"])
@pytest.mark.before_the_engine
def test_control_with_nonsense(workspace: Workspace, column: str) -> None:
    DeltaTable(str(workspace.warehouse / "control")).update(updates={column: "'{no json'"})

    assert str(refuse(workspace)).startswith(f'Table control cannot be read: column "{column}" is damaged.')


@pytest.mark.before_the_engine
def test_control_whose_file_is_gone(workspace: Workspace) -> None:
    for file in (workspace.warehouse / "control").glob("*.parquet"):
        file.unlink()

    assert str(refuse(workspace)).startswith("Failed while reading table control: ")


@pytest.mark.before_the_engine
def test_control_whose_log_is_damaged(workspace: Workspace) -> None:
    log = workspace.warehouse / "control" / "_delta_log"
    for file in log.glob("*.crc"):
        file.unlink()
    (log / "00000000000000000000.json").write_text("{no json")

    assert str(refuse(workspace)).startswith("Failed while ")


@pytest.mark.before_the_engine
def test_run_the_chain_needs_is_gone(workspace: Workspace) -> None:
    DeltaTable(str(workspace.warehouse / "runs")).delete()

    error = str(refuse(workspace))

    assert re.match(r"Table runs has no row of run_\w+, which is published\.", error)
