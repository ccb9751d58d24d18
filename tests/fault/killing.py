"""Work that ends before its Nth change of the disk: in this process by an exception, in one of its own by a SIGKILL.

The product has no hooks for that. After the exception nothing reaches the disk either, so what would be cleaned up on
the way out is not: what is left is what a kill leaves. Heartbeats come when they like, from a thread of their own; they
are no changes that count.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import deltalake
from deltalake.table import TableOptimizer
from forks import run_forked
from workspace import Workspace

from segengine.operations.backfill import backfill_definitions
from segengine.operations.context import OpenProject, open_project, open_settings
from segengine.operations.forget import forget_profile
from segengine.operations.maintain import maintain_warehouse
from segengine.operations.refresh import refresh_segments
from segengine.store.warehouse import Warehouse

CHANGES = (
    *((Warehouse, name) for name in ("append", "append_rows", "create", "overwrite", "update_one", "_merge")),
    *((deltalake.DeltaTable, name) for name in ("vacuum", "create_checkpoint")),
    (TableOptimizer, "compact"),
    (Path, "unlink"),
)
GONE = "bob-7Q@example"
LATER = datetime(2026, 6, 6, tzinfo=UTC)
OPERATIONS: dict[str, Callable[[OpenProject], object]] = {
    "maintain": lambda project: maintain_warehouse(project, as_of=LATER, retention=timedelta(0)),
    "backfill": lambda project: backfill_definitions(project, ["Rich"], date(2026, 3, 1), date(2026, 3, 8), "week"),
    "forget": lambda project: forget_profile(project, GONE),
    "refresh": lambda project: refresh_segments(project, tracking=False),
}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def kill_this_process() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")


def raise_killed() -> NoReturn:
    raise Killed


@contextmanager
def changes_counted(number: int = 0, kind: str = "", die: Callable[[], NoReturn] = raise_killed) -> Iterator[list[str]]:
    """Yield the names of the changes of the disk as they are made; before the Nth, and at any later one, die.

    `kind`: only changes of this name count for the number.
    """
    done: list[str] = []
    worker = threading.get_ident()

    def is_over() -> bool:
        return 0 < number == (done.count(kind) if kind else len(done))

    def counted(owner: type, name: str) -> Callable[..., Any]:
        method = getattr(owner, name)

        def change(*arguments: Any, **options: Any) -> Any:
            is_there = name == "create" and arguments[0].exists(arguments[1])
            is_empty = name == "append_rows" and not arguments[2]
            is_change = not (options.get("dry_run") or is_there or is_empty)
            if is_change and threading.get_ident() == worker and not is_over():
                done.append(name)
            if is_change and is_over():
                die()
            return method(*arguments, **options)

        return change

    patches = [patch.object(owner, name, counted(owner, name)) for owner, name in CHANGES]
    for each in patches:
        each.start()
    try:
        yield done
    finally:
        for each in patches:
            each.stop()


def list_changes(workspace: Workspace, operation: str) -> list[str]:
    """Do the work, and return the changes of the disk it makes."""
    with workspace.opened() as project, changes_counted() as done:
        OPERATIONS[operation](project)
    return done


def cut_off(workspace: Workspace, operation: str, number: int, kind: str = "") -> None:
    """Do the work up to a change of the disk."""
    try:
        with workspace.opened() as project, changes_counted(number, kind):
            OPERATIONS[operation](project)
    except Killed:
        return
    raise AssertionError(f"{operation} made fewer than {number} changes {kind}")


def kill(workspace: Workspace, operation: str, number: int, kind: str = "") -> None:
    """Let a process do the work up to a change of the disk."""
    code, said = run_forked(main, operation, number, kind, folder=workspace.folder)
    assert code == -signal.SIGKILL, said


def main(operation: str, number: int, kind: str) -> None:
    with open_project(open_settings(Path.cwd())) as project, changes_counted(number, kind, kill_this_process):
        OPERATIONS[operation](project)
