"""What one field alone tells of another value: a look-up table, learned on one half of the rows and tried on the other.

Held out, so that many values do not look like knowledge.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.models.calibration import measure_auc
from segengine.models.fields import Bins, Categories, Codes, Coding, Field, double_ranks, fill_ordinals, take_quantiles
from segengine.models.matrix import MAX_VALUES, rank_values

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BIN_COUNT: Final = 64


def code_values(column: pa.Array, field: Field) -> Codes:
    """Return a column's codes for look-ups, shape (n,): `BIN_COUNT` quantile bins, or the most frequent values."""
    coding: Coding
    if field.is_ordered:
        values, counts = np.unique(fill_ordinals(column.drop_null()), return_counts=True)
        coding = Bins(tuple(take_quantiles(values, counts, BIN_COUNT)))
    else:
        coding = Categories(tuple(rank_values(column)[:MAX_VALUES]))
    return coding.encode(column)


def look_up(codes: Codes, values: Floats, learning: Bools) -> Floats:
    """Return the mean value of each row's code among the learning rows; of codes not seen there the mean of all."""
    size = int(codes.max()) + 1
    counts = np.bincount(codes[learning], minlength=size)
    sums = np.bincount(codes[learning], values[learning], minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), values[learning].mean())
    return means[codes]


def tell_apart(codes: Codes, is_member: Bools, learning: Bools) -> float:
    """Return the AUC with which a field alone tells members from others, on the rows it did not learn from."""
    rated = look_up(codes, is_member.astype(np.float64), learning)
    return measure_auc(rated[~learning], is_member[~learning])


def explain_share(codes: Codes, column: pa.Array, field: Field, learning: Bools) -> float:
    """Return how much of another field's differences a field explains, at most 1, below 0 where nothing.

    Of ordered fields the variance of the ranks, of categories that of one-against-rest, all values together.

    Source: Goodman and Kruskal, Measures of association for cross classifications, 1954, section 9 (tau).
    """
    known = np.asarray(column.is_valid())
    codes, column, learning = codes[known], column.drop_null(), learning[known]
    if not learning.any() or learning.all():
        return 0.0
    targets = [double_ranks(fill_ordinals(column)) / 2] if field.is_ordered else _split_values(column)
    before = sum(float(np.sum((one[~learning] - one[learning].mean()) ** 2)) for one in targets)
    after = sum(float(np.sum((one - look_up(codes, one, learning))[~learning] ** 2)) for one in targets)
    return 1 - after / before if before else 0.0


def _split_values(column: pa.Array) -> list[Floats]:
    return [np.asarray(pc.equal(column, value)).astype(np.float64) for value in rank_values(column)[:MAX_VALUES]]
