"""Why customers are found similar: which fields the models lean on, and what a member's score owes to each field."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from segengine.models.calibration import STEPS, measure_auc
from segengine.models.fields import HASH, KEY, draw_by_hash
from segengine.models.matrix import Matrix
from segengine.models.scoring import SimilarityModel
from segengine.models.training import Sample
from segengine.project.types import Ordinal

IMPORTANCE_ROWS: Final = 20_000


@dataclass(frozen=True)
class Importance:
    """How much worse members are told from others when a field's values are dealt out anew: the drop of the AUC."""

    field: str
    auc_drop: float


@dataclass(frozen=True)
class WhatIf:
    """The score a customer would have, were one field as it typically is. Such effects do not add up."""

    field: str
    typical: Ordinal | str
    score: float


@dataclass(frozen=True)
class Explanation:
    """A customer's score, and what it would be without each of its peculiarities: those it owes most to come first."""

    profile_key: int
    score: float
    what_if: tuple[WhatIf, ...]


def rank_fields(model: SimilarityModel, sample: Sample, matrix: Matrix, seed_text: str) -> tuple[Importance, ...]:
    """Return the fields, most important first, judged on at most about `IMPORTANCE_ROWS` held-out rows.

    Source: Breiman, Random forests, 2001, section 10.
    """
    rows = draw_by_hash(sample.hashes, f"{seed_text} importance") < IMPORTANCE_ROWS / len(matrix)
    matrix, hashes, is_member = matrix[rows], sample.hashes[rows], sample.is_member[rows]
    whole = measure_auc(model.folds.rate(matrix, hashes), is_member)
    found = []
    for place, column in enumerate(model.coding.columns):
        dealt = matrix.copy()
        dealt[:, place] = _deal_anew(matrix[:, place], f"{seed_text} {column.field.name}")
        found.append(Importance(column.field.name, whole - measure_auc(model.folds.rate(dealt, hashes), is_member)))
    return tuple(sorted(found, key=lambda one: (-one.auc_drop, one.field)))


def explain_scores(model: SimilarityModel, batch: pa.RecordBatch) -> tuple[Explanation, ...]:
    """Return why each customer of a small feature table has its score; one prediction per customer and field."""
    matrix, hashes = model.coding.encode(batch), np.asarray(batch.column(HASH))
    scores = model.score_matrix(matrix, hashes) / STEPS
    columns = model.coding.columns
    instead = np.empty((len(columns), len(matrix)))
    for place, column in enumerate(columns):
        typical = matrix.copy()
        typical[:, place] = column.encode_typical(model.coding.as_of)
        instead[place] = model.score_matrix(typical, hashes) / STEPS
    explanations = []
    for row, key in enumerate(batch.column(KEY).to_pylist()):
        what_if = (WhatIf(one.field.name, one.typical, float(instead[i, row])) for i, one in enumerate(columns))
        ranked = tuple(sorted(what_if, key=lambda one: (one.score, one.field)))
        explanations.append(Explanation(key, float(scores[row]), ranked))
    return tuple(explanations)


def _deal_anew(values: Matrix, seed_text: str) -> Matrix:
    digest = hashlib.blake2b(seed_text.encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little")).permutation(values)
