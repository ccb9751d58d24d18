"""What makes the customers of one segment different from others: fields by how far the distributions differ.

One score for all types, 0 to 1, without what chance makes of small segments and many values; whether a difference is
more than chance is decided over all fields together. Counts by cells (`segengine.models.cells`) are all it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from segengine.models.cells import Cell, FieldCounts
from segengine.models.divergence import find_significant, measure_divergence, measure_shift
from segengine.models.fields import Field
from segengine.models.sides import Sides
from segengine.models.sums import average
from segengine.project.types import AttributeType

LEAST_MEMBERS = 30
SLIGHT_SHIFT = 0.05  # of a shift below it no direction is said

_DIGITS = 12  # shares that differ by as much as others in so many digits differ equally

Direction = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class CellCount:
    """How many profiles of each side are in a cell, and their parts of the side, 0 to 1."""

    cell: Cell
    of_count: int
    against_count: int
    of_share: float
    against_share: float


@dataclass(frozen=True)
class Difference:
    """How a field differs between the sides.

    `score` with its 95 % interval `low` to `high`, 0 to 1, and `p_value` are None where nothing can be said: `note` has
    the reason. `shift`: of an ordered field, how much more often a value of the one side is above a value of the other
    than below it, -1 to 1; missing values aside. `of_average`, `against_average`: in the field's own unit (days and
    microseconds since 1970 of dates and times). `largest`: the place of the cell whose shares differ most.
    """

    field: str
    type: AttributeType
    cells: tuple[CellCount, ...]
    largest: int
    direction: Direction = ""
    shift: float | None = None
    of_average: float | None = None
    against_average: float | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    is_significant: bool = False
    note: str = ""


@dataclass(frozen=True)
class Differentiators:
    """The differences of a comparison: those that are more than chance first, each kind by score."""

    sides: Sides
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]


def find_differentiators(counts: Sequence[FieldCounts], sides: Sides, seed_text: str) -> Differentiators:
    """Return the differences between two sides, ranked.

    Args:
        counts: Of each field, the counts of the two sides.
        sides: Who they are.
        seed_text: What chance is drawn from; with the same text and counts the result is the same.
    """
    found = [_compare(one, f"{seed_text}/{one.cells.field.name}") for one in counts]
    tested = [place for place, one in enumerate(found) if one.p_value is not None]
    stands = find_significant([found[place].p_value or 0.0 for place in tested])
    for place, is_significant in zip(tested, stands, strict=True):
        found[place] = replace(found[place], is_significant=is_significant)
    found.sort(key=lambda one: (not one.is_significant, one.score is None, -(one.score or 0.0), one.field))
    warnings = [sides.warning] if sides.warning else []
    smaller = min((sides.of_count, sides.of), (sides.against_count, sides.against))
    if smaller[0] < LEAST_MEMBERS:
        many = f"{smaller[0]} member{'s' if smaller[0] != 1 else ''}"
        warnings.append(f'"{smaller[1]}" has {many} to compare: under {LEAST_MEMBERS} there are counts, but no scores.')
    return Differentiators(sides, tuple(found), tuple(warnings))


def _compare(counts: FieldCounts, seed_text: str) -> Difference:
    field, rows = counts.cells.field, counts.rows
    sizes = rows.sum(axis=1)
    used = np.flatnonzero(rows.any(axis=0)).tolist()
    shares = rows / np.maximum(sizes, 1)[:, np.newaxis]
    listed = counts.cells.list_cells()
    cells = tuple(CellCount(listed[cell], *rows[:, cell].tolist(), *shares[:, cell].tolist()) for cell in used)
    difference = Difference(field.name, field.type, cells, _find_largest(cells))
    if field.is_ordered:
        difference = _add_direction(difference, rows[:, :-1], counts.totals, field)
    if note := _find_gap(cells, int(sizes.min())):
        return replace(difference, note=note)
    ordered_cells = sum(cell.cell.kind == "range" for cell in cells)
    measured = measure_divergence(rows[0, used], rows[1, used], seed_text, ordered_cells)
    return replace(difference, score=measured.score, low=measured.low, high=measured.high, p_value=measured.p_value)


def _find_largest(cells: Sequence[CellCount]) -> int:
    """Return the place of the cell whose shares differ most; of equals the more frequent one."""

    def gap(place: int) -> tuple[float, float]:
        cell = cells[place]
        return round(abs(cell.of_share - cell.against_share), _DIGITS), cell.of_share

    return max(range(len(cells)), key=gap, default=0)


def _find_gap(cells: Sequence[CellCount], smaller_count: int) -> str:
    """Return why a field cannot be scored, or an empty text."""
    if len(cells) == 1 or not cells:
        kind = cells[0].cell.kind if cells else "missing"
        return {"missing": "missing everywhere", "others": "no value is frequent enough to compare"}.get(
            kind, "one value (nearly) everywhere"
        )
    return f"fewer than {LEAST_MEMBERS} on one side" if smaller_count < LEAST_MEMBERS else ""


def _add_direction(
    difference: Difference, rows: npt.NDArray[np.int64], totals: Sequence[int], field: Field
) -> Difference:
    present = rows.sum(axis=1).tolist()
    if not min(present):
        return difference
    shift = float(measure_shift(rows[0], rows[1]))
    direction: Direction = "" if abs(shift) < SLIGHT_SHIFT else "higher" if shift > 0 else "lower"
    averages = [average(total, count, field.type) for total, count in zip(totals, present, strict=True)]
    return replace(difference, shift=shift, direction=direction, of_average=averages[0], against_average=averages[1])
