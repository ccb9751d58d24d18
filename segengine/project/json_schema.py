"""A JSON Schema of definition files, so that editors complete and check what people type.

Made from the one operator table; with a project also from its tables and columns. Editors read YAML with types, the
loader reads text: so numbers, booleans and quoted text are all allowed where the loader can tell what is meant. The
schema is the first help, `validate` the judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from segengine.project.aggregates import AGGREGATE_SUMMARIES, find_aggregate
from segengine.project.attachments import DEFAULT_ATTACH_LIMIT, MAX_ATTACH_LIMIT
from segengine.project.attributes import AggregateFunction, Attribute
from segengine.project.canonical import Json
from segengine.project.date_parts import PARTS
from segengine.project.definitions import KINDS
from segengine.project.json_schema_forms import (
    BOOLEAN,
    NUMBER,
    TABLE_NAME,
    TEXT,
    Object,
    common_properties,
    consumer_definition,
    one_key,
    operating_definitions,
    reference,
)
from segengine.project.json_schema_measures import measure_definitions
from segengine.project.json_schema_models import model_definitions
from segengine.project.measure import Measure
from segengine.project.operators import (
    MODIFIERS,
    OPERATORS,
    WINDOWS,
    Operator,
    modifiers_for,
    operators_for,
)
from segengine.project.paths import find_hop, hop_names, tables_with_rows_of
from segengine.project.project_file import Schema, Settings
from segengine.project.relative import PERIODS
from segengine.project.resolve import COUNTS, SET_OPERATORS
from segengine.project.types import Family

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NONE: Mapping[str, Object] = {}
FAMILIES = tuple(family for family in Family if family is not Family.UNSUPPORTED)
_LOOK_UPS = 2  # attributes behind so many hops are listed by name; longer ones are taken as they are
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

_TRUE: Object = {"enum": [True, "true"]}
_LITERALS: dict[Family, Object] = {
    Family.TEXT: {"type": ["string", "number", "boolean"], "minLength": 1},
    Family.NUMBER: {"type": ["number", "string"], "pattern": NUMBER},
    Family.BOOLEAN: BOOLEAN,
    Family.DATE: {"type": "string", "pattern": f"^{_DAY}$", "description": "A day: YYYY-MM-DD"},
    Family.TIMESTAMP: {
        "type": "string",
        "pattern": f"^{_DAY}([Tt ].+)?$",
        "description": "A local day (YYYY-MM-DD), a local time (YYYY-MM-DDTHH:MM:SS), or one with Z or an offset",
    },
}


def make_json_schema(settings: Settings | None, schema: Schema | None, measures: Iterable[Measure] = ()) -> Json:
    """Return the JSON Schema (draft 2020-12) of one definition.

    Args:
        settings: The project; None: any project's tables and attributes are taken.
        schema: Its columns and types; without any, attributes are taken as they are.
        measures: The project's measures, which conditions may name like attributes.
    """
    measured = _measured(measures)
    definitions: Object = {f"{family}_value": _family_value(family) for family in FAMILIES}
    for operator in OPERATORS:
        if operator.argument == "part":
            definitions |= _part_definitions(operator.name)
    definitions["value"] = {"anyOf": [reference(f"{family}_value") for family in FAMILIES]}
    known = (settings, schema) if settings and schema and schema.stored else None
    profiles = _profile_attributes(*known) if known else None
    definitions["profile_condition"] = _condition("profile_condition", profiles, measured)
    rows = {table: _united([_attributes(*known, table)]) for table in _row_tables(known[0])} if known else {}
    for table, attributes in rows.items():
        definitions[f"rows_of_{table}"] = _condition(f"rows_of_{table}", attributes, measured)
        for function in AGGREGATE_SUMMARIES:
            definitions[f"{function}_of_{table}"] = _aggregate(*known, table, function) if known else {}
    definitions["row_condition"] = _condition("row_condition", None)
    definitions["via"] = _via(settings)
    definitions["attach"] = _attach(settings)
    definitions["profile_where"] = {
        "anyOf": [{"const": "everyone", "description": "Every profile"}, reference("profile_condition")]
    }
    definitions["rows"] = _quantifier()
    definitions["rule"] = _rule(settings, list(rows))
    definitions["step"] = one_key({operator: reference("rule") for operator in SET_OPERATORS})
    definitions["rules"] = {
        "type": "array",
        "minItems": 1,
        "prefixItems": [reference("rule")],
        "items": reference("step"),
    }
    definitions |= operating_definitions()
    definitions["segment"] = _segment(settings)
    definitions |= model_definitions(settings, _about("expansion", settings))
    definitions |= measure_definitions(settings, list(rows))
    definitions["consumer"] = consumer_definition()
    return {
        "$schema": DIALECT,
        "title": f"Definitions of {settings.project}" if settings else "Definitions of segengine",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": [{"if": {"properties": {"kind": {"const": kind}}}, "then": reference(kind)} for kind in KINDS],
        "$defs": definitions,
    }


def _family_value(family: Family) -> Object:
    """Return what may stand behind an attribute: a bare value, a list, or a map of operators."""
    return _value(family, f"{family}_value", _LITERALS[family])


def _part_definitions(name: str) -> Object:
    """Return what may stand behind the operator of a part: as behind a number, of the values it can have."""
    values = PARTS[name]
    ways: list[Json] = [{"type": "integer", "minimum": values.first, "maximum": values.last}]
    ways.append({"type": "string", "pattern": "^[0-9]{1,4}$"})
    if values.names:
        ways.append({"enum": [*values.names, *(name.capitalize() for name in values.names)]})
    literal = f"{name}_literal"
    return {literal: {"anyOf": ways}, f"{name}_value": _value(Family.NUMBER, f"{name}_value", reference(literal))}


def _value(family: Family, name: str, literal: Object) -> Object:
    """Return the forms of a value of a family; `name`: what they are called, as they contain themselves."""
    ways: list[Json] = [literal]
    if any(operator.name == "any_of" for operator in operators_for(family)):
        ways.append({"type": "array", "items": literal, "minItems": 1})
    properties: Object = {
        operator.name: {**_argument(operator, family, literal), "description": operator.summary}
        for operator in operators_for(family)
    }
    for modifier in modifiers_for(family):
        form = reference(name) if modifier == "not" else BOOLEAN
        properties[modifier] = {**form, "description": MODIFIERS[modifier]}
    operators: list[Json] = [{"required": [key]} for key in properties if key == "not" or key not in MODIFIERS]
    operator_map: Object = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": operators,
    }
    if "rolling" in properties:
        operator_map["dependentSchemas"] = {"rolling": {"anyOf": [{"required": [key]} for key in (*WINDOWS, "not")]}}
    return {"anyOf": [*ways, operator_map]}


def _argument(operator: Operator, family: Family, literal: Object) -> Object:
    if operator.argument == "pair":
        return {"type": "array", "items": literal, "minItems": 2, "maxItems": 2}
    if operator.argument == "many":
        return {"anyOf": [literal, {"type": "array", "items": literal, "minItems": 1}]}
    if operator.argument == "span":
        short = "" if family is Family.DATE or operator.name not in WINDOWS else "minute|hour|"
        return {"type": "string", "pattern": f"^[0-9]{{1,9}} *({short}day|week|month|year)s?$"}
    if operator.argument == "period":
        return {"enum": list(PERIODS)}
    if operator.argument == "part":
        return reference(f"{operator.name}_value")
    return {"one": literal, "flag": _TRUE, "boolean": BOOLEAN}[operator.argument]


def _measured(measures: Iterable[Measure]) -> dict[str, Object]:
    """Return the measures that conditions may be about, by what they call them."""
    return {
        measure.column(value): {**reference(f"{value.type.family}_value"), "description": f"Measure ({value.type})"}
        for measure in measures
        if measure.is_attribute
        for value in measure.shown_values
    }


def _condition(name: str, attributes: Mapping[str, Object] | None, measures: Mapping[str, Object] = _NONE) -> Object:
    several: Object = {"type": "array", "items": reference(name), "minItems": 1}
    properties: Object = {
        "all": {**several, "description": "Every item holds"},
        "any": {**several, "description": "At least one item holds"},
        "not": {**reference(name), "description": "The condition does not hold"},
        "in_segment": {**TEXT, "description": "The profile is a member of this segment (name or id)"},
    }
    condition = one_key({**properties, **measures, **(attributes or {})})
    if attributes is None:
        condition["additionalProperties"] = reference("value")
    else:
        dotted: Object = {rf"^([^.]+\.)+{_escaped(column)}$": form for column, form in measures.items()}
        longer = rf"^[^.]+(\.[^.]+){{{_LOOK_UPS + 1},}}$"
        condition["patternProperties"] = {**dotted, longer: reference("value")}
    return condition


def _escaped(text: str) -> str:
    """Return a pattern of a text for any JSON Schema's regular expressions; `re.escape` escapes too much for them."""
    return re.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\1", text)


