"""How far two counted distributions differ, corrected for what chance alone makes of their sizes and cells.

The distance is Jensen and Shannon's (base 2, 0 to 1). What chance makes of it is found by relabelling: which profiles
are in which set is drawn anew, which needs nothing but the counts (multivariate hypergeometric draws).

Source: Lin, Divergence measures based on the Shannon entropy, 1991, equation 3.2.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FIRST_DRAWS, MORE_DRAWS = 300, 10_000
WORTH_MORE = 0.03  # below this p-value after the first draws, more are made
RESAMPLES = 1_000
CONFIDENCE = 0.95
FALSE_SHARE = 0.05  # of the fields called different, how many are not, at most, on average

_MOST_ROWS = 499_999_999  # of one set: numpy draws from fewer than a billion
_EPSILON = 1e-12  # distances of equal tables may differ by so much

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Divergence:
    """A score from 0 (the same) to 1 (no value in common), its 95 % interval, and how often chance does as much."""

    score: float
    low: float
    high: float
    p_value: float


def measure_divergence(first: Counts, second: Counts, seed_text: str, ordered_cells: int = 0) -> Divergence:
    """Return how far two counted distributions differ.

    Chance has to explain the distance and, where cells have an order, the shift too: it is seen in sets too small for
    the distance of many cells. The p-value of the two is twice the smaller one (Bonferroni).

    Args:
        first: How many of one set are in each cell, shape (cells,); at least one.
        second: The same of another set, which shares no profile with the first.
        seed_text: What the draws come from: the same text, the same draws.
        ordered_cells: So many of the cells, the first ones, are in the order of their values.
    """
    first, second = _thin(first), _thin(second)
    draw = np.random.Generator(np.random.PCG64(_seed(seed_text)))
    found = _statistics(first, second, ordered_cells)
    by_chance = _relabel(first, second, FIRST_DRAWS, draw, ordered_cells)
    if _p_value(by_chance, found) < WORTH_MORE:
        by_chance = _relabel(first, second, MORE_DRAWS, draw, ordered_cells)
    square, bias = float(found[0]), float(by_chance[0].mean())
    again = squared_distance(_resample(first, draw), _resample(second, draw))
    tail = (1 - CONFIDENCE) / 2
    shift = square - bias - float(again.mean())  # resampled tables have the bias of chance twice
    low, high = (_root(float(end) + shift) for end in np.quantile(again, [tail, 1 - tail]))
    return Divergence(_root(square - bias), low, high, _p_value(by_chance, found))


def squared_distance(first: Counts, second: Counts) -> Floats:
    """Return the Jensen-Shannon divergence of counts, shape (..., cells) each, in bits: shape (...)."""
    one, other = (counts / counts.sum(axis=-1, keepdims=True) for counts in (first, second))
    return _entropy((one + other) / 2) - (_entropy(one) + _entropy(other)) / 2


def measure_shift(first: Counts, second: Counts) -> Floats:
    """Return how much more often a value of the first set is above one of the second than below it, -1 to 1.

    Args:
        first: Counts by cells in the order of their values, shape (..., cells).
        second: The same of the other set.

    Returns:
        Shape (...), twice the area under the ROC curve less 1, values in one cell being equal; 0 of an empty set.
    """
    one, other = first.astype(np.float64), second.astype(np.float64)
    below = np.cumsum(other, axis=-1) - other
    pairs = one.sum(axis=-1) * other.sum(axis=-1)
    wins = (one * (2 * below + other)).sum(axis=-1)
    shift: Floats = np.where(pairs > 0, wins / np.maximum(pairs, 1) - 1, 0)
    return shift


def find_significant(p_values: Sequence[float]) -> list[bool]:
    """Return which of some tests stand, so that at most `FALSE_SHARE` of these are chance on average.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, 1995, procedure (1).
    """
    ordered = sorted(p_values)
    passed = [p for rank, p in enumerate(ordered, start=1) if p <= FALSE_SHARE * rank / len(ordered)]
    return [bool(passed) and p <= passed[-1] for p in p_values]


def _entropy(shares: Floats) -> Floats:
    bits: Floats = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=-1)
    return bits


def _statistics(first: Counts, second: Counts, ordered_cells: int) -> Floats:
    """Return what chance must explain, shape (statistics, ...): the distance first."""
    distance = squared_distance(first, second)
    if ordered_cells < 2:
        return distance[np.newaxis]
    return np.stack([distance, np.abs(measure_shift(first[..., :ordered_cells], second[..., :ordered_cells]))])


def _relabel(first: Counts, second: Counts, draws: int, draw: np.random.Generator, ordered_cells: int) -> Floats:
    pooled = first + second
    drawn = draw.multivariate_hypergeometric(pooled, first.sum(), draws, method="marginals")
    return _statistics(drawn, pooled - drawn, ordered_cells)


def _resample(counts: Counts, draw: np.random.Generator) -> Counts:
    return draw.multinomial(counts.sum(), counts / counts.sum(), RESAMPLES)


def _p_value(by_chance: Floats, found: Floats) -> float:
    as_much = (by_chance >= found[:, np.newaxis] - _EPSILON).sum(axis=1)
    p_value: float = len(found) * (1 + int(as_much.min())) / (1 + by_chance.shape[1])
    return min(1.0, p_value)


def _thin(counts: Counts) -> Counts:
    """Return counts, divided where they are more than can be drawn from: chance plays no part at that size."""
    return counts // -(-int(counts.sum()) // _MOST_ROWS)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def _root(square: float) -> float:
    return math.sqrt(max(0.0, square))
