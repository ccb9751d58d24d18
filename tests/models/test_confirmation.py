"""Tests of groups agree with scipy on the raw values; conditions that are not needed are dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from planted_groups import SPEND, Planted, add_target, make_customers
from scipy.stats import t, ttest_ind

from segengine.models.confirmation import Confirmed, confirm_groups
from segengine.models.cubes import Pick
from segengine.models.fields import HASH
from segengine.models.group_counts import GroupCounter, Search, Tally, find_alike, is_discovering
from segengine.models.groups import Condition, Group, find_members
from segengine.models.intervals import find_mean_interval, find_share_interval
from segengine.models.moments import Moments, compare
from segengine.models.targets import prepare_target

HIGH, RICH = Condition("loyalty_tier", "equals", "High"), Condition("income", "greater_than", 60_000)
OLD, OREGON = Condition("age", "greater_than", 30), Condition("state", "equals", "Oregon")


def make_table(*planted: Planted) -> pa.Table:
    customers, _ = make_customers(77, 6_000)
    return add_target(customers, planted, "gamma", 77)


def moments(values: np.ndarray) -> Moments:
    return Moments(len(values), int(values.sum()), int((values**2).sum()))


def confirm(table: pa.Table, *groups: Group, shift: int = 50_000) -> list[Confirmed]:
    target = prepare_target(table[SPEND.name].combine_chunks(), SPEND)
    search = Search(None, tuple(Pick(group, shift) for group in groups))
    counter = GroupCounter(target, (search,), "seed")
    (tallies,) = counter.merge(counter.count(batch) for batch in table.to_batches())
    return confirm_groups(search, tallies, 1)


def test_welch_is_that_of_scipy() -> None:
    random = np.random.default_rng(1)
    one, other = random.integers(0, 900, 50), random.integers(0, 500, 80)
    expected = ttest_ind(one, other, equal_var=False)
    found = compare(moments(one), moments(np.concatenate([one, other])) - moments(one))
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize("values", [[5], [5, 5, 5]])
def test_too_few_or_equal_values_are_no_evidence(values: list[int]) -> None:
    assert compare(moments(np.array(values)), moments(np.array([5, 5]))).p == 1.0


def test_intervals_are_students_and_wilsons() -> None:
    values = np.random.default_rng(2).integers(0, 900, 40)
    found = find_mean_interval(moments(values))
    reach = t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert (found.value, found.low, found.high) == pytest.approx(
        (values.mean(), values.mean() - reach, values.mean() + reach)
    )
    share = find_share_interval(10, 50)  # Wilson, by the formula: centre and reach
    centre, width = (0.2 + 1.96**2 / 100) / (1 + 1.96**2 / 50), 1.96 / (1 + 1.96**2 / 50)
    reach = width * np.sqrt(0.2 * 0.8 / 50 + 1.96**2 / (4 * 50**2))
    assert (share.value, share.low, share.high) == pytest.approx((0.2, centre - reach, centre + reach), abs=1e-4)


def test_a_planted_group_holds_and_its_effect_is_that_of_the_confirming_half() -> None:
    table = make_table(Planted((HIGH, RICH), 0.8))
    (found,) = confirm(table, (HIGH, RICH))
    assert found.group == (HIGH, RICH)
    assert found.q < 0.001
    values = np.asarray(table[SPEND.name]).astype(float)
    confirming = ~is_discovering(np.asarray(table[HASH]), "seed")
    target = prepare_target(table[SPEND.name].combine_chunks(), SPEND)
    scores = np.clip(values, target.low, target.high)[confirming]
    members = find_members((HIGH, RICH), table)[confirming]
    expected = (scores[members].mean() - scores[~members].mean()) / scores.std(ddof=1)
    assert found.effect == pytest.approx(expected, abs=1e-4)
    assert found.t == pytest.approx(ttest_ind(scores[members], scores[~members], equal_var=False).statistic, abs=1e-3)


def test_a_condition_that_adds_nothing_is_dropped() -> None:
    table = make_table(Planted((HIGH, RICH), 0.8))
    (found,) = confirm(table, (HIGH, RICH, OLD))
    assert found.group == (HIGH, RICH)


@pytest.mark.parametrize(("incomplete", "operator"), [((), "not_equals"), (("channel",), "not_empty")])
def test_a_value_is_not_named_where_its_being_known_does_as_well(incomplete: tuple[str, ...], operator: str) -> None:
    customers, _ = make_customers(78, 6_000)
    random = np.random.default_rng(79)
    channel = pa.array(random.choice(list("abcdefghijkl"), 6_000), mask=random.random(6_000) < 0.6)
    customers = customers.set_column(customers.schema.get_field_index("channel"), "channel", channel)
    table = add_target(customers, (Planted((Condition("channel", "not_empty"),), 0.5),), "gamma", 78)
    target = prepare_target(table[SPEND.name].combine_chunks(), SPEND)
    search = Search(None, (Pick((Condition("channel", "not_equals", "a"),), 50_000, incomplete),))
    counter = GroupCounter(target, (search,), "seed")
    (tallies,) = counter.merge(counter.count(batch) for batch in table.to_batches())
    assert [one.group[0].operator for one in confirm_groups(search, tallies, 1)] == [operator]


def test_a_group_of_chance_does_not_hold() -> None:
    assert confirm(make_table(), (HIGH, RICH), (OREGON,)) == []


def test_a_difference_of_the_other_sign_does_not_hold() -> None:
    assert confirm(make_table(Planted((HIGH, RICH), 0.8)), (HIGH, RICH), shift=-50_000) == []


def test_a_group_that_only_shares_members_with_a_stronger_one_does_not_hold() -> None:
    table = make_table(Planted((HIGH,), 0.8))
    picks = [pick.group for pick in confirm(table, (HIGH,), (HIGH, OREGON))]
    assert picks == [(HIGH,)]


def test_outcomes_share_the_rate() -> None:
    table = make_table(Planted((HIGH, RICH), 0.25))
    target = prepare_target(table[SPEND.name].combine_chunks(), SPEND)
    search = Search(None, (Pick((HIGH, RICH), 20_000),))
    counter = GroupCounter(target, (search,), "seed")
    (tallies,) = counter.merge(counter.count(batch) for batch in table.to_batches())
    (one,) = confirm_groups(search, tallies, 1)
    assert confirm_groups(search, tallies, 2)[0].q == pytest.approx(2 * one.q)
    assert confirm_groups(search, tallies, 10**9) == []


def test_everyone_else_is_too_large_a_group() -> None:
    low = Condition("loyalty_tier", "not_equals", "High")
    assert confirm(make_table(Planted((HIGH,), -0.8)), (low,)) == []


def test_nothing_found_is_nothing_confirmed() -> None:
    assert confirm_groups(Search(None, ()), [replace(Tally(), members=9)], 1) == []


def test_of_groups_alike_the_surest_is_kept() -> None:
    table = make_table(Planted((HIGH, RICH), 0.8))
    richer = Condition("income", "greater_than", 65_000)
    picks = (Pick((HIGH, RICH), 50_000), Pick((HIGH, richer), 10_000))
    alike = find_alike(picks, table)
    assert ((HIGH, RICH), (HIGH, richer)) in alike
    assert ((HIGH,), (HIGH, RICH)) not in alike
    target = prepare_target(table[SPEND.name].combine_chunks(), SPEND)
    kept = []
    for search in (
        Search(None, picks[:1]),
        Search(None, picks),
        Search(None, (*picks[:1], Pick((HIGH, richer), 1)), alike),
    ):
        counter = GroupCounter(target, (search,), "seed")
        (tallies,) = counter.merge(counter.count(batch) for batch in table.to_batches())
        kept.append([one.group for one in confirm_groups(search, tallies, 1)])
    assert kept[2] == kept[0] == [(HIGH, RICH)]
    assert find_alike((), table) == ()
