"""Distinct values of groups, counted in several tasks.

They leave the states as pairs, a group and one of its values. Equal pairs of all tasks fall in the same share, and each
share is counted by itself: what a task holds depends on the number of shares, not on how many values there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.groups import wanted_values
from segengine.kernel.states import state_fields
from segengine.plan.scans import Groups
from segengine.project.attributes import Aggregate, AggregateFunction

SHARES = 16
_TOLD_BY = ["measure", "number", "group"]
_PAIRS = pa.schema([("measure", pa.int16()), ("number", pa.int16()), ("group", pa.binary()), ("value", pa.binary())])


def counts_distinct(groups: Groups) -> bool:
    """Return whether distinct values are counted."""
    return bool(_counted(groups))


def split_pairs(groups: Groups, states: pa.RecordBatch, measure: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Return states without their distinct values, and these as pairs.

    Args:
        groups: What is asked, not by profile.
        states: The states of the groups (`state_schema`).
        measure: What the pairs are told by from those of other measures.

    Returns:
        The states, as those of no values; and `measure`, `number` of the aggregate, `group`, `value`.
    """
    columns = dict(zip(states.schema.names, states.columns, strict=True))
    names = _group_names(groups, states)
    pairs = []
    for number, aggregate in _counted(groups).items():
        (field,) = state_fields(number, aggregate)
        lists = columns[field.name]
        columns[field.name] = pa.nulls(len(lists), field.type)
        lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        values = _as_bytes(lists.flatten())
        told_by = [pa.repeat(pa.scalar(each, pa.int16()), len(values)) for each in (measure, number)]
        own = names.take(pa.array(np.repeat(np.arange(len(lists)), lengths)))
        pairs.append(pa.record_batch([*told_by, own, values], schema=_PAIRS))
    return pa.record_batch(columns), pa.concat_batches(pairs)


def share_pairs(pairs: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the shares that have pairs, and these."""
    encoded = pairs.column("value").dictionary_encode()
    of_value = np.array([crc32(value) % SHARES for value in encoded.dictionary.to_pylist()], dtype=np.uint8)
    shares = of_value[encoded.indices.to_numpy(zero_copy_only=False)]
    order = np.argsort(shares, kind="stable")
    ordered, ends = pairs.take(pa.array(order)), np.cumsum(np.bincount(shares, minlength=SHARES)).tolist()
    for share, (start, end) in enumerate(pairwise([0, *ends])):
        if start < end:
            yield share, ordered.slice(start, end - start)


def count_pairs(pairs: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Return how many of the pairs of one share, at least one, differ: `measure`, `number`, `group`, `count`."""
    distinct = pa.Table.from_batches(pairs, _PAIRS).group_by(_PAIRS.names, use_threads=False).aggregate([])
    counted = distinct.group_by(_TOLD_BY, use_threads=False).aggregate([([], "count_all")])
    (batch,) = counted.combine_chunks().to_batches()
    return batch.rename_columns([*_TOLD_BY, "count"])


def put_counts(groups: Groups, finished: pa.RecordBatch, counts: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Return finished groups with the numbers of their distinct values, the sums of those of all shares."""
    names, wanted = _group_names(groups, finished), wanted_values(groups)
    sums = {number: np.zeros(finished.num_rows, dtype=np.int64) for number in _counted(groups)}
    for batch in counts:
        for number, total in sums.items():
            own = batch.filter(pc.equal(batch.column("number"), number))
            places = pc.index_in(own.column("group"), names).to_numpy()  # a group is there once a share
            total[places] += own.column("count").to_numpy()
    columns = dict(zip(finished.schema.names, finished.columns, strict=True))
    columns |= {
        f"v{place}": pa.array(sums[wanted.index(each)])
        for place, each in enumerate(groups.values)
        if wanted.index(each) in sums
    }
    return pa.record_batch(columns, metadata=finished.schema.metadata)


def _counted(groups: Groups) -> dict[int, Aggregate]:
    """Return the aggregates that count distinct values, by their number."""
    aggregates = enumerate(aggregate for _, aggregate in wanted_values(groups))
    return {place: each for place, each in aggregates if each.function is AggregateFunction.COUNT_UNIQUE}


def _group_names(groups: Groups, rows: pa.RecordBatch) -> pa.BinaryArray:
    """Return what tells groups apart: the texts of all dimensions, each after its length."""
    parts = [_sized_text(rows.column(f"d{place}")) for place in range(len(groups.dimensions))]
    if not parts:
        return pa.repeat(pa.scalar(b""), rows.num_rows)
    return pc.binary_join_element_wise(*parts, "").cast(pa.binary())


def _sized_text(values: pa.Array) -> pa.StringArray:
    if pa.types.is_floating(values.type):
        values = pc.add(values, 0.0)  # there is one zero
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    texts = values.cast(pa.string())
    sizes = pc.binary_length(texts).cast(pa.string())
    return pc.binary_join_element_wise(sizes, texts, ":").fill_null("-")


def _as_bytes(values: pa.Array) -> pa.BinaryArray:
    """Return distinct values as bytes that are equal where they are."""
    if pa.types.is_string(values.type):
        return values.cast(pa.binary())
    if pa.types.is_floating(values.type):
        values = pc.add(values, 0.0)
    data = values.to_numpy(zero_copy_only=False)
    offsets = np.arange(0, data.nbytes + 1, data.itemsize, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
