"""From a feature table to the matrix of numbers that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.models.fields import Categories, Field
from segengine.project.types import Family

Matrix = npt.NDArray[np.float64]

MAX_VALUES = 100
_DAY_MICROSECONDS = 86_400_000_000


@dataclass(frozen=True)
class Column:
    """How a field becomes a column of the matrix: text as a code of its values, all else as a number."""

    field: Field
    categories: Categories | None

    def encode(self, values: pa.Array, as_of: int) -> Matrix:
        """Return the column's numbers, shape (n,), NaN where missing."""
        if self.categories:
            codes = self.categories.encode(values)
            return np.where(codes == self.categories.missing, np.nan, codes)
        return _count_days_back(_read_numbers(values), self.field, as_of)


@dataclass(frozen=True)
class MatrixCoding:
    """The columns of a matrix, in order; `as_of`: the instant that dates lie before, in microseconds since 1970 UTC."""

    columns: tuple[Column, ...]
    as_of: int

    def encode(self, batch: pa.RecordBatch) -> Matrix:
        """Return the matrix of a feature table, shape (n_profiles, n_fields)."""
        matrix = np.empty((batch.num_rows, len(self.columns)))
        for place, column in enumerate(self.columns):
            matrix[:, place] = column.encode(batch.column(column.field.name), self.as_of)
        return matrix

    @property
    def is_text(self) -> list[bool]:
        """For each column, whether its numbers are codes without an order."""
        return [column.categories is not None for column in self.columns]


def learn_coding(customers: pa.RecordBatch, fields: Sequence[Field], as_of: int) -> MatrixCoding:
    """Return how fields become columns.

    Args:
        customers: All that a model learns from; text has a code for each of its `MAX_VALUES` most frequent values.
        fields: What of them it looks at.
        as_of: The instant that dates lie before.
    """
    return MatrixCoding(tuple(_learn_column(field, customers.column(field.name)) for field in fields), as_of)


def rank_values(column: pa.Array) -> list[str | int]:
    """Return the known values of text or a boolean, most frequent first, equally frequent ones in order."""
    counted = pc.value_counts(column.drop_null())
    pairs = zip(counted.field("counts").to_pylist(), counted.field("values").to_pylist(), strict=True)
    return [value for _, value in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))]


def _learn_column(field: Field, values: pa.Array) -> Column:
    if field.type.family is Family.TEXT:
        return Column(field, Categories(tuple(sorted(rank_values(values)[:MAX_VALUES]))))
    return Column(field, None)


def _read_numbers(values: pa.Array) -> Matrix:
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _count_days_back(numbers: Matrix, field: Field, as_of: int) -> Matrix:
    if field.type.family is Family.DATE:
        return as_of // _DAY_MICROSECONDS - numbers
    if field.type.family is Family.TIMESTAMP:
        return (as_of - numbers) / _DAY_MICROSECONDS
    return numbers
