"""A model of similar customers as MLflow's pyfunc, which scores pandas frames of feature tables.

MLflow loads it through `_load_pyfunc` of this module, so segengine must be installed where that happens; the model's
requirements pin its version. A copy of the code beside each model (`code_paths`, or models from code that import the
package) was rejected: it goes first in the path of whoever loads a model, who from then on runs the old segengine.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from segengine.models.fields import HASH

if TYPE_CHECKING:
    import pandas as pd

SCORE = "score"
EXAMPLE_ROWS = 3
_COMMON = 10  # customers who share a value that an example may show


class Scorer(Protocol):
    """A model that can be pickled and scores the rows of a feature table."""

    def score(self, batch: pa.RecordBatch) -> pa.Array:
        """Return the score of each row, 0..1."""


@dataclass(frozen=True)
class SavedScorer:
    """A model, and a few rows of the columns it takes."""

    scorer: Scorer
    example: pa.Table

    def save(self, path: Path) -> None:
        """Write what `_load_pyfunc` reads."""
        path.write_bytes(pickle.dumps((self.scorer, self.example.schema)))


@dataclass(frozen=True)
class SimilarityPyfunc:
    """What MLflow calls: `predict` on a frame with the columns of a feature table, without profile keys."""

    scorer: Scorer
    schema: pa.Schema

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the scores, one row for each of the frame; a column that it lacks is missing for everybody.

        Numbers, dates and booleans are the ordinals of feature tables, as whole numbers or as floats with NaN.
        """
        import pandas as pd

        columns = [_read_column(frame, column) for column in self.schema]
        scores = self.scorer.score(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        return pd.DataFrame({SCORE: scores.to_numpy(zero_copy_only=False)}, index=frame.index)


def _read_column(frame: pd.DataFrame, column: pa.Field) -> pa.Array:
    if column.name not in frame:
        return pa.nulls(len(frame), column.type)
    values = pa.Array.from_pandas(frame[column.name], type=column.type)
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, column.type), values) if _is_text(column.type) else values


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def make_example(features: pa.Table) -> pa.Table:
    """Return a few rows of nobody: in each column values that many have, the ids' hashes made up."""
    columns = [_find_common(features.column(column.name), column) for column in features.schema]
    return pa.table(columns, schema=features.schema)


def _find_common(values: pa.ChunkedArray, column: pa.Field) -> pa.Array:
    if column.name == HASH:
        return pa.array(range(EXAMPLE_ROWS), column.type)
    if _is_text(column.type):
        counted = values.drop_null().value_counts().to_pylist()
        common = [(each["counts"], each["values"]) for each in counted if each["counts"] >= _COMMON]
        found = [value for _, value in sorted(common, reverse=True)]
    else:
        shares = [(place + 1) / (EXAMPLE_ROWS + 1) for place in range(EXAMPLE_ROWS)]
        found = pc.quantile(values, q=shares, interpolation="nearest").to_pylist()
    return pa.array([*found, *[None] * EXAMPLE_ROWS][:EXAMPLE_ROWS], column.type)


def _load_pyfunc(path: str) -> SimilarityPyfunc:
    """Return a saved model; MLflow calls it. Load only what you trust: a pickle can run any code."""
    return SimilarityPyfunc(*pickle.loads(Path(path).read_bytes()))  # noqa: S301 # MLflow's own models are pickles too
