"""Bits of accounts carried over to their contacts: against a plain loop, across buckets on both sides."""

from __future__ import annotations

import random

import numpy as np
import pytest

from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys
from segengine.kernel.carry import carry_bits, join_carried
from segengine.plan.scans import BUCKET_SIZE

EDGES = (1, 2, 64, 65, 32_768, 32_769, 65_536, 65_537, 4 * BUCKET_SIZE + 9)


def bitmaps_of(keys: set[int]) -> dict[int, bytes]:
    bits: dict[int, np.ndarray] = {}
    for key in keys:
        bucket, place = divmod(key - 1, BUCKET_SIZE)
        bits.setdefault(bucket + 1, np.zeros(BUCKET_SIZE, dtype=bool))[place] = True
    return {bucket: np.packbits(flags, bitorder="little").tobytes() for bucket, flags in bits.items()}


def carried_over(segments: list[set[int]], account_of: dict[int, int], tasks: int) -> list[set[int]]:
    """Return the contacts of each segment, through as many tasks as asked, which share the buckets of accounts."""
    members: dict[int, dict[int, bytes]] = {}
    for number, keys in enumerate(segments):
        for bucket, bitmap in bitmaps_of(keys).items():
            members.setdefault(bucket, {})[number] = bitmap
    blobs: dict[int, list[bytes]] = {}
    for task in range(tasks):
        own = {bucket: found for bucket, found in members.items() if bucket % tasks == task}
        pairs = [(a, c) for c, a in account_of.items() if ((a - 1) // BUCKET_SIZE + 1) % tasks == task]
        accounts = np.array([a for a, _ in pairs], dtype=np.int64)
        contacts = np.array([c for _, c in pairs], dtype=np.int64)
        for bucket, blob in carry_bits(own, len(segments), accounts, contacts):
            blobs.setdefault(bucket, []).append(blob)
    found: list[set[int]] = [set() for _ in segments]
    for bucket, parts in blobs.items():
        joined = join_carried(parts, len(segments))
        assert joined.shape == (len(segments), BITMAP_BYTES)
        for number in range(len(segments)):
            found[number] |= set(bitmap_keys(joined[number].tobytes(), bucket).tolist())
    return found


@pytest.mark.parametrize("count", [1, 3, 64, 65, 130])
@pytest.mark.parametrize("tasks", [1, 3])
def test_contacts_get_the_bits_of_their_account(count: int, tasks: int) -> None:
    choose = random.Random(count * 10 + tasks)
    accounts = sorted({*EDGES, *(choose.randrange(1, 5 * BUCKET_SIZE) for _ in range(200))})
    contacts = sorted({*EDGES, *(choose.randrange(1, 9 * BUCKET_SIZE) for _ in range(900))})
    account_of = {contact: choose.choice(accounts) for contact in contacts}
    segments = [set(choose.sample(accounts, choose.choice([0, 1, 50, len(accounts)]))) for _ in range(count)]

    found = carried_over(segments, account_of, tasks)

    assert found == [{contact for contact, account in account_of.items() if account in own} for own in segments]


def test_nothing_is_sent_where_nobody_is_a_member() -> None:
    keys = np.array([1, 2, 3], dtype=np.int64)
    assert list(carry_bits({}, 2, keys, keys)) == []
    assert list(carry_bits({1: {0: bytes(BITMAP_BYTES)}}, 2, keys, keys)) == []
    assert list(carry_bits({1: {0: b"\xff" * BITMAP_BYTES}}, 1, keys[:0], keys[:0])) == []


def test_bits_arrive_whatever_their_place_in_memory() -> None:
    """Arrow hands out values of any length one after the other, so a blob may begin at an odd address."""
    keys = np.arange(1, 6, dtype=np.int64)
    ((bucket, blob),) = carry_bits({1: {0: bitmaps_of({2, 4})[1]}}, 1, keys, keys)
    shifted = memoryview(b"x" + blob)[1:]
    assert bitmap_keys(join_carried([shifted], 1)[0].tobytes(), bucket).tolist() == [2, 4]
