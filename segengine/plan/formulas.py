"""Boolean formulas over bitmaps, shared: equal parts of different segments are one node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

NodeKind = Literal["nobody", "bit", "stored", "all", "any", "without"]


@dataclass(frozen=True)
class FormulaNode:
    """One step of the program; operands are earlier nodes, except where the kind says so.

    `bit`: (scan, output); `stored`: (place of the parent among the plan's stored, then carried ones,); `without`:
    (of, what).
    """

    kind: NodeKind
    operands: tuple[int, ...] = ()


class FormulaBuilder:
    """Numbers the nodes of all formulas; the first is nobody, the second everyone present."""

    NOBODY = 0
    EVERYONE = 1

    def __init__(self, everyone: FormulaNode) -> None:
        self._nodes: dict[FormulaNode, int] = {FormulaNode("nobody"): self.NOBODY, everyone: self.EVERYONE}

    def add(self, kind: NodeKind, *operands: int) -> int:
        """Return the number of a node, the same for equal ones."""
        return self._nodes.setdefault(FormulaNode(kind, operands), len(self._nodes))

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
