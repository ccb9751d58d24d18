"""`schema pull`: write down what the sources store."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.engine.session import EngineSession
from segengine.engine.sources import stored_columns
from segengine.project.project_file import Settings
from segengine.project.schema_lock import LOCK_FILE, dump_lock, load_lock


@dataclass(frozen=True)
class SchemaPull:
    """What a pull found: tables with their columns, and the differences from the lock before."""

    tables: dict[str, dict[str, str]]
    differences: tuple[str, ...]


def pull_schema(session: EngineSession, settings: Settings) -> SchemaPull:
    """Read the columns and types of all sources and write `schema.lock.yml`.

    Raises:
        DataContractError: A source does not exist or cannot be read; the lock stays as it was.
    """
    found = {name: stored_columns(session, settings, table) for name, table in settings.tables.items()}
    before = load_lock(settings) or {}
    (settings.root / LOCK_FILE).write_text(dump_lock(found), encoding="utf-8")
    return SchemaPull(found, tuple(_differences(before, found)))


def _differences(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    lines = []
    for table in sorted({*before, *after}):
        old, new = before.get(table), after.get(table)
        if old is None or new is None:
            lines.append(f"{'+' if old is None else '-'} table {table}")
            continue
        for name in sorted({*old, *new}):
            if name not in old:
                lines.append(f"+ {table}.{name}: {new[name]}")
            elif name not in new:
                lines.append(f"- {table}.{name}: {old[name]}")
            elif old[name] != new[name]:
                lines.append(f"~ {table}.{name}: {old[name]} -> {new[name]}")
    return lines
