"""Finding conditions that can never hold, or always do, by reasoning over the sets of values they accept."""

from __future__ import annotations

from collections.abc import Iterator

from segengine.errors import Level
from segengine.project.model import All, AnyOf, Attribute, Condition, Expression, Not, Segment
from segengine.project.problems import Problems
from segengine.project.values import Constant, Ranges, TextTest
from segengine.project.walk import rule_expressions, segment_rules


def push_not_inward(expression: Expression, negate: bool = False) -> Expression:
    """Return the expression with `not` only inside conditions (`Condition.negated`) and before `in_segment`."""
    if isinstance(expression, Not):
        return push_not_inward(expression.item, not negate)
    if isinstance(expression, All | AnyOf):
        items = tuple(push_not_inward(item, negate) for item in expression.items)
        conjunction = isinstance(expression, All) != negate
        return All(items, expression.place) if conjunction else AnyOf(items, expression.place)
    if not negate:
        return expression
    return expression.negated() if isinstance(expression, Condition) else Not(expression)


def is_satisfiable(conditions: list[Condition]) -> bool:
    """Return whether one value (or a missing one) can pass several conditions on the same attribute.

    Only what is certain counts: patterns and text fragments are taken as satisfiable.
    """
    if all(condition.missing for condition in conditions):
        return True
    tests = [condition.test for condition in conditions]
    if any(test == Constant(False) for test in tests):
        return False
    ranges = [test for test in tests if isinstance(test, Ranges)]
    texts = [test for test in tests if isinstance(test, TextTest)]
    if ranges:
        common = ranges[0]
        for other in ranges[1:]:
            common = common.intersection(other)
        return not common.is_empty()
    exact = next(
        (test for test in texts if test.operation == "equals" and not test.negated and not test.ignore_case),
        None,
    )
    if exact is None:
        return not any(test.complement() in texts for test in texts)
    return any(all(test.accepts(word) is not False for test in texts) for word in exact.operands)


def find_logic_issues(segment: Segment, problems: Problems) -> None:
    """Report contradictions (errors) and conditions without effect (warnings) of a segment's rules."""
    problems.subject = f'segment "{segment.name}"'
    for rule in segment_rules(segment.steps):
        if parts := rule_expressions(rule):
            _visit(push_not_inward(All(parts, rule.place)), [], problems)


def _visit(expression: Expression, around: list[Condition], problems: Problems) -> None:
    """Check one branch; `around` are the conditions that hold wherever this expression is judged."""
    if isinstance(expression, Condition):
        _check_conjunction([expression], around, problems)
    elif isinstance(expression, All):
        flat = list(_flatten(expression))
        conditions = [item for item in flat if isinstance(item, Condition)]
        sound = _check_conjunction(conditions, around, problems)
        for item in flat:
            if sound and isinstance(item, AnyOf):
                _visit(item, [*around, *conditions], problems)
    elif isinstance(expression, AnyOf):
        _check_always_true(expression, problems)
        for item in expression.items:
            _visit(item, around, problems)


def _flatten(expression: All) -> Iterator[Expression]:
    for item in expression.items:
        if isinstance(item, All):
            yield from _flatten(item)
        else:
            yield item


def _check_conjunction(conditions: list[Condition], around: list[Condition], problems: Problems) -> bool:
    """Report conditions that exclude each other; return whether there were none."""
    by_attribute: dict[Attribute, list[Condition]] = {}
    for condition in conditions:
        by_attribute.setdefault(condition.attribute, []).append(condition)
    sound = True
    for attribute, own in by_attribute.items():
        together = [condition for condition in around if condition.attribute == attribute] + own
        if is_satisfiable(together):
            continue
        sound = False
        if len(together) == 1:
            message = f'"{own[0].text}" can never hold for {attribute.type}.'
            problems.add(own[0].place, "SEG302", message)
        else:
            listed = " and ".join(dict.fromkeys(f'"{condition.text}"' for condition in together))
            hint = "Different rows or alternatives belong into `any` or into rules of their own."
            problems.add(own[-1].place, "SEG302", f"{listed} exclude each other.", hint)
    return sound


def _check_always_true(expression: AnyOf, problems: Problems) -> None:
    """Warn where the alternatives on one attribute together accept every value that is there."""
    by_attribute: dict[Attribute, list[Condition]] = {}
    for item in expression.items:
        if isinstance(item, Condition):
            by_attribute.setdefault(item.attribute, []).append(item)
    for attribute, conditions in by_attribute.items():
        ranges = [condition.test for condition in conditions if isinstance(condition.test, Ranges)]
        union = Ranges(())
        for test in ranges:
            union = union.union(test)
        tests = [condition.test for condition in conditions]
        opposite = any(test.complement() in tests for test in tests if isinstance(test, TextTest))
        if (len(ranges) > 1 and union.is_everything()) or opposite:
            message = f"the alternatives on {attribute.name} hold for every value that is not missing."
            hint = f"Write `{attribute.name}: {{empty: false}}` if that is meant."
            problems.add(expression.place, "SEG303", message, hint, Level.WARNING)
