"""Taking a profile out of what is stored: its own values, and its id where that is a value, also in attached rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.parts import BatchFunction, binary_column, binary_values, pack_rows, unpack_rows
from segengine.kernel.measures import PRESENT
from segengine.kernel.scan import KEY
from segengine.plan.scans import BUCKET_SIZE

VALUES = "run_id string, id string, bucket int, content binary"
_ARROW = pa.schema([("run_id", pa.string()), ("id", pa.string()), ("bucket", pa.int32()), ("content", pa.binary())])


def erase_from_values(profile_key: int | None, profile_id: str, of_others: Collection[str]) -> BatchFunction:
    """Return a function from stored values (`VALUES`) to those of them that change, without the profile.

    Args:
        profile_key: The profile's key; None: it has none, and has no values of its own.
        profile_id: Its id, which a text value or dimension may be.
        of_others: The ids of measures of other audiences, whose profiles may have the same key.
    """

    def erase(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            names = zip(*(batch[place].to_pylist() for place in range(3)), binary_values(batch[3]), strict=True)
            for run_id, identity, bucket, content in names:
                rows = unpack_rows(content)
                own_key = None if identity in of_others else profile_key
                left = _without_id(_without_profile(rows, bucket, own_key), profile_id)
                if not left.equals(rows):
                    packed = binary_column([pack_rows(left, small=True)])
                    yield pa.record_batch([[run_id], [identity], pa.array([bucket], pa.int32()), packed], schema=_ARROW)

    return erase


def _without_profile(rows: pa.RecordBatch, bucket: int, profile_key: int | None) -> pa.RecordBatch:
    if profile_key is None:
        return rows
    if KEY in rows.schema.names:
        return rows.filter(pc.not_equal(rows.column(KEY), profile_key).fill_null(True))
    own_bucket, place = divmod(profile_key - 1, BUCKET_SIZE)
    if PRESENT not in rows.schema.names or bucket != own_bucket + 1:
        return rows
    own = np.arange(rows.num_rows) == place
    arrays = [
        pc.and_not(column, pa.array(own)) if name == PRESENT else _emptied(column, own)
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def _without_id(rows: pa.RecordBatch, profile_id: str) -> pa.RecordBatch:
    arrays = []
    for column in rows.columns:
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        same = pc.equal(column, profile_id).fill_null(False) if is_text else pa.repeat(False, len(column))
        arrays.append(_emptied(column, same.to_numpy(zero_copy_only=False)))
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def erase_from_attached(profile_id: str) -> BatchFunction:
    """Return a function from rows whose last column is a list of attached rows to those that change, without the id."""

    def erase(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            attached = batch.column(batch.num_columns - 1)
            says = _any_text_is(attached.flatten(), profile_id)
            places = pc.unique(pc.list_parent_indices(attached).filter(says))
            if len(places):
                rows = [[*row.values()] for row in batch.take(places).to_pylist()]
                left = [[*keys, [_without_text(entry, profile_id) for entry in entries]] for *keys, entries in rows]
                names = batch.schema.names
                yield pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in left], batch.schema)

    return erase


def _any_text_is(entries: pa.StructArray, text: str) -> pa.BooleanArray:
    """Return for each struct whether one of its fields is a text, and all of it."""
    found = pa.repeat(False, len(entries))
    for field in entries.flatten():
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            found = pc.or_(found, pc.equal(field, text).fill_null(False))
    return found


def _without_text(entry: dict[str, object], text: str) -> dict[str, object]:
    return {name: None if value == text else value for name, value in entry.items()}


def _emptied(column: pa.Array, places: npt.NDArray[np.bool_]) -> pa.Array:
    """Return a column with NULL at some places, (n,), and nothing below: a mask alone would leave the bytes there."""
    return column.take(pa.array(np.arange(len(column)), mask=places)) if places.any() else column
