"""Expansions: segments of the customers most similar to the members of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from segengine.project.analysis import Evaluated
from segengine.project.context import Context
from segengine.project.model import Expansion, Segment
from segengine.project.model_fields import is_everyone_else, list_fields, read_fields, read_segment
from segengine.project.nodes import Fields
from segengine.project.problems import Problems, show_node
from segengine.project.project_file import Schema, Settings

EXPANSION_FIELDS = ("source", "fields", "candidates", "size", "include_source", "minimum_score")
DEFAULT_SIZE = Decimal("0.2")
DEFAULT_SCORE, LEAST_SCORE = Decimal("0.55"), Decimal("0.4")


def read_expansion(fields: Fields, audience: str, context: Context, problems: Problems) -> Expansion | None:
    """Return what the fields of an expansion say, or None where an error keeps it from being told."""
    before = problems.error_count
    source = read_segment(fields.get("source"), "source", audience, context, problems)
    if fields.get("source") is None:
        hint = "Name the segment whose members are the example: `source: Summer Promotion`."
        problems.add(fields.place, "SEG202", 'the field "source" is missing.', hint)
    elif source in context.expansions:
        hint = "Start from the segment that one was made from."
        problems.add(fields.key_place("source"), "SEG235", "an expansion cannot be the source of another.", hint)
    candidates = fields.get("candidates")
    everyone = is_everyone_else(candidates)
    chosen = "" if everyone else read_segment(candidates, "candidates", audience, context, problems)
    size = _read_size(fields, problems)
    score = _read_number(fields, "minimum_score", DEFAULT_SCORE, problems)
    if score is not None and not LEAST_SCORE <= score <= 1:
        message = f"minimum_score is {score}, expected a number from {LEAST_SCORE} to 1."
        problems.add(fields.key_place("minimum_score"), "SEG207", message)
    found = tuple(read_fields(fields.get("fields"), "fields", audience, context, problems))
    include = problems.boolean(fields.get("include_source"), "include_source") or False
    if problems.error_count > before or source is None or chosen is None or size is None or score is None:
        return None
    return Expansion(source, found, fields.get("fields") is None, chosen, size, include, score)


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


def with_every_field(
    segment: Segment, settings: Settings, schema: Schema, evaluated: Mapping[str, Evaluated]
) -> Segment:
    """Return an expansion whose fields were left to the model with all there are: attributes, then measures.

    Not those that it feeds itself.

    Args:
        segment: Any segment.
        settings: The project.
        schema: Its columns.
        evaluated: All definitions by id.
    """
    expansion = segment.expansion
    if expansion is None or not expansion.is_recommended:
        return segment
    found = list_fields(segment.audience, settings, schema, evaluated, segment.id)
    return replace(segment, expansion=replace(expansion, fields=found))
