"""Nests of row sets, against rows that plain Python judges."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segengine.kernel.bitmaps import pack_booleans
from segengine.kernel.nests import Innermost, Nest, find_nests
from segengine.plan.rows import ALL_ROWS, NO_ROWS, RowSet, make_row_set
from segengine.project.attributes import Attribute
from segengine.project.model import All, AnyOf, Condition, Expression
from segengine.project.operators import BY_NAME, build_test
from segengine.project.types import AttributeType

NUMBER = Attribute("rows", (), "number", AttributeType("integer"))
SCORE = Attribute("rows", (), "score", AttributeType("double"))
TEXT = Attribute("rows", (), "text", AttributeType("text"))
NUMBERS, SCORES = (None, -1, 0, 1, 2, 3, 4, 5), (None, 0.25, 0.5, 2.5)
TEXTS = (None, "", "a", "b", "c", "ab", "ba", "Ab", "bab")

Row = dict[Attribute, Any]
Judge = Callable[[Row], bool]
ROWS: list[Row] = [{NUMBER: n, SCORE: s, TEXT: t} for n in NUMBERS for s in SCORES for t in TEXTS]


def present(of: Attribute, row: Row) -> bool:
    return row[of] is not None and row[of] != ""


def check(of: Attribute, operator: str, *literals: str, negated: bool = False) -> Condition:
    made = Condition(of, build_test(BY_NAME[operator], literals, of.type, "UTC", False))
    return made.negated() if negated else made


def draw_condition(choose: random.Random) -> tuple[Condition, Judge]:
    """Return a condition and whether it holds on a row."""
    kind, negated = choose.randrange(5), choose.random() < 0.3
    number, score, text = choose.randrange(0, 5), choose.choice([0.25, 0.5, 1.0]), choose.choice(["a", "b", "ab", "x"])
    found: tuple[Attribute, Condition, Judge]
    if kind == 0:
        found = NUMBER, check(NUMBER, "at_least", str(number), negated=negated), lambda row: row[NUMBER] >= number
    elif kind == 1:
        found = NUMBER, check(NUMBER, "equals", str(number), negated=negated), lambda row: row[NUMBER] == number
    elif kind == 2:
        found = SCORE, check(SCORE, "less_than", str(score), negated=negated), lambda row: row[SCORE] < score
    elif kind == 3:
        found = TEXT, check(TEXT, "equals", text, negated=negated), lambda row: row[TEXT] == text
    else:
        found = TEXT, check(TEXT, "contains", text, negated=negated), lambda row: text in row[TEXT]
    of, condition, judge = found
    return condition, lambda row: present(of, row) and judge(row) != negated


def draw_row_set(choose: random.Random) -> tuple[RowSet, Judge]:
    """Return a row set and whether a row is in it."""
    if choose.random() < 0.1:
        return choose.choice([(ALL_ROWS, lambda row: True), (NO_ROWS, lambda row: False)])
    alternatives: list[Expression] = []
    judges: list[list[Judge]] = []
    for _ in range(choose.choice([1, 1, 1, 2, 7])):
        drawn = [draw_condition(choose) for _ in range(choose.randrange(1, 4))]
        alternatives.append(All(tuple(condition for condition, _ in drawn)))
        judges.append([judge for _, judge in drawn])
    return make_row_set(AnyOf(tuple(alternatives))), lambda row: any(all(j(row) for j in own) for own in judges)


@pytest.mark.parametrize("seed", range(40))
def test_a_row_is_in_the_innermost_row_set_of_a_nest_and_in_those_around_it(seed: int) -> None:
    choose = random.Random(seed)
    drawn = dict(draw_row_set(choose) for _ in range(choose.choice([1, 5, 30, 300])))
    judges = list(drawn.values())
    nests = find_nests(list(drawn))
    assert sorted(lane for nest in nests for lane in nest.lanes) == list(range(len(drawn)))
    within = np.array([[judge(row) for judge in judges] for row in ROWS])
    bits = pack_booleans(within, -(-len(judges) // 64))
    for nest, numbers in zip(nests, Innermost(nests).find(bits), strict=True):
        for row, number in zip(within, numbers.tolist(), strict=True):
            expected = set()
            while number:
                expected.add(nest.lanes[number - 1])
                number = nest.parents[number - 1]
            assert expected == {lane for lane in nest.lanes if row[lane]}


def test_ranges_of_one_column_by_values_of_another_are_one_nest() -> None:
    row_sets = [
        make_row_set(All((check(TEXT, "equals", text), check(NUMBER, "at_least", str(number)))))
        for number in (3, 1, 2)
        for text in ("a", "b")
    ]
    assert find_nests(row_sets) == [Nest((2, 3, 4, 5, 0, 1), (0, 0, 1, 2, 3, 4))]


def test_row_sets_that_overlap_are_nests_of_their_own() -> None:
    row_sets = [make_row_set(check(of, "at_least", "1")) for of in (NUMBER, SCORE)]
    assert find_nests(row_sets) == [Nest((0,), (0,)), Nest((1,), (0,))]


def test_columns_and_links_leave_row_sets_out_that_have_none() -> None:
    nest = Nest((7, 5, 3, 1, 4), (0, 1, 2, 3, 1))
    columns = {7: 10, 3: 11, 1: 12}
    assert nest.columns(columns, 99).tolist() == [99, 10, 10, 11, 12, 10]
    assert list(nest.links(columns)) == [(12, 11), (11, 10)]
    assert list(nest.links({})) == []
