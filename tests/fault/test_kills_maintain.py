"""A `maintain` killed between any two changes of the disk loses nothing that counts; the next one does the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession

# Kills itself before the Nth change of the disk; the product has no hooks for that.
CHILD = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import deltalake
from deltalake.table import TableOptimizer
from segengine.operations.context import open_project, open_settings
from segengine.operations.maintain import maintain_warehouse
from segengine.store.warehouse import Warehouse

number, changes, names = int(sys.argv[1]), 0, []

def counted(owner, name):
    method = getattr(owner, name)
    def change(*arguments, **options):
        global changes
        changes += 1
        names.append(name)
        if changes == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments, **options)
    setattr(owner, name, change)

for name in ("append", "create", "_merge"):
    counted(Warehouse, name)
for owner, name in ((deltalake.DeltaTable, "vacuum"), (deltalake.DeltaTable, "create_checkpoint")):
    counted(owner, name)
counted(TableOptimizer, "compact")
counted(Path, "unlink")
with open_project(open_settings(Path.cwd())) as project:
    maintain_warehouse(project, as_of=datetime(2026, 6, 6, tzinfo=UTC), retention=timedelta(0))
print(*names)
"""
PROJECT = """
project: killed
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
keep: {all: 2 days}
"""
SEGMENTS = """
kind: segment
name: Everybody
where: everyone
"""
KEPT = {3: ["a", "c"], 4: ["a", "d"]}


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("refreshed"), embedded)
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a"]}}, SEGMENTS)
    workspace.apply()
    for number, other in enumerate("abcd", start=1):
        workspace.write_table("customers", {"customer_id": sorted({"a", other})})
        workspace.refresh(as_of=datetime(2026, 6, 1 + number, tzinfo=UTC))
    return workspace


def start(workspace: Workspace, number: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(number)],
        cwd=workspace.folder,
        env={name: value for name, value in os.environ.items() if name != "SPARK_CONNECT_MODE_ENABLED"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
        check=False,
    )


def places(done: list[str]) -> list[int]:
    """Return the first place of each kind of change, and every place where another kind follows."""
    return [1, *(place + 2 for place, (one, other) in enumerate(zip(done, done[1:], strict=False)) if one != other)]


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_killed_maintain_harms_nothing(refreshed: Workspace, tmp_path: Path, part: int) -> None:
    whole = refreshed.copy_to(tmp_path / "whole")
    child = start(whole, 0)
    assert child.returncode == 0, child.stderr
    done = child.stdout.split()
    assert {"append", "_merge", "compact", "vacuum", "create_checkpoint", "unlink"} <= set(done)
    # Not the last: how often the lease beats, a `_merge` each, varies from run to run.
    last = max(place for place, name in enumerate(done, start=1) if name != "_merge")
    first = {done.index(name) + 1 for name in set(done)}
    numbers = [place for place in places(done)[part::3] if place <= last] if part else sorted({*first, last})

    for number in numbers:
        workspace = refreshed.copy_to(tmp_path / f"killed_{number}")
        assert start(workspace, number).returncode == -signal.SIGKILL
        where = f"before change {number}, {done[number - 1]}"
        check(workspace, where)
        workspace.maintain(as_of=datetime(2026, 6, 6, tzinfo=UTC), retention=timedelta(0))
        check(workspace, where)
        published, expected = workspace.published(), whole.published()
        stored = {row["run_id"] for row in published.snapshots}
        assert stored == {row["run_id"] for row in expected.snapshots}, where
        files = [
            each for each in (workspace.warehouse / "snapshots").rglob("*.parquet") if "_delta_log" not in each.parts
        ]
        assert len(files) == 1, where


def check(workspace: Workspace, where: str) -> None:
    for number, members in KEPT.items():
        assert sorted(workspace.members("Everybody", snapshot=number)) == members, where
    assert [row["member_count"] for row in workspace.published().of("everybody")] == [1, 2, 2, 2], where
