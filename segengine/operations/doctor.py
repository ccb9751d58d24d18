"""Look whether the engines work here: versions, and a small job on each of them."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segengine.engine.failures import engine_errors
from segengine.engine.machine import find_java
from segengine.engine.session import EngineSession, open_session
from segengine.errors import EngineUnavailableError, SegEngineError

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_ENGINES = ("embedded", "spark")

_PACKAGES = ("segengine", "pyarrow", "numpy", "pyspark", "delta-spark", "pysail", "deltalake")
_ROWS = 1_000

State = Literal["ok", "not available", "failed"]


@dataclass(frozen=True)
class ComponentVersion:
    """A component and its version; `version` is "not installed" where it is missing."""

    name: str
    version: str


@dataclass(frozen=True)
class EngineCheck:
    """How one engine did: "not available" is no failure, only a reason why it cannot be chosen here."""

    engine: str
    state: State
    description: str
    seconds: float
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """Versions of all components and one check for each engine asked for."""

    versions: tuple[ComponentVersion, ...]
    engines: tuple[EngineCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether at least one engine works and none failed."""
        states = {check.state for check in self.engines}
        return "ok" in states and "failed" not in states


def check_engines(engines: Sequence[str] | None = None) -> DoctorReport:
    """Return the versions found here and what each engine did with a small job.

    Args:
        engines: names as `open_session` takes them; None means the two that need no server. An engine named here
            must work: where it cannot start, it counts as failed, and not merely as not available.

    Cost: starts each engine; a second for the embedded one, half a minute for Spark.
    """
    checks = tuple(_check_engine(engine, required=engines is not None) for engine in engines or DEFAULT_ENGINES)
    return DoctorReport(_list_versions(), checks)


def _list_versions() -> tuple[ComponentVersion, ...]:
    java = find_java()
    return (
        ComponentVersion("Python", platform.python_version()),
        *(ComponentVersion(name, _read_version(name)) for name in _PACKAGES),
        ComponentVersion("Java", java.version if java else "not installed"),
    )


def _read_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _check_engine(engine: str, *, required: bool) -> EngineCheck:
    started = time.monotonic()
    description = ""
    try:
        with open_session(engine) as session:
            description = session.description
            _run_small_jobs(session)
    except SegEngineError as error:
        missing = isinstance(error, EngineUnavailableError) and not required
        state: State = "not available" if missing else "failed"
        return EngineCheck(engine, state, description, _count_seconds(started), error.message, error.hint)
    return EngineCheck(engine, "ok", description, _count_seconds(started))


def _count_seconds(started: float) -> float:
    return round(time.monotonic() - started, 1)


def _run_small_jobs(session: EngineSession) -> None:
    numbers = session.spark.range(_ROWS)
    with engine_errors("passing rows through a Python function"):
        passed = numbers.mapInArrow(_pass_batches, "id long").count()
    _check_count(passed, "came back from a Python function")
    if session.kind == "connect":
        return  # the server has its own disk; a folder of this machine may not exist there
    with tempfile.TemporaryDirectory(prefix="segengine-", ignore_cleanup_errors=True) as folder:
        table = str(Path(folder) / "numbers")
        with engine_errors("writing a Delta table to a temporary folder"):
            numbers.write.format("delta").save(table)
        with engine_errors("reading a Delta table from a temporary folder"):
            read = session.spark.read.format("delta").load(table).count()
        _check_count(read, "were read back from a Delta table")


def _pass_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def _check_count(count: int, what: str) -> None:
    if count != _ROWS:
        raise SegEngineError(f"{count} of {_ROWS} rows {what}.", "Please report this engine's version.")
