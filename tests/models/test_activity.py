"""Groups by activity: everybody once, the size a rule would have, what adds nothing said."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from segengine.errors import ConfigError
from segengine.models.activity import (
    Activity,
    ActivityGroup,
    ActivityGroups,
    Grouping,
    check_dimensions,
    cut_levels,
    describe_groups,
)
from segengine.models.cells import CellCounter, tally_counts
from segengine.models.fields import Field
from segengine.models.levels import Dimension, DimensionName
from segengine.project.attributes import Attribute
from segengine.project.literals import show_literal
from segengine.project.model import Condition
from segengine.project.operators import BY_NAME, build_test
from segengine.project.types import AttributeType, Ordinal
from tests.models.comparisons import DOUBLE, INTEGER, MONEY, TEXT, make_table, send
from tests.models.grocer import SHOPPING, read_households
from tests.unit.judging import judge

VISITS, DAYS, SPEND = Field("visits", INTEGER), Field("days", INTEGER), Field("spend", MONEY)
ALL = Activity(
    (Dimension("recency", DAYS), Dimension("frequency", VISITS), Dimension("monetary", SPEND)), VISITS, SPEND
)


def draw_customers(count: int, seed: int) -> pa.Table:
    """Return customers of whom a fifth did nothing; money follows visits, loosely."""
    random = np.random.default_rng(seed)
    visits = random.geometric(0.15, count).astype(float)
    spend = np.rint(visits * random.lognormal(3, 1.5, count) * 100)
    spend[random.random(count) < 0.05] = np.nan
    days = random.integers(0, 91, count).astype(float)
    idle = random.random(count) < 0.2
    visits[idle] = np.where(random.random(idle.sum()) < 0.5, 0, np.nan)
    spend[idle], days[idle] = 0, np.nan
    return make_table({"visits": (INTEGER, visits), "days": (INTEGER, days), "spend": (MONEY, spend)})


def group(
    table: pa.Table, activity: Activity = ALL, batch_rows: int = 10**6, sample_rows: int | None = None
) -> ActivityGroups:
    sample = table.slice(0, sample_rows)
    batches = table.combine_chunks().to_batches(max_chunksize=batch_rows)
    candidates = send(CellCounter(activity.choose_candidates(sample)))
    parts = [candidates.count(batch, activity.find_active(batch)) for batch in batches]
    grouping = send(cut_levels(activity, tally_counts(parts, candidates.cells, 1), sample))
    counter = CellCounter(grouping.summed)
    parts = [counter.count(batch, grouping.assign(batch)) for batch in batches]
    return describe_groups(grouping, tally_counts(parts, grouping.summed, grouping.group_count))


def cut(table: pa.Table, activity: Activity) -> Grouping:
    cells = activity.choose_candidates(table)
    (batch,) = table.combine_chunks().to_batches()
    counts = CellCounter(cells).count(batch, activity.find_active(batch))
    return cut_levels(activity, tally_counts([counts], cells, 1), table)


def rule_members(found: ActivityGroup, rows: Sequence[dict]) -> list[dict]:
    """Return who satisfies a group's bounds as rules mean them, and has activity."""

    def passes(row: dict) -> bool:
        for level in found.levels:
            value = row[level.field]
            if level.level == "Unknown":
                if value is not None:
                    return False
            elif value is None or not (level.above is None or value > level.above):
                return False
            elif not (level.at_most is None or value <= level.at_most):
                return False
        return bool(row["visits"])

    return [row for row in rows if passes(row)]


def test_everybody_is_in_one_group_of_the_promised_size() -> None:
    table = draw_customers(8_000, 1)
    rows = table.to_pylist()
    found = group(table, sample_rows=5_000)
    idle = [row for row in rows if not row["visits"]]
    active = [row for row in rows if row["visits"]]
    assert (found.inactive_count, found.active_count) == (len(idle), len(active))
    assert sum(one.member_count for one in found.groups) + found.other_count == len(active)
    assert 0 < len(found.groups) <= 12
    assert found.warnings == ()
    for one in found.groups:
        members = rule_members(one, rows)
        assert one.member_count == len(members) >= max(50, 0.02 * len(active))
        assert one.share == len(members) / len(active)
        assert one.amount_share == sum(row["spend"] or 0 for row in members) / sum(row["spend"] or 0 for row in active)
        assert one.activity_share == sum(row["visits"] for row in members) / sum(row["visits"] for row in active)
        for level in one.levels:
            values = [row[level.field] for row in members if row[level.field] is not None]
            expected = sum(values) / len(values) / 10**level.type.scale if values else None
            assert level.average == pytest.approx(expected)
    shares = [one.amount_share or 0 for one in found.groups]
    assert shares == sorted(shares, reverse=True)
    assert json.loads(json.dumps(asdict(found)))["active_count"] == len(active)


