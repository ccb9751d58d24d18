"""What travels to the formulas by bucket, from scans, from stored snapshots and from accounts.

`source` says what the content is: of a scan the bits of its outputs, its values or the states of its groups (see
`scan_source`), the name of a stored snapshot, or `CARRIED` and `CARRIED_VALUES` for bits and values of accounts, as
`kernel.carry` sends them to their contacts. The content is bytes, or a ticket for what was left in this process
(`handover`). Facts are JSON: of bits the places with too many digits, in the bucket of facts what a task read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa

from segengine.engine.handover import Content, fetch, leave
from segengine.kernel.narrow import join_bytes, narrow, split_bytes, widen

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

PARTS = "bucket int, source string, content binary, ticket bigint, facts string"
FACTS_BUCKET = 0  # profiles have buckets from 1 on; also of states without a profile, whose further pieces are below
CARRIED, CARRIED_VALUES = "carried", "carried values"
ScanPart = Literal["bits", "values", "groups"]
_ARROW = pa.schema(
    [
        ("bucket", pa.int32()),
        ("source", pa.string()),
        ("content", pa.binary()),
        ("ticket", pa.int64()),
        ("facts", pa.string()),
    ]
)


def scan_source(part: ScanPart, *numbers: int) -> str:
    """Return the source of a scan's part: `bits 0`, `values 0`, of its second groups' first piece `groups 0 1 0`."""
    return " ".join((part, *map(str, numbers)))


def make_part(
    bucket: int,
    source: str,
    content: Content,
    facts: Mapping[str, object] | None = None,
    handover: str = "",
) -> pa.RecordBatch:
    """Return what one source says of one bucket; `handover`: where the content is left if that is possible."""
    if isinstance(content, pa.RecordBatch):
        content = narrow(content)
    ticket = leave(handover, content)
    if ticket is not None:
        content = pa.py_buffer(b"")
    elif isinstance(content, pa.RecordBatch):
        content = pack_rows(content)
    columns = [[bucket], [source], binary_column([content]), [ticket], [json.dumps(facts) if facts else None]]
    return pa.record_batch(columns, schema=_ARROW)


def read_parts(batch: pa.RecordBatch, handover: str) -> Iterator[tuple[int, str, Content, str | None]]:
    """Yield the bucket, source, content and facts of parts."""
    buckets, sources, tickets, facts = (batch.column(place).to_pylist() for place in (0, 1, 3, 4))
    contents = binary_values(batch.column(2))
    for bucket, source, content, ticket, said in zip(buckets, sources, contents, tickets, facts, strict=True):
        yield bucket, source, content if ticket is None else fetch(handover, ticket), said


def facts_part(scan: str, rows: int, orphans: int) -> pa.RecordBatch:
    """Return what one task of a scan read: rows, and those that reach no profile."""
    return _facts({"scan": scan, "rows": rows, "orphans": orphans})


def invalid_part(plan: str, number: int, counts: Mapping[tuple[int, str], int]) -> pa.RecordBatch:
    """Return how many values of a column were errors for what is asked of a scan, by its place and the column."""
    found = [[number, place, column, count] for (place, column), count in counts.items()]
    return _facts({"plan": plan, "invalid": found})


def _facts(facts: Mapping[str, object]) -> pa.RecordBatch:
    return pa.record_batch([[FACTS_BUCKET], [""], [None], [None], [json.dumps(facts)]], schema=_ARROW)


def overflow_facts(places: Mapping[int, Sequence[int]]) -> dict[str, object] | None:
    """Return the facts of a scan's bits: by output, the places whose aggregate has too many digits."""
    return {"overflow": {str(output): list(found) for output, found in places.items()}} if places else None


def read_overflow(facts: str | None) -> dict[int, list[int]]:
    """Return what `overflow_facts` wrote."""
    return {int(output): places for output, places in json.loads(facts)["overflow"].items()} if facts else {}


def binary_column(contents: Sequence[pa.Buffer]) -> pa.Array:
    """Return a binary column of some values; one alone is not copied."""
    offsets = np.cumsum([0, *(content.size for content in contents)]).astype(np.int32)
    data = contents[0] if len(contents) == 1 else pa.py_buffer(b"".join(contents))
    return pa.Array.from_buffers(pa.binary(), len(contents), [None, pa.py_buffer(offsets), data])


def binary_values(column: pa.Array) -> list[pa.Buffer]:
    """Return the values of a binary column, which are not copied as a scalar's would be; NULL is empty."""
    if not pa.types.is_binary(column.type):
        column = column.cast(pa.binary())
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].tolist()
    return [(data or pa.py_buffer(b"")).slice(start, end - start) for start, end in pairwise(ends)]


def pack_rows(rows: pa.RecordBatch, *, small: bool = False) -> pa.Buffer:
    """Return rows as bytes, their numbers narrowed; `small`: compressed too, to be kept."""
    rows = split_bytes(rows) if small else narrow(rows)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if small else None, use_threads=False)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_batch(rows)
    return sink.getvalue()


def unpack_rows(content: bytes | Content) -> pa.RecordBatch:
    """Return rows that were packed or left."""
    return widen(unpack_narrowed(content))


def unpack_narrowed(content: bytes | Content) -> pa.RecordBatch:
    """Return rows that were packed or left, their numbers still narrowed; of a buffer only what was kept is copied."""
    if isinstance(content, pa.RecordBatch):
        return content
    with pa.ipc.open_stream(content) as reader:
        return join_bytes(reader.read_next_batch())
