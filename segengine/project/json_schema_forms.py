"""What the parts of the JSON Schema share."""

from __future__ import annotations

from segengine.project.canonical import Json
from segengine.project.definitions import MAX_TAGS
from segengine.project.operating import AGE_PATTERN, GATES, MAX_TIMES, OWN_PERIODS, TIME_PATTERN
from segengine.project.project_file import Settings
from segengine.project.types import WEEKDAYS

Object = dict[str, Json]

TEXT: Object = {"type": ["string", "number"]}
BOOLEAN: Object = {"enum": [True, False, "true", "false"]}
NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
TABLE_NAME: Object = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"}


def reference(name: str) -> Object:
    """Return a reference to one of the schema's definitions."""
    return {"$ref": f"#/$defs/{name}"}


def one_key(properties: Object) -> Object:
    """Return a mapping with exactly one of several keys."""
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def common_properties(kind: str, settings: Settings | None) -> Object:
    """Return the fields that definitions of every kind have."""
    audience: Object = {"enum": list(settings.audiences)} if settings else dict(TEXT)
    most = MAX_TAGS + 1  # with the tag of what was deactivated for want of use
    tags: list[Json] = [TEXT, {"type": "array", "items": TEXT, "maxItems": most}]
    return {
        "kind": {"const": kind},
        "name": {**TEXT, "minLength": 1},
        "id": {"type": ["string", "integer"], "pattern": "^[a-z0-9][a-z0-9_]*$"},
        "description": TEXT,
        "tags": {"anyOf": tags},
        "state": {"enum": ["active", "inactive", "draft"], "description": "Only active ones are refreshed"},
        "exempt_from_deactivation": {"type": "boolean", "description": "Stays active however long nobody uses it"},
        "audience": audience,
        "refresh": reference("refresh"),
    }


def operating_definitions() -> Object:
    """Return what may stand under `refresh` and `publish_if`."""
    at: Object = {"type": "string", "pattern": f"^{TIME_PATTERN}$"}
    times: Object = {"anyOf": [at, {"type": "array", "items": at, "minItems": 1, "maxItems": MAX_TIMES}]}
    weekdays: list[Json] = [*WEEKDAYS, *(name.capitalize() for name in WEEKDAYS)]
    properties: Object = {
        "daily": times,
        "weekly": _on_day({"enum": weekdays}, times),
        "monthly": _on_day({"type": "integer", "minimum": 1, "maximum": 31}, times),
        "zone": TEXT,
    }
    forms: dict[str, Object] = {
        "not_empty": {"type": "boolean"},
        "sources_not_empty": {"type": "boolean"},
        "at_least": {"type": "integer", "minimum": 0},
        "sources_not_older_than": {"type": "string", "pattern": f"^{AGE_PATTERN}$"},
    }
    share: Object = {"type": "number", "minimum": 0}
    gates: Object = {name: {**forms.get(name, share), "description": text} for name, text in GATES.items()}
    return {
        "refresh": {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "oneOf": [{"required": [period]} for period in OWN_PERIODS],
            "description": "When it is refreshed; else as the project's `schedule` says",
        },
        "publish_if": {
            "type": "object",
            "properties": gates,
            "additionalProperties": False,
            "description": "What holds a result back until it is released",
        },
    }


def _on_day(day: Object, times: Object) -> Object:
    return {
        "type": "object",
        "properties": {"day": day, "at": times},
        "required": ["day", "at"],
        "additionalProperties": False,
    }


def consumer_definition() -> Object:
    """Return the schema of an outside consumer."""
    own = ("kind", "name", "id", "description", "tags")
    common = common_properties("consumer", None)
    return {
        "type": "object",
        "properties": {
            **{name: common[name] for name in own},
            "uses": {
                "anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}],
                "description": "The segments and measures used, by name or id",
            },
            "link": {**TEXT, "description": "Where the consumer, or who answers for it, is found"},
        },
        "required": ["kind", "name", "uses"],
        "additionalProperties": False,
    }
