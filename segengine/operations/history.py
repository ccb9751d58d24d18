"""The versions of a definition, and what each changed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from segengine.errors import ConfigError
from segengine.operations.context import OpenProject
from segengine.project.find import suggest_name
from segengine.project.nodes import Plain, dump_documents
from segengine.project.references import show_references
from segengine.store.registry import DefinitionRecord, Registry, read_registry


@dataclass(frozen=True)
class FieldChange:
    """One field before and after; None: not there."""

    field: str
    before: Plain
    after: Plain


@dataclass(frozen=True)
class DefinitionVersion:
    """One version of a definition: what was recorded, the fields it changed, and the same as lines of a difference."""

    record: DefinitionRecord
    changes: tuple[FieldChange, ...]
    difference: tuple[str, ...]


def read_versions(project: OpenProject, name: str) -> list[DefinitionVersion]:
    """Return the versions of a definition, oldest first, those that removed it included.

    Fields are shown with the present names of what they refer to.

    Raises:
        ConfigError: There never was a definition of that name or id.
    """
    registry = read_registry(project.warehouse)
    found: list[DefinitionVersion] = []
    before: dict[str, Plain] = {}
    for record in registry.versions_of(_find(registry, name)):
        shown = show_references(dict(record.fields), registry.names)
        after = shown if isinstance(shown, dict) and not record.removed else {}
        found.append(DefinitionVersion(record, _changes(before, after), _difference(before, after)))
        before = after
    return found


def _find(registry: Registry, name: str) -> str:
    """Return the id of what is, or before it was deleted was, called by a name."""
    by_name = {record.name: record.id for record in registry.newest.values()}
    by_name |= {record.name: record.id for record in registry.live().values()}
    if name in registry.newest:
        return name
    if name not in by_name:
        raise ConfigError(
            f'There is no definition "{name}".', suggest_name("definition", name, [*by_name, *registry.newest])
        )
    return by_name[name]


def _changes(before: Mapping[str, Plain], after: Mapping[str, Plain]) -> tuple[FieldChange, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        FieldChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _difference(before: dict[str, Plain], after: dict[str, Plain]) -> tuple[str, ...]:
    """Return the lines of YAML that went (-) and came (+), with one line around them."""
    old, new = ([] if not each else dump_documents([each]).splitlines() for each in (before, after))
    lines = difflib.unified_diff(old, new, lineterm="", n=1)
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))
