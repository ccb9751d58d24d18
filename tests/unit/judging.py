"""Judging the values of one column by an expression, with the kernel's own indexes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from segengine.kernel.columns import make_index
from segengine.project.logic import push_not_inward
from segengine.project.model import All, AnyOf, Condition, Expression


def judge(expression: Expression, array: pa.Array) -> list[bool]:
    """Return which values pass an expression whose conditions are all about one column or its parts."""
    return [bool(passes) for passes in _judge(push_not_inward(expression), array)]


def _judge(expression: Expression, array: pa.Array) -> np.ndarray:
    if isinstance(expression, All | AnyOf):
        join = np.logical_and if isinstance(expression, All) else np.logical_or
        return np.asarray(join.reduce([_judge(item, array) for item in expression.items]))
    assert isinstance(expression, Condition)
    index = make_index(expression.attribute, [frozenset((expression,))])
    codes = index.codes(array)
    return np.asarray(index.table[codes][:, 0] & np.uint64(1)).astype(bool)
