"""Sums that come out the same however the rows are parted: in whole numbers, without a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.arithmetic import exact_numbers
from segengine.kernel.ordinals import Ordinals
from segengine.models.fields import fill_ordinals
from segengine.project.aggregates import exact_scale
from segengine.project.types import AttributeType

_LOW_BITS = 32  # sums of the halves of 64 bits fit 64 bits again, up to 2**31 rows


def sum_by_group(column: pa.Array, type_: AttributeType, groups: npt.NDArray[np.int64], group_count: int) -> list[int]:
    """Return the sum of an ordered field's values by group, in whole numbers at its `exact_scale`.

    A float counts as the nearest decimal with nine digits after the point, a missing value as 0.
    """
    numbers = exact_numbers(Ordinals(fill_ordinals(column), None), type_)
    whole = np.asarray(numbers.values, dtype=np.int64)
    high, low = np.zeros(group_count, dtype=np.int64), np.zeros(group_count, dtype=np.int64)
    np.add.at(high, groups, whole >> _LOW_BITS)
    np.add.at(low, groups, whole & ((1 << _LOW_BITS) - 1))
    sums = [(first << _LOW_BITS) + second for first, second in zip(high.tolist(), low.tolist(), strict=True)]
    for row, value in numbers.large.items():
        sums[groups[row]] += value
    return sums


def average(total: int, count: int, type_: AttributeType) -> float | None:
    """Return the average of values that sum to a total of `sum_by_group`, in the field's own unit; None of nothing."""
    return total / (count * 10 ** exact_scale(type_)) if count else None
