"""Values of a scan: every aggregate over many row sets at once, against plain Python."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from segengine.kernel import aggregation as aggregation_module
from segengine.kernel import blocks as blocks_module
from segengine.kernel import matching as matching_module
from segengine.kernel import ranks as ranks_module
from segengine.kernel import scan as scan_module
from segengine.kernel.aggregates import aggregate_type
from segengine.kernel.arithmetic import Clock
from segengine.kernel.blocks import SumBlock
from segengine.kernel.narrow import widen
from segengine.kernel.scan import KEY, ScanKernel
from segengine.kernel.values import Values
from segengine.plan.rows import ALL_ROWS, NO_ROWS, RowSet, make_row_set
from segengine.plan.scans import BUCKET_SIZE, ScanBuilder, Value, ValueTest
from segengine.project.attributes import Aggregate, AggregateFunction, Arithmetic, AsOf, Attribute, Path
from segengine.project.model import All, AnyOf, Condition
from segengine.project.operators import BY_NAME, build_test
from segengine.project.types import EPOCH_DAY, AttributeType

PATH = Path("rows", ())
INTEGER, PRICE, WIDE = AttributeType("integer"), AttributeType("decimal", 12, 2), AttributeType("decimal", 38, 2)
DOUBLE, TEXT, DATE = AttributeType("double"), AttributeType("text"), AttributeType("date")
CLOCK = Clock(19_800 * 86_400_000_000 + 1, "UTC")
F = AggregateFunction


def attribute(name: str, type_: AttributeType) -> Attribute:
    return Attribute("rows", (), name, type_)


ID, QUANTITY, PRICED = attribute("id", INTEGER), attribute("quantity", INTEGER), attribute("price", PRICE)
SIZE, SCORE, CHANNEL = attribute("size", WIDE), attribute("score", DOUBLE), attribute("channel", TEXT)
DAY = attribute("day", DATE)
ARROW = {ID: pa.int64(), QUANTITY: pa.int32(), PRICED: pa.decimal128(12, 2), SIZE: pa.decimal128(38, 2)} | {
    SCORE: pa.float64(),
    CHANNEL: pa.string(),
    DAY: pa.date32(),
}
DRAWS: dict[Attribute, Callable[[random.Random], Any]] = {
    QUANTITY: lambda c: c.choice([None, 0, 1, -2, c.randrange(100)]),
    PRICED: lambda c: c.choice([None, *(Decimal(c.randrange(-(10**4), 10**6)).scaleb(-2) for _ in range(5))]),
    SIZE: lambda c: c.choice([None, Decimal(c.randrange(1000)), Decimal(f"{c.choice([2**63, -(2**64)])}E-2")]),
    SCORE: lambda c: c.choice([None, float("nan"), -0.0, 0.5, c.uniform(-1e3, 1e3), 1e12]),
    CHANNEL: lambda c: c.choice([None, "", "web", "store", "mail", "ß"]),
    DAY: lambda c: c.choice([None, EPOCH_DAY + timedelta(c.randrange(19_000, 19_010))]),
}
REVENUE = Arithmetic("*", QUANTITY, PRICED, AttributeType("decimal", 38, 2))
AGE = Arithmetic("-", AsOf(AttributeType("timestamp")), DAY, INTEGER)

Row = dict[Attribute, Any]


def is_missing(value: Any) -> bool:
    return value is None or value == "" or value != value


def read(of: Attribute | Arithmetic, row: Row) -> Any:
    """Return the value of an attribute, or of one of the expressions above, on a row; None where missing."""
    if of == REVENUE:
        return None if row[QUANTITY] is None or row[PRICED] is None else row[QUANTITY] * row[PRICED]
    if of == AGE:
        return None if row[DAY] is None else (EPOCH_DAY + timedelta(19_800) - row[DAY]).days
    assert isinstance(of, Attribute)
    return None if is_missing(row[of]) else row[of]


def exact(value: Any) -> Fraction:
    return Fraction(round(Fraction(value) * 10**9), 10**9) if isinstance(value, float) else Fraction(value)


def expected(aggregate: Aggregate, rows: Sequence[Row]) -> Any:
    """Return the value of an aggregate over rows; numbers as fractions."""
    function = aggregate.function
    if aggregate.of is None:
        return len(rows)
    if aggregate.by is not None:
        return picked(aggregate, rows)
    values = [value for row in rows if (value := read(aggregate.of, row)) is not None]
    if function is F.COUNT:
        return len(values)
    if function is F.COUNT_UNIQUE:
        return len(set(values))
    if function is F.SUM:
        return sum(map(exact, values))
    if not values:
        return None
    if function is F.AVERAGE:
        scale = aggregate_type(aggregate).scale
        return Fraction(round(sum(map(exact, values)) / len(values) * 10**scale), 10**scale)
    return min(values) if function is F.MIN else max(values)


def picked(aggregate: Aggregate, rows: Sequence[Row]) -> Any:
    by, of = aggregate.by, aggregate.of
    assert by is not None
    assert of is not None
    own = [row for row in rows if read(by, row) is not None and read(of, row) is not None]
    if not own:
        return None
    least = aggregate.function in (F.FIRST, F.ARG_MIN)
    best = (min if least else max)(read(by, row) for row in own)
    ties = [row for row in own if read(by, row) == best]
    return read(of, min(ties, key=lambda row: [*((is_missing(row[k]), row[k] or 0) for k in aggregate.key)]))


def stored(value: Any) -> Any:
    """Return a value of Arrow as it is compared: numbers as fractions."""
    return Fraction(value) if isinstance(value, Decimal | float | int) else value


def condition(of: Attribute, operator: str, *literals: str) -> Condition:
    return Condition(of, build_test(BY_NAME[operator], literals, of.type, "UTC", False))


def draw_filter(choose: random.Random) -> tuple[RowSet, Callable[[Row], bool]]:
    """Return a row set and whether a row is in it."""
    kind = choose.randrange(6)
    limit, channel = choose.randrange(-3, 60), choose.choice(["web", "store", "mail"])
    many = condition(QUANTITY, "at_least", str(limit))
    in_channel = condition(CHANNEL, "equals", channel)
    if kind == 0:
        return ALL_ROWS, lambda row: True
    if kind == 1:
        return NO_ROWS, lambda row: False
    if kind == 2:
        return make_row_set(many), lambda row: row[QUANTITY] is not None and row[QUANTITY] >= limit
    if kind == 3:
        return make_row_set(in_channel), lambda row: bool(row[CHANNEL] == channel)
    both = (make_row_set(All((many, in_channel))), make_row_set(AnyOf((many, in_channel))))
    inside: list[Callable[[Row], bool]] = [
        lambda row: row[QUANTITY] is not None and row[QUANTITY] >= limit and row[CHANNEL] == channel,
        lambda row: (row[QUANTITY] is not None and row[QUANTITY] >= limit) or row[CHANNEL] == channel,
    ]
    return both[kind - 4], inside[kind - 4]


def draw_aggregate(choose: random.Random) -> Aggregate:
    function = choose.choice(list(F))
    if function in (F.FIRST, F.LAST, F.ARG_MAX, F.ARG_MIN):
        by = choose.choice([DAY, QUANTITY, SCORE])
        return Aggregate(function, choose.choice([*DRAWS]), by, (ID,))
    numbers: list[Attribute | Arithmetic] = [QUANTITY, PRICED, SIZE, SCORE, REVENUE, AGE]
    if function in (F.SUM, F.AVERAGE):
        return Aggregate(function, choose.choice(numbers))
    if function is F.COUNT and choose.random() < 0.5:
        return Aggregate(function, None)
    return Aggregate(function, choose.choice([*numbers, CHANNEL, DAY]))


def batches(rows: Sequence[tuple[int | None, Row]], columns: Sequence[Attribute], size: int) -> list[pa.RecordBatch]:
    arrays = [pa.array([key for key, _ in rows], pa.int64())]
    arrays += [pa.array([row[column] for _, row in rows], ARROW[column]) for column in columns]
    whole = pa.record_batch(arrays, names=[KEY, *(f"c{place}" for place in range(len(columns)))])
    return [whole.slice(start, size) for start in range(0, len(rows), size)]


def draw_rows(choose: random.Random, count: int) -> list[tuple[int | None, Row]]:
    keys = [None, 1, 2, 64, 65, BUCKET_SIZE, BUCKET_SIZE + 1, 3 * BUCKET_SIZE, 3 * BUCKET_SIZE + 5]
    rows: list[tuple[int | None, Row]] = []
    for number in range(count):
        row: Row = {ID: number, **{column: draw(choose) for column, draw in DRAWS.items()}}
        rows.append((choose.choice(keys), row))
    choose.shuffle(rows)
    return rows


def found_values(kernel: ScanKernel) -> dict[int, pa.RecordBatch]:
    return {answers.bucket: widen(answers.values) for answers in kernel.take()}


def value_of(found: Mapping[int, pa.RecordBatch], key: int, number: int) -> Any:
    bucket, place = divmod(key - 1, BUCKET_SIZE)
    return stored(found[bucket + 1].column(number)[place].as_py())


@pytest.mark.parametrize("seed", range(60))
def test_values_equal_plain_python(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = random.Random(seed)
    if seed % 2:
        monkeypatch.setattr(scan_module, "_BATCH_ROWS", choose.choice([3, 20, 64]))
        monkeypatch.setattr(scan_module, "_PIECE_ROWS", choose.choice([1, 8]))
    monkeypatch.setattr(matching_module, "_MOST_KINDS", choose.choice([1, 10, 1 << 12]))
    if seed % 3:  # blocks however few row sets there are, profiles in several parts, few at a time
        monkeypatch.setattr(aggregation_module, "_FEWEST", 1)
        monkeypatch.setattr(ranks_module, "LONGEST", choose.choice([1, 3, 64]))
        monkeypatch.setattr(ranks_module, "GROUPS", choose.choice([1, 2, 64]))
        monkeypatch.setattr(blocks_module, "_FEWEST_LOOSE", choose.choice([0, 100]))
    builder = ScanBuilder("customer", "rows", PATH)
    wanted: dict[int, tuple[Aggregate, Callable[[Row], bool]]] = {}
    for _ in range(choose.choice([1, 8, 70])):
        rows, inside = draw_filter(choose)
        aggregate = draw_aggregate(choose)
        wanted[builder.value(Value(rows, aggregate))] = aggregate, inside
    scan = builder.build()
    rows = draw_rows(choose, choose.choice([1, 40, 250]))
    kernel = ScanKernel(scan, clock=CLOCK)
    kernel.add(batches(rows, scan.columns, choose.choice([1, 7, 1_000])))
    found = found_values(kernel)
    for key in {key for key, _ in rows if key is not None}:
        own = [row for other, row in rows if other == key]
        for number, (aggregate, inside) in wanted.items():
            value = expected(aggregate, [row for row in own if inside(row)])
            assert value_of(found, key, number) == stored(value), (aggregate, key)
    absent = {1: 7, 2: BUCKET_SIZE + 7}
    for bucket, key in absent.items():
        if bucket in found:
            assert all(value_of(found, key, n) == stored(expected(a, [])) for n, (a, _) in wanted.items())


def count_blocks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that gets an entry whenever a block has begun a batch: whether it takes it in."""
    ready: list[bool] = []

    def begin(block: SumBlock, values: Mapping[Any, Values], longest: int) -> None:
        begin_as_ever(block, values, longest)
        ready.append(block.is_ready)

    begin_as_ever = SumBlock.begin
    monkeypatch.setattr(SumBlock, "begin", begin)
    return ready


