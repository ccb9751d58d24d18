"""Other ways to get the same members from the same Parquet files.

Each gets what an expert would give it: as many threads as there are cores, views over the files, one good query per
segment (filters merged, semi and anti joins). Nothing that segengine has to compute is computed beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from segengine.engine.machine import count_cores

from .data import TABLES, parquet_files
from .measure import Outcome, Phases
from .segments import BenchmarkSegment, Rule

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPARK_SAMPLE = 20

Segments = Sequence[BenchmarkSegment]
Opponent = Callable[[Path, Segments, Path, Phases], Outcome]


def connect_duckdb(data: Path, *, known_customers_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a connection with a view for each table.

    Args:
        data: The folder of the tables.
        known_customers_only: Leave out purchases of customers that are not in the table; needed only where there are
            any, and not for free.
    """
    connection = duckdb.connect(config={"threads": count_cores(), "preserve_insertion_order": False})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    for table in TABLES:
        files = ", ".join(f"'{file}'" for file in parquet_files(data, table))
        limit = " semi join customers using (customer_id)" if known_customers_only and table == "purchases" else ""
        connection.execute(f"create view {table} as select * from read_parquet([{files}]){limit}")
    return connection


def duckdb_ids(data: Path, segments: Segments, folder: Path, phases: Phases) -> Outcome:
    """DuckDB, one query per segment that writes the members' ids as Parquet."""
    connection = connect_duckdb(data)
    counts = {}
    with phases.measured("run"):
        for segment in segments:
            file = folder / f"{segment.id}.parquet"
            row = connection.execute(f"copy ({segment.sql()}) to '{file}' (format parquet)").fetchone()
            counts[segment.id] = int(row[0]) if row else 0
    return Outcome(counts=counts)


def duckdb_counts(data: Path, segments: Segments, folder: Path, phases: Phases) -> Outcome:
    """DuckDB, one query per segment that only counts members."""
    connection = connect_duckdb(data)
    counts = {}
    with phases.measured("run"):
        for segment in segments:
            row = connection.execute(f"select count(*) from ({segment.sql()}) as counted").fetchone()
            counts[segment.id] = int(row[0]) if row else 0
    return Outcome(counts=counts)


def duckdb_wide(data: Path, segments: Segments, folder: Path, phases: Phases) -> Outcome:
    """DuckDB, all rules on rows as aggregates of one query, then one select per segment that writes ids as Parquet."""
    connection = connect_duckdb(data)
    rules: dict[Rule, str] = {}
    for segment in segments:
        for _, rule in segment.rules:
            if rule.quantifier is not None:
                rules.setdefault(rule, f"r{len(rules)}")
    aggregates = ", ".join(["customer_id", *(f"{rule.aggregate()} as {name}" for rule, name in rules.items())])
    counts = {}
    with phases.measured("run"):
        connection.execute(
            f"create temp table found as select {aggregates} from purchases "
            "left join products using (product_id) left join stores using (store_id) group by customer_id"
        )
        connection.execute("create temp table wide as select * from customers left join found using (customer_id)")
        connection.execute("drop table found")
        for segment in segments:
            query = f"select customer_id from wide where {segment.wide_test(rules)}"
            row = connection.execute(f"copy ({query}) to '{folder / segment.id}.parquet' (format parquet)").fetchone()
            counts[segment.id] = int(row[0]) if row else 0
    return Outcome(counts=counts, note=f"{len(rules)} aggregates in one query")


def spark_ids(data: Path, segments: Segments, folder: Path, phases: Phases) -> Outcome:
    """Spark, one query per segment that writes the members' ids as Parquet: a sample, scaled to all segments."""
    from segengine.engine.session import open_session

    step = max(1, len(segments) // SPARK_SAMPLE)
    sample = segments[::step][:SPARK_SAMPLE]
    with phases.measured("start"):
        opened = open_session("spark")
        session = opened.__enter__()
    try:
        spark = session.spark
        with phases.measured("warm up"):
            for table in TABLES:
                spark.read.parquet(*parquet_files(data, table)).createOrReplaceTempView(table)
            _write_spark(spark, segments[-1], folder / "warm_up")
        counts = {}
        with phases.measured("run"):
            for segment in sample:
                _write_spark(spark, segment, folder / segment.id)
        for segment in sample:
            counts[segment.id] = spark.read.parquet(str(folder / segment.id)).count()
    finally:
        opened.__exit__(None, None, None)
    note = f"{len(sample)} segments measured, scaled to {len(segments)}"
    return Outcome(counts=counts, scale=len(segments) / len(sample), note=note)


def _write_spark(spark: SparkSession, segment: BenchmarkSegment, folder: Path) -> None:
    spark.sql(segment.sql()).write.mode("overwrite").parquet(str(folder))


OPPONENTS: dict[str, Opponent] = {
    "duckdb-ids": duckdb_ids,
    "duckdb-counts": duckdb_counts,
    "duckdb-wide": duckdb_wide,
    "spark-ids": spark_ids,
}
