"""Whole numbers and decimals in as few bytes as they need, in rows that travel or are kept.

Values are 64-bit integers and decimals of 38 digits; most would fit 32 bits or fewer. A narrowed column of decimals
has their unscaled numbers, and its field says their scale.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from segengine.kernel.arithmetic import to_arrow
from segengine.kernel.ordinals import read_ordinals
from segengine.project.aggregates import MAX_PRECISION
from segengine.project.types import AttributeType

_SCALE = b"scale"
_WIDTHS = [np.iinfo(type_) for type_ in (np.int8, np.int16, np.int32, np.int64)]

Column = tuple[pa.Array, pa.Field]


def narrow(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows with each column of whole numbers or decimals in the smallest integers that hold all of it."""
    return _joined(rows, [_narrowed(*column) for column in zip(rows.columns, rows.schema, strict=True)])


def widen(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return narrowed rows with 64-bit integers and decimals of 38 digits, as they were; others as they are."""
    return _joined(rows, [_widened(*column) for column in zip(rows.columns, rows.schema, strict=True)])


def _joined(rows: pa.RecordBatch, columns: list[Column]) -> pa.RecordBatch:
    schema = pa.schema([field for _, field in columns], rows.schema.metadata)
    return pa.RecordBatch.from_arrays([array for array, _ in columns], schema=schema)


def _narrowed(array: pa.Array, field: pa.Field) -> Column:
    is_decimal = pa.types.is_decimal(array.type)
    if field.metadata or not (is_decimal or pa.types.is_int64(array.type)):  # metadata: it was narrowed before
        return array, field
    type_ = _decimal(array.type.scale) if is_decimal else AttributeType("integer")
    numbers = read_ordinals(array, type_)
    if numbers.large:
        return array, field
    least, most = int(numbers.values.min(initial=0)), int(numbers.values.max(initial=0))
    width = next(each.dtype for each in _WIDTHS if each.min <= least and most <= each.max)
    narrowed = pa.array(numbers.values.astype(width), mask=numbers.missing)
    return narrowed, pa.field(field.name, narrowed.type, metadata={_SCALE: str(type_.scale)} if is_decimal else None)


def _widened(array: pa.Array, field: pa.Field) -> Column:
    scale = (field.metadata or {}).get(_SCALE)
    if scale is not None:
        array = to_arrow(read_ordinals(array, AttributeType("integer")), _decimal(int(scale)))
    elif pa.types.is_integer(array.type):
        array = array.cast(pa.int64())
    return array, pa.field(field.name, array.type)


def _decimal(scale: int) -> AttributeType:
    return AttributeType("decimal", MAX_PRECISION, scale)
