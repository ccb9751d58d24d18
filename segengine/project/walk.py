"""Walking the rules of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

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
    Not,
    Operand,
    Path,
    ProfileRule,
    RowsRule,
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


def aggregate_attributes(aggregate: Aggregate) -> Iterator[Attribute]:
    """Yield the attributes an aggregate reads of each row."""
    if aggregate.of is not None:
        yield from (leaf for leaf in operand_leaves(aggregate.of) if isinstance(leaf, Attribute))
    if aggregate.by is not None:
        yield aggregate.by
    yield from aggregate.key


def find_parents(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Return the ids of the segments that rules refer to, sorted."""
    return tuple(sorted({leaf.segment_id for leaf in segment_leaves(steps) if isinstance(leaf, InSegment)}))


def profile_attribute(attribute: Attribute, path: Path) -> Attribute | None:
    """Return the attribute as seen from the profile, where it is reached along the whole path; else None."""
    length = len(path.hops)
    if attribute.aggregate or attribute.hops[:length] != path.hops:
        return None
    return replace(attribute, base=path.hops[-1].target, hops=attribute.hops[length:])
