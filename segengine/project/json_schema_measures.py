"""The part of the JSON Schema that is about measures."""

from __future__ import annotations

from collections.abc import Sequence

from segengine.project.aggregates import PICK_SUMMARIES
from segengine.project.attributes import AggregateFunction
from segengine.project.canonical import Json
from segengine.project.dimensions import BUSINESS, DATE_PARTS, ONLY_AUDIENCE, PERIODS
from segengine.project.json_schema_forms import TEXT, Object, common_properties, reference
from segengine.project.measure_values import FUNCTIONS, ROWS
from segengine.project.project_file import Settings
from segengine.project.templates import TEMPLATES

_SUMMARIES = {
    AggregateFunction.COUNT_UNIQUE: "How many distinct values there are",
    AggregateFunction.SUM: "The sum of an attribute, or of arithmetic on each row; 0 where there is none",
    AggregateFunction.AVERAGE: "The average of an attribute, or of arithmetic on each row",
    AggregateFunction.MIN: "The smallest (earliest) value",
    AggregateFunction.MAX: "The largest (latest) value",
    AggregateFunction.COUNT: f"How many rows there are (`{ROWS}`), or rows that have the attribute",
    **PICK_SUMMARIES,
}


def measure_definitions(settings: Settings | None, row_tables: Sequence[str]) -> Object:
    """Return the schema of measures and what it is made of.

    Args:
        settings: The project; None: any project's.
        row_tables: Tables that have a condition of their own.
    """
    values: Object = {f"measure_value_of_{table}": _value(f"rows_of_{table}") for table in row_tables}
    return {
        "measure": _measure(settings, row_tables),
        "per": _per(settings),
        "measure_value": _value("row_condition"),
        **values,
    }


def _measure(settings: Settings | None, row_tables: Sequence[str]) -> Object:
    activities: Object = {"enum": list(settings.activities)} if settings and settings.activities else dict(TEXT)
    templates: list[Json] = [{"const": name, "description": template.summary} for name, template in TEMPLATES.items()]
    properties: Object = {
        **common_properties("measure", settings),
        "per": reference("per"),
        "over": {**TEXT, "description": "The table, or the measure with dimensions, whose rows count"},
        "via": reference("via"),
        "where": {"description": "Only rows that satisfy this count"},
        "value": {"description": "The value, named like the measure"},
        "values": {"type": "object", "minProperties": 1, "description": "Several values by name"},
        "template": {"anyOf": templates, "description": "What is worked out over the rows of an activity"},
        "activity": {**activities, "description": "The activity of a template"},
        "period": {**reference("timestamp_value"), "description": "Of when the rows of a template are"},
    }
    rows: Object = {"anyOf": [{"required": ["over"]}, {"required": ["template"]}]}
    return {
        "type": "object",
        "properties": properties,
        "required": ["kind", "name", "per"],
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in ("value", "values", "template")],
        "dependentRequired": {"template": ["activity"], "activity": ["template"], "period": ["template"]},
        "dependentSchemas": {"template": {"not": {"required": ["over"]}}, "where": rows, "via": rows},
        "allOf": _rows(row_tables),
    }


def _rows(row_tables: Sequence[str]) -> list[Json]:
    """Return what the parts of a measure are by the table it is over; without one of these any attribute will do."""
    if not row_tables:
        return [_rows_parts("")]
    known: Object = {"properties": {"over": {"enum": list(row_tables)}}, "required": ["over"]}
    return [*(_rows_of(table) for table in row_tables), {"if": known, "else": _rows_parts("")}]


def _rows_of(table: str) -> Object:
    """Return what a measure over a table takes: its attributes; on a path from one to many those of that path too."""
    back: Object = {"anyOf": [{"type": "object"}, {"type": "array", "contains": {"type": "object"}}]}
    return {
        "if": {"properties": {"over": {"const": table}}, "required": ["over"]},
        "then": {
            "if": {"properties": {"via": back}, "required": ["via"]},
            "then": _rows_parts(""),
            "else": _rows_parts(table),
        },
    }


def _rows_parts(table: str) -> Object:
    value = reference(f"measure_value_of_{table}" if table else "measure_value")
    return {
        "properties": {
            "where": reference(f"rows_of_{table}" if table else "row_condition"),
            "value": value,
            "values": {"additionalProperties": value},
        }
    }


def _per(settings: Settings | None) -> Object:
    audience: Object = dict(TEXT)
    if settings:
        names = [*settings.audiences, *([ONLY_AUDIENCE] if len(settings.audiences) == 1 else [])]
        audience = {"enum": list(dict.fromkeys([*names, BUSINESS]))}
    periods: list[Json] = [
        {
            "type": "object",
            "properties": {name: TEXT, "as": TEXT},
            "required": [name],
            "additionalProperties": False,
        }
        for name in (*PERIODS, *DATE_PARTS)
    ]
    return {
        "anyOf": [audience, {"type": "array", "items": {"anyOf": [TEXT, *periods]}, "minItems": 1}],
        "description": "Whose values: an audience, the business, or a list with dimensions",
    }


def _value(condition: str) -> Object:
    """Return one value: an aggregate over rows that satisfy a condition, or an expression."""
    functions: Object = {str(name): {**TEXT, "description": _SUMMARIES[name]} for name in FUNCTIONS}
    picks: list[Json] = [{"required": [str(name)]} for name in PICK_SUMMARIES]
    literal: Object = {"type": ["string", "number", "boolean"], "description": "What stands for a missing value"}
    return {
        "type": "object",
        "properties": {
            **functions,
            "expression": {**TEXT, "description": "Of other values, measures and attributes: `revenue / orders`"},
            "by": {**TEXT, "description": "What first, last, arg_max and arg_min are ordered by"},
            "where": {**reference(condition), "description": "Only rows that satisfy this count for this value"},
            "if_missing": literal,
        },
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in (*map(str, FUNCTIONS), "expression")],
        "dependentRequired": {str(name): ["by"] for name in PICK_SUMMARIES},
        "dependentSchemas": {
            "by": {"anyOf": picks},
            "expression": {"not": {"required": ["where"]}},
        },
    }
