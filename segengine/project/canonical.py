"""The canonical form of a segment and its three hashes.

*data*: what decides the members (rules after resolution: paths, keys, types, zone, and the version of our
semantics); *parents*: the data hashes of the segments referred to, theirs included; *metadata*: names, tags,
description. Two definitions that mean the same by construction (order of `all`, of `any`, of lists; scalar or
`equals`) have the same data hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from segengine.project.logic import push_not_inward
from segengine.project.model import (
    All,
    AnyOf,
    Attachment,
    Attribute,
    Brackets,
    Condition,
    Everyone,
    Expression,
    Hop,
    InSegment,
    Not,
    ProfileRule,
    RowsRule,
    Rule,
    Segment,
    Settings,
    Step,
)
from segengine.project.values import Constant, Ranges, Relative, Test

SEMANTICS_VERSION = 1
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True)
class Hashes:
    """Hex digests of what decides a segment's members, of its parents, and of everything else."""

    data: str
    parents: str
    metadata: str


def digest(value: Json) -> str:
    """Return the SHA-256 of a JSON value in canonical text, as 32 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def hash_segments(
    segments: Mapping[str, Segment], parents: Mapping[str, tuple[str, ...]], settings: Settings
) -> dict[str, Hashes]:
    """Return the hashes of segments given parents first."""
    hashes: dict[str, Hashes] = {}
    for identity, segment in segments.items():
        data = digest(canonical_form(segment, settings))
        above: list[Json] = [
            [parent, hashes[parent].data, hashes[parent].parents] for parent in parents[identity] if parent in hashes
        ]
        metadata: list[Json] = [
            segment.name,
            segment.description,
            list(sorted(segment.tags)),
            segment.output_table,
            segment.type,
            segment.attach_limit,
            [_attachment(attachment, settings) for attachment in segment.attach],
        ]
        hashes[identity] = Hashes(data, digest(above), digest(metadata))
    return hashes


def canonical_form(segment: Segment, settings: Settings) -> Json:
    """Return what decides a segment's members as one JSON value."""
    audience = settings.audiences[segment.audience]
    table = settings.tables[audience.table]
    form: dict[str, Json] = {
        "semantics": SEMANTICS_VERSION,
        "zone": settings.time_zone,
        "audience": segment.audience,
        "profiles": [table.name, table.location, *table.key],
        "steps": [_step(step, settings) for step in segment.steps],
    }
    if audience.account:
        form["account"] = _hop(Hop(audience.account.relationship), settings)
    return form


def _step(step: Step, settings: Settings) -> Json:
    return [step.operator, _rule(step.rule, settings)]


def _rule(rule: Rule, settings: Settings) -> Json:
    if isinstance(rule, Brackets):
        return {"rules": [_step(step, settings) for step in rule.steps]}
    if isinstance(rule, ProfileRule):
        return {"where": _expression(rule.where, settings)}
    return _rows_rule(rule, settings)


def _rows_rule(rule: RowsRule, settings: Settings) -> Json:
    over = settings.tables[rule.path.over]
    return {
        "over": [rule.path.over, over.location, *over.key],
        "path": [_hop(hop, settings) for hop in rule.path.hops],
        "rows": [str(rule.quantifier), rule.count],
        "among": None if rule.among is None else _expression(rule.among, settings),
        "where": None if rule.where is None else _expression(rule.where, settings),
        "aggregates": None if rule.aggregates is None else _expression(rule.aggregates, settings),
    }


def _attachment(attachment: Attachment, settings: Settings) -> Json:
    return {
        "name": attachment.name,
        "path": [_hop(hop, settings) for hop in attachment.path.hops],
        "attributes": [[name, _attribute(attribute, settings)] for name, attribute in attachment.fields],
    }


def _hop(hop: Hop, settings: Settings) -> Json:
    link = hop.relationship
    table = settings.tables[hop.target]
    return [list(link.from_columns), hop.reverse, table.name, table.location, *table.key]


def _expression(expression: Expression, settings: Settings) -> Json:
    return _normal(push_not_inward(expression), settings)


def _normal(expression: Expression, settings: Settings) -> Json:
    if isinstance(expression, Everyone):
        return "everyone"
    if isinstance(expression, InSegment):
        return {"in_segment": expression.segment_id}
    if isinstance(expression, Not):
        return {"not": _normal(expression.item, settings)}
    if isinstance(expression, All | AnyOf):
        word = "all" if isinstance(expression, All) else "any"
        parts = [part for item in expression.items for part in _same_kind(_normal(item, settings), word)]
        items = {json.dumps(part, sort_keys=True) for part in parts}
        if len(items) == 1:
            only: Json = json.loads(items.pop())
            return only
        return {word: [json.loads(item) for item in sorted(items)]}
    return _condition(expression, settings)


def _same_kind(form: Json, word: str) -> list[Json]:
    """Return the items of an `all` inside an `all` (an `any` inside an `any`), else the form itself."""
    inner = form.get(word) if isinstance(form, dict) else None
    return inner if isinstance(inner, list) else [form]


def _condition(condition: Condition, settings: Settings) -> Json:
    return {
        "attribute": _attribute(condition.attribute, settings),
        "test": _test(condition.test),
        "missing": condition.missing,
    }


def _attribute(attribute: Attribute, settings: Settings) -> Json:
    hops = attribute.hops
    table = settings.tables[hops[-1].target if hops else attribute.base]
    column = table.column_setting(attribute.column)
    source = column.source if column and column.source else attribute.column
    steps: list[Json] = [_hop(hop, settings) for hop in hops]
    type_ = attribute.whole.type
    function = attribute.aggregate.function if attribute.aggregate else None
    part: list[Json] = [attribute.part.name] if attribute.part else []
    return [attribute.base, steps, source, str(type_), type_.zone, function, *part]


def _test(test: Test) -> Json:
    if isinstance(test, Ranges):
        return {"ranges": [[_bound(low), _bound(high)] for low, high in test.spans]}
    if isinstance(test, Constant):
        return test.accepts_all
    if isinstance(test, Relative):
        return {test.operation: [test.count, test.unit], "rolling": test.rolling, "negated": test.negated}
    return {test.operation: list(test.operands), "ignore_case": test.ignore_case, "negated": test.negated}


def _bound(bound: int | float | None) -> Json:
    return bound.hex() if isinstance(bound, float) else str(bound) if bound is not None else None
