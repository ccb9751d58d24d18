"""How Spark with Delta is started on this machine: what it needs, its settings, its output, why it failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segengine.engine.failures import last_line
from segengine.engine.machine import GIBIBYTE, OLDEST_JAVA, count_cores, find_java, measure_memory
from segengine.errors import EngineUnavailableError

BATCH_ROWS = 65_536
"""Rows in an Arrow batch handed to our functions; Spark's 10,000 more than double the time."""

DELTA_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
RESULT_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
# Else PySpark notes where each call stands, and looks for IPython to do so: a tenth of a small refresh.
_QUICK_SETTINGS = {"spark.python.sql.dataFrameDebugging.enabled": "false"}
EMBEDDED_SETTINGS = {"spark.sql.session.timeZone": "UTC", **_QUICK_SETTINGS}

_USE_EMBEDDED = "Or use the embedded engine, which needs no Java."

# Delta's Maven module lists these, and Spark ships each of them: 70 of 85 MB less to fetch and to copy.
_JARS_SPARK_HAS = (
    "com.fasterxml.jackson.core:jackson-annotations",
    "com.fasterxml.jackson.core:jackson-core",
    "com.fasterxml.jackson.core:jackson-databind",
    "com.github.luben:zstd-jni",
    "io.airlift:aircompressor",
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.logging.log4j:log4j-api",
    "org.apache.logging.log4j:log4j-core",
    "org.apache.logging.log4j:log4j-slf4j2-impl",
    "org.apache.parquet:parquet-column",
    "org.apache.parquet:parquet-common",
    "org.apache.parquet:parquet-encoding",
    "org.apache.parquet:parquet-format-structures",
    "org.apache.parquet:parquet-hadoop",
    "org.apache.parquet:parquet-jackson",
    "org.roaringbitmap:RoaringBitmap",
    "org.slf4j:slf4j-api",
    "org.xerial.snappy:snappy-java",
)


def spark_settings(folder: Path) -> dict[str, str]:
    """Return the settings of a Spark that we start on this machine; `folder` is for its temporary files."""
    memory = max(3, min(measure_memory() * 2 // 5 // GIBIBYTE, 24))
    return {
        # In the JVM's first seconds; an out-of-memory in the default 1 GB heap hangs for ever.
        "spark.driver.memory": f"{memory}g",
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:+ExitOnOutOfMemoryError",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.jars.excludes": ",".join(_JARS_SPARK_HAS),
        "spark.sql.catalogImplementation": "in-memory",  # no metastore, so no Derby files either
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
        "spark.sql.shuffle.partitions": str(2 * count_cores()),
        "spark.python.unix.domain.socket.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
        # The default is 50 tasks to read a table's log, several seconds for each small write on a laptop.
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.databricks.delta.schema.autoMerge.enabled": "false",
        # A past version is read where its files are still there; Delta refuses it after 7 days even then.
        "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration": "false",
        **_QUICK_SETTINGS,
        **DELTA_SETTINGS,
        **RESULT_SETTINGS,
    }


def check_java() -> None:
    """Raise EngineUnavailableError unless the Java that Spark would start is there and new enough."""
    java = find_java()
    if java is None:
        raise EngineUnavailableError(
            "Spark needs Java, and none was found (neither JAVA_HOME nor PATH has one).",
            f"Install Java {OLDEST_JAVA} or newer. {_USE_EMBEDDED}",
        )
    if java.major < OLDEST_JAVA:
        raise EngineUnavailableError(
            f"Spark needs Java {OLDEST_JAVA} or newer; {java.command} is version {java.version}.",
            f"Install Java {OLDEST_JAVA} or newer, or set JAVA_HOME to one. {_USE_EMBEDDED}",
        )


def explain_launch(error: Exception, log: str) -> EngineUnavailableError:
    """Return why Spark did not come up, told from its error and what it wrote (`log`)."""
    unresolved = ("unresolved dependenc", "Server access error", "UNRESOLVED DEPENDENCIES", "download failed")
    if any(sign in log for sign in unresolved):
        return EngineUnavailableError(
            "Spark could not get the Delta Lake jars: not in Ivy's cache, and Maven Central was not reachable.",
            f"Start it once with network access; later starts use the cache. {_USE_EMBEDDED}",
        )
    telling = [line for line in log.splitlines() if "Exception" in line or "rror" in line]
    last = telling[-1].strip() if telling else last_line(str(error))
    return EngineUnavailableError(f"Spark did not start: {last[:300]}", _USE_EMBEDDED)


@contextmanager
def terminal_output_to(log: Path) -> Iterator[None]:
    """Send what is written to this process's stdout and stderr to a file while the JVM is launched.

    The JVM inherits the two for its whole life. Its launcher, Ivy's resolution (70 lines) and the executors'
    stack traces know no other place, and the level of Spark's log is applied only after the first lines.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {}
    with log.open("ab") as target:
        for descriptor in (1, 2):
            with suppress(OSError):  # closed, as under a service manager
                saved[descriptor] = os.dup(descriptor)
                os.dup2(target.fileno(), descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in saved.items():
            os.dup2(original, descriptor)
            os.close(original)


def hush_pyspark() -> None:
    """Keep PySpark from writing each engine error to stderr, as JSON with stack trace and customers' values.

    Nothing is lost: the same error is raised, and our caller says what to do about it.
    """
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True
