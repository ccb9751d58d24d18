"""Calling a library that prints, waits and reads the environment as it likes, without anybody noticing."""

from __future__ import annotations

import logging
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

_Result = TypeVar("_Result")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables, and put back what was there before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def silence(loggers: Iterable[str]) -> Iterator[None]:
    """Keep loggers and warnings silent, whatever their handlers do."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def finish_within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return what a function returns, or raise what it raises.

    Raises:
        TimeoutError: It takes longer; it is left to itself, in a thread that does not keep the process alive.
    """
    done: queue.SimpleQueue[_Result | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(work())
        except Exception as error:  # noqa: BLE001 # raised again by who waits
            done.put(error)

    threading.Thread(target=run, name="segengine-tracking", daemon=True).start()
    try:
        result = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"it took more than {seconds:g} seconds") from None
    if isinstance(result, Exception):
        raise result
    return result
