"""A scan compiled for the kernel: where each clause sits in the words of a row, and the column indexes.

Compiled once where the run is planned and sent to the tasks; a task takes `fresh` indexes of its own, because on the
embedded engine tasks are threads of one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from segengine.kernel.arithmetic import Clock
from segengine.kernel.bitmaps import Bytes, Words, pack_booleans
from segengine.kernel.columns import ColumnIndex, OrderedIndex, make_index
from segengine.kernel.nests import Nest, find_nests
from segengine.kernel.ordinals import Ordinals
from segengine.plan.rows import Clause, Clauses, RowSet
from segengine.plan.scans import RowCount, Scan, SomeRow, SomeRowOf, ValueTest, aggregated
from segengine.project.attributes import Aggregate, Attribute

Positions = list[Clause | None]


@dataclass(frozen=True)
class Layout:
    """Where clauses sit in the words of a row.

    First the clauses whose bits are wanted themselves, then one lane per row set in layers: lane i is the OR of bit i
    over the layers, so that row sets of several clauses cost one OR of words, not one per row set.

    `positions`: the clause at each bit, None for none. `single_words`: the block of wanted clauses; `inside`,
    `outside`: layers of the lanes of `SomeRowOf`; `counters`: layers of the row sets counted; `summed`: layers of the
    row sets whose rows are aggregated (`aggregated`); `nests`: of the latter, by lane. `trees`: for row sets that are
    no plain OR of clauses, the position of each of their clauses.
    """

    positions: Positions
    single: tuple[Clause, ...]
    lanes: tuple[SomeRowOf, ...]
    counted: tuple[RowSet, ...]
    aggregated: tuple[RowSet, ...]
    nests: tuple[Nest, ...]
    count_depth: int
    single_words: slice
    inside: tuple[slice, ...]
    outside: tuple[slice, ...]
    counters: tuple[slice, ...]
    summed: tuple[slice, ...]
    trees: dict[RowSet, dict[Clause, int]]

    @property
    def width(self) -> int:
        """Words a row."""
        return max(1, len(self.positions) // 64)

    @property
    def lane_words(self) -> int:
        """Words of the lanes of `SomeRowOf`, which follow the wanted clauses."""
        return _length(self.inside)

    @property
    def counter_words(self) -> int:
        """Words of the lanes that are counted."""
        return _length(self.counters)

    @property
    def summed_words(self) -> int:
        """Words of the lanes whose rows are aggregated."""
        return _length(self.summed)


def _length(layers: tuple[slice, ...]) -> int:
    return layers[0].stop - layers[0].start if layers else 0


def make_layout(scan: Scan) -> Layout:
    """Return the layout of a scan's outputs."""
    positions: Positions = []
    single = tuple(output.clause for output in scan.outputs if isinstance(output, SomeRow))
    found = [output for output in scan.outputs if isinstance(output, SomeRowOf)]
    lanes = tuple(sorted(found, key=lambda lane: -max(_depth(lane.inside), _depth(lane.outside))))
    counted = tuple(
        sorted(dict.fromkeys(o.rows for o in scan.outputs if isinstance(o, RowCount)), key=lambda r: -_depth(r))
    )
    aggregated, nests = _aggregated_row_sets(scan)
    most = max((o.at_least for o in scan.outputs if isinstance(o, RowCount)), default=0)
    single_words = _add_block(positions, list(single))
    inside = _add_layers(positions, [lane.inside for lane in lanes])
    outside = _add_layers(positions, [lane.outside for lane in lanes])
    counters = _add_layers(positions, list(counted))
    summed = _add_layers(positions, list(aggregated))
    sets = [row_set for lane in lanes for row_set in (lane.inside, lane.outside)] + [*counted, *aggregated]
    trees: dict[RowSet, dict[Clause, int]] = {
        row_set: _add_leaves(positions, row_set) for row_set in sets if not isinstance(row_set, Clauses)
    }
    return Layout(
        positions=positions,
        single=single,
        lanes=lanes,
        counted=counted,
        aggregated=aggregated,
        nests=nests,
        count_depth=most.bit_length(),
        single_words=single_words,
        inside=inside,
        outside=outside,
        counters=counters,
        summed=summed,
        trees=trees,
    )


def _aggregated_row_sets(scan: Scan) -> tuple[tuple[RowSet, ...], tuple[Nest, ...]]:
    """Return the row sets that are aggregated, those of many clauses first, and their nests, whose lanes lie close."""
    own = [rows for rows, _ in scan.aggregates]
    own += [rows for groups in scan.groups for rows in (groups.rows, *(own for own, _ in groups.values))]
    row_sets = tuple(dict.fromkeys(own))
    nests = find_nests(row_sets)
    order = [place for nest in nests for place in nest.lanes]
    order.sort(key=lambda place: -_depth(row_sets[place]))
    lane_of = {place: lane for lane, place in enumerate(order)}
    laid = tuple(Nest(tuple(lane_of[place] for place in nest.lanes), nest.parents) for nest in nests)
    return tuple(row_sets[place] for place in order), laid