@pytest.mark.parametrize("row_count", [127, 128, 32_767, 32_768, 70_000])
def test_many_counts_of_a_profile_are_exact_however_many_rows_it_has(
    row_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "_BATCH_ROWS", 10_000)
    builder = ScanBuilder("customer", "rows", PATH)
    limits = [*range(-10, 10)]
    for limit in limits:
        builder.value(Value(make_row_set(condition(QUANTITY, "at_least", str(limit))), Aggregate(F.COUNT, None)))
    scan = builder.build()
    kernel = ScanKernel(scan, clock=CLOCK)
    columns = [pa.repeat(pa.scalar(7, pa.int64()), row_count), pa.repeat(pa.scalar(0, ARROW[QUANTITY]), row_count)]
    whole = pa.record_batch(columns, names=[KEY, "c0"])
    kernel.add(whole.slice(start, 9_000) for start in range(0, row_count, 9_000))
    found = found_values(kernel)
    assert [value_of(found, 7, place) for place in range(len(limits))] == [row_count if n <= 0 else 0 for n in limits]


@pytest.mark.parametrize(
    ("most", "blocked"),
    [
        *((100, {True}), (2**26, {True}), (2**40, {True}), (2**54, {True})),
        *((2**55, {True, False}), (2**58, {False}), (2**63 - 1, {False})),
    ],
)
def test_many_sums_of_one_column_are_exact_whatever_their_size(
    most: int, blocked: set[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "_BATCH_ROWS", 500)
    ready = count_blocks(monkeypatch)
    choose = random.Random(most)
    builder = ScanBuilder("customer", "rows", PATH)
    limits = [*range(-20, 20)]
    for limit in limits:
        many = make_row_set(condition(QUANTITY, "at_least", str(limit)))
        builder.value(Value(many, Aggregate(F.SUM, ID)))
        builder.value(Value(many, Aggregate(F.AVERAGE, ID)))
        builder.value(Value(many, Aggregate(F.COUNT, None)))
    scan = builder.build()
    rows: list[tuple[int | None, Row]] = []
    for _ in range(2_000):
        number = choose.choice([None, most, -most, choose.randrange(-most, most)])
        row: Row = {ID: number, QUANTITY: choose.randrange(-25, 25)}
        rows.append((choose.choice([1, 1, 1, 1, 5, 7, BUCKET_SIZE * 4]), row))
    kernel = ScanKernel(scan)
    kernel.add(batches(rows, scan.columns, 700))
    assert set(ready) == blocked
    found = found_values(kernel)
    for key in (1, 5, 7, BUCKET_SIZE * 4):
        for number, limit in enumerate(limits):
            own = [row for other, row in rows if other == key and row[QUANTITY] >= limit]
            for place, function in enumerate((F.SUM, F.AVERAGE)):
                wanted = stored(expected(Aggregate(function, ID), own))
                assert value_of(found, key, 3 * number + place) == wanted
            assert value_of(found, key, 3 * number + 2) == len(own)


def test_more_rows_are_counted_than_states_hold_at_first() -> None:
    builder = ScanBuilder("customer", "rows", PATH)
    for limit in range(20):
        many = make_row_set(condition(QUANTITY, "at_least", str(limit)))
        builder.value(Value(many, Aggregate(F.COUNT, QUANTITY)))
        builder.value(Value(many, Aggregate(F.COUNT, None)))
        builder.value(Value(many, Aggregate(F.AVERAGE, QUANTITY)))
    scan = builder.build()
    rows: list[tuple[int | None, Row]] = [(1 if row % 10 else 2, {QUANTITY: row % 20}) for row in range(40_000)]
    kernel = ScanKernel(scan)
    kernel.add(batches(rows, scan.columns, 30_000))
    found = found_values(kernel)
    for limit in range(20):
        for key in (1, 2):
            own = sum(other == key and row[QUANTITY] >= limit for other, row in rows)
            assert [value_of(found, key, 3 * limit + number) for number in (0, 1)] == [own, own]


@pytest.mark.parametrize("sizes", [(7, 10), (100, 127, 128, 129), (2**15, 2**31, 2**40), (2**63 - 1, 2**63 - 2), (0,)])
def test_many_extremes_and_distinct_values_of_one_column_whatever_their_size(sizes: Sequence[int]) -> None:
    choose = random.Random(sum(sizes))
    builder = ScanBuilder("customer", "rows", PATH)
    functions = (F.MIN, F.MAX, F.COUNT_UNIQUE)
    for limit in range(-20, 20):
        many = make_row_set(condition(QUANTITY, "at_least", str(limit)))
        for function in functions:
            builder.value(Value(many, Aggregate(function, ID)))
    scan = builder.build()
    rows: list[tuple[int | None, Row]] = []
    for size in sizes:  # each larger than what was kept before
        for _ in range(300):
            number = choose.choice([None, size, -size, -size - 1, choose.randint(-size, size)])
            rows.append((choose.choice([1, 1, 5, BUCKET_SIZE * 4]), {ID: number, QUANTITY: choose.randrange(-25, 19)}))
        kernel = ScanKernel(scan)
        for start in range(0, len(rows), 300):
            kernel.add(batches(rows[start : start + 300], scan.columns, 70))
        found = found_values(kernel)
        for key in (1, 5, BUCKET_SIZE * 4):
            for place in range(120):
                own = [row for other, row in rows if other == key and row[QUANTITY] >= place // 3 - 20]
                assert value_of(found, key, place) == stored(expected(Aggregate(functions[place % 3], ID), own))


def test_values_have_their_stored_types() -> None:
    builder = ScanBuilder("customer", "rows", PATH)
    pairs = [(F.SUM, SCORE), (F.AVERAGE, QUANTITY), (F.MIN, DAY), (F.MAX, CHANNEL), (F.COUNT_UNIQUE, CHANNEL)]
    for function, of in pairs:
        builder.value(Value(ALL_ROWS, Aggregate(function, of)))
    builder.value(Value(ALL_ROWS, Aggregate(F.LAST, CHANNEL, DAY, (ID,))))
    scan = builder.build()
    kernel = ScanKernel(scan)
    kernel.add(batches(draw_rows(random.Random(1), 20), scan.columns, 20))
    for batch in found_values(kernel).values():
        assert batch.num_rows == BUCKET_SIZE
        assert batch.schema.types == [
            *(pa.decimal128(38, 9), pa.decimal128(38, 6), pa.date32()),
            *(pa.string(), pa.int64(), pa.string()),
        ]


def test_too_many_digits_are_told_by_place() -> None:
    big = condition(attribute("size", WIDE), "at_least", "5")
    total = Attribute("rows", (), "size", AttributeType("decimal", 38, 2), Aggregate(F.SUM, SIZE))
    builder = ScanBuilder("customer", "rows", PATH)
    builder.value(Value(ALL_ROWS, Aggregate(F.COUNT, None)))
    builder.value(Value(ALL_ROWS, Aggregate(F.SUM, SIZE)))
    builder.value(Value(make_row_set(big), Aggregate(F.AVERAGE, SIZE)))
    output = builder.output(ValueTest(ALL_ROWS, condition(total, "greater_than", "3")))
    scan = builder.build()
    most = Decimal(f"{10**38 - 1}E-2")
    rows: list[tuple[int | None, Row]] = [(3, {SIZE: most}), (3, {SIZE: most}), (BUCKET_SIZE + 9, {SIZE: Decimal(4)})]
    rows.append((None, {SIZE: most}))
    kernel = ScanKernel(scan)
    kernel.add(batches(rows, scan.columns, 2))
    answers = {found.bucket: found for found in kernel.take()}
    assert [answers[bucket].overflow for bucket in (1, 2)] == [{output: [2]}, {}]
    found = {bucket: widen(own.values) for bucket, own in answers.items()}
    assert json.loads(found[1].schema.metadata[b"overflow"]) == {"1": [2], "2": [2]}
    assert found[2].schema.metadata is None
    assert value_of(found, 3, 1) is None
    assert value_of(found, BUCKET_SIZE + 9, 1) == 4


def test_infinities_of_arithmetic_are_counted_by_column() -> None:
    product = Arithmetic("*", SCORE, QUANTITY, AttributeType("decimal", 38, 9))
    builder = ScanBuilder("customer", "rows", PATH)
    builder.value(Value(ALL_ROWS, Aggregate(F.SUM, product)))
    builder.value(Value(ALL_ROWS, Aggregate(F.COUNT, SCORE)))
    scan = builder.build()
    rows: list[tuple[int | None, Row]] = [
        (1, {SCORE: score, QUANTITY: 2}) for score in (float("inf"), 1.5, None, float("-inf"))
    ]
    kernel = ScanKernel(scan, clock=CLOCK)
    kernel.add(batches(rows, scan.columns, 3))
    assert kernel.invalid_counts() == {(0, "score"): 2, (1, "score"): 2}
    found = found_values(kernel)
    assert [value_of(found, 1, place) for place in (0, 1)] == [3, 1]
