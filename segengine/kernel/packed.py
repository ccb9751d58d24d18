"""Whole numbers packed so that they sort as one, or lie in fewer bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segengine.kernel.bitmaps import AnyArray

_LOW_BITS = 32  # of two numbers as one

Integers = npt.NDArray[np.int64]


def pack_pairs(first: Integers, second: Integers) -> Integers:
    """Return two numbers, each below 2**31, as one."""
    return (first << _LOW_BITS) | second


def unpack_pairs(packed: Integers) -> tuple[Integers, Integers]:
    """Return the two numbers of each pair."""
    return packed >> _LOW_BITS, packed & ((1 << _LOW_BITS) - 1)


def pack_value(values: Integers, type_: np.dtype[np.generic]) -> AnyArray:
    """Return whole numbers in an unsigned type, in the same order; 0 is left for none."""
    return (values.view(np.uint64) + _half(type_)).astype(type_)


def unpack_value(packed: AnyArray) -> Integers:
    """Return the whole numbers that `pack_value` had."""
    return (packed.astype(np.uint64) - _half(packed.dtype)).view(np.int64)


def repack(packed: AnyArray, type_: np.dtype[np.generic]) -> AnyArray:
    """Return what `pack_value` had packed in a wider unsigned type."""
    wider: AnyArray = packed.astype(type_)
    np.add(wider, (_half(type_) - _half(packed.dtype)).astype(type_), out=wider, where=wider != 0)
    return wider


def _half(type_: np.dtype[np.generic]) -> np.uint64:
    return np.uint64(1 << (8 * type_.itemsize - 1))
