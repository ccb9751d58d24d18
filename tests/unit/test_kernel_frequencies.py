"""How often values occur: forms of one value meet, missing and impossible ones are apart, percentiles are exact."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from segengine.kernel.frequencies import count_ordinals, count_texts
from segengine.kernel.ordinals import BadValueError
from segengine.project.types import AttributeType, instant_of

DOUBLE, INTEGER = AttributeType("double"), AttributeType("integer")


def counts(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_missing_and_invalid_floats_are_apart_and_zero_is_one_value() -> None:
    stored = pa.array([1.5, math.nan, None, math.inf, -0.0, 0.0], pa.float64())
    found = count_ordinals(stored, counts(2, 3, 4, 5, 6, 7), DOUBLE, "UTC")
    assert (list(map(str, found.values.tolist())), found.counts.tolist()) == (["0.0", "1.5"], [13, 2])
    assert (found.missing_count, found.invalid_count, found.present_count) == (7, 5, 15)


def test_text_that_means_one_number_is_one_value() -> None:
    found = count_ordinals(pa.array(["01", "1", " 2", ""]), counts(1, 2, 3, 4), INTEGER, "UTC")
    assert (found.values.tolist(), found.counts.tolist(), found.missing_count) == ([1, 2], [3, 3], 4)
    with pytest.raises(BadValueError):
        count_ordinals(pa.array(["1", "many"]), counts(1, 1), INTEGER, "UTC")


def test_decimals_beyond_64_bits() -> None:
    stored = pa.array([Decimal("1e30"), Decimal(7), Decimal("-1e30")], pa.decimal128(38, 0))
    found = count_ordinals(stored, counts(1, 1, 2), AttributeType("decimal", 38, 0), "UTC")
    assert found.values.tolist() == [-(10**30), 7, 10**30]
    assert [found.percentile(per_cent) for per_cent in (0, 50, 75, 100)] == [-(10**30), -(10**30), 7, 10**30]
    assert found.count_between([None, 7, 8, None]) == [2, 1, 1]


def test_wall_clocks_become_the_instants_they_mean() -> None:
    stored = pa.array([datetime(2026, 7, 1, 12)], pa.timestamp("us"))
    noon = instant_of(datetime(2026, 7, 1, 10, tzinfo=UTC))
    for type_, zone in (
        (AttributeType("timestamp_ntz"), "Europe/Berlin"),
        (AttributeType("timestamp_ntz", zone="Europe/Berlin"), "UTC"),
    ):
        assert count_ordinals(stored, counts(1), type_, zone).values.tolist() == [noon]


def test_nothing_at_all() -> None:
    found = count_ordinals(pa.array([], pa.int64()), counts(), INTEGER, "UTC")
    assert (found.present_count, found.missing_count, len(found.values)) == (0, 0, 0)
    assert count_texts(pa.array([], pa.string()), counts(), 10).values == ()


def test_percentiles_are_those_of_the_sorted_rows() -> None:
    """By hand: the k-th of n sorted rows is the least that k/n of them do not exceed."""
    draw = random.Random(11)
    for _ in range(200):
        rows = sorted(draw.randrange(30) for _ in range(draw.randrange(1, 60)))
        distinct = sorted(set(rows))
        found = count_ordinals(pa.array(distinct), counts(*[rows.count(value) for value in distinct]), INTEGER, "UTC")
        for per_cent in (0, 1, 5, 25, 50, 75, 95, 99, 100):
            enough = (value for value in distinct if 100 * sum(row <= value for row in rows) >= per_cent * len(rows))
            assert found.percentile(per_cent) == next(enough)
        edges = sorted(draw.sample(range(-5, 35), 4))
        assert found.count_between([None, *edges, None]) == [
            sum((low is None or low <= row) and (high is None or row < high) for row in rows)
            for low, high in zip([None, *edges], [*edges, None], strict=True)
        ]


def test_the_most_frequent_texts() -> None:
    stored = pa.array(["b", "a", None, "", "c"])
    found = count_texts(stored, counts(3, 3, 4, 1, 1), 2)
    assert found.values == (("a", 3), ("b", 3))
    assert (found.distinct_count, found.present_count, found.missing_count) == (3, 7, 5)


def test_numbers_that_are_declared_text() -> None:
    assert count_texts(pa.array([7, 12]), counts(1, 2), 10).values == (("12", 2), ("7", 1))
