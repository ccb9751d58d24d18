"""Walking the rules of a segment."""

from __future__ import annotations

from collections.abc import Iterator

from segengine.project.model import (
    All,
    AnyOf,
    Attribute,
    Brackets,
    Condition,
    Expression,
    InSegment,
    Not,
    ProfileRule,
    RowsRule,
    Step,
)


def segment_rules(steps: tuple[Step, ...]) -> Iterator[ProfileRule | RowsRule]:
    """Yield every rule, those in brackets included, in the order they are written."""
    for step in steps:
        if isinstance(step.rule, Brackets):
            yield from segment_rules(step.rule.steps)
        else:
            yield step.rule


def rule_expressions(rule: ProfileRule | RowsRule) -> tuple[Expression, ...]:
    """Return the expressions of one rule: `among`, then `where`."""
    parts = (rule.where,) if isinstance(rule, ProfileRule) else (rule.among, rule.where)
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


def find_parents(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Return the ids of the segments that rules refer to, sorted."""
    return tuple(sorted({leaf.segment_id for leaf in segment_leaves(steps) if isinstance(leaf, InSegment)}))


def used_attributes(steps: tuple[Step, ...], profile_table: str) -> Iterator[tuple[str, Attribute]]:
    """Yield (name of the scan, attribute) for every condition."""
    for rule in segment_rules(steps):
        scan = profile_table if isinstance(rule, ProfileRule) else rule.path.name
        for expression in rule_expressions(rule):
            yield from ((scan, leaf.attribute) for leaf in expression_leaves(expression) if isinstance(leaf, Condition))
