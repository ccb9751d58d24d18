"""Suggestions from a table in one piece, and how well they find what was planted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from planted_groups import Mask, Noise, Planted, add_target, make_customers, name_target, plant_group

from segengine.models.fields import Field
from segengine.models.groups import Group, find_members
from segengine.models.suggestions import Question, Suggestions, confirm_candidates, find_candidates

CUSTOMERS = 5_000
THREE_EFFECTS = (0.4, -0.5, 0.6)


def suggest(table: pa.Table, target: Field, fields: Sequence[Field], seed_text: str) -> Suggestions:
    """Return the suggestions for a target of a table that has all customers."""
    candidates = find_candidates(table, Question(target, tuple(fields), seed_text))
    counter = candidates.counter
    return confirm_candidates(candidates, (counter.count(batch) for batch in table.to_batches(max_chunksize=65_536)))


def jaccard(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def finds(found: Suggestions, group: Group, table: pa.Table) -> bool:
    """Return whether a suggestion has at least 80 % of a group's members, and they are at least 80 % of its own."""
    members = find_members(group, table)
    both = [(find_members(one.group, table) & members).sum() / members.sum() for one in found.suggestions]
    own = [members[find_members(one.group, table)].mean() for one in found.suggestions]
    return any(min(pair) >= 0.8 for pair in zip(both, own, strict=True))


def measure_power(
    seeds: Sequence[int], size: int, effect: float, shares: tuple[float, float], noise: Noise = "gamma"
) -> float:
    """Return the share of runs in which one planted group of `size` conditions is found."""
    hits = 0
    for seed in seeds:
        customers, fields = make_customers(seed, CUSTOMERS)
        group = plant_group(customers, seed, size, *shares)
        table = add_target(customers, (Planted(group, effect),), noise, seed)
        hits += finds(suggest(table, name_target(noise), fields, f"seed {seed}"), group, table)
    return hits / len(seeds)


def count_noisy_runs(seeds: Sequence[int], noise: Noise) -> int:
    """Return in how many runs there is a suggestion although nothing was planted."""
    runs = 0
    for seed in seeds:
        customers, fields = make_customers(seed, CUSTOMERS)
        table = add_target(customers, (), noise, seed)
        runs += bool(suggest(table, name_target(noise), fields, f"seed {seed}").suggestions)
    return runs


def plant_three(seed: int, customers: pa.Table) -> tuple[Planted, ...]:
    """Return groups of one, two and three conditions, on fields of their own where there are enough."""
    planted: tuple[Planted, ...] = ()
    for place, effect in enumerate(THREE_EFFECTS):
        group = plant_group(customers, seed * 10 + place, place + 1, 0.05, 0.15, planted)
        planted = (*planted, Planted(group, effect))
    return planted


def mean_best_match(one: Sequence[Mask], other: Sequence[Mask]) -> list[float]:
    """Return for each member set of the one the Jaccard index of the most similar of the other."""
    return [max((jaccard(mine, theirs) for theirs in other), default=0.0) for mine in one]


def true_averages(found: Suggestions, planted: tuple[Planted, ...], target: Field, seed: int) -> list[float]:
    """Return the averages of suggested groups among 100,000 other customers of the same kind."""
    others, _ = make_customers(seed + 10**6, 100_000)
    table = add_target(others, planted, "gamma", seed + 10**6)
    values = np.asarray(table[target.name]) / 10**target.type.scale
    return [float(values[find_members(one.group, table)].mean()) for one in found.suggestions]
