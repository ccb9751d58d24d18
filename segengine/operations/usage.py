"""What definitions use: attributes by scan."""

from __future__ import annotations

from collections.abc import Iterator

from segengine.project.model import (
    All,
    AnyOf,
    Attribute,
    Brackets,
    Condition,
    Expression,
    Not,
    ProfileRule,
    Segment,
    Settings,
    Step,
)


def used_attributes(segment: Segment, settings: Settings) -> Iterator[tuple[str, Attribute]]:
    """Yield (name of the scan, attribute) for every condition of a segment."""
    yield from _steps(segment.steps, settings.audiences[segment.audience].table)


def _steps(steps: tuple[Step, ...], profile_table: str) -> Iterator[tuple[str, Attribute]]:
    for step in steps:
        rule = step.rule
        if isinstance(rule, Brackets):
            yield from _steps(rule.steps, profile_table)
            continue
        parts = (rule.where,) if isinstance(rule, ProfileRule) else (rule.among, rule.where)
        scan = profile_table if isinstance(rule, ProfileRule) else rule.path.name
        for part in parts:
            if part is not None:
                yield from ((scan, attribute) for attribute in _attributes(part))


def _attributes(expression: Expression) -> Iterator[Attribute]:
    if isinstance(expression, Condition):
        yield expression.attribute
    elif isinstance(expression, Not):
        yield from _attributes(expression.item)
    elif isinstance(expression, All | AnyOf):
        for item in expression.items:
            yield from _attributes(item)
