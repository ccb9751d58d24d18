"""What tells the state of a source from any other it had or will have: of a Delta table its commit, else its files.

A Delta version is not enough: a table made anew counts from 0 again. Files of this machine are told by name, size,
inode and times. The time of change is among them, which the system sets at every write: no program puts it back. It
counts in ticks of the clock, so a file written again right after it was looked at could seem the same; one that young
tells nothing yet, and is read once more (the "racy" entries of Git's index). A state is noted before it is read: what
changes meanwhile looks changed to the next run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segengine.engine.failures import engine_errors
from segengine.engine.session import EngineSession
from segengine.engine.source_files import is_here, list_files
from segengine.engine.sources import pin_versions, sql_name
from segengine.errors import DataContractError, RunError
from segengine.project.project_file import Settings, Table

_YOUNG_SECONDS = 2.0  # the coarsest clock of a file system


@dataclass(frozen=True)
class Pinned:
    """The version a source is read at (None: it has none), and a digest of its commit or files ('': not to be had)."""

    version: int | None
    commit: str


def pin_commits(session: EngineSession, settings: Settings, tables: Iterable[str]) -> dict[str, Pinned]:
    """Return the newest version of each table and what tells its state; without those that cannot be read."""
    pinned: dict[str, Pinned] = {}
    for name in sorted(tables):
        try:
            version = pin_versions(session, settings, {name})[name]
            commit = _read_commit(session, settings, settings.tables[name], version)
        except (DataContractError, RunError, OSError):
            continue  # who reads it is told when it is read
        pinned[name] = Pinned(version, commit)
    return pinned


def _read_commit(session: EngineSession, settings: Settings, table: Table, version: int | None) -> str:
    """Return a digest of what the table's log says of a version: when and how it was written, its files."""
    location = settings.table_location(table)
    if version is None:
        return _describe_files(table, location) if is_here(table, location) else ""
    if is_here(table, location):
        entry = Path(location) / "_delta_log" / f"{version:020}.json"
        return _digest(entry.read_bytes()) if entry.is_file() else ""
    with engine_errors(f'reading the history of table "{table.name}"'):
        rows = (
            session.spark.sql(f"describe history {sql_name(table, location)}").where(f"version = {version}").collect()
        )
    return _digest(json.dumps(rows[0].asDict(), sort_keys=True, default=str).encode()) if rows else ""


def _describe_files(table: Table, location: str) -> str:
    """Return a digest of what tells the files of a source from others; '' where one has only just been written."""
    files = [(file, Path(file).stat()) for file in list_files(table.name, location, f".{table.format}")]
    if max(each.st_ctime for _, each in files) > time.time() - _YOUNG_SECONDS:
        return ""
    states = [[file, each.st_size, each.st_ino, each.st_mtime_ns, each.st_ctime_ns] for file, each in files]
    return _digest(json.dumps(states).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
