"""Differentiators: silent where only chance differs, one scale for every kind of difference, and words for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from segengine.errors import RunError
from segengine.models.cells import CellCounter, choose_cells, tally_counts
from segengine.models.differentiators import Difference, Differentiators, find_differentiators
from segengine.models.fields import Field
from segengine.models.memberships import gather_memberships
from segengine.models.sides import AGAINST, OF, SideGroups, plan_sides
from segengine.project.types import AttributeType
from tests.models.comparisons import (
    BOOLEAN,
    DOUBLE,
    INTEGER,
    MIXED,
    TEXT,
    Draw,
    compare,
    draw_table,
    make_table,
    normal,
    some_missing,
    words,
)
from tests.models.test_overlap import store

TYPES = {name: type_ for name, (type_, _) in MIXED.items()}
NULLS = {f"{name} {number}": field for number in range(5) for name, field in MIXED.items()}


def score_of(mine: Draw, theirs: Draw, counts: tuple[int, int], seed: int, type_: AttributeType = DOUBLE) -> Difference:
    table, sides = draw_table({"a": (type_, theirs)}, counts, seed, {"a": mine})
    return compare(table, sides, {"a": type_}, f"test {seed}").differences[0]


def by_name(found: Differentiators) -> Mapping[str, Difference]:
    return {one.field: one for one in found.differences}


def count_false_alarms(seeds: range) -> int:
    """Return in how many comparisons of 30 fields drawn alike for both sides any is called different."""
    found = 0
    for seed in seeds:
        table, sides = draw_table(NULLS, (200, 10_000), seed)
        types = {name: type_ for name, (type_, _) in NULLS.items()}
        found += any(one.is_significant for one in compare(table, sides, types, f"null {seed}", 3_000).differences)
    return found


def test_fields_drawn_alike_are_not_called_different() -> None:
    assert count_false_alarms(range(7_000, 7_006)) <= 2


@pytest.mark.long
def test_fields_drawn_alike_are_hardly_ever_called_different() -> None:
    assert count_false_alarms(range(7_100, 7_160)) <= 9


def half_scores(seeds: range) -> list[float]:
    return [score_of(normal(), normal(), (1_000, 1_000), seed).score or 0.0 for seed in seeds]


def test_two_random_halves_do_not_differ() -> None:
    assert np.mean(half_scores(range(7_200, 7_240))) <= 0.04


@pytest.mark.long
def test_two_random_halves_do_not_differ_often() -> None:
    scores = half_scores(range(7_300, 7_700))
    assert np.mean(scores) <= 0.04
    assert np.quantile(scores, 0.95) <= 0.10


def test_score_grows_with_the_shift() -> None:
    scores = [score_of(normal(shift), normal(), (2_000, 10_000), 7).score for shift in (0.2, 0.5, 1, 2, 4)]
    assert scores == sorted(scores)
    assert scores[-1] > 0.9


@pytest.mark.parametrize("seed", range(7_400, 7_404))
def test_score_does_not_depend_on_the_sizes(seed: int) -> None:
    small = score_of(normal(0.5), normal(), (200, 20_000), seed).score or 0.0
    large = score_of(normal(0.5), normal(), (10_000, 10_000), seed).score or 0.0
    assert abs(small - large) <= 0.1  # the bar of 0.06 is for the mean: see below
    assert 0.15 < large < 0.27


@pytest.mark.long
def test_score_does_not_depend_on_the_sizes_on_average() -> None:
    sizes = ((200, 20_000), (10_000, 10_000))
    small, large = ([score_of(normal(0.5), normal(), own, seed).score for seed in range(7_500, 7_540)] for own in sizes)
    assert abs(np.mean(small) - np.mean(large)) <= 0.06


@pytest.mark.parametrize("part", [(0.8, 1.0), (0.4, 0.6)], ids=["top 20 %", "middle 20 %"])
def test_the_column_that_defines_the_segment(part: tuple[float, float]) -> None:
    values = np.random.default_rng(11).normal(0, 1, 10_000)
    low, high = np.quantile(values, part)
    sides = np.where((values >= low) & (values <= high), 1, 2)
    (found,) = compare(make_table({"a": (DOUBLE, values)}), sides, {"a": DOUBLE}, "own").differences
    assert (found.score or 0.0) >= 0.95
    assert found.is_significant


def test_same_mean_and_twice_the_spread() -> None:
    found = score_of(normal(0, 2), normal(), (2_000, 10_000), 12)
    assert (found.score or 0.0) >= 0.25
    assert found.direction == ""


def test_one_value_and_missing_values() -> None:
    one = score_of(lambda _, n: np.full(n, "CA", object), words(8), (500, 5_000), 1, TEXT)
    assert (one.score or 0.0) >= 0.95
    assert one.cells[one.largest].cell.value == "CA"
    missing = score_of(some_missing(normal(), 0.4), some_missing(normal(), 0.1), (6_000, 30_000), 2)
    assert (missing.score or 0.0) >= 0.2
    assert missing.cells[missing.largest].cell.kind == "missing"
    assert missing.direction == ""


def test_direction_shift_and_averages() -> None:
    table, sides = draw_table({"a": (DOUBLE, normal(10))}, (1_000, 5_000), 4, {"a": normal(9.5)})
    found = compare(table, sides, {"a": DOUBLE}, "x").differences[0]
    values = table.column("a").to_numpy()
    mine, theirs = values[sides == 1], values[sides == 2]
    assert found.direction == "lower"
    assert found.of_average == pytest.approx(mine.mean(), abs=1e-8)
    assert found.against_average == pytest.approx(theirs.mean(), abs=1e-8)
    bins = np.searchsorted(np.quantile(values, np.arange(0.05, 1, 0.05)), values)
    expected = np.sign(np.subtract.outer(bins[sides == 1], bins[sides == 2])).mean()  # each with each other
    assert found.shift == pytest.approx(expected, abs=0.005)
    assert sum(cell.of_count for cell in found.cells) == 1_000
    assert sum(cell.against_share for cell in found.cells) == pytest.approx(1)


def test_differing_fields_come_first() -> None:
    table, sides = draw_table(MIXED, (1_000, 9_000), 8, {"income": normal(43_000, 9_000), "channel": words(4, 0.2)})
    found = compare(table, sides, TYPES, "ranked")
    assert {one.field for one in found.differences[:2]} == {"income", "channel"}
    assert [one.is_significant for one in found.differences[:2]] == [True, True]
    order = [(not one.is_significant, -(one.score or 0.0)) for one in found.differences]
    assert order == sorted(order)
    assert json.loads(json.dumps(asdict(found)))["differences"][0]["is_significant"] is True


def test_same_result_for_other_orders_and_parts() -> None:
    table, sides = draw_table(MIXED, (300, 2_000), 9)
    expected = compare(table, sides, TYPES, "same")
    order = np.random.default_rng(1).permutation(len(sides))
    assert compare(table.take(order), sides[order], TYPES, "same") == expected
    cells = choose_cells(table, [Field(name, type_) for name, type_ in TYPES.items()], 300)
    parts, start = [], 0
    for batch in table.combine_chunks().to_batches(max_chunksize=77):
        parts.append(CellCounter(cells).count(batch, sides[start : start + batch.num_rows]))
        start += batch.num_rows
    assert find_differentiators(tally_counts(parts, cells, 2), expected.sides, "same") == expected


def test_under_30_members_there_are_counts_alone() -> None:
    table, sides = draw_table(MIXED, (29, 2_000), 10)
    found = compare(table, sides, TYPES, "few")
    assert found.warnings == ('"some" has 29 members to compare: under 30 there are counts, but no scores.',)
    for one in found.differences:
        assert (one.score, one.p_value, one.is_significant) == (None, None, False)
        assert sum(cell.of_count for cell in one.cells) == 29
        assert one.note in ("fewer than 30 on one side", "no value is frequent enough to compare")


def test_fields_that_say_nothing_are_named() -> None:
    ids = np.array([f"id {number}" for number in range(400)], dtype=object)
    table = make_table(
        {
            "gone": (DOUBLE, np.full(400, np.nan)),
            "same": (INTEGER, np.full(400, 3)),
            "word": (TEXT, np.full(400, "a", object)),
            "flag": (BOOLEAN, np.ones(400)),
            "id": (TEXT, ids),
        }
    )
    types = {"gone": DOUBLE, "same": INTEGER, "word": TEXT, "flag": BOOLEAN, "id": TEXT}
    found = by_name(compare(table, np.repeat([1, 2], [100, 300]), types, "x"))
    assert {name: one.note for name, one in found.items()} == {
        "gone": "missing everywhere",
        "same": "one value (nearly) everywhere",
        "word": "one value (nearly) everywhere",
        "flag": "one value (nearly) everywhere",
        "id": "no value is frequent enough to compare",
    }


def test_a_frequent_greatest_value_is_a_cell() -> None:
    values = np.concatenate([np.full(970, 100), np.arange(30)])
    table = make_table({"a": (INTEGER, values)})
    sides = np.where(values == 100, 2, 1)
    assert (compare(table, sides, {"a": INTEGER}, "x").differences[0].score or 0.0) > 0.95


@pytest.mark.parametrize(
    ("sizes", "expected", "marks"),
    [
        ((10, 90, 0), (10, 90, ""), (OF, AGAINST, 0)),
        (
            (10, 90, 4),
            (6, 86, '4 are in both "A" and "B": they are left out, only the others are compared.'),
            (1, 2, 0),
        ),
        (
            (10, 90, 10),
            (10, 80, 'All members of "A" are in "B" too: they are compared with the rest of "B".'),
            (OF, AGAINST, OF),
        ),
        (
            (90, 10, 10),
            (80, 10, 'All members of "B" are in "A" too: the rest of "A" is compared with them.'),
            (OF, AGAINST, AGAINST),
        ),
    ],
)
def test_sides_share_nobody(
    sizes: tuple[int, int, int], expected: tuple[int, int, str], marks: tuple[int, int, int]
) -> None:
    sides = plan_sides("A", "B", *sizes)
    assert (sides.of_count, sides.against_count, sides.warning) == expected
    of, against = np.array([True, False, True, False]), np.array([False, True, True, False])
    assert sides.assign(of, against).tolist() == [*marks, 0]


@pytest.mark.parametrize("other", [{40, 50, 33_000}, {2, 40}, None], ids=["another", "a part", "everyone else"])
def test_profiles_are_told_their_side_by_the_stored_members(other: set[int] | None) -> None:
    members, everyone = {1, 2, 40}, set(range(1, 40_001))
    against = everyone - members if other is None else other
    both = members & against
    memberships = gather_memberships([store(members), *([store(other)] if other else [])])
    groups = SideGroups(memberships, plan_sides("A", "B", len(members), len(against), len(both)))
    found = groups.assign(np.array(sorted(everyone))).tolist()
    expected = dict.fromkeys(members - both, OF) | dict.fromkeys(against - both, AGAINST)
    if against == both:  # within the other: it is compared with the rest of that
        expected |= dict.fromkeys(both, AGAINST)
    assert {key: side for key, side in enumerate(found, start=1) if side} == expected


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 9, 0), '"A" has no members, so there is nothing to compare. Refresh it, or take another.'),
        ((9, 0, 0), '"B" has no members, so there is nothing to compare. Refresh it, or take another.'),
        ((9, 9, 9), '"A" and "B" have the same members. Compare with everyone else, or another segment.'),
    ],
)
def test_sides_that_cannot_be_compared(sizes: tuple[int, int, int], message: str) -> None:
    with pytest.raises(RunError) as refusal:
        plan_sides("A", "B", *sizes)
    assert str(refusal.value) == message


def test_one_sided_missing_field_has_no_average() -> None:
    values = pa.array([None] * 50 + [1, 2] * 25)
    table = make_table({"x": (INTEGER, np.ones(100))}).append_column("a", values)
    found = compare(table, np.repeat([1, 2], 50), {"a": INTEGER}, "x").differences[0]
    assert (found.of_average, found.shift, found.direction) == (None, None, "")
    assert (found.score or 0.0) > 0.95
