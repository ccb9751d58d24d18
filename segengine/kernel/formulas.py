"""Segments of one bucket from the bitmaps of all scans: boolean operations on 4,096 bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segengine.kernel.bitmaps import BITMAP_BYTES, Words
from segengine.plan.formulas import FormulaNode

_WORDS = BITMAP_BYTES // 8
Buffer = Any  # bytes, or an Arrow buffer: what numpy reads without a copy


def evaluate_formulas(
    nodes: Sequence[FormulaNode], scans: Mapping[int, Buffer], stored: Mapping[int, Buffer]
) -> list[Words]:
    """Return the bitmap of every node for one bucket, each of shape (512,) in 64-bit words.

    Args:
        nodes: The program; operands come before what uses them.
        scans: The outputs of each scan that has rows in the bucket, one bitmap after the other. A scan without rows
            gives the state of nothing: no row satisfies anything.
        stored: The members of parents that are not evaluated in this run, where they have any in the bucket.
    """
    nothing = np.zeros(_WORDS, dtype=np.uint64)
    outputs = {scan: np.frombuffer(blob, dtype=np.uint64).reshape(-1, _WORDS) for scan, blob in scans.items()}
    parents = {parent: np.frombuffer(blob, dtype=np.uint64) for parent, blob in stored.items()}
    results: list[Words] = []
    for node in nodes:
        if node.kind == "bit":
            scan, output = node.operands
            result = outputs[scan][output] if scan in outputs else nothing
        elif node.kind == "stored":
            result = parents.get(node.operands[0], nothing)
        elif node.kind == "without":
            result = results[node.operands[0]] & ~results[node.operands[1]]
        elif node.kind == "nobody":
            result = nothing
        else:
            join = np.bitwise_and if node.kind == "all" else np.bitwise_or
            result = results[node.operands[0]].copy()
            for operand in node.operands[1:]:
                join(result, results[operand], out=result)
        results.append(result)
    return results
