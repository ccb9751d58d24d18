"""Insights as text: what a marketer reads in the terminal."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from segengine.models.activity import Activity
from segengine.models.cells import CellCounter, choose_cells, tally_counts
from segengine.models.differentiators import find_differentiators
from segengine.models.fields import KEY, Field
from segengine.models.levels import Dimension
from segengine.models.overlap import CombinationGroups, count_combinations, describe_overlap, list_combinations
from segengine.models.plots import Bar
from segengine.models.run_record import RunRecord
from segengine.models.sides import plan_sides
from segengine.operations import insight_record
from segengine.project.analysis import OverlapQuestion
from segengine.project.types import AttributeType
from segengine.report.activity import draw_activity
from segengine.report.charts import draw_bar
from segengine.report.differentiators import draw_difference, draw_differentiators, show_average
from segengine.report.overlap import draw_overlap
from tests.models.comparisons import DOUBLE, INTEGER, MONEY, TEXT, make_table
from tests.models.test_activity import draw_customers, group
from tests.models.test_overlap import draw_segments, name_all, overlap_of, store

TIERS = make_table(
    {
        "tier": (TEXT, np.array(["High"] * 60 + ["Low"] * 40 + ["High"] * 90 + ["Low"] * 210, dtype=object)),
        "visits": (INTEGER, np.array([5] * 100 + [1, 2] * 150)),
        "same": (INTEGER, np.ones(400)),
    }
)


def test_differentiators_rank_and_say_what_differs() -> None:
    fields = [Field("tier", TEXT), Field("visits", INTEGER), Field("same", INTEGER)]
    cells = choose_cells(TIERS, fields, 100)
    (batch,) = TIERS.combine_chunks().to_batches()
    counts = tally_counts([CellCounter(cells).count(batch, np.repeat([1, 2], [100, 300]))], cells, 2)
    found = find_differentiators(counts, plan_sides("VIP", "everyone else", 100, 300, 0), "text")
    lines = draw_differentiators(found, "UTC").splitlines()
    assert lines[0] == "VIP (100) against everyone else (300)"
    assert lines[2].startswith("visits  1.00  ████████████████████")
    assert lines[2].endswith("higher, average 5 against 1.5; 3 and more: 100.0 % against 0.0 %")
    assert lines[3].startswith("tier    0.2")
    assert lines[3].endswith("High: 60.0 % against 30.0 %")
    assert lines[-2:] == ["without a score:", "same: one value (nearly) everywhere"]
    chart = draw_difference(found.differences[1], found.sides, "UTC").splitlines()
    assert chart[0].startswith("tier: difference 0.2")
    assert [line.split() for line in chart[2:]] == [
        "VIP share count everyone else share count".split(),
        f"Low {draw_bar(4 / 7, 20)} 40.0 % 40 {draw_bar(1, 20)} 70.0 % 210".split(),
        f"► High {draw_bar(6 / 7, 20)} 60.0 % 60 {draw_bar(3 / 7, 20)} 30.0 % 90".split(),
    ]


def test_averages_read_well() -> None:
    numbers = (1234567.8, 123.46, 12.34, 1.234, 0.00123, 0.0, -2.5)
    shown = [show_average(value, DOUBLE, "UTC") for value in numbers]
    assert shown == ["1,234,568", "123.5", "12.3", "1.23", "0.00123", "0", "-2.5"]
    assert show_average(19_000.4, AttributeType("date"), "UTC") == "2022-01-08"
    assert show_average(1_000_000.4, AttributeType("timestamp"), "UTC") == "1970-01-01 00:00:01"


def test_overlap_of_two_and_of_three() -> None:
    text = draw_overlap(overlap_of([{1, 2, 3}, {3, 4}]), "UTC")
    assert text.splitlines() == [
        "4 in at least one of 2 segments; in all 2: 1 (25.0 %)",
        "",
        "only segment 0  2  50.0 %  ██████████████████████████████",
        "only segment 1  1  25.0 %  ███████████████",
        "both            1  25.0 %  ███████████████",
        "",
        "segment    members  of the union  in no other  of its own",
        "segment 0        3        75.0 %            2      66.7 %",
        "segment 1        2        50.0 %            1      50.0 %",
    ]
    three = draw_overlap(overlap_of([{1, 2, 3}, {3, 4}, {3}]), "UTC")
    assert "all of them     1  25.0 %" in three
    assert "1 segment 0     1  1" in three


def test_overlap_of_nobody() -> None:
    text = draw_overlap(overlap_of([set(), set()]), "UTC")
    assert "0 in at least one of 2 segments" in text
    assert '"segment 0" has no members.' in text


def test_overlap_by_values() -> None:
    from segengine.models.memberships import gather_memberships

    memberships = gather_memberships([store(set(range(1, 101))), store(set(range(51, 301)))])
    counts = count_combinations(memberships)
    groups = CombinationGroups(memberships, list_combinations(counts, 2))
    cells = choose_cells(TIERS, [Field("tier", TEXT)])
    (batch,) = TIERS.combine_chunks().to_batches()
    parts = [CellCounter(cells).count(batch, groups.assign(np.asarray(batch.column(KEY))))]
    found = describe_overlap(["A", "B"], memberships, counts, tally_counts(parts, cells, groups.group_count))
    assert draw_overlap(found, "UTC").splitlines()[-3:] == [
        "tier  in any  only B  only A    both",
        "Low      150  73.3 %   0.0 %  26.7 %",
        "High     150  60.0 %  33.3 %   6.7 %",
    ]


def test_what_all_share_is_among_the_combinations_by_value() -> None:
    from segengine.models.memberships import gather_memberships

    members = [set(range(1, 301)), set(range(1, 61)), {*range(41, 61), *range(100, 150)}, set(range(1, 6))]
    memberships = gather_memberships([store(own) for own in members])
    counts = count_combinations(memberships)
    groups = CombinationGroups(memberships, list_combinations(counts, 4))
    cells = choose_cells(TIERS, [Field("tier", TEXT)])
    (batch,) = TIERS.combine_chunks().to_batches()
    parts = [CellCounter(cells).count(batch, groups.assign(np.asarray(batch.column(KEY))))]
    found = describe_overlap(list("ABCD"), memberships, counts, tally_counts(parts, cells, groups.group_count))
    heads = draw_overlap(found, "UTC").splitlines()[-3]
    assert [text.strip() for text in heads.split("  ") if text] == [
        "tier",
        "in any",
        "only A",
        "A + C",
        "A + B",
        "all of them",
    ]


def test_the_bars_of_many_combinations_are_the_whole_union(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = overlap_of(draw_segments(9, 2_000, 3))
    bars: list[Bar] = []
    monkeypatch.setattr(insight_record, "draw_overlap", lambda drawn: bars.extend(drawn) or Mock())
    record, run = RunRecord("overlap", frozenset()), Mock(catalogue=Mock(settings=Mock(time_zone="UTC")))
    insight_record.record_overlap(record, run, OverlapQuestion(tuple(name_all(9)), ()), found)
    record.files["overlap.png"](tmp_path)
    assert sum(bar.value for bar in bars) == found.union_count
    assert (len(bars), bars[-1].label) == (21, "other combinations")
    assert {bar.label for bar in bars if " + " not in bar.label} <= {
        *(f"only {name}" for name in name_all(9)),
        "other combinations",
    }


def test_activity_groups_and_what_levels_mean() -> None:
    dimensions = (Dimension("recency", Field("days", INTEGER)), Dimension("monetary", Field("spend", MONEY)))
    visits = Field("visits", INTEGER)
    found = group(draw_customers(4_000, 12), Activity(dimensions, visits, Field("spend", MONEY)))
    lines = draw_activity(found, "UTC").splitlines()
    assert lines[0] == f"{found.active_count:,} customers with activity, {found.inactive_count:,} without"
    assert lines[2].split() == "recency monetary members of customers of the money".split()
    assert lines[3].startswith("1  ")
    assert "High (" in lines[3]
    assert lines[-2].startswith("recency by days, High is recent: High up to ")
    assert lines[-1].startswith("monetary by spend: Low up to ")
    assert "Unknown missing" in lines[-1]
