"""Bits and values of accounts carried over to their contacts: against a plain loop, across buckets on both sides."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from segengine.engine.parts import pack_rows, unpack_rows
from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys
from segengine.kernel.carry import carry_bits, carry_values, join_carried, join_values
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


# ---- values

HUGE = 10**38 - 1
VALUES: dict[pa.DataType, Callable[[random.Random], object]] = {
    pa.int64(): lambda choose: choose.choice([0, -1, 2**63 - 1, -(2**63), choose.randrange(100)]),
    pa.decimal128(38, 9): lambda choose: Decimal(f"{choose.choice([0, HUGE, -HUGE, choose.randrange(10**6)])}E-9"),
    pa.float64(): lambda choose: choose.choice([0.0, -1e-300, 1e300, choose.random()]),
    pa.date32(): lambda choose: date.fromordinal(choose.randrange(1, 3_652_059)),
    pa.timestamp("us", "UTC"): lambda choose: datetime.fromtimestamp(choose.randrange(10**9), UTC),
    pa.bool_(): lambda choose: choose.random() < 0.5,
    pa.string(): lambda choose: choose.choice(["", "a", "ß€𝄞", "x" * 1_000]),
}


@pytest.mark.parametrize("tasks", [1, 3])
def test_contacts_get_the_values_of_their_account(tasks: int) -> None:
    """Of every type that is stored; some accounts have none, and not every contact has an account."""
    choose = random.Random(tasks)
    accounts = sorted({*EDGES, *(choose.randrange(1, 5 * BUCKET_SIZE) for _ in range(200))})
    contacts = sorted({*EDGES, *(choose.randrange(1, 9 * BUCKET_SIZE) for _ in range(900))})
    account_of = {contact: choose.choice(accounts) for contact in contacts if choose.random() < 0.9}
    known = [
        {account: make(choose) if choose.random() < 0.8 else None for account in accounts} for make in VALUES.values()
    ]

    joined = values_carried_over(known, account_of, tasks)

    for number, type_ in enumerate(VALUES):
        found = {
            (bucket - 1) * BUCKET_SIZE + place + 1: value
            for bucket, arrays in joined.items()
            for place, value in enumerate(arrays[number].to_pylist())
            if value is not None
        }
        of_accounts = {contact: known[number][account] for contact, account in account_of.items()}
        assert found == {contact: value for contact, value in of_accounts.items() if value is not None}, type_
        assert {arrays[number].type for arrays in joined.values()} == {type_}
        assert {len(arrays[number]) for arrays in joined.values()} == {BUCKET_SIZE}


def values_carried_over(
    known: list[dict[int, object]], account_of: dict[int, int], tasks: int
) -> dict[int, list[pa.Array]]:
    """Return the values by bucket of contacts, through as many tasks as asked, packed on the way."""
    buckets = {(account - 1) // BUCKET_SIZE + 1 for account in known[0]}
    stored = {
        bucket: [
            pa.array([own.get((bucket - 1) * BUCKET_SIZE + place + 1) for place in range(BUCKET_SIZE)], type_)
            for own, type_ in zip(known, VALUES, strict=True)
        ]
        for bucket in buckets
    }
    parts: dict[int, list[pa.RecordBatch]] = {}
    for task in range(tasks):
        pairs = [(a, c) for c, a in account_of.items() if ((a - 1) // BUCKET_SIZE + 1) % tasks == task]
        keys = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        own = {bucket: arrays for bucket, arrays in stored.items() if bucket % tasks == task}
        for bucket, rows in carry_values(own, keys[:, 0], keys[:, 1]):
            parts.setdefault(bucket, []).append(unpack_rows(pack_rows(rows)))
    return {bucket: join_values(batches) for bucket, batches in parts.items()}


def test_no_values_are_sent_where_there_is_no_contact() -> None:
    keys = np.zeros(0, dtype=np.int64)
    assert list(carry_values({1: [pa.nulls(BUCKET_SIZE, pa.int64())]}, keys, keys)) == []
    assert list(carry_values({}, keys + 1, keys + 1)) == []
