"""A model of similar customers: the same from the same customers, refused where it would say nothing."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from tastes import AS_OF, FIELDS, TASTE, Bools, draw_customers, draw_source, take_sample
from threadpoolctl import threadpool_limits

from segengine.errors import ConfigError, RunError
from segengine.models.fields import HASH, KEY, Field
from segengine.models.recommended import Offer
from segengine.models.selection import LEAST_SCORE
from segengine.models.similarity import Similarity, learn_similarity
from segengine.models.training import FOLDS, arrange_sample, draw_folds
from segengine.project.types import AttributeType

CUSTOMERS = draw_customers(77, 2_000)
SOURCE = draw_source(CUSTOMERS, CUSTOMERS.find_lovers(0.15), 77)
OFFER = Offer(FIELDS)
ALL = CUSTOMERS.table.to_batches()[0]


def learn(table: pa.Table, source: Bools, offer: Offer = OFFER) -> Similarity:
    return learn_similarity(take_sample(table, source), offer, AS_OF, "definition")


@cache
def learned() -> Similarity:
    return learn(CUSTOMERS.table, SOURCE)


@pytest.mark.parametrize("threads", [1, 2])
def test_neither_the_order_of_rows_nor_threads_matter(threads: int) -> None:
    order = np.random.default_rng(threads).permutation(len(SOURCE))
    with threadpool_limits(threads):
        other = learn(CUSTOMERS.table.take(order), SOURCE[order])
        assert other.report == learned().report
        assert other.model.score(ALL).equals(learned().model.score(ALL))


def test_scores_do_not_depend_on_the_rows_beside() -> None:
    model = pickle.loads(pickle.dumps(learned().model))  # noqa: S301 - our own bytes
    order = np.random.default_rng(2).permutation(len(SOURCE))
    shuffled = CUSTOMERS.table.take(order).combine_chunks().to_batches()[0]
    parts = [model.score(shuffled.slice(start, 700)) for start in range(0, len(SOURCE), 700)]
    whole = np.asarray(learned().model.score(ALL))
    assert np.concatenate([np.asarray(part) for part in parts]).tolist() == whole[order].tolist()


def test_a_score_has_four_digits_and_an_empty_batch_has_none() -> None:
    scores = learned().model.score(ALL).to_pylist()
    assert all(score == round(score, 4) and 0 <= score <= 1 for score in scores)
    assert learned().model.score(ALL.slice(0, 0)).to_pylist() == []


def test_each_customer_is_rated_by_the_model_that_never_saw_it() -> None:
    model = learned().model
    matrix, hashes = model.coding.encode(ALL), ALL.column(HASH).to_numpy()
    folds = draw_folds(hashes, "definition")
    rated = model.folds.rate(matrix, hashes)
    for fold in range(FOLDS):
        own = folds == fold
        expected = model.folds.models[fold].decision_function(matrix[own]) - model.folds.offsets[fold]
        assert rated[own].tolist() == expected.tolist()
    assert np.bincount(folds).min() > len(folds) / FOLDS * 0.85


def test_noise_that_could_be_learned_by_heart_earns_no_score() -> None:
    """A field with a value of its own for each customer separates any sample, but nobody who is held out."""
    table = CUSTOMERS.table.append_column("noise", pa.array(np.random.default_rng(6).random(len(SOURCE))))
    with pytest.raises(RunError, match="say nothing about the source's members: noise"):
        learn(table, SOURCE, Offer((Field("noise", AttributeType("double")),)))


def test_planted_fields_matter_most() -> None:
    ranked = [one.field for one in learned().report.importance]
    assert set(ranked[: len(TASTE)]) == set(TASTE)


def test_the_report_is_plain_values() -> None:
    report = asdict(learned().report)
    assert json.loads(json.dumps(report))["members"] == SOURCE.sum()


def test_evidence_is_not_given_where_fields_give_members_away() -> None:
    rich = CUSTOMERS.table["spend"].to_numpy() > np.quantile(CUSTOMERS.table["spend"].to_numpy(), 0.8)
    table = CUSTOMERS.table.append_column("empty", pa.array([None] * len(rich), pa.float64()))
    fields = (*FIELDS, Field("empty", AttributeType("double")))
    similarity = learn(table, rich, Offer(fields, frozenset({"spend"}), chosen=("spend", "age", "empty")))
    report = similarity.report
    assert report.evidence is None
    assert any("spend is used as asked, but the source's own rule uses it" in warning for warning in report.warnings)
    assert "empty is left out: no customer has a value." in report.warnings
    assert any("almost perfectly" in warning for warning in report.warnings)
    assert any("score 0.4 or more" in warning for warning in report.warnings)
    assert np.mean(np.asarray(similarity.model.score(ALL))[~rich] >= LEAST_SCORE) < 0.01


@pytest.mark.parametrize(
    ("members", "others", "message"),
    [
        (0, 1_000, "source segment is empty"),
        (1_000, 0, "Every candidate is a member"),
        (49, 1_000, "the source has 49"),
        (1_000, 30, "there are 30 others"),
    ],
)
def test_too_few_customers_are_refused(members: int, others: int, message: str) -> None:
    table = CUSTOMERS.table.slice(0, members + others)
    with pytest.raises(ConfigError, match=message):
        arrange_sample(table, np.arange(members + others) < members, members, others)


def test_rows_of_one_hash_are_told_by_their_key() -> None:
    table = pa.table({KEY: [2, 1, 3] * 50, HASH: [5] * 150})
    sample = arrange_sample(table, np.arange(150) % 3 == 0, 50, 100)
    assert sample.rows.column(KEY).to_pylist() == sorted(table[KEY].to_pylist())
    assert sample.is_member.tolist() == [False] * 50 + [True] * 50 + [False] * 50
