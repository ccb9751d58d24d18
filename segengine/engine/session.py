"""The only place that starts a Spark session: embedded, Spark with Delta on this machine, or a remote server.

Imports PySpark only inside functions, so that commands that need no engine start fast.

PySpark keeps in the environment whether `pyspark.sql.functions` means Spark Connect or classic Spark, one
answer for the whole process. `open_session` sets it for its block and puts it back; where sessions of both
sorts stay open side by side, `activate` says which one the next lines mean.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from segengine.engine import embedded
from segengine.engine.failures import describe_error
from segengine.engine.launch import (
    BATCH_ROWS,
    DELTA_SETTINGS,
    EMBEDDED_SETTINGS,
    RESULT_SETTINGS,
    check_java,
    explain_launch,
    hush_pyspark,
    spark_settings,
    terminal_output_to,
)
from segengine.engine.machine import count_cores
from segengine.engine.workers import check_workers, send_package
from segengine.errors import ConfigError, EngineUnavailableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

Kind = Literal["embedded", "spark", "connect"]
Answer = TypeVar("Answer")

_ANSWER_SECONDS = 8.0
_CONNECT_PORT = 15002
_MODE_VARIABLES = ("SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_API_MODE")

# Sessions started here that belong to another `open_session`: never taken for the user's own.
_started: list[SparkSession] = []


@dataclass(frozen=True)
class EngineSession:
    """An open session and what the planner must know about it.

    `parallelism` is the number of tasks that run at once, at least 1; `description` has no secrets.
    """

    spark: SparkSession
    kind: Kind
    description: str
    parallelism: int


@contextmanager
def open_session(engine: str, *, spark: SparkSession | None = None) -> Iterator[EngineSession]:
    """Yield a session of the engine, stopped at the end of the block if it was started here.

    Args:
        engine: "embedded", "spark" or "sc://host:port".
        spark: a session that exists (a notebook's); used as it is, neither stopped nor changed. The same holds
            for the active session, where there is one and the engine is "spark".

    Raises:
        EngineUnavailableError: the engine cannot start here; nothing is left running.
        ConfigError: there is no such engine.
    """
    with ExitStack() as stack:
        yield _start(stack, engine, spark)


@contextmanager
def activate(session: EngineSession) -> Iterator[None]:
    """Make PySpark's functions mean this session's sort (classic or Connect) inside the block."""
    with _api_mode("connect" if _is_remote(session.spark) else "classic"):
        yield


def _start(stack: ExitStack, engine: str, spark: SparkSession | None) -> EngineSession:
    if spark is not None:
        return _describe_given(stack, spark, "embedded" if engine == "embedded" else None)
    if engine == "embedded":
        return _start_embedded(stack)
    if engine == "spark":
        active = _find_active()
        return _start_spark(stack) if active is None else _describe_given(stack, active, None)
    if engine.startswith("sc://"):
        return _start_remote(stack, engine)
    raise ConfigError(
        f'There is no engine "{engine}".',
        'Use "embedded", "spark" or the address of a server, "sc://host:port".',
    )


# --- a session that exists


def _find_active() -> SparkSession | None:
    """Return the session the user or the platform made, or None."""
    _import_pyspark()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None and not (_is_remote(active) and active in _started):
        return active
    with _api_mode("classic"):
        active = SparkSession.getActiveSession()
    if active is None and "DATABRICKS_RUNTIME_VERSION" in os.environ:
        # A wheel task there has a session that is not "active"; without options this only fetches it.
        return SparkSession.builder.getOrCreate()
    return active


def _describe_given(stack: ExitStack, spark: SparkSession, kind: Kind | None) -> EngineSession:
    remote = _is_remote(spark)
    stack.enter_context(_api_mode("connect" if remote else "classic"))
    if kind == "embedded":
        return EngineSession(spark, kind, _describe_embedded(), count_cores())
    description = f"{'Spark Connect' if remote else 'Spark'} {spark.version}"
    return EngineSession(spark, "connect" if remote else "spark", description, _measure_parallelism(spark))


def _is_remote(spark: SparkSession) -> bool:
    return type(spark).__module__.startswith("pyspark.sql.connect")


def _measure_parallelism(spark: SparkSession) -> int:
    """Return the engine's default number of tasks, by a small job: Connect has no context to ask."""
    from pyspark.sql import functions as F

    tasks = spark.range(4096).select(F.spark_partition_id().alias("task"))
    answer = tasks.agg(F.max("task")).first()
    return 1 + int(answer[0] if answer is not None and answer[0] is not None else 0)


# --- embedded


def _start_embedded(stack: ExitStack) -> EngineSession:
    _import_pyspark()
    embedded.set_environment()
    try:
        from pysail.spark import SparkConnectServer
    except ImportError as error:
        raise EngineUnavailableError(
            "The embedded engine needs the package pysail, which is not installed.",
            "Install segengine with its local extra: pip install 'segengine[local]'.",
        ) from error
    stack.enter_context(_api_mode("connect"))
    try:
        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
    except RuntimeError as error:  # among others, a SAIL_... variable with a value it does not take
        raise EngineUnavailableError(
            f"The embedded engine did not start: {describe_error(error)}",
            "Check the environment variables whose names start with SAIL_.",
        ) from error
    stack.callback(embedded.wait_for_tasks, embedded.find_foreign_threads())
    stack.callback(_quietly, server.stop)
    _, port = server.listening_address
    spark = _connect(stack, f"sc://127.0.0.1:{port}")
    _set_optional(spark, EMBEDDED_SETTINGS)
    embedded.take_back_interrupts()
    return EngineSession(spark, "embedded", _describe_embedded(), count_cores())


def _describe_embedded() -> str:
    return f"Sail {_read_version('pysail')} (embedded)"


# --- Spark on this machine, or under spark-submit


def _start_spark(stack: ExitStack) -> EngineSession:
    _import_pyspark()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    hush_pyspark()
    stack.enter_context(_api_mode("classic"))
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    spark = _join_submitted() if submitted else _launch_spark(stack)
    _started.append(spark)
    stack.callback(_started.remove, spark)
    stack.callback(_quietly, spark.stop)
    parallelism = _measure_parallelism(spark) if submitted else count_cores()
    return EngineSession(spark, "spark", f"Spark {spark.version}", parallelism)


def _join_submitted() -> SparkSession:
    """Return the session of a job that spark-submit started; master, memory and jars are settled there."""
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    given = SparkConf()
    builder = SparkSession.builder.appName("segengine")
    for key, value in RESULT_SETTINGS.items():
        builder = builder.config(key, value)
    for key, value in DELTA_SETTINGS.items():
        if given.get(key, None) is None:
            builder = builder.config(key, value)
    return builder.getOrCreate()


def _launch_spark(stack: ExitStack) -> SparkSession:
    check_java()
    try:
        from delta.pip_utils import configure_spark_with_delta_pip
    except ImportError as error:
        raise EngineUnavailableError(
            "The Spark engine needs the package delta-spark, which is not installed.",
            "Install segengine with its local extra: pip install 'segengine[local]'.",
        ) from error
    from pyspark.sql import SparkSession

    folder = Path(stack.enter_context(_temporary_folder()))
    builder = SparkSession.builder.master("local[*]").appName("segengine").config("spark.api.mode", "classic")
    for key, value in spark_settings(folder).items():
        builder = builder.config(key, value)
    log = folder / "spark.log"
    try:
        with terminal_output_to(log):
            return configure_spark_with_delta_pip(builder).getOrCreate()
    except Exception as error:  # whatever it is, the reason is in the log of the JVM that did not come up
        raise explain_launch(error, log.read_text(errors="replace")) from error


@contextmanager
def _temporary_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="segengine-", ignore_cleanup_errors=True) as folder:
        yield folder


