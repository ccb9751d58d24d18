"""Is the lane awake? Each test breaks one meaning in the planner or the kernel, and the random projects have to notice.

With `-m long`; each mutant meets random projects until one of their segments has other members, 2,000 segments at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_definitions import draw_project
from worlds import Case

from segengine.kernel import aggregates, arithmetic, date_parts
from segengine.plan import refresh, rows
from segengine.plan.formulas import FormulaBuilder
from segengine.project import conditions, logic, operators, relative, types, values
from segengine.project.model import Condition, Quantifier, RowsRule
from segengine.project.values import Ranges

from .judges import Members, find_disagreements, judge_by_kernel, judge_by_reference

PROJECTS, SEGMENTS = 40, 50  # as many as the default lane has
Mutation = Callable[[pytest.MonkeyPatch], None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(change: Mutation) -> Mutation:
    MUTATIONS[change.__name__] = change
    return change


def change_operator(patch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    patch.setitem(operators.BY_NAME, name, replace(operators.BY_NAME[name], **changes))


def change_result(patch: pytest.MonkeyPatch, owner: object, name: str, change: Callable[..., Any]) -> None:
    """Replace a function by one that gets the original as its first argument."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *arguments, **named: change(original, *arguments, **named))


@mutation
def at_most_becomes_less_than(patch: pytest.MonkeyPatch) -> None:
    change_operator(patch, "at_most", spans=operators.BY_NAME["less_than"].spans)


@mutation
def after_a_day_begins_with_that_day(patch: pytest.MonkeyPatch) -> None:
    change_operator(patch, "after", spans=operators.BY_NAME["on_or_after"].spans)


@mutation
def between_leaves_its_end_out(patch: pytest.MonkeyPatch) -> None:
    change_operator(patch, "between", spans=lambda s: Ranges(((s[0][0], s[1][0]),)))


@mutation
def contains_becomes_begins_with(patch: pytest.MonkeyPatch) -> None:
    change_operator(patch, "contains", text="begins_with")


@mutation
def a_missing_value_passes_not(patch: pytest.MonkeyPatch) -> None:
    change_result(patch, Condition, "negated", lambda negated, self: replace(negated(self), missing=True))


@mutation
def or_missing_is_ignored(patch: pytest.MonkeyPatch) -> None:
    def flag(original: Any, self: Any, fields: Any, name: str) -> bool:
        return name != "or_missing" and bool(original(self, fields, name))

    change_result(patch, conditions.ExpressionReader, "_flag", flag)


@mutation
def ignore_case_is_ignored(patch: pytest.MonkeyPatch) -> None:
    def flag(original: Any, self: Any, fields: Any, name: str) -> bool:
        return name != "ignore_case" and bool(original(self, fields, name))

    change_result(patch, conditions.ExpressionReader, "_flag", flag)


@mutation
def not_of_all_stays_all(patch: pytest.MonkeyPatch) -> None:
    def push(original: Any, expression: Any, negate: bool = False) -> Any:
        if isinstance(expression, logic.All) and negate:
            return logic.All(tuple(push(original, item, negate) for item in expression.items))
        return original(expression, negate)

    change_result(patch, logic, "push_not_inward", push)
    for module in (refresh, rows):
        patch.setattr(module, "push_not_inward", logic.push_not_inward)


@mutation
def days_are_those_of_utc(patch: pytest.MonkeyPatch) -> None:
    change_result(patch, types, "local_day", lambda original, day, zone: original(day, "UTC"))


@mutation
def wall_clocks_are_those_of_utc(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values, "wall_clock_ranges", lambda ranges, zone: ranges)


def change_quantifier(patch: pytest.MonkeyPatch, change: Callable[[Any, Any, RowsRule, int], int]) -> None:
    change_result(patch, refresh._Planner, "_counted", change)


@mutation
def none_becomes_not_all(patch: pytest.MonkeyPatch) -> None:
    def counted(original: Any, planner: Any, rule: RowsRule, profile: int) -> int:
        if rule.quantifier is not Quantifier.NONE:
            return int(original(planner, rule, profile))
        formulas = planner.formulas
        return int(
            formulas.without(formulas.EVERYONE, original(planner, replace(rule, quantifier=Quantifier.ALL), profile))
        )

    change_quantifier(patch, counted)


@mutation
def all_is_true_without_rows(patch: pytest.MonkeyPatch) -> None:
    def counted(original: Any, planner: Any, rule: RowsRule, profile: int) -> int:
        found = original(planner, rule, profile)
        if rule.quantifier is not Quantifier.ALL:
            return int(found)
        some_row = planner._some_row(rule.path, rows.ALL_ROWS)
        formulas = planner.formulas
        return int(formulas.any((found, formulas.without(formulas.EVERYONE, some_row))))

    change_quantifier(patch, counted)


