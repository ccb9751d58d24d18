"""How fields are coded: thresholds that read well, the most frequent values, and what is of no use and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.models.fields import Bins, Categories, Coding, Field
from segengine.models.matrix import rank_values
from segengine.models.shares import show_share
from segengine.models.thresholds import round_threshold
from segengine.project.types import Family, Ordinal

BIN_COUNT = 16
MOST_VALUES = 100
_WINDOW = 1 / 4  # a threshold may move by so much of a bin to read well
_LEAST_COVERED = 0.5
_FEW_ROWS = 1_000  # fewer whole numbers may well all differ by chance
_MANY_WORDS = 3


@dataclass(frozen=True)
class LeftOut:
    """A field that is not looked at, and why, in words for a marketer."""

    field: str
    reason: str


def find_flaw(column: pa.Array, field: Field) -> str:
    """Return why a field is of no use to a model, '' where it is of use.

    Args:
        column: A sample of its values.
        field: Its name and type.
    """
    if field.type.family is Family.UNSUPPORTED:
        return f"its type {field.type} is not one that rules know"
    counts = sorted((count.as_py() for count in pc.value_counts(column.drop_null()).field("counts")), reverse=True)
    known, distinct = sum(counts), len(counts)
    if not known:
        return "is missing everywhere"
    if distinct == 1:
        return "" if column.null_count else "has the same value everywhere"
    if field.is_ordered:
        is_id = field.type.name == "integer" and distinct == known >= _FEW_ROWS
        return "looks like an id: no two customers have the same" if is_id else ""
    if distinct <= MOST_VALUES:
        return ""
    if distinct > known / 2:
        words = pc.mean(pc.count_substring(column, " ")).as_py() + 1
        return "is free text" if words >= _MANY_WORDS else "looks like an id: most customers have a value of their own"
    covered = sum(counts[:MOST_VALUES]) / known
    if covered < _LEAST_COVERED:
        share = show_share(covered)
        return f"has too many values: {distinct:,}, and the {MOST_VALUES} most frequent cover only {share}"
    return ""


def choose_coding(column: pa.Array, field: Field, zone: str, bin_count: int = BIN_COUNT) -> Coding:
    """Return the coding of a field: bins with thresholds that read well, or its most frequent values.

    Args:
        column: A sample of its values; their order is of no matter.
        field: Its name and type.
        zone: The project's time zone.
        bin_count: At most so many bins.
    """
    if field.is_ordered:
        return Bins(_choose_limits(column, field, zone, bin_count))
    if field.type.family is Family.BOOLEAN:
        return Categories((0, 1))
    return Categories(tuple(sorted(rank_values(column)[:MOST_VALUES])))


def _choose_limits(column: pa.Array, field: Field, zone: str, bin_count: int) -> tuple[Ordinal, ...]:
    values, counts = np.unique(np.asarray(column.drop_null()), return_counts=True)
    so_far = np.cumsum(counts)
    limits: set[Ordinal] = set()
    for cut in range(1, bin_count) if len(values) else ():
        window = (np.array([cut - _WINDOW, cut + _WINDOW]) / bin_count) * so_far[-1]
        low, high = values[np.searchsorted(so_far, window)].tolist()
        try:
            limits.add(round_threshold(low, high, field.type, zone))
        except OverflowError:  # no rule can name a day beyond the calendar
            continue
    return tuple(sorted(limit for limit in limits if limit < values[-1]))
