"""Counting the values of one column in the engine: it counts and sorts, and judges no text but the empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.kernel.frequencies import TextFrequencies
from segengine.kernel.ordinals import text_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

VALUE = "value"
COUNT = "row_count"


def read_value_counts(rows: DataFrame, doing: str) -> pa.Table:
    """Return the distinct stored values of column `value` with how often each occurs (`row_count`).

    Cost: one aggregation; the distinct values come to this process, 16 bytes each and more.
    """
    with engine_errors(doing):
        return _grouped(rows).toArrow().combine_chunks()


def read_text_counts(rows: DataFrame, limit: int, doing: str) -> TextFrequencies:
    """Return the frequencies of column `value`, which is stored as text.

    Cost: two aggregations; only the `limit` most frequent values leave the engine.
    """
    from pyspark.sql import functions as F

    groups = _grouped(rows)
    there = F.col(VALUE).isNotNull() & (F.col(VALUE) != "")
    sums = groups.select(
        F.col(COUNT).alias("all_rows"),
        F.when(there, F.col(COUNT)).otherwise(F.lit(0)).alias("present"),
        F.when(there, F.lit(1)).otherwise(F.lit(0)).alias("is_value"),
    ).agg(*[F.sum(name).alias(name) for name in ("all_rows", "present", "is_value")])
    most = groups.where(there).orderBy(F.col(COUNT).desc(), F.col(VALUE).asc()).limit(limit)
    with engine_errors(doing):
        (totals,) = sums.toArrow().to_pylist()
        top = most.toArrow().combine_chunks()
    texts = text_values(top.column(VALUE).chunk(0)).to_pylist() if top.num_rows else []
    present = totals["present"] or 0
    return TextFrequencies(
        values=tuple(zip(texts, top.column(COUNT).to_pylist(), strict=True)),
        distinct_count=totals["is_value"] or 0,
        present_count=present,
        missing_count=(totals["all_rows"] or 0) - present,
    )


def _grouped(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    return rows.groupBy(VALUE).agg(F.count(F.lit(1)).alias(COUNT))
