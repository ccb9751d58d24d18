from __future__ import annotations

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from segengine.kernel.narrow import narrow, widen

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
