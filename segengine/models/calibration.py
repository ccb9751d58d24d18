"""Scores whose size means something: how much more common such a customer is among members than among the others.

A score s says that by s / (1 - s): 0.85 is 5.7 times, 0.7 is 2.3 times, 0.5 is as common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segengine.models.threads import one_thread

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int64]

STEPS: Final = 10_000
"""A score has four digits: it is a whole number of steps."""

_CONFIDENT = 1.6448536269514722  # the 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Band:
    """Scores from `least` on, up to the next band, and what marketers call such customers."""

    name: str
    least: float


BANDS: Final = (
    Band("very similar", 0.85),
    Band("similar", 0.7),
    Band("somewhat similar", 0.55),
    Band("not similar", 0.0),
)


@dataclass(frozen=True)
class Platt:
    """A logistic curve from a model's log odds to a score."""

    slope: float
    intercept: float

    def score(self, log_odds: Floats) -> Steps:
        """Return scores in whole steps of 1 / `STEPS`, shape (n,)."""
        from scipy.special import expit

        steps: Steps = np.rint(expit(self.slope * log_odds + self.intercept) * STEPS).astype(np.int64)
        return steps


def fit_platt(log_odds: Floats, is_member: Bools) -> Platt:
    """Return the curve for held-out log odds, members and others weighing the same.

    The targets are pulled in from 0 and 1, or classes that do not overlap would make the slope infinite. A model that
    tells nothing can turn the slope round, and so call customers similar because they are not: such a slope counts as
    0, and every score is 0.5.

    Source: Platt, Probabilistic outputs for support vector machines, 1999, section 2.2 (the targets).
    """
    from sklearn.linear_model import LogisticRegression

    members, others = int(is_member.sum()), int((~is_member).sum())
    target = np.where(is_member, (members + 1) / (members + 2), 1 / (others + 2))
    weight = np.where(is_member, 0.5 / members, 0.5 / others) * len(is_member)
    # A target between 0 and 1 is a row of each class, weighing as much as the target says.
    rows = np.concatenate([log_odds, log_odds])[:, np.newaxis]
    classes = np.repeat([1, 0], len(log_odds))
    weights = np.concatenate([weight * target, weight * (1 - target)])
    with one_thread("blas"):
        fitted = LogisticRegression(C=np.inf, solver="newton-cholesky").fit(rows, classes, weights)
    slope = float(fitted.coef_[0, 0])
    return Platt(slope, float(fitted.intercept_[0])) if slope > 0 else Platt(0.0, 0.0)


def measure_auc(scores: npt.NDArray[np.generic], is_member: Bools) -> float:
    """Return the chance that a member has a greater score than one of the others, 0 to 1."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_member, scores))


def lower_bound(auc: float, members: int, others: int) -> float:
    """Return the bound that an AUC lies above with a confidence of 95 %, one-sided.

    Source: Hanley and McNeil, The meaning and use of the area under a ROC curve, 1982, equation 1.
    """
    both_members, both_others = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (members - 1) * (both_members - auc**2) + (others - 1) * (both_others - auc**2)
    return auc - _CONFIDENT * math.sqrt(max(variance, 0.0) / (members * others))


def find_bands(steps: Steps) -> npt.NDArray[np.int64]:
    """Return the place in `BANDS` of each score in steps, shape (n,)."""
    ends = [-round(band.least * STEPS) for band in BANDS]
    return np.searchsorted(ends, -steps, side="left").astype(np.int64)
