"""Processes forked from one that has imported what they need: they start at once, and are killed like any other."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

_FORKS = get_context("forkserver")
# No engine: it has threads, and a fork would have none of them.
_FORKS.set_forkserver_preload(
    [f"segengine.operations.{name}" for name in ("apply", "backfill", "context", "forget", "maintain", "refresh")]
    + ["pyspark.sql.connect.session", "pyspark.sql.connect.functions"]
)


def run_forked(main: Callable[..., None], *arguments: object, folder: Path) -> tuple[int, str]:
    """Let a process call the function in the folder; return its exit code and what it said."""
    said = folder / "said.txt"
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_CONNECT_MODE_ENABLED"}
    process = _FORKS.Process(target=_begin, args=(main, arguments, folder, said, environment))
    process.start()
    process.join(120)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"it does not end:\n{said.read_text()}")
    return process.exitcode, said.read_text()


def _begin(
    main: Callable[..., None], arguments: tuple[object, ...], folder: Path, said: Path, environment: dict[str, str]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with said.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    main(*arguments)
