"""Walking the rules of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from graphlib import TopologicalSorter

from segengine.project.model import (
    Aggregate,
    All,
    AnyOf,
    Arithmetic,
    Attribute,
    Brackets,
    Condition,
    Expression,
    InSegment,
    Measure,
    MeasureValue,
    Not,
    Operand,
    Path,
    ProfileRule,
    RowsRule,
    Segment,
    Step,
    ValueOf,
)


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


def operand_leaves(operand: Operand) -> Iterator[Attribute | ValueOf]:
    """Yield the attributes and other values an expression is made of."""
    if isinstance(operand, Attribute | ValueOf):
        yield operand
    elif isinstance(operand, Arithmetic):
        yield from operand_leaves(operand.left)
        yield from operand_leaves(operand.right)


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


def find_parents(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Return the ids of the segments that rules refer to, sorted."""
    return tuple(sorted({leaf.segment_id for leaf in segment_leaves(steps) if isinstance(leaf, InSegment)}))


def measure_leaves(measure: Measure) -> Iterator[Condition | InSegment]:
    """Yield every condition and every reference to a segment, of the measure and of its values."""
    for where in (measure.where, *(value.where for value in measure.values)):
        if where is not None:
            yield from expression_leaves(where)


def definition_leaves(definition: Segment | Measure) -> Iterator[Condition | InSegment]:
    """Yield every condition and every reference to a segment of a definition of either kind."""
    return segment_leaves(definition.steps) if isinstance(definition, Segment) else measure_leaves(definition)


def value_attributes(value: MeasureValue) -> Iterator[Attribute]:
    """Yield the attributes a value is worked out from: of each row, or (an expression) of the profile."""
    if isinstance(value.source, Aggregate):
        yield from aggregate_attributes(value.source)
    else:
        yield from operand_attributes(value.source)


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


def definition_parents(definition: Segment | Measure) -> tuple[str, ...]:
    """Return the ids of the segments and measures a definition refers to, sorted."""
    found: set[str] = set()
    for leaf in definition_leaves(definition):
        if isinstance(leaf, InSegment):
            found.add(leaf.segment_id)
        elif leaf.attribute.measure:
            found.add(leaf.attribute.measure)
    if isinstance(definition, Measure):
        found |= {attribute.measure for attribute in measure_attributes(definition) if attribute.measure}
        found |= {definition.over} if definition.over else set()
    return tuple(sorted(found))


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
