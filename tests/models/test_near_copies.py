"""Copies of a target are known by what they explain on rows that were not looked at; honest fields are not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from segengine.models.fields import Codes, Field
from segengine.models.lookups import code_values, explain_share
from segengine.models.near_copies import (
    COPY_AUC,
    COPY_R2,
    COPY_UNCERTAINTY,
    SUM_OF_FIELDS_R2,
    draw_learning_half,
    explain_together,
    explain_truth,
    has_pure_value,
)
from segengine.project.types import AttributeType

COUNT = 4_000
RANDOM = np.random.default_rng(23)
SPEND = RANDOM.gamma(2, 400, COUNT)
HEAVY = RANDOM.lognormal(5, 1.5, COUNT)
TRUTH = RANDOM.random(COUNT) < 0.26
HONEST = RANDOM.gamma(2, 10, COUNT) + 0.005 * SPEND
LEARNING = draw_learning_half(RANDOM.integers(-(2**63), 2**63, COUNT, dtype=np.int64), "seed")
NOISE = RANDOM.normal(size=COUNT)


def code(values: np.ndarray) -> Codes:
    return code_values(pa.array(values), Field("x", AttributeType("text" if values.dtype.kind == "U" else "double")))


def explain(field: np.ndarray, target: np.ndarray) -> float:
    return explain_share(code(field), pa.array(target), Field("target", AttributeType("double")), LEARNING)


@pytest.mark.parametrize(
    "copy",
    [
        SPEND * 100,
        np.log(SPEND),
        np.searchsorted(np.quantile(SPEND, np.linspace(0.1, 0.9, 9)), SPEND).astype(str),
        np.searchsorted(np.quantile(SPEND, [1 / 3, 2 / 3]), SPEND).astype(str),
        SPEND * 1.19 * (1 + 0.02 * NOISE),
        SPEND + 0.1 * SPEND.std() * NOISE,
    ],
    ids=["x 100", "log", "deciles", "terciles", "with tax", "10 % noise"],
)
def test_copies_of_a_number_are_known(copy: np.ndarray) -> None:
    assert explain(copy, SPEND) >= COPY_R2


@pytest.mark.parametrize("copy", [HEAVY * 100, np.log(HEAVY)], ids=["x 100", "log"])
def test_copies_of_a_heavy_tailed_number_are_known(copy: np.ndarray) -> None:
    assert explain(copy, HEAVY) >= 0.99


@pytest.mark.parametrize("field", [HONEST, NOISE, SPEND + SPEND.std() * NOISE], ids=["weak", "none", "100 % noise"])
def test_honest_fields_explain_little(field: np.ndarray) -> None:
    assert explain(field, SPEND) < 0.6


@pytest.mark.parametrize(("flipped", "is_copy"), [(0.02, True), (0.05, True), (0.3, False)])
def test_copies_of_a_boolean_are_known(flipped: float, is_copy: bool) -> None:
    copy = np.where(np.random.default_rng(5).random(COUNT) < flipped, ~TRUTH, TRUTH).astype(str)
    found = explain_truth(code(copy), TRUTH, LEARNING)
    assert (found.uncertainty >= COPY_UNCERTAINTY or found.auc >= COPY_AUC) == is_copy


def test_a_value_that_goes_with_one_outcome_is_known() -> None:
    marked = np.where(TRUTH & (NOISE < -0.5), "left", "here")
    assert explain_truth(code(marked), TRUTH, LEARNING).uncertainty < COPY_UNCERTAINTY
    assert has_pure_value(code(marked), TRUTH, 50)
    assert not has_pure_value(code(np.where(NOISE < -0.5, "left", "here")), TRUTH, 50)
    assert not has_pure_value(code(marked), TRUTH, 2_000)


def test_everyone_on_one_side_explains_nothing() -> None:
    found = explain_truth(code(NOISE), np.ones(COUNT, dtype=bool), LEARNING)
    assert (found.auc, found.uncertainty) == (0.5, 0.0)


def test_fields_that_make_up_the_target_together_are_known() -> None:
    orders = np.random.default_rng(3).poisson(4, COUNT) + 1.0
    each = SPEND / orders
    categories = np.array([False, False, True])
    kinds = np.floor(np.abs(NOISE))
    ranks = rankdata(SPEND)
    assert max(explain(field, SPEND) for field in (orders, each)) < COPY_R2
    together = np.column_stack([orders, each, kinds])
    assert explain_together(together, categories, ranks, LEARNING) >= SUM_OF_FIELDS_R2
    assert explain_together(np.column_stack([orders, HONEST, kinds]), categories, ranks, LEARNING) < 0.5
