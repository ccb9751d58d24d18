"""Formulas over the profiles of a bucket, shared: equal parts of different definitions are one node.

Nodes are bitmaps (who is in), values (one for each profile) or rows (the groups of a measure by dimensions).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

NodeKind = Literal[
    # bitmaps
    "nobody",
    "bit",
    "overflow",
    "stored",
    "all",
    "any",
    "without",
    "test",
    "value_overflow",
    # values
    "value",
    "stored_value",
    "carried_value",
    "compute",
    "only",
    "if_missing",
    # groups
    "groups",
    "stored_groups",
    "states",
    "scan_groups",
]


@dataclass(frozen=True)
class FormulaNode:
    """One step of the program; operands are earlier nodes, except where the kind says so.

    Bitmaps: `bit`, `overflow`: (scan, output), the profiles it holds for, or whose aggregate has too many digits;
    `stored`: (place of the parent among the plan's stored, then carried ones,); `without`: (of, what); `test`: (value,)
    passes the payload, a condition; `value_overflow`: (value,) has too many digits.

    Values: `value`: (scan, value); `stored_value`: of the payload, a `StoredValue`; `carried_value`: (place among the
    plan's carried ones,) of the payload, its type; `compute`: the leaves of the payload, a `Computation`; `only`:
    (value, bitmap), others have the value of no rows, 0 where the payload says so; `if_missing`: (value,), the payload
    (literal, type) where it is missing.

    Groups: `groups`: (scan, groups, bitmap, one bitmap for each value), the finished rows of the payload, a measure;
    `stored_groups`: those of the payload, a measure outside of the run; `states`: the same operands, states of a
    business measure, the payload says what counts of rows without a profile (`Orphans`); `scan_groups`: (groups,) are
    the rows of the scan that the payload numbers.
    """

    kind: NodeKind
    operands: tuple[int, ...] = ()
    payload: Any = None


class FormulaBuilder:
    """Numbers the nodes of all formulas; the first is nobody, the second everyone present."""

    NOBODY = 0
    EVERYONE = 1

    def __init__(self, everyone: FormulaNode) -> None:
        self._nodes: dict[FormulaNode, int] = {FormulaNode("nobody"): self.NOBODY, everyone: self.EVERYONE}

    def add(self, kind: NodeKind, *operands: int, payload: Any = None) -> int:
        """Return the number of a node, the same for equal ones."""
        return self._nodes.setdefault(FormulaNode(kind, operands, payload), len(self._nodes))

    def all(self, parts: Iterable[int]) -> int:
        """Return the profiles in every part."""
        distinct = sorted(set(parts) - {self.EVERYONE})
        if self.NOBODY in distinct:
            return self.NOBODY
        return distinct[0] if len(distinct) == 1 else self.add("all", *distinct) if distinct else self.EVERYONE

    def any(self, parts: Iterable[int]) -> int:
        """Return the profiles in at least one part."""
        distinct = sorted(set(parts) - {self.NOBODY})
        if self.EVERYONE in distinct:
            return self.EVERYONE
        return distinct[0] if len(distinct) == 1 else self.add("any", *distinct) if distinct else self.NOBODY

    def without(self, of: int, what: int) -> int:
        """Return the profiles in one part and not in another."""
        if what == self.NOBODY or of == self.NOBODY:
            return of
        return self.NOBODY if what in (of, self.EVERYONE) else self.add("without", of, what)

    def nodes(self) -> tuple[FormulaNode, ...]:
        """Return all nodes in order; operands come before what uses them."""
        return tuple(self._nodes)
