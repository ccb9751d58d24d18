"""One thread, and afterwards as many as before."""

from __future__ import annotations

from typing import Literal

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from segengine.models.threads import one_thread


@pytest.mark.parametrize("library", ["openmp", "blas"])
def test_one_thread_inside_and_as_many_as_before_after(library: Literal["openmp", "blas"]) -> None:
    def count() -> set[int]:
        return {one["num_threads"] for one in ThreadpoolController().select(user_api=library).info()}

    with threadpool_limits(2):
        with one_thread(library):
            assert count() == {1}
        assert count() == {2}
