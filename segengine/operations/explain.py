"""`explain`: what a refresh of the project's definition files would read and share. Starts no engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from segengine.errors import ConfigError
from segengine.plan.audiences import plan_run
from segengine.plan.explain import AudienceExplanation, explain_audience
from segengine.project.catalogue import load_catalogue
from segengine.project.find import find_definition
from segengine.project.measure import Measure
from segengine.project.model import Segment
from segengine.project.project_file import Settings
from segengine.project.types import instant_of


def explain_refresh(
    settings: Settings, names: Sequence[str] = (), as_of: datetime | None = None
) -> list[AudienceExplanation]:
    """Return the plan of each audience for the named segments, or for all of them.

    Args:
        settings: The project.
        names: Names or ids of segments; none: all.
        as_of: The instant a refresh would be for; None: now.

    Raises:
        DefinitionError: The definitions have errors.
        ConfigError: A name is unknown, or there is nothing to explain.
    """
    catalogue = load_catalogue(settings)
    wanted = {find_definition(catalogue, name).id for name in names} or set(catalogue.evaluated)
    if not wanted:
        raise ConfigError("There are no definitions to explain.", "Write one, or run `segengine demo` for examples.")
    due = {identity: definition for identity, definition in catalogue.evaluated.items() if identity in wanted}
    plans = plan_run(due, catalogue, instant_of(as_of or datetime.now(UTC)))
    if not plans:
        raise ConfigError("There is nothing to explain: models evaluate what is named, not rules.")
    known: dict[str, Segment | Measure] = {}
    for plan in plans:
        known |= {**plan.segments, **plan.measures}
    known |= catalogue.segments  # as written: in a plan, rules over rows of the account are taken out
    return [explain_audience(plan, known) for plan in plans]
