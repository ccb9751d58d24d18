"""Seconds, processor seconds and memory of work that runs in a process of its own, children and JVM included."""

from __future__ import annotations

import multiprocessing
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segengine.engine.machine import count_cores, measure_memory

PACKAGES = ("segengine", "pysail", "pyspark", "delta-spark", "deltalake", "duckdb", "pyarrow", "numpy")
_INTERVAL_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Outcome:
    """What a contender found. `scale`: its phase "run" stands for so many times the work (1: it did all of it)."""

    counts: dict[str, int] = field(default_factory=dict)
    scale: float = 1.0
    note: str = ""
    snapshot_bytes: int = 0


@dataclass
class Phases:
    """Seconds and processor seconds of each phase, in order."""

    seconds: dict[str, float] = field(default_factory=dict)
    processor_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Measure the block as one phase."""
        started, used = time.perf_counter(), _processor_seconds(os.getpid())
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - started
            self.processor_seconds[name] = _processor_seconds(os.getpid()) - used


@dataclass
class Measured:
    """A contender's outcome and what it took; `error` where it failed."""

    outcome: Outcome
    phases: Phases
    peak_bytes: int
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """The seconds that count, scaled; None where it failed."""
        return self._scaled(self.phases.seconds)

    @property
    def processor_seconds(self) -> float | None:
        """The processor seconds of the same phase, scaled; None where it failed."""
        return self._scaled(self.phases.processor_seconds)

    def _scaled(self, phases: dict[str, float]) -> float | None:
        return None if self.error or "run" not in phases else phases["run"] * self.outcome.scale


def run_measured(work: Callable[..., Outcome], *arguments: Any) -> Measured:
    """Run work in a new process and return its outcome; `work` gets a `Phases` as its last argument."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work, arguments))
    process.start()
    sender.close()
    sampler = _MemorySampler(process.pid or 0)
    with sampler:
        try:
            outcome, phases, error = receiver.recv()
        except EOFError:
            outcome, phases, error = Outcome(), Phases(), "the process died"
        process.join(120)
    return Measured(outcome, phases, sampler.peak_bytes, error)


def _work(sender: Connection, work: Callable[..., Outcome], arguments: tuple[Any, ...]) -> None:
    phases = Phases()
    try:
        outcome = work(*arguments, phases)
    except Exception as error:  # noqa: BLE001 - one contender's failure is a line of the report
        traceback.print_exc()
        sender.send((Outcome(), phases, f"{type(error).__name__}: {str(error)[:300]}"))
    else:
        sender.send((outcome, phases, ""))


class _MemorySampler:
    """Samples the resident memory of a process and all its descendants."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> _MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_INTERVAL_SECONDS):
            pages = sum(int(stat[21]) for stat in _tree(self._process))
            self.peak_bytes = max(self.peak_bytes, pages * _PAGE)


def _tree(root: int) -> list[list[str]]:
    """Return the /proc stat fields, from the state on, of a process and its descendants (none without /proc)."""
    stats: dict[int, list[str]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(file.parent.name)] = file.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        if process in stats:
            found.append(stats[process])
            waiting += [child for child, stat in stats.items() if int(stat[1]) == process]
    return found


def _processor_seconds(root: int) -> float:
    """Return the processor seconds used so far by a process, its descendants and those of them that ended."""
    return sum(int(ticks) for stat in _tree(root) for ticks in stat[11:15]) / _TICKS


def describe_machine() -> dict[str, object]:
    """Return what the figures depend on: processor, cores, memory, load, versions."""
    return {
        "processor": _processor_name(),
        "cores": count_cores(),
        "memory_gib": round(measure_memory() / 2**30, 1),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