@mutation
def at_most_needs_a_row(patch: pytest.MonkeyPatch) -> None:
    def counted(original: Any, planner: Any, rule: RowsRule, profile: int) -> int:
        found = original(planner, rule, profile)
        if rule.quantifier is not Quantifier.AT_MOST:
            return int(found)
        return int(planner.formulas.all((found, planner._some_row(rule.path, rows.ALL_ROWS))))

    change_quantifier(patch, counted)


@mutation
def counts_begin_at_two_too_late(patch: pytest.MonkeyPatch) -> None:
    def at_least(original: Any, planner: Any, path: Any, found: Any, count: int) -> int:
        return int(original(planner, path, found, count + 1 if count > 1 else count))

    change_result(patch, refresh._Planner, "_at_least", at_least)


@mutation
def among_is_ignored(patch: pytest.MonkeyPatch) -> None:
    change_result(patch, refresh, "make_row_set", lambda original, *parts: original(*parts[-1:]))


@mutation
def except_becomes_intersect(patch: pytest.MonkeyPatch) -> None:
    def without(original: Any, self: FormulaBuilder, of: int, what: int) -> int:
        return self.all((of, what)) if of != self.EVERYONE else int(original(self, of, what))

    change_result(patch, FormulaBuilder, "without", without)


@mutation
def a_profile_that_fails_has_no_result_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refresh, "holds_for_nothing", lambda rule: False)


@mutation
def a_sum_of_nothing_is_missing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refresh, "passes_for_nothing", lambda condition: condition.missing)


@mutation
def as_of_does_not_belong_to_last(patch: pytest.MonkeyPatch) -> None:
    def instants(original: Any, test: Any, as_of: int, zone: str) -> Any:
        return original(test, as_of - (test.operation != "within_next"), zone)

    change_result(patch, relative, "_instants", instants)


@mutation
def rolling_is_ignored(patch: pytest.MonkeyPatch) -> None:
    change_result(patch, operators, "read_relative", lambda original, *parts: original(*parts[:-1], False))


@mutation
def months_have_the_same_day_or_the_first(patch: pytest.MonkeyPatch) -> None:
    def add(original: Any, day: date, months: int) -> Any:
        found = original(day, months)
        return found if found is None or found.day == day.day else found + timedelta(days=1)

    change_result(patch, relative, "add_months", add)


@mutation
def weeks_begin_on_sunday(patch: pytest.MonkeyPatch) -> None:
    def start(original: Any, day: date, period: str) -> date:
        return day - timedelta(days=day.isoweekday() % 7) if period == "week" else original(day, period)

    change_result(patch, relative, "_period_start", start)


@mutation
def a_29th_of_february_has_leap_years_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(relative, "_FEBRUARY_28", 0)


@mutation
def parts_are_those_of_utc(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(date_parts, "to_local", lambda instants, zone: instants)


@mutation
def averages_lose_their_last_digit(patch: pytest.MonkeyPatch) -> None:
    def result(original: Any, self: aggregates.Averages, own: slice) -> Any:
        found = original(self, own)
        return replace(found, values=found.values - found.values % 10)

    change_result(patch, aggregates.Averages, "result", result)


@mutation
def floats_enter_with_eight_digits(patch: pytest.MonkeyPatch) -> None:
    change_result(patch, arithmetic, "to_nine_digits", lambda original, values: original(values) // 10 * 10)


@mutation
def a_missing_value_is_one_of_the_distinct(patch: pytest.MonkeyPatch) -> None:
    def read(original: Any, self: aggregates.ValueReader, array: Any) -> Any:
        found = original(self, array)
        distinct = self._form is aggregates.Form.DISTINCT
        return aggregates.Values(np.abs(found.data), None) if distinct else found

    change_result(patch, aggregates.ValueReader, "read", read)


@pytest.fixture(autouse=True)
def forget_anchored_tests() -> Iterator[None]:
    """Keep what a mutant has worked out from those that come after it."""
    relative.anchor_test.cache_clear()
    yield
    relative.anchor_test.cache_clear()


@cache
def project(seed: int) -> tuple[Case, Members]:
    case = draw_project(seed, SEGMENTS)
    return case, judge_by_reference(case)


def is_noticed(folder: Path) -> bool:
    """Return whether some segment of the random projects has other members than by the reference."""
    for seed in range(PROJECTS):
        case, expected = project(seed)
        found = judge_by_kernel(case, folder, seed)
        if find_disagreements("kernel", found, expected):
            return True
    return False


@pytest.mark.long
def test_without_a_mutation_nothing_is_noticed(tmp_path: Path) -> None:
    assert not is_noticed(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[name](monkeypatch)
    assert is_noticed(tmp_path)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutant_fits_the_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep mutants, which the long lane alone judges, from rotting unseen."""
    MUTATIONS[name](monkeypatch)
    assert judge_by_kernel(draw_project(0, 12), tmp_path, 0)
