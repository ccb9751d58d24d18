"""Which clauses rows satisfy, with columns read one by one and as one."""

from __future__ import annotations

import numpy as np
import pytest

from segengine.kernel import matching as matching_module
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.matching import Matcher
from segengine.kernel.program import make_layout
from segengine.plan.rows import ALL_ROWS, EVERY_ROW
from segengine.plan.scans import Scan, SomeRow, Value
from segengine.project.attributes import Aggregate, AggregateFunction

COUNT = 700
ROW_COUNT = Value(ALL_ROWS, Aggregate(AggregateFunction.COUNT, None))


@pytest.mark.parametrize("most", [1, 30, 400, 1 << 12])
@pytest.mark.parametrize("sizes", [(), (1,), (300,), (3, 20, 4), (20, 20), (20, 20, 300), (1, 1, 2), (650, 2)])
def test_rows_satisfy_what_all_their_codes_do(
    sizes: tuple[int, ...], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching_module, "_MOST_KINDS", most)
    chance = np.random.default_rng(len(sizes) + most)
    layout = make_layout(Scan("customer", "rows", None, (), (SomeRow(EVERY_ROW),), (ROW_COUNT,)))
    base = chance.integers(0, 1 << 63, (1, layout.width), dtype=np.uint64)
    tables = [chance.integers(0, 1 << 63, (size, layout.width), dtype=np.uint64) for size in sizes]
    codes = [chance.integers(0, size, COUNT).astype(np.min_scalar_type(size - 1)) for size in sizes]
    wanted: AnyArray = np.repeat(base, COUNT, axis=0)
    for table, column in zip(tables, codes, strict=True):
        wanted &= table[column]
    order = chance.permutation(COUNT)
    matcher = Matcher(layout, base)
    matcher.begin(tables, codes, order)
    for rows in (slice(0, 5), slice(5, 300), slice(300, COUNT)):
        matched = matcher.match(rows)
        assert np.array_equal(matched.words, wanted[order][rows])
        of_lanes = wanted[order][rows][:, layout.summed[0]]
        assert np.array_equal(matched.lanes.of_rows(matched.lanes.bits), of_lanes)
        innermost = matched.lanes.of_rows(matched.lanes.innermost[0])
        assert np.array_equal(innermost, of_lanes[:, 0] & np.uint64(1))