@pytest.mark.parametrize("names", [("recency", "monetary"), ("frequency", "duration")])
def test_a_rule_of_the_bounds_has_the_promised_members(names: Sequence[DimensionName]) -> None:
    """Bounds as literals of the language, judged by the kernel that judges rules, on values as they are stored."""
    count, random = 5_000, np.random.default_rng(13)
    ordinals = {
        "visits": (INTEGER, random.poisson(3, count)),
        "last": (AttributeType("date"), random.integers(19_000, 19_091, count)),
        "spend": (AttributeType("decimal", 12, 2), np.rint(random.lognormal(8, 1, count))),
        "hours": (DOUBLE, random.gamma(2, 0.7, count)),
    }
    fields = {name: Field(name, type_) for name, (type_, _) in ordinals.items()}
    used = {"frequency": "visits", "recency": "last", "monetary": "spend", "duration": "hours"}
    activity = Activity(tuple(Dimension(name, fields[used[name]]) for name in names), fields["visits"])
    table = make_table(ordinals)
    stored = {
        "visits": table.column("visits"),
        "last": table.column("last").cast(pa.int32()).cast(pa.date32()),
        "spend": pa.chunked_array([[Decimal(cents).scaleb(-2) for cents in table.column("spend").to_pylist()]]),
        "hours": table.column("hours"),
    }
    found = group(table, activity)
    assert len(found.groups) == 9
    for one in found.groups:
        members = np.array(judge(condition(fields["visits"], "greater_than", 0), stored["visits"].combine_chunks()))
        for level in one.levels:
            column = stored[level.field].combine_chunks()
            is_day = level.type.name == "date"
            bounds = {"after" if is_day else "greater_than": level.above}
            bounds |= {"on_or_before" if is_day else "at_most": level.at_most}
            for operator, bound in bounds.items():
                if bound is not None:
                    members &= judge(condition(fields[level.field], operator, bound), column)
        assert one.member_count == members.sum()


def condition(field: Field, operator: str, bound: Ordinal) -> Condition:
    literal = show_literal(bound, field.type, "UTC")
    attribute = Attribute("customers", (), field.name, field.type)
    return Condition(attribute, build_test(BY_NAME[operator], [literal], field.type, "UTC", False))


def test_groups_are_all_cells_large_enough() -> None:
    """The cells by hand: the levels of each row from the cuts alone."""
    table = draw_customers(6_000, 2)
    found = group(table)
    cells: dict[tuple, int] = defaultdict(int)
    for row in table.to_pylist():
        if row["visits"]:
            cells[tuple(plain_level(row[one.field], one.cuts, one.is_reversed) for one in found.dimensions)] += 1
    large = {levels: count for levels, count in cells.items() if count >= max(50, 0.02 * found.active_count)}
    listed = {tuple(level.level for level in one.levels): one.member_count for one in found.groups}
    assert listed.items() <= large.items()
    assert len(listed) == min(12, len(large))
    for place, one in enumerate(found.dimensions):
        for name, share in one.shares:
            assert share == sum(n for levels, n in cells.items() if levels[place] == name) / found.active_count


def plain_level(value: int | None, cuts: Sequence[float], is_reversed: bool) -> str:
    if value is None:
        return "Unknown"
    names = ["Low", "Medium", "High"]
    return (names[::-1] if is_reversed else names)[sum(value > cut for cut in cuts)]


def test_same_groups_for_other_orders_and_parts() -> None:
    table = draw_customers(3_000, 3)
    expected = group(table)
    order = np.random.default_rng(9).permutation(table.num_rows)
    assert group(table.take(order), batch_rows=101) == expected


def test_few_days_since_are_high() -> None:
    found = group(draw_customers(5_000, 4), Activity((Dimension("recency", DAYS),), VISITS))
    averages = {one.levels[0].level: one.levels[0].average or 0 for one in found.groups}
    assert averages["High"] < averages["Medium"] < averages["Low"]
    assert found.ranked_by == "activity"
    assert all(one.amount_share is None for one in found.groups)


