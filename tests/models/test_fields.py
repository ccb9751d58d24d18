"""Fields coded: places of values, bins that part no equal values, draws that depend on nothing but id and salt."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from segengine.models.fields import Bins, Categories, Field, draw_by_hash, take_quantiles
from segengine.project.types import AttributeType


def test_categories_know_others_and_missing() -> None:
    codes = Categories(("High", "Low")).encode(pa.array(["Low", None, "odd", "High"]))
    assert codes.tolist() == [1, 3, 2, 0]


def test_booleans_are_categories_of_ordinals() -> None:
    assert not Field("subscribed", AttributeType("boolean")).is_ordered
    assert Categories((0, 1)).encode(pa.array([1, 0, None], pa.int64())).tolist() == [1, 0, 3]


@pytest.mark.parametrize("type_", [pa.int64(), pa.float64()])
def test_a_bin_ends_with_its_limit(type_: pa.DataType) -> None:
    assert Bins((10, 20)).encode(pa.array([9, 10, 11, 20, 21, None], type_)).tolist() == [0, 0, 1, 1, 2, 3]


def test_large_integers_are_compared_exactly() -> None:
    limit = 2**60
    assert Bins((limit,)).encode(pa.array([limit, limit + 1], pa.int64())).tolist() == [0, 1]


def test_quantiles_part_no_equal_values_and_leave_no_bin_empty() -> None:
    counts = np.array([70, 10, 10, 10])
    assert take_quantiles(np.array([0, 1, 2, 3]), counts, 4) == [0, 1]
    assert take_quantiles(np.array([1, 2]), np.array([1, 99]), 4) == [1]
    assert take_quantiles(np.array([5]), np.array([9]), 4) == []
    assert take_quantiles(np.array([], np.int64), np.array([], np.int64), 4) == ()


def test_equal_weights_make_equal_bins() -> None:
    limits = take_quantiles(np.arange(100), np.ones(100, np.int64), 4)
    assert limits == [24, 49, 74]


def test_draws_are_even_and_differ_by_salt() -> None:
    hashes = np.arange(100_000, dtype=np.int64) - 50_000
    one, other = draw_by_hash(hashes, "split"), draw_by_hash(hashes, "fold")
    assert one.min() >= 0
    assert one.max() < 1
    assert np.abs(np.histogram(one, bins=10, range=(0, 1))[0] - 10_000).max() < 500
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
    assert draw_by_hash(hashes[::-1], "split").tolist() == one[::-1].tolist()
