"""Cells that sets of customers are compared by: chosen on a sample of them all, counted exactly for all of them.

A number, day or time has up to 20 cells of about equal weight, text and booleans one for each frequent value and one
for all others; missing is a cell. The choice never looks at who is in which set, so a set's chance peculiarities cannot
choose the cells that show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.models.fields import Bins, Categories, Codes, Coding, Field, take_quantiles
from segengine.models.sums import sum_by_group
from segengine.models.thresholds import last_day
from segengine.project.literals import show_literal
from segengine.project.types import AttributeType, Family, Ordinal

MOST_BINS = 20
MOST_VALUES = 19
LEAST_EXPECTED = 5  # profiles that a value's cell is to hold in the smaller set

Counts = npt.NDArray[np.int64]
Groups = npt.NDArray[np.integer]

PARTS = pa.schema(
    [
        pa.field("field_number", pa.int32(), nullable=False),
        pa.field("group_number", pa.int32(), nullable=False),
        pa.field("cell_number", pa.int32(), nullable=False),
        pa.field("row_count", pa.int64(), nullable=False),
        pa.field("total", pa.string()),  # the sum of the values, a whole number: it may pass 64 bits
    ]
)


@dataclass(frozen=True)
class Cell:
    """A stretch of values: one value, those in `(above, at_most]` (None: open), all other values, or missing."""

    kind: Literal["value", "range", "others", "missing"]
    value: str | int | None = None
    above: Ordinal | None = None
    at_most: Ordinal | None = None


@dataclass(frozen=True)
class FieldCells:
    """A field and how it is cut."""

    field: Field
    coding: Coding

    @property
    def cell_count(self) -> int:
        """How many cells there are, those for other values and missing ones among them."""
        return self.coding.missing + 1

    @property
    def limits(self) -> tuple[Ordinal, ...]:
        """Of an ordered field the limits between the cells."""
        return self.coding.limits if isinstance(self.coding, Bins) else ()

    def encode(self, features: pa.RecordBatch) -> Codes:
        """Return the number of each profile's cell, shape (n,)."""
        return self.coding.encode(features.column(self.field.name))

    def list_cells(self) -> tuple[Cell, ...]:
        """Return what each cell holds."""
        if isinstance(self.coding, Categories):
            values = [Cell("value", value=value) for value in self.coding.values]
            return (*values, Cell("others"), Cell("missing"))
        limits = self.coding.limits
        ranges = zip((None, *limits), (*limits, None), strict=True)
        return (*(Cell("range", above=above, at_most=at_most) for above, at_most in ranges), Cell("missing"))


@dataclass(frozen=True)
class FieldCounts:
    """How many profiles of each group are in each cell of a field.

    `rows`: shape (groups, cells). `totals`: the exact sum of each group's values, whole numbers at the field's
    `exact_scale`; zeros where the field is not ordered.
    """

    cells: FieldCells
    rows: Counts
    totals: tuple[int, ...]


def choose_cells(sample: pa.Table, fields: Sequence[Field], smaller_count: int | None = None) -> tuple[FieldCells, ...]:
    """Return the cells of fields.

    Args:
        sample: Profiles of all sets that are compared, drawn without a look at which set they are in.
        fields: Columns of the sample.
        smaller_count: How many profiles the smaller of two sets has: a value has a cell of its own where at least
            `LEAST_EXPECTED` of these would have it if the sets did not differ. None: the most frequent values have one.
    """
    least = LEAST_EXPECTED * sample.num_rows / smaller_count if smaller_count else 0.0
    return tuple(FieldCells(field, _choose_coding(sample.column(field.name), field, least)) for field in fields)


def _choose_coding(column: pa.ChunkedArray, field: Field, least: float) -> Coding:
    if field.type.family is Family.BOOLEAN:
        return Categories((0, 1))
    if field.is_ordered:
        return Bins(tuple(take_quantiles(*count_numbers(column), MOST_BINS)))
    found = pc.value_counts(column.drop_null().combine_chunks())
    counts, values = found.field("counts").to_pylist(), found.field("values").to_pylist()
    pairs = sorted(zip(counts, values, strict=True), key=lambda pair: (-pair[0], pair[1]))
    kept = [value for count, value in pairs[:MOST_VALUES] if count >= least]
    if kept and 0 < sum(count for count, _ in pairs[len(kept) :]) < least:
        kept.pop()  # too few others for a cell of their own: the least frequent value joins them
    return Categories(tuple(kept))


