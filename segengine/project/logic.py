"""Reasoning over conditions: `not` moved inward, and whether some value can pass several of them."""

from __future__ import annotations

from collections.abc import Sequence

from segengine.project.attributes import Attribute
from segengine.project.date_parts import PARTS, column_ranges
from segengine.project.model import All, AnyOf, Condition, Expression, Not
from segengine.project.values import Constant, Ranges, TextTest

EVERYTHING = Ranges(((None, None),))


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


def is_satisfiable(conditions: Sequence[Condition]) -> bool:
    """Return whether one value (or a missing one) can pass several conditions on one column and its parts.

    Only what is certain counts: patterns and text fragments are taken as satisfiable, and so are relative times, which
    are ranges only once they are anchored.
    """
    if all(condition.missing for condition in conditions):
        return True
    by_attribute: dict[Attribute, list[Condition]] = {}
    for condition in conditions:
        by_attribute.setdefault(condition.attribute, []).append(condition)
    if not all(_is_some_value_accepted(own) for own in by_attribute.values()):
        return False
    if len(by_attribute) == 1:
        return True
    common = EVERYTHING
    for condition in conditions:
        if isinstance(condition.test, Ranges):
            common = common.intersection(column_ranges(condition.attribute, condition.test))
    return not common.is_empty()


def _is_some_value_accepted(conditions: Sequence[Condition]) -> bool:
    tests = [condition.test for condition in conditions]
    if any(test == Constant(False) for test in tests):
        return False
    ranges = [test for test in tests if isinstance(test, Ranges)]
    if ranges:
        common = domain(conditions[0])
        for other in ranges:
            common = common.intersection(other)
        return not common.is_empty()
    texts = [test for test in tests if isinstance(test, TextTest)]
    exact = next((test for test in texts if is_exact(test) and not test.negated), None)
    if exact is None:
        return not any(test.complement() in texts for test in texts)
    return any(all(test.accepts(word) is not False for test in texts) for word in exact.operands)


def domain(condition: Condition) -> Ranges:
    """Return the values a condition's attribute can have: a part's are few."""
    part = condition.attribute.part
    return PARTS[part.name].domain if part else EVERYTHING


def is_exact(test: TextTest) -> bool:
    """Return whether a text test names the texts it means."""
    return test.operation == "equals" and not test.ignore_case
