"""Counting rows per profile for many rules at once, 64 to a word.

A number of k bits is kept as k *planes*: bit i of plane p is bit p of counter i. Adding is the school's carry, word by
word. Counters saturate: at the top they stay there, which is all that "at least n rows" needs.
"""

from __future__ import annotations

import numpy as np

from segengine.kernel.bitmaps import AnyArray, Words

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


def sum_groups(bits: Words, starts: AnyArray, depth: int) -> Planes:
    """Return how many rows of each group have each bit set, as planes of shape (groups, words).

    Args:
        bits: Shape (n, words), one bit per counter.
        starts: First row of each group, ascending from 0; groups are never empty.
        depth: Planes at most; larger sums saturate.

    Rows are added in pairs within their group, then the sums in pairs, and so on: log2 of the largest group in rounds,
    each on half the rows, however uneven the groups are.
    """
    planes: Planes = [bits]
    count = len(bits)
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
