"""What tells one version of a source from the version of the same number of a table made anew: its commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segengine.engine.failures import engine_errors
from segengine.engine.session import EngineSession
from segengine.engine.source_files import is_here
from segengine.engine.sources import pin_versions, sql_name
from segengine.errors import DataContractError, RunError
from segengine.project.model import Settings, Table


@dataclass(frozen=True)
class Pinned:
    """The version a source is read at (None: it has none), and a digest of its commit ('': none, or not to be had)."""

    version: int | None
    commit: str


def pin_commits(session: EngineSession, settings: Settings, tables: Iterable[str]) -> dict[str, Pinned]:
    """Return the newest version of each table and its commit; without those that cannot be read."""
    pinned: dict[str, Pinned] = {}
    for name in sorted(tables):
        try:
            version = pin_versions(session, settings, {name})[name]
            commit = "" if version is None else _read_commit(session, settings, settings.tables[name], version)
        except (DataContractError, RunError):
            continue  # who reads it is told when it is read
        pinned[name] = Pinned(version, commit)
    return pinned


def _read_commit(session: EngineSession, settings: Settings, table: Table, version: int) -> str:
    """Return a digest of what the table's log says of a version: when and how it was written, its files."""
    location = settings.table_location(table)
    if is_here(table, location):
        entry = Path(location) / "_delta_log" / f"{version:020}.json"
        return _digest(entry.read_bytes()) if entry.is_file() else ""
    with engine_errors(f'reading the history of table "{table.name}"'):
        rows = (
            session.spark.sql(f"describe history {sql_name(table, location)}").where(f"version = {version}").collect()
        )
    return _digest(json.dumps(rows[0].asDict(), sort_keys=True, default=str).encode()) if rows else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
