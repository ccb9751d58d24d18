"""What similar customers must hold on customers nobody tuned for: planted lovers, of whom a source knows some.

Lift is measured against the truth, which the model never sees; seeds differ from any that a choice was made on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tastes import AS_OF, FIELDS, Bools, Customers, draw_customers, draw_source, measure_lift, take_sample

from segengine.models.calibration import find_bands
from segengine.models.recommended import Offer, choose_fields
from segengine.models.scoring import SimilarityModel
from segengine.models.selection import to_steps
from segengine.models.similarity import LEAST_BOUND, fit_model, judge_model, learn_similarity

OFFER = Offer(FIELDS)
SHORT = (9_101,)
LONG = tuple(pytest.param(seed, marks=pytest.mark.long) for seed in range(9_200, 9_212))


def fit(customers: Customers, source: Bools, seed_text: str) -> SimilarityModel:
    sample = take_sample(customers.table, source)
    return fit_model(sample, OFFER, choose_fields(sample, OFFER, seed_text), AS_OF, seed_text)[0]


def score(model: SimilarityModel, customers: Customers) -> np.ndarray:
    return np.asarray(model.score(customers.table.to_batches()[0]))


@pytest.mark.parametrize("seed", [*SHORT, *LONG])
@pytest.mark.parametrize(("share", "at_5", "at_20"), [(0.1, 7.0, 3.6), (0.03, 9.0, 3.8), (0.3, 0.0, 2.8)])
def test_lovers_nobody_knows_of_are_found(seed: int, share: float, at_5: float, at_20: float) -> None:
    customers = draw_customers(seed, 8_000)
    lovers = customers.find_lovers(share)
    source = draw_source(customers, lovers, seed)
    scores = score(fit(customers, source, f"lovers {seed}"), customers)[~source]
    for size, bar in ((0.05, at_5), (0.2, at_20)):
        lift = measure_lift(scores, lovers[~source], size)
        assert lift >= bar
        assert lift >= 0.75 * measure_lift(customers.attraction[~source], lovers[~source], size)


@pytest.mark.parametrize("seed", [*SHORT, *LONG])
def test_other_folds_choose_the_same_customers(seed: int) -> None:
    customers = draw_customers(seed, 8_000)
    source = draw_source(customers, customers.find_lovers(0.1), seed)
    one, other = (score(fit(customers, source, f"folds {seed} {i}"), customers)[~source] for i in range(2))
    size = len(one) // 5
    first, second = (set(np.argsort(-scores, kind="stable")[:size]) for scores in (one, other))
    assert len(first & second) / len(first | second) >= 0.75


FEW = ((9_301, 12_000, (0.05, 0.19)),)
MANY = tuple(pytest.param(seed, 60_000, (0.01, 0.05, 0.19), marks=pytest.mark.long) for seed in (9_302, 9_303, 9_304))


@pytest.mark.parametrize(("seed", "count", "prevalences"), [*FEW, *MANY])
def test_bands_mean_the_same_however_rare_members_are(seed: int, count: int, prevalences: tuple[float, ...]) -> None:
    """As many lovers are members as are wanted, the rest of them are held back, and everybody else is as before."""
    customers = draw_customers(seed, count)
    lovers = customers.find_lovers(0.25)
    order = np.random.default_rng((seed, 3)).random(count)
    similar = []
    for prevalence in prevalences:
        known = lovers & (order < prevalence / (1 - prevalence) * (~lovers).sum() / lovers.sum())
        fitted = known | ~lovers
        learnt = replace(customers, table=customers.table.filter(pa.array(fitted)))
        bands = find_bands(to_steps(score(fit(learnt, known[fitted], f"bands {seed}"), customers)))
        ours, theirs = (np.bincount(bands[who], minlength=4) / who.sum() for who in (lovers & ~known, ~lovers))
        assert 2.0 <= ours[1] / theirs[1] <= 5
        assert 1.1 <= ours[2] / theirs[2] <= 2.5
        similar.append(theirs[0])
    assert max(similar) <= 1.6 * min(similar)


def try_random_source(seed: int, size: int) -> tuple[float, float]:
    """Return the bound of the AUC for members drawn from 4,000 at random, and the share of similar customers."""
    customers = draw_customers(seed, 4_000)
    source = np.zeros(4_000, bool)
    source[np.random.default_rng((seed, 9)).choice(4_000, size, replace=False)] = True
    sample = take_sample(customers.table, source)
    model, matrix = fit_model(sample, OFFER, choose_fields(sample, OFFER, f"random {seed}"), AS_OF, f"random {seed}")
    return judge_model(model, sample, matrix).auc_bound, float(np.mean(score(model, customers)[~source] >= 0.7))


@pytest.mark.parametrize(
    ("size", "seeds"),
    [
        (200, range(9_400, 9_404)),
        *(pytest.param(size, range(9_500, 9_540), marks=pytest.mark.long) for size in (50, 200, 1_000)),
    ],
)
def test_a_random_source_is_refused(size: int, seeds: range) -> None:
    """And where it were not refused, hardly anybody would be called similar: each in all but one run of twenty."""
    tried = [try_random_source(seed, size) for seed in seeds]
    assert sum(bound > LEAST_BOUND for bound, _ in tried) <= len(seeds) // 20
    assert sum(share > 0.02 for _, share in tried) <= len(seeds) // 20


@pytest.mark.parametrize("seed", [*SHORT, *LONG[:3]])
def test_evidence_agrees_with_what_happens(seed: int) -> None:
    """Lift on members hidden on purpose is near the lift on lovers that no model was told of."""
    customers = draw_customers(seed, 8_000)
    lovers = customers.find_lovers(0.1)
    source = draw_source(customers, lovers, seed)
    similarity = learn_similarity(take_sample(customers.table, source), OFFER, AS_OF, f"evidence {seed}")
    scores = score(similarity.model, customers)[~source]
    assert similarity.report.evidence
    for one in similarity.report.evidence.lists[2:]:
        assert one.lift == pytest.approx(measure_lift(scores, lovers[~source], one.size_share), rel=0.25)
