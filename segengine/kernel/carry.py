"""Carrying bits over from accounts to their contacts.

Both have keys and buckets of their own, so the bits of one bucket of accounts belong to contacts of many buckets. They
travel as words by contact, not as bitmaps: a contact has one account, so nothing is sent twice, however many buckets
there are on either side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segengine.kernel.bitmaps import BITMAP_BYTES, Bytes, Words, transpose_words
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
    buckets = (accounts - 1) >> _SHIFT
    order = np.argsort(buckets, kind="stable")
    for bucket, bitmaps in members.items():
        first, end = np.searchsorted(buckets, [bucket - 1, bucket], sorter=order)
        own = order[first:end]
        words = _words_by_account(bitmaps, count)[(accounts[own] - 1) & (BUCKET_SIZE - 1)]
        yield from _pack(words, contacts[own])


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
    words, places = words[order], contacts[order] - 1
    buckets, starts, counts = np.unique(places >> _SHIFT, return_index=True, return_counts=True)
    for bucket, start, count in zip(buckets.tolist(), starts.tolist(), counts.tolist(), strict=True):
        own = slice(start, start + count)
        inside = (places[own] & (BUCKET_SIZE - 1)).astype(_PLACE)
        yield bucket + 1, inside.tobytes() + words[own].tobytes()


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


def word_count(count: int) -> int:
    """Return how many words hold so many bits."""
    return max(1, -(-count // 64))