def _add_block(positions: Positions, clauses: Positions) -> slice:
    start = len(positions) // 64
    positions += clauses + [None] * (-len(clauses) % 64)
    return slice(start, len(positions) // 64)


def _depth(row_set: RowSet) -> int:
    return len(row_set.clauses) if isinstance(row_set, Clauses) else 0


def _add_layers(positions: Positions, row_sets: list[RowSet]) -> tuple[slice, ...]:
    """Return one block of words per layer, each as long as the last row set that reaches it.

    Trees have no clause in them and are filled in row by row; row sets of many clauses come first, so that later layers
    are short.
    """
    flat = [row_set.clauses if isinstance(row_set, Clauses) else () for row_set in row_sets]
    layers: list[Positions] = [[own[0] if own else None for own in flat]] if row_sets else []
    for layer in range(1, max(map(len, flat), default=0)):
        reach = 1 + max(place for place, own in enumerate(flat) if layer < len(own))
        layers.append([own[layer] if layer < len(own) else None for own in flat[:reach]])
    return tuple(_add_block(positions, layer) for layer in layers)


def _add_leaves(positions: Positions, tree: RowSet) -> dict[Clause, int]:
    """Return the position of every clause of a tree, in a block of its own."""
    clauses = list(dict.fromkeys(_leaves(tree)))
    start = _add_block(positions, list(clauses)).start * 64
    return {clause: start + place for place, clause in enumerate(clauses)}


def _leaves(tree: RowSet) -> Iterator[Clause]:
    if isinstance(tree, Clauses):
        yield from tree.clauses
    else:
        for part in tree.parts:
            yield from _leaves(part)


@dataclass(frozen=True)
class ScanProgram:
    """A compiled scan. `base` has a bit for every position with a clause, shape (1, words).

    `clock`: the time of the run, for arithmetic on rows and dimensions; None where there are none.
    """

    scan: Scan
    layout: Layout
    base: Words
    indexes: tuple[ColumnIndex, ...]
    judges: tuple[Judge, ...]
    clock: Clock | None

    def fresh_indexes(self) -> list[ColumnIndex]:
        """Return indexes that share the tables and nothing that changes."""
        return [index.fresh() for index in self.indexes]

    def fresh_judges(self) -> list[Judge]:
        """Return judges that share the tables and nothing that changes."""
        return [judge.fresh() for judge in self.judges]


@dataclass(frozen=True)
class Judge:
    """Judges an aggregate over a row set; bit i of what it says is `outputs[i]` of the scan, about `attributes[i]`.

    `indexes` code its values, and the parts of dates and times that are asked for.
    """

    rows: RowSet
    aggregate: Aggregate
    indexes: tuple[OrderedIndex, ...]
    outputs: tuple[int, ...]
    attributes: tuple[Attribute, ...]

    @property
    def name(self) -> str:
        """The aggregate for people."""
        return self.indexes[0].attribute.whole.name

    def outputs_of(self, index: OrderedIndex) -> list[int]:
        """Return the outputs that an index judges."""
        pairs = zip(self.outputs, self.attributes, strict=True)
        return [output for output, attribute in pairs if attribute == index.attribute]

    def fresh(self) -> Judge:
        """Return a judge for another task."""
        return replace(self, indexes=tuple(index.fresh() for index in self.indexes))

    def passed(self, values: Ordinals) -> Bytes:
        """Return which conditions each value passes, shape (n, bytes): whole words would be mostly empty."""
        width = -(-len(self.outputs) // 8)
        tables = [np.ascontiguousarray(index.table.view(np.uint8)[:, :width]) for index in self.indexes]
        codes = [index.ordinal_codes(values) for index in self.indexes]
        found = [table.take(own, axis=0, mode="clip") for table, own in zip(tables, codes, strict=True)]
        passed: Bytes = reduce(np.bitwise_and, found)
        return passed


def _make_judge(scan: Scan, rows: RowSet, aggregate: Aggregate) -> Judge:
    own = [
        (place, output.condition)
        for place, output in enumerate(scan.outputs)
        if isinstance(output, ValueTest) and aggregated(output) == (rows, aggregate)
    ]
    conditions = [frozenset((condition,)) for _, condition in own]
    attributes = sorted({condition.attribute for _, condition in own}, key=lambda attribute: attribute.name)
    indexes = tuple(OrderedIndex(attribute, conditions) for attribute in attributes)
    judged = tuple(condition.attribute for _, condition in own)
    return Judge(rows, aggregate, indexes, tuple(place for place, _ in own), judged)


def compile_scan(scan: Scan, clock: Clock | None = None) -> ScanProgram:
    """Return a scan ready to run."""
    layout = make_layout(scan)
    there = np.array([[clause is not None for clause in layout.positions]], dtype=bool)
    indexes = tuple(make_index(attribute, layout.positions) for attribute in scan.judged)
    judged = dict.fromkeys(aggregated(output) for output in scan.outputs if isinstance(output, ValueTest))
    judges = tuple(_make_judge(scan, rows, aggregate) for rows, aggregate in judged)
    return ScanProgram(scan, layout, pack_booleans(there, layout.width), indexes, judges, clock)
