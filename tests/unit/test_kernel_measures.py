from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from segengine.kernel.measures import make_nothing, with_literal
from segengine.project.types import AttributeType


@pytest.mark.parametrize("stored", [pa.int64(), *(pa.decimal128(38, scale) for scale in (0, 2, 19, 20, 38))])
def test_zero_has_as_many_digits_after_the_point_as_the_value(stored: pa.DataType) -> None:
    zero = make_nothing(stored, is_zero=True)
    assert zero.type == stored
    assert zero.as_py() == 0
    assert make_nothing(stored, is_zero=False).equals(pa.scalar(None, stored))


@pytest.mark.parametrize(
    ("zone", "text", "shown"),
    [
        ("Asia/Kolkata", "2018-11-04T02:30:00Z", datetime(2018, 11, 4, 8)),
        ("America/Sao_Paulo", "2018-07-01T12:00:00", datetime(2018, 7, 1, 7)),
        ("", "2018-07-01T12:00:00", datetime(2018, 7, 1, 12)),
        ("", "2018-07-01T12:00:00Z", datetime(2018, 7, 1, 14)),
        ("", "2018-07-01", datetime(2018, 7, 1)),
        ("UTC", "2018-07-01T12:00:00", datetime(2018, 7, 1, 10)),
    ],
)
def test_a_literal_stands_for_a_local_time_as_clocks_there_showed_it(zone: str, text: str, shown: datetime) -> None:
    there = datetime(2020, 1, 1)
    values = pa.array([there, None], pa.timestamp("us"))
    filled = with_literal(values, text, AttributeType("timestamp_ntz", zone=zone), "Europe/Berlin")
    assert filled.to_pylist() == [there, shown]
