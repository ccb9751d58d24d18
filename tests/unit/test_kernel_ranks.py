from __future__ import annotations

import numpy as np
import pytest

from segengine.kernel.ranks import profile_order

PLACES = np.array([70_000, 3, 70_000, 9, 3, 70_000, 1, 8])


@pytest.mark.parametrize(
    ("is_ranked", "places", "rows", "starts"),
    [
        (False, PLACES, [6, 1, 4, 7, 3, 0, 2, 5], [0, 1, 3, 4, 5]),
        (True, PLACES, [6, 7, 3, 1, 4, 0, 2, 5], [0, 1, 2, 3, 5]),
        (True, np.array([4, 2, 2, 4]), [1, 2, 0, 3], [0, 2]),
        (True, np.array([7]), [0], [0]),
    ],
)
def test_rows_lie_by_profile_and_profiles_by_their_number_of_rows(
    is_ranked: bool, places: np.ndarray, rows: list[int], starts: list[int]
) -> None:
    order, begins = profile_order(places, is_ranked=is_ranked)
    assert order.tolist() == rows
    assert begins.tolist() == starts
