"""Checking that the "one" side of a relationship is one: a duplicate key would multiply rows."""

from __future__ import annotations

from collections.abc import Iterable

from segengine.engine.failures import engine_errors
from segengine.engine.sources import Sources, column
from segengine.errors import DataContractError


def check_unique_keys(sources: Sources, keys: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Raise where tables that rows look up have a key twice.

    Args:
        sources: Where tables are read.
        keys: (table, stored key columns); rows with a missing key are looked up by nobody and do not count.

    Raises:
        DataContractError: Naming every table, its key and how many keys stand more than once.
    """
    from pyspark.sql import functions as F

    wrong = []
    for table, names in sorted(keys):
        parts = [column(name).alias(f"k{place}") for place, name in enumerate(names)]
        rows = sources.read(table).select(*parts)
        for place in range(len(names)):
            rows = rows.where(F.col(f"k{place}").isNotNull() & (F.col(f"k{place}").cast("string") != ""))
        grouped = rows.groupBy(*[f"k{place}" for place in range(len(names))]).agg(F.count(F.lit(1)).alias("n"))
        with engine_errors(f'checking the key of table "{table}"'):
            repeated = grouped.where(F.col("n") > 1).count()
        if repeated:
            wrong.append(f'table "{table}" has {repeated} duplicate key(s) in {", ".join(names)}')
    if wrong:
        hint = "A relationship leads to one row; remove the duplicates or correct `key` in the project file."
        raise DataContractError(f"Keys are not unique: {'; '.join(wrong)}.", hint)
