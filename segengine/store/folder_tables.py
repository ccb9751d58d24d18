"""Delta tables in a folder of this machine by deltalake: for a few rows an engine would start several jobs.

An engine can read and write the same tables meanwhile; whoever commits second finds the version taken.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

_ARROW_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def make_table(columns: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows given as dicts as a table of the schema `name type, ...`; what a dict leaves out is NULL."""
    pairs = [column.split() for column in columns.split(",")]
    return pa.Table.from_pylist(list(rows), pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in pairs]))


def can_commit(folder: Path) -> bool:
    """Return whether deltalake can commit in a folder.

    It makes a version by a hard link, which cannot replace another's; mounts of object stores have none.
    """
    probe = folder / f".segengine-{uuid.uuid4().hex}"
    link = probe.with_suffix(".link")
    try:
        probe.touch()
        os.link(probe, link)
    except OSError:
        return False
    finally:
        for each in (probe, link):
            with suppress(OSError):
                each.unlink(missing_ok=True)
    return True


def open_table(folder: Path) -> DeltaTable | None:
    """Return a table; None where whoever set it up asked for a feature of Delta that only an engine knows."""
    with _told():
        table = DeltaTable(folder)
        protocol = table.protocol()
    return table if protocol.min_reader_version == 1 and protocol.min_writer_version <= 2 else None


def read_rows(table: DeltaTable, columns: Sequence[str], equal: Mapping[str, str]) -> pa.Table:
    """Return the rows that have the values given, with some columns or all."""
    filters = [(name, "=", value) for name, value in equal.items()]
    with _told():
        return table.to_pyarrow_table(columns=list(columns) or None, filters=filters or None)


def write_rows(folder: Path, rows: pa.Table, properties: Mapping[str, str] | None = None) -> None:
    """Append rows in one commit, which also creates the table where it is missing, with Delta's table properties."""
    with _told():
        write_deltalake(folder, rows, mode="append", configuration=properties)


def merge_rows(table: DeltaTable, rows: pa.Table, same: str, condition: str, changes: Mapping[str, str]) -> None:
    """Change the rows of a table that have a row in `rows`, by one MERGE without any insert.

    Args:
        table: The table.
        rows: The source; at most one row for each of the table.
        same: SQL over `t` (the table) and `s` (the source): which row belongs to which.
        condition: SQL over both: what else must hold.
        changes: Column -> SQL over both.
    """
    with _told():
        merge = table.merge(rows, same, source_alias="s", target_alias="t")
        merge.when_matched_update(dict(changes), condition).execute()


@contextmanager
def _told() -> Iterator[None]:
    """Raise what is wrong with a file as an error of deltalake, like all else that goes wrong with a table.

    The file's name is in single quotes, which messages leave out: they take it for the value of a row.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DeltaError(str(error).replace("'", '"')) from error