def count_numbers(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.generic], Counts]:
    """Return the distinct values of an ordered field, ascending, and how often each occurs, both of shape (n,)."""
    found = pc.value_counts(column.drop_null().combine_chunks())
    values, counts = np.asarray(found.field("values")), np.asarray(found.field("counts"))
    order = np.argsort(values)
    return values[order], counts[order]


@dataclass(frozen=True)
class CellCounter:
    """Counts the profiles of groups by cells, batch by batch."""

    cells: tuple[FieldCells, ...]

    def count(self, features: pa.RecordBatch, groups: Groups) -> pa.RecordBatch:
        """Return the counts of a batch (`PARTS`), those that are not 0.

        Args:
            features: Rows of the feature table.
            groups: The group of each row, shape (n,), from 1; rows of group 0 are in none.
        """
        inside = np.flatnonzero(groups)
        if len(inside) < len(groups):
            features, groups = features.take(pa.array(inside)), groups[inside]
        parts = [self._count_field(place, features, groups.astype(np.int64)) for place in range(len(self.cells))]
        return merge_counts(parts)

    def _count_field(self, place: int, features: pa.RecordBatch, groups: Counts) -> pa.RecordBatch:
        cells = self.cells[place]
        pairs = groups * cells.cell_count + cells.encode(features)
        rows = np.bincount(pairs)
        found = np.flatnonzero(rows)
        totals: list[str | None] = [None] * len(found)
        if cells.field.is_ordered:
            sums = sum_by_group(features.column(cells.field.name), cells.field.type, pairs, len(rows))
            totals = [str(sums[pair]) for pair in found.tolist()]
        columns = [np.full(len(found), place), found // cells.cell_count, found % cells.cell_count, rows[found], totals]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, PARTS, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=PARTS)


def merge_counts(parts: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the sums of partial counts in one order: the same however the rows were parted."""
    keys = PARTS.names[:3]
    groups = pa.Table.from_batches(parts, PARTS).group_by(keys).aggregate([("row_count", "sum"), ("total", "list")])
    merged = groups.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    totals = [_sum_texts(texts) for texts in merged.column("total_list").to_pylist()]
    columns = [
        *(merged.column(name).combine_chunks() for name in (*keys, "row_count_sum")),
        pa.array(totals, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PARTS)


def _sum_texts(texts: Sequence[str | None]) -> str | None:
    if len(texts) == 1:
        return texts[0]
    return None if texts[0] is None else str(sum(int(text) for text in texts if text))


def tally_counts(
    parts: Iterable[pa.RecordBatch], cells: Sequence[FieldCells], group_count: int
) -> tuple[FieldCounts, ...]:
    """Return the counts of each field from partial ones; groups are numbered from 1 in these, from 0 in the result."""
    merged = merge_counts(parts)
    places, groups, numbers, counts = (np.asarray(merged.column(name)) for name in PARTS.names[:4])
    totals = [int(text or 0) for text in merged.column("total").to_pylist()]
    found = []
    for place, field_cells in enumerate(cells):
        rows = np.zeros((group_count, field_cells.cell_count), dtype=np.int64)
        own = np.flatnonzero(places == place)
        rows[groups[own] - 1, numbers[own]] = counts[own]
        sums = [0] * group_count
        for row in own.tolist():
            sums[groups[row] - 1] += totals[row]
        found.append(FieldCounts(field_cells, rows, tuple(sums)))
    return tuple(found)


def describe_cell(cell: Cell, type_: AttributeType, zone: str) -> str:
    """Return what a cell holds in words, floats short: `3 to 7`, `above 2.5 to 4`, `up to 2024-05-31`, `missing`."""
    if cell.kind in ("others", "missing"):
        return "any other" if cell.kind == "others" else "missing"
    if cell.kind == "value":
        return str(cell.value) if type_.family is Family.TEXT else ("yes" if cell.value else "no")
    is_whole = type_.name in ("integer", "date")
    first = cell.above + 1 if cell.above is not None and is_whole else cell.above
    start, end = (None if limit is None else _show_limit(limit, type_, zone) for limit in (first, cell.at_most))
    if start is None:
        return "any value" if end is None else f"up to {end}"
    if end is None:
        return f"{start} and more" if is_whole else f"above {start}"
    return end if start == end and is_whole else f"{start if is_whole else f'above {start}'} to {end}"


def _show_limit(limit: Ordinal, type_: AttributeType, zone: str) -> str:
    if type_.family is Family.TIMESTAMP and (day := last_day(int(limit), zone)):
        return day.isoformat()
    return f"{limit:.6g}" if type_.name in ("float", "double") else show_literal(limit, type_, zone)
