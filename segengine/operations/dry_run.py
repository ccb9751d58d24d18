"""What a refresh would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.due import EVERYTHING, Wanted, choose_definitions
from segengine.operations.unchanged import Comparison, pin_present
from segengine.project.analysis import Evaluated


@dataclass(frozen=True)
class Planned:
    """A definition that a refresh would take, and why it would be evaluated; '': it would keep its snapshot."""

    definition: Evaluated
    reason: str


def plan_refresh(
    project: OpenProject,
    wanted: Wanted = EVERYTHING,
    *,
    full: bool = False,
    as_of: datetime | None = None,
) -> list[Planned]:
    """Return what a refresh with the same arguments would take, parents first; writes nothing.

    Raises:
        ConfigError: A name is unknown, or nothing has been applied.
    """
    catalogue, registry = load_registered(project)
    _, history = read_state(project)
    now = datetime.now(UTC)
    chosen = choose_definitions(catalogue, registry, history, wanted, now)
    instant = as_of or now
    pinned = pin_present(project, catalogue, chosen.values(), instant, now)
    if full:
        reasons = dict.fromkeys(chosen, "everything is")
    elif pinned:
        reasons = Comparison(catalogue, history, pinned, instant).find_reasons(chosen)
    else:
        reasons = dict.fromkeys(chosen, "the refresh is for a past time")
    return [Planned(definition, reasons[identity]) for identity, definition in chosen.items()]
