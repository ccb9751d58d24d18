"""What a model of membership learns from, and its five fold models, each of which never saw the customers it rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.errors import ConfigError
from segengine.models.fields import HASH, KEY, draw_by_hash
from segengine.models.matrix import Matrix
from segengine.models.threads import one_thread

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

Bools = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.int64]

FOLDS: Final = 5
LEAST_CUSTOMERS: Final = 50
MOST_MEMBERS: Final = 30_000
MOST_OTHERS: Final = 100_000
"""More rows make no better model; beyond 200,000 in all, boosting would draw its bins from a sample of its own."""

PARAMETERS: Final[Mapping[str, float]] = MappingProxyType(
    {"max_iter": 80, "learning_rate": 0.06, "min_samples_leaf": 30, "l2_regularization": 1.0}
)
_LEAVES, _LEAVES_OF_FEW, _FEW = 8, 4, 500


@dataclass(frozen=True)
class SampleDraw:
    """Which customers a model learns from: by their hash, so any task can tell for its own rows."""

    members: int
    others: int
    seed_text: str

    def choose(self, hashes: Hashes, is_member: Bools) -> Bools:
        """Return who is in the sample, shape (n,): about `MOST_MEMBERS` and `MOST_OTHERS`, or all where fewer."""
        share = np.where(is_member, MOST_MEMBERS / max(self.members, 1), MOST_OTHERS / max(self.others, 1))
        chosen: Bools = draw_by_hash(hashes, f"{self.seed_text} sample") < share
        return chosen


@dataclass(frozen=True)
class Sample:
    """Customers a model learns from, in the order of their hashes: whatever order they came in, models are the same.

    `is_member` has shape (n,); `member_total` and `other_total` count all customers of each kind, in the sample or not.
    """

    rows: pa.RecordBatch
    is_member: Bools
    member_total: int
    other_total: int

    @property
    def hashes(self) -> Hashes:
        """Hashes of the customers, ascending, shape (n,)."""
        return np.asarray(self.rows.column(HASH))

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """How many customers each row stands for, shape (n,)."""
        members = np.count_nonzero(self.is_member)
        others = len(self.is_member) - members
        return np.where(self.is_member, self.member_total / members, self.other_total / others)

    def take(self, chosen: Bools) -> pa.RecordBatch:
        """Return the rows of some."""
        return self.rows.filter(pa.array(chosen))


def arrange_sample(table: pa.Table, is_member: Bools, member_total: int, other_total: int) -> Sample:
    """Return a sample ready to learn from.

    Args:
        table: Rows of the feature table, those of `SampleDraw`, in any order.
        is_member: For each row, whether the source segment has the customer, shape (n,).
        member_total: Members of the source.
        other_total: Candidates that are no members.

    Raises:
        ConfigError: The source or the others are too few to learn from.
    """
    _check_counts(member_total, other_total)
    _check_counts(int(is_member.sum()), int((~is_member).sum()))
    order = np.lexsort((table[KEY].to_numpy(), table[HASH].to_numpy()))
    rows = table.take(pa.array(order)).combine_chunks().to_batches()[0]
    return Sample(rows, np.asarray(is_member, bool)[order], member_total, other_total)


def _check_counts(members: int, others: int) -> None:
    if not members:
        raise ConfigError("The source segment is empty.", "Refresh it, or name a segment that has members.")
    if not others:
        raise ConfigError(
            "Every candidate is a member of the source, so nobody is left to find.",
            "Name a smaller source, or candidates that are not in it.",
        )
    if min(members, others) < LEAST_CUSTOMERS:
        found = f"the source has {members:,}" if members < LEAST_CUSTOMERS else f"there are {others:,} others"
        raise ConfigError(
            f"Similar customers need at least {LEAST_CUSTOMERS} members and as many other candidates; {found}.",
            "So few say nothing reliable: widen the segment.",
        )


@dataclass(frozen=True)
class FoldModels:
    """Models that each learned from four fifths of a sample, and rate everybody of the fifth they never saw.

    `offsets`: each model's log odds of a member where fields say nothing, which depend on how many were sampled.
    """

    models: tuple[HistGradientBoostingClassifier, ...]
    offsets: tuple[float, ...]
    salt: str

    def rate(self, matrix: Matrix, hashes: Hashes) -> npt.NDArray[np.float64]:
        """Return the log odds of customers, 0 where a member is as likely as before looking, shape (n,)."""
        folds = draw_folds(hashes, self.salt)
        rated = np.empty(len(matrix))
        with one_thread("openmp"):
            for fold, (model, offset) in enumerate(zip(self.models, self.offsets, strict=True)):
                rows = np.flatnonzero(folds == fold)
                if len(rows):
                    rated[rows] = model.decision_function(matrix[rows]) - offset
        return rated


def draw_folds(hashes: Hashes, salt: str) -> npt.NDArray[np.int64]:
    """Return the fold of each customer, 0 to `FOLDS` - 1, shape (n,)."""
    return (draw_by_hash(hashes, f"{salt} fold") * FOLDS).astype(np.int64)


def fit_folds(matrix: Matrix, is_text: list[bool], is_member: Bools, hashes: Hashes, salt: str) -> FoldModels:
    """Return the models of all folds; the rows must be in the order of a `Sample`."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    leaves = _LEAVES if np.count_nonzero(is_member) >= _FEW else _LEAVES_OF_FEW
    folds = draw_folds(hashes, salt)
    models, offsets = [], []
    for fold in range(FOLDS):
        seen = folds != fold
        model = HistGradientBoostingClassifier(
            **PARAMETERS,
            max_leaf_nodes=leaves,
            early_stopping=False,
            categorical_features=is_text if any(is_text) else None,
            random_state=0,
        )
        with one_thread("openmp"):
            models.append(model.fit(matrix[seen], is_member[seen]))
        members = np.count_nonzero(is_member[seen])
        offsets.append(math.log(members / (np.count_nonzero(seen) - members)))
    return FoldModels(tuple(models), tuple(offsets), salt)
