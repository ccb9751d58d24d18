"""Scores calibrated: against scikit-learn, closed forms and counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segengine.models.calibration import STEPS, Platt, fit_platt, lower_bound, measure_auc


def draw_log_odds(seed: int, members: int, others: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    is_member = np.repeat([True, False], [members, others])
    return draw.normal(size=members + others) + shift * is_member, is_member


def test_equal_variances_have_a_known_curve() -> None:
    """Two normal classes of variance 1, their means d apart: the log of the density ratio is d x - d^2 / 2."""
    log_odds, is_member = draw_log_odds(1, 10_000, 30_000, 1.5)
    curve = fit_platt(log_odds, is_member)
    assert curve.slope == pytest.approx(1.5, abs=0.06)
    assert curve.intercept == pytest.approx(-1.125, abs=0.06)


def test_a_score_says_how_many_times_more_common() -> None:
    log_odds, is_member = draw_log_odds(2, 10_000, 30_000, 1.5)
    scores = fit_platt(log_odds, is_member).score(log_odds) / STEPS
    for low, high in ((0.55, 0.7), (0.7, 0.85)):
        inside = (scores >= low) & (scores < high)
        ratio = np.mean(inside[is_member]) / np.mean(inside[~is_member])
        assert low / (1 - low) < ratio < high / (1 - high)


def test_a_slope_turned_round_counts_as_nothing() -> None:
    log_odds, is_member = draw_log_odds(3, 200, 2_000, -0.3)
    assert fit_platt(log_odds, is_member) == Platt(0.0, 0.0)
    assert set(fit_platt(log_odds, is_member).score(log_odds).tolist()) == {STEPS // 2}


def test_classes_apart_give_a_finite_curve() -> None:
    is_member = np.repeat([True, False], [60, 600])
    curve = fit_platt(np.where(is_member, 4.0, -4.0), is_member)
    assert 0 < curve.slope < math.inf
    assert curve.score(np.array([4.0, -4.0])).tolist() == [
        round((61 / 62) * STEPS), round((1 / 602) * STEPS),
    ]  # fmt: skip


def test_auc_counts_pairs() -> None:
    scores, is_member = np.array([3, 1, 2, 2, 0]), np.array([True, False, True, False, False])
    pairs = [(m > o) + 0.5 * (m == o) for m in scores[is_member] for o in scores[~is_member]]
    assert measure_auc(scores, is_member) == pytest.approx(sum(pairs) / len(pairs))


def test_the_bound_holds_in_95_of_100_draws() -> None:
    true_auc = 0.5 * (1 + math.erf(1.0 / 2))
    held = 0
    for seed in range(150):
        log_odds, is_member = draw_log_odds(seed, 80, 800, 1.0)
        held += lower_bound(measure_auc(log_odds, is_member), 80, 800) < true_auc
    assert 0.9 <= held / 150 <= 0.99
