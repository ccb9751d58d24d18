"""Checking keys: a duplicate on the "one" side of a relationship would multiply rows, and every profile has an id."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING

from segengine.engine.failures import engine_errors
from segengine.engine.sources import Sources, column
from segengine.errors import DataContractError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Key = tuple[str, tuple[str, ...]]  # a table and stored columns


def check_keys(sources: Sources, unique: Iterable[Key], profiles: Iterable[Key] = ()) -> list[int]:
    """Return the number of profiles of each profile table; one query for all there is to check.

    Args:
        sources: Where tables are read.
        unique: Keys that rows look up; rows with a missing key are looked up by nobody and do not count.
        profiles: The tables of profiles and their key of one column.

    Raises:
        DataContractError: A key that rows look up stands more than once, or the id of a profile is missing: naming
            every table, its key and how many.
    """
    from pyspark.sql import functions as F

    looked_up, of_profiles = sorted(unique), list(profiles)
    counted = [_count_repeated(sources, *key) for key in looked_up]
    counted += [_count_profiles(sources, *key) for key in of_profiles]
    if not counted:
        return []
    # Each query costs an engine more than what it reads of most of these tables.
    numbered = [rows.select(F.lit(place).alias("place"), "wrong", "total") for place, rows in enumerate(counted)]
    tables = ", ".join(f'"{table}"' for table in sorted({table for table, _ in (*looked_up, *of_profiles)}))
    with engine_errors(f"checking the keys of table {tables}"):
        found = sorted(reduce(_union, numbered).toArrow().to_pylist(), key=lambda row: row["place"])
    repeated, missing = found[: len(looked_up)], found[len(looked_up) :]
    wrong = [
        f'table "{table}" has {row["wrong"]} duplicate key(s) in {", ".join(names)}'
        for (table, names), row in zip(looked_up, repeated, strict=True)
        if row["wrong"]
    ]
    if wrong:
        hint = "A relationship leads to one row; remove the duplicates or correct `key` in the project file."
        raise DataContractError(f"Keys are not unique: {'; '.join(wrong)}.", hint)
    for (table, names), row in zip(of_profiles, missing, strict=True):
        if row["wrong"]:
            message = f'Profile table "{table}": column "{names[0]}" is missing in {row["wrong"]} row(s).'
            raise DataContractError(message)
    return [row["total"] for row in missing]


def _count_repeated(sources: Sources, table: str, names: tuple[str, ...]) -> DataFrame:
    """Return how many keys of a table stand more than once (`wrong`), of how many in all (`total`)."""
    from pyspark.sql import functions as F

    keys = [f"k{place}" for place in range(len(names))]
    rows = sources.read(table).select(*[column(name).alias(key) for name, key in zip(names, keys, strict=True)])
    for key in keys:
        rows = rows.where(F.col(key).isNotNull() & (F.col(key).cast("string") != ""))
    grouped = rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("n"))
    return _count(grouped, F.col("n") > 1)


def _count_profiles(sources: Sources, table: str, names: tuple[str, ...]) -> DataFrame:
    """Return how many profiles have no id (`wrong`), of how many in all (`total`)."""
    from pyspark.sql import functions as F

    ids = sources.read(table).select(column(names[0]).cast("string").alias("profile_id"))
    return _count(ids, F.col("profile_id").isNull() | (F.col("profile_id") == ""))


def _count(rows: DataFrame, is_wrong: Column) -> DataFrame:
    from pyspark.sql import functions as F

    one = F.lit(1)
    return rows.agg(F.count(F.when(is_wrong, one)).alias("wrong"), F.count(one).alias("total"))


def _union(rows: DataFrame, others: DataFrame) -> DataFrame:
    return rows.unionByName(others)
