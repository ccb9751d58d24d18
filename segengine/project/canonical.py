"""The canonical form of what is evaluated, and its three hashes.

*data*: what decides the members, values or answers (after resolution: paths, keys, types, zone, and the version of our
semantics); *parents*: the data hashes of the segments and measures referred to, theirs included; *metadata*: names,
tags, description. Two definitions that mean the same by construction (order of `all`, of `any`, of lists; scalar or
`equals`) have the same data hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from segengine.project.analysis import ActivityQuestion, Analysis, DifferenceQuestion, Evaluated, TargetQuestion
from segengine.project.attributes import Aggregate, AsOf, Attribute, Hop, Number, Operand, ValueOf
from segengine.project.logic import push_not_inward
from segengine.project.measure import Measure, MeasureValue
from segengine.project.measure_names import is_group_attribute
from segengine.project.model import (
    NO_GATES,
    All,
    AnyOf,
    Attachment,
    Brackets,
    Condition,
    Everyone,
    Expansion,
    Expression,
    InSegment,
    ModelField,
    Not,
    ProfileRule,
    RowsRule,
    Rule,
    Segment,
    Step,
)
from segengine.project.project_file import Settings, Table
from segengine.project.values import Constant, Ranges, Relative, Test

SEMANTICS_VERSION = 1
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True)
class Hashes:
    """Hex digests of what decides members or values, of the parents, and of everything else."""

    data: str
    parents: str
    metadata: str


def digest(value: Json) -> str:
    """Return the SHA-256 of a JSON value in canonical text, as 32 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def hash_definitions(
    definitions: Mapping[str, Evaluated], parents: Mapping[str, tuple[str, ...]], settings: Settings
) -> dict[str, Hashes]:
    """Return the hashes of definitions given parents first."""
    hashes: dict[str, Hashes] = {}
    for identity, definition in definitions.items():
        data = digest(canonical_form(definition, settings))
        above: list[Json] = [
            [parent, hashes[parent].data, hashes[parent].parents] for parent in parents[identity] if parent in hashes
        ]
        metadata: list[Json] = [
            definition.name,
            definition.description,
            list(sorted(definition.tags)),
            definition.state,
            definition.exempt_from_deactivation,
        ]
        if isinstance(definition, Segment):
            metadata += _presentation(definition, settings)
            metadata += [repr(definition.gates)] if definition.gates != NO_GATES else []
        elif isinstance(definition, Analysis):
            metadata.append(definition.type)
        metadata += [str(definition.schedule)] if definition.schedule else []
        hashes[identity] = Hashes(data, digest(above), digest(metadata))
    return hashes


def _presentation(segment: Segment, settings: Settings) -> list[Json]:
    return [
        segment.output_table,
        segment.type,
        segment.attach_limit,
        [_attachment(attachment, settings) for attachment in segment.attach],
    ]


def canonical_form(definition: Evaluated, settings: Settings) -> Json:
    """Return what decides a segment's members, a measure's values or an analysis' answer, as one JSON value."""
    if isinstance(definition, Measure):
        return _measure(definition, settings)
    if isinstance(definition, Analysis):
        return _analysis(definition, settings)
    segment = definition
    audience = settings.audiences[segment.audience]
    table = settings.tables[audience.table]
    form: dict[str, Json] = {
        "semantics": SEMANTICS_VERSION,
        "zone": settings.time_zone,
        "audience": segment.audience,
        "profiles": _keyed(table),
        "steps": [_step(step, settings) for step in segment.steps],
    }
    if audience.account:
        form["account"] = _hop(Hop(audience.account.relationship), settings)
    if segment.expansion:
        form["expansion"] = _expansion(segment.expansion, settings)
    return form


def _analysis(analysis: Analysis, settings: Settings) -> Json:
    form: dict[str, Json] = {
        "semantics": SEMANTICS_VERSION,
        "zone": settings.time_zone,
        "audience": analysis.audience,
        "profiles": _keyed(settings.tables[settings.audiences[analysis.audience].table]),
    }
    question = analysis.question
    if isinstance(question, ActivityQuestion):
        figures, dimensions = _measure(question.figures, settings), list[Json](sorted(question.dimensions))
        return {**form, "figures": figures, "dimensions": dimensions, "of": question.of}
    form["fields"] = _model_fields(question.fields, settings)
    if isinstance(question, TargetQuestion):
        return {**form, "improve": _model_field(question.target.source, settings), "of": question.of}
    if isinstance(question, DifferenceQuestion):
        every = question.is_every_field
        return {**form, "of": question.of, "against": question.against, "every_field": every}
    return {**form, "overlap": list[Json](sorted(question.segments))}


