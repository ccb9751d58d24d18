"""The registry of definitions: what runs. Append-only; the newest published version of each counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from segengine.errors import Place
from segengine.project.model import Definition
from segengine.project.nodes import Fields, Plain, from_plain
from segengine.store.control import Control, Lease, walk_chain
from segengine.store.warehouse import Row, Warehouse

PlainFields = Mapping[str, Plain]


@dataclass(frozen=True)
class DefinitionRecord:
    """One version of a definition.

    `fields` are its fields as text; references to segments are ids. `file_fields` are those its file last applied:
    the common ground when file and registry were both changed. None: made by a command.
    """

    kind: str
    id: str
    version: int
    name: str
    fields: PlainFields
    file_fields: PlainFields | None
    origin: str
    author: str
    recorded_at: datetime
    data_hash: str
    metadata_hash: str
    removed: bool = False

    @property
    def place(self) -> Place:
        """Where problems of the record are found, for people."""
        return Place(f"registry:{self.id}@{self.version}")

    def as_definition(self) -> Definition:
        """Return the record as a definition for checking; its places name the registry."""
        node = from_plain(dict(self.fields), self.place)
        if not isinstance(node, Fields):
            raise TypeError("fields are a mapping")
        return Definition(self.kind, self.id, self.name, node, self.origin)


@dataclass(frozen=True)
class Registry:
    """The definitions of a project as published: newest version by id, and all versions oldest first."""

    newest: Mapping[str, DefinitionRecord]
    versions: tuple[DefinitionRecord, ...]

    @property
    def names(self) -> dict[str, str]:
        """The newest name of every definition by id, those removed included."""
        return {identity: record.name for identity, record in self.newest.items()}

    def versions_of(self, identity: str) -> list[DefinitionRecord]:
        """Return the versions of one definition, oldest first, those that removed it included."""
        return [record for record in self.versions if record.id == identity]

    def live(self) -> dict[str, DefinitionRecord]:
        """Return the newest versions that are not removed."""
        return {identity: record for identity, record in self.newest.items() if not record.removed}


def registry_control(warehouse: Warehouse) -> Control:
    """Return the control table of the registry."""
    return Control(warehouse, "registry_control")


def create_registry(warehouse: Warehouse) -> None:
    """Create the registry's tables where they are missing."""
    warehouse.create("definitions")
    registry_control(warehouse).create()


def read_registry(warehouse: Warehouse, published_id: str | None = None) -> Registry:
    """Return what is published; empty where the registry has not been created.

    Args:
        warehouse: The project's warehouse.
        published_id: The newest change that counts; None: the one published now.
    """
    if published_id is None:
        control = registry_control(warehouse)
        published_id = control.read().published_id if warehouse.exists(control.table) else ""
    if not published_id:
        return Registry({}, ())
    rows: list[Row] = warehouse.fetch("definitions").to_pylist()
    chain = walk_chain("definitions", published_id, {row["change_id"]: row["previous_change_id"] for row in rows})
    order = {change: place for place, change in enumerate(chain)}
    published = sorted((row for row in rows if row["change_id"] in order), key=lambda row: order[row["change_id"]])
    records = tuple(_record(row) for row in published)
    return Registry({record.id: record for record in records}, records)


def _record(row: Row) -> DefinitionRecord:
    return DefinitionRecord(
        kind=row["kind"],
        id=row["id"],
        version=row["version"],
        name=row["name"],
        fields=json.loads(row["fields"]),
        file_fields=json.loads(row["file_fields"]) if row["file_fields"] else None,
        origin=row["origin"],
        author=row["author"],
        recorded_at=row["recorded_at"],
        data_hash=row["data_hash"],
        metadata_hash=row["metadata_hash"],
        removed=row["removed"],
    )


def append_definitions(warehouse: Warehouse, lease: Lease, records: Sequence[DefinitionRecord]) -> None:
    """Write new versions under a lease's change id; they count once that is published."""
    warehouse.append_rows(
        "definitions",
        [
            {
                "change_id": lease.work_id,
                "previous_change_id": lease.before.published_id,
                "kind": record.kind,
                "id": record.id,
                "version": record.version,
                "name": record.name,
                "fields": json.dumps(record.fields, ensure_ascii=False),
                "file_fields": None
                if record.file_fields is None
                else json.dumps(record.file_fields, ensure_ascii=False),
                "origin": record.origin,
                "author": record.author,
                "recorded_at": record.recorded_at,
                "data_hash": record.data_hash,
                "metadata_hash": record.metadata_hash,
                "removed": record.removed,
            }
            for record in records
        ],
    )


def make_change_id(now: datetime) -> str:
    """Return the id of a change to the registry."""
    return f"change_{now.astimezone(UTC):%Y%m%dt%H%M%S}_{uuid4().hex[:8]}"
