"""The workers of a remote server: they get this segengine, and their Python must be ours."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from segengine.engine.failures import describe_error
from segengine.errors import EngineUnavailableError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pyarrow as pa
    from pyspark.sql import SparkSession


def send_package(spark: SparkSession, place: str) -> None:
    """Give the server's workers this segengine.

    Always, not only where theirs is missing: an installed copy of another commit has the same version number,
    and two ends that differ fail in ways nobody can explain. What is sent comes first on the workers' path.
    """
    with tempfile.TemporaryDirectory(prefix="segengine-", ignore_cleanup_errors=True) as folder:
        package = pack_package(Path(folder))
        try:
            spark.addArtifacts(str(package), pyfile=True)
        except Exception as error:  # a server without artifacts raises what it likes
            raise EngineUnavailableError(
                f"The server at {place} did not take the package segengine: {describe_error(error)}",
                "It must be Spark 4.0 or newer and allow artifacts.",
            ) from error


def pack_package(folder: Path) -> Path:
    """Return a zip file of segengine in the folder; same content, same name and same bytes.

    A server keeps the files of all its sessions in one place and refuses a second one of the same name with other
    bytes, so the name has a hash of the content, and entries have no time of their own.
    """
    files = list(_list_files(resources.files("segengine"), "segengine"))
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{name} {len(content)} ".encode() + content)
    package = folder / f"segengine-{digest.hexdigest()[:16]}.zip"
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return package


def _list_files(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _list_files(entry, f"{name}/{entry.name}")
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            yield f"{name}/{entry.name}", entry.read_bytes()


def _describe_worker(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Return Python's minor version on the worker; being found at all shows that the package arrived."""
    import pyarrow as pa

    for _ in batches:
        yield pa.RecordBatch.from_pydict({"version": [f"{sys.version_info[0]}.{sys.version_info[1]}"]})


def check_workers(spark: SparkSession, place: str) -> None:
    """Raise EngineUnavailableError unless the workers run our Python version and find what was sent."""
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    mismatch = f"The workers of the server at {place} run another Python version than this one, {ours}"
    hint = "Both ends need the same minor version of Python."
    try:
        answers = spark.range(1).mapInArrow(_describe_worker, "version string").collect()
    except Exception as error:  # told apart by its text: the classes differ between servers
        if "PYTHON_VERSION_MISMATCH" in str(error):
            raise EngineUnavailableError(f"{mismatch}.", hint) from error
        raise EngineUnavailableError(
            f"The workers of the server at {place} cannot run segengine: {describe_error(error)}",
            "They need Python with numpy and pyarrow.",
        ) from error
    theirs = {str(row["version"]) for row in answers}
    if theirs != {ours}:
        raise EngineUnavailableError(f"{mismatch}: {', '.join(sorted(theirs))}.", hint)
