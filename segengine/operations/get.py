"""`get`: applied definitions as the YAML that `apply` takes."""

from __future__ import annotations

from collections.abc import Sequence

from segengine.errors import ConfigError
from segengine.operations.context import OpenProject
from segengine.project.find import suggest_name
from segengine.project.nodes import Plain
from segengine.project.references import show_references
from segengine.store.registry import read_registry


def get_definitions(project: OpenProject, names: Sequence[str] = ()) -> list[Plain]:
    """Return applied definitions as plain fields, all or the named ones; references by their present names.

    Raises:
        ConfigError: A name is unknown.
    """
    live = read_registry(project.warehouse).live()
    ids = {record.name: identity for identity, record in live.items()} | {identity: identity for identity in live}
    for name in names:
        if name not in ids:
            raise ConfigError(f'There is no definition "{name}".', suggest_name("definition", name, ids))
    chosen = [ids[name] for name in names] or sorted(live)
    shown = {identity: record.name for identity, record in live.items()}
    return [_with_id(show_references(dict(live[identity].fields), shown), identity) for identity in chosen]


def _with_id(fields: Plain, identity: str) -> Plain:
    """Return fields with the id said, so that a rename in the file keeps the history."""
    if not isinstance(fields, dict):
        return fields
    with_id: dict[str, Plain] = {"kind": fields.get("kind"), "name": fields.get("name"), "id": identity}
    return {**with_id, **fields}
