"""Finding conditions that can never hold, always do, or change nothing, by reasoning over the values they accept.

Only what is certain is reported. Relative times are judged as of many instants (`_references`): they exclude each other
where no instant lets both hold. Against fixed times they are never said to: a run may be for any instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from itertools import combinations, pairwise
from typing import Literal

from segengine.errors import Level, Place
from segengine.project.attributes import Attribute
from segengine.project.date_parts import PARTS
from segengine.project.logic import domain, is_exact, is_satisfiable, push_not_inward
from segengine.project.measure import Measure
from segengine.project.model import All, AnyOf, Condition, Expression, ProfileRule, Quantifier, RowsRule, Segment
from segengine.project.problems import Problems
from segengine.project.relative import anchor_test, days_to_anniversary, local_date
from segengine.project.types import local_day
from segengine.project.values import Constant, Ranges, Relative, TextTest
from segengine.project.walk import rule_expressions, segment_rules

Scale = Literal["values", "times", "anniversaries"]  # what the ranges of a test are ranges of
_DAY = 86_400_000_000
_MOST_COMPARED = 20  # conditions on one column in one `all`: beyond, they are a list that somebody made


def find_logic_issues(segment: Segment, zone: str, problems: Problems) -> None:
    """Report contradictions (errors), and conditions or alternatives without effect (warnings), of a segment's rules.

    Args:
        segment: The segment.
        zone: The project's time zone.
        problems: Where issues are added.
    """
    problems.subject = f'segment "{segment.name}"'
    checker = _Checker(zone, problems)
    for rule in segment_rules(segment.steps):
        checker.check_rule(rule)


def find_measure_logic_issues(measure: Measure, zone: str, problems: Problems) -> None:
    """Report the same of the filters of a measure; those of its values are judged beside its own."""
    problems.subject = f'measure "{measure.name}"'
    checker = _Checker(zone, problems)
    checker.check_filter(measure.where, None)
    for value in measure.values:
        checker.check_filter(value.where, measure.where)


class _Checker:
    def __init__(self, zone: str, problems: Problems) -> None:
        self._zone = zone
        self._problems = problems

    def check_rule(self, rule: ProfileRule | RowsRule) -> None:
        if isinstance(rule, RowsRule) and rule.quantifier is Quantifier.AT_LEAST and rule.count == 0:
            message, hint = "`rows: {at_least: 0}` holds for every profile.", "Write at least 1, or leave the rule out."
            self._problems.add(rule.place, "SEG303", message, hint, Level.WARNING)
        if isinstance(rule, RowsRule) and rule.quantifier is Quantifier.ALL and rule.among and rule.where:
            # What `where` asks for does not narrow what `among` looks at.
            among = push_not_inward(rule.among)
            self._visit(among, [])
            self._visit(push_not_inward(rule.where), _conjuncts(among))
        elif parts := rule_expressions(rule):
            self._visit(push_not_inward(All(parts, rule.place)), [])

    def check_filter(self, where: Expression | None, around: Expression | None) -> None:
        """Check a filter of rows that is judged beside another one."""
        if where is not None:
            self._visit(push_not_inward(where), _conjuncts(push_not_inward(around)) if around is not None else [])

    def _visit(self, expression: Expression, around: Sequence[Condition]) -> None:
        """Check one branch; `around` are the conditions that hold wherever this expression is judged."""
        if isinstance(expression, AnyOf):
            self._check_alternatives(expression, around)
            return
        conditions = _conjuncts(expression)
        sound = [self._check_together(own, _on_column(around, own[0])) for own in _by_column(conditions)]
        if all(sound) and isinstance(expression, All):
            for item in _flatten(expression):
                if isinstance(item, AnyOf):
                    self._check_alternatives(item, [*around, *conditions])

    def _check_together(self, own: Sequence[Condition], beside: Sequence[Condition]) -> bool:
        """Check the conditions of one `all` on one column; return whether they can hold."""
        if not can_hold([*beside, *own], self._zone):
            self._report_contradiction(own, beside)
            return False
        for place, condition in enumerate(own):
            if self._is_always_true([condition]):
                self._warn_always_true(condition.place, f'"{condition.text}" holds', condition.attribute, False)
            elif len(own) + len(beside) <= _MOST_COMPARED:
                self._check_effect(condition, [*beside, *own[:place]], own[place + 1 :])
        return True

    def _check_effect(self, condition: Condition, before: Sequence[Condition], after: Sequence[Condition]) -> None:
        """Warn of a condition that another one includes; of two equal ones the later."""
        narrower = [other for other in before if includes(condition, other, self._zone)]
        narrower += [
            other
            for other in after
            if includes(condition, other, self._zone) and not includes(other, condition, self._zone)
        ]
        if narrower:
            message = f'"{condition.text}" has no effect beside "{narrower[0].text}".'
            self._problems.add(condition.place, "SEG304", message, "Leave it out.", Level.WARNING)

    def _check_alternatives(self, expression: AnyOf, around: Sequence[Condition]) -> None:
        alternatives = list(_alternatives(expression))
        warned = self._warn_always_true_together(expression, alternatives)
        warned = self._warn_already_true(alternatives, around) or warned
        excluded = [self._exclusions(item, around) for item in alternatives]
        for item, found in zip(alternatives, excluded, strict=True):
            if not found:
                self._visit(item, around)
            for own, beside in found if not warned else ():
                if all(excluded):
                    self._report_contradiction(own, beside)
                else:
                    self._warn_excluded(own, beside)

    def _exclusions(
        self, item: Expression, around: Sequence[Condition]
    ) -> list[tuple[list[Condition], list[Condition]]]:
        """Return the conditions of an alternative that only what is around keeps from holding, and what that is."""
        return [
            (own, beside)
            for own in _by_column(_conjuncts(item))
            if (beside := _on_column(around, own[0]))
            and not can_hold([*beside, *own], self._zone)
            and can_hold(own, self._zone)
        ]

    def _report_contradiction(self, own: Sequence[Condition], beside: Sequence[Condition]) -> None:
        culprits = self._culprits([*beside, *own])
        if len(culprits) == 1:
            part, type_ = culprits[0].attribute.part, culprits[0].attribute.type
            reason = f": {part.name} is {PARTS[part.name]}" if part else f" for {type_}"
            self._problems.add(culprits[0].place, "SEG302", f'"{culprits[0].text}" can never hold{reason}.')
        else:
            hint = "Different rows or alternatives belong into `any` or into rules of their own."
            self._problems.add(culprits[-1].place, "SEG302", f"{_listed(culprits)} exclude each other.", hint)

    def _warn_excluded(self, own: Sequence[Condition], beside: Sequence[Condition]) -> None:
        culprits = self._culprits([*beside, *own])
        against = [condition for condition in beside if condition in culprits]
        message = f"the alternative {_listed(own)} can never hold beside {_listed(against)}."
        self._problems.add(own[-1].place, "SEG302", message, "Leave it out.", Level.WARNING)

    def _culprits(self, conditions: Sequence[Condition]) -> Sequence[Condition]:
        """Return the first one or two of several conditions that cannot hold, or all where it takes more."""
        few = [*((condition,) for condition in conditions), *combinations(conditions, 2)]
        return next((found for found in few if not can_hold(found, self._zone)), conditions)

    def _warn_already_true(self, alternatives: Sequence[Expression], around: Sequence[Condition]) -> bool:
        """Warn where an alternative holds anyway: the others then have no say."""
        for item in alternatives:
            beside = _on_column(around, item) if isinstance(item, Condition) else []
            for other in beside:
                if isinstance(item, Condition) and includes(item, other, self._zone):
                    message = f'"{item.text}" always holds beside "{other.text}": its alternatives have no effect.'
                    hint = "Leave it out with its alternatives (`any`, `or_missing`)."
                    self._problems.add(item.place, "SEG304", message, hint, Level.WARNING)
                    return True
        return False

    def _warn_always_true_together(self, expression: AnyOf, alternatives: Sequence[Expression]) -> bool:
        """Warn where the alternatives on one attribute together accept every value that is there."""
        found = False
        by_attribute: dict[Attribute, list[Condition]] = {}
        for item in alternatives:
            if isinstance(item, Condition):
                by_attribute.setdefault(item.attribute, []).append(item)
        for attribute, conditions in by_attribute.items():
            tests = [condition.test for condition in conditions]
            opposite = any(test.complement() in tests for test in tests if isinstance(test, TextTest))
            if len(tests) > 1 and (opposite or Constant(True) in tests or self._is_always_true(conditions)):
                found = True
                missing = any(condition.missing for condition in conditions)
                what = f"the alternatives on {attribute.name} hold"
                self._warn_always_true(expression.place, what, attribute, missing)
        return found

    def _is_always_true(self, conditions: Sequence[Condition]) -> bool:
        """Return whether every value there is passes one of several conditions on one attribute."""
        for scale, own in _by_scale(conditions).items():
            outside = domain(own[0])
            if all(
                _common([outside, *(_ranges(c, at, self._zone).complement() for c in own)]).is_empty()
                for at in _instants(scale, self._zone)
            ):
                return True
        return False

    def _warn_always_true(self, place: Place, what: str, attribute: Attribute, missing: bool) -> None:
        if missing:
            message, hint = f"{what} whatever the value is, also where it is missing.", "Leave them out."
        else:
            message = f"{what} for every value that is not missing."
            hint = f"Write `{attribute.whole.name}: {{empty: false}}` if that is meant."
        self._problems.add(place, "SEG303", message, hint, Level.WARNING)


def can_hold(conditions: Sequence[Condition], zone: str) -> bool:
    """Return whether one value (or a missing one) can pass several conditions on one column and its parts."""
    if all(condition.missing for condition in conditions):
        return True
    # A relative condition alone says no more than that there is a value.
    fixed = [replace(c, test=Constant(True)) if isinstance(c.test, Relative) else c for c in conditions]
    if not is_satisfiable(fixed):
        return False
    scales = _by_scale([condition for condition in conditions if isinstance(condition.test, Relative)])
    return all(
        any(not _common([_ranges(c, at, zone) for c in own]).is_empty() for at in _instants(scale, zone))
        for scale, own in scales.items()
    )


def includes(wide: Condition, narrow: Condition, zone: str) -> bool:
    """Return whether it is certain that all that passes the narrow condition passes the wide one."""
    if narrow.missing and not wide.missing:
        return False
    if wide.attribute != narrow.attribute:
        return wide.attribute == narrow.attribute.whole and wide.test == Constant(True)
    if wide.test in (narrow.test, Constant(True)):
        return True
    if isinstance(wide.test, TextTest) and isinstance(narrow.test, TextTest):
        words = narrow.test.operands if is_exact(narrow.test) and not narrow.test.negated else ()
        return bool(words) and all(wide.test.accepts(word) is True for word in words)
    scale = _scale(wide)
    if scale is None or scale != _scale(narrow):
        return False
    return all(
        _common([domain(narrow), _ranges(narrow, at, zone), _ranges(wide, at, zone).complement()]).is_empty()
        for at in _instants(scale, zone)
    )


def _scale(condition: Condition) -> Scale | None:
    if isinstance(condition.test, Ranges):
        return "values"
    if isinstance(condition.test, Relative):
        return "anniversaries" if condition.test.operation == "anniversary_within_next" else "times"
    return None


def _by_scale(conditions: Sequence[Condition]) -> dict[Scale, list[Condition]]:
    found: dict[Scale, list[Condition]] = {}
    for condition in conditions:
        if scale := _scale(condition):
            found.setdefault(scale, []).append(condition)
    return found


def _ranges(condition: Condition, as_of: int, zone: str) -> Ranges:
    """Return what a condition accepts as of an instant, on its scale."""
    test = condition.test
    if isinstance(test, Ranges):
        return test
    if not isinstance(test, Relative):
        raise TypeError("text has no ranges")
    if test.operation == "anniversary_within_next":
        return days_to_anniversary(test, local_date(as_of, zone))
    return anchor_test(test, condition.attribute.type, as_of, zone)


def _common(sets: Sequence[Ranges]) -> Ranges:
    common = sets[0]
    for other in sets[1:]:
        common = common.intersection(other)
    return common


def _instants(scale: Scale, zone: str) -> tuple[int, ...]:
    """Return the instants at which conditions of a scale are compared: any one where they depend on none."""
    return (0,) if scale == "values" else _references(zone)


@cache
def _references(zone: str) -> tuple[int, ...]:
    """Return instants as of which months, years and days differ in length: around the 1st, the 15th and odd days."""
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(27 * 30)]
    starts = [local_day(day, zone)[0] for day in days]
    chosen = {place for place, day in enumerate(days) if day.day in (1, 15)}
    lengths = [end - start for start, end in pairwise(starts)]
    chosen |= {place + following for place, length in enumerate(lengths) if length != _DAY for following in (0, 1)}
    return tuple(sorted(starts[place] - before for place in chosen for before in (0, 1)))


def _conjuncts(expression: Expression) -> list[Condition]:
    """Return the conditions that hold wherever an expression does."""
    flat = _flatten(expression) if isinstance(expression, All) else [expression]
    return [item for item in flat if isinstance(item, Condition)]


def _flatten(expression: All) -> Iterator[Expression]:
    for item in expression.items:
        if isinstance(item, All):
            yield from _flatten(item)
        else:
            yield item


def _alternatives(expression: AnyOf) -> Iterator[Expression]:
    for item in expression.items:
        if isinstance(item, AnyOf):
            yield from _alternatives(item)
        else:
            yield item


def _by_column(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Return the conditions by the column they are about, parts with their whole."""
    found: dict[Attribute, list[Condition]] = {}
    for condition in conditions:
        found.setdefault(condition.attribute.whole, []).append(condition)
    return list(found.values())


def _on_column(conditions: Sequence[Condition], like: Condition) -> list[Condition]:
    column = like.attribute.whole
    return [condition for condition in conditions if condition.attribute.whole == column]


def _listed(conditions: Sequence[Condition]) -> str:
    return " and ".join(dict.fromkeys(f'"{condition.text}"' for condition in conditions))
