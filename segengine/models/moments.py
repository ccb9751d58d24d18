"""Means of whole numbers from exact sums, and how two of them compare."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of whole numbers, exact."""

    count: int
    total: int
    squares: int

    def __sub__(self, other: Moments) -> Moments:
        """Return the moments of those that are not among the others."""
        return Moments(self.count - other.count, self.total - other.total, self.squares - other.squares)

    @property
    def mean(self) -> float:
        """The mean."""
        return self.total / self.count

    @property
    def deviation(self) -> float:
        """The standard deviation of a sample; 0 for fewer than two."""
        if self.count < 2:
            return 0.0
        return math.sqrt((self.count * self.squares - self.total**2) / (self.count * (self.count - 1)))


@dataclass(frozen=True)
class Comparison:
    """Two means compared by Welch's test: `t` is positive where the first is greater, `p` is of two sides."""

    t: float
    p: float


def compare(one: Moments, other: Moments) -> Comparison:
    """Return how two means compare; without evidence where there are too few values, or all are the same."""
    from scipy.stats import ttest_ind_from_stats

    spreads = one.deviation, other.deviation
    if min(one.count, other.count) < 2 or not any(spreads):
        return Comparison(0.0, 1.0)
    found = ttest_ind_from_stats(one.mean, spreads[0], one.count, other.mean, spreads[1], other.count, equal_var=False)
    return Comparison(float(found.statistic), float(found.pvalue))