def _profile_attributes(settings: Settings, schema: Schema) -> dict[str, Object]:
    tables = dict.fromkeys(audience.table for audience in settings.audiences.values())
    return _united([_attributes(settings, schema, table) for table in tables])


def _row_tables(settings: Settings) -> list[str]:
    """Return the tables from whose rows some path leads to a profile."""
    found = [tables_with_rows_of(settings, audience.table) for audience in settings.audiences.values()]
    return [table for table in settings.tables if any(table in tables for tables in found)]


def _united(found: list[dict[str, list[Object]]]) -> dict[str, Object]:
    """Return attributes of several tables together; one that has several types takes the values of each."""
    ways: dict[str, list[Object]] = {}
    for attributes in found:
        for name, forms in attributes.items():
            known = ways.setdefault(name, [])
            known += [form for form in forms if form not in known]
    return {name: forms[0] if len(forms) == 1 else {"anyOf": list(forms)} for name, forms in sorted(ways.items())}


def _attributes(
    settings: Settings, schema: Schema, table: str, prefix: str = "", hops: int = 0
) -> dict[str, list[Object]]:
    """Return the usable attributes seen from a table, look-ups included, by name."""
    found: dict[str, list[Object]] = {}
    for column, type_ in schema.columns.get(table, {}).items():
        if type_.family is not Family.UNSUPPORTED:
            setting = settings.tables[table].column_setting(column)
            label = f"{setting.label} ({type_})" if setting and setting.label else str(type_)
            found[prefix + column] = [{**reference(f"{type_.family}_value"), "description": label}]
    if hops < _LOOK_UPS:
        for name in hop_names(settings, table):
            hop = find_hop(settings, table, name)
            target = hop.target if hop else ""
            found |= _attributes(settings, schema, target, f"{prefix}{name}.", hops + 1)
    return found


