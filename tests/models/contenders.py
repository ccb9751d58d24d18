"""Contenders of a benchmark, one after the other, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any


def run_contenders(
    draw: Callable[[int], tuple[Any, ...]], *contenders: Callable[..., dict[str, float]], size: int
) -> None:
    """Let each contender work on the same drawn data, and print its seconds, figures and peak memory."""
    for contender in contenders:
        process = multiprocessing.get_context("spawn").Process(target=_report, args=(draw, contender, size))
        process.start()
        process.join()


def _report(draw: Callable[[int], tuple[Any, ...]], run: Callable[..., dict[str, float]], size: int) -> None:
    data = draw(size)
    started, busy = time.perf_counter(), time.process_time()
    figures = run(*data)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shown = ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())
    print(f"{run.__name__}: {seconds:.1f} s (CPU {busy:.1f}); {shown}; peak memory {peak:.2f} GiB")  # noqa: T201 - its output
