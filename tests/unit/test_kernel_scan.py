"""The kernel's parts by hand: transposition, counters, trees, batches, wrong values."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from kernel_runs import found_keys

from segengine.kernel import scan as scan_module
from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys, count_bits, pack_booleans, transpose_words
from segengine.kernel.columns import make_index
from segengine.kernel.formulas import BucketParts, Formulas
from segengine.kernel.scan import KEY, BadColumnError, ScanKernel
from segengine.plan.formulas import FormulaBuilder, FormulaNode
from segengine.plan.refresh import AudiencePlan
from segengine.plan.rows import ALL_ROWS, EVERY_ROW, MAX_CLAUSES, Clauses, Combined, Common, RowSet, make_row_set
from segengine.plan.scans import BUCKET_SIZE, Output, RowCount, Scan, SomeRow, SomeRowOf
from segengine.project.attributes import Attribute
from segengine.project.model import All, AnyOf, Condition, Not
from segengine.project.operators import BY_NAME, build_test, empty_test
from segengine.project.types import AttributeType, parse_type


def attribute(name: str, type_: str) -> Attribute:
    return Attribute("rows", (), name, parse_type(type_) or AttributeType(type_))


def condition(of: Attribute, operator: str, *literals: str) -> Condition:
    if operator == "empty":
        test, missing = empty_test(literals == ("true",))
        return Condition(of, test, missing, True)
    return Condition(of, build_test(BY_NAME[operator], literals, of.type, "UTC", False))


def make_scan(columns: Sequence[Attribute], outputs: Sequence[Output]) -> Scan:
    return Scan("customer", "rows", None, tuple(columns), tuple(outputs))


def batch(keys: Sequence[int | None], *columns: pa.Array) -> pa.RecordBatch:
    names = [KEY, *(f"c{place}" for place in range(len(columns)))]
    return pa.record_batch([pa.array(keys, pa.int64()), *columns], names=names)


AMOUNT = attribute("amount", "integer")
CHANNEL = attribute("channel", "text")


@pytest.mark.parametrize(("count", "words"), [(8, 1), (64, 1), (128, 3), (1024, 2), (8, 0), (64, 0)])
def test_transposed_words_are_the_bit_columns(count: int, words: int) -> None:
    cells = np.random.default_rng(count + words).random((count, words * 64)) < 0.3
    transposed = transpose_words(pack_booleans(cells, words))
    assert transposed.shape == (words * 64, count // 8)
    assert np.array_equal(np.unpackbits(transposed, axis=1, bitorder="little"), cells.T)
    for columns in [each for each in (0, 1, 7, 8, 9, 64) if each <= 64 * words]:
        assert np.array_equal(transpose_words(pack_booleans(cells, words), columns), transposed[:columns])
        own = np.packbits(cells[:, :columns], axis=1, bitorder="little")
        assert np.array_equal(transpose_words(own, columns), transposed[:columns])


@pytest.mark.parametrize("type_", ["integer", "double"])
@pytest.mark.parametrize(("count", "apart"), [(1, 10), (4, 10), (9, 10), (9, 1 << 40)])
def test_few_many_and_distant_bounds_judge_alike(count: int, apart: int, type_: str) -> None:
    of, bounds = attribute("amount", type_), [place * apart for place in range(count)]
    index = make_index(of, [frozenset((condition(of, "at_least", str(bound)),)) for bound in bounds])
    values = [None, -1, 0, 1, *(bound + step for bound in bounds for step in (-1, 0, 1)), -(1 << 50), 1 << 50]
    codes = index.codes(pa.array(values, pa.int64() if type_ == "integer" else pa.float64()))
    found = np.unpackbits(index.table[codes].view(np.uint8), axis=1, bitorder="little")[:, :count]
    assert found.tolist() == [[value is not None and value >= bound for bound in bounds] for value in values]


def test_packed_bits_beyond_the_columns_are_zero() -> None:
    packed = pack_booleans(np.ones((3, 65), dtype=bool), 2)
    assert packed.tolist() == [[2**64 - 1, 1]] * 3
    assert count_bits(packed) == 3 * 65


def test_keys_of_a_bitmap_count_from_one_and_by_bucket() -> None:
    bits = np.zeros(BITMAP_BYTES, dtype=np.uint8)
    bits[0], bits[-1] = 1, 128
    assert bitmap_keys(bits.tobytes(), 1).tolist() == [1, BUCKET_SIZE]
    assert bitmap_keys(bits.tobytes(), 3).tolist() == [2 * BUCKET_SIZE + 1, 3 * BUCKET_SIZE]


@pytest.mark.parametrize("row_count", [0, 1, 2, 253, 254, 255, 256, 257, 300, 600, 70_000])
@pytest.mark.parametrize("at_least", [(1, 2), (254, 255), (255, 256), (300, 65_536)])
def test_counters_do_not_wrap(row_count: int, at_least: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_BATCH_ROWS", 1 << 15)
    monkeypatch.setattr(scan_module, "_PIECE_ROWS", 200)
    kernel = ScanKernel(make_scan([], [RowCount(ALL_ROWS, count) for count in at_least]))
    kernel.add([batch([7] * row_count), batch([9])])
    assert found_keys(kernel) == [
        ([7] if row_count >= count else []) + ([9] if count <= 1 else []) for count in at_least
    ]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_profile_over_several_batches_is_one(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_BATCH_ROWS", size)
    monkeypatch.setattr(scan_module, "_PIECE_ROWS", 4)
    even = Clauses((frozenset((condition(AMOUNT, "any_of", "0", "2", "4", "6", "8"),)),))
    kernel = ScanKernel(make_scan([AMOUNT], [RowCount(even, 50), RowCount(even, 51), SomeRowOf(ALL_ROWS, even)]))
    keys = [1, BUCKET_SIZE + 1, None] * 100
    rows = batch(keys, pa.array([number // 3 % 10 for number in range(300)], pa.int64()))
    kernel.add(rows.slice(start, size) for start in range(0, 300, size))
    assert found_keys(kernel) == [[1, BUCKET_SIZE + 1], [], [1, BUCKET_SIZE + 1]]
    assert (kernel.row_count, kernel.orphan_count) == (300, 100)


def test_a_scan_that_only_counts_has_no_bits_of_its_own() -> None:
    kernel = ScanKernel(make_scan([], [RowCount(ALL_ROWS, 2)]))
    kernel.add([batch([3, 4, 4])])
    assert found_keys(kernel) == [[4]]


def test_rows_of_nobody_leave_no_bucket() -> None:
    kernel = ScanKernel(make_scan([], [SomeRow(EVERY_ROW)]))
    kernel.add([batch([None, None]), batch([])])
    assert list(kernel.take()) == []
    assert (kernel.row_count, kernel.orphan_count) == (2, 2)


@pytest.mark.parametrize("size", [2, 100])
def test_duplicate_profiles_are_counted_across_batches(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_BATCH_ROWS", size)
    kernel = ScanKernel(make_scan([], [SomeRow(EVERY_ROW)]))
    kernel.add([batch([1, 2]), batch([3, 1]), batch([1, BUCKET_SIZE + 1])])
    assert kernel.duplicate_count == 2


def large_tree(columns: Sequence[Attribute]) -> All:
    """Return an AND of ORs that has more clauses than are multiplied out."""
    return All(tuple(AnyOf((condition(c, "equals", "1"), condition(c, "at_least", "3"))) for c in columns))


@pytest.mark.parametrize("negate", [False, True])
def test_trees_are_judged_row_by_row(negate: bool) -> None:
    columns = [attribute(f"a{number}", "integer") for number in range(7)]
    tree = large_tree(columns)
    assert 2 ** len(columns) > MAX_CLAUSES
    rows_wanted = make_row_set(Not(tree) if negate else tree)
    assert isinstance(rows_wanted, Clauses if negate else Common)
    values = list(product((1, 2), repeat=6))
    keys = list(range(1, len(values) + 1))
    data = [pa.array([row[place] if place < 6 else 3 for row in values], pa.int64()) for place in range(7)]
    outputs = [SomeRowOf(rows_wanted, Clauses(())), RowCount(rows_wanted, 2), SomeRowOf(ALL_ROWS, rows_wanted)]
    kernel = ScanKernel(make_scan(columns, outputs))
    kernel.add([batch([*keys, 1], *[pa.concat_arrays([array, array[:1]]) for array in data])])
    passing = [key for key, row in zip(keys, values, strict=True) if (2 not in row) != negate]
    assert found_keys(kernel) == [passing, [] if negate else [1], [key for key in keys if key not in passing]]


def test_trees_within_trees_and_more_than_64_of_them() -> None:
    columns = [attribute(f"a{number}", "integer") for number in range(8)]
    tree = large_tree(columns)
    sets: list[RowSet] = [
        make_row_set(AnyOf((tree, condition(columns[0], "equals", str(number))))) for number in range(10, 80)
    ]
    assert all(isinstance(rows, Combined) for rows in sets)
    kernel = ScanKernel(make_scan(columns, [SomeRowOf(rows, Clauses(())) for rows in sets]))
    first = pa.array([1, *range(10, 80)], pa.int64())
    others = [pa.array([1] + [2] * 70, pa.int64())] * 7
    kernel.add([batch(list(range(1, 72)), first, *others)])
    assert found_keys(kernel) == [[1, place + 2] for place in range(70)]


def test_many_clauses_of_one_column_stay_apart() -> None:
    clauses = [frozenset((condition(CHANNEL, "equals", f"w{number}"),)) for number in range(200)]
    kernel = ScanKernel(make_scan([CHANNEL], [SomeRow(clause) for clause in clauses]))
    words = [f"w{number % 200}" for number in range(400)]
    kernel.add([batch(list(range(1, 401)), pa.array(words))])
    assert found_keys(kernel) == [[place + 1, place + 201] for place in range(200)]


@pytest.mark.parametrize("literal", [-(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1, 2**63, -(2**63) - 1])
def test_whole_numbers_at_the_ends_of_64_bits(literal: int) -> None:
    values = [-(2**63), -(2**63) + 1, -1, 0, 2**63 - 2, 2**63 - 1]
    operators = ("equals", "at_least", "greater_than", "less_than", "at_most")
    clauses = [SomeRow(frozenset((condition(AMOUNT, name, str(literal)),))) for name in operators]
    kernel = ScanKernel(make_scan([AMOUNT], clauses))
    kernel.add([batch(list(range(1, 7)), pa.array(values, pa.int64()))])
    accepted = [
        [value == literal for value in values],
        [value >= literal for value in values],
        [value > literal for value in values],
        [value < literal for value in values],
        [value <= literal for value in values],
    ]
    assert found_keys(kernel) == [[key for key, passes in enumerate(wanted, 1) if passes] for wanted in accepted]


@pytest.mark.parametrize(
    ("type_", "array", "message"),
    [
        ("integer", pa.array(["1", "x", "x", None]), "2"),
        ("decimal(4,2)", pa.array(["1.23", "1.234"]), "1"),
        ("date", pa.array(["2024-02-30", ""]), "1"),
        ("boolean", pa.array(["yes", "maybe"]), "1"),
    ],
)
def test_text_that_is_no_value_of_its_type_is_counted(type_: str, array: pa.Array, message: str) -> None:
    column = attribute("amount", type_)
    kernel = ScanKernel(make_scan([column], [SomeRow(frozenset((condition(column, "empty", "true"),)))]))
    with pytest.raises(BadColumnError) as caught:
        kernel.add([batch(list(range(1, len(array) + 1)), array)])
    assert str(caught.value.count) == message
    assert caught.value.column == "amount"


@pytest.mark.parametrize(
    ("type_", "array", "wanted"),
    [
        ("integer", pa.array(["1", "", None, "007"]), [1]),
        ("decimal(38,2)", pa.array([Decimal("1.00"), None, Decimal("-1.00")], pa.decimal128(38, 2)), [1]),
        ("decimal(38,2)", pa.array([Decimal("1.000"), Decimal("1.001")], pa.decimal128(38, 3))[:1], [1]),
        ("double", pa.array([1, 2, None], pa.int32()), [1]),
        ("float", pa.array([1.0, 2.0], pa.float64()), [1]),
        ("integer", pa.array([1, 300], pa.uint16()), [1]),
    ],
)
def test_stored_types_are_read_as_meant(type_: str, array: pa.Array, wanted: list[int]) -> None:
    column = attribute("amount", type_)
    kernel = ScanKernel(make_scan([column], [SomeRow(frozenset((condition(column, "equals", "1"),)))]))
    kernel.add([batch(list(range(1, len(array) + 1)), array)])
    assert found_keys(kernel) == [wanted]


@pytest.mark.parametrize(("zone", "fits"), [("UTC", True), ("Europe/Berlin", False)])
def test_an_offset_in_a_text_is_no_wall_clock_of_another_zone(zone: str, fits: bool) -> None:
    column = Attribute("rows", (), "at", AttributeType("timestamp_ntz", zone=zone))
    clause = frozenset((condition(column, "before", "2024-01-01T10:00:00Z"),))
    kernel = ScanKernel(make_scan([column], [SomeRow(clause)]))
    rows = batch([1, 2], pa.array(["2024-01-01T10:30:00+01:00", "2024-01-01T10:30:00"]))
    if fits:
        kernel.add([rows])
        assert found_keys(kernel) == [[1]]
    else:
        with pytest.raises(BadColumnError):
            kernel.add([rows])


def test_infinities_are_counted_and_satisfy_nothing() -> None:
    column = attribute("amount", "double")
    outputs = [SomeRow(frozenset((condition(column, name, "0"),))) for name in ("at_least", "at_most")]
    kernel = ScanKernel(make_scan([column], outputs))
    kernel.add([batch([1, 2, 3], pa.array([float("inf"), float("-inf"), float("nan")]))])
    assert found_keys(kernel) == [[], []]
    assert kernel.invalid_counts() == {(0, "amount"): 2, (1, "amount"): 2}


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", "", None, "A"], pa.large_string()),
        pa.array(["a", "", None, "A"], pa.string_view()),
        pa.array(["a", "", None, "A"]).dictionary_encode(),
    ],
)
def test_text_is_read_from_every_layout(array: pa.Array) -> None:
    clauses = [("equals", "a"), ("empty", "true"), ("contains", "A")]
    kernel = ScanKernel(make_scan([CHANNEL], [SomeRow(frozenset((condition(CHANNEL, *c),))) for c in clauses]))
    kernel.add([batch([1, 2, 3, 4], array)])
    assert found_keys(kernel) == [[1], [2, 3], [4]]


def test_formulas_without_scans_are_empty_but_read_stored_members() -> None:
    builder = FormulaBuilder(FormulaNode("bit", (0, 0)))
    node = builder.any((builder.add("stored", 1), builder.add("bit", 0, 5)))
    members: Any = np.zeros(BITMAP_BYTES, dtype=np.uint8)
    members[0] = 5
    catalogue: dict[str, Any] = dict.fromkeys(("segments", "measures", "members", "results", "outlines"), {})
    plan = AudiencePlan(
        audience="customer",
        as_of=0,
        zone="UTC",
        scans=(),
        nodes=builder.nodes(),
        stored=("a", "b"),
        stored_measures=(),
        carried=(),
        carried_values=(),
        overflow={},
        answers={},
        asked={},
        **catalogue,
    )
    results: Any = Formulas(plan).evaluate(BucketParts(stored={1: members.tobytes()}))
    assert bitmap_keys(results[node].tobytes(), 1).tolist() == [1, 3]
    assert count_bits(results[FormulaBuilder.EVERYONE]) == 0


def test_equal_formulas_are_one_node_and_trivial_ones_vanish() -> None:
    builder = FormulaBuilder(FormulaNode("bit", (0, 0)))
    left, right = builder.add("bit", 0, 1), builder.add("bit", 0, 2)
    assert builder.all((left, right, left)) == builder.all((right, left))
    assert builder.all((left, builder.EVERYONE)) == builder.any((left, builder.NOBODY)) == left
    assert builder.all((left, builder.NOBODY)) == builder.without(left, left) == builder.NOBODY
    assert builder.any((left, builder.EVERYONE)) == builder.all(()) == builder.EVERYONE
    assert builder.without(left, builder.EVERYONE) == builder.without(builder.NOBODY, left) == builder.NOBODY
