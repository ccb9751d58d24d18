"""Outside consumers: who uses segments and measures without segengine knowing, registered so that it does."""

from __future__ import annotations

from collections.abc import Mapping

from segengine.project.definitions import read_tags
from segengine.project.measure_names import BY_ID
from segengine.project.model import Consumer, Definition
from segengine.project.problems import Problems, did_you_mean

CONSUMER_FIELDS = ("kind", "name", "id", "description", "tags", "uses", "link")


def resolve_consumer(definition: Definition, known: Mapping[str, str], problems: Problems) -> Consumer | None:
    """Return the consumer a definition describes, or None where an error keeps it from being told.

    Args:
        definition: The definition.
        known: The ids of segments and measures by what they may be called.
        problems: Where issues are added.
    """
    problems.subject = f'consumer "{definition.name}"'
    before = problems.error_count
    fields = definition.fields
    problems.fields(fields, "a consumer", CONSUMER_FIELDS)
    names = problems.texts(fields.get("uses"), "uses")
    if not names and problems.error_count == before:
        problems.add(fields.place, "SEG202", "uses nothing.", "Name segments or measures: `uses: [Summer Promotion]`.")
    uses: dict[str, None] = {}
    for name in names:
        identity = known.get(name.removeprefix(BY_ID))
        if identity is None:
            message = f'there is no segment or measure "{name}".'
            problems.add(fields.key_place("uses"), "SEG403", message, did_you_mean(name, known))
        else:
            uses[identity] = None
    tags = read_tags(fields, problems)
    link = problems.text(fields.get("link"), "link") or ""
    description = problems.text(fields.get("description"), "description") or ""
    if problems.error_count > before:
        return None
    return Consumer(definition.id, definition.name, description, tags, tuple(uses), link, fields.place)
