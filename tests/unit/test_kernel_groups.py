"""Values by dimensions: states of several tasks merged, against plain Python."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from test_kernel_values import (
    ARROW,
    CHANNEL,
    CLOCK,
    DAY,
    DRAWS,
    PATH,
    PRICED,
    QUANTITY,
    REVENUE,
    SCORE,
    SIZE,
    Row,
    attribute,
    batches,
    condition,
    draw_aggregate,
    draw_filter,
    draw_rows,
    expected,
    is_missing,
    stored,
)

from segengine.kernel import matching as matching_module
from segengine.kernel import scan as scan_module
from segengine.kernel import scan_groups as scan_groups_module
from segengine.kernel.arithmetic import Clock
from segengine.kernel.distinct import SHARES, count_pairs, put_counts, share_pairs, split_pairs
from segengine.kernel.groups import finish_states, merge_states, state_schema
from segengine.kernel.scan import KEY, ScanKernel
from segengine.plan.rows import ALL_ROWS, RowSet, make_row_set
from segengine.plan.scans import Groups, ScanBuilder
from segengine.project.attributes import Aggregate, AggregateFunction, Attribute
from segengine.project.date_parts import part_of
from segengine.project.measure import Dimension
from segengine.project.types import AttributeType

BERLIN = "Europe/Berlin"
AT, LOCAL = attribute("at", AttributeType("timestamp")), attribute("local", AttributeType("timestamp_ntz", zone=BERLIN))
DATE, INTEGER = AttributeType("date"), AttributeType("integer")
PLAIN = [Dimension(of.name, of, of.type) for of in (CHANNEL, QUANTITY, SIZE, SCORE, DAY)]
MONTH = Dimension("month", DAY, DATE, "month")
WEEKDAY = Dimension("weekday", part_of(DAY, "weekday_of", "UTC"), INTEGER)

Inside = Callable[[Row], bool]


def dimension_value(dimension: Dimension, row: Row) -> Any:
    """Return the value of one of the dimensions above on a row; None where missing."""
    value = row[dimension.attribute.whole]
    if is_missing(value):
        return None
    if dimension == MONTH:
        return value.replace(day=1)
    return value.isoweekday() if dimension == WEEKDAY else stored(value)


def run_tasks(groups: Groups, rows: Sequence[tuple[int | None, Row]], choose: random.Random) -> list[pa.RecordBatch]:
    """Return the states of tasks that have some of the rows each, as an engine carries them."""
    builder = ScanBuilder("customer", "rows", PATH)
    assert builder.groups(groups) == 0
    scan = builder.build()
    states = []
    count = choose.choice([1, 2, 5])
    for task in range(count):
        kernel = ScanKernel(scan, clock=CLOCK)
        for part in kernel.add_in_parts(batches(rows[task::count], scan.columns, choose.choice([5, 100]))):
            found = part.get(0)
            if found is None:
                continue
            assert found.schema.equals(state_schema(groups))
            found.validate(full=True)
            states.append(pa.ipc.open_stream(ipc(found)).read_next_batch())
    choose.shuffle(states)
    return states


def ipc(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def by_group(groups: Groups, finished: pa.RecordBatch) -> dict[tuple[Any, ...], list[Any]]:
    """Return the values of each group; every group is there once."""
    names = [KEY] * groups.per_profile + [f"d{place}" for place in range(len(groups.dimensions))]
    assert finished.schema.names == names + [f"v{number}" for number in range(len(groups.values))]
    columns = [[stored(value) for value in column.to_pylist()] for column in finished.columns]
    found = [(row[: len(names)], list(row[len(names) :])) for row in zip(*columns, strict=True)]
    assert len({key for key, _ in found}) == len(found)
    return dict(found)


def draw_groups(choose: random.Random) -> tuple[Groups, Inside, list[Inside]]:
    rows, inside = draw_filter(choose)
    values: list[tuple[RowSet, Aggregate]] = []
    insides: list[Inside] = []
    for _ in range(choose.choice([1, 3, 8])):
        own, own_inside = draw_filter(choose)
        if choose.random() < 0.5:
            own, own_inside = rows, inside
        values.append((own, draw_aggregate(choose)))
        insides.append(own_inside)
    dimensions = tuple(choose.sample([*PLAIN, MONTH, WEEKDAY], choose.randrange(4)))
    per_profile = choose.random() < 0.5
    return Groups(rows, dimensions, tuple(values), per_profile), inside, insides


@pytest.fixture(params=range(120))
def choose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> random.Random:
    """Return what draws a case; in half of them batches, pieces and the room for distinct values are small."""
    choose = random.Random(request.param)
    if request.param % 2:
        monkeypatch.setattr(scan_module, "_BATCH_ROWS", choose.choice([3, 20, 64]))
        monkeypatch.setattr(scan_module, "_PIECE_ROWS", choose.choice([1, 8]))
        monkeypatch.setattr(scan_groups_module, "_BUDGET", choose.choice([1, 2_000, 1 << 20]))
    monkeypatch.setattr(matching_module, "_MOST_KINDS", choose.choice([1, 10, 1 << 12]))
    return choose


def test_groups_equal_plain_python(choose: random.Random) -> None:
    groups, inside, insides = draw_groups(choose)
    rows = draw_rows(choose, choose.choice([1, 30, 200]))
    states = run_tasks(groups, rows, choose)
    merged = merge_states(groups, [merge_states(groups, states[:2]), *states[2:]])
    check_groups(groups, finish_states(groups, merged), rows, inside, insides)
    if groups.per_profile:
        check_without_profiles(groups, merged, rows, inside)


def check_groups(
    groups: Groups,
    finished: pa.RecordBatch,
    rows: Sequence[tuple[int | None, Row]],
    inside: Inside,
    insides: Sequence[Inside],
) -> None:
    found = by_group(groups, finished)
    wanted: dict[tuple[Any, ...], list[Row]] = {}
    for key, row in rows:
        if inside(row) and not (groups.per_profile and key is None):
            name = tuple(dimension_value(dimension, row) for dimension in groups.dimensions)
            wanted.setdefault((*([key] if groups.per_profile else []), *name), []).append(row)
    assert found.keys() == wanted.keys()
    for name, own in wanted.items():
        for value, (_, aggregate), inside_value in zip(found[name], groups.values, insides, strict=True):
            assert value == stored(expected(aggregate, [row for row in own if inside_value(row)])), aggregate


def test_distinct_values_counted_by_share_equal_plain_python(choose: random.Random) -> None:
    groups, inside, insides = draw_groups(choose)
    groups = replace(groups, per_profile=False)
    counted = [Aggregate(AggregateFunction.COUNT_UNIQUE, choose.choice([*DRAWS, REVENUE])) for _ in range(2)]
    groups = replace(groups, values=(*groups.values, *((groups.rows, each) for each in counted)))
    rows = draw_rows(choose, choose.choice([1, 30, 200]))
    rest, shares = [], dict[int, list[pa.RecordBatch]]()
    for states in run_tasks(groups, rows, choose):
        left, pairs = split_pairs(groups, states, 7)
        assert left.schema.equals(states.schema)
        rest.append(left)
        for share, own in share_pairs(pairs):
            shares.setdefault(share, []).append(own)
    counts = [count_pairs(pairs) for pairs in shares.values()]
    assert {measure for batch in counts for measure in batch.column("measure").to_pylist()} <= {7}
    finished = put_counts(groups, finish_states(groups, *rest), counts)
    check_groups(groups, finished, rows, inside, [*insides, inside, inside])


def check_without_profiles(
    groups: Groups, states: pa.RecordBatch, rows: Sequence[tuple[int | None, Row]], inside: Inside
) -> None:
    """States by profile become those of the rest of the dimensions, rows of nobody left out."""
    whole = replace(groups, per_profile=False)
    found = by_group(whole, finish_states(whole, merge_states(whole, [states])))
    own = [row for key, row in rows if key is not None and inside(row)]
    names = {tuple(dimension_value(dimension, row) for dimension in groups.dimensions) for row in own}
    assert found.keys() == names


def test_distinct_values_spread_over_all_shares_and_each_has_one() -> None:
    texts = pa.array([f"order {number}".encode() for number in range(4_000)])
    schema = pa.schema(
        [("measure", pa.int16()), ("number", pa.int16()), ("group", pa.binary()), ("value", pa.binary())]
    )
    told_by = [pa.repeat(pa.scalar(0, pa.int16()), len(texts))] * 2
    pairs = pa.record_batch([*told_by, pa.repeat(pa.scalar(b""), len(texts)), texts], schema=schema)
    found = dict(share_pairs(pairs))
    assert sorted(found) == list(range(SHARES))
    assert max(own.num_rows for own in found.values()) < 2 * len(texts) // SHARES
    values = [value for own in found.values() for value in own.column("value").to_pylist()]
    assert sorted(values) == sorted(texts.to_pylist())


def test_groups_hand_on_their_states_once_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_groups_module, "_BUDGET", 20_000)
    count = (ALL_ROWS, Aggregate(AggregateFunction.COUNT_UNIQUE, CHANNEL))
    builder = ScanBuilder("customer", "rows", PATH)
    builder.groups(Groups(ALL_ROWS, (), (count,), False))
    channels = [pa.array([f"{step} {number}" for number in range(60)]) for step in range(9)]
    rows = [pa.record_batch([pa.nulls(60, pa.int64()), each], names=[KEY, "c0"]) for each in channels]
    parts = list(ScanKernel(builder.build()).add_in_parts(rows))
    lengths = [part[0].column("s0_0").value_lengths().to_pylist() for part in parts if part]
    assert lengths == [[180]] * 3  # of 128 bytes and a few letters, and 8 for each pair


def test_nothing_merged_is_nothing() -> None:
    groups = Groups(ALL_ROWS, (MONTH, PLAIN[0]), ((ALL_ROWS, Aggregate(AggregateFunction.SUM, PRICED)),), True)
    empty = merge_states(groups, [])
    assert empty.schema.equals(state_schema(groups))
    finished = finish_states(groups, empty)
    assert finished.num_rows == 0
    assert finished.schema.types == [pa.int64(), pa.date32(), pa.string(), pa.decimal128(38, 2)]


def test_a_scan_without_rows_has_no_states() -> None:
    groups = Groups(
        make_row_set(condition(QUANTITY, "at_least", "1000")),
        (),
        ((ALL_ROWS, Aggregate(AggregateFunction.COUNT, None)),),
        False,
    )
    assert run_tasks(groups, draw_rows(random.Random(1), 20), random.Random(2)) == []


def test_too_many_digits_are_told_by_group() -> None:
    groups = Groups(ALL_ROWS, (PLAIN[0],), ((ALL_ROWS, Aggregate(AggregateFunction.SUM, SIZE)),) * 2, False)
    most = Decimal(f"{10**38 - 1}E-2")
    nothing: Row = dict.fromkeys(DRAWS)
    rows: list[tuple[int | None, Row]] = [
        (key, {**nothing, CHANNEL: channel, SIZE: most}) for key, channel in ((1, "web"), (None, "web"), (2, "store"))
    ]
    finished = finish_states(groups, merge_states(groups, run_tasks(groups, rows, random.Random(0))))
    place = finished.column("d0").to_pylist().index("web")
    assert json.loads(finished.schema.metadata[b"overflow"]) == {"0": [place], "1": [place]}
    assert by_group(groups, finished) == {("web",): [None, None], ("store",): [Fraction(most)] * 2}


def test_periods_begin_on_local_days() -> None:
    moments = [datetime(2023, 12, 31, 22, tzinfo=UTC) + timedelta(hours=7 * step) for step in range(400)]
    periods: Mapping[Any, Callable[[date], date]] = {
        "day": lambda day: day,
        "week": lambda day: day - timedelta(day.weekday()),
        "month": lambda day: day.replace(day=1),
        "quarter": lambda day: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "year": lambda day: day.replace(month=1, day=1),
    }
    here = ZoneInfo(BERLIN)
    columns: dict[Attribute, list[Any]] = {
        AT: [*moments, None],
        LOCAL: [*(moment.astimezone(here).replace(tzinfo=None) for moment in moments), None],
    }
    for of, values in columns.items():
        for period, first in periods.items():
            groups = Groups(
                ALL_ROWS,
                (Dimension("when", of, DATE, period),),
                ((ALL_ROWS, Aggregate(AggregateFunction.COUNT, None)),),
                False,
            )
            builder = ScanBuilder("customer", "rows", PATH)
            builder.groups(groups)
            kernel = ScanKernel(builder.build(), clock=Clock(0, BERLIN))
            array = pa.array(values, pa.timestamp("us", "UTC" if of is AT else None))
            kernel.add([pa.record_batch([pa.nulls(len(values), pa.int64()), array], names=[KEY, "c0"])])
            states = kernel.group_states(0)
            assert states is not None
            found = by_group(groups, finish_states(groups, states))
            wanted: dict[tuple[Any, ...], list[Any]] = {(None,): [1]}
            for moment in moments:
                wanted.setdefault((first(moment.astimezone(here).date()),), [0])[0] += 1
            assert found == wanted


def test_dimensions_that_are_errors_are_missing_and_counted() -> None:
    groups = Groups(
        ALL_ROWS,
        (Dimension("score", SCORE, SCORE.type),),
        ((ALL_ROWS, Aggregate(AggregateFunction.COUNT, None)),),
        False,
    )
    builder = ScanBuilder("customer", "rows", PATH)
    builder.groups(groups)
    kernel = ScanKernel(builder.build())
    scores = pa.array([0.0, -0.0, float("nan"), float("inf"), None], ARROW[SCORE])
    kernel.add([pa.record_batch([pa.array([1, 2, 3, 4, None], pa.int64()), scores], names=[KEY, "c0"])])
    states = kernel.group_states(0)
    assert states is not None
    assert by_group(groups, finish_states(groups, states)) == {(0,): [2], (None,): [3]}
    assert kernel.invalid_counts() == {(0, "score"): 1}
    assert (kernel.row_count, kernel.orphan_count) == (5, 1)
    assert [answers.bucket for answers in kernel.take()] == [1]
