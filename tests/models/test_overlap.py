"""Overlap: every combination as plain sets have it, for few and many segments, and by the values of fields."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np
import pytest

from segengine.kernel.bitmaps import BITMAP_BYTES
from segengine.models.cells import CellCounter, choose_cells, tally_counts
from segengine.models.fields import KEY, Field
from segengine.models.memberships import gather_memberships
from segengine.models.overlap import (
    CombinationGroups,
    Overlap,
    count_combinations,
    describe_overlap,
    list_combinations,
)
from segengine.plan.scans import BUCKET_SIZE
from tests.models.comparisons import INTEGER, TEXT, make_table, send, words


def store(members: set[int]) -> dict[int, bytes]:
    """Return the bitmaps of profile keys as they are stored: bit by bit, by hand."""
    buckets: dict[int, bytearray] = {}
    for key in members:
        bucket, place = divmod(key - 1, BUCKET_SIZE)
        buckets.setdefault(bucket + 1, bytearray(BITMAP_BYTES))[place // 8] |= 1 << place % 8
    return {bucket: bytes(bits) for bucket, bits in buckets.items()}


def draw_segments(count: int, profiles: int, seed: int) -> list[set[int]]:
    random = np.random.default_rng(seed)
    shares = random.uniform(0.05, 0.6, count)
    return [set((np.flatnonzero(random.random(profiles) < share) + 1).tolist()) for share in shares]


def name_all(count: int) -> list[str]:
    return [f"segment {number}" for number in range(count)]


def combine(members: Sequence[set[int]]) -> Counter[tuple[str, ...]]:
    """Return how many profiles are in each combination, one profile at a time."""
    names = name_all(len(members))
    found: dict[int, list[str]] = {}
    for name, own in zip(names, members, strict=True):
        for key in own:
            found.setdefault(key, []).append(name)
    return Counter(map(tuple, found.values()))


def overlap_of(members: Sequence[set[int]]) -> Overlap:
    memberships = gather_memberships([store(own) for own in members])
    return describe_overlap(name_all(len(members)), memberships, count_combinations(memberships))


@pytest.mark.parametrize("count", [2, 3, 8, 9, 17])
def test_overlap_is_that_of_sets(count: int) -> None:
    members = draw_segments(count, 40_000, count)
    found, names, union = overlap_of(members), name_all(count), len(set().union(*members))
    expected = combine(members)
    assert (found.union_count, found.shared_count) == (union, len(set.intersection(*members)))
    assert [one.count for one in found.segments] == [len(own) for own in members]
    for place, one in enumerate(found.segments):
        rest = set().union(*(own for other, own in enumerate(members) if other != place))
        assert one.only_count == len(members[place] - rest)
    for pair in found.pairs:
        first, second = (members[names.index(name)] for name in pair.segments)
        assert pair.count == len(first & second)
        assert pair.share == len(first & second) / union
    assert len(found.pairs) == len(list(combinations(names, 2)))
    listed = {one.segments: one.count for one in found.combinations}
    assert len(listed) == len(found.combinations)
    if count <= 8:
        assert len(listed) == 2**count - 1
        assert +Counter(listed) == expected
        assert found.unlisted_count == 0
    else:
        assert all(expected[segments] == number for segments, number in listed.items())
        assert sorted(listed.values()) == sorted(expected.values(), reverse=True)[: len(listed)][::-1]
        assert sum(listed.values()) + found.unlisted_count == union
    sizes = [one.count for one in found.combinations]
    assert sizes == sorted(sizes, reverse=True)


def test_up_to_64_segments() -> None:
    members = [{key for key in range(1, 200) if key % (place + 2) == 0} | {1_000_000} for place in range(64)]
    found = overlap_of(members)
    assert found.shared_count == 1
    assert {one.segments: one.count for one in found.combinations} == combine(members)


def test_what_all_share_is_listed_however_small() -> None:
    random = np.random.default_rng(4)
    drawn = [set((np.flatnonzero(random.random(20_000) < 0.5) + 1).tolist()) for _ in range(12)]
    members = [(own - set.intersection(*drawn)) | {30_000} for own in drawn]
    found = overlap_of(members)
    assert len(found.combinations) == 1_000
    (shared,) = [one for one in found.combinations if len(one.segments) == 12]
    assert shared.count == found.shared_count == 1 < found.combinations[900].count
    assert found.unlisted_count > 0


@pytest.mark.parametrize("count", [3, 11])
def test_overlap_by_values_is_that_of_sets(count: int) -> None:
    members, size = draw_segments(count, 5_000, 20 + count), 5_000
    random = np.random.default_rng(1)
    table = make_table({"state": (TEXT, words(5)(random, size)), "visits": (INTEGER, random.poisson(2, size))})
    memberships = gather_memberships([store(own) for own in members])
    counts = count_combinations(memberships)
    groups = CombinationGroups(memberships, list_combinations(counts, count))
    cells = choose_cells(table, [Field("state", TEXT), Field("visits", INTEGER)])
    counter, groups = send((CellCounter(cells), groups))
    batches = table.take(random.permutation(size)).combine_chunks().to_batches(max_chunksize=700)
    parts = [counter.count(batch, groups.assign(np.asarray(batch.column(KEY)))) for batch in batches]
    found = describe_overlap(name_all(count), memberships, counts, tally_counts(parts, cells, groups.group_count))
    states = dict(enumerate(table.column("state").to_pylist(), start=1))
    by_state, listed = found.fields[0], [one.segments for one in found.combinations]
    assert {value.cell.value for value in by_state.values} == set(states.values())
    for value in by_state.values:
        own = [{key for key in one if states[key] == value.cell.value} for one in members]
        expected = combine(own)
        assert value.union_count == len(set().union(*own))
        assert value.shared_count == len(set.intersection(*own))
        assert list(value.counts) == [expected[segments] for segments in listed]
    assert sum(value.union_count for value in found.fields[1].values) == found.union_count
    assert json.loads(json.dumps(asdict(found)))["union_count"] == found.union_count


def overlap_by_word(values: list[str]) -> Overlap:
    """Return the overlap of the first half of some profiles and of all, by a text that each of them has."""
    everyone = set(range(1, len(values) + 1))
    memberships = gather_memberships([store(set(range(1, len(values) // 2 + 1))), store(everyone)])
    counts = count_combinations(memberships)
    groups = CombinationGroups(memberships, list_combinations(counts, 2))
    table = make_table({"word": (TEXT, np.array(values, dtype=object))})
    cells = choose_cells(table, [Field("word", TEXT)])
    (batch,) = table.combine_chunks().to_batches()
    parts = [CellCounter(cells).count(batch, groups.assign(np.asarray(batch.column(KEY))))]
    return describe_overlap(["A", "B"], memberships, counts, tally_counts(parts, cells, groups.group_count))


def test_values_that_are_as_good_as_ids_are_not_shown() -> None:
    found = overlap_by_word([f"id {number}" for number in range(200)] + ["twin"] * 4)
    assert found.fields == ()
    assert found.warnings == ('"word" is left out: no value of it has 5 of these profiles.',)


def test_many_values_are_said() -> None:
    rare = [f"word {number}" for number in range(100)] * 2
    found = overlap_by_word(["often"] * 10 + rare)
    shown = [value.cell.value for value in found.fields[0].values]
    assert shown[0] == "often"
    assert len(shown) == 20
    assert found.warnings == (
        '"word" has many values: only the 19 most frequent are shown, 164 of 210 profiles have another.',
    )


def test_keys_beyond_the_bitmaps_are_in_no_segment() -> None:
    memberships = gather_memberships([store({1, 32_768}), store({32_768})])
    assert memberships.look_up(np.array([0, 1, 2, 32_768, 32_769, 10**9])).tolist() == [0, 1, 0, 3, 0, 0]


def test_empty_segments_are_said() -> None:
    found = overlap_of([{1, 2}, set()])
    assert found.warnings == ('"segment 1" has no members.',)
    assert [(one.count, one.share) for one in found.segments] == [(2, 1.0), (0, 0.0)]
    nobody = gather_memberships([store(set())] * 9)
    groups = CombinationGroups(nobody, list_combinations(count_combinations(nobody), 9))
    assert groups.assign(np.array([1, 2])).tolist() == [0, 0]
    nobody = overlap_of([set(), set()])
    assert (nobody.union_count, nobody.shared_share) == (0, 0.0)


def stored_at_random(profiles: int, seed: int) -> list[dict[int, bytes]]:
    random = np.random.default_rng(seed)
    buckets = -(-profiles // BUCKET_SIZE)
    return [{bucket: random.bytes(BITMAP_BYTES) for bucket in range(1, buckets + 1)} for _ in range(8)]


def test_eight_segments_of_ten_million_profiles() -> None:
    stored = stored_at_random(10_000_000, 6)
    start = time.process_time()
    memberships = gather_memberships(stored)
    found = describe_overlap(name_all(8), memberships, count_combinations(memberships))
    seconds = time.process_time() - start
    assert sum(one.count for one in found.combinations) == found.union_count
    assert seconds <= 2
