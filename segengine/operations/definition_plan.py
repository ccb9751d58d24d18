"""What a change of the registry would write, checked against everything else, and its recording under the lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from segengine.errors import ConfigError, Issue
from segengine.operations.context import OpenProject
from segengine.operations.patterns import find_pattern_issues
from segengine.project.broken import keep_broken
from segengine.project.catalogue import Catalogue, check_definitions, raise_on_errors
from segengine.project.definitions import KINDS
from segengine.project.limits import find_limit_issues
from segengine.project.model import Definition
from segengine.project.nodes import to_plain
from segengine.project.problems import Problems
from segengine.project.references import group_names
from segengine.project.usage import User
from segengine.store.registry import (
    DefinitionRecord,
    Registry,
    append_definitions,
    create_registry,
    make_change_id,
    read_registry,
    registry_control,
)


class Action(StrEnum):
    """What `apply` would do with a definition."""

    CREATE = "created"
    CHANGE = "changed"
    RENAME = "renamed"
    KEEP = "unchanged"
    REMOVE = "removed"
    GONE = "gone from the files"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class PlannedChange:
    """One definition, what happens to it, the fields concerned, the record to write; who uses it, where looked up."""

    action: Action
    kind: str
    id: str
    name: str
    fields: tuple[str, ...]
    note: str
    record: DefinitionRecord | None
    users: tuple[User, ...] = ()


@dataclass(frozen=True)
class DefinitionPlan:
    """What `apply` would change, the issues that are no errors, and all definitions as they would be.

    `changes_of_members`: ids of the definitions whose members may become others.
    """

    changes: tuple[PlannedChange, ...]
    issues: tuple[Issue, ...]
    catalogue: Catalogue
    changes_of_members: tuple[str, ...]
    applied: bool = False

    def of(self, action: Action) -> list[PlannedChange]:
        """Return the changes of one action."""
        return [change for change in self.changes if change.action is action]

    @property
    def has_changes(self) -> bool:
        """Whether `apply` would write anything."""
        return any(change.record is not None for change in self.changes)


def record_plan(project: OpenProject, make_plan: Callable[[Registry], DefinitionPlan]) -> DefinitionPlan:
    """Write what a plan on the registry as it is now changes, under the registry's lease."""
    create_registry(project.warehouse)
    control = registry_control(project.warehouse)
    with control.lease(make_change_id(datetime.now(UTC)), []) as lease:
        registry = read_registry(project.warehouse, lease.before.published_id)
        plan = make_plan(registry)
        if conflicts := plan.of(Action.CONFLICT):
            listed = "; ".join(f"{change.id} ({', '.join(change.fields)})" for change in conflicts)
            raise ConfigError(
                f"File and registry both changed: {listed}.", "Say who wins with --take file or --take registry."
            )
        records = [change.record for change in plan.changes if change.record is not None]
        if records:
            append_definitions(project.warehouse, lease, records)
            control.publish(lease)
    return replace(plan, applied=True)


def check_plan(
    changes: Sequence[PlannedChange],
    registry: Registry,
    catalogue: Catalogue,
    problems: Problems,
    *,
    may_break: bool = False,
) -> DefinitionPlan:
    """Return the plan of changes whose definitions have been checked.

    What is applied and was broken before stays so, and is nobody's error; what may be said of an applied definition
    that does not change was said when it was applied.

    Args:
        changes: The changes.
        registry: The registry they change.
        catalogue: All definitions as they would be.
        problems: What was found wrong with them.
        may_break: Applied definitions that do not change may break.

    Raises:
        DefinitionError: Something else found is an error.
    """
    found = [catalogue.find(identity) for identity in catalogue.order]
    problems.issues += [issue for definition in found for issue in find_pattern_issues(definition)]
    if problems.error_count:
        known = set(_applied_issues(registry, catalogue))
        tolerated = [i for i in problems.issues if i in known or (may_break and i.place.file.startswith("registry:"))]
        problems.issues = [issue for issue in problems.issues if issue not in tolerated]
        raise_on_errors(problems)
        catalogue = keep_broken(catalogue, tolerated)
    changed = {change.id for change in changes if change.record is not None}
    settled = {record.place.file for identity, record in registry.live().items() if identity not in changed}
    problems.issues = [issue for issue in problems.issues if issue.place.file not in settled]
    problems.issues += find_limit_issues(catalogue)
    hashed = _with_hashes(changes, catalogue)
    before = {identity: record.data_hash for identity, record in registry.live().items()}
    other_members = tuple(c.id for c in hashed if c.record and c.record.data_hash not in ("", before.get(c.id)))
    return DefinitionPlan(_note_renames(hashed, registry), tuple(problems.issues), catalogue, other_members)


def ids_by_name(loaded: Sequence[Definition], registry: Registry) -> dict[str, dict[str, str]]:
    """Return, by kind (expansions among the segments), the ids of all definitions by their names, the files' last.

    A measure called like a column of some measure's groups is left out: a reference to it is kept as its name.
    """
    ids: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    taken: set[str] = set()
    for record in registry.live().values():
        ids[record.kind][record.name] = record.id
        taken |= group_names(dict(record.fields))
    for definition in loaded:
        ids[definition.kind][definition.name] = definition.id
        taken |= group_names(to_plain(definition.fields))
    ids["segment"] |= ids["expansion"]
    ids["measure"] = {name: identity for name, identity in ids["measure"].items() if name not in taken}
    return ids


def _applied_issues(registry: Registry, catalogue: Catalogue) -> list[Issue]:
    """Return what is wrong with the definitions as they are applied."""
    problems = Problems()
    applied = [record.as_definition() for record in registry.live().values()]
    check_definitions(applied, catalogue.settings, catalogue.schema, problems)
    return problems.issues


def _with_hashes(changes: Sequence[PlannedChange], catalogue: Catalogue) -> list[PlannedChange]:
    hashed = []
    for change in changes:
        if change.record is not None and change.id in catalogue.hashes:
            own = catalogue.hashes[change.id]
            record = replace(change.record, data_hash=own.data, metadata_hash=own.metadata)
            change = replace(change, record=record)
        hashed.append(change)
    return hashed


def _note_renames(changes: Sequence[PlannedChange], registry: Registry) -> tuple[PlannedChange, ...]:
    """Return the changes with a note where one gone and one created definition mean the same."""
    gone = {registry.newest[c.id].data_hash: c for c in changes if c.action in (Action.GONE, Action.REMOVE)}
    noted = []
    for change in changes:
        same = gone.get(change.record.data_hash) if change.action is Action.CREATE and change.record else None
        if same:
            note = f'looks like "{same.name}" renamed; write `id: {same.id}` to keep its history'
            change = replace(change, note=note)
        noted.append(change)
    return tuple(noted)
