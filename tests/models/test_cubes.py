"""The search scores every conjunction as brute force over the rows does."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pyarrow as pa
import pytest

from segengine.models.codings import choose_coding
from segengine.models.cubes import LEAST_ROWS, LEAST_Z, MOST_SHARE, Axis, find_deviations, make_axis, search_groups
from segengine.models.fields import Bins, Categories, Field
from segengine.models.groups import Condition, Group, find_members
from segengine.project.types import AttributeType

FIELDS = (
    Field("tier", AttributeType("text")),
    Field("income", AttributeType("integer")),
    Field("age", AttributeType("integer")),
)


def make_rows(seed: int, count: int = 600) -> pa.RecordBatch:
    random = np.random.default_rng(seed)
    return pa.RecordBatch.from_pydict(
        {
            "tier": pa.array(random.choice(["High", "Low", "Medium"], count), mask=random.random(count) < 0.1),
            "income": pa.array(random.integers(0, 9, count), mask=random.random(count) < 0.3),
            "age": pa.array(random.integers(0, 6, count)),
        }
    )


def make_axes(rows: pa.RecordBatch) -> list[Axis]:
    codings = [choose_coding(rows[field.name], field, "UTC", 8) for field in FIELDS]
    return [
        make_axis(field.name, coding, coding.encode(rows[field.name]))
        for field, coding in zip(FIELDS, codings, strict=True)
    ]


def test_conditions_of_an_axis_hold_where_its_table_says() -> None:
    rows = make_rows(1)
    for axis in make_axes(rows):
        for condition, row in zip(axis.conditions, axis.table[1:], strict=True):
            expected = condition.holds(rows[condition.field])
            assert (row.astype(bool)[axis.codes] == expected).all(), condition


def test_two_values_have_no_unequal_and_nothing_missing_no_empty() -> None:
    axis = make_axis("sex", Categories(("f", "m")), np.array([0, 1, 0], np.int16))
    assert axis.conditions == (Condition("sex", "equals", "f"), Condition("sex", "equals", "m"))
    axis = make_axis("age", Bins((30,)), np.array([0, 1, 2], np.int16))
    assert [condition.operator for condition in axis.conditions] == ["at_most", "greater_than", "empty", "not_empty"]


def deviate(scores: np.ndarray, members: np.ndarray, among: np.ndarray) -> float:
    """Return by how many standard errors a group's mean differs from that of a larger one, row by row."""
    count, of_count = members.sum(), among.sum()
    if count in (0, of_count):
        return 0.0
    error = scores.std() * np.sqrt(count * (1 - count / of_count))
    return float((scores[members].sum() - count * scores[among].mean()) / error)


def list_conjunctions(axes: list[Axis]) -> list[Group]:
    found: list[Group] = []
    for size in (1, 2):
        for chosen in combinations(axes, size):
            found += product(*(axis.conditions for axis in chosen))
    return found


def is_needed(group: Group, members: np.ndarray, scores: np.ndarray, rows: pa.RecordBatch) -> bool:
    sign = np.sign(scores[members].mean() - scores.mean())
    for one in group:
        others = tuple(other for other in group if other != one)
        wider = [others]
        if one.operator not in ("empty", "not_empty") and rows[one.field].null_count:
            wider.append((*others, Condition(one.field, "not_empty")))
        if any(sign * deviate(scores, members, find_members(parent, rows)) < LEAST_Z for parent in wider):
            return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_the_first_pick_is_the_strongest_of_all_conjunctions(seed: int) -> None:
    rows = make_rows(seed)
    random = np.random.default_rng([seed, 9])
    truth = (Condition("tier", "equals", "High"), Condition("income", "greater_than", 4))
    scores = np.rint(1_000 * (random.normal(size=600) + 1.5 * find_members(truth, rows))).astype(np.int64)
    axes = make_axes(rows)
    strengths = {}
    for group in list_conjunctions(axes):
        members = find_members(group, rows)
        if LEAST_ROWS <= members.sum() <= MOST_SHARE * 600 and is_needed(group, members, scores, rows):
            strengths[group] = abs(deviate(scores, members, np.ones(600, dtype=bool)))
    (first, *_) = search_groups(axes, scores)
    assert len(first.group) == 2
    assert strengths[first.group] == pytest.approx(max(strengths.values()))


def test_three_conditions_are_found() -> None:
    rows = make_rows(12, 6_000)
    truth = (
        Condition("tier", "equals", "High"),
        Condition("income", "greater_than", 3),
        Condition("age", "at_most", 2),
    )
    noise = np.random.default_rng(4).normal(size=6_000)
    scores = np.rint(1_000 * (noise + find_members(truth, rows))).astype(np.int64)
    (first, *_) = search_groups(make_axes(rows), scores)
    assert set(first.group) == set(truth)
    members = find_members(truth, rows)
    assert first.shift == round(scores[members].mean() - scores[~members].mean())


def test_known_values_are_not_passed_off_as_unequal_ones() -> None:
    random = np.random.default_rng(8)
    channel = pa.array(random.choice(["app", "store", "web"], 2_000), mask=random.random(2_000) < 0.6)
    field = Field("channel", AttributeType("text"))
    coding = choose_coding(channel, field, "UTC")
    known = np.asarray(channel.is_valid())
    scores = np.rint(1_000 * (random.normal(size=2_000) + known)).astype(np.int64)
    picks = search_groups([make_axis("channel", coding, coding.encode(channel))], scores)
    assert [pick.group for pick in picks] == [(Condition("channel", "not_empty"),)]


def test_scores_without_spread_have_no_groups() -> None:
    assert search_groups(make_axes(make_rows(3)), np.zeros(600, np.int64)) == ()


def test_groups_of_all_or_none_do_not_deviate() -> None:
    counts = np.array([0.0, 10.0])
    assert find_deviations(counts, np.array([0.0, 5.0]), np.float64(10), np.float64(5), 1.0).tolist() == [0, 0]
