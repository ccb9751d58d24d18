"""Counting rows per profile for many rules at once, 64 to a word.

A number of k bits is kept as k *planes*: bit i of plane p is bit p of counter i. Adding is the school's carry, word by
word. Counters saturate: at the top they stay there, which is all that "at least n rows" needs.
"""

from __future__ import annotations

import numpy as np

from segengine.kernel.bitmaps import AnyArray, Words
from segengine.kernel.ranks import Ranked
from segengine.kernel.values import make_groups

Planes = list[Words]


def add_saturating(numbers: Planes, others: Planes, depth: int) -> Planes:
    """Return the sums of two lists of planes, at most `depth` planes; what does not fit becomes all ones."""
    longer, shorter = (numbers, others) if len(numbers) >= len(others) else (others, numbers)
    sums: Planes = []
    carry: Words | None = None
    for place, plane in enumerate(longer):
        if place < len(shorter):
            half = plane ^ shorter[place]
            both = plane & shorter[place]
        elif carry is None:
            sums.append(plane)
            continue
        else:
            half, both = plane, None
        if carry is None:
            sums.append(half)
            carry = both
        else:
            sums.append(half ^ carry)
            over = half & carry
            carry = over if both is None else over | both
    if carry is not None:
        if len(sums) < depth:
            sums.append(carry)
        else:
            sums = [plane | carry for plane in sums]
    return sums


def sum_ranked(bits: Words, ranked: Ranked, depth: int) -> tuple[Planes, AnyArray]:
    """Return how many rows of each profile have a bit, and the places of the profiles, each once.

    Args:
        bits: Shape (n, words), one bit per counter, rows as `ranked` numbers them.
        ranked: The rows by profile.
        depth: Planes at most; larger sums saturate.
    """
    bits = np.take(bits, ranked.order, axis=0, mode="clip")
    planes: Planes = [np.zeros((len(ranked.places), bits.shape[1]), dtype=np.uint64) for _ in range(depth)]
    for rank, step in enumerate(ranked.steps(), start=1):
        carry = bits[step]
        for plane in planes[: rank.bit_length()]:  # a sum of so many ones has no more digits
            own = plane[: len(carry)]
            over = own & carry
            own ^= carry
            carry = over
        if rank >> depth:
            for plane in planes:
                plane[: len(carry)] |= carry
    if not ranked.is_rest:
        return planes, ranked.places
    order = np.argsort(ranked.places, kind="stable")
    groups = make_groups(ranked.places[order])
    return sum_groups([plane[order] for plane in planes], groups.starts, depth), groups.places


def sum_groups(planes: Planes, starts: AnyArray, depth: int) -> Planes:
    """Return the sums of numbers by group as planes, shape (groups, words) each, lowest first.

    Args:
        planes: The numbers, shape (n, words) each.
        starts: First number of each group, ascending from 0; groups are never empty.
        depth: Planes at most; larger sums saturate.

    Numbers are added in pairs within their group, then the sums in pairs, and so on: log2 of the largest group in
    rounds, each on half the numbers, however uneven the groups are.
    """
    count = len(planes[0])
    while len(starts) < count:
        lengths = np.diff(np.append(starts, count))
        within = np.arange(count) - np.repeat(starts, lengths)
        first = np.flatnonzero((within & 1) == 0)
        has_partner = within[first] + 1 < np.repeat(lengths, lengths)[first]
        paired, partners = np.flatnonzero(has_partner), first[has_partner] + 1
        left = [plane[first] for plane in planes]
        right = []
        for plane in planes:
            other = np.zeros_like(left[0])
            other[paired] = plane[partners]
            right.append(other)
        planes = add_saturating(left, right, depth)
        halves = (lengths + 1) >> 1
        starts = np.cumsum(halves) - halves
        count = len(first)
    return planes


def at_least(planes: list[AnyArray], count: int) -> AnyArray:
    """Return where numbers given as planes (lowest first) are at least `count`, bit by bit."""
    if count >> len(planes):
        return np.zeros_like(planes[0])
    greater = np.zeros_like(planes[0])
    equal = ~greater
    for place in reversed(range(len(planes))):
        if count >> place & 1:
            equal &= planes[place]
        else:
            greater |= equal & planes[place]
            equal &= ~planes[place]
    return greater | equal
