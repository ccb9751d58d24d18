"""From the keys of members, however they were found, to the snapshot of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from segengine.engine.joins import BUCKET, bucket_of
from segengine.engine.results import RESULTS, SegmentResults
from segengine.kernel.bitmaps import BITMAP_BYTES, Bytes
from segengine.kernel.scan import KEY
from segengine.plan.scans import BUCKET_SIZE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def make_snapshot(segment_id: str, members: DataFrame, before: DataFrame | None, tasks: int) -> DataFrame:
    """Return a segment's rows of `RESULTS`: its members by bucket, entered and left against those before.

    Args:
        segment_id: The segment.
        members: `profile_key` of each member, which may repeat.
        before: `bucket`, `content` of the preceding snapshot; None: there is none.
        tasks: Number of tasks.
    """
    from pyspark.sql import functions as F

    parts = members.select(bucket_of(KEY).alias(BUCKET), KEY, F.lit(None).cast("binary").alias("content"))
    if before is not None:
        parts = parts.unionByName(before.select(BUCKET, F.lit(None).cast("bigint").alias(KEY), "content"))

    def collect(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        bits: dict[int, Bytes] = {}
        earlier: dict[int, bytes] = {}
        for batch in batches:
            buckets = np.asarray(batch.column(0))
            is_key = np.asarray(batch.column(1).is_valid())
            for bucket in np.unique(buckets[is_key]).tolist():
                own = np.asarray(batch.column(1).filter(pa.array(is_key & (buckets == bucket))))
                flags = np.zeros(BUCKET_SIZE, dtype=np.uint8)
                flags[own - ((bucket - 1) * BUCKET_SIZE + 1)] = 1
                found = bits.setdefault(bucket, np.zeros(BITMAP_BYTES, dtype=np.uint8))
                found |= np.packbits(flags, bitorder="little")
            for place in np.flatnonzero(~is_key).tolist():
                earlier[int(buckets[place])] = batch.column(2)[place].as_py()
        results = SegmentResults()
        for bucket in sorted({*bits, *earlier}):
            own_bits = bits.get(bucket, np.zeros(BITMAP_BYTES, dtype=np.uint8))
            results.add(segment_id, bucket, own_bits.view(np.uint64), earlier.get(bucket))
        yield from results.batches()

    return parts.repartition(tasks, BUCKET).mapInArrow(collect, RESULTS)
