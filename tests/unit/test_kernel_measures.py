from __future__ import annotations

import pyarrow as pa
import pytest

from segengine.kernel.measures import make_nothing


@pytest.mark.parametrize("stored", [pa.int64(), *(pa.decimal128(38, scale) for scale in (0, 2, 19, 20, 38))])
def test_zero_has_as_many_digits_after_the_point_as_the_value(stored: pa.DataType) -> None:
    zero = make_nothing(stored, is_zero=True)
    assert zero.type == stored
    assert zero.as_py() == 0
    assert make_nothing(stored, is_zero=False).equals(pa.scalar(None, stored))
