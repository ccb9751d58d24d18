"""Insights as rows and as plain values: nothing of what was found is lost on the way."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from segengine.errors import DataContractError
from segengine.models.answers import dump_answer
from segengine.models.differentiators import Differentiators
from segengine.models.insight_rows import DIFFERENTIATORS, OVERLAP, list_differences, list_rows
from segengine.models.insights import read_insight
from tests.models.comparisons import MIXED, compare, draw_table, normal
from tests.models.test_overlap import overlap_by_word

TYPES = {name: type_ for name, (type_, _) in MIXED.items()}


def differentiators() -> tuple[Differentiators, dict[str, Counter[object]]]:
    """Return a result, and how often each side has each value of each field."""
    table, sides = draw_table(MIXED, (400, 3_000), 21, {"income": normal(60_000, 9_000)})
    values = {name: Counter(zip(sides.tolist(), table.column(name).to_pylist(), strict=True)) for name in TYPES}
    return compare(table, sides, TYPES, "rows"), values


def columns_of(schema: str) -> list[str]:
    return [column.split()[0] for column in schema.split(", ")]


def test_results_come_back_as_they_were() -> None:
    found, _ = differentiators()
    assert read_insight(json.loads(json.dumps(dump_answer(found)))) == found
    overlap = overlap_by_word(["1", "true", "x"] * 30)
    assert read_insight(json.loads(json.dumps(dump_answer(overlap)))) == overlap


def test_what_another_version_wrote_is_refused() -> None:
    content = dump_answer(overlap_by_word(["a"] * 30))
    for changed in ({}, {**content, "union_count": "many"}):
        with pytest.raises(DataContractError, match="written by another version of segengine"):
            read_insight(changed)


def test_a_row_for_each_value_of_each_field() -> None:
    found, values = differentiators()
    rows = list_rows(found, "UTC")
    assert {tuple(row) for row in rows} == {tuple(columns_of(DIFFERENTIATORS))}
    assert rows[0]["field"] == "income"
    channels = {row["value"]: [row["of_count"], row["against_count"]] for row in rows if row["field"] == "channel"}
    counted = values["channel"]
    assert channels == {name or "missing": [counted[1, name], counted[2, name]] for _, name in counted}
    for field in TYPES:
        own = [row for row in rows if row["field"] == field]
        assert sum(row["of_count"] for row in own) == 400
        assert sum(row["against_share"] for row in own) == pytest.approx(1)
    assert [row["field"] for row in list_differences(found)] == list(dict.fromkeys(row["field"] for row in rows))


def test_a_row_for_each_combination_and_value() -> None:
    rows = list_rows(overlap_by_word(["a"] * 30 + ["b"] * 30), "UTC")
    assert {tuple(row) for row in rows} == {tuple(columns_of(OVERLAP))}
    assert {(row["value"], row["segments"]): (row["profile_count"], row["share"]) for row in rows} == {
        (None, "A + B"): (30, 0.5),
        (None, "B"): (30, 0.5),
        (None, "A"): (0, 0.0),
        ("a", "A + B"): (30, 1.0),
        ("a", "B"): (0, 0.0),
        ("a", "A"): (0, 0.0),
        ("b", "A + B"): (0, 0.0),
        ("b", "B"): (30, 1.0),
        ("b", "A"): (0, 0.0),
    }
