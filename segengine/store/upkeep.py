"""The files of the project's own tables: small ones put together, those of old versions removed.

Tables in a folder, and all that the embedded engine works on, are kept up by deltalake, whichever engine wrote them;
others by the engine's own OPTIMIZE and VACUUM.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable, WriterProperties

from segengine.engine.failures import engine_errors
from segengine.store.sizes import read_size
from segengine.store.warehouse import SCHEMAS, Warehouse

_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
_CHECKED_RETENTION = timedelta(days=7)
_VERSION_DIGITS = 20


@dataclass(frozen=True)
class TableContent:
    """Rows of a table's newest version; files and bytes: of a folder all there are, elsewhere those of that version."""

    row_count: int
    file_count: int
    byte_count: int


def list_own_tables(warehouse: Warehouse) -> list[str]:
    """Return segengine's own tables that exist."""
    return [table for table in SCHEMAS if warehouse.exists(table)]


def list_output_tables(warehouse: Warehouse, known: list[str]) -> list[str]:
    """Return the tables written for other tools, as the warehouse names them.

    Of a folder all that are there, also of definitions that are gone; elsewhere those of the names given that exist.
    """
    if warehouse.is_folder:
        folder = Path(warehouse.path("output"))
        found = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    else:
        found = sorted(set(known))
    names = [warehouse.output_name(name) for name in found]
    return [name for name in names if warehouse.exists(name)]


def measure_table(warehouse: Warehouse, table: str) -> TableContent:
    """Return how large a table is."""
    with engine_errors(f"measuring table {table}"):
        row_count = warehouse.read(table).count()
        if not warehouse.is_folder:
            return TableContent(row_count, *_count_live(warehouse, table))
    files = [each.stat().st_size for each in Path(warehouse.path(table)).rglob("*") if each.is_file()]
    return TableContent(row_count, len(files), sum(files))


def tidy_table(warehouse: Warehouse, table: str, retention: timedelta) -> None:
    """Put small files together, and remove those that no version of the time of retention needs.

    Raises:
        RunError: The table cannot be read, or somebody else writes to it.
    """
    with engine_errors(f"tidying up table {table}"):
        if not _by_deltalake(warehouse):
            _tidy_by_engine(warehouse, table, retention)
            return
        DeltaTable(warehouse.path(table)).optimize.compact(writer_properties=WriterProperties(compression="ZSTD"))
        folder = Path(warehouse.path(table)) if warehouse.is_folder else None
        _vacuum(DeltaTable(warehouse.path(table)), folder, retention)
        if folder:
            _clean_log(folder, time.time() - retention.total_seconds())


def _by_deltalake(warehouse: Warehouse) -> bool:
    return warehouse.is_folder or warehouse.session.kind == "embedded"


def _count_live(warehouse: Warehouse, table: str) -> tuple[int, int]:
    """Return the files and bytes of a table's newest version."""
    if _by_deltalake(warehouse):
        sizes = DeltaTable(warehouse.path(table)).get_add_actions(flatten=True).column("size_bytes").to_pylist()
        return len(sizes), sum(sizes)
    size = read_size(warehouse, table)
    return (size.file_count, size.byte_count) if size else (0, 0)


def _vacuum(table: DeltaTable, folder: Path | None, retention: timedelta) -> None:
    hours = math.ceil(retention / timedelta(hours=1))

    def vacuum(dry_run: bool) -> list[str]:
        # `full`: also what a killed writer left, which no log names
        return list(table.vacuum(hours, dry_run=dry_run, enforce_retention_duration=False, full=True))

    # A vacuum of nothing would still write to the log, and what it lists may be gone already.
    if any(folder is None or (folder / each).exists() for each in vacuum(dry_run=True)):
        vacuum(dry_run=False)


def _clean_log(folder: Path, until: float) -> None:
    """Remove the part of a Delta log that only versions from before a time need.

    A version is read from the newest checkpoint at or before it. So all before the newest checkpoint whose version is
    older than that time may go. deltalake's own clean-up keeps 30 days whatever is asked, and all checksum files.
    """
    log = folder / "_delta_log"
    old = [int(each.stem) for each in log.glob("*.json") if _is_version(each) and each.stat().st_mtime <= until]
    if not old:
        return
    table = DeltaTable(str(folder))
    if max(old) == table.version() and not _checkpoint(log, max(old)).exists():
        table.create_checkpoint()
    first = max((version for version in old if _checkpoint(log, version).exists()), default=0)
    for each in sorted(log.iterdir()):
        if _is_version(each) and int(each.name[:_VERSION_DIGITS]) < first:
            each.unlink()


def _checkpoint(log: Path, version: int) -> Path:
    return log / f"{version:0{_VERSION_DIGITS}}.checkpoint.parquet"


def _is_version(file: Path) -> bool:
    return file.name[:_VERSION_DIGITS].isdigit() and file.name[_VERSION_DIGITS : _VERSION_DIGITS + 1] == "."


def _tidy_by_engine(warehouse: Warehouse, table: str, retention: timedelta) -> None:
    name, hours = warehouse.sql_name(table), math.ceil(retention / timedelta(hours=1))
    spark = warehouse.session.spark
    spark.sql(f"optimize {name}").collect()
    with _short_retention_allowed(warehouse, retention):
        spark.sql(f"vacuum {name} retain {hours} hours").collect()


@contextmanager
def _short_retention_allowed(warehouse: Warehouse, retention: timedelta) -> Iterator[None]:
    """Let the engine remove what is younger than it likes inside the block; the session is as before afterwards."""
    if retention >= _CHECKED_RETENTION:
        yield
        return
    settings = warehouse.session.spark.conf
    before = settings.get(_CHECK, None)
    settings.set(_CHECK, "false")
    try:
        yield
    finally:
        if before is None:
            settings.unset(_CHECK)
        else:
            settings.set(_CHECK, before)
