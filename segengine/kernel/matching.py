"""Which clauses the rows of a batch satisfy, and which row sets they are in.

Each column says by its codes which clauses a row may still satisfy. Columns that have few codes together are read as
one column: what holds of a combination of codes, of a *kind* of row, is worked out once, not for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from segengine.kernel.bitmaps import AnyArray, Words
from segengine.kernel.columns import Codes
from segengine.kernel.nests import Innermost
from segengine.kernel.program import Layout
from segengine.plan.rows import Clause, Clauses, Combined, RowSet

_MOST_KINDS = 1 << 12  # far fewer than the rows of a piece
_MOST_KIND_WORDS = 1 << 16  # they stay in the processor's cache


@dataclass(frozen=True)
class RowLanes:
    """In which of the aggregated row sets rows are, by kind of row.

    `bits`: by lane, shape (k, words); `innermost`: of each nest the number of the innermost row set, 0 for none, shape
    (k,) each; `kinds`: the kind of each row, shape (n,); None: each row is a kind of its own.
    """

    bits: Words
    innermost: Sequence[AnyArray]
    kinds: npt.NDArray[np.intp] | None

    def of_rows(self, by_kind: AnyArray) -> AnyArray:
        """Return for each row what is said of its kind."""
        return by_kind if self.kinds is None else by_kind.take(self.kinds, axis=0, mode="clip")


class Matcher:
    """Matches the rows of one batch after the other."""

    def __init__(self, layout: Layout, base: Words) -> None:
        """Prepare buffers.

        Args:
            layout: Where clauses sit in the words of a row.
            base: A bit for every position with a clause, shape (1, words).
        """
        self._layout = layout
        self._base = base
        self._innermost = Innermost(layout.nests)
        self._tables: list[Words] = []
        self._codes: list[Codes] = []
        self._lanes: RowLanes | None = None
        self._buffers: list[Words] = [np.zeros((0, layout.width), dtype=np.uint64)] * 2

    def begin(self, tables: Sequence[Words], codes: Sequence[Codes], order: AnyArray) -> None:
        """Take a batch.

        Args:
            tables: Of each column the clauses that a code satisfies, shape (codes, words).
            codes: Of each column, shape (n,).
            order: The order in which rows are matched.
        """
        self._tables, joined = _join_columns(self._base, tables, codes, len(order))
        self._codes = [column.take(order, mode="clip") for column in joined]
        self._lanes = None
        if self._has_kinds:
            self._join_layers(self._tables[0])
            if self._layout.aggregated:
                self._lanes = self._lanes_in(self._tables[0])

    @property
    def _has_kinds(self) -> bool:
        return len(self._tables) == 1

    def match(self, rows: slice) -> MatchedRows:
        """Return what holds of some rows of the batch, until others are matched."""
        return MatchedRows(self, rows)

    def words(self, rows: slice) -> Words:
        """Return the clause bits of rows, those of lanes complete, shape (n, words), in a buffer."""
        words = self._buffer(0, rows.stop - rows.start)
        np.take(self._tables[0], self._codes[0][rows], axis=0, out=words, mode="clip")
        for table, codes in zip(self._tables[1:], self._codes[1:], strict=True):
            found = np.take(table, codes[rows], axis=0, out=self._buffer(1, len(words)), mode="clip")
            np.bitwise_and(words, found, out=words)
        if not self._has_kinds:
            self._join_layers(words)
        return words

    def _buffer(self, number: int, count: int) -> Words:
        if len(self._buffers[number]) < count:
            self._buffers[number] = np.empty((count, self._layout.width), dtype=np.uint64)
        return self._buffers[number][:count]

    def lanes(self, matched: MatchedRows) -> RowLanes:
        """Return the aggregated row sets that rows are in."""
        if self._lanes is None:
            return self._lanes_in(matched.words)
        return replace(self._lanes, kinds=self._codes[0][matched.rows].astype(np.intp))

    def _lanes_in(self, words: Words) -> RowLanes:
        bits = np.ascontiguousarray(words[:, self._layout.summed[0]])
        return RowLanes(bits, self._innermost.find(bits), None)

    def _join_layers(self, words: Words) -> None:
        """Complete the lanes' bits in their first layers."""
        layout = self._layout
        if layout.lanes:
            lanes = self._joined(words, layout.inside, [lane.inside for lane in layout.lanes])
            lanes &= ~self._joined(words, layout.outside, [lane.outside for lane in layout.lanes])
        self._joined(words, layout.counters, layout.counted)
        self._joined(words, layout.summed, layout.aggregated)

    def _joined(self, words: Words, layers: tuple[slice, ...], row_sets: Sequence[RowSet]) -> Words:
        """Return the lanes' bits in the words of the first layer, trees filled in."""
        joined = words[:, layers[0] if layers else slice(0)]
        for layer in layers[1:]:  # later layers are shorter: they hold the row sets of more clauses alone
            joined[:, : layer.stop - layer.start] |= words[:, layer]
        for place, row_set in enumerate(row_sets):
            if not isinstance(row_set, Clauses):
                bits = _tree_bits(words, row_set, self._layout.trees[row_set]).astype(np.uint64)
                joined[:, place // 64] |= bits << np.uint64(place % 64)
        return joined


class MatchedRows:
    """What holds of some rows, worked out where it is asked for."""

    def __init__(self, matcher: Matcher, rows: slice) -> None:
        self._matcher = matcher
        self.rows = rows

    @cached_property
    def words(self) -> Words:
        """The clause bits, those of lanes complete, shape (n, words)."""
        return self._matcher.words(self.rows)

    @cached_property
    def lanes(self) -> RowLanes:
        """The aggregated row sets they are in."""
        return self._matcher.lanes(self)


def _join_columns(
    base: Words, tables: Sequence[Words], codes: Sequence[Codes], count: int
) -> tuple[list[Words], list[Codes]]:
    """Return the same with columns that have few codes together, and fewer than there are rows, as one.

    The first table has no bits beyond `base`.
    """
    most = min(count, _MOST_KINDS, _MOST_KIND_WORDS // base.shape[1])
    found: list[tuple[Words, Codes]] = [(base.copy(), np.zeros(count, dtype=np.uint8))]
    for table, column in sorted(zip(tables, codes, strict=True), key=lambda pair: len(pair[0])):
        whole, joined = found[-1]
        size = len(whole) * len(table)
        if len(whole) > 1 and size > most:
            found.append((table, column))
            continue
        kinds = joined.astype(np.min_scalar_type(size - 1)) * len(table) + column
        found[-1] = (whole[:, None] & table).reshape(size, -1), kinds
    return [table for table, _ in found], [column for _, column in found]


def _tree_bits(words: Words, tree: RowSet, positions: dict[Clause, int]) -> npt.NDArray[np.bool_]:
    if isinstance(tree, Clauses):
        found = np.zeros(len(words), dtype=bool)
        for clause in tree.clauses:
            place = positions[clause]
            found |= (words[:, place // 64] >> np.uint64(place % 64)) & np.uint64(1) != 0
        return found
    join = np.logical_or if isinstance(tree, Combined) else np.logical_and
    joined: npt.NDArray[np.bool_] = join.reduce([_tree_bits(words, part, positions) for part in tree.parts])
    return joined
