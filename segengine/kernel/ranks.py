"""Rows of profiles by rank, so that many profiles are worked on at once.

Profiles are taken longest first, and of all of them the first rows, then the second ones, and so on: then each step
joins two matrices that lie in the processor's cache, and no row is moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segengine.kernel.bitmaps import AnyArray

GROUPS = 1 << 11  # profiles at a time: what is kept of them stays in cache
LONGEST = 1 << 6  # rows of one profile at a time; more are taken for several profiles


def sorted_order(numbers: AnyArray) -> AnyArray:
    """Return the order of whole numbers from 0 to 2**63, equal ones as they come.

    NumPy sorts 16 bits by their digits, several times faster than it compares.
    """
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    for shift in (16, 32, 48):
        digits = (numbers >> shift).astype(np.uint16)
        if digits.any():
            order = order.take(np.argsort(digits.take(order, mode="clip"), kind="stable"), mode="clip")
    return order


def profile_order(places: AnyArray, *, is_ranked: bool) -> tuple[AnyArray, AnyArray]:
    """Return the order of rows by profile, and where each profile begins there.

    Args:
        places: The place of each row's profile.
        is_ranked: Put profiles beside each other that have as many rows: ranking them takes few and long steps then.
    """
    order = sorted_order(places)
    ordered = places.take(order, mode="clip")
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(starts, len(order)))
    if not is_ranked or lengths.min() == lengths.max():
        return order, starts
    by_length = sorted_order(lengths)
    lengths = lengths.take(by_length)
    begins = np.cumsum(lengths) - lengths
    rows = np.arange(len(order)) + np.repeat(starts.take(by_length) - begins, lengths)
    return order.take(rows, mode="clip"), begins


@dataclass(frozen=True)
class Ranked:
    """Rows of some profiles: the first of each, longest profile first, then the second of each that has one, ...

    `order`: the rows, shape (n,); `sizes`: how many first, second, ... rows there are; `places`: of the profiles, each
    once. Where it `is_rest`, rows beyond a profile's first `LONGEST` come for themselves and places several times.
    """

    order: AnyArray
    sizes: list[int]
    places: AnyArray
    is_rest: bool

    def steps(self) -> Iterator[slice]:
        """Yield where the first, second, ... rows are."""
        first = 0
        for size in self.sizes:
            yield slice(first, first + size)
            first += size

    def row_places(self) -> AnyArray:
        """Return the place of each row's profile, shape (n,)."""
        return np.concatenate([self.places[:size] for size in self.sizes])


def rank_rows(starts: AnyArray, count: int, places: AnyArray) -> Iterator[Ranked]:
    """Yield rows some profiles at a time, and last the rows of long profiles beyond their first ones.

    Args:
        starts: The first row of each profile.
        count: How many rows there are.
        places: Of the profiles.
    """
    lengths = np.diff(np.append(starts, count))
    yield from _ranked(starts, np.minimum(lengths, LONGEST), places, is_rest=False)
    rests = (lengths - 1) // LONGEST  # how often `LONGEST` rows follow the first ones
    if rests.any():
        within = LONGEST * (1 + np.arange(int(rests.sum())) - np.repeat(np.cumsum(rests) - rests, rests))
        left = np.repeat(lengths, rests) - within
        yield from _ranked(
            np.repeat(starts, rests) + within, np.minimum(left, LONGEST), np.repeat(places, rests), is_rest=True
        )


def _ranked(starts: AnyArray, lengths: AnyArray, places: AnyArray, *, is_rest: bool) -> Iterator[Ranked]:
    for first in range(0, len(starts), GROUPS):
        own = slice(first, first + GROUPS)
        by_length = np.argsort(-lengths[own], kind="stable")
        begins = starts[own][by_length]
        sizes = (len(begins) - np.cumsum(np.bincount(lengths[own])))[:-1].tolist()
        order = np.concatenate([begins[:size] + rank for rank, size in enumerate(sizes)])
        yield Ranked(order, sizes, places[own][by_length], is_rest)
