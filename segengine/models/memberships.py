"""Which of some segments each profile is in, as one number: bit i is segment i. Made of the stored bitmaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segengine.kernel.bitmaps import BITMAP_BYTES

Codes = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Memberships:
    """The members of up to 64 segments.

    `bits`: shape (segments, bytes); bit k of a segment's bytes is the profile with key k + 1. For 10 million profiles
    that is 1.25 MB a segment, so it can travel to where the profiles are.
    """

    bits: npt.NDArray[np.uint8]

    @property
    def code_type(self) -> np.dtype[np.unsignedinteger]:
        """The smallest type that has a bit for each segment."""
        return np.dtype(np.min_scalar_type((1 << len(self.bits)) - 1))

    def list_codes(self) -> Iterator[Codes]:
        """Yield the codes of all profiles, bucket by bucket."""
        for start in range(0, self.bits.shape[1], BITMAP_BYTES):
            rows = np.unpackbits(self.bits[:, start : start + BITMAP_BYTES], axis=1, bitorder="little")
            yield self._join(rows)

    def look_up(self, keys: npt.NDArray[np.int64]) -> Codes:
        """Return the codes of profiles, shape (n,); 0 for keys that no bitmap reaches."""
        places = keys - 1
        inside = (places >= 0) & (places < self.bits.shape[1] * 8)
        places = np.where(inside, places, 0)
        rows = (self.bits[:, places >> 3] >> (places & 7).astype(np.uint8)) & inside
        return self._join(rows)

    def count_pairs(self) -> npt.NDArray[np.int64]:
        """Return how many profiles are in both of two segments, shape (segments, segments); on the diagonal in one."""
        words = self.bits.view(np.uint64)
        counts = np.zeros((len(words), len(words)), dtype=np.int64)
        for place, row in enumerate(words):
            for other in range(place, len(words)):
                counts[place, other] = counts[other, place] = np.bitwise_count(row & words[other]).sum()
        return counts

    def _join(self, rows: npt.NDArray[np.integer]) -> Codes:
        codes = np.zeros(rows.shape[1], dtype=self.code_type)
        for place, row in enumerate(rows):
            codes |= row.astype(self.code_type) << self.code_type.type(place)
        return codes


def gather_memberships(segments: Sequence[Mapping[int, bytes]]) -> Memberships:
    """Return the memberships that stored bitmaps say: of each segment a bitmap for each bucket that has members."""
    last = max((bucket for bitmaps in segments for bucket in bitmaps), default=1)
    bits = np.zeros((len(segments), last * BITMAP_BYTES), dtype=np.uint8)
    for row, bitmaps in zip(bits, segments, strict=True):
        for bucket, bitmap in bitmaps.items():
            row[(bucket - 1) * BITMAP_BYTES : bucket * BITMAP_BYTES] = np.frombuffer(bitmap, dtype=np.uint8)
    return Memberships(bits)
