"""What the embedded engine needs of the process it runs in: environment, signals, and an end without our functions."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

from segengine.engine.launch import BATCH_ROWS
from segengine.engine.machine import measure_memory

logger = logging.getLogger(__name__)

_END_SECONDS = 10.0


def set_environment() -> None:
    """Set what the engine reads once, when its library is loaded; what the user has set stays."""
    os.environ.setdefault("RUST_LOG", "off")
    os.environ.setdefault("SAIL_EXECUTION__BATCH_SIZE", str(BATCH_ROWS))
    if "SAIL_RUNTIME__MEMORY_POOL__TYPE" not in os.environ:
        # Half: our functions run in this process too, and their memory is not counted.
        os.environ["SAIL_RUNTIME__MEMORY_POOL__TYPE"] = "greedy"
        os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__GREEDY__MAX_SIZE", str(measure_memory() // 2))


def take_back_interrupts() -> None:
    """Install this process' own handler of SIGINT again: the server's would shut it down at the first Ctrl-C.

    Whoever is interrupted still has to say so in tables, and to give the lease back.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def wait_for_tasks(earlier: set[int], seconds: float = _END_SECONDS) -> None:
    """Wait until no function of ours runs in the threads of a server that was stopped, at most so long.

    `earlier`: foreign threads that were there before the server, and are none of its.

    Stopping it ends its queries, but a function goes on to the end of its batch. Before Python 3.14 an interpreter that
    ends meanwhile ends that thread as well, by unwinding it, which the engine's code answers by aborting the process.
    """
    until = time.monotonic() + seconds
    while find_foreign_threads() - earlier:
        if time.monotonic() > until:
            logger.debug("Functions still run %s s after their engine was stopped.", seconds)
            return
        time.sleep(0.02)


def find_foreign_threads() -> set[int]:
    """Return the threads that run Python and were not started by it; one of them may look like a dummy."""
    own = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    return {ident for ident in sys._current_frames() if ident not in own}
