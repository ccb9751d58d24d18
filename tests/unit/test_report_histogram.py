"""Histograms: about ten stretches with round ends that hold every value."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from segengine.kernel.frequencies import Frequencies, count_ordinals
from segengine.project.types import EPOCH_DAY, AttributeType, instant_of, parse_type
from segengine.report.charts import draw_bar
from segengine.report.histogram import Spread, choose_edges

DATE, INSTANT = AttributeType("date"), AttributeType("timestamp")


def days(*texts: str) -> Spread:
    return Spread(*[(date.fromisoformat(text) - EPOCH_DAY).days for text in texts])


@pytest.mark.parametrize(
    ("spread", "type_", "first", "last", "count"),
    [
        (Spread(0, 0, 1845, 25071), "integer", "0 to 499", "2000 and more", 5),
        (Spread(1, 1, 12, 12), "integer", "0 to 1", "12", 7),
        (Spread(-900, 4, 11, 900), "integer", "below 4", "12 and more", 10),
        (Spread(796178, 1938700, 13069166, 33059034), "decimal(12,2)", "0 to below 20000", "140000 and more", 8),
        (Spread(1.0, 1.2, 4.8, 5.0), "double", "1 to below 1.5", "5", 9),
        (Spread(0.0, 0.0, 0.0, 80.0), "double", "0 to below 10", "80", 9),
        (Spread(1e-9, 2e-9, 9e-9, 1e-8), "double", "1e-09 to below 2e-09", "1e-08", 10),
    ],
)
def test_stretches_of_numbers(spread: Spread, type_: str, first: str, last: str, count: int) -> None:
    parsed = parse_type(type_)
    assert parsed is not None
    edges = choose_edges(spread, parsed, "UTC")
    assert (edges.labels[0], edges.labels[-1], len(edges.labels)) == (first, last, count)
    assert len(edges.ends) == count + 1


@pytest.mark.parametrize(
    ("spread", "first", "last"),
    [
        (days("1938-06-30", "1964-11-30", "1998-05-07", "2005-02-15"), "before 1960-01-01", "2005 to 2009"),
        (days("2021-01-04", "2021-07-09", "2026-03-30", "2026-06-24"), "2021", "2026"),
        (days("2026-01-01", "2026-01-04", "2026-06-01", "2026-06-30"), "2026-01", "2026-06"),
        (days("2025-01-15", "2025-01-15", "2026-06-01", "2026-06-30"), "2025-01 to 2025-03", "2026-04 to 2026-06"),
        (days("2026-06-01", "2026-06-02", "2026-06-29", "2026-06-30"), "week of 2026-06-01", "week of 2026-06-29"),
        (days("2026-06-01", "2026-06-02", "2026-06-05", "2030-06-30"), "2026-06-01", "from 2026-06-06 on"),
        (days("0001-01-01", "0001-01-01", "9999-12-31", "9999-12-31"), "1 to 999", "9000 to 9999"),
    ],
)
def test_stretches_of_dates(spread: Spread, first: str, last: str) -> None:
    labels = choose_edges(spread, DATE, "UTC").labels
    assert (labels[0], labels[-1]) == (first, last)


def test_stretches_of_times_begin_with_local_days() -> None:
    moments = [instant_of(datetime(2026, 6, day, 6, tzinfo=UTC)) for day in (1, 1, 4, 4)]
    edges = choose_edges(Spread(*moments), INSTANT, "America/Los_Angeles")
    assert edges.labels == ("2026-05-31", "2026-06-01", "2026-06-02", "2026-06-03")
    assert edges.ends[0] == instant_of(datetime(2026, 5, 31, 7, tzinfo=UTC))


@pytest.mark.parametrize("name", ["integer", "decimal(20,3)", "double", "date", "timestamp"])
def test_no_value_is_lost(name: str) -> None:
    draw = random.Random(3)
    type_ = parse_type(name)
    assert type_ is not None
    for _ in range(300):
        width = 10 ** draw.randrange(1, 17)
        rows = [draw.randrange(-width, width) for _ in range(draw.randrange(2, 40))]
        rows += [draw.randrange(-(10**18), 10**18)] if draw.random() < 0.2 else []
        values = sorted({float(row) / 7 for row in rows} if name == "double" else set(rows))
        if len(values) < 2:
            continue
        found = _frequencies(values, type_)
        edges = choose_edges(Spread(*[found.percentile(p) for p in (0, 5, 95, 100)]), type_, "Europe/Berlin")
        assert sum(found.count_between(edges.ends)) == len(values), (values, edges)
        assert len(edges.labels) == len(edges.ends) - 1 <= 16


def _frequencies(values: list[float] | list[int], type_: AttributeType) -> Frequencies:
    ones = np.ones(len(values), dtype=np.int64)
    if type_.name == "double":
        return count_ordinals(pa.array(values, pa.float64()), ones, type_, "UTC")
    return Frequencies(np.array(values, dtype=np.int64), ones, 0, 0)


def test_bars() -> None:
    assert [draw_bar(share, 4) for share in (0, 0.001, 0.5, 0.53, 1)] == ["", "▏", "██", "██▏", "████"]
