"""The trained model of similar customers, sent to the tasks that score all candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from segengine.models.calibration import STEPS, Platt
from segengine.models.fields import HASH
from segengine.models.matrix import MatrixCoding
from segengine.models.training import FoldModels


@dataclass(frozen=True)
class SimilarityModel:
    """How similar customers are to a segment's members: 0 to 1, by the model that never saw the customer.

    Picklable, below a megabyte. A score depends on the customer alone, not on the rows that come with it.
    """

    coding: MatrixCoding
    folds: FoldModels
    platt: Platt

    def score(self, batch: pa.RecordBatch) -> pa.Array:
        """Return the scores of a feature table's rows as doubles of four digits; one thread is used."""
        rated = self.folds.rate(self.coding.encode(batch), np.asarray(batch.column(HASH)))
        return pa.array(self.platt.score(rated) / STEPS, pa.float64())
