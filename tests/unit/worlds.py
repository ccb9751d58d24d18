"""A world: a project as written, its rows, and the one instant it is judged at. Free of segengine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
AS_OF = datetime(2024, 6, 15, 12, tzinfo=UTC)
_SHORT_LINK = re.compile(r"\s*([^.\s]+)\.(\S+)\s*->\s*(\S+)\s*")


@dataclass(frozen=True)
class Link:
    """From columns of a row to the one row of another table; `onward`: many-to-one, may be part of a path."""

    columns: tuple[str, ...]
    table: str
    key: tuple[str, ...]
    onward: bool = True


@dataclass(frozen=True)
class World:
    """Tables with rows, types (`text`, `decimal(12,2)`, `timestamp_ntz Zone`, ...), keys and links by name.

    `project` is the content of the project file, everything in it as text; `as_of` has microseconds.
    """

    project: Mapping[str, Any]
    as_of: datetime
    zone: str
    profile_table: str
    profile_key: str
    types: Mapping[str, Mapping[str, str]]
    keys: Mapping[str, tuple[str, ...]]
    links: Mapping[str, Mapping[str, Link]]
    rows: Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Case:
    """Definitions of a world as plain values, in order of dependency, and members of parents not among them."""

    world: World
    segments: Sequence[dict[str, Any]]
    stored: Mapping[str, set[str]]
    measures: Sequence[dict[str, Any]] = ()


def make_world(
    project: Mapping[str, Any],
    columns: Mapping[str, Mapping[str, str]],
    rows: Mapping[str, Sequence[Row]],
    as_of: datetime = AS_OF,
) -> World:
    """Return the world of a project file, the types of its tables' columns, and their rows."""
    zone = project.get("time_zone", "UTC")
    keys = {name: _names(table["key"]) for name, table in project["tables"].items()}
    types = {
        table: {name: _with_zone(type_, project["tables"][table], name) for name, type_ in own.items()}
        for table, own in columns.items()
    }
    ((_, audience),) = project["audiences"].items()
    profile_table = audience["table"]
    links = _links(project.get("relationships", []), keys)
    return World(project, as_of, zone, profile_table, keys[profile_table][0], types, keys, links, rows)


def _names(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _with_zone(type_: str, table: Mapping[str, Any], column: str) -> str:
    zone = table.get("columns", {}).get(column, {}).get("zone", "")
    return f"{type_} {zone}".strip()


def _links(relationships: Sequence[Any], keys: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Link]]:
    links: dict[str, dict[str, Link]] = {table: {} for table in keys}
    for written in relationships:
        if isinstance(written, str):
            table, column, target = _SHORT_LINK.fullmatch(written).groups()
            written = {"from": f"{table}.{column}", "to": target}
        table, _, source = written["from"].partition(".")
        target = written["to"]
        columns = tuple(part.strip() for part in source.strip("[]").split(","))
        name = written.get("name") or columns[0].removesuffix("_id")
        links[table][name] = Link(columns, target, keys[target])
        if written.get("one_to_one") == "true":
            links[target][table] = Link(keys[target], table, columns, onward=False)
    return links
