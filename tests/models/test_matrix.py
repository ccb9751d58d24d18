"""Fields as columns of numbers."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from segengine.models.fields import Field
from segengine.models.matrix import MAX_VALUES, learn_coding
from segengine.project.types import AttributeType

DAY = 86_400_000_000
AS_OF = 1_000 * DAY + DAY // 2


def field(name: str, type_: str) -> Field:
    return Field(name, AttributeType(type_))


def encode(learned: pa.Array, type_: str, values: pa.Array) -> list[float]:
    batch = pa.record_batch({"x": learned})
    coding = learn_coding(batch, [field("x", type_)], AS_OF)
    return coding.encode(pa.record_batch({"x": values}))[:, 0].tolist()


def test_text_is_coded_by_its_values_and_missing_is_no_number() -> None:
    codes = encode(pa.array(["b", "a", "b"]), "text", pa.array(["a", "b", "new", None]))
    assert codes[:3] == [0, 1, 2]
    assert math.isnan(codes[3])


def test_only_the_most_frequent_texts_have_codes() -> None:
    often = [f"v{i:03}" for i in range(MAX_VALUES)] * 2
    codes = encode(pa.array([*often, "rare"]), "text", pa.array(["rare", "v000", f"v{MAX_VALUES - 1:03}"]))
    assert codes == [MAX_VALUES, 0, MAX_VALUES - 1]


def test_dates_are_days_back() -> None:
    assert encode(pa.array([5]), "date", pa.array([1_000, 990, 1_001])) == [0, 10, -1]
    assert encode(pa.array([5]), "timestamp", pa.array([AS_OF, AS_OF - DAY // 4])) == [0, 0.25]


def test_numbers_stand_as_they_are() -> None:
    numbers = encode(pa.array([1.0]), "double", pa.array([1.5, None, -2.0]))
    assert numbers[0::2] == [1.5, -2.0]
    assert math.isnan(numbers[1])
    assert encode(pa.array([1]), "integer", pa.array([2**62, 0])) == [2.0**62, 0]


def test_columns_say_whether_they_have_an_order() -> None:
    batch = pa.record_batch({"t": ["x", None], "n": [1, 2]})
    assert learn_coding(batch, [field("t", "text"), field("n", "integer")], AS_OF).is_text == [True, False]


def test_parts_are_coded_as_the_whole() -> None:
    draw = np.random.default_rng(3)
    batch = pa.record_batch({"t": draw.choice(["a", "b", "c"], 100), "n": draw.normal(size=100)})
    coding = learn_coding(batch, [field("t", "text"), field("n", "double")], AS_OF)
    parts = [coding.encode(batch.slice(0, 37)), coding.encode(batch.slice(37))]
    assert np.array_equal(np.concatenate(parts), coding.encode(batch))
