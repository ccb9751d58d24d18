"""`plan` and `apply`: compare definition files with the registry, and record them there.

Merging is three-way per top-level field, tags as sets: what the file changed since it was last applied wins, what only
a command changed stays, what both changed is a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from segengine.operations.context import OpenProject, find_author
from segengine.operations.definition_plan import (
    Action,
    DefinitionPlan,
    PlannedChange,
    check_plan,
    ids_by_name,
    record_plan,
)
from segengine.project.catalogue import check_definitions, raise_on_errors
from segengine.project.definitions import load_definitions, load_files
from segengine.project.model import Definition
from segengine.project.nodes import Plain, from_plain, to_plain
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.references import store_references
from segengine.project.schema_lock import load_schema
from segengine.store.registry import DefinitionRecord, PlainFields, Registry, read_registry

Side = Literal["file", "registry"]


def plan_definitions(
    project: OpenProject, files: Sequence[Path] = (), *, prune: bool = False, take: Side | None = None
) -> DefinitionPlan:
    """Return what `apply` would change.

    Args:
        project: The project.
        files: Definition files; none: all of the project's definitions folder.
        prune: Remove applied definitions that are gone from the files.
        take: Which side wins where file and registry changed the same field.

    Raises:
        DefinitionError: The files, or files and registry together, have errors.
    """
    return _plan(project.settings, read_registry(project.warehouse), files, prune=prune, take=take)


def apply_definitions(
    project: OpenProject, files: Sequence[Path] = (), *, prune: bool = False, take: Side | None = None
) -> DefinitionPlan:
    """Record the definitions of the files in the registry, and return what changed.

    Raises:
        DefinitionError: The files, or files and registry together, have errors.
        ConfigError: File and registry changed the same field and `take` does not say who wins.
        LeaseHeldError: Somebody else is applying definitions.
    """
    return record_plan(project, lambda registry: _plan(project.settings, registry, files, prune=prune, take=take))


def plan_new_definition(project: OpenProject, definition: Definition, *, in_file: bool = False) -> DefinitionPlan:
    """Return what a new definition made by a command would change: itself, created.

    Args:
        project: The project.
        definition: The definition; its origin says what made it.
        in_file: A file has the same fields, for `apply` to go on from.

    Raises:
        DefinitionError: It, or the registry together with it, has errors; a taken name or output table is one.
    """
    return _plan_new(project.settings, read_registry(project.warehouse), definition, in_file)


def record_new_definition(project: OpenProject, definition: Definition, *, in_file: bool = False) -> DefinitionPlan:
    """Record a new definition made by a command, checked against the registry as it is by now; else as planned.

    Raises:
        DefinitionError: It, or the registry together with it, has errors.
        LeaseHeldError: Somebody else is applying definitions.
    """
    return record_plan(project, lambda registry: _plan_new(project.settings, registry, definition, in_file))


def _plan(
    settings: Settings, registry: Registry, files: Sequence[Path], *, prune: bool, take: Side | None
) -> DefinitionPlan:
    problems = Problems()
    schema = load_schema(settings, problems)
    loaded = load_files(files, settings, problems) if files else load_definitions(settings, problems)
    raise_on_errors(problems)
    ids = ids_by_name(loaded, registry)
    author, now = find_author(), datetime.now(UTC)
    stored = [store_references(to_plain(d.fields), ids["segment"], ids["measure"], schema) for d in loaded]
    changes = [
        _compare(definition, fields, registry, take, author, now)
        for definition, fields in zip(loaded, stored, strict=True)
    ]
    if not files:
        changes += _gone(loaded, registry, prune, author, now)
    merged = _merged_definitions(loaded, changes, registry)
    return check_plan(changes, registry, check_definitions(merged, settings, schema, problems), problems)


def _plan_new(settings: Settings, registry: Registry, definition: Definition, in_file: bool) -> DefinitionPlan:
    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    others = [record.as_definition() for record in registry.live().values()]
    ids = ids_by_name([definition], registry)
    fields = store_references(to_plain(definition.fields), ids["segment"], ids["measure"], schema)
    record = _new_record(definition, fields, find_author(), datetime.now(UTC))
    change = _created(record if in_file else replace(record, file_fields=None), registry)
    catalogue = check_definitions([*others, definition], settings, schema, problems)
    return check_plan([change], registry, catalogue, problems)


def _compare(
    definition: Definition, fields: Plain, registry: Registry, take: Side | None, author: str, now: datetime
) -> PlannedChange:
    """Return what happens to one definition of a file, given its fields with references by id."""
    record = replace(_new_record(definition, fields, author, now), origin=f"file:{definition.origin}")
    ours = record.fields
    known = registry.newest.get(definition.id)
    if known is None or known.removed:
        return _created(record, registry)
    fields_after, conflicts = merge_fields(known.file_fields or {}, ours, known.fields, take)
    if conflicts:
        return PlannedChange(Action.CONFLICT, record.kind, record.id, record.name, conflicts, "", None)
    changed = tuple(sorted(n for n in {*fields_after, *known.fields} if fields_after.get(n) != known.fields.get(n)))
    if not changed and known.file_fields == ours:
        return PlannedChange(Action.KEEP, record.kind, record.id, known.name, (), "", None)
    name = str(fields_after.get("name") or definition.name)
    after = replace(record, version=known.version + 1, name=name, fields=fields_after)
    if not changed:
        return PlannedChange(Action.KEEP, record.kind, record.id, name, (), "", after)
    action = Action.RENAME if name != known.name else Action.CHANGE
    note = f'was "{known.name}"' if action is Action.RENAME else ""
    return PlannedChange(action, record.kind, record.id, name, changed, note, after)


def _new_record(definition: Definition, fields: Plain, author: str, now: datetime) -> DefinitionRecord:
    """Return a definition, given its fields with references by id, as the first version of a record."""
    # The id is who the definition is, not what it says: written out or left to the name, it is the same.
    ours = {name: value for name, value in fields.items() if name != "id"} if isinstance(fields, dict) else {}
    return DefinitionRecord(
        definition.kind, definition.id, 1, definition.name, ours, ours, definition.origin, author, now, "", ""
    )


def _created(record: DefinitionRecord, registry: Registry) -> PlannedChange:
    """Return the change that creates a definition, also one that was removed before."""
    known = registry.newest.get(record.id)
    version = known.version + 1 if known else 1
    names = tuple(record.fields)
    return PlannedChange(
        Action.CREATE, record.kind, record.id, record.name, names, "", replace(record, version=version)
    )


def merge_fields(
    base: PlainFields, ours: PlainFields, theirs: PlainFields, take: Side | None
) -> tuple[dict[str, Plain], tuple[str, ...]]:
    """Return the merged fields, and the names of fields that file and registry changed differently.

    Args:
        base: What the file last applied.
        ours: The file now.
        theirs: The registry now.
        take: Who wins a conflict; None: nobody.
    """
    merged: dict[str, Plain] = {}
    conflicts = []
    for name in dict.fromkeys((*ours, *theirs)):
        before, mine, other = base.get(name), ours.get(name), theirs.get(name)
        if mine == other or other == before:
            value = mine
        elif mine == before:
            value = other
        elif name == "tags":
            value = _merge_tags(before, mine, other)
        elif take is not None:
            value = mine if take == "file" else other
        else:
            conflicts.append(name)
            value = mine
        if value is not None:
            merged[name] = value
    return merged, tuple(conflicts)


def _merge_tags(before: Plain, mine: Plain, other: Plain) -> Plain:
    """Return the tags with what either side added, without what either side removed."""
    base, ours, theirs = _tags(before), _tags(mine), _tags(other)
    kept: list[Plain] = [
        tag for tag in dict.fromkeys((*ours, *theirs)) if tag not in base or (tag in ours and tag in theirs)
    ]
    return kept


def _tags(value: Plain) -> list[str]:
    return [str(tag) for tag in value] if isinstance(value, list) else [str(value)] if value else []


def _gone(
    loaded: Sequence[Definition], registry: Registry, prune: bool, author: str, now: datetime
) -> list[PlannedChange]:
    """Return the applied definitions of files that no file has any more."""
    there = {definition.id for definition in loaded}
    changes = []
    for record in registry.live().values():
        if record.id in there or record.file_fields is None:
            continue
        removal = replace(record, version=record.version + 1, removed=True, author=author, recorded_at=now)
        action = Action.REMOVE if prune else Action.GONE
        note = "" if prune else "kept; remove it with --prune"
        changes.append(PlannedChange(action, record.kind, record.id, record.name, (), note, removal if prune else None))
    return changes


def _merged_definitions(
    loaded: Sequence[Definition], changes: Sequence[PlannedChange], registry: Registry
) -> list[Definition]:
    """Return all definitions as they would be: files with their places, the rest from the registry.

    Files may go on calling a definition what they named it, though a command renamed it: then references are by id.
    """
    after = {change.id: change.record or registry.newest[change.id] for change in changes}
    renamed = any(after[definition.id].name != definition.name for definition in loaded)
    merged = []
    for definition in loaded:
        record = after[definition.id]
        if renamed or record.fields != record.file_fields:
            node = from_plain(dict(record.fields), definition.place)
            definition = replace(definition, name=record.name, fields=node)  # type: ignore[arg-type] # a dict gives Fields
        merged.append(definition)
    there = {definition.id for definition in loaded}
    removed = {change.id for change in changes if change.action is Action.REMOVE}
    others = (r for r in registry.live().values() if r.id not in there and r.id not in removed)
    return [*merged, *(record.as_definition() for record in others)]
