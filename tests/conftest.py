"""Sessions for tests, and which tests run by default.

A test that takes `engine` runs on the embedded engine; with `-m spark` on Spark, and with `-m connect`, where it is
marked `over_connect`, over a Spark Connect server. Sessions start when a test first asks for one and stay open until
pytest ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from segengine.engine import session as session_module
from segengine.engine.machine import GIBIBYTE, count_cores, measure_memory
from segengine.engine.session import EngineSession, activate, open_session
from segengine.errors import EngineUnavailableError

WITHOUT_ENGINE = ("unit", "golden")
OFF_BY_DEFAULT = ("spark", "connect", "benchmark", "long")
MODE_VARIABLE = "SPARK_CONNECT_MODE_ENABLED"

# Small jobs are three times faster so; tests about adaptive execution turn it on themselves. Compiling each plan to
# Java costs more than it saves on a few rows: a quarter of all processor time.
TEST_SETTINGS = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}

# The JVM that tests share gets fast only after many jobs, so it is also the Spark Connect server.
SERVER_SETTINGS = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.databricks.delta.delta.log.cacheSize": "50",  # else it keeps the plans of all tables that tests make
    "spark.driver.memory": "8g",  # of which planning the largest random project takes 3
}
MEMORY_OF_A_WORKER = 11 * GIBIBYTE  # its JVM, those that its tests start, and Python
# Small jobs give back little of what the JVM's second compiler takes: a quarter of all processor time. Without it the
# JVM reserves a fifth of the room for compiled code; where that is full it spends another quarter on sweeping it.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"


def pytest_configure(config: pytest.Config) -> None:
    # Else every worker and each of the many processes that tests start would compile the package anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("SPARK_SUBMIT_OPTS", JVM_OPTIONS)
    config.addinivalue_line(
        "markers",
        "before_the_engine: no engine decides what it shows, or another test does; with -m 'spark and long' only",
    )
    config.addinivalue_line(
        "markers", "over_connect: over Spark Connect too; others there with -m 'connect and long' only"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Share the tests among the cores, but not where files are named, to be debugged.

    Those that start JVMs also by the memory. Nearly all that Spark does for a small job is done by one thread.
    """
    if any(argument.partition("::")[0].endswith(".py") for argument in config.args):
        return 0
    if asks_for(config, "spark") or asks_for(config, "connect"):
        workers = min(count_cores(), measure_memory() // MEMORY_OF_A_WORKER)
        return workers if workers > 1 else 0
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" not in metafunc.fixturenames:
        return
    kinds = (
        "embedded",
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("connect", marks=pytest.mark.connect),
    )
    metafunc.parametrize("engine", kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "connect_address" in names:
            item.add_marker("connect")
        if "spark_engine" in names:
            item.add_marker("spark")
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        kind = parameters.get("engine", "embedded")
        if kind != "embedded" and item.get_closest_marker("before_the_engine"):
            item.add_marker("long")
        if kind == "connect" and not item.get_closest_marker("over_connect"):
            item.add_marker("long")
    off = [marker for marker in OFF_BY_DEFAULT if not asks_for(config, marker)]
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in off)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def asks_for(config: pytest.Config, marker: str) -> bool:
    """Whether the -m option names the marker (`not marker` names it too: pytest itself then leaves it out)."""
    return re.search(rf"\b{marker}\b", str(config.option.markexpr or "")) is not None


@pytest.fixture(autouse=True)
def refuse_session_in_unit_lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a unit or golden test that starts an engine; below `open_session`, however it was imported."""
    lane = request.path.relative_to(Path(__file__).parent).parts[0]

    def refuse(*_: object) -> EngineSession:
        pytest.fail(f"A test of the {lane} lane started an engine session.")

    if lane in WITHOUT_ENGINE:
        monkeypatch.setattr(session_module, "_start", refuse)


@pytest.fixture(scope="session")
def connect_port() -> int:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def open_once(connect_port: int) -> Iterator[Callable[[str], EngineSession]]:
    """Return a function that opens an engine at its first call and gives the same session from then on."""
    opened: dict[str, EngineSession] = {}
    refusals: dict[str, EngineUnavailableError] = {}

    with ExitStack() as stack:

        def get_session(name: str) -> EngineSession:
            if name in refusals:
                refuse_engine(name, refusals[name])
            if name not in opened:
                with environment_kept(), server_settings(connect_port), one_at_a_time():
                    try:
                        opened[name] = stack.enter_context(open_session(name))
                    except EngineUnavailableError as refusal:
                        refusals[name] = refusal
                        refuse_engine(name, refusal)
                for key, value in TEST_SETTINGS.items():
                    opened[name].spark.conf.set(key, value)
            return opened[name]

        yield get_session


def refuse_engine(name: str, refusal: EngineUnavailableError) -> None:
    """Skip the test with the reason, except for what a CI machine must have."""
    if name == "embedded" or os.environ.get("CI") == "true":
        pytest.fail(f"The engine {name} must be available here: {refusal}")
    pytest.skip(f"The engine {name} is not available: {refusal}")


@contextmanager
def environment_kept() -> Iterator[None]:
    """Undo what an open session sets for the whole process; `activate` sets it for one test."""
    before = os.environ.get(MODE_VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(MODE_VARIABLE, None)
        if before is not None:
            os.environ[MODE_VARIABLE] = before


@contextmanager
def server_settings(port: int) -> Iterator[None]:
    """Let Spark be a Spark Connect server too, where it is started inside the block; programs of tests are not."""
    settings = {**SERVER_SETTINGS, "spark.connect.grpc.binding.port": str(port)}
    options = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"{options} pyspark-shell"
    try:
        yield
    finally:
        del os.environ["PYSPARK_SUBMIT_ARGS"]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let other workers wait that start an engine: JVMs fetch their jars to one place."""
    with (Path(tempfile.gettempdir()) / f"segengine-tests-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def engine(request: pytest.FixtureRequest, open_once: Callable[[str], EngineSession]) -> Iterator[EngineSession]:
    """An open session of each engine in turn; views, cache and settings are as before after the test."""
    name = request.getfixturevalue("connect_address") if request.param == "connect" else request.param
    yield from lend_session(request, open_once(name))


@pytest.fixture
def embedded_engine(
    request: pytest.FixtureRequest, open_once: Callable[[str], EngineSession]
) -> Iterator[EngineSession]:
    """The embedded engine alone, for tests where the engine is not what is tested."""
    yield from lend_session(request, open_once("embedded"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[EngineSession]:
    """An embedded session of the module's own, which prepares: what one engine wrote, any other goes on from."""
    with open_session("embedded") as session:
        yield session


@pytest.fixture
def spark_engine(request: pytest.FixtureRequest, open_once: Callable[[str], EngineSession]) -> Iterator[EngineSession]:
    """Spark alone, for what only Spark has; the test gets the marker `spark`."""
    yield from lend_session(request, open_once("spark"))


def lend_session(request: pytest.FixtureRequest, session: EngineSession) -> Iterator[EngineSession]:
    from pyspark import cloudpickle

    # Spark's workers cannot import test modules, so what a test defines travels whole, not by name.
    cloudpickle.register_pickle_by_value(request.module)
    with activate(session):
        yield session
        reset_session(session)


def reset_session(session: EngineSession) -> None:
    for table in session.spark.catalog.listTables():
        if table.isTemporary:
            session.spark.catalog.dropTempView(table.name)
    if session.kind != "embedded":
        session.spark.catalog.clearCache()
    for key, value in {**TEST_SETTINGS, "spark.sql.session.timeZone": "UTC"}.items():
        if session.spark.conf.get(key) != value:
            session.spark.conf.set(key, value)


@pytest.fixture(scope="session")
def connect_address(open_once: Callable[[str], EngineSession], connect_port: int) -> str:
    """The address of a Spark Connect server with Delta."""
    open_once("spark")
    return f"sc://127.0.0.1:{connect_port}"
