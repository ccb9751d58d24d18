"""Refresh or apply in a process that kills itself before or after its Nth write; the product has no hooks for that.

    python killed_writer.py refresh|apply ENGINE NUMBER before|after|never      # in the folder of a project

Says "started", "opened" and, where it gets there, the number of writes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segengine.operations.apply import apply_definitions
from segengine.operations.context import open_project, open_settings
from segengine.operations.refresh import refresh_segments
from segengine.store.warehouse import Warehouse


def main(operation: str, engine: str, number: int, when: str) -> None:
    writes = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            nonlocal writes
            writes += 1
            here = writes == number
            if here and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = method(*arguments, **options)
            if here and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return write

    for name in ("append", "append_rows", "create", "update_one"):
        setattr(Warehouse, name, counted(getattr(Warehouse, name)))
    say("started")
    with open_project(open_settings(Path.cwd(), engine=engine)) as project:
        say("opened")
        if operation == "apply":
            apply_definitions(project)
        else:
            refresh_segments(project)
    say(str(writes))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
