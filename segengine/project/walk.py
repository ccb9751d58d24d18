"""Walking what definitions are made of: rules, values, fields of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter

from segengine.project.analysis import Analysis, Evaluated, OverlapQuestion
from segengine.project.attributes import Aggregate, Arithmetic, AsOf, Attribute, Operand, Path, ValueOf
from segengine.project.measure import Measure, MeasureValue
from segengine.project.model import (
    All,
    AnyOf,
    Brackets,
    Condition,
    Expression,
    InSegment,
    ModelField,
    Not,
    ProfileRule,
    RowsRule,
    Segment,
    Step,
)
from segengine.project.project_file import Settings
from segengine.project.values import Relative


def segment_rules(steps: tuple[Step, ...]) -> Iterator[ProfileRule | RowsRule]:
    """Yield every rule, those in brackets included, in the order they are written."""
    for step in steps:
        if isinstance(step.rule, Brackets):
            yield from segment_rules(step.rule.steps)
        else:
            yield step.rule


def rule_expressions(rule: ProfileRule | RowsRule) -> tuple[Expression, ...]:
    """Return the expressions of one rule: `among`, then `where`, then the conditions on aggregates."""
    parts = (rule.where,) if isinstance(rule, ProfileRule) else (rule.among, rule.where, rule.aggregates)
    return tuple(part for part in parts if part is not None)


def segment_leaves(steps: tuple[Step, ...]) -> Iterator[Condition | InSegment]:
    """Yield every condition and every reference to a segment."""
    for rule in segment_rules(steps):
        for expression in rule_expressions(rule):
            yield from expression_leaves(expression)


def expression_leaves(expression: Expression) -> Iterator[Condition | InSegment]:
    """Yield the conditions and references to segments of one expression."""
    if isinstance(expression, Condition | InSegment):
        yield expression
    elif isinstance(expression, Not):
        yield from expression_leaves(expression.item)
    elif isinstance(expression, All | AnyOf):
        for item in expression.items:
            yield from expression_leaves(item)


def operand_parts(operand: Operand) -> Iterator[Operand]:
    """Yield what an expression is made of: attributes, other values, numbers, the instant of the run."""
    if isinstance(operand, Arithmetic):
        yield from operand_parts(operand.left)
        yield from operand_parts(operand.right)
    else:
        yield operand


def operand_leaves(operand: Operand) -> Iterator[Attribute | ValueOf]:
    """Yield the attributes and other values an expression is made of."""
    yield from (part for part in operand_parts(operand) if isinstance(part, Attribute | ValueOf))


def operand_attributes(operand: Operand) -> Iterator[Attribute]:
    """Yield the attributes an expression is made of."""
    yield from (leaf for leaf in operand_leaves(operand) if isinstance(leaf, Attribute))


def aggregate_attributes(aggregate: Aggregate) -> Iterator[Attribute]:
    """Yield the attributes an aggregate reads of each row."""
    if aggregate.of is not None:
        yield from operand_attributes(aggregate.of)
    if aggregate.by is not None:
        yield aggregate.by
    yield from aggregate.key


def measure_leaves(measure: Measure) -> Iterator[Condition | InSegment]:
    """Yield every condition and every reference to a segment, of the measure and of its values."""
    for where in (measure.where, *(value.where for value in measure.values)):
        if where is not None:
            yield from expression_leaves(where)


def definition_leaves(definition: Evaluated) -> Iterator[Condition | InSegment]:
    """Yield every condition and every reference to a segment of a definition of any kind."""
    if isinstance(definition, Segment):
        yield from segment_leaves(definition.steps)
    elif measure := own_measure(definition):
        yield from measure_leaves(measure)


def value_attributes(value: MeasureValue) -> Iterator[Attribute]:
    """Yield the attributes a value is worked out from: of each row, or (an expression) of the profile."""
    if isinstance(value.source, Aggregate):
        yield from aggregate_attributes(value.source)
    else:
        yield from operand_attributes(value.source)


def own_measure(definition: Measure | Analysis) -> Measure | None:
    """Return the measure a definition is, or has for itself alone."""
    return definition.figures if isinstance(definition, Analysis) else definition


def measure_attributes(measure: Measure) -> Iterator[Attribute]:
    """Yield the attributes of a measure's dimensions and values, not those of its conditions."""
    yield from (dimension.attribute for dimension in measure.dimensions)
    for value in measure.values:
        yield from value_attributes(value)


def value_references(operand: Operand) -> Iterator[str]:
    """Yield the names of the values of the same measure that an expression is made of."""
    yield from (leaf.value for leaf in operand_leaves(operand) if isinstance(leaf, ValueOf))