def _aggregate(settings: Settings, schema: Schema, table: str, function: AggregateFunction) -> Object:
    """Return what may stand behind an aggregate of a table's rows: attributes with conditions on its value."""
    found: dict[str, Object] = {}
    for name in _attributes(settings, schema, table):
        attribute = find_aggregate(settings, schema, table, function, name)
        if isinstance(attribute, Attribute):
            found[name] = {**reference(f"{attribute.type.family}_value"), "description": str(attribute.type)}
    further: Object = {rf"^[^.]+(\.[^.]+){{{_LOOK_UPS + 1},}}$": reference("value")}
    return {
        "type": "object",
        "properties": dict(found),
        "patternProperties": further,
        "additionalProperties": False,
        "minProperties": 1,
    }


def _quantifier() -> Object:
    count: Object = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,9}$"}]}
    counts = one_key({str(quantifier): count for quantifier in COUNTS})
    return {
        "anyOf": [{"enum": ["any", "all", "none"]}, counts],
        "description": "How many of the rows must satisfy `where` (any unless given)",
    }


def _rule(settings: Settings | None, row_tables: Sequence[str]) -> Object:
    """Return one rule; `row_tables`: tables that have a condition of their own."""
    over: Object = {"enum": list(_row_tables(settings))} if settings else dict(TEXT)
    return {
        "type": "object",
        "properties": {
            "over": {**over, "description": "The table whose rows are judged"},
            "via": reference("via"),
            "rows": reference("rows"),
            "among": {"description": "Only rows that satisfy this are looked at"},
            "where": {"description": "What must hold: on the profile, or with `over` on its rows"},
            "rules": {**reference("rules"), "description": "Brackets: a list of rules of its own"},
            **{str(function): {"description": summary} for function, summary in AGGREGATE_SUMMARIES.items()},
        },
        "additionalProperties": False,
        "anyOf": [{"required": ["over"]}, {"required": ["where"]}, {"required": ["rules"]}],
        "dependentRequired": {name: ["over"] for name in ("via", "rows", "among", *AGGREGATE_SUMMARIES)},
        "dependentSchemas": {
            "rules": {"maxProperties": 1},
            **{str(function): {"not": {"required": ["rows"]}} for function in AGGREGATE_SUMMARIES},
        },
        "if": {"required": ["over"]},
        "then": {"allOf": [_rows_of(table) for table in row_tables]} if row_tables else _rows_parts(None),
        "else": {"properties": {"where": reference("profile_where")}},
    }


