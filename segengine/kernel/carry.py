"""Carrying bits and values over from accounts to their contacts.

Both have keys and buckets of their own, so what is known of one bucket of accounts belongs to contacts of many buckets.
It travels by contact, bits as words and not as bitmaps: a contact has one account, so nothing is sent twice, however
many buckets there are on either side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.bitmaps import BITMAP_BYTES, Bytes, Words, transpose_words
from segengine.kernel.scan import KEY
from segengine.plan.scans import BUCKET_SIZE

Buffer = Any  # bytes, or an Arrow buffer: what numpy reads without a copy
Keys = npt.NDArray[np.int64]

_SHIFT = BUCKET_SIZE.bit_length() - 1
_PLACE = np.dtype("<u2")


def carry_bits(
    members: Mapping[int, Mapping[int, Buffer]], count: int, accounts: Keys, contacts: Keys
) -> Iterator[tuple[int, bytes]]:
    """Yield (bucket of contacts, bits of contacts in it), several times a bucket.

    Args:
        members: By bucket of accounts and number of the account segment its bitmap, where it has members there.
        count: How many account segments there are.
        accounts: Keys of accounts in any order, shape (n,).
        contacts: The key of a contact of each, shape (n,).

    A contact none of whose bits is set is left out.
    """
    for bucket, own in _by_bucket(accounts, members):
        words = _words_by_account(members[bucket], count)[_places(accounts[own])]
        yield from _pack(words, contacts[own])


def carry_values(
    values: Mapping[int, Sequence[pa.Array]], accounts: Keys, contacts: Keys
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (bucket of contacts, values of contacts in it), several times a bucket: `profile_key`, `v0`, `v1`, ...

    Args:
        values: By bucket of accounts 32,768 of each value, in their order.
        accounts: Keys of accounts in any order, shape (n,).
        contacts: The key of a contact of each, shape (n,).
    """
    for bucket, own in _by_bucket(accounts, values):
        order = own[np.argsort(contacts[own], kind="stable")]
        places = pa.array(_places(accounts[order]))
        columns = {f"v{number}": each.take(places) for number, each in enumerate(values[bucket])}
        rows = pa.record_batch({KEY: pa.array(contacts[order]), **columns})
        for first, count, contact_bucket in _runs_of_buckets(contacts[order]):
            yield contact_bucket, rows.slice(first, count)


def _by_bucket(keys: Keys, wanted: Iterable[int]) -> Iterator[tuple[int, Keys]]:
    """Yield buckets and which of the keys are in each."""
    buckets = (keys - 1) >> _SHIFT
    order = np.argsort(buckets, kind="stable")
    for bucket in wanted:
        first, end = np.searchsorted(buckets, [bucket - 1, bucket], sorter=order)
        yield bucket, order[first:end]


def _runs_of_buckets(keys: Keys) -> Iterator[tuple[int, int, int]]:
    """Yield the first place of each bucket among ordered keys, how many keys it has, and its number."""
    buckets, starts, counts = np.unique((keys - 1) >> _SHIFT, return_index=True, return_counts=True)
    yield from zip(starts.tolist(), counts.tolist(), (buckets + 1).tolist(), strict=True)


def _places(keys: Keys) -> Keys:
    """Return the places of keys within their buckets."""
    return (keys - 1) & (BUCKET_SIZE - 1)


def _words_by_account(bitmaps: Mapping[int, Buffer], count: int) -> Words:
    """Return the bits of each account of a bucket, shape (32768, words)."""
    columns = np.zeros((64 * word_count(count), BITMAP_BYTES), dtype=np.uint8)
    for number, bitmap in bitmaps.items():
        columns[number] = np.frombuffer(bitmap, dtype=np.uint8)
    words: Words = transpose_words(columns.view(np.uint64)).view(np.uint64)
    return words


def _pack(words: Words, contacts: Keys) -> Iterator[tuple[int, bytes]]:
    """Yield, by bucket of contacts, their places (2 bytes each) and then their words."""
    some = np.flatnonzero(words.any(axis=1))
    order = some[np.argsort(contacts[some], kind="stable")]
    words, places = words[order], _places(contacts[order]).astype(_PLACE)
    for first, count, bucket in _runs_of_buckets(contacts[order]):
        own = slice(first, first + count)
        yield bucket, places[own].tobytes() + words[own].tobytes()


def join_carried(blobs: Iterable[Buffer], count: int) -> Bytes:
    """Return what `carry_bits` sent to one bucket of contacts as one bitmap per account segment.

    Returns:
        Shape (count, 4096): row i holds the contacts whose account is a member of segment i.
    """
    width = word_count(count)
    rows: Words = np.zeros((BUCKET_SIZE, width), dtype=np.uint64)
    for blob in blobs:
        data = np.frombuffer(blob, dtype=np.uint8)
        found = len(data) // (_PLACE.itemsize + 8 * width)
        end_of_places = _PLACE.itemsize * found
        words = data[end_of_places:].copy().view(np.uint64)  # a copy lies where 8-byte words may
        rows[data[:end_of_places].view(_PLACE)] |= words.reshape(found, width)
    return transpose_words(rows)[:count]


def join_values(batches: Sequence[pa.RecordBatch]) -> list[pa.Array]:
    """Return what `carry_values` sent to one bucket of contacts: of each value 32,768, missing where nothing came."""
    rows = pa.Table.from_batches(batches).combine_chunks()
    row_of = np.zeros(BUCKET_SIZE, dtype=np.int64)
    came = np.zeros(BUCKET_SIZE, dtype=bool)
    places = _places(rows.column(KEY).to_numpy())
    row_of[places], came[places] = np.arange(rows.num_rows), True
    indices = pa.array(row_of, mask=~came)
    return [column.combine_chunks().take(indices) for column in rows.columns[1:]]


def word_count(count: int) -> int:
    """Return how many words hold so many bits."""
    return max(1, -(-count // 64))
