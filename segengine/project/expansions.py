"""Expansions: segments of the customers most similar to the members of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from segengine.project.context import Context, find_member_segment
from segengine.project.measure_names import find_named, list_value_attributes
from segengine.project.model import (
    Expansion,
    InSegment,
    Measure,
    ModelField,
    Schema,
    Segment,
    Settings,
)
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems, show_node
from segengine.project.profile_attributes import list_profile_attributes
from segengine.project.walk import find_behind

Definitions = Mapping[str, Segment | Measure]
EXPANSION_FIELDS = ("source", "fields", "candidates", "size", "include_source", "minimum_score")
EVERYONE_ELSE = "everyone_else"
DEFAULT_SIZE = Decimal("0.2")
DEFAULT_SCORE, LEAST_SCORE = Decimal("0.55"), Decimal("0.4")


def read_expansion(fields: Fields, audience: str, context: Context, problems: Problems) -> Expansion | None:
    """Return what the fields of an expansion say, or None where an error keeps it from being told."""
    before = problems.error_count
    source = _read_segment(fields, "source", audience, context, problems)
    if fields.get("source") is None:
        hint = "Name the segment whose members are the example: `source: Summer Promotion`."
        problems.add(fields.place, "SEG202", 'the field "source" is missing.', hint)
    elif source in context.expansions:
        hint = "Start from the segment that one was made from."
        problems.add(fields.key_place("source"), "SEG235", "an expansion cannot be the source of another.", hint)
    candidates = fields.get("candidates")
    everyone = candidates is None or (isinstance(candidates, Scalar) and candidates.text == EVERYONE_ELSE)
    chosen = "" if everyone else _read_segment(fields, "candidates", audience, context, problems)
    size = _read_size(fields, problems)
    score = _read_number(fields, "minimum_score", DEFAULT_SCORE, problems)
    if score is not None and not LEAST_SCORE <= score <= 1:
        message = f"minimum_score is {score}, expected a number from {LEAST_SCORE} to 1."
        problems.add(fields.key_place("minimum_score"), "SEG207", message)
    found = _read_fields(fields.get("fields"), audience, context, problems)
    include = problems.boolean(fields.get("include_source"), "include_source") or False
    if problems.error_count > before or source is None or chosen is None or size is None or score is None:
        return None
    return Expansion(source, found, fields.get("fields") is None, chosen, size, include, score)


def _read_segment(fields: Fields, name: str, audience: str, context: Context, problems: Problems) -> str | None:
    """Return the id of the segment a field names, or None where there is none."""
    node = fields.get(name)
    text = problems.text(node, name)
    if node is None or text is None:
        return None
    return _find_segment(text, node, audience, context, problems)


def _find_segment(name: str, node: Node, audience: str, context: Context, problems: Problems) -> str | None:
    identity = find_member_segment(context, audience, audience, problems, name, node.place)
    if identity == context.own_id:
        problems.add(node.place, "SEG404", "an expansion refers to itself.")
        return None
    if identity is not None and context.segment_audiences.get(identity) != audience:
        message = (
            f'segment "{name}" is of audience "{context.segment_audiences.get(identity)}", this one of "{audience}".'
        )
        problems.add(node.place, "SEG405", message)
        return None
    return identity


def _read_size(fields: Fields, problems: Problems) -> Decimal | None:
    """Return the greatest share of the audience, to 1, or the greatest number of members, from 2."""
    size = _read_number(fields, "size", DEFAULT_SIZE, problems)
    if size is None or 0 < size <= 1 or (size >= 2 and size == int(size)):
        return size
    message = f"size is {size}, expected a share of the audience or a number of members."
    problems.add(fields.key_place("size"), "SEG207", message, "Write 0.2 for a fifth of the audience, 500 for 500.")
    return None


def _read_number(fields: Fields, name: str, default: Decimal, problems: Problems) -> Decimal | None:
    node = fields.get(name)
    if node is None:
        return default
    text = problems.text(node, name)
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        number = Decimal("NaN")
    if number.is_finite():
        return number
    if text is not None:
        problems.add(node.place, "SEG207", f"{name} is {show_node(node)}, expected a number.")
    return None


def _read_fields(node: Node | None, audience: str, context: Context, problems: Problems) -> tuple[ModelField, ...]:
    """Return the fields named, each once: attributes, measures, or memberships as `in_segment: NAME`."""
    if node is None:
        return ()
    if not isinstance(node, Items) or not node.nodes:
        problems.wrong_form(node, "fields", "a list of attributes and measures")
        return ()
    found = [_read_field(item, audience, context, problems) for item in node.nodes]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _read_field(node: Node, audience: str, context: Context, problems: Problems) -> ModelField | None:
    if isinstance(node, Fields) and node.keys() == ["in_segment"]:
        value = node.entries[0][1]
        name = problems.text(value, "in_segment")
        identity = None if name is None else _find_segment(name, value, audience, context, problems)
        return None if identity is None else ModelField(f"in {name}", InSegment(identity))
    name = problems.text(node, "a field")
    if name is None:
        return None
    table = context.settings.audiences[audience].table
    found = find_named(context.settings, context.schema, table, name, context.measures)
    if isinstance(found, Unresolved):
        if found.message:
            problems.add(found.place or node.place, found.code, found.message, found.hint)
        return None
    if found.measure and found.hops:
        message = f'"{name}" is a value of the profiles\' {found.hops[-1].name}.'
        problems.add(node.place, "SEG235", message, "Models look at the profiles' own measures.")
        return None
    return ModelField(found.name, found)


def with_every_field(segment: Segment, settings: Settings, schema: Schema, evaluated: Definitions) -> Segment:
    """Return an expansion whose fields were left to the model with all there are: attributes, then measures.

    Not those that it feeds itself.

    Args:
        segment: Any segment.
        settings: The project.
        schema: Its columns.
        evaluated: All segments and measures by id.
    """
    expansion = segment.expansion
    if expansion is None or not expansion.is_recommended:
        return segment
    table = settings.audiences[segment.audience].table
    attributes = list_profile_attributes(settings, schema, segment.audience)
    found = [ModelField(name, each) for name, each in attributes.items()]
    for measure in evaluated.values():
        if isinstance(measure, Measure) and measure.is_attribute and measure.audience == segment.audience:
            if segment.id not in find_behind(evaluated, measure.id):
                found += [ModelField(each.column, each) for each in list_value_attributes(measure, table)]
    return replace(segment, expansion=replace(expansion, fields=tuple(found)))
