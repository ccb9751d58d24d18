"""Low, Medium and High of a dimension of activity: two cuts that make the levels as even as equal values allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.models.cells import FieldCells, count_numbers
from segengine.models.fields import Bins, Field, double_ranks, take_quantiles
from segengine.models.thresholds import end_of_day
from segengine.project.analysis import DimensionName
from segengine.project.types import Family, Ordinal

MOST_CANDIDATES = 400
_ENOUGH_DAYS = 20

Level = Literal["Low", "Medium", "High", "Unknown"]
Counts = npt.NDArray[np.int64]

_LEVELS: dict[int, tuple[Level, ...]] = {1: ("High",), 2: ("Low", "High"), 3: ("Low", "Medium", "High")}
_DIGITS = 12  # entropies that agree in so many are equal: their last digits may differ between machines


@dataclass(frozen=True)
class Dimension:
    """What customers are levelled by: recency is the time of the last activity, or the days since (a number)."""

    name: DimensionName
    field: Field

    @property
    def is_reversed(self) -> bool:
        """Whether little is High: few days since the last activity."""
        return self.name == "recency" and self.field.type.family is Family.NUMBER


@dataclass(frozen=True)
class Levels:
    """A dimension and its ascending cuts, each the last value of its level."""

    dimension: Dimension
    cuts: tuple[Ordinal, ...]

    @property
    def coding(self) -> Bins:
        """The codes of profiles: levels by ascending values, then missing ones."""
        return Bins(self.cuts)

    @property
    def names(self) -> tuple[Level, ...]:
        """What each code is called."""
        names = _LEVELS[len(self.cuts) + 1]
        return (*(names[::-1] if self.dimension.is_reversed else names), "Unknown")

    def bounds(self, code: int) -> tuple[Ordinal | None, Ordinal | None]:
        """Return the value that a level lies above, and its last value; None where it is open."""
        ends = (None, *self.cuts, None)
        return (ends[code], ends[code + 1]) if code <= len(self.cuts) else (None, None)


def choose_candidates(column: pa.ChunkedArray, field: Field) -> FieldCells:
    """Return the cells whose limits may become cuts: of up to 400 distinct values all, else even quantiles.

    Args:
        column: The values of a sample of those with activity.
        field: What the column is.
    """
    values, counts = count_numbers(column)
    if len(values) <= MOST_CANDIDATES:
        return FieldCells(field, Bins(tuple(values[:-1].tolist())))
    return FieldCells(field, Bins(tuple(take_quantiles(values, counts, MOST_CANDIDATES))))


def end_on_days(cells: FieldCells, zone: str) -> FieldCells:
    """Return cells of a time that end with local days, so that a rule names days; as they are where days are few."""
    if cells.field.type.family is not Family.TIMESTAMP:
        return cells
    try:
        ends = sorted({end_of_day(int(limit), zone) for limit in cells.limits})
    except OverflowError:  # no rule can name a day beyond the calendar
        return cells
    return FieldCells(cells.field, Bins(tuple(ends))) if len(ends) >= _ENOUGH_DAYS else cells


def choose_cuts(limits: Sequence[Ordinal], counts: Counts) -> tuple[Ordinal, ...]:
    """Return the two limits that make three levels most even (largest entropy); one or none where values are fewer.

    Args:
        limits: Ascending values, each the last of its stretch; after the last one there is a stretch more.
        counts: How many profiles are in each stretch, shape (len(limits) + 1,).
    """
    so_far = np.cumsum(counts)
    total = int(so_far[-1])
    before = so_far[:-1]
    ends = np.flatnonzero((before < total) & (np.diff(before, prepend=0) > 0))  # a cut leaves no level empty
    if len(ends) < 2:
        return tuple(limits[end] for end in ends.tolist())
    first, second = np.triu_indices(len(ends), 1)
    low, middle = before[ends[first]], before[ends[second]]
    shares = np.stack([low, middle - low, total - middle]) / total
    best = int(np.argmax(np.round(-(shares * np.log2(shares)).sum(axis=0), _DIGITS)))
    return limits[ends[first[best]]], limits[ends[second[best]]]


def rank_correlation(first: Counts, second: Counts) -> float:
    """Return how alike two columns of numbers rank the same profiles, -1 to 1; 0 where one has a single value.

    Equal values share their average rank; twice the ranks are whole numbers, so the order of rows does not matter.

    Source: Spearman, The proof and measurement of association between two things, 1904.
    """
    x, y = (double_ranks(values) for values in (first, second))

    def co_moment(a: Counts, b: Counts) -> int:
        return len(a) * int(np.dot(a, b)) - int(a.sum()) * int(b.sum())

    spread = co_moment(x, x) * co_moment(y, y)
    return float(co_moment(x, y) / spread**0.5) if spread else 0.0
