from __future__ import annotations

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from segengine.kernel.narrow import join_bytes, narrow, split_bytes, widen

DECIMAL = pa.decimal128(38, 2)


@pytest.mark.parametrize(
    ("most", "narrowed"),
    [(0, pa.int8()), (127, pa.int8()), (128, pa.int16()), (2**15, pa.int32()), (2**31, pa.int64())],
)
@pytest.mark.parametrize("stored", [pa.int64(), DECIMAL])
def test_whole_numbers_take_what_the_largest_needs(most: int, narrowed: pa.DataType, stored: pa.DataType) -> None:
    numbers = [most, None, -most, 0]
    scaled = numbers if stored == pa.int64() else [None if n is None else Decimal(n).scaleb(-2) for n in numbers]
    rows = pa.record_batch({"v0": pa.array(scaled, stored)})
    found = narrow(rows)
    assert found.schema.types == [narrowed]
    assert found.column(0).to_pylist() == numbers
    assert narrow(found).equals(found, check_metadata=True)
    assert widen(found).equals(rows, check_metadata=True)
    assert widen(rows).equals(rows, check_metadata=True)


def test_the_least_number_of_a_width_still_fits() -> None:
    rows = pa.record_batch({"v0": pa.array([-128, 5]), "v1": pa.array([-129, 5])})
    assert narrow(rows).schema.types == [pa.int8(), pa.int16()]


def test_numbers_beyond_64_bits_stay_as_they_are() -> None:
    rows = pa.record_batch({"v0": pa.array([Decimal(2**70), Decimal(1), None], DECIMAL)})
    assert narrow(rows).equals(rows)
    assert widen(narrow(rows)).equals(rows)


def test_what_is_no_whole_number_stays_and_so_do_metadata() -> None:
    columns = {
        "text": pa.array(["a", None, ""]),
        "day": pa.array([date(2024, 2, 29), None, date(1969, 1, 1)]),
        "float": pa.array([1.0, None, -0.5]),
        "list": pa.array([[1], None, []], pa.list_(pa.int64())),
        "number": pa.array([1, None, 3]),
    }
    rows = pa.record_batch(columns).replace_schema_metadata({"overflow": "{}"})
    found = narrow(rows)
    assert found.schema.types == [*rows.schema.types[:-1], pa.int8()]
    assert found.schema.metadata == {b"overflow": b"{}"}
    assert widen(found).equals(rows, check_metadata=True)


@pytest.mark.parametrize("rows", [slice(2, 4), slice(0, 0)])
def test_a_part_of_a_batch_keeps_its_own_rows(rows: slice) -> None:
    whole = pa.record_batch({"v0": pa.array([1_000, 2, 3, None, 5]), "v1": pa.array([Decimal(7)] * 5, DECIMAL)})
    part = whole.slice(rows.start, rows.stop - rows.start)
    assert narrow(part).schema.types == [pa.int8(), pa.int16()] if part.num_rows else [pa.int8(), pa.int8()]
    assert widen(narrow(part)).to_pylist() == part.to_pylist()


def test_bytes_are_split_lowest_first_and_joined_again() -> None:
    rows = pa.record_batch({"v0": pa.array([0x0102, None, 0x0304], pa.int16()), "v1": pa.array(["a", None, "b"])})
    found = split_bytes(rows)
    assert found.schema.types == rows.schema.types
    assert found.column(0).buffers()[1].to_pybytes() == bytes([2, 0, 4, 1, 0, 3])
    assert found.column(0).is_null().to_pylist() == [False, True, False]
    assert join_bytes(found).equals(rows, check_metadata=True)
    assert join_bytes(rows).equals(rows, check_metadata=True)


@pytest.mark.parametrize("rows", [slice(1, 4), slice(0, 0)])
@pytest.mark.parametrize("most", [100, 10**4, 10**9, 10**18])
def test_split_numbers_keep_their_scale_and_their_own_rows(rows: slice, most: int) -> None:
    columns = {"v0": [most, -most, None, 7, 1], "v1": [Decimal(n).scaleb(-2) for n in (1, -most, most, 0, 5)]}
    whole = pa.record_batch([pa.array(columns["v0"]), pa.array(columns["v1"], DECIMAL)], names=["v0", "v1"])
    part = whole.replace_schema_metadata({"overflow": "{}"}).slice(rows.start, rows.stop - rows.start)
    found = join_bytes(split_bytes(narrow(part)))
    assert found.equals(narrow(part), check_metadata=True)
    assert widen(found).equals(part, check_metadata=True)
