"""Codings chosen from values: bins of about equal weight, the most frequent values, and fields of no use."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from segengine.models.codings import choose_coding, find_flaw
from segengine.models.fields import Bins, Categories, Field
from segengine.project.types import AttributeType

INCOME, STATE = Field("income", AttributeType("integer")), Field("state", AttributeType("text"))


def test_bins_are_about_equal_and_end_with_few_digits() -> None:
    values = np.rint(np.random.default_rng(5).lognormal(11, 0.5, 40_000)).astype(np.int64)
    coding = choose_coding(pa.array(values), INCOME, "UTC")
    assert isinstance(coding, Bins)
    assert len(coding.limits) == 15
    shares = np.bincount(coding.encode(pa.array(values)), minlength=17) / 40_000
    assert shares[:-1].min() > 0.5 / 16
    assert shares[:-1].max() < 1.5 / 16
    assert all(len(str(limit).rstrip("0")) <= 3 for limit in coding.limits)


def test_bins_do_not_depend_on_the_order_of_rows() -> None:
    values = pa.array(np.random.default_rng(11).integers(0, 1_000, 500))
    turned = values.take(pa.array(np.arange(500)[::-1]))
    assert choose_coding(values, INCOME, "UTC") == choose_coding(turned, INCOME, "UTC")


def test_a_heavy_value_gets_a_bin_of_its_own() -> None:
    coding = choose_coding(pa.array([0] * 700 + list(range(1, 301))), INCOME, "UTC")
    assert isinstance(coding, Bins)
    assert coding.limits[0] == 0


def test_the_greatest_value_is_no_threshold() -> None:
    coding = choose_coding(pa.array([1] * 10 + [2] * 90), INCOME, "UTC")
    assert coding == Bins((1,))
    assert choose_coding(pa.array([None, 4], pa.int64()), INCOME, "UTC") == Bins(())


def test_days_that_no_literal_names_are_no_thresholds() -> None:
    days = pa.array([100] * 50 + [10**7] * 50)
    assert choose_coding(days, Field("born", AttributeType("date")), "UTC") == Bins((100,))


def test_the_hundred_most_frequent_values_have_codes() -> None:
    values = [f"v{number:03}" for number in range(120) for _ in range(200 - number)]
    assert choose_coding(pa.array(values), STATE, "UTC") == Categories(tuple(f"v{number:03}" for number in range(100)))


@pytest.mark.parametrize(
    ("field", "values", "reason"),
    [
        (STATE, [None] * 9, "is missing everywhere"),
        (STATE, ["Ohio"] * 9, "has the same value everywhere"),
        (STATE, ["Ohio", None], ""),
        (STATE, [f"c-{number}" for number in range(200)], "id"),
        (STATE, [f"I bought {number} of them" for number in range(200)], "is free text"),
        (STATE, [f"{number % 700}" for number in range(2_100)], "700"),
        (STATE, ["Ohio"] * 900 + [f"{number % 150}" for number in range(600)], ""),
        (INCOME, list(range(2_000)), "id"),
        (INCOME, list(range(1_000)) * 2, ""),
        (Field("tags", AttributeType("array")), ["a", "b"], "array"),
    ],
)
def test_fields_of_no_use_say_why(field: Field, values: list[object], reason: str) -> None:
    type_ = pa.int64() if field is INCOME else pa.string()
    found = find_flaw(pa.array(values, type_), field)
    assert (reason in found) if reason else found == ""
