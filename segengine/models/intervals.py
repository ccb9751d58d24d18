"""What to expect of a group, with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.models.group_counts import Tally
from segengine.models.moments import Moments
from segengine.models.targets import GRID, Target

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean or a share, and the ends between which it lies with 95 % confidence."""

    value: float
    low: float
    high: float


def find_expected(target: Target, outcome: str | int | None, tally: Tally) -> Interval:
    """Return what the half that confirms says of a group: its average in the target's unit, or the outcome's share."""
    if outcome is not None:
        return find_share_interval(tally.place_sum // GRID, tally.confirmed)
    places = find_mean_interval(Moments(tally.confirmed, tally.place_sum, tally.place_squares))
    return Interval(*map(target.to_value, (places.value, places.low, places.high)))


def find_mean_interval(moments: Moments) -> Interval:
    """Return the mean of at least two values with Student's interval."""
    from scipy.stats import t

    reach = float(t.ppf((1 + CONFIDENCE) / 2, moments.count - 1)) * moments.deviation / moments.count**0.5
    return Interval(moments.mean, moments.mean - reach, moments.mean + reach)


def find_share_interval(hits: int, count: int) -> Interval:
    """Return the share of `hits` in `count` with Wilson's interval."""
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(hits / count, float(found.low), float(found.high))
