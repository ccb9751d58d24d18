"""Threads of the numeric libraries: how many a model takes while it fits or scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread(library: Literal["openmp", "blas"]) -> Iterator[None]:
    """Let a library take one thread inside the block.

    An engine runs a task for each core, so more would only get in each other's way; and sums that threads share (BLAS)
    differ in their last digits. The limit of OpenMP holds for the calling thread alone, that of BLAS for the process.
    """
    with _find_libraries().limit(limits=1, user_api=library):
        yield


@cache
def _find_libraries() -> ThreadpoolController:
    import sklearn.ensemble  # noqa: F401 - a library that is loaded later would not be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
