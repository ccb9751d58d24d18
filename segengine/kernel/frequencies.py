"""How often each value of an attribute occurs, and what follows exactly from it: percentiles, counts between bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.date_parts import to_instants
from segengine.kernel.ordinals import read_ordinals, text_values
from segengine.project.types import AttributeType, Ordinal

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.object_]


@dataclass(frozen=True)
class Frequencies:
    """The distinct values of an ordered attribute with how often each occurs.

    `values`: shape (n,), ascending ordinals, of times the instants they mean; Python integers where one is beyond
    int64. `counts`: shape (n,). `missing_count`: rows without a value; `invalid_count`: rows whose value no rule takes
    (infinite, out of range).
    """

    values: Values
    counts: Counts
    missing_count: int
    invalid_count: int

    @property
    def present_count(self) -> int:
        """How many rows have a value."""
        return int(self.counts.sum())

    def percentile(self, per_cent: int) -> Ordinal:
        """Return the smallest value that at least so many per cent (0 to 100) of the values are not above.

        It is a value that occurs, so it is exact for every type; 0 is the least, 100 the greatest. At least one value
        must be there.
        """
        so_far = np.cumsum(self.counts)
        rank = max(1, -(-per_cent * int(so_far[-1]) // 100))
        value: Ordinal = self.values[np.searchsorted(so_far, rank)]
        return value.item() if isinstance(value, np.generic) else value

    def count_between(self, edges: Sequence[Ordinal | None]) -> list[int]:
        """Return how many rows have a value in each half-open stretch between edges that follow each other.

        None at either end: without end.
        """
        before = np.concatenate([[0], np.cumsum(self.counts)])
        places = [self._place(edge, len(edges) - 1 == place) for place, edge in enumerate(edges)]
        found: list[int] = np.diff(before[places]).tolist()
        return found

    def _place(self, edge: Ordinal | None, is_last: bool) -> int:
        if edge is None:
            return len(self.values) if is_last else 0
        return int(np.searchsorted(self.values, edge))


def count_ordinals(stored: pa.Array, counts: Counts, type_: AttributeType, zone: str) -> Frequencies:
    """Return the frequencies of an ordered attribute.

    Args:
        stored: Values as stored; the same value may stand in several forms ("1" and "01" of a CSV).
        counts: How often each occurs, shape (n,).
        type_: What the values mean.
        zone: The project's time zone.

    Raises:
        BadValueError: A value is none of that type.
    """
    ordinals = read_ordinals(stored, type_)
    values: Values = ordinals.values
    there = np.ones(len(values), dtype=bool)
    if ordinals.missing is not None:
        there &= ~ordinals.missing
    missing_count = int(counts[~there].sum())
    invalid_count = 0
    if ordinals.invalid is not None:
        invalid_count = int(counts[ordinals.invalid].sum())
        there[ordinals.invalid] = False
    if ordinals.large:
        values = values.astype(object)
        values[list(ordinals.large)] = list(ordinals.large.values())
    elif type_.name == "timestamp_ntz":
        values = to_instants(ordinals.values.astype(np.int64, copy=False), type_.zone or zone)
    elif values.dtype == np.float64:
        values = np.add(values, 0.0, dtype=np.float64)  # there is one zero
    distinct, sums = _sum_by_value(values[there], counts[there])
    return Frequencies(distinct, sums, missing_count, invalid_count)


def _sum_by_value(values: Values, counts: Counts) -> tuple[Values, Counts]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    sums = np.add.reduceat(counts[order], starts) if len(ordered) else counts
    return ordered[starts], sums


@dataclass(frozen=True)
class TextFrequencies:
    """The most frequent texts, most frequent first and by code point among equals, and how many there are of all."""

    values: tuple[tuple[str, int], ...]
    distinct_count: int
    present_count: int
    missing_count: int


def count_texts(stored: pa.Array, counts: Counts, limit: int) -> TextFrequencies:
    """Return the frequencies of an attribute that is text, with the `limit` most frequent values."""
    texts = text_values(stored)
    there = pc.fill_null(pc.not_equal(texts, ""), False).to_numpy(zero_copy_only=False)
    grouped = pa.table({"text": texts, "n": counts}).filter(pa.array(there)).group_by("text").aggregate([("n", "sum")])
    pairs = zip(grouped.column("text").to_pylist(), grouped.column("n_sum").to_pylist(), strict=True)
    top = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:limit]
    return TextFrequencies(tuple(top), grouped.num_rows, int(counts[there].sum()), int(counts[~there].sum()))