# --- a Spark Connect server


def _start_remote(stack: ExitStack, address: str) -> EngineSession:
    _import_pyspark()
    place = _name_place(address)
    stack.enter_context(_api_mode("connect"))
    spark = _connect(stack, address)
    try:
        version = _ask_within(_ANSWER_SECONDS, lambda: spark.version)
    except Exception as error:  # gRPC, PySpark and our own time limit each have a class of their own
        _quietly(spark.client.close)  # `stop` would wait for the same server once more
        raise EngineUnavailableError(
            f"No Spark Connect server answers at {place}.", "Check the address, and whether the server runs."
        ) from error
    from pyspark.sql.connect.client.retries import DefaultPolicy

    # From here on a short break of the connection may heal; six tries are about a minute.
    spark.client.set_retry_policies([DefaultPolicy(max_retries=6)])
    _set_optional(spark, {**RESULT_SETTINGS, "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS)})
    send_package(spark, place)
    check_workers(spark, place)
    return EngineSession(spark, "connect", f"Spark Connect {version} at {place}", _measure_parallelism(spark))


def _name_place(address: str) -> str:
    """Return the address without its parameters, which may hold a token."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _CONNECT_PORT
    except ValueError:
        host = None
    if not host:
        raise ConfigError(f'"{address.split(";")[0]}" is no address of a server.', 'Write "sc://host:port".')
    return f"sc://{host}:{port}"


# --- shared


def _connect(stack: ExitStack, address: str) -> SparkSession:
    # Else one in thirty processes that this one forks, a JVM say, aborts before it runs its program (grpc/grpc#43055).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    hush_pyspark()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            spark = SparkSession.builder.remote(address).create()
        except Exception as error:  # a malformed address: PySpark raises several classes
            raise EngineUnavailableError(
                f"Cannot connect to {_name_place(address)}: {describe_error(error)}", "Check the address."
            ) from error
    # The default tries for ten minutes, also to release a session whose server is gone.
    spark.client.set_retry_policies([DefaultPolicy(max_retries=2)])
    _started.append(spark)
    stack.callback(_started.remove, spark)
    stack.callback(_quietly, lambda: _stop_connected(spark))
    return spark


def _stop_connected(spark: SparkSession) -> None:
    from pyspark.sql.connect.client.retries import DefaultPolicy

    # One more try is enough: where the server is gone, so is the session.
    spark.client.set_retry_policies([DefaultPolicy(max_retries=1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spark.stop()


def _ask_within(seconds: float, question: Callable[[], Answer]) -> Answer:
    """Return the answer, or raise its error or TimeoutError; gRPC waits without end for a server that is silent."""
    answers: list[Answer] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(question())
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PySpark warns that it gave up, and raises that as well
        asking.start()
        asking.join(seconds)
    if answers:
        return answers[0]
    raise errors[0] if errors else TimeoutError(f"No answer within {seconds} s.")


@contextmanager
def _api_mode(mode: Literal["classic", "connect"]) -> Iterator[None]:
    """Set what PySpark reads on each call to tell classic from Connect, and put it back at the end."""
    before = {name: os.environ.pop(name) for name in _MODE_VARIABLES if name in os.environ}
    if mode == "connect":
        os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    try:
        yield
    finally:
        for name in _MODE_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(before)


def _import_pyspark() -> None:
    try:
        import pyspark.sql  # noqa: F401
    except ImportError as error:
        raise EngineUnavailableError(
            "This command needs the package pyspark, which is not installed.",
            "Install segengine with its local extra: pip install 'segengine[local]'.",
        ) from error


def _set_optional(spark: SparkSession, settings: dict[str, str]) -> None:
    for key, value in settings.items():
        try:
            spark.conf.set(key, value)
        except Exception as error:  # noqa: BLE001 - results are right without, only slower or in another form
            logger.info("The engine refused the setting %s: %s", key, describe_error(error))


def _quietly(stop: Callable[[], object]) -> None:
    """Stop something whose failure to stop must not hide what ended the block."""
    try:
        stop()
    except Exception as error:  # noqa: BLE001 - what ended the block counts for more
        logger.debug("Stopping the engine failed: %s", error)


def _read_version(distribution: str) -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return "of unknown version"
