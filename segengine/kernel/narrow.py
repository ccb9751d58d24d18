"""Whole numbers and decimals in as few bytes as they need, in rows that travel or are kept.

Values are 64-bit integers and decimals of 38 digits; most would fit 32 bits or fewer. A narrowed column of decimals
has their unscaled numbers, and its field says their scale. To be compressed, the bytes of a column's numbers are split:
first the lowest of all of them, then the next ones; its field says that too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.arithmetic import to_arrow
from segengine.kernel.ordinals import Ordinals, read_ordinals
from segengine.project.aggregates import MAX_PRECISION
from segengine.project.types import AttributeType

_SCALE, _SPLIT = b"scale", b"split"
_WIDTHS = [np.iinfo(type_) for type_ in (np.int8, np.int16, np.int32, np.int64)]

Column = tuple[pa.Array, pa.Field]


def narrow(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows with each column of whole numbers or decimals in the smallest integers that hold all of it."""
    return _joined(rows, [_narrowed(*column) for column in zip(rows.columns, rows.schema, strict=True)])


def narrow_values(name: str, values: Ordinals, type_: AttributeType) -> Column:
    """Return values as `narrow` would make them of the type they are stored in, where that is wider."""
    if type_.name not in ("integer", "decimal") or values.large:
        array = to_arrow(values, type_)
        return array, pa.field(name, array.type)
    return _fewest_bytes(name, values, type_)


def widen(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return narrowed rows with 64-bit integers and decimals of 38 digits, as they were; others as they are."""
    return _joined(rows, [_widened(*column) for column in zip(rows.columns, rows.schema, strict=True)])


def split_bytes(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows narrowed and the bytes of numbers split: the high ones, much alike, compress well and fast."""
    return _joined(rows, [_split(*_narrowed(*column)) for column in zip(rows.columns, rows.schema, strict=True)])


def join_bytes(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows whose bytes were split as they were, still narrowed."""
    return _joined(rows, [_unsplit(*column) for column in zip(rows.columns, rows.schema, strict=True)])


def _joined(rows: pa.RecordBatch, columns: list[Column]) -> pa.RecordBatch:
    schema = pa.schema([field for _, field in columns], rows.schema.metadata)
    return pa.RecordBatch.from_arrays([array for array, _ in columns], schema=schema)


def _narrowed(array: pa.Array, field: pa.Field) -> Column:
    is_decimal = pa.types.is_decimal(array.type)
    if field.metadata or not (is_decimal or pa.types.is_int64(array.type)):  # metadata: it was narrowed before
        return array, field
    type_ = _decimal(array.type.scale) if is_decimal else AttributeType("integer")
    numbers = read_ordinals(array, type_)
    return (array, field) if numbers.large else _fewest_bytes(field.name, numbers, type_)


def _fewest_bytes(name: str, numbers: Ordinals, type_: AttributeType) -> Column:
    least, most = int(numbers.values.min(initial=0)), int(numbers.values.max(initial=0))
    width = next(each.dtype for each in _WIDTHS if each.min <= least and most <= each.max)
    narrowed = pa.array(numbers.values.astype(width, copy=False), mask=numbers.missing)
    scale = {_SCALE: str(type_.scale)} if type_.name == "decimal" else None
    return narrowed, pa.field(name, narrowed.type, metadata=scale)


def _widened(array: pa.Array, field: pa.Field) -> Column:
    scale = (field.metadata or {}).get(_SCALE)
    if scale is not None:
        array = to_arrow(read_ordinals(array, AttributeType("integer")), _decimal(int(scale)))
    elif pa.types.is_integer(array.type):
        array = array.cast(pa.int64())
    return array, pa.field(field.name, array.type)


def _split(array: pa.Array, field: pa.Field) -> Column:
    if not pa.types.is_integer(array.type) or array.type.bit_width == 8:
        return array, field
    width = array.type.byte_width
    numbers = np.frombuffer(array.buffers()[1], np.uint8, width * len(array), width * array.offset)
    planes = np.ascontiguousarray(numbers.reshape(-1, width).T)
    return _with_data(array, planes), field.with_metadata({**(field.metadata or {}), _SPLIT: b"true"})


def _unsplit(array: pa.Array, field: pa.Field) -> Column:
    metadata = dict(field.metadata or {})
    if not metadata.pop(_SPLIT, None):
        return array, field
    planes = np.frombuffer(array.buffers()[1], np.uint8, len(array) * array.type.byte_width)
    numbers = np.ascontiguousarray(planes.reshape(-1, len(array)).T)
    return _with_data(array, numbers), field.with_metadata(metadata)


def _with_data(array: pa.Array, data: npt.NDArray[np.uint8]) -> pa.Array:
    validity = array.is_valid().buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(array.type, len(array), [validity, pa.py_buffer(data)])


def _decimal(scale: int) -> AttributeType:
    return AttributeType("decimal", MAX_PRECISION, scale)
