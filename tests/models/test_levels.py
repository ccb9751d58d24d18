"""Levels: cuts as exhaustive search finds them, equal values never parted."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest

from segengine.models.cells import FieldCells
from segengine.models.fields import Field
from segengine.models.levels import Dimension, Levels, choose_candidates, choose_cuts, end_on_days, rank_correlation
from segengine.models.thresholds import last_day
from segengine.project.types import AttributeType, parse_instant
from tests.models.comparisons import DOUBLE, INTEGER


def shares_of(values: np.ndarray) -> list[float]:
    """Return the shares of the levels that the values are cut into, lowest first."""
    field = Field("a", INTEGER)
    cells = choose_candidates(pa.chunked_array([pa.array(values)]), field)
    rows = np.bincount(cells.coding.encode(pa.array(values)), minlength=cells.cell_count)
    levels = Levels(Dimension("frequency", field), choose_cuts(cells.limits, rows[:-1]))
    codes = levels.coding.encode(pa.array(values))
    return (np.bincount(codes, minlength=len(levels.cuts) + 1) / len(values)).tolist()


TIES = {
    "most are 0": (np.repeat([0, 1], [16_000, 4_000]), [0.80, 0.20]),
    "most are 1": (np.repeat([1, 2, 3], [18_000, 1_600, 400]), [0.90, 0.08, 0.02]),
    "the best recency": (np.concatenate([np.zeros(14_000, int), np.arange(1, 6_001)]), [0.70, 0.15, 0.15]),
    "continuous": (np.random.default_rng(1).permutation(20_000), [1 / 3, 1 / 3, 1 / 3]),
    "lognormal": (np.rint(np.random.default_rng(2).lognormal(8, 1.5, 20_000)).astype(int), [1 / 3, 1 / 3, 1 / 3]),
    "one value": (np.full(100, 7), [1.0]),
}


@pytest.mark.parametrize("case", TIES)
def test_equal_values_are_never_parted(case: str) -> None:
    values, expected = TIES[case]
    found = shares_of(values)
    assert found == pytest.approx(expected, abs=0.01)
    assert min(found) > 0


def test_cuts_are_the_best_of_all() -> None:
    random = np.random.default_rng(3)
    for _ in range(60):
        values = sorted(Counter(random.geometric(random.uniform(0.05, 0.9), 300).tolist()).items())
        limits = tuple(value for value, _ in values[:-1])
        found = choose_cuts(limits, np.array([count for _, count in values]))
        if len(values) <= 3:
            assert found == limits
            continue
        best = max(entropy(values, cuts) for cuts in combinations(limits, 2))
        assert entropy(values, found) == pytest.approx(best, abs=1e-9)


def entropy(values: list[tuple[int, int]], cuts: tuple[float, ...]) -> float:
    ends = (-math.inf, *cuts, math.inf)
    counts = [sum(count for value, count in values if low < value <= high) for low, high in pairwise(ends)]
    return -sum(count / sum(counts) * math.log2(count / sum(counts)) for count in counts if count)


def test_no_cut_leaves_a_level_empty() -> None:
    assert choose_cuts((1, 2, 3), np.array([0, 5, 5, 0])) == (2,)
    assert choose_cuts((1,), np.array([0, 5])) == ()
    assert choose_cuts((), np.array([5])) == ()


@pytest.mark.parametrize(("cuts", "names"), [((1, 2), "Low Medium High"), ((1,), "Low High")])
def test_levels_are_named_by_what_is_good(cuts: tuple[int, ...], names: str) -> None:
    days, last_day = Field("days", INTEGER), Field("last", AttributeType("date"))
    assert Levels(Dimension("frequency", days), cuts).names == (*names.split(), "Unknown")
    assert Levels(Dimension("recency", days), cuts).names == (*names.split()[::-1], "Unknown")
    assert Levels(Dimension("recency", last_day), cuts).names == (*names.split(), "Unknown")


def test_bounds_are_what_a_rule_says() -> None:
    levels = Levels(Dimension("duration", Field("a", DOUBLE)), (1.5, 2.5))
    assert [levels.bounds(code) for code in range(4)] == [(None, 1.5), (1.5, 2.5), (2.5, None), (None, None)]


def test_all_of_few_values_and_400_of_many_are_candidates() -> None:
    def choose(values: np.ndarray) -> FieldCells:
        return choose_candidates(pa.chunked_array([pa.array(values)]), Field("a", INTEGER))

    assert choose(np.repeat(np.arange(400), 3)).limits == tuple(range(399))
    assert len(choose(np.arange(20_000)).limits) == 399
    assert choose(np.array([], np.int64)).limits == ()


def test_rank_correlation_is_that_of_scipy() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(5)
    for size in (5, 200, 2_000):
        one = random.poisson(3, size)
        other = one * random.choice([-1, 1]) + random.normal(0, 2, size)
        assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)
    assert rank_correlation(np.array([1, 1]), np.array([1, 2])) == 0.0


def test_levels_of_times_end_with_local_days() -> None:
    zone, field = "America/New_York", Field("at", AttributeType("timestamp"))
    start, day = parse_instant("2026-01-01 00:00", zone), 86_400_000_000
    times = start + np.random.default_rng(4).integers(0, 200 * day, 5_000)
    cells = end_on_days(choose_candidates(pa.chunked_array([pa.array(times)]), field), zone)
    assert all(last_day(int(limit), zone) for limit in cells.limits)
    rows = np.bincount(cells.coding.encode(pa.array(times)), minlength=cells.cell_count)
    levels = Levels(Dimension("recency", field), choose_cuts(cells.limits, rows[:-1]))
    shares = np.bincount(levels.coding.encode(pa.array(times))) / len(times)
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=0.02)


def test_times_of_few_days_and_beyond_the_calendar_stay() -> None:
    field = Field("at", AttributeType("timestamp"))
    for times in (np.arange(300) * 3_600_000_000, np.arange(300) + 9 * 10**18):
        cells = choose_candidates(pa.chunked_array([pa.array(times)]), field)
        assert end_on_days(cells, "UTC") == cells
