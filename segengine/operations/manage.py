"""Managing applied definitions by commands: each change is a new version, checked as `apply` checks files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from segengine.errors import ConfigError
from segengine.operations.apply import plan_new_definition, record_new_definition
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
from segengine.project.changes import Change, copy_as
from segengine.project.definitions import is_of, load_files
from segengine.project.find import Filter, suggest_name
from segengine.project.model import Definition
from segengine.project.names import make_slug
from segengine.project.nodes import Plain, to_plain
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.quick import ORIGIN
from segengine.project.references import store_references
from segengine.project.schema_lock import load_schema
from segengine.project.usage import make_usage_graph
from segengine.store.registry import DefinitionRecord, PlainFields, Registry, read_registry

Revised = Mapping[str, Definition | None]
"""Definitions as they are to be, by id; None: removed."""


@dataclass(frozen=True)
class Selection:
    """Which applied definitions of one kind: those named, of these (or of all) those the filter lets through."""

    kind: str
    names: tuple[str, ...] = ()
    filter: Filter = Filter()

    def choose(self, registry: Registry) -> list[DefinitionRecord]:
        """Return the newest versions of what is meant, each once.

        Raises:
            ConfigError: A name is unknown, or nothing is said at all.
        """
        if not self.names and not self.filter:
            raise ConfigError(f"Which {self.kind}s?", "Name some, or use --tag or --search.")
        named = [find_record(registry, self.kind, name) for name in self.names]
        of_kind = [record for record in registry.live().values() if is_of(self.kind, record.kind)]
        found = {record.id: record for record in named or of_kind if self.filter.accepts(record.id, record.fields)}
        return list(found.values())


def find_record(registry: Registry, kind: str, name: str) -> DefinitionRecord:
    """Return the newest version of what a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    known = [record for record in registry.live().values() if is_of(kind, record.kind)]
    for record in known:
        if name in (record.id, record.name):
            return record
    names = [text for record in known for text in (record.id, record.name)]
    raise ConfigError(f'There is no {kind} "{name}".', suggest_name(kind, name, names))


def plan_change(project: OpenProject, selection: Selection, change: Change) -> DefinitionPlan:
    """Return what a change of definitions would write.

    Raises:
        ConfigError: A name is unknown.
        DefinitionError: The definitions after it have errors.
    """
    return plan_revision(project.settings, read_registry(project.warehouse), _changing(selection, change))


def record_change(project: OpenProject, selection: Selection, change: Change) -> DefinitionPlan:
    """Change definitions, as they are by now, and return what was written.

    Raises:
        ConfigError: A name is unknown.
        DefinitionError: The definitions after it have errors.
        LeaseHeldError: Somebody else is changing definitions.
    """
    revise = _changing(selection, change)
    return record_plan(project, lambda registry: plan_revision(project.settings, registry, revise))


def plan_removal(project: OpenProject, selection: Selection) -> DefinitionPlan:
    """Return what a deletion would write, and in the notes who uses what would be gone.

    Raises:
        ConfigError: A name is unknown.
    """
    return plan_revision(project.settings, read_registry(project.warehouse), _removing(selection))


def record_removal(project: OpenProject, selection: Selection, *, force: bool = False) -> DefinitionPlan:
    """Delete definitions; their snapshots and their history stay.

    Args:
        project: The project.
        selection: What to delete.
        force: Also what others use: those are broken then, and fail until they are changed.

    Raises:
        ConfigError: A name is unknown, or others use one of them.
        LeaseHeldError: Somebody else is changing definitions.
    """

    def plan(registry: Registry) -> DefinitionPlan:
        planned = plan_revision(project.settings, registry, _removing(selection))
        if not force:
            refuse_used(planned)
        return planned

    return record_plan(project, plan)


def refuse_used(plan: DefinitionPlan) -> None:
    """Raise where a plan removes what others use.

    Raises:
        ConfigError: With the names of those who do.
    """
    used = [f'"{change.name}" is {change.note}' for change in plan.of(Action.REMOVE) if change.users]
    if used:
        hint = "Change or delete those first, or use --force: what is refreshed among them then fails."
        raise ConfigError(f"{'; '.join(used)}.", hint)


def read_edited(path: Path, settings: Settings) -> Definition:
    """Return the one definition of a file.

    Raises:
        ConfigError: It has none, or several.
        DefinitionError: It cannot be read.
    """
    problems = Problems()
    found = load_files([path], settings, problems)
    raise_on_errors(problems)
    if len(found) != 1:
        raise ConfigError(f"{path} has {len(found)} definitions.", "Leave the one that is edited.")
    return found[0]


def plan_edit(project: OpenProject, version: DefinitionRecord, edited: Definition) -> DefinitionPlan:
    """Return what a definition edited from one of its versions would write.

    Raises:
        ConfigError: It has been changed meanwhile, or was given another kind or id.
        DefinitionError: It has errors.
    """
    return plan_revision(project.settings, read_registry(project.warehouse), _editing(version, edited))


def record_edit(project: OpenProject, version: DefinitionRecord, edited: Definition) -> DefinitionPlan:
    """Record a definition edited from one of its versions.

    Raises:
        ConfigError: It has been changed meanwhile, or was given another kind or id.
        DefinitionError: It has errors.
        LeaseHeldError: Somebody else is changing definitions.
    """
    revise = _editing(version, edited)
    return record_plan(project, lambda registry: plan_revision(project.settings, registry, revise))


