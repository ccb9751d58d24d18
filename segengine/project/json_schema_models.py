"""The part of the JSON Schema that is about models: expansions, suggestions and insights."""

from __future__ import annotations

from segengine.project.canonical import Json
from segengine.project.json_schema_forms import (
    BOOLEAN,
    NUMBER,
    TEXT,
    Object,
    common_properties,
    one_key,
    reference,
)
from segengine.project.project_file import Settings
from segengine.project.templates import DIMENSIONS


def model_definitions(settings: Settings | None, of_segments: Object) -> Object:
    """Return the schema of what models evaluate.

    Args:
        settings: The project; None: any project's.
        of_segments: The fields that segments have beside their rules.
    """
    return {
        "expansion": _expansion(of_segments),
        "suggestion": _suggestion(settings),
        "insight": _insight(settings),
        "model_fields": {
            "type": "array",
            "items": {
                "anyOf": [
                    TEXT,
                    {**one_key({"in_segment": TEXT}), "description": "Whether a profile is in another segment"},
                ]
            },
            "minItems": 1,
        },
    }


def _expansion(of_segments: Object) -> Object:
    number: list[Json] = [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": NUMBER}]
    return {
        "type": "object",
        "properties": {
            **of_segments,
            "source": {**TEXT, "description": "The segment whose members are the example"},
            "fields": {
                **reference("model_fields"),
                "description": "What profiles are compared by; left out: what tells something is chosen",
            },
            "candidates": {**TEXT, "description": "A segment to choose from; `everyone_else` unless given"},
            "size": {"anyOf": number, "description": "At most: a share of the audience (0.2), or a number of members"},
            "include_source": BOOLEAN,
            "minimum_score": {"anyOf": number, "description": "0.4 to 1"},
        },
        "required": ["kind", "name", "source"],
        "additionalProperties": False,
        "dependentRequired": {"attach_limit": ["attach"]},
    }


def _analysis(kind: str, settings: Settings | None, properties: Object, forms: list[Json]) -> Object:
    return {
        "type": "object",
        "properties": {
            **common_properties(kind, settings),
            "type": {
                "enum": ["dynamic", "static"],
                "description": "static: answered when a refresh names it",
            },
            **properties,
        },
        "required": ["kind", "name"],
        "additionalProperties": False,
        "oneOf": forms,
    }


def _suggestion(settings: Settings | None) -> Object:
    activities: Object = {"enum": list(settings.activities)} if settings and settings.activities else dict(TEXT)
    names: list[Json] = [{"const": name, "description": each.summary} for name, each in DIMENSIONS.items()]
    dimensions: list[Json] = [{"anyOf": names}, {"type": "array", "items": {"anyOf": names}, "minItems": 1}]
    properties: Object = {
        "improve": {**TEXT, "description": "What groups are to differ in: a number, a boolean or text of few values"},
        "influences": {**reference("model_fields"), "description": "What groups are told by"},
        "activity": {**activities, "description": "What groups have in common: how they did this"},
        "via": reference("via"),
        "period": {**reference("timestamp_value"), "description": "Of when the rows of the activity are"},
        "dimensions": {"anyOf": dimensions, "description": "What of the activity; else all that it tells but duration"},
        "of": {**TEXT, "description": "A segment: only its members are looked at"},
    }
    forms: list[Json] = [
        {"required": ["improve", "influences"], "not": _any_of("activity", "via", "period", "dimensions")},
        {"required": ["activity"], "not": _any_of("improve", "influences")},
    ]
    return _analysis("suggestion", settings, properties, forms)


def _any_of(*names: str) -> Object:
    return {"anyOf": [{"required": [name]} for name in names]}


def _insight(settings: Settings | None) -> Object:
    sides: Object = {
        "type": "object",
        "properties": {
            "of": {**TEXT, "description": "The segment whose members are told apart"},
            "against": {**TEXT, "description": "A segment; `everyone_else` unless given"},
        },
        "required": ["of"],
        "additionalProperties": False,
    }
    properties: Object = {
        "differentiators": {**sides, "description": "What tells the members of a segment from others"},
        "overlap": {
            "type": "array",
            "items": TEXT,
            "minItems": 2,
            "uniqueItems": True,
            "description": "Segments: which profiles they share",
        },
        "fields": {
            **reference("model_fields"),
            "description": "Of differentiators: what is compared, all there is unless given; of an overlap: also by "
            "the values of these",
        },
    }
    return _analysis("insight", settings, properties, [{"required": ["differentiators"]}, {"required": ["overlap"]}])
