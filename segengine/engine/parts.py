"""What travels to the formulas by bucket, from scans, from stored snapshots and from accounts.

`source` says what the bits are: the number of a scan whose outputs they are, the name of a stored snapshot, or
`CARRIED` for the bits of contacts that `kernel.carry` packs. Facts are JSON, in a bucket of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

PARTS = "bucket int, source string, bits binary, facts string"
FACTS_BUCKET = 0  # buckets of profiles count from 1
CARRIED = "carried"
_ARROW = pa.schema([("bucket", pa.int32()), ("source", pa.string()), ("bits", pa.binary()), ("facts", pa.string())])


def bits_part(bucket: int, source: str, bits: bytes) -> pa.RecordBatch:
    """Return bits of one bucket."""
    return pa.record_batch([[bucket], [source], [bits], [None]], schema=_ARROW)


def facts_part(scan: str, rows: int, orphans: int) -> pa.RecordBatch:
    """Return what one task of a scan read: rows, and those that reach no profile."""
    return _facts({"scan": scan, "rows": rows, "orphans": orphans})


def invalid_part(audience: str, number: int, counts: Mapping[tuple[int, str], int]) -> pa.RecordBatch:
    """Return how many values of a column were errors for an output of a scan, by output and column."""
    found = [[number, output, column, count] for (output, column), count in counts.items()]
    return _facts({"audience": audience, "invalid": found})


def overflow_part(audience: str, number: int, counts: Mapping[int, int]) -> pa.RecordBatch:
    """Return for how many profiles the aggregates of a scan had too many digits, by output."""
    return _facts({"audience": audience, "overflow": [[number, output, count] for output, count in counts.items()]})


def _facts(facts: Mapping[str, object]) -> pa.RecordBatch:
    return pa.record_batch([[FACTS_BUCKET], [""], [None], [json.dumps(facts)]], schema=_ARROW)
