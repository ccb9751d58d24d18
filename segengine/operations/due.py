"""What a refresh evaluates: what is named, everything, or what is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from segengine.errors import ConfigError
from segengine.project.analysis import Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.definitions import EVALUATED_KINDS
from segengine.project.find import find_definition
from segengine.project.problems import did_you_mean
from segengine.project.schedule import next_due
from segengine.project.walk import find_behind
from segengine.store.registry import Registry
from segengine.store.runs import History, Status


@dataclass(frozen=True)
class Wanted:
    """What a caller wants refreshed.

    `names`: names or ids; none: all that is active, and of that what is static once after each activation. `kinds`:
    only definitions of these (of `EVALUATED_KINDS`), none: of all. `due`: only what is due by its schedule.
    `with_parents`: also all that these refer to, directly or not, as far as it is active and not static.
    """

    names: Sequence[str] = ()
    kinds: Sequence[str] = ()
    due: bool = False
    with_parents: bool = False

    @property
    def is_filter(self) -> bool:
        """Whether it may leave nothing over, which is no fault then."""
        return self.due or bool(self.kinds)

    def __post_init__(self) -> None:
        """Raise where a kind is unknown.

        Raises:
            ConfigError: With the kinds there are.
        """
        for kind in self.kinds:
            if kind not in EVALUATED_KINDS:
                raise ConfigError(f'There is no kind "{kind}" to refresh.', did_you_mean(kind, EVALUATED_KINDS))


EVERYTHING = Wanted()


def choose_definitions(
    catalogue: Catalogue, registry: Registry, history: History, wanted: Wanted, now: datetime
) -> dict[str, Evaluated]:
    """Return what to refresh by id, parents first.

    Args:
        catalogue: The definitions of the project.
        registry: Their versions.
        history: What is published.
        wanted: What the caller wants.
        now: When something has to be due.

    Raises:
        ConfigError: A name means nothing that was applied; or something is to be due, and nothing has a schedule.
    """
    known = catalogue.evaluated
    chosen = {find_definition(catalogue, name).id for name in wanted.names} or {
        identity
        for identity, definition in known.items()
        if definition.state == "active"
        and not (definition.type == "static" and _refreshed_since_activation(registry, history, definition))
    }
    if wanted.kinds:
        chosen = {identity for identity in chosen if catalogue.definitions[identity].kind in wanted.kinds}
    if wanted.due:
        check_schedules(catalogue)
        times = {identity: find_next_due(catalogue, registry, history, known[identity], now) for identity in chosen}
        chosen = {identity for identity, time in times.items() if time is not None and time <= now}
    if wanted.with_parents:
        behind = {parent for identity in chosen for parent in find_behind(known, identity)}
        chosen |= {parent for parent in behind if known[parent].state == "active" and known[parent].type != "static"}
    return {identity: definition for identity, definition in known.items() if identity in chosen}


def find_late_parents(
    catalogue: Catalogue, registry: Registry, history: History, chosen: Mapping[str, Evaluated], now: datetime
) -> list[str]:
    """Return a warning for each parent outside a refresh that feeds something of it and is due itself."""
    parents = {parent: child for child in chosen for parent in catalogue.parents(child) if parent not in chosen}
    warnings = []
    for parent, child in parents.items():
        definition = catalogue.evaluated.get(parent)
        due_at = definition and find_next_due(catalogue, registry, history, definition, now)
        current = history.current(parent)
        if definition and current and due_at and due_at <= now and due_at > current.as_of:
            warnings.append(
                f'warning: "{chosen[child].name}" uses "{definition.name}" as of {current.as_of:%Y-%m-%d %H:%M} UTC, '
                f"which is due since {due_at:%Y-%m-%d %H:%M} UTC (--with-parents refreshes it too)"
            )
    return warnings


def check_schedules(catalogue: Catalogue) -> None:
    """Raise where nothing says when something is due.

    Raises:
        ConfigError: Neither the project nor any definition has a schedule.
    """
    if not any(catalogue.settings.schedule_of(definition) for definition in catalogue.evaluated.values()):
        raise ConfigError(
            "Nothing is ever due: the project has no schedule.",
            'Add one to segengine.yml: `schedule: {daily: ["02:00"]}`.',
        )


def find_next_due(
    catalogue: Catalogue, registry: Registry, history: History, definition: Evaluated, now: datetime
) -> datetime | None:
    """Return from when on a definition is due (in the past: since when); None: it is not active, or only when asked.

    A result that waits for its release, or was dropped, counts as a success: the next one is due as planned.
    """
    if definition.state != "active":
        return None
    if definition.type == "static":
        return None if _refreshed_since_activation(registry, history, definition) else now
    schedule = catalogue.settings.schedule_of(definition)
    return next_due(schedule, history.trail_of(definition).settled_until(definition.id), now) if schedule else None


def _refreshed_since_activation(registry: Registry, history: History, definition: Evaluated) -> bool:
    """Return whether a definition has a snapshot that was begun after it was last activated."""
    activated_at, was_active = datetime.min.replace(tzinfo=UTC), True
    for version in registry.versions_of(definition.id):
        is_active = version.fields.get("state", "active") == "active"
        if is_active and not was_active:
            activated_at = version.recorded_at
        was_active = is_active
    runs = history.trail_of(definition).of(definition.id)
    return any(run.started_at >= activated_at for run in runs if run.status is Status.SUCCESSFUL)
