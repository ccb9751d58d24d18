"""What definitions of segments and analyses say beside their rules and questions."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.project.context import definition_audience
from segengine.project.definitions import read_exemption, read_state, read_tags
from segengine.project.model import Definition, SegmentType, State
from segengine.project.operating import OWN_PERIODS, read_schedule
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Settings
from segengine.project.schedule import Schedule


@dataclass(frozen=True)
class About:
    """Whose profiles a definition is about, what it is for, and when it is refreshed."""

    audience: str
    description: str
    tags: tuple[str, ...]
    type: SegmentType
    state: State
    exempt_from_deactivation: bool
    schedule: Schedule | None


def read_about(definition: Definition, settings: Settings, problems: Problems) -> About | None:
    """Return what a definition says of itself, or None where its audience cannot be told; errors are reported."""
    fields, audience = definition.fields, definition_audience(definition, settings)
    if audience not in settings.audiences:
        message = f'there is no audience "{audience}".' if audience else "names no `audience`; the project has several."
        hint = did_you_mean(audience, settings.audiences)
        problems.add(fields.key_place("audience"), "SEG405", message, hint)
        return None
    types: tuple[SegmentType, ...] = ("dynamic", "static")
    chosen = problems.choice(fields.get("type"), "type", types)
    return About(
        audience=audience,
        description=problems.text(fields.get("description"), "description") or "",
        tags=read_tags(fields, problems),
        type=next((known for known in types if known == chosen), "dynamic"),
        state=read_state(fields, problems),
        exempt_from_deactivation=read_exemption(fields, problems),
        schedule=read_schedule(fields.get("refresh"), "refresh", OWN_PERIODS, settings.time_zone, problems),
    )
