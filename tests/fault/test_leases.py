"""One refresh at a time: heartbeats, holders that sleep through their lease, waiting, and races of two engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_checker import check_store
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.errors import LeaseHeldError, RunError
from segengine.operations.status import read_status
from segengine.store import control as control_module
from segengine.store.control import Control
from segengine.store.runs import Status

PROJECT = """
project: leased
tables:
  customers: {path: data/customers, key: customer_id}
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Everybody
where: everyone
"""
# A refresh with a lease of two seconds that waits before it publishes, until there is a file "go".
SLOW_REFRESH = """
import time
from datetime import timedelta
from pathlib import Path
from segengine.operations.context import open_project, open_settings
from segengine.operations.refresh import refresh_segments
from segengine.store import control

control.LEASE_TIME, control.HEARTBEAT_TIME = timedelta(seconds=2), timedelta(seconds=0.3)

def progress(line):
    if line == "publishing":
        Path("ready").touch()
        while not Path("go").exists():
            time.sleep(0.05)

with open_project(open_settings(Path.cwd())) as project:
    refresh_segments(project, progress=progress)
"""
# Takes the lease once for each file that tells it to, keeps it for a moment, and says how that went.
RACER = """
import sys, time
from pathlib import Path
from segengine.errors import LeaseHeldError
from segengine.operations.context import open_project, open_settings
from segengine.store.control import Control

with open_project(open_settings(Path.cwd())) as project:
    control = Control(project.warehouse, "control")
    control.read()
    print("open", flush=True)
    for number in range(int(sys.argv[1])):
        while not Path(f"start_{number}").exists():
            time.sleep(0.001)
        try:
            with control.lease(f"child_{number}", []) as lease:
                print(lease.token, flush=True)
                while not Path(f"stop_{number}").exists():
                    time.sleep(0.01)
        except LeaseHeldError:
            print("held", flush=True)
"""

# The command line, held up while it writes snapshots.
HELD_UP = """
import signal, sys, time
from pathlib import Path
from segengine.cli.main import entrypoint
from segengine.operations import evaluation

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

def write_snapshots(*arguments):
    Path("ready").touch()
    time.sleep(60)

evaluation.write_snapshots = write_snapshots
sys.argv[1:] = ["refresh", "-o", "json"]
entrypoint()
"""


@pytest.fixture
def workspace(embedded: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, embedded)
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a", "b"]}}, SEGMENTS)
    workspace.apply()
    workspace.refresh()
    return workspace


def start(workspace: Workspace, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=workspace.folder,
        env={name: value for name, value in os.environ.items() if name != "SPARK_CONNECT_MODE_ENABLED"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def is_held(workspace: Workspace) -> bool:
    with workspace.opened() as project:
        return Control(project.warehouse, "control").read().is_held(datetime.now(UTC))


def test_heartbeats_keep_a_lease_and_say_what_is_done(
    engine: EngineSession, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a URL they are statements of the engine, from a thread of their own."""
    monkeypatch.setattr(control_module, "HEARTBEAT_TIME", timedelta(seconds=0.2))
    workspace.write_project(f"{PROJECT}warehouse: {workspace.warehouse.as_uri()}\n")

    with workspace.on(engine).opened() as project:
        control = Control(project.warehouse, "control")
        with control.lease("run_slow", ["everybody"]) as lease:
            first = control.read()
            lease.progress = "evaluating 1 segment(s)"
            wait_for(lambda: control.read().progress == lease.progress)
            later = control.read()
            assert first.until is not None
            assert later.until is not None
            assert later.until > first.until
            assert later.token == first.token == lease.token
            assert read_status(project).progress == lease.progress
        after = control.read()

    assert (after.token, after.owner, after.progress) == (lease.token + 1, "", "")
    names = [thread.name for thread in threading.enumerate()]
    wait_for(lambda: "lease of run_slow" not in [thread.name for thread in threading.enumerate()])
    assert names.count("lease of run_slow") <= 1


def test_living_holder_keeps_its_lease_and_a_paused_one_cannot_publish(workspace: Workspace) -> None:
    workspace.write_table("customers", {"customer_id": ["b", "c"]})
    child = start(workspace, SLOW_REFRESH)
    wait_for((workspace.folder / "ready").exists)
    time.sleep(3)  # longer than the lease: heartbeats prolong it
    assert is_held(workspace)
    with pytest.raises(LeaseHeldError):
        workspace.refresh()

    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: not is_held(workspace))
    listed = workspace.listed()["everybody"]
    assert (listed.status, listed.error.startswith("run_")) == (Status.FAILED, True)
    workspace.write_table("customers", {"customer_id": ["b", "d", "e"]})
    workspace.refresh()
    (workspace.folder / "go").touch()
    child.send_signal(signal.SIGCONT)
    _, errors = child.communicate(timeout=60)

    assert child.returncode == 1
    assert "lost its lease while it ran, to a run that has ended" in errors
    published = workspace.published()
    assert published.members() == {"everybody": ["b", "d", "e"]}
    assert [run["status"] for run in published.runs] == ["Successful", "Successful"]
    assert published.keys["customer"].keys() == {"a", "b", "d", "e"}, "the keys of the run that lost were never given"
    check_store(workspace.warehouse)