def _via(settings: Settings | None) -> Object:
    links = settings.relationships if settings else ()
    names = {link.name for link in links} | {link.from_table for link in links if link.one_to_one}
    name: Object = {"enum": list(sorted(names))} if settings else dict(TEXT)
    backs = sorted(f"{link.from_table}.{link.name}" for link in links)
    back: Object = {"enum": list(backs)} if settings else {"type": "string", "pattern": r"^[^.]+\..+$"}
    hop: Object = {"anyOf": [name, {**one_key({"back": back}), "description": "From one to many: rows multiply"}]}
    return {
        "anyOf": [hop, {"type": "array", "items": hop, "minItems": 1}],
        "description": "The relationships from its rows to the profile, where no single path is to be found",
    }


def _rows_of(table: str) -> Object:
    """Return what a rule over a table takes: its attributes, on a path from one to many those of that path too."""
    back: Object = {"anyOf": [{"type": "object"}, {"type": "array", "contains": {"type": "object"}}]}
    parts: Object = {
        "if": {"properties": {"via": back}, "required": ["via"]},
        "then": _rows_parts(None),
        "else": _rows_parts(table),
    }
    return {"if": {"properties": {"over": {"const": table}}}, "then": parts}


def _rows_parts(table: str | None) -> Object:
    condition = f"rows_of_{table}" if table else "row_condition"
    several: Object = {"type": "object", "additionalProperties": reference("value"), "minProperties": 1}
    aggregates: Object = {
        str(function): reference(f"{function}_of_{table}") if table else several for function in AGGREGATE_SUMMARIES
    }
    return {"properties": {"among": reference(condition), "where": reference(condition), **aggregates}}


def _attach(settings: Settings | None) -> Object:
    over: Object = {"enum": list(_row_tables(settings))} if settings else dict(TEXT)
    columns: Object = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
    named: Object = {
        "type": "object",
        "properties": {
            "over": {**over, "description": "The table whose rows are attached"},
            "via": reference("via"),
            "columns": {**columns, "description": "Their attributes; the rows' key stands before them"},
            "name": {**TABLE_NAME, "description": "The column of the output table, unless it is the table's name"},
        },
        "required": ["over", "columns"],
        "additionalProperties": False,
    }
    item: Object = {"anyOf": [{"type": "string", "pattern": r"^[^.]+\..+$"}, named]}
    return {
        "anyOf": [item, {"type": "array", "items": item, "minItems": 1}],
        "description": "Attributes of related tables in the output table: `table.attribute`",
    }


def _attach_limit() -> Object:
    number: Object = {"type": "integer", "minimum": 1, "maximum": MAX_ATTACH_LIMIT}
    return {
        "anyOf": [number, {"type": "string", "pattern": "^[0-9]{1,9}$"}],
        "description": f"How many rows of a table a member has at most ({DEFAULT_ATTACH_LIMIT:,} unless given)",
    }


def _about(kind: str, settings: Settings | None) -> Object:
    """Return the fields that segments and expansions share."""
    return {
        **common_properties(kind, settings),
        "type": {"enum": ["dynamic", "static"]},
        "output_table": TABLE_NAME,
        "attach": reference("attach"),
        "attach_limit": _attach_limit(),
        "publish_if": reference("publish_if"),
    }


def _segment(settings: Settings | None) -> Object:
    return {
        "type": "object",
        "properties": {
            **_about("segment", settings),
            "where": reference("profile_where"),
            "rules": reference("rules"),
        },
        "required": ["kind", "name"],
        "additionalProperties": False,
        "dependentRequired": {"attach_limit": ["attach"]},
        "oneOf": [{"required": ["where"]}, {"required": ["rules"]}],
    }
