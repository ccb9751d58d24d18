"""Distances of counted distributions, and what chance makes of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segengine.models.divergence import find_significant, measure_divergence, squared_distance


def counts(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_distance_is_that_of_scipy() -> None:
    from scipy.spatial.distance import jensenshannon

    random = np.random.default_rng(1)
    for _ in range(50):
        one, other = random.integers(0, 40, (2, random.integers(2, 22)))
        one[0] += 1
        other[-1] += 1
        expected = jensenshannon(one, other, base=2) ** 2
        assert squared_distance(one, other) == pytest.approx(expected, abs=1e-12)


def test_p_value_is_that_of_all_relabellings() -> None:
    """With two cells, how many of the first set are in the first cell decides all: summed by hand."""
    one, other = counts(14, 26), counts(40, 34)
    found = measure_divergence(one, other, "exact").p_value
    distances = {k: distance(k, 40, 54, 60) for k in range(41)}
    chances = {k: math.comb(54, k) * math.comb(60, 40 - k) / math.comb(114, 40) for k in range(41)}
    expected = sum(chances[k] for k in chances if distances[k] >= distances[14] - 1e-9)
    assert found == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / 300))
    assert 0 < expected < 0.2


def distance(inside: int, size: int, first: int, second: int) -> float:
    """Return the squared distance of two cells, by the definition."""
    one = (inside / size, 1 - inside / size)
    rest = first + second - size
    other = ((first - inside) / rest, 1 - (first - inside) / rest)
    middle = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
    kl = [sum(p * math.log2(p / m) for p, m in zip(side, middle, strict=True) if p) for side in (one, other)]
    return sum(kl) / 2


def test_same_and_disjoint() -> None:
    same = measure_divergence(counts(50, 50), counts(500, 500), "a")
    assert (same.score, same.low, same.p_value) == (0.0, 0.0, 1.0)
    apart = measure_divergence(counts(100, 0), counts(0, 3_000), "a")
    assert apart.score > 0.99
    assert apart.p_value < 0.001
    assert apart.low <= apart.score <= apart.high


def test_same_text_same_draws() -> None:
    one, other = counts(20, 30, 10), counts(300, 200, 100)
    assert measure_divergence(one, other, "a") == measure_divergence(one, other, "a")
    assert measure_divergence(one, other, "a") != measure_divergence(one, other, "b")


def test_more_profiles_than_numpy_draws_from() -> None:
    found = measure_divergence(counts(30, 10), counts(3_000_000_000, 3_000_000_000), "a")
    small = measure_divergence(counts(30, 10), counts(300_000_000, 300_000_000), "a")
    assert found.score == pytest.approx(small.score, abs=0.005)
    assert found.p_value < 0.01


def test_significance_is_that_of_scipy() -> None:
    from scipy.stats import false_discovery_control

    random = np.random.default_rng(2)
    for _ in range(50):
        p_values = (random.random(random.integers(1, 40)) ** 3).tolist()
        assert find_significant(p_values) == (false_discovery_control(p_values) <= 0.05).tolist()
    assert find_significant([]) == []


@pytest.mark.parametrize(("sizes", "cells"), [((200, 10_000), 20), ((2_000, 2_000), 6)])
def test_interval_covers_what_the_sets_were_drawn_from(sizes: tuple[int, int], cells: int) -> None:
    random = np.random.default_rng(77)
    covered = 0
    for repeat in range(60):
        shares = random.dirichlet(np.full(cells, 4.0), 2)
        shares[1] = 0.7 * shares[0] + 0.3 * shares[1]
        truth = math.sqrt(squared_distance(shares[0], shares[1]))
        drawn = [random.multinomial(size, own) for size, own in zip(sizes, shares, strict=True)]
        found = measure_divergence(drawn[0], drawn[1], f"cover {repeat}")
        covered += found.low <= truth <= found.high
    assert covered >= 52
