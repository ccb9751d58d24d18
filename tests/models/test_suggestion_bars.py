"""What suggestions promise, on seeds that no choice was made on: silence on noise, power, true and stable groups.

The default run has a short form; `-m long` the full one.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from planted_groups import SPEND, Noise, Planted, add_target, make_customers, plant_group
from suggesting import (
    CUSTOMERS,
    count_noisy_runs,
    jaccard,
    mean_best_match,
    measure_power,
    plant_three,
    suggest,
    true_averages,
)

from segengine.models.groups import find_members

LARGE, SMALL = (0.10, 0.14), (0.05, 0.07)
# conditions, effect, size, noise, least share of runs in which the group is found
POWER: list[tuple[int, float, tuple[float, float], Noise, float]] = [
    (1, 0.4, LARGE, "gamma", 0.9),
    (2, 0.5, LARGE, "gamma", 0.85),
    (2, 0.5, SMALL, "gamma", 0.75),
    (3, 0.6, SMALL, "gamma", 0.75),
    (2, 0.24, SMALL, "boolean", 0.7),
]


@pytest.fixture(autouse=True)
def _without_boosting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what only warns, and takes half of the time."""
    monkeypatch.setattr("segengine.models.influences.explain_together", lambda *_: 0.0)


@pytest.mark.long
@pytest.mark.parametrize("noise", ["gamma", "lognormal", "boolean"])
def test_noise_has_suggestions_in_at_most_one_of_twenty_runs(noise: Noise) -> None:
    assert count_noisy_runs(range(20_000, 20_200), noise) <= 10


@pytest.mark.long
@pytest.mark.parametrize(("size", "effect", "shares", "noise", "least"), POWER)
def test_planted_groups_are_found(
    size: int, effect: float, shares: tuple[float, float], noise: Noise, least: float
) -> None:
    assert measure_power(range(21_000, 21_050), size, effect, shares, noise) >= least


@pytest.mark.long
def test_suggestions_are_true_stable_and_keep_their_promise() -> None:
    assert_three_groups(range(22_000, 22_050), splits=3)


def assert_three_groups(seeds: range, splits: int) -> None:
    true, covered, matches = [], [], []
    for seed in seeds:
        customers, fields = make_customers(seed, CUSTOMERS)
        planted = plant_three(seed, customers)
        table = add_target(customers, planted, "gamma", seed)
        groups = [find_members(one.group, table) for one in planted]
        runs = [suggest(table, SPEND, fields, f"seed {seed}, split {split}") for split in range(splits)]
        sets = [[find_members(one.group, table) for one in run.suggestions] for run in runs]
        true += [max(jaccard(found, group) for group in groups) >= 0.5 for found in sets[0]]
        for run in runs:
            averages = true_averages(run, planted, SPEND, seed)
            covered += [
                one.expected.low <= average <= one.expected.high
                for one, average in zip(run.suggestions, averages, strict=True)
            ]
        for first in range(splits):
            for other in set(range(splits)) - {first}:
                matches += mean_best_match(sets[first], sets[other])
    assert np.mean(true) >= 0.9
    assert np.mean(matches) >= 0.8
    assert 0.9 <= np.mean(covered) <= 0.99


@pytest.mark.benchmark
def test_a_minute_is_enough_for_200_000_customers_and_20_fields() -> None:
    customers, fields = make_customers(30_000, 200_000, irrelevant=12)
    planted: tuple[Planted, ...] = ()
    for place, effect in enumerate((0.3, 0.25, -0.2, 0.3)):
        group = plant_group(customers, 30_000 + place, min(place + 1, 3), 0.05, 0.15, planted)
        planted = (*planted, Planted(group, effect))
    table = add_target(customers, planted, "gamma", 30_000)
    started = time.perf_counter()
    found = suggest(table, SPEND, fields, "benchmark")
    assert time.perf_counter() - started <= 60
    sets = [find_members(one.group, table) for one in found.suggestions]
    assert min(mean_best_match([find_members(one.group, table) for one in planted], sets)) >= 0.8


def test_noise_has_hardly_any_suggestion() -> None:
    assert count_noisy_runs(range(23_000, 23_012), "gamma") <= 2
    assert count_noisy_runs(range(23_100, 23_108), "boolean") <= 2


@pytest.mark.parametrize(("size", "effect", "shares", "noise"), [(1, 0.4, LARGE, "gamma"), (2, 0.32, LARGE, "boolean")])
def test_a_clear_group_is_found(size: int, effect: float, shares: tuple[float, float], noise: Noise) -> None:
    assert measure_power(range(24_000, 24_006), size, effect, shares, noise) >= 5 / 6
