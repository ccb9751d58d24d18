"""Clocks that go back, disks that are full, sources and stores that change or break under a run: told, nothing lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.errors import PySparkException
from store_checker import check_store
from workspace import Workspace

from segengine.engine.failures import engine_errors
from segengine.engine.session import EngineSession
from segengine.errors import DataContractError, RunError, SegEngineError
from segengine.operations import outcomes as outcomes_module
from segengine.operations import refresh as refresh_module
from segengine.store import control as control_module
from segengine.store.runs import Status
from segengine.store.warehouse import Warehouse

PROJECT = """
project: bad_days
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
  visits: {path: data/visits.parquet, format: parquet, key: visit_id}
relationships: [purchases.customer_id -> customers, visits.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
{kind: segment, name: Everybody, where: everyone}
---
{kind: segment, name: Buyers, rules: [{over: purchases, where: {amount: {at_least: 10}}}]}
---
{kind: segment, name: Others, where: {not: {in_segment: Buyers}}}
---
{kind: segment, name: Visitors, rules: [{over: visits, where: {pages: {at_least: 2}}}]}
"""
OLD = {"everybody": ["a", "b", "c"], "buyers": ["a"], "others": ["b", "c"], "visitors": ["b"]}
NEW = {"everybody": ["a", "b", "d"], "buyers": ["a", "d"], "others": ["b"], "visitors": ["b"]}
OF_PURCHASES = {"buyers", "others"}
READING = "Failed while reading purchases > customer: "
VISITS = {"visit_id": [1, 2], "customer_id": ["a", "b"], "pages": [1, 5]}


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with one refresh."""
    workspace = Workspace(tmp_path_factory.mktemp("refreshed"), embedded)
    workspace.write_project(PROJECT)
    workspace.write_table("customers", {"customer_id": ["a", "b", "c"]})
    workspace.write_table("purchases", {"purchase_id": [1, 2], "customer_id": ["a", "b"], "amount": [12, 3]})
    pq.write_table(pa.table(VISITS), workspace.data / "visits.parquet")
    workspace.define(SEGMENTS)
    workspace.pull()
    workspace.apply()
    workspace.refresh()
    assert workspace.published().members() == OLD
    return workspace


@pytest.fixture
def workspace(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


def change_sources(workspace: Workspace) -> None:
    """Let the members be NEW."""
    workspace.write_table("customers", {"customer_id": ["a", "b", "d"]})
    workspace.append_rows("purchases", {"purchase_id": [3], "customer_id": ["d"], "amount": [99]})


def seldom(*names: str) -> list[Any]:
    """Return parameters that the long lane alone tries: much like others."""
    return [pytest.param(name, marks=pytest.mark.long) for name in names]


def check_next_run(workspace: Workspace, run_count: int) -> None:
    """Verify that nothing is lost or mixed, and that a run works as if nothing had been."""
    check_store(workspace.warehouse)
    change_sources(workspace)
    report = workspace.refresh()
    assert {run.status for run in report.segments} == {Status.SUCCESSFUL}
    published = workspace.published()
    assert published.members() == NEW
    assert published.last_keys == {"customer": 4}
    assert len(published.runs) == run_count
    check_store(workspace.warehouse)


def set_clock_back(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - by

    for module in (refresh_module, outcomes_module, control_module):
        monkeypatch.setattr(module, "datetime", Late)


@pytest.mark.before_the_engine
def test_clock_that_went_back(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it finds is of an earlier time: published, told, and not current."""
    set_clock_back(monkeypatch, timedelta(days=2))
    change_sources(workspace)
    lines: list[str] = []

    report = workspace.refresh(progress=lines.append)

    assert {run.status for run in report.segments} == {Status.SUCCESSFUL}
    warnings = [line for line in lines if line.startswith("warning: ")]
    now, newest = (f"{run['as_of']:%Y-%m-%d %H:%M:%S} UTC" for run in reversed(workspace.published().runs))
    assert warnings == [
        f"warning: it is {now} by the clock of this machine, but there are snapshots as of {newest}: "
        "they stay current; check the clock"
    ]
    published = workspace.published()
    assert published.members() == OLD, "the one of the later time stays current"
    first, second = published.of("everybody")
    assert second["as_of"] < first["as_of"]
    assert (second["snapshot_version"], second["entered_count"], second["left_count"]) == (2, 3, 0)
    check_store(workspace.warehouse)

    monkeypatch.undo()
    lines.clear()
    workspace.refresh(progress=lines.append)
    assert workspace.published().members() == NEW
    workspace.refresh(as_of=datetime(2026, 1, 1, tzinfo=UTC), progress=lines.append)
    assert not [line for line in lines if line.startswith("warning: ")], "a past that was asked for is no matter of it"
    assert workspace.published().members() == NEW
    check_store(workspace.warehouse)


class FullDisk:
    """Lets some writes of the store through; then the disk is full until it is freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
        self.table, self.is_full = table, False
        update_one = Warehouse.update_one

        def checked(append: Callable[[Warehouse, str, Any], None]) -> Callable[[Warehouse, str, Any], None]:
            def write(warehouse: Warehouse, table: str, rows: Any) -> None:
                with engine_errors(f"writing to table {table}"):
                    self.check(table)
                append(warehouse, table, rows)

            return write

        def update(warehouse: Warehouse, table: str, *arguments: Any) -> None:
            if arguments[0].get("published_id"):
                self.check("published")
            self.check(table)
            update_one(warehouse, table, *arguments)

        for name in ("append", "append_rows"):
            monkeypatch.setattr(Warehouse, name, checked(getattr(Warehouse, name)))
        monkeypatch.setattr(Warehouse, "update_one", update)

    def check(self, table: str) -> None:
        self.is_full |= table == self.table
        if self.is_full:  # as the embedded engine says it
            raise PySparkException("Unable to copy data to file: No space left on device (os error 28)")


@pytest.mark.parametrize(
    "table", [*seldom("control", "snapshots", "segment_runs", "runs"), "profile_keys", "published"]
)
@pytest.mark.before_the_engine
def test_disk_that_is_full(workspace: Workspace, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From some write on nothing can be written: not even that it failed, nor that the lease is free again."""
    change_sources(workspace)
    with monkeypatch.context() as patched:
        FullDisk(patched, table)
        with pytest.raises(RunError, match=r"No space left on device \(os error 28\)$") as caught:
            workspace.refresh()

    failed_in = {"control": "The lease in table control could not be taken. Failed while writing to table control"}
    failed_in["published"] = r"run_\w+ is not published. Failed while writing to table control"
    assert re.match(failed_in.get(table, f"Failed while writing to table {table}"), str(caught.value))
    published = workspace.published()
    assert published.members() == OLD
    assert len(published.runs) == 1
    assert (published.control["owner"] != "") == (table != "control"), "nobody could give the lease back"
    listed = workspace.listed().values()
    assert {summary.status for summary in listed} == {Status.SUCCESSFUL if table == "control" else Status.FAILED}
    check_next_run(workspace, 2)


def at_evaluation(do: Callable[[], object]) -> Callable[[str], None]:
    """Return a progress function that does something once between pinning and reading."""
    done: list[str] = []

    def progress(line: str) -> None:
        if line.startswith("evaluating") and not done:
            done.append(line)
            do()

    return progress


def drop_files(table: Path) -> None:
    for file in table.glob("*.parquet"):
        file.unlink()


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def spoil(file: Path) -> None:
    """Overwrite a file's pages; its footer stays good."""
    content = file.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    file.write_bytes(content[:4] + b"\xff" * (footer - 4) + content[footer:])


def last_file(table: Path, pattern: str) -> Path:
    return max(table.glob(pattern))


# What happens to a source between pinning and reading, and what is said to whom.
MIDWAY: dict[str, tuple[Callable[[Workspace], object], set[str], str]] = {
    "dropped": (lambda w: shutil.rmtree(w.data / "purchases"), OF_PURCHASES, "there is nothing at FOLDER/purchases."),
    "files gone": (lambda w: drop_files(w.data / "purchases"), OF_PURCHASES, "FOLDER/purchases/part-"),
    "file cut off": (lambda w: cut_off(last_file(w.data / "purchases", "*.parquet")), OF_PURCHASES, READING),
    "pages spoilt": (lambda w: spoil(last_file(w.data / "purchases", "*.parquet")), OF_PURCHASES, READING),
    "Parquet dropped": (
        lambda w: (w.data / "visits.parquet").unlink(),
        {"visitors"},
        'Table "visits": there is nothing at FOLDER/visits.parquet.',
    ),
    "Parquet of other types": (
        lambda w: pq.write_table(pa.table(VISITS | {"pages": ["x", "y"]}), w.data / "visits.parquet"),
        {"visitors"},
        '2 value(s) of "pages" in table "visits" are not of type integer.',
    ),
}


@pytest.mark.parametrize(
    "name",
    ["dropped", "file cut off", "Parquet of other types", *seldom("files gone", "pages spoilt", "Parquet dropped")],
)
@pytest.mark.before_the_engine
def test_source_that_breaks_under_a_run(workspace: Workspace, name: str, tmp_path: Path) -> None:
    """What reads it fails with the table's name; what does not is published."""
    damage, fails, says = MIDWAY[name]
    shutil.copytree(workspace.data, tmp_path / "kept")

    report = workspace.refresh(full=True, progress=at_evaluation(lambda: damage(workspace)))

    errors = {run.segment_id: run.error for run in report.segments if run.status is not Status.SUCCESSFUL}
    assert errors.keys() == fails
    folder = str(workspace.data)[1:]  # engines name files without the slash in front
    assert all(says in error.replace(f"/{folder}", "FOLDER").replace(folder, "FOLDER") for error in errors.values())
    assert workspace.published().members() == OLD
    shutil.rmtree(workspace.data)
    (tmp_path / "kept").rename(workspace.data)
    check_next_run(workspace, 3)


@pytest.mark.before_the_engine
def test_all_that_fails_everything_is_named(workspace: Workspace) -> None:
    shutil.rmtree(workspace.data / "purchases")
    (workspace.data / "visits.parquet").unlink()
    with pytest.raises(DataContractError) as caught:
        workspace.refresh("Visitors", "Buyers")
    assert re.findall(r'Table "(\w+)": there is nothing at', caught.value.message) == ["purchases", "visits"]
    errors = {run.error for name, run in workspace.listed().items() if name in ("buyers", "visitors")}
    assert errors == {str(caught.value)}


def empty(workspace: Workspace, table: str) -> None:
    schema = DeltaTable(str(workspace.data / table)).to_pyarrow_table().schema
    workspace.write_table(table, schema.empty_table())


def change_types(workspace: Workspace) -> None:
    workspace.write_table("purchases", {"purchase_id": [1], "customer_id": ["c"], "amount": ["99"]})


@pytest.mark.parametrize(
    "do",
    [lambda w: empty(w, "purchases"), lambda w: empty(w, "customers"), change_types],
    ids=["purchases_emptied", "customers_emptied", "types_changed"],
)
@pytest.mark.before_the_engine
def test_run_reads_what_it_pinned_whatever_comes_after(workspace: Workspace, do: Callable[[Workspace], object]) -> None:
    report = workspace.refresh(full=True, progress=at_evaluation(lambda: do(workspace)))

    assert {run.status for run in report.segments} == {Status.SUCCESSFUL}
    published = workspace.published()
    assert published.members() == OLD
    assert len(published.runs) == 2
    check_store(workspace.warehouse)


@pytest.mark.before_the_engine
def test_sources_emptied_between_two_runs(workspace: Workspace) -> None:
    """Nobody is left; who comes back has the key of before."""
    keys = workspace.published().keys
    empty(workspace, "customers")
    report = workspace.refresh()
    assert {(run.status, run.member_count) for run in report.segments} == {(Status.SUCCESSFUL, 0)}
    assert workspace.published().members() == {name: [] for name in OLD}
    assert {name: run["left_count"] for name in OLD for run in workspace.published().of(name)[-1:]} == {
        name: len(ids) for name, ids in OLD.items()
    }
    check_next_run(workspace, 3)
    assert keys["customer"].items() <= workspace.published().keys["customer"].items()


# A file of the store that is damaged between two runs, and what the next one says.
STORE: dict[str, tuple[str, str, Callable[[Path], None], str]] = {
    "snapshot cut off": ("snapshots", "*.parquet", cut_off, r"Failed while writing to table snapshots: .*/part-"),
    "snapshot gone": ("snapshots", "*.parquet", Path.unlink, r"Failed while writing to table snapshots: .*/part-"),
    "keys cut off": ("profile_keys", "*.parquet", cut_off, "Failed while reading new profiles of audience customer: "),
    "rows cut off": ("segment_runs", "*.parquet", cut_off, r"Failed while reading table segment_runs: .*part-"),
    "log cut off": (
        "segment_runs",
        "_delta_log/*.json",
        cut_off,
        "Failed while reading table segment_runs: Kernel error: Json",
    ),
    "log of control cut off": (
        "control",
        "_delta_log/*.json",
        cut_off,
        "Failed while reading table control: Kernel error: Json",
    ),
}


@pytest.mark.before_the_engine
@pytest.mark.parametrize(
    "name",
    [
        "snapshot cut off",
        "log cut off",
        *seldom("snapshot gone", "keys cut off", "rows cut off", "log of control cut off"),
    ],
)
def test_store_that_is_damaged(workspace: Workspace, embedded: EngineSession, name: str, tmp_path: Path) -> None:
    """It is told and, once the table is restored, gone; engines have words of their own."""
    table, pattern, damage, says = STORE[name]
    shutil.copytree(workspace.warehouse / table, tmp_path / "kept")
    for file in (workspace.warehouse / table).glob("_delta_log/*.crc"):
        file.unlink()
    damage(last_file(workspace.warehouse / table, pattern))

    with pytest.raises(SegEngineError, match=says if workspace.session.kind == "embedded" else "^Failed while "):
        workspace.refresh(full=True)

    shutil.rmtree(workspace.warehouse / table)
    (tmp_path / "kept").rename(workspace.warehouse / table)
    assert workspace.published().members() == OLD
    check_next_run(workspace.on(embedded), len(workspace.published().runs) + 1)


@pytest.mark.parametrize("cut", ["all of it", *seldom("half of it")])
@pytest.mark.before_the_engine
def test_source_whose_log_is_cut_off(workspace: Workspace, cut: str, tmp_path: Path) -> None:
    change_sources(workspace)
    log = last_file(workspace.data / "purchases", "_delta_log/*.json")
    kept = log.read_bytes()
    log.write_bytes(kept[: len(kept) // 2] if cut == "half of it" else b"")

    report = workspace.refresh()

    errors = {run.segment_id: run.error for run in report.segments if run.status is not Status.SUCCESSFUL}
    assert errors.keys() == {"buyers", "others"}
    reason = "Json error: " if cut == "half of it" else f"{log.name} is empty."
    assert f'Table "purchases": the Delta log at {workspace.data}/purchases cannot be read: ' in errors["buyers"]
    assert reason in errors["buyers"]
    log.write_bytes(kept)
    check_store(workspace.warehouse)
    workspace.refresh()
    assert workspace.published().members() == NEW
    check_store(workspace.warehouse)


@pytest.mark.before_the_engine
def test_definitions_applied_under_a_run_are_for_the_next(workspace: Workspace) -> None:
    """Also one that is new and one that is gone: the run evaluates the versions it read at its start."""
    changed = SEGMENTS.replace("at_least: 10", "at_least: 2").replace("Others", "Visitors who do not buy")

    def apply_others() -> None:
        workspace.define(changed)
        workspace.apply(prune=True)

    report = workspace.refresh(full=True, progress=at_evaluation(apply_others))

    assert {run.segment_id: run.definition_version for run in report.segments} == dict.fromkeys(OLD, 1)
    published = workspace.published()
    assert published.members() == OLD
    check_store(workspace.warehouse)
    report = workspace.refresh()
    assert {run.segment_id: run.definition_version for run in report.segments} == {
        "everybody": 1,
        "buyers": 2,
        "visitors_who_do_not_buy": 1,
        "visitors": 1,
    }
    members = workspace.published().members()
    assert (members["buyers"], members["visitors_who_do_not_buy"]) == (["a", "b"], ["c"])
    check_store(workspace.warehouse)


@pytest.mark.long
def test_disk_that_is_really_full(embedded: EngineSession, refreshed: Workspace, tmp_path: Path) -> None:
    """A small disk of memory with ever less room: whatever could still be written, the store is whole."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        workspace = refreshed.copy_to(tmp_path)
        filler = tmp_path / "filler"
        told = 0
        for room in (0, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512):  # KiB
            change_sources(workspace)
            filler.write_bytes(bytes(max(0, shutil.disk_usage(tmp_path).free - room * 1024)))
            try:
                workspace.refresh()
            except RunError as error:
                told += "No space left on device" in str(error)
                assert workspace.published().members() == OLD
            filler.unlink()
            check_store(workspace.warehouse)
            assert Status.REFRESHING not in {summary.status for summary in workspace.listed().values()}
            if workspace.published().members() == NEW:
                break
        assert told > 1
        workspace.refresh()
        assert workspace.published().members() == NEW
        check_store(workspace.warehouse)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