def order_values(measure: Measure) -> tuple[MeasureValue, ...]:
    """Return the values so that each stands behind those its expression is made of."""
    by_name = {value.name: value for value in measure.values}
    references = {
        value.name: [] if isinstance(value.source, Aggregate) else list(value_references(value.source))
        for value in measure.values
    }
    return tuple(by_name[name] for name in TopologicalSorter(references).static_order())


def aggregated_values(measure: Measure) -> list[MeasureValue]:
    """Return the values that are aggregates of rows, in the order written."""
    return [value for value in measure.values if isinstance(value.source, Aggregate)]


def definition_parents(definition: Evaluated) -> tuple[str, ...]:
    """Return the ids of the segments and measures a definition refers to, sorted."""
    found = {field.parent for field in model_fields(definition)}
    for leaf in definition_leaves(definition):
        if isinstance(leaf, InSegment):
            found.add(leaf.segment_id)
        elif leaf.attribute.measure:
            found.add(leaf.attribute.measure)
    if isinstance(definition, Measure):
        found |= {attribute.measure for attribute in measure_attributes(definition) if attribute.measure}
        found |= {definition.over} if definition.over else set()
    elif isinstance(definition, Analysis):
        found |= {*definition.question.segments}
    elif definition.expansion:
        found |= {definition.expansion.source, definition.expansion.candidates}
    return tuple(sorted(found - {""}))


def find_behind(definitions: Mapping[str, Evaluated], identity: str) -> list[str]:
    """Return a definition and all that it refers to, directly or not, by id; nothing of what is unknown."""
    found: dict[str, None] = {}
    waiting = [identity]
    while waiting:
        current = waiting.pop()
        if current not in found and current in definitions:
            found[current] = None
            waiting += definition_parents(definitions[current])
    return list(found)


def depends_on_as_of(definition: Evaluated) -> bool:
    """Return whether a definition asks what time it is; what it refers to may, all the same."""
    tests = (leaf.test for leaf in definition_leaves(definition) if isinstance(leaf, Condition))
    if any(isinstance(test, Relative) for test in tests):
        return True
    measure = None if isinstance(definition, Segment) else own_measure(definition)
    operands = (value.source for value in measure.values) if measure else ()
    aggregated = (source.of if isinstance(source, Aggregate) else source for source in operands)
    parts = (part for operand in aggregated if operand is not None for part in operand_parts(operand))
    return any(isinstance(part, AsOf) for part in parts)


def tables_read(definition: Evaluated, settings: Settings) -> frozenset[str]:
    """Return the tables that a definition's members or values, and what is attached to them, may depend on.

    Not those of what it refers to. Some may be left unread: the profiles of a business measure or of an overlap by no
    field, the accounts of a contact segment that asks nothing of them.
    """
    attributes = [leaf.attribute for leaf in definition_leaves(definition) if isinstance(leaf, Condition)]
    attributes += model_attributes(definition)
    paths: list[Path | None] = []
    if not isinstance(definition, Segment):
        if measure := own_measure(definition):
            attributes += measure_attributes(measure)
            paths.append(measure.path)
    else:
        paths += [rule.path for rule in segment_rules(definition.steps) if isinstance(rule, RowsRule)]
        paths += [attachment.path for attachment in definition.attach]
        attributes += [part for each in definition.attach for part in (*each.key, *each.attributes)]
    accounts = settings.account_of(definition.audience)
    found = {settings.audiences[definition.audience].table} | ({accounts.table} if accounts else set())
    for path in paths:
        found |= {path.over, *(hop.target for hop in path.hops)} if path else set()
    for attribute in attributes:
        found |= {hop.target for hop in attribute.hops}
    return frozenset(found)


def model_fields(definition: Evaluated) -> tuple[ModelField, ...]:
    """Return what the model of a definition looks at of the profiles; nothing where it has none."""
    if isinstance(definition, Analysis):
        return definition.question.fields
    return definition.expansion.fields if isinstance(definition, Segment) and definition.expansion else ()


def reads_profiles(definition: Evaluated) -> bool:
    """Return whether the profiles themselves are read: not where only the stored members of segments are counted."""
    question = definition.question if isinstance(definition, Analysis) else None
    return not isinstance(question, OverlapQuestion) or bool(question.fields)


def model_attributes(definition: Evaluated) -> list[Attribute]:
    """Return the attributes that the fields of a definition's model are, measures among them."""
    return [field.source for field in model_fields(definition) if isinstance(field.source, Attribute)]


def profile_attribute(attribute: Attribute, path: Path) -> Attribute | None:
    """Return the attribute as seen from the profile, where it is reached along the whole path; else None.

    Of rows that are profiles themselves (no hops) only measures are.
    """
    length = len(path.hops)
    if not length:
        return attribute if attribute.measure and not attribute.aggregate else None
    if attribute.aggregate or attribute.hops[:length] != path.hops:
        return None
    return replace(attribute, base=path.hops[-1].target, hops=attribute.hops[length:])
