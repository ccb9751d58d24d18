"""What a refresh evaluates: what is named, everything, or what is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from segengine.errors import ConfigError
from segengine.project.analysis import Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_definition
from segengine.project.schedule import next_due
from segengine.store.registry import Registry
from segengine.store.runs import History, Status


def choose_definitions(
    catalogue: Catalogue,
    registry: Registry,
    history: History,
    names: Sequence[str] = (),
    due_at: datetime | None = None,
) -> dict[str, Evaluated]:
    """Return what to refresh by id, parents first.

    Args:
        catalogue: The definitions of the project.
        registry: Their versions.
        history: What is published.
        names: Names or ids; none: all that is active, and of that what is static once after each activation.
        due_at: Only what is due at that time.

    Raises:
        ConfigError: A name means nothing that was applied; or something is to be due, and nothing has a schedule.
    """
    known = catalogue.evaluated
    wanted = {find_definition(catalogue, name).id for name in names} or {
        identity
        for identity, definition in known.items()
        if definition.state == "active"
        and not (definition.type == "static" and _refreshed_since_activation(registry, history, definition))
    }
    if due_at is not None:
        check_schedules(catalogue)
        times = {identity: find_next_due(catalogue, registry, history, known[identity], due_at) for identity in wanted}
        wanted = {identity for identity, time in times.items() if time is not None and time <= due_at}
    return {identity: definition for identity, definition in known.items() if identity in wanted}


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
