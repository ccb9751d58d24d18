"""What a model of membership would have found: a quarter of the members hidden among the others, and looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segengine.models.calibration import BANDS, Steps, find_bands, fit_platt
from segengine.models.fields import draw_by_hash
from segengine.models.matrix import Matrix
from segengine.models.training import Sample, fit_folds

Weights = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HIDDEN_SHARE: Final = 0.25
LIST_SHARES: Final = (0.01, 0.05, 0.10, 0.20)


@dataclass(frozen=True)
class ListEvidence:
    """What the best candidates hold: `size_share` of all, with `recall` of the hidden members, `lift` times chance."""

    size_share: float
    recall: float
    lift: float


@dataclass(frozen=True)
class BandEvidence:
    """How common a band of scores, from `least` on, is among hidden members and among the others.

    `ratio` says how many times more common among the members; None where none of the others has such a score.
    """

    band: str
    least: float
    hidden_share: float
    other_share: float
    ratio: float | None


@dataclass(frozen=True)
class Evidence:
    """What a search for `hidden` members among `others` rows found."""

    hidden: int
    others: int
    lists: tuple[ListEvidence, ...]
    bands: tuple[BandEvidence, ...]


def find_hidden(sample: Sample, matrix: Matrix, is_text: list[bool], seed_text: str) -> Evidence | None:
    """Return what models find that take a quarter of the members for others, each row held out once.

    None where chance hid nobody.
    """
    drawn = draw_by_hash(sample.hashes, f"{seed_text} hidden") < HIDDEN_SHARE
    hidden, known = sample.is_member & drawn, sample.is_member & ~drawn
    if not hidden.any():
        return None
    folds = fit_folds(matrix, is_text, known, sample.hashes, f"{seed_text} evidence")
    log_odds = folds.rate(matrix, sample.hashes)
    steps = fit_platt(log_odds, known).score(log_odds)
    pool = ~known
    return Evidence(
        hidden=int(np.count_nonzero(hidden)),
        others=int(np.count_nonzero(pool & ~hidden)),
        lists=measure_lists(steps[pool], hidden[pool], sample.weights[pool]),
        bands=measure_bands(steps[pool], hidden[pool]),
    )


def measure_lists(steps: Steps, hidden: Bools, weights: Weights) -> tuple[ListEvidence, ...]:
    """Return how many of the hidden members the best rows of the pool hold; equal scores stay in their order.

    Args:
        steps: Scores of the pool, shape (n,).
        hidden: Which rows are hidden members, shape (n,).
        weights: How many customers each row stands for, shape (n,).
    """
    best_first = np.argsort(-steps, kind="stable")
    reached = np.cumsum(weights[best_first]) / weights.sum()
    found = np.cumsum((weights * hidden)[best_first]) / (weights * hidden).sum()
    recalls = np.interp(LIST_SHARES, [0, *reached], [0, *found]).tolist()
    return tuple(
        ListEvidence(share, recall, recall / share) for share, recall in zip(LIST_SHARES, recalls, strict=True)
    )


def measure_bands(steps: Steps, hidden: Bools) -> tuple[BandEvidence, ...]:
    """Return how common each band is among the hidden members and the others of a pool."""
    bands = find_bands(steps)
    ours = np.bincount(bands[hidden], minlength=len(BANDS)) / np.count_nonzero(hidden)
    theirs = np.bincount(bands[~hidden], minlength=len(BANDS)) / np.count_nonzero(~hidden)
    return tuple(
        BandEvidence(band.name, band.least, float(our), float(their), float(our / their) if their else None)
        for band, our, their in zip(BANDS, ours, theirs, strict=True)
    )
