"""Cells: chosen blindly, counted exactly, the same however the rows are parted."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from segengine.models.cells import (
    Cell,
    CellCounter,
    FieldCells,
    choose_cells,
    describe_cell,
    merge_counts,
    tally_counts,
)
from segengine.models.fields import Bins, Categories, Field
from segengine.models.sums import average
from segengine.project.types import AttributeType
from tests.models.comparisons import BOOLEAN, DOUBLE, INTEGER, MIXED, MONEY, TEXT, draw_table, make_table, send

FIELDS = [Field(name, type_) for name, (type_, _) in MIXED.items()]
DATE, INSTANT = AttributeType("date"), AttributeType("timestamp")


def batches(table: pa.Table, sizes: int) -> list[pa.RecordBatch]:
    return table.combine_chunks().to_batches(max_chunksize=sizes)


def test_counts_are_those_of_plain_python_for_any_order_and_parts() -> None:
    table, sides = draw_table(MIXED, (700, 2_000), 5)
    cells = choose_cells(table, FIELDS, 700)
    counter = send(CellCounter(cells))
    (whole,) = batches(table, 10_000)
    expected = merge_counts([counter.count(whole, sides)])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(sides))
        parts, start = [], 0
        for batch in batches(table.take(order), 333):
            parts.append(counter.count(batch, sides[order][start : start + batch.num_rows]))
            start += batch.num_rows
        assert merge_counts([merge_counts(parts[:4]), *parts[4:]]).equals(expected)
    for field, found in zip(cells, tally_counts([expected], cells, 2), strict=True):
        column = table.column(field.field.name).to_pylist()
        codes = [plain_code(field, value) for value in column]
        by_hand = Counter(zip(sides.tolist(), codes, strict=True))
        assert [[by_hand[side, cell] for cell in range(field.cell_count)] for side in (1, 2)] == found.rows.tolist()
        if field.field.is_ordered:
            assert list(found.totals) == [plain_sum(column, sides, side, field.field.type) for side in (1, 2)]


def plain_code(cells: FieldCells, value: object) -> int:
    coding = cells.coding
    if value is None:
        return coding.missing
    if isinstance(coding, Categories):
        return coding.values.index(value) if value in coding.values else coding.others
    return sum(limit < value for limit in coding.limits)


def plain_sum(column: list, sides: np.ndarray, side: int, type_: AttributeType) -> int:
    values = [value for value, own in zip(column, sides.tolist(), strict=True) if own == side and value is not None]
    if type_.name != "double":
        return sum(values)
    return sum(int(Decimal(value).scaleb(9).to_integral_value(ROUND_HALF_EVEN)) for value in values)


def test_sums_pass_64_bits() -> None:
    wide = pa.array([1e300, -(2.0**40)] * 4 + [None])
    table = pa.table({"huge": pa.array([2**62] * 9), "wide": wide})
    cells = choose_cells(table, [Field("huge", INTEGER), Field("wide", DOUBLE)])
    (batch,) = batches(table, 100)
    counts = tally_counts([CellCounter(cells).count(batch, np.ones(9, np.int8))] * 3, cells, 1)
    assert counts[0].totals == (27 * 2**62,)
    assert counts[1].totals == (12 * (int(Fraction(1e300)) - 2**40) * 10**9,)
    assert average(counts[0].totals[0], 27, INTEGER) == 2.0**62
    assert average(0, 0, INTEGER) is None


def test_nobody_in_a_group_is_no_counts() -> None:
    table, sides = draw_table(MIXED, (20, 20), 1)
    cells = choose_cells(table, FIELDS)
    (batch,) = batches(table, 100)
    nothing = CellCounter(cells).count(batch, np.zeros(40, np.int8))
    assert nothing.num_rows == 0
    assert merge_counts([]).num_rows == 0
    assert all(not counts.rows.any() for counts in tally_counts([nothing], cells, 2))


def texts(**counts: int) -> pa.Table:
    return pa.table({"a": pa.array([name for name, count in counts.items() for _ in range(count)])})


@pytest.mark.parametrize(
    ("counts", "smaller", "values"),
    [
        ({"x": 60, "y": 30, "z": 10}, 50, ("x", "y", "z")),
        ({"x": 60, "y": 30, "z": 9}, 50, ("x",)),  # z is expected 4.5 times, and y joins it
        ({"x": 60, "y": 31, "z": 5, "w": 4}, 60, ("x", "y")),  # 5 of the others together
        ({"b": 50, "a": 50}, 10, ("a", "b")),  # equals by their text
        ({"x": 1, "y": 1, "z": 1}, 2, ()),
        ({"x": 1, "y": 2}, None, ("y", "x")),
    ],
)
def test_a_value_has_a_cell_where_enough_are_expected(
    counts: dict[str, int], smaller: int | None, values: tuple[str, ...]
) -> None:
    (cells,) = choose_cells(texts(**counts), [Field("a", TEXT)], smaller)
    assert cells.coding == Categories(values)


def test_at_most_19_values_and_20_bins() -> None:
    table = make_table(
        {"a": (TEXT, np.array([f"{n:03}" for n in range(500)], object)), "n": (INTEGER, np.arange(500.0))}
    )
    text, number = choose_cells(table, [Field("a", TEXT), Field("n", INTEGER)])
    assert text.coding == Categories(tuple(f"{n:03}" for n in range(19)))
    assert number.coding == Bins(tuple(range(24, 499, 25)))
    assert len(number.list_cells()) == number.cell_count == 21


def test_booleans_and_nothing_at_all() -> None:
    table = make_table({"b": (BOOLEAN, np.array([1.0, 0, np.nan])), "n": (DOUBLE, np.full(3, np.nan))})
    flag, nothing = choose_cells(table, [Field("b", BOOLEAN), Field("n", DOUBLE)])
    assert [cell.kind for cell in flag.list_cells()] == ["value", "value", "others", "missing"]
    assert [cell.kind for cell in nothing.list_cells()] == ["range", "missing"]


@pytest.mark.parametrize(
    ("cell", "type_", "words"),
    [
        (Cell("value", "Gold"), TEXT, "Gold"),
        (Cell("value", 1), BOOLEAN, "yes"),
        (Cell("others"), TEXT, "any other"),
        (Cell("missing"), MONEY, "missing"),
        (Cell("range", above=2, at_most=7), INTEGER, "3 to 7"),
        (Cell("range", above=2, at_most=3), INTEGER, "3"),
        (Cell("range", above=7), INTEGER, "8 and more"),
        (Cell("range", at_most=7), INTEGER, "up to 7"),
        (Cell("range"), INTEGER, "any value"),
        (Cell("range", above=250, at_most=12_000), MONEY, "above 2.5 to 120"),
        (Cell("range", above=0.1 + 0.2), DOUBLE, "above 0.3"),
        (Cell("range", above=19_000, at_most=19_001), DATE, "2022-01-09"),
        (Cell("range", above=0, at_most=86_400_000_000), INSTANT, "above 1970-01-01 00:00:00 to 1970-01-02 00:00:00"),
    ],
)
def test_cells_in_words(cell: Cell, type_: AttributeType, words: str) -> None:
    assert describe_cell(cell, type_, "UTC") == words
