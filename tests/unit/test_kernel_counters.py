"""Counting rows per profile by rank, against plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from segengine.kernel import ranks as ranks_module
from segengine.kernel.bitmaps import AnyArray, pack_booleans
from segengine.kernel.counters import at_least, sum_ranked
from segengine.kernel.ranks import rank_rows, sorted_order


@pytest.mark.parametrize("longest", [1, 3, 64])
@pytest.mark.parametrize("groups", [1, 7, 2_048])
@pytest.mark.parametrize("depth", [1, 3, 7])
def test_rows_are_counted_up_to_what_fits(
    longest: int, groups: int, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks_module, "LONGEST", longest)
    monkeypatch.setattr(ranks_module, "GROUPS", groups)
    choose = np.random.default_rng(depth)
    lengths = choose.permutation([1, 2, 5, 63, 64, 65, 200])
    starts, places = np.cumsum(lengths) - lengths, choose.permutation(100)[: len(lengths)]
    bits = choose.random((int(lengths.sum()), 70)) < choose.random(70)
    expected = np.add.reduceat(bits.astype(int), starts, axis=0)
    found: AnyArray = np.zeros((100, 70), dtype=int)
    for ranked in rank_rows(starts, len(bits), places):
        planes, own = sum_ranked(pack_booleans(bits, 2), ranked, depth)
        assert len(set(own.tolist())) == len(own)
        for count in range(1, 1 << depth):
            reached = np.unpackbits(at_least(planes, count).view(np.uint8), axis=1, bitorder="little")
            found[own] += reached[:, :70]
    most = (1 << depth) - 1
    is_whole = lengths <= longest  # the others come in parts, each of which counts up to `most`
    assert (found[places[is_whole]] == np.minimum(expected, most)[is_whole]).all()
    assert (np.minimum(found[places], most) == np.minimum(expected, most)).all()


@pytest.mark.parametrize("most", [1, 2**16 - 1, 2**16, 2**40, 2**63 - 1])
def test_whole_numbers_are_sorted_whatever_their_size(most: int) -> None:
    numbers = np.random.default_rng(1).integers(0, most, 1_000, endpoint=True)
    assert (sorted_order(numbers) == np.argsort(numbers, kind="stable")).all()
