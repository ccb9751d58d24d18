"""Finding conditions that can never hold, or always do, by reasoning over the sets of values they accept."""

from __future__ import annotations

from collections.abc import Iterator

from segengine.errors import Level, Place
from segengine.project.model import All, AnyOf, Attribute, Condition, Expression, Not, Quantifier, RowsRule, Segment
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
        if isinstance(rule, RowsRule) and rule.quantifier is Quantifier.AT_LEAST and rule.count == 0:
            message, hint = "`rows: {at_least: 0}` holds for every profile.", "Write at least 1, or leave the rule out."
            problems.add(rule.place, "SEG303", message, hint, Level.WARNING)
        if parts := rule_expressions(rule):
            _visit(push_not_inward(All(parts, rule.place)), [], problems)


def _visit(expression: Expression, around: list[Condition], problems: Problems) -> None:
    """Check one branch; `around` are the conditions that hold wherever this expression is judged."""
    if isinstance(expression, Condition):
        if _check_conjunction([expression], around, problems):
            _check_single(expression, problems)
    elif isinstance(expression, All):
        flat = list(_flatten(expression))
        conditions = [item for item in flat if isinstance(item, Condition)]
        sound = _check_conjunction(conditions, around, problems)
        for item in flat if sound else ():
            if isinstance(item, AnyOf):
                _visit(item, [*around, *conditions], problems)
            elif isinstance(item, Condition):
                _check_single(item, problems)
    elif isinstance(expression, AnyOf):
        _check_always_true(expression, problems)
        for item in _alternatives(expression):
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


def _check_single(condition: Condition, problems: Problems) -> None:
    """Warn of a condition that every value passes: `not` of what can never hold."""
    if isinstance(condition.test, Ranges) and condition.test.is_everything():
        _warn_always_true(condition.place, f'"{condition.text}" holds', condition.attribute, False, problems)


def _check_always_true(expression: AnyOf, problems: Problems) -> None:
    """Warn where the alternatives on one attribute together accept every value that is there."""
    by_attribute: dict[Attribute, list[Condition]] = {}
    for item in _alternatives(expression):
        if isinstance(item, Condition):
            by_attribute.setdefault(item.attribute, []).append(item)
    for attribute, conditions in by_attribute.items():
        tests = [condition.test for condition in conditions]
        union = Ranges(())
        for test in tests:
            union = union.union(test) if isinstance(test, Ranges) else union
        opposite = any(test.complement() in tests for test in tests if isinstance(test, TextTest))
        if len(tests) > 1 and (union.is_everything() or opposite or Constant(True) in tests):
            what = f"the alternatives on {attribute.name} hold"
            missing = any(condition.missing for condition in conditions)
            _warn_always_true(expression.place, what, attribute, missing, problems)


def _alternatives(expression: AnyOf) -> Iterator[Expression]:
    for item in expression.items:
        if isinstance(item, AnyOf):
            yield from _alternatives(item)
        else:
            yield item


def _warn_always_true(place: Place, what: str, attribute: Attribute, missing: bool, problems: Problems) -> None:
    if missing:
        message, hint = f"{what} whatever the value is, also where it is missing.", "Leave them out."
    else:
        message = f"{what} for every value that is not missing."
        hint = f"Write `{attribute.name}: {{empty: false}}` if that is meant."
    problems.add(place, "SEG303", message, hint, Level.WARNING)