def test_lost_lease_stops_a_run_before_its_next_phase(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "HEARTBEAT_TIME", timedelta(seconds=0.1))
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        if line.startswith("checking"):
            with workspace.opened() as project:
                control = Control(project.warehouse, "control")
                columns, changes = "new_token bigint, owner string", {"token": "s.new_token", "owner": "s.owner"}
                while (row := control.read()).owner != "thief":  # a heartbeat may win over the theft
                    source = {"name": "control", "token": row.token, "new_token": row.token + 1, "owner": "thief"}
                    control._merge(source, columns, changes)
            time.sleep(2)

    with pytest.raises(RunError, match="lost its lease while it ran, to thief"):
        workspace.refresh(full=True, progress=progress)
    assert [line.split()[0] for line in lines] == ["checking"]
    assert len(workspace.published().runs) == 1


def test_second_run_waits_as_long_as_it_was_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    workspace.write_table("customers", {"customer_id": ["b", "c"]})
    child = start(workspace, SLOW_REFRESH)
    wait_for((workspace.folder / "ready").exists)

    with pytest.raises(LeaseHeldError) as refused:
        workspace.refresh(wait=timedelta(seconds=1))
    workspace.write_table("customers", {"customer_id": ["e"]})
    threading.Timer(1, (workspace.folder / "go").touch).start()
    workspace.refresh(wait=timedelta(seconds=60), progress=lines.append)

    assert refused.value.exit_code == 5
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert lines[0].startswith("waiting: Another run (run_")
    published = workspace.published()
    assert [run["status"] for run in published.runs] == ["Successful"] * 3
    assert published.members() == {"everybody": ["e"]}


def race(workspace: Workspace, rounds: int) -> None:
    """Take the lease at the same instant in two processes; each time one of them gets it, with a greater token."""
    child = start(workspace, RACER, str(rounds))
    assert child.stdout is not None
    tokens: list[int] = []
    with workspace.opened() as project:
        control = Control(project.warehouse, "control")
        tokens.append(control.read().token)
        assert child.stdout.readline() == "open\n"
        for number in range(rounds):
            mine = None
            (workspace.folder / f"start_{number}").touch()
            with suppress(LeaseHeldError), control.lease(f"parent_{number}", []) as lease:
                mine = lease.token
                said = child.stdout.readline().strip()
            if mine is None:
                said = child.stdout.readline().strip()
            (workspace.folder / f"stop_{number}").touch()
            winners = [token for token in (mine, said) if token not in (None, "held")]
            assert len(winners) == 1, (mine, said)
            tokens.append(int(winners[0]))
            wait_for(lambda: control.read().owner == "")
    child.communicate(timeout=60)
    assert tokens == sorted(set(tokens)), json.dumps(tokens)


def test_race_for_the_lease_on_one_engine(workspace: Workspace) -> None:
    race(workspace, 10)


@pytest.mark.spark
def test_race_for_the_lease_on_two_engines(spark_engine: EngineSession, workspace: Workspace) -> None:
    """At a URL each engine commits by itself."""
    workspace.write_project(f"{PROJECT}warehouse: {workspace.warehouse.as_uri()}\n")
    race(workspace.on(spark_engine), 4)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_cancel_keeps_the_last_good_state(workspace: Workspace, name: str) -> None:
    workspace.write_table("customers", {"customer_id": ["c"]})
    child = start(workspace, HELD_UP)
    wait_for((workspace.folder / "ready").exists)
    assert workspace.listed()["everybody"].status is Status.REFRESHING
    child.send_signal(getattr(signal, name))
    output, errors = child.communicate(timeout=60)

    assert (child.returncode, output) == (130, "")
    assert "canceled; everything keeps its last good snapshot" in errors
    assert "Traceback" not in errors
    listed = workspace.listed()["everybody"]
    assert (listed.status, listed.error) == (Status.CANCELED, "canceled")
    published = workspace.published()
    assert published.members() == {"everybody": ["a", "b"]}
    assert published.control["owner"] == ""
    workspace.refresh()
    assert workspace.published().members() == {"everybody": ["c"]}
