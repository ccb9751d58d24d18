"""Sessions start, work, stay quiet, end cleanly, and say in words why they cannot start."""

from __future__ import annotations

import _thread
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from segengine.engine import embedded
from segengine.engine import session as session_module
from segengine.engine.failures import engine_errors
from segengine.engine.session import EngineSession, _connect, activate, open_session
from segengine.engine.workers import pack_package
from segengine.errors import ConfigError, DataContractError, EngineUnavailableError, RunError, coded_failure
from segengine.operations.doctor import check_engines

PREAMBLE = """
import json, os, sys
from segengine.engine.session import open_session
from segengine.errors import SegEngineError
"""


def run_python(code: str, folder: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in an empty folder."""
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code)],
        cwd=folder,
        env=clean_environment() | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def start_python(code: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start code in a process of its own; what it prints, also as errors, is its output."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), *arguments],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def clean_environment() -> dict[str, str]:
    ours = ("SPARK_CONNECT_MODE_ENABLED", "SAIL_", "RUST_LOG", "GRPC_", "PYSPARK_GATEWAY")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def double(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        doubled = pa.array([2 * value for value in batch.column(0).to_pylist()], pa.int64())
        yield pa.record_batch([doubled], names=["id"])


@pytest.mark.over_connect
def test_delta_table_is_written_and_read_back(engine: EngineSession, tmp_path: Path) -> None:
    table = str(tmp_path / "numbers")
    engine.spark.range(5).write.format("delta").save(table)
    engine.spark.range(5, 7).write.format("delta").mode("append").save(table)

    numbers = engine.spark.read.format("delta").load(table)

    assert sorted(row["id"] for row in numbers.collect()) == [0, 1, 2, 3, 4, 5, 6]
    assert engine.spark.read.format("delta").option("versionAsOf", 0).load(table).count() == 5


@pytest.mark.over_connect
def test_arrow_function_runs_and_functions_fit_the_session(engine: EngineSession) -> None:
    from pyspark.sql import functions as F

    doubled = engine.spark.range(4).where(F.col("id") > 0).mapInArrow(double, "id long")

    assert sorted(row["id"] for row in doubled.collect()) == [2, 4, 6]


@pytest.mark.over_connect
def test_session_is_described(engine: EngineSession) -> None:
    expected = {"embedded": "Sail ", "spark": "Spark 4.", "connect": "Spark Connect 4."}
    assert engine.description.startswith(expected[engine.kind])
    assert engine.parallelism >= 1
    assert engine.spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_calls_are_not_traced(embedded_engine: EngineSession) -> None:
    """What PySpark would note of each call takes a quarter of the client's share of a small refresh."""
    assert embedded_engine.spark.conf.get("spark.python.sql.dataFrameDebugging.enabled") == "false"


@pytest.mark.over_connect
def test_coded_failure_keeps_its_code_and_text(engine: EngineSession) -> None:
    def refuse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise coded_failure("data-contract", "column \"größe\" of\ntable 'orders' is text", "Make it a number.")
        yield from batches

    with pytest.raises(DataContractError) as raised, engine_errors("reading table orders"):
        engine.spark.range(3).mapInArrow(refuse, "id long").collect()

    assert raised.value.message == ("Failed while reading table orders: column \"größe\" of\ntable 'orders' is text")
    assert raised.value.hint == "Make it a number."
    assert raised.value.__cause__ is not None


@pytest.mark.over_connect
def test_other_codes_become_run_errors(engine: EngineSession) -> None:
    def refuse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise coded_failure("overflow", "the sum is too large")
        yield from batches

    with pytest.raises(RunError, match="^Failed while adding up: the sum is too large$"), engine_errors("adding up"):
        engine.spark.range(3).mapInArrow(refuse, "id long").collect()


@pytest.mark.over_connect
def test_python_error_is_one_line_without_values(engine: EngineSession, capfd: pytest.CaptureFixture[str]) -> None:
    def stumble(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            int("anna@example.org")
        yield from ()

    with pytest.raises(RunError) as raised, engine_errors("counting members"):
        engine.spark.range(3).mapInArrow(stumble, "id long").collect()

    assert str(raised.value).startswith("Failed while counting members: ")
    assert "ValueError: invalid literal for int() with base 10: '...'" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "anna" not in str(raised.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "statement", ["select nothing_like_it", "selec 1", "select cast(id_text as int) from values ('anna') t(id_text)"]
)
@pytest.mark.over_connect
def test_engine_error_is_one_line_and_prints_nothing(
    engine: EngineSession, statement: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunError) as raised, engine_errors("asking"):
        engine.spark.sql(statement).collect()

    message = str(raised.value)
    assert message.startswith("Failed while asking: ")
    assert "\n" not in message
    assert "Exception" not in message
    assert "'anna'" not in message
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def test_own_and_plain_errors_pass_engine_errors_unchanged() -> None:
    with pytest.raises(ConfigError, match="^mine$"), engine_errors("anything"):
        raise ConfigError("mine")
    with pytest.raises(KeyError), engine_errors("anything"):
        raise KeyError("a bug of ours")


@pytest.mark.over_connect
def test_given_session_is_used_and_not_stopped(engine: EngineSession) -> None:
    kept = "spark.sql.shuffle.partitions"
    engine.spark.conf.set(kept, "3")
    with open_session("embedded" if engine.kind == "embedded" else "spark", spark=engine.spark) as given:
        assert given.spark is engine.spark
        assert given.kind == engine.kind
        assert given.parallelism >= 1
    assert engine.spark.conf.get(kept) == "3"
    assert engine.spark.range(2).count() == 2


def test_active_spark_session_is_used_and_not_stopped(spark_engine: EngineSession) -> None:
    with open_session("spark") as active:
        assert active.spark.range(2).count() == 2
    assert spark_engine.spark.range(2).count() == 2


def test_embedded_engine_starts_twice_in_a_process() -> None:
    for _ in range(2):
        with open_session("embedded") as first, open_session("embedded") as second:
            first.spark.range(3).createOrReplaceTempView("mine")
            assert first.spark.table("mine").count() == 3
            assert [table.name for table in second.spark.catalog.listTables()] == []


def test_functions_follow_the_activated_session(embedded_engine: EngineSession, spark_engine: EngineSession) -> None:
    from pyspark.sql import functions as F

    for session in (embedded_engine, spark_engine, embedded_engine):
        with activate(session):
            assert session.spark.range(3).agg(F.sum("id")).first() == (3,)


@pytest.mark.parametrize("kind", ["embedded", pytest.param("spark", marks=pytest.mark.spark)])
def test_process_is_quiet_leaves_nothing_behind_and_no_child(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "spark":
        request.getfixturevalue("spark_engine")  # skips where Spark is not available
    code = f"""
        with open_session({kind!r}) as session:
            session.spark.range(5).write.format("delta").save("table")
            count = session.spark.read.format("delta").load("table").count()
        children = open(f"/proc/self/task/{{os.getpid()}}/children").read().split()
        print(json.dumps([count, children, os.environ.get("SPARK_CONNECT_MODE_ENABLED")]))
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    work = tmp_path / "work"
    work.mkdir()

    done = run_python(code, work, {"TMPDIR": str(scratch)})

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    count, children, mode = json.loads(done.stdout)
    assert (count, mode) == (5, None)
    assert sorted(entry.name for entry in work.iterdir()) == ["table"]
    wait_until_gone(children)
    assert [entry.name for entry in scratch.iterdir() if entry.name.startswith("segengine-")] == []


def wait_until_gone(processes: list[str]) -> None:
    """Spark's JVM sees the end of its parent through a pipe, and ends itself within seconds."""
    deadline = time.monotonic() + 30
    while any(Path("/proc", process).exists() for process in processes):
        assert time.monotonic() < deadline, "a child process of the engine is left"
        time.sleep(0.1)


def test_process_ends_well_while_a_function_still_runs(tmp_path: Path) -> None:
    """After Ctrl-C the query is given up, but its function goes on in the engine's thread, to the end of its batch."""
    code = """
        import signal, time

        def slow(batches):
            for batch in batches:
                print("busy", flush=True)
                for _ in range(1000):
                    time.sleep(0.001)  # gives the interpreter away and wants it again
                yield batch

        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with open_session("embedded") as session:
                rows = session.spark.range(5).mapInArrow(slow, "id bigint")
                rows.repartition(2, "id").groupBy("id").count().toArrow()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = start_python(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=60) == ("interrupted\n", None)
    assert process.returncode == 0


def test_two_processes_work_side_by_side(tmp_path: Path) -> None:
    code = """
        with open_session("embedded") as session:
            print("open", flush=True)
            sys.stdin.readline()
            session.spark.range(5).write.format("delta").save(sys.argv[1])
            print(session.spark.read.format("delta").load(sys.argv[1]).count())
    """
    processes = [start_python(code, tmp_path, name) for name in ("one", "two")]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"  # both are open before either goes on
    assert [process.communicate("go on\n", timeout=60)[0] for process in processes] == ["5\n", "5\n"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["one", "two"]


def test_programs_start_beside_the_embedded_engine(tmp_path: Path) -> None:
    """As PySpark starts a JVM, with a function run between fork and exec: gRPC's handlers of forks may abort it.

    In a process of its own, which is small: to fork one that has run many tests takes a tenth of a second.
    """
    code = """
        import subprocess
        with open_session("embedded") as session:
            assert session.spark.range(3).count() == 3
            print({subprocess.run(["true"], preexec_fn=lambda: None).returncode for _ in range(150)})
    """
    done = run_python(code, tmp_path)
    assert done.stdout == "{0}\n", done.stderr


def test_an_error_in_the_block_stops_the_session_and_is_raised() -> None:
    with pytest.raises(ZeroDivisionError), open_session("embedded") as session:
        assert 1 // session.spark.range(0).count()
    assert session.spark.is_stopped


def test_missing_java_is_said_in_words(tmp_path: Path) -> None:
    message = refusal_of("spark", tmp_path, {"PATH": str(tmp_path), "JAVA_HOME": ""})
    assert message.startswith("Spark needs Java, and none was found")
    assert "Install Java 17 or newer." in message
    assert "embedded engine" in message


def test_old_java_is_said_in_words(tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.22\" 2024-01-16' >&2\n")
    old.chmod(0o755)
    message = refusal_of("spark", tmp_path, {"JAVA_HOME": str(tmp_path)})
    assert message.startswith("Spark needs Java 17 or newer; ")
    assert "is version 11.0.22" in message


@pytest.mark.spark
def test_missing_jars_are_said_in_words(tmp_path: Path, spark_engine: EngineSession) -> None:
    # An empty Ivy cache and a proxy that is not there stand for a machine without network.
    nowhere = f"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={free_port()}"
    configuration = tmp_path / "conf"
    configuration.mkdir()
    (configuration / "spark-defaults.conf").write_text(f"spark.jars.ivy {tmp_path / 'ivy'}\n")
    environment = {"SPARK_CONF_DIR": str(configuration), "JAVA_TOOL_OPTIONS": nowhere, "HOME": str(tmp_path)}
    message = refusal_of("spark", tmp_path, environment)
    assert message.startswith("Spark could not get the Delta Lake jars")


def refusal_of(engine: str, folder: Path, environment: dict[str, str]) -> str:
    code = f"""
        try:
            with open_session({engine!r}):
                print("it started")
        except SegEngineError as error:
            print(json.dumps([type(error).__name__, str(error), error.exit_code]))
    """
    done = run_python(code, folder, environment)
    assert done.returncode == 0, done.stderr
    assert "java.lang" not in done.stderr
    name, message, exit_code = json.loads(done.stdout)
    assert (name, exit_code) == ("EngineUnavailableError", 2)
    return str(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(60)  # PySpark's own retries would go on for longer
def test_dead_server_is_reported_soon() -> None:
    address = f"sc://127.0.0.1:{free_port()}"
    with pytest.raises(EngineUnavailableError, match=f"No Spark Connect server answers at {address}"):  # noqa: SIM117
        with open_session(f"{address}/;token=secret"):
            pass


@pytest.mark.timeout(60)
def test_silent_server_is_reported_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert session_module._ANSWER_SECONDS < 10
    monkeypatch.setattr(session_module, "_ANSWER_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with (
            pytest.raises(EngineUnavailableError) as raised,
            open_session(f"sc://127.0.0.1:{silent.getsockname()[1]}/;user_id=someone"),
        ):
            pass
    assert "someone" not in str(raised.value)


@pytest.mark.parametrize("engine_name", ["embeded", "", "sc://", "sc://host:port"])
def test_unknown_engine_is_refused(engine_name: str) -> None:
    with pytest.raises(ConfigError), open_session(engine_name):
        pass


def test_remote_session_gets_our_package(connect_address: str, tmp_path: Path) -> None:
    with open_session(connect_address) as first, open_session(connect_address) as session:
        assert first.spark.range(2).count() == 2
        assert session.kind == "connect"
        assert session.description.endswith(f" at {connect_address}")

        def tell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import sys
            from importlib.machinery import PathFinder

            # A worker used before may have imported another; the folder it runs in, this checkout, comes first of all.
            found = PathFinder.find_spec("segengine", sys.path[1:])
            for _ in batches:
                yield pa.RecordBatch.from_pydict({"file": [str(found and found.origin)]})

        files = {row["file"] for row in session.spark.range(1).mapInArrow(tell, "file string").collect()}
        table = str(tmp_path / "numbers")
        session.spark.range(5).write.format("delta").save(table)
        count = session.spark.read.format("delta").load(table).count()

    assert count == 5
    assert all("/segengine-" in file for file in files), files


def test_server_that_died_does_not_hold_up_the_end(embedded_engine: EngineSession) -> None:
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    stack = ExitStack()
    try:
        stack.enter_context(activate(embedded_engine))
        _connect(stack, f"sc://{host}:{port}").range(1).count()
    finally:
        server.stop()
    # Not a matter of speed: PySpark's own retries would go on for more than a minute.
    closing = threading.Thread(target=stack.close, daemon=True)
    closing.start()
    closing.join(timeout=45)
    assert not closing.is_alive()


def test_package_for_workers_is_the_same_each_time(tmp_path: Path) -> None:
    # A server refuses a second file of the same name with other bytes, also from another session.
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one, two = pack_package(tmp_path / "one"), pack_package(tmp_path / "two")
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    assert "segengine/engine/session.py" in zipfile.ZipFile(one).namelist()


def test_doctor_reports_what_works() -> None:
    report = check_engines(["embedded", f"sc://127.0.0.1:{free_port()}"])
    assert [check.state for check in report.engines] == ["ok", "failed"]
    assert not report.ok
    assert report.engines[0].description.startswith("Sail ")
    assert report.engines[1].message.startswith("No Spark Connect server answers")
    assert dict((entry.name, entry.version) for entry in report.versions)["pyarrow"] == pa.__version__


def test_doctor_calls_a_missing_java_no_failure(tmp_path: Path) -> None:
    code = """
        from segengine.operations.doctor import check_engines
        report = check_engines()
        print(json.dumps([[c.engine, c.state, c.message, c.hint] for c in report.engines] + [report.ok]))
    """
    done = run_python(code, tmp_path, {"PATH": str(tmp_path), "JAVA_HOME": ""})
    assert done.returncode == 0, done.stderr
    embedded, spark, ok = json.loads(done.stdout)
    assert embedded[:2] == ["embedded", "ok"]
    assert spark[:2] == ["spark", "not available"]
    assert spark[2].startswith("Spark needs Java")
    assert "Install Java 17" in spark[3]
    assert ok is True


def test_closing_waits_for_no_thread_that_was_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A debugger's, or that of whoever runs these tests in several processes; one that came later is waited for."""
    started, ended = threading.Event(), threading.Event()

    def run() -> None:
        started.set()
        ended.wait()

    def end(_: float) -> None:
        waited.append(True)
        ended.set()

    waited: list[bool] = []
    before = embedded.find_foreign_threads()
    _thread.start_new_thread(run, ())
    started.wait()
    monkeypatch.setattr(embedded.time, "sleep", end)
    embedded.wait_for_tasks(embedded.find_foreign_threads())
    assert not waited
    embedded.wait_for_tasks(before)
    assert waited
