"""What similar customers must hold on customers nobody tuned for: planted lovers, of whom a source knows some.

Lift is measured against the truth, which the model never sees; seeds differ from any that a choice was made on.
"""

from __future__ import annotations

import numpy as np
import pytest
from tastes import AS_OF, FIELDS, Bools, Customers, draw_customers, draw_source, measure_lift, take_sample

from segengine.models.recommended import Offer, choose_fields
from segengine.models.scoring import SimilarityModel
from segengine.models.similarity import fit_model

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
