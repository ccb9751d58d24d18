from __future__ import annotations

import pyarrow as pa
import pytest

from segengine.engine.parts import binary_column, binary_values, make_part, pack_rows, unpack_narrowed, unpack_rows


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_binary_values_are_those_of_the_column(type_: pa.DataType) -> None:
    column = pa.array([b"left out", b"one", b"", None, b"two"], type_).slice(1)
    assert [value.to_pybytes() for value in binary_values(column)] == [b"one", b"", b"", b"two"]
    assert [value.to_pybytes() for value in binary_values(pa.nulls(2, type_))] == [b"", b""]


def test_binary_values_are_not_copied() -> None:
    column = pa.array([b"one", b"two"])
    assert [value.address for value in binary_values(column)] == [column.buffers()[2].address + at for at in (0, 3)]
    content = pa.py_buffer(b"content")
    assert binary_column([content]).buffers()[2].address == content.address


def test_a_binary_column_has_the_contents_in_their_order() -> None:
    contents = [b"one", b"", b"three"]
    column = binary_column([pa.py_buffer(content) for content in contents])
    column.validate(full=True)
    assert column.to_pylist() == contents


@pytest.mark.parametrize("small", [False, True])
def test_packed_rows_come_back_after_any_number_of_other_bytes(small: bool) -> None:
    rows = pa.record_batch({"v0": pa.array([1, None, 2**40]), "v1": pa.array(["a", None, ""])})
    packed = pack_rows(rows, small=small)
    for before in range(9):  # a content may begin anywhere in a column
        content = binary_values(pa.array([b"x" * before, packed.to_pybytes()]))[1]
        assert unpack_rows(content).equals(rows)
    part = make_part(3, "values 0", packed)
    assert unpack_rows(binary_values(part.column(2))[0]).equals(rows)


def test_small_numbers_stay_narrowed_where_that_is_asked_for() -> None:
    packed = pack_rows(pa.record_batch({"v0": pa.array([1, None, -3])}))
    assert unpack_narrowed(packed).schema.types == [pa.int8()]
