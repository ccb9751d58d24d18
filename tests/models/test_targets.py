"""Targets as whole numbers: what is cut off, what is exact, and what cannot be a target."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from segengine.errors import ConfigError
from segengine.models.fields import Field
from segengine.models.targets import GRID, Target, add_exactly, add_squares, average, find_rare_classes, prepare_target
from segengine.project.types import AttributeType

SPEND = Field("spend", AttributeType("decimal", 12, 2))
SCORE, TIER = Field("score", AttributeType("double")), Field("tier", AttributeType("text"))
CHURNED = Field("churned", AttributeType("boolean"))


def test_numbers_lie_between_the_half_per_cents() -> None:
    target = prepare_target(pa.array(range(1_001)), SPEND)
    assert (target.low, target.high, target.outcomes) == (5.0, 995.0, (None,))
    column = pa.array([5, 995, 500, 0, 10_000, None])
    assert target.score(column, None).tolist()[:5] == [0, GRID, GRID // 2, 0, GRID]
    assert target.place(column, None)[3] == round(-5 / 990 * GRID)
    assert target.to_value(float(target.place(column, None)[4])) == pytest.approx(100.0, abs=1e-4)


def test_one_value_for_nearly_all_is_not_cut_down_to() -> None:
    target = prepare_target(pa.array([0] * 1_000 + [7]), SPEND)
    assert (target.low, target.high) == (0.0, 7.0)


def test_sums_are_exact() -> None:
    column = pa.array([0.1, 0.2, 1e9, None])
    values = Target(SCORE).exact_values(column, None)[:3]
    assert average(add_exactly(values), 3, Target(SCORE).scale) == float(Fraction(1_000_000_000_300_000_000, 3 * 10**9))
    large = np.array([2**62, 2**62, 2**62])
    assert add_exactly(large) == 3 * 2**62
    assert add_exactly(-large) == -3 * 2**62
    assert add_exactly(np.array([10**30, 1], dtype=object)) == 10**30 + 1
    assert add_exactly(np.array([], np.int64)) == 0


def test_squares_are_exact() -> None:
    places = np.array([2**40, -(2**40), 3, -7, 2**20 - 1, -(2**33) + 5])
    assert add_squares(places) == sum(place**2 for place in places.tolist())


def test_far_values_do_not_overflow() -> None:
    target = Target(SPEND, 0.0, 1.0)
    assert target.place(pa.array([10**18]), None).tolist() == [2**40]


def test_classes_are_compared_with_the_rest() -> None:
    target = prepare_target(pa.array(["a"] * 5 + ["b"] * 3 + ["c"] * 2), TIER)
    assert target.outcomes == ("a", "b", "c")
    assert target.place(pa.array(["b", "a", None, "new"]), "b").tolist() == [GRID, 0, 0, 0]
    assert target.exact_values(pa.array(["b", "a"]), "b").tolist() == [1, 0]
    assert prepare_target(pa.array(["yes"] * 5 + ["no"] * 3), TIER).outcomes == ("no",)
    assert prepare_target(pa.array([0, 0, 1]), CHURNED).outcomes == (1,)


def test_rare_classes_are_named() -> None:
    column = pa.array(["a"] * 100 + ["b"] * 60 + ["c"] * 40)
    assert find_rare_classes(column, prepare_target(column, TIER)) == ("c",)


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        (SPEND, [], "missing everywhere"),
        (SPEND, [5, 5], "the same value"),
        (CHURNED, [1, 1, 1], "the same value"),
        (TIER, ["a", "a"], "the same value"),
        (TIER, [str(number) for number in range(11)], "has 11 values"),
        (Field("born", AttributeType("date")), [1, 2], 'born" is a date'),
    ],
)
def test_what_cannot_be_a_target_is_refused(field: Field, values: list[object], message: str) -> None:
    column = pa.array(values, pa.string() if field is TIER else pa.int64())
    with pytest.raises(ConfigError, match=message) as raised:
        prepare_target(column, field)
    assert raised.value.hint
