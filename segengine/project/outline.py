"""A segment as a tree of rules and conditions for people, in the order written.

`not` stands where it is judged: in front of single conditions (SQL's three-valued WHERE), as `push_not_inward` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from segengine.project.logic import push_not_inward
from segengine.project.model import (
    All,
    AnyOf,
    Brackets,
    Condition,
    Everyone,
    Expansion,
    Expression,
    InSegment,
    Not,
    ProfileRule,
    Quantifier,
    RowsRule,
    Rule,
    Segment,
    Step,
)


@dataclass(frozen=True)
class OutlineItem:
    """One line of the tree.

    `rule`, `expression`: what the line is about; an expression without a rule is judged on the profile, one with a rule
    over rows on its rows (or, where it is about an aggregate, on the profile). `steps`: the steps up to this one, where
    there are several, for the running total.
    """

    depth: int
    text: str
    rule: Rule | None = None
    expression: Expression | None = None
    steps: tuple[Step, ...] = ()


def outline_segment(segment: Segment, names: Mapping[str, str]) -> list[OutlineItem]:
    """Return the lines of a segment's tree.

    Args:
        segment: The segment.
        names: Names of the segments it refers to, by id.
    """
    if segment.expansion:
        return [OutlineItem(depth, text) for depth, text in _expansion_lines(segment.expansion, names)]
    return list(_Outline(names).steps(segment.steps, 0))


def _expansion_lines(expansion: Expansion, names: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield what an expansion asks for, by depth."""

    def name_of(identity: str) -> str:
        return f'segment "{names.get(identity, identity)}"'

    yield 0, f"most similar to the members of {name_of(expansion.source)}"
    chosen = "fields that tell something" if expansion.is_recommended else ""
    yield 1, f"by {chosen or ', '.join(field.name for field in expansion.fields)}"
    yield 1, f"among {name_of(expansion.candidates) if expansion.candidates else 'everyone else'}"
    if expansion.include_source:
        yield 1, "and these members themselves"
    size = expansion.size
    share = f"{(size * 100).normalize():f} % of the audience"
    yield 1, f"at most {share if size <= 1 else f'{size:,f} members'}"
    yield 1, f"with a score of at least {expansion.minimum_score}"


class _Outline:
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def steps(self, steps: tuple[Step, ...], depth: int) -> Iterator[OutlineItem]:
        for count, step in enumerate(steps, start=1):
            operator = f"{step.operator} " if count > 1 else ""
            first, *rest = self._rule(step.rule, depth)
            so_far = steps[:count] if len(steps) > 1 else ()
            yield replace(first, text=operator + first.text, steps=so_far)
            yield from rest

    def _rule(self, rule: Rule, depth: int) -> Iterator[OutlineItem]:
        if isinstance(rule, Brackets):
            yield OutlineItem(depth, "rules in brackets", rule=rule)
            yield from self.steps(rule.steps, depth + 1)
        elif isinstance(rule, ProfileRule):
            first, *rest = self._expression(push_not_inward(rule.where), None, depth)
            yield replace(first, rule=rule)
            yield from rest
        else:
            yield OutlineItem(depth, f"{rule.path.name}: {show_judgement(rule)}", rule=rule)
            for label, expression in (("among", rule.among), ("where", rule.where)):
                if expression is not None:
                    yield from self._labelled(label, push_not_inward(expression), rule, depth + 1)
            if rule.aggregates is not None:
                yield from self._expression(push_not_inward(rule.aggregates), rule, depth + 1)

    def _labelled(self, label: str, expression: Expression, rule: RowsRule, depth: int) -> Iterator[OutlineItem]:
        first, *rest = self._expression(expression, rule, depth)
        yield replace(first, text=f"{label} {first.text}")
        yield from rest

    def _expression(self, expression: Expression, rule: RowsRule | None, depth: int) -> Iterator[OutlineItem]:
        yield OutlineItem(depth, self._text(expression), rule, expression)
        for item in expression.items if isinstance(expression, All | AnyOf) else ():
            yield from self._expression(item, rule, depth + 1)

    def _text(self, expression: Expression) -> str:
        if isinstance(expression, All):
            return "all of"
        if isinstance(expression, AnyOf):
            return "any of"
        if isinstance(expression, Everyone):
            return "everyone"
        if isinstance(expression, InSegment):
            return f'in segment "{self._names.get(expression.segment_id, expression.segment_id)}"'
        if isinstance(expression, Not):
            return f"not {self._text(expression.item)}"
        return expression.text


def show_judgement(rule: RowsRule) -> str:
    """Return what a rule asks of the rows: `any row`, `at least 3 rows`, `all aggregates`."""
    if rule.aggregates is not None:
        return "aggregates"
    if rule.quantifier in (Quantifier.ANY, Quantifier.ALL, Quantifier.NONE):
        return {"any": "any row", "all": "all rows", "none": "no row"}[rule.quantifier]
    return f"{rule.quantifier.replace('_', ' ')} {rule.count} row{'' if rule.count == 1 else 's'}"


def is_counted(item: OutlineItem) -> bool:
    """Return whether the line says something of profiles, not of single rows."""
    if not isinstance(item.rule, RowsRule) or item.expression is None:
        return True
    return all(isinstance(leaf, Condition) and leaf.attribute.aggregate for leaf in _leaves(item.expression))


def _leaves(expression: Expression) -> Iterator[Expression]:
    if isinstance(expression, All | AnyOf):
        for item in expression.items:
            yield from _leaves(item)
    else:
        yield expression
