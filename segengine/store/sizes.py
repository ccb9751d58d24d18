"""How large the project's own tables are, as their Delta logs say."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segengine.engine.failures import engine_errors
from segengine.store.warehouse import SCHEMAS, Warehouse

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableSize:
    """The files of a table's newest version: how many, and their bytes."""

    file_count: int
    byte_count: int


@dataclass(frozen=True)
class WarehouseSize:
    """The size of each table, output tables (`output/...`, of a warehouse at a path) among them.

    `disk_bytes`: all that a folder on this machine holds, with files that are in no newest version any more; None
    where the warehouse is elsewhere.
    """

    tables: Mapping[str, TableSize]
    disk_bytes: int | None

    @property
    def byte_count(self) -> int:
        """The bytes of the newest versions of all tables."""
        return sum(size.byte_count for size in self.tables.values())


def read_size(warehouse: Warehouse, table: str) -> TableSize | None:
    """Return the size of a table; None where there is none, or nobody here can tell.

    A local log is read by deltalake, which every engine's tables are open to; the embedded engine has no statement
    for it, Spark asks its own.
    """
    if warehouse.is_folder:
        return _read_local_size(Path(warehouse.path(table)))
    if warehouse.session.kind == "embedded" or not warehouse.exists(table):
        return None
    with engine_errors(f"asking for the size of table {table}"):
        detail = warehouse.session.spark.sql(f"describe detail {warehouse.sql_name(table)}")
        row = detail.select("numFiles", "sizeInBytes").first()
    return TableSize(int(row[0]), int(row[1])) if row else None


def _read_local_size(folder: Path) -> TableSize | None:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if not (folder / "_delta_log").is_dir():
        return None
    try:
        sizes = pa.table(DeltaTable(str(folder)).get_add_actions(flatten=True))["size_bytes"].to_pylist()
    except (DeltaError, OSError) as error:
        logger.info("the size of %s is not known: %s", folder, error)
        return None
    return TableSize(len(sizes), sum(sizes))


def read_sizes(warehouse: Warehouse) -> WarehouseSize:
    """Return the sizes of all tables that are there."""
    names = _list_folder(Path(warehouse.location)) if warehouse.is_folder else sorted(SCHEMAS)
    found = {name: read_size(warehouse, name) for name in names}
    tables = {name: size for name, size in found.items() if size is not None}
    return WarehouseSize(tables, _measure_folder(Path(warehouse.location)) if warehouse.is_folder else None)


def _list_folder(location: Path) -> list[str]:
    logs = [*location.glob("*/_delta_log"), *location.glob("output/*/_delta_log")]
    return sorted(str(log.parent.relative_to(location)) for log in logs)


def _measure_folder(location: Path) -> int:
    return sum(_file_sizes(location))


def _file_sizes(location: Path) -> Iterator[int]:
    for file in location.rglob("*"):
        try:
            if file.is_file():
                yield file.stat().st_size
        except FileNotFoundError:  # a run under way, or clean-up, took it away meanwhile
            continue