def test_dimensions_that_add_nothing_are_said() -> None:
    table = draw_customers(4_000, 5)
    visits = table.column("visits")
    table = table.append_column("double", pc.multiply(visits, 2)).append_column("one", pa.array([1] * 4_000))
    dimensions = (
        Dimension("frequency", VISITS),
        Dimension("monetary", Field("double", INTEGER)),
        Dimension("duration", Field("one", INTEGER)),
    )
    found = group(table, Activity(dimensions, VISITS))
    assert found.warnings == (
        "Duration is left out: everybody looked at has the same value.",
        "Frequency and monetary rank customers alike (correlation 1.00): frequency adds little, "
        "think of leaving it out.",
    )
    assert [one.dimension for one in found.dimensions] == ["frequency", "monetary"]


def test_levels_of_households_stay_when_others_are_drawn() -> None:
    table = SHOPPING.take_active(read_households())
    expected = cut(table, SHOPPING)
    kept: dict[str, list[float]] = defaultdict(list)
    for seed in range(8_000, 8_010):
        again = table.take(np.random.default_rng(seed).integers(0, table.num_rows, table.num_rows))
        for mine, theirs in zip(cut(again, SHOPPING).levels, expected.levels, strict=True):
            (batch,) = table.combine_chunks().to_batches()
            column = batch.column(mine.dimension.field.name)
            kept[mine.dimension.name].append(np.mean(mine.coding.encode(column) == theirs.coding.encode(column)))
    assert {name: bool(np.mean(shares) >= 0.95) for name, shares in kept.items()} == dict.fromkeys(kept, True)
    assert len(kept) == 3


def test_groups_of_households() -> None:
    found = group(read_households(), SHOPPING)
    best = found.groups[0]
    assert [one.level for one in best.levels] == ["High", "High", "High"]
    assert 0.12 < best.share < 0.20
    assert 0.36 < (best.amount_share or 0) < 0.46
    (warning,) = found.warnings
    assert warning.startswith("Frequency and monetary rank customers alike")
    assert all(0.3 <= share <= 0.37 for one in found.dimensions for _, share in one.shares)


def test_groups_that_are_all_too_small_are_said() -> None:
    found = group(draw_customers(400, 8))
    assert (found.groups, found.other_count) == ((), found.active_count)
    assert found.warnings == ("No group has 50 members and 2 % of those with activity: choose fewer dimensions.",)


def test_nobody_has_activity() -> None:
    table = make_table({name: (INTEGER, np.full(60, np.nan)) for name in ("visits", "days", "spend")})
    found = group(table)
    assert (found.groups, found.active_count, found.inactive_count) == ((), 0, 60)
    assert found.warnings == ("Nobody has any activity in the period.",)


def test_a_dimension_without_values_is_left_out() -> None:
    table = draw_customers(2_000, 6).drop_columns("days").append_column("days", pa.nulls(2_000, pa.int64()))
    found = group(table)
    assert found.warnings[0] == "Recency is left out: nobody with activity has a value."
    assert [one.dimension for one in found.dimensions] == ["frequency", "monetary"]


def test_all_dimensions_left_out_is_no_group() -> None:
    table = make_table({"visits": (INTEGER, np.ones(100))})
    found = group(table, Activity((Dimension("frequency", VISITS),), VISITS))
    assert (found.groups, found.other_count) == ((), 100)


def test_amounts_that_sum_to_nothing_rank_nobody() -> None:
    table = draw_customers(2_000, 7)
    table = table.drop_columns("spend").append_column("spend", pa.array([0, -1] * 1_000))
    found = group(table)
    assert found.ranked_by == "activity"
    assert "The amounts do not add up to more than 0: groups are ranked by activity." in found.warnings


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ((), "Groups by activity need a dimension. Name recency, frequency, monetary or duration."),
        ((ALL.dimensions[0],) * 2, 'The dimension "recency" stands twice. Name each dimension once.'),
        (
            (Dimension("duration", Field("a", TEXT)),),
            'The dimension duration is text ("a"), expected a number, a date or a time.',
        ),
    ],
)
def test_dimensions_that_make_no_groups(dimensions: tuple[Dimension, ...], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_dimensions(dimensions)
    assert str(refusal.value) == message
