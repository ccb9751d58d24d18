"""Does a field only repeat another? The bars for what look-ups explain, and what they do not see by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segengine.models.fields import Codes, draw_by_hash
from segengine.models.groups import Mask
from segengine.models.lookups import tell_apart
from segengine.models.threads import one_thread

COPY_R2, SUSPECT_R2 = 0.85, 0.5
COPY_UNCERTAINTY, SUSPECT_UNCERTAINTY = 0.6, 0.3
COPY_AUC = 0.95
PURE_SHARE, PURE_BASE = 0.99, 0.9
SUM_OF_FIELDS_R2 = 0.98
_MOST_ROWS = 20_000


@dataclass(frozen=True)
class TruthExplained:
    """How well a look-up tells true from false: `auc` 0.5 to 1; `uncertainty`: the share of the entropy it removes."""

    auc: float
    uncertainty: float


def draw_learning_half(hashes: npt.NDArray[np.int64], seed_text: str) -> Mask:
    """Return which profiles look-ups are learned on, about half of them; they are judged on the others."""
    return draw_by_hash(hashes, f"{seed_text}: look-ups") < 1 / 2


def explain_truth(codes: Codes, truth: Mask, learning: Mask) -> TruthExplained:
    """Return how well a look-up by the code of a field tells who is in a group, held out.

    Args:
        codes: The field's codes, shape (n,).
        truth: Who is in the group, shape (n,).
        learning: The rows that the look-up is learned on, shape (n,).
    """
    from sklearn.metrics import log_loss

    actual = truth[~learning]
    if actual.all() or not actual.any() or not learning.any():
        return TruthExplained(0.5, 0.0)
    shares = _learn_shares(codes, truth, learning)[codes[~learning]]
    base = np.full(len(actual), actual.mean())
    removed = 1 - float(log_loss(actual, shares) / log_loss(actual, base))
    return TruthExplained(tell_apart(codes, truth, learning), removed)


def _learn_shares(codes: Codes, truth: Mask, learning: Mask) -> npt.NDArray[np.float64]:
    """Return the share of each code, drawn to the share of all by the weight of one row: never quite 0 or 1."""
    width = int(codes.max()) + 1
    counts = np.bincount(codes[learning], minlength=width)
    sums = np.bincount(codes[learning], truth[learning], minlength=width)
    shares: npt.NDArray[np.float64] = (sums + truth[learning].mean()) / (counts + 1)
    return shares


def has_pure_value(codes: Codes, truth: Mask, least_rows: int) -> bool:
    """Return whether a value of a field occurs, often enough, almost only where something else is true."""
    if truth.mean() > PURE_BASE:
        return False
    counts, trues = np.bincount(codes), np.bincount(codes, truth)
    return bool(((counts >= least_rows) & (trues >= PURE_SHARE * counts)).any())


def explain_together(
    features: npt.NDArray[np.float64], are_categories: Mask, values: npt.NDArray[np.float64], learning: Mask
) -> float:
    """Return the held-out R2 of boosted trees on all fields: near 1 where they make up the target together.

    Args:
        features: Values of ordered fields, codes of the others, NaN where missing; shape (n, fields).
        are_categories: Which fields are codes, shape (fields,).
        values: What is to be explained, shape (n,).
        learning: The rows that are learned on, shape (n,); of many the first, as of those that are judged.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import r2_score

    learned, judged = (np.flatnonzero(half)[:_MOST_ROWS] for half in (learning, ~learning))
    model = HistGradientBoostingRegressor(
        max_iter=40, learning_rate=0.3, categorical_features=are_categories, early_stopping=False, random_state=0
    )
    with one_thread("openmp"):
        model.fit(features[learned], values[learned])
        return float(r2_score(values[judged], model.predict(features[judged])))
