"""Attached rows: for each member, the rows of one path as an array of structs, in the order of their key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segengine.engine.joins import ScanRows
from segengine.engine.sources import Sources
from segengine.kernel.scan import KEY
from segengine.plan.scans import Scan
from segengine.project.model import Attachment
from segengine.project.project_file import Schema

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def attachment_scan(audience: str, attachment: Attachment) -> Scan:
    """Return what is read for an attachment: its fields as columns, nothing to answer."""
    columns = tuple(attribute for _, attribute in attachment.fields)
    return Scan(audience, attachment.path.over, attachment.path, columns, ())


def attached_rows(
    audience: str, attachment: Attachment, limit: int, sources: Sources, schema: Schema, members: DataFrame
) -> DataFrame:
    """Return one row per member: `profile_key`, the array, and whether the member has more rows than the limit.

    Rows are ordered by their key as stored (numbers by size, text by code point, missing first), then by the other
    fields. Values are as stored. A member without rows has an empty array.

    Args:
        audience: Whose rows.
        attachment: What is attached.
        limit: How many rows a member has at most.
        sources: Where tables are read.
        schema: The project's columns.
        members: `profile_id` (text), `profile_key`; only their rows are sorted and looked up.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    names = [name for name, _ in attachment.fields]
    columns = [f"c{number}" for number in range(len(names))]
    rows = ScanRows(attachment_scan(audience, attachment), sources.settings, schema).rows_of(sources, members)
    order = Window.partitionBy(KEY).orderBy(*columns)
    ranked = rows.withColumn("place", F.row_number().over(order)).where(F.col("place") <= limit + 1)
    # Collecting keeps no order: the place comes first, to sort by, and is taken off again.
    kept = F.when(F.col("place") <= limit, F.struct("place", *columns))
    collected = (
        members.select(KEY)
        .join(ranked, KEY, "left")
        .groupBy(KEY)
        .agg(F.sort_array(F.collect_list(kept)).alias("kept"), F.max("place").alias("last"))
    )

    def without_place(entry: Column) -> Column:
        fields = zip(columns, names, strict=True)
        return F.struct(*[entry.getField(column).alias(name) for column, name in fields])

    return collected.select(
        KEY,
        F.transform("kept", without_place).alias(attachment.name),
        F.coalesce(F.col("last") > limit, F.lit(False)).alias(attachment.truncated_name),
    )
