"""`explain`: what a refresh of the project's definition files would read and share. Starts no engine."""

from __future__ import annotations

from collections.abc import Sequence

from segengine.errors import ConfigError
from segengine.plan.explain import AudienceExplanation, explain_audience
from segengine.plan.refresh import plan_audience
from segengine.project.catalogue import load_catalogue
from segengine.project.find import find_segment
from segengine.project.model import Settings


def explain_refresh(settings: Settings, names: Sequence[str] = ()) -> list[AudienceExplanation]:
    """Return the plan of each audience for the named segments, or for all of them.

    Raises:
        DefinitionError: The definitions have errors.
        ConfigError: A name is unknown, or there is nothing to explain.
    """
    catalogue = load_catalogue(settings)
    wanted = {find_segment(catalogue, name).id for name in names} or set(catalogue.segments)
    if not wanted:
        raise ConfigError("There are no definitions to explain.", "Write one, or run `segengine demo` for examples.")
    explanations = []
    for audience in settings.audiences:
        own = {i: s for i, s in catalogue.segments.items() if s.audience == audience and i in wanted}
        if own:
            parents = {parent for segment_id in own for parent in catalogue.parents(segment_id)}
            plan = plan_audience(audience, own, sorted(parents - set(own)), settings)
            explanations.append(explain_audience(plan, catalogue.segments))
    return explanations
