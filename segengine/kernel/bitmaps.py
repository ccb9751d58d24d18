"""Bitmaps of one bucket: 32,768 profiles, 4,096 bytes, bit 0 of byte 0 first (Spark's own layout)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segengine.plan.scans import BUCKET_SIZE

BITMAP_BYTES = BUCKET_SIZE // 8

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]

_TRANSPOSE_STEPS = ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))


def transpose_words(words: Words | Bytes, columns: int | None = None) -> Bytes:
    """Return the bit columns of a matrix as bitmaps.

    Args:
        words: Shape (n, w), n a multiple of 8; bit b of word k of row i is cell (i, 64 k + b). Bytes likewise.
        columns: How many columns are wanted, the first ones; None: all.

    Returns:
        Shape (64 w, n / 8), or (columns, n / 8): row 64 k + b holds cell (i, 64 k + b) as its bit i.
        Source: Warren, Hacker's Delight, 2nd ed., 7-3: 8 x 8 bit matrices in three mask-and-shift steps.
    """
    count, row_bytes = words.shape[0] // 8, words.shape[1] * words.itemsize  # NumPy cannot guess a side without a word
    columns = 8 * row_bytes if columns is None else columns
    width = -(-columns // 8)
    planes = np.ascontiguousarray(words).view(np.uint8).reshape(count, 8, row_bytes)[..., :width].transpose(2, 0, 1)
    squares = np.ascontiguousarray(planes).view(np.uint64)[..., 0]  # (width, n / 8): one 8 x 8 bit matrix each
    for shift, mask in _TRANSPOSE_STEPS:
        swapped = (squares ^ (squares >> np.uint64(shift))) & np.uint64(mask)
        squares = squares ^ swapped ^ (swapped << np.uint64(shift))
    bitmaps = squares.view(np.uint8).reshape(width, count, 8).transpose(0, 2, 1)
    return np.ascontiguousarray(bitmaps).reshape(width * 8, count)[:columns]


def pack_booleans(rows: npt.NDArray[np.bool_], width: int) -> Words:
    """Return boolean rows (n, m), m <= 64 width, as words of shape (n, width); bits beyond m are 0."""
    padded = np.zeros((rows.shape[0], width * 64), dtype=bool)
    padded[:, : rows.shape[1]] = rows
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def count_bits(bitmap: AnyArray) -> int:
    """Return how many bits are set."""
    return int(np.bitwise_count(bitmap.view(np.uint64)).sum())


def count_members(bitmap: bytes) -> int:
    """Return how many profiles are in a bucket's bitmap."""
    return count_bits(np.frombuffer(bitmap, dtype=np.uint8))


def bitmap_keys(bitmap: bytes, bucket: int) -> npt.NDArray[np.int64]:
    """Return the profile keys of a bucket's bitmap, ascending: bucket 1 holds keys 1 to 32,768."""
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.int64) + (bucket - 1) * BUCKET_SIZE + 1


def subtract_bitmaps(inside: Mapping[int, bytes], outside: Mapping[int, bytes]) -> dict[int, bytes]:
    """Return, by bucket, the bits in one set of bitmaps and not in another; buckets without any are left out."""
    found = {}
    for bucket, bits in inside.items():
        other = np.frombuffer(outside.get(bucket, bytes(len(bits))), dtype=np.uint8)
        rest = np.frombuffer(bits, dtype=np.uint8) & ~other
        if rest.any():
            found[bucket] = rest.tobytes()
    return found