def plan_copy(project: OpenProject, kind: str, name: str, new_name: str) -> DefinitionPlan:
    """Return what a copy under another name would write.

    Raises:
        ConfigError: There is nothing of that name, or no id can be made from the new one.
        DefinitionError: The new name or its output table is taken.
    """
    return plan_new_definition(project, _copy(project, kind, name, new_name))


def record_copy(project: OpenProject, kind: str, name: str, new_name: str) -> DefinitionPlan:
    """Record a copy of a definition under another name, with an id and an output table of its own.

    Raises:
        ConfigError: There is nothing of that name, or no id can be made from the new one.
        DefinitionError: The new name or its output table is taken.
        LeaseHeldError: Somebody else is changing definitions.
    """
    return record_new_definition(project, _copy(project, kind, name, new_name))


def _copy(project: OpenProject, kind: str, name: str, new_name: str) -> Definition:
    known = find_record(read_registry(project.warehouse), kind, name)
    identity = make_slug(new_name)
    if not identity:
        raise ConfigError(f'No id can be made from the name "{new_name}".', "Use letters or digits in it.")
    return _definition(replace(known, id=identity, name=new_name), copy_as(new_name)(known.fields))


def _changing(selection: Selection, change: Change) -> Callable[[Registry], Revised]:
    def revise(registry: Registry) -> Revised:
        return revise_fields(selection.choose(registry), change)

    return revise


def revise_fields(records: Sequence[DefinitionRecord], change: Change) -> Revised:
    """Return definitions as a change of their fields makes them."""
    return {record.id: _definition(record, change(record.fields)) for record in records}


def _removing(selection: Selection) -> Callable[[Registry], Revised]:
    return lambda registry: dict.fromkeys(record.id for record in selection.choose(registry))


def _editing(version: DefinitionRecord, edited: Definition) -> Callable[[Registry], Revised]:
    def revise(registry: Registry) -> Revised:
        newest = registry.newest[version.id]
        if (edited.kind, edited.id) != (version.kind, version.id):
            message = f'The {version.kind} "{version.id}" was made {edited.kind} "{edited.id}".'
            raise ConfigError(message, "Kind and id stay; `duplicate` makes another one.")
        if newest.version != version.version:
            message = f'"{version.name}" has been changed by {newest.author} meanwhile (version {newest.version}).'
            raise ConfigError(message, "Edit that version.")
        return {version.id: replace(edited, origin=ORIGIN)}

    return revise


def _definition(record: DefinitionRecord, fields: PlainFields) -> Definition:
    return replace(record, name=str(fields["name"]), fields=fields, origin=ORIGIN).as_definition()


def plan_revision(settings: Settings, registry: Registry, revise: Callable[[Registry], Revised]) -> DefinitionPlan:
    """Return what other versions of definitions would write, checked with everything that is applied.

    Raises:
        DefinitionError: The definitions after it have errors.
    """
    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    revised = revise(registry)
    ids = ids_by_name([definition for definition in revised.values() if definition], registry)
    now, author = datetime.now(UTC), find_author()
    changes = []
    for identity, definition in revised.items():
        fields = (
            store_references(to_plain(definition.fields), ids["segment"], ids["measure"], schema)
            if definition
            else None
        )
        changes.append(_revision(registry.newest[identity], definition, fields, author, now))
    after = [revised.get(record.id, record.as_definition()) for record in registry.live().values()]
    catalogue = check_definitions([each for each in after if each], settings, schema, problems)
    plan = check_plan(changes, registry, catalogue, problems, may_break=None in revised.values())
    return _with_users(plan, settings, registry)


def _with_users(plan: DefinitionPlan, settings: Settings, registry: Registry) -> DefinitionPlan:
    """Return a plan that says who uses what is changed in more than its tags, of those that stay."""
    applied = [record.as_definition() for record in registry.live().values()]
    before = check_definitions(applied, settings, plan.catalogue.schema, Problems())
    graph = make_usage_graph(before).without([change.id for change in plan.of(Action.REMOVE)])
    changes = []
    for change in plan.changes:
        users = graph.direct(change.id) if change.action is Action.REMOVE or {*change.fields} - {"tags"} else ()
        notes = [change.note, f"used by {', '.join(map(str, users))}" if users else ""]
        changes.append(replace(change, users=users, note="; ".join(filter(None, notes))))
    return replace(plan, changes=tuple(changes))


def _revision(
    known: DefinitionRecord, definition: Definition | None, fields: Plain, author: str, now: datetime
) -> PlannedChange:
    """Return the change from a version to the fields that follow it; None: it is removed."""
    after = replace(known, version=known.version + 1, origin=ORIGIN, author=author, recorded_at=now)
    if definition is None or not isinstance(fields, dict):
        return PlannedChange(Action.REMOVE, known.kind, known.id, known.name, (), "", replace(after, removed=True))
    fields = {name: value for name, value in fields.items() if name != "id"}
    changed = tuple(sorted(n for n in {*fields, *known.fields} if fields.get(n) != known.fields.get(n)))
    if not changed:
        return PlannedChange(Action.KEEP, known.kind, known.id, known.name, (), "", None)
    after = replace(after, name=definition.name, fields=fields)
    action, note = (Action.RENAME, f'was "{known.name}"') if after.name != known.name else (Action.CHANGE, "")
    return PlannedChange(action, known.kind, known.id, after.name, changed, note, after)
