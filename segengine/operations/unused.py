"""Definitions nobody uses any more: when each was last used, and deactivating them after a while."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from segengine.errors import LeaseHeldError, SegEngineError
from segengine.operations.context import OpenProject, find_author, load_registered
from segengine.operations.definition_plan import DefinitionPlan, record_plan
from segengine.operations.evaluation import Progress
from segengine.operations.manage import Revised, plan_revision, revise_fields
from segengine.project.catalogue import Catalogue
from segengine.project.changes import deactivate
from segengine.project.usage import make_usage_graph
from segengine.store.registry import Registry
from segengine.store.usage import append_uses, read_last_uses

logger = logging.getLogger(__name__)

UNUSED_AFTER = timedelta(days=45)
WARNED_BEFORE = timedelta(days=7)
_NOTED_EVERY = timedelta(days=1)


@dataclass(frozen=True)
class LastUse:
    """When an active definition was last used (UTC), and whether it is exempt; `in_use`: by somebody known, now."""

    id: str
    name: str
    used_at: datetime
    in_use: bool
    is_exempt: bool

    def deactivated_at(self) -> datetime | None:
        """Return when it is deactivated unless somebody uses it; None: never."""
        return None if self.in_use or self.is_exempt else self.used_at + UNUSED_AFTER


def note_use(project: OpenProject, identity: str, used_for: str) -> None:
    """Note that somebody took what a definition has, at most once a day; a failure is logged, the use goes on."""
    now = datetime.now(UTC)
    try:
        last = read_last_uses(project.warehouse).get(identity)
        if last is None or last < now - _NOTED_EVERY:
            append_uses(project.warehouse, [identity], used_for, find_author(), now)
    except SegEngineError as error:
        logger.info("the use of %s is not noted: %s", identity, error)


def find_last_uses(catalogue: Catalogue, registry: Registry, noted: Mapping[str, datetime]) -> list[LastUse]:
    """Return when each active segment and measure was last used.

    A use is: a new version of it, an active definition or a registered consumer that names it (until it is deactivated
    itself), and what was noted. Suggestions and insights are asked for their own sake: they are always in use.
    """
    graph = make_usage_graph(catalogue)
    found = []
    for definition in catalogue.usable:
        if definition.state != "active":
            continue
        users = graph.direct(definition.id)
        by_inactive = {user.id for user in users if user.id in catalogue.evaluated}
        by_inactive = {identity for identity in by_inactive if catalogue.find(identity).state != "active"}
        times = [registry.newest[identity].recorded_at for identity in (definition.id, *by_inactive)]
        found.append(
            LastUse(
                id=definition.id,
                name=definition.name,
                used_at=max([*times, noted.get(definition.id, times[0])]),
                in_use=any(user.id not in by_inactive for user in users),
                is_exempt=definition.exempt_from_deactivation,
            )
        )
    return found


def read_deactivations(project: OpenProject) -> list[LastUse]:
    """Return the active definitions that nobody uses and when they are deactivated for it, soonest first."""
    catalogue, registry = load_registered(project)
    uses = find_last_uses(catalogue, registry, read_last_uses(project.warehouse))
    return sorted((use for use in uses if use.deactivated_at()), key=lambda use: use.used_at)


def deactivate_unused(
    project: OpenProject,
    catalogue: Catalogue,
    registry: Registry,
    *,
    now: datetime | None = None,
    progress: Progress = logger.info,
) -> DefinitionPlan | None:
    """Deactivate what nobody used for more than 45 days, and tag it `AutoDeactivated`; None: nothing was written.

    Says what it deactivates, and what is next. Where somebody else is changing definitions, it is left to another time.

    Args:
        project: The project.
        catalogue: What is applied.
        registry: Its versions.
        now: The instant that counts; None: now.
        progress: Called with a line for each definition concerned.
    """
    moment, noted = now or datetime.now(UTC), read_last_uses(project.warehouse)

    def unused(known: Registry, at: datetime) -> list[LastUse]:
        uses = find_last_uses(catalogue, known, noted)
        return [use for use in uses if (until := use.deactivated_at()) is not None and until < at]

    def revise(newest: Registry) -> Revised:
        live = newest.live()
        due = [live[use.id] for use in unused(newest, moment) if use.id in live]
        return revise_fields(due, deactivate(unused=True))

    due = unused(registry, moment)
    for use in unused(registry, moment + WARNED_BEFORE):
        when = f"is deactivated on {use.deactivated_at():%Y-%m-%d} (UTC)" if use not in due else "is deactivated now"
        progress(f'"{use.name}" {when}: nobody has used it since {use.used_at:%Y-%m-%d}')
    if not due:
        return None
    try:
        return record_plan(project, lambda newest: plan_revision(project.settings, newest, revise))
    except LeaseHeldError as error:
        progress(f"not now: {error.message}")
        return None