def _model_fields(fields: Iterable[ModelField], settings: Settings) -> list[Json]:
    """Return the forms of fields as text in one order: which of them comes first changes nothing."""
    return list[Json](sorted(json.dumps(_model_field(field.source, settings)) for field in fields))


def _expansion(expansion: Expansion, settings: Settings) -> Json:
    return {
        "source": expansion.source,
        "fields": _model_fields(expansion.fields, settings),
        "recommended": expansion.is_recommended,
        "candidates": expansion.candidates,
        "size": str(expansion.size),
        "include_source": expansion.include_source,
        "minimum_score": str(expansion.minimum_score.normalize()),
    }


def _model_field(source: Attribute | InSegment, settings: Settings) -> Json:
    return {"in_segment": source.segment_id} if isinstance(source, InSegment) else _attribute(source, settings)


def _measure(measure: Measure, settings: Settings) -> Json:
    """Return the form of a measure. The name of a single value is the measure's, which changes nothing."""
    form: dict[str, Json] = {
        "semantics": SEMANTICS_VERSION,
        "zone": settings.time_zone,
        "dimensions": [[d.name, _attribute(d.attribute, settings), str(d.type), d.period] for d in measure.dimensions],
        "where": None if measure.where is None else _expression(measure.where, settings),
        "values": [_value(value, measure.shown_values == (value,), settings) for value in measure.values],
    }
    path = measure.path
    if path is not None:
        over = settings.tables[path.over]
        form["over"] = _keyed(over)
        form["path"] = [_hop(hop, settings) for hop in path.hops]
    elif measure.over:
        form["over"] = {"measure": measure.over}
    if measure.per_profile or measure.over or (path is not None and path.hops):
        audience = settings.audiences[measure.audience]
        table = settings.tables[audience.table]
        form["audience"] = measure.audience
        form["profiles"] = _keyed(table)
        if audience.account:
            form["account"] = _hop(Hop(audience.account.relationship), settings)
    form["per_profile"] = measure.per_profile
    return form


def _value(value: MeasureValue, is_only: bool, settings: Settings) -> Json:
    source = value.source
    return {
        "name": "" if is_only else value.name,
        "type": [str(value.type), value.type.zone],
        "source": _aggregate(source, settings) if isinstance(source, Aggregate) else _operand(source, settings),
        "where": None if value.where is None else _expression(value.where, settings),
        "if_missing": value.if_missing,
        "is_helper": value.is_helper,
    }


def _aggregate(aggregate: Aggregate, settings: Settings) -> Json:
    return {
        "function": aggregate.function,
        "of": None if aggregate.of is None else _operand(aggregate.of, settings),
        "by": None if aggregate.by is None else _attribute(aggregate.by, settings),
        "key": [_attribute(attribute, settings) for attribute in aggregate.key],
    }


def _operand(operand: Operand, settings: Settings) -> Json:
    if isinstance(operand, Attribute):
        return {"attribute": _attribute(operand, settings)}
    if isinstance(operand, Number):
        return {"number": [str(operand.unscaled), operand.type.scale]}
    if isinstance(operand, AsOf):
        return "as_of"
    if isinstance(operand, ValueOf):
        return {"value": operand.value}
    return [_operand(operand.left, settings), operand.operator, _operand(operand.right, settings)]


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
        "over": _keyed(over),
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
    columns = [settings.tables[link.from_table].stored_name(column) for column in link.from_columns]
    return [list[Json](columns), hop.reverse, hop.multiplies, *_keyed(settings.tables[hop.target])]


def _keyed(table: Table) -> list[Json]:
    return [table.name, table.location, *map(table.stored_name, table.key)]


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
    if attribute.measure:
        return _measured(attribute, settings)
    table = settings.tables[hops[-1].target if hops else attribute.base]
    steps: list[Json] = [_hop(hop, settings) for hop in hops]
    type_ = attribute.whole.type
    function = attribute.aggregate.function if attribute.aggregate else None
    part: list[Json] = [attribute.part.name] if attribute.part else []
    return [attribute.base, steps, table.stored_name(attribute.column), str(type_), type_.zone, function, *part]


def _measured(attribute: Attribute, settings: Settings) -> Json:
    """Return the form of a measure's value: by its id, so that another name changes nothing."""
    steps: list[Json] = [_hop(hop, settings) for hop in attribute.hops]
    if is_group_attribute(attribute):
        value = attribute.column
    else:
        value = attribute.column.partition(".")[2]  # of a measure with one value its name is not said
    form: list[Json] = [attribute.base, steps, {"measure": attribute.measure}, value]
    function = attribute.aggregate.function if attribute.aggregate else None
    part: list[Json] = [attribute.part.name] if attribute.part else []
    type_ = attribute.whole.type
    return [*form, str(type_), type_.zone, function, *part]


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
