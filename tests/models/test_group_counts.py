"""Counts of groups equal those of plain Python, whatever the batches, and add up to the same in any order."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
from planted_groups import BASE_SHARE, CHURNED, SPEND, add_target, make_customers

from segengine.models.cubes import Pick
from segengine.models.fields import HASH, Field
from segengine.models.group_counts import TALLIES, GroupCounter, Search, Tally, is_discovering
from segengine.models.groups import Condition
from segengine.models.targets import GRID, prepare_target

HIGH, RICH = Condition("loyalty_tier", "equals", "High"), Condition("income", "greater_than", 60_000)
PICKS = (
    Pick((HIGH, RICH), 40_000, ("income",)),
    Pick((Condition("channel", "not_equals", "web"),), -9_000),
    Pick(
        (Condition("email_subscriber", "equals", 1), Condition("income", "empty"), Condition("age", "at_most", 40)), 7
    ),
)


def make_counter(table: pa.Table, field: Field) -> GroupCounter:
    target = prepare_target(table[field.name].drop_null().combine_chunks(), field)
    return GroupCounter(target, (Search(target.outcomes[0], PICKS),), "seed")


def make_table(noise: str, seed: int = 3) -> pa.Table:
    customers, _ = make_customers(seed, 900)
    table = add_target(customers, (), "boolean" if noise == "boolean" else "gamma", seed)
    name = table.column_names[-1]
    column = table[name].to_pylist()
    column[::7] = [None] * len(column[::7])
    return table.set_column(table.num_columns - 1, name, pa.array(column, pa.int64()))


def holds(condition: Condition, value: object) -> bool:
    """Return what the rule language says of a value."""
    if condition.operator in ("empty", "not_empty"):
        return (value is None) == (condition.operator == "empty")
    if value is None:
        return False
    return {
        "equals": value == condition.value,
        "not_equals": value != condition.value,
        "at_most": condition.operator == "at_most" and value <= condition.value,  # type: ignore[operator]
        "greater_than": condition.operator == "greater_than" and value > condition.value,  # type: ignore[operator]
    }[condition.operator]


def tally_by_hand(table: pa.Table, counter: GroupCounter) -> list[Tally]:
    """Return the tallies, row by row."""
    name, outcome = counter.target.field.name, counter.searches[0].outcome
    discovering = is_discovering(np.asarray(table[HASH]), "seed").tolist()
    low, high = counter.target.low, counter.target.high
    found = []
    for number, parts in enumerate(counter.searches[0].list_groups()):
        for part in parts:
            sums = dict.fromkeys(range(10), 0)
            for row, discovers in zip(table.to_pylist(), discovering, strict=True):
                if not all(holds(condition, row[condition.field]) for condition in part):
                    continue
                sums[0] += 1
                value = row[name]
                if value is None:
                    continue
                sums[1] += 1
                sums[2] += value
                if discovers:
                    continue
                place = value * GRID if outcome else round((value - low) / (high - low) * GRID)
                score = min(max(place, 0), GRID)
                before = [
                    one.shift
                    for one in PICKS[:number]
                    if all(holds(condition, row[condition.field]) for condition in one.group)
                ]
                left = score - sum(before)
                added = (1, place, place**2, score, score**2, left, left**2)
                for position, number_ in enumerate(added, 3):
                    sums[position] += number_
            found.append(Tally(*sums.values()))
    return found


@pytest.mark.parametrize("field", [SPEND, CHURNED], ids=lambda field: field.name)
def test_counts_are_those_of_plain_python(field: Field) -> None:
    table = make_table("boolean" if field is CHURNED else "gamma")
    counter = make_counter(table, field)
    (found,) = counter.merge(counter.count(batch) for batch in table.to_batches())
    assert found == tally_by_hand(table, counter)
    assert found[0].members == 900
    assert found[0].known == 900 - len(range(0, 900, 7))
    if field is CHURNED:
        assert found[0].total / found[0].known == pytest.approx(BASE_SHARE, abs=0.05)


def test_counts_depend_on_neither_order_nor_batches() -> None:
    table = make_table("gamma")
    counter = pickle.loads(pickle.dumps(make_counter(table, SPEND)))  # noqa: S301 - our own
    whole = counter.merge([counter.count(table.combine_chunks().to_batches()[0])])
    turned = table.take(pa.array(np.random.default_rng(1).permutation(900))).combine_chunks()
    parts = [counter.count(batch) for batch in turned.to_batches(max_chunksize=77)]
    assert counter.merge(reversed(parts)) == whole
    assert parts[0].schema == TALLIES


def test_parts_are_all_conjunctions_and_those_with_a_value_known() -> None:
    known = Condition("income", "not_empty")
    expected = [(), (known,), (RICH,), (HIGH,), (HIGH, known), (HIGH, RICH)]
    assert Search(None, PICKS[:1]).list_groups() == [expected]
    assert Search(None, PICKS[1:2]).list_groups() == [[(), PICKS[1].group]]


def test_an_empty_batch_counts_nothing() -> None:
    table = make_table("gamma")
    counter = make_counter(table, SPEND)
    (empty,) = counter.merge([counter.count(table.to_batches()[0].slice(0, 0))])
    assert set(empty) == {Tally()}


def test_without_picks_everyone_is_counted() -> None:
    table = make_table("gamma")
    counter = GroupCounter(make_counter(table, SPEND).target, (Search(None, ()),), "seed")
    ((everyone,),) = counter.merge(counter.count(batch) for batch in table.to_batches())
    assert everyone.members == 900
