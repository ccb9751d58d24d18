"""Counting values that are errors (infinities, years in no calendar) for what they are in the way of.

Whether a definition fails must not depend on what a shared scan reads for others. So a value counts for an output, a
value or groups only where it is of an attribute they judge or aggregate, in a row within their own limits of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.date_parts import take_part
from segengine.kernel.ordinals import read_ordinals
from segengine.plan.scans import Groups, Limits, Scan, aggregates_of, asked_clauses, limits_of
from segengine.project.attributes import Attribute
from segengine.project.walk import aggregate_attributes

InvalidCounts = dict[tuple[int, str], int]  # (place among what is asked, column or aggregate) -> values


class BadValues:
    """The errors a scan meets; nothing is worked out before the first."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._counts: Counter[tuple[int, str, str]] = Counter()
        self._limits: dict[int, Limits] = {}

    def note_judged(self, attribute: Attribute, rows: pa.RecordBatch) -> None:
        """Count the errors of an attribute that conditions on rows are about."""
        places = [
            place
            for place, asked in enumerate(self._scan.asked)
            if any(condition.attribute == attribute for clause in asked_clauses(asked) for condition in clause)
        ]
        self._note(attribute, attribute.name, places, rows)

    def note_aggregated(self, attributes: Iterable[Attribute], rows: pa.RecordBatch) -> None:
        """Count the errors of attributes that are aggregated."""
        for attribute in attributes:
            places = [
                place
                for place, asked in enumerate(self._scan.asked)
                if any(attribute in aggregate_attributes(aggregate) for _, aggregate in aggregates_of(asked))
            ]
            self._note(attribute, "aggregated", places, rows)

    def note_dimension(self, attribute: Attribute, rows: pa.RecordBatch) -> None:
        """Count the errors of an attribute by which values are told apart."""
        places = [
            place
            for place, asked in enumerate(self._scan.asked)
            if isinstance(asked, Groups) and any(each.attribute == attribute for each in asked.dimensions)
        ]
        self._note(attribute, attribute.name, places, rows)

    def _note(self, attribute: Attribute, use: str, places: Sequence[int], rows: pa.RecordBatch) -> None:
        ordinals = read_ordinals(self._column(attribute, rows), attribute.whole.type)
        if attribute.part is not None:
            ordinals = take_part(ordinals, attribute.part)
        if ordinals.invalid is None:
            return
        bad = rows.take(pa.array(ordinals.invalid))
        inside: dict[Limits, int] = {}
        for place in places:
            if place not in self._limits:
                self._limits[place] = limits_of((self._scan.asked[place],), self._scan.columns)
            limits = self._limits[place]
            if limits not in inside:
                inside[limits] = self._count_inside(limits, bad)
            self._counts[place, attribute.whole.name, use] += inside[limits]

    def _count_inside(self, limits: Limits, rows: pa.RecordBatch) -> int:
        inside: npt.NDArray[np.bool_] = np.ones(rows.num_rows, dtype=bool)
        for attribute, ranges in limits:
            times = read_ordinals(self._column(attribute, rows), attribute.type)
            ((low, high),) = ranges.spans
            if times.missing is not None:
                inside &= ~times.missing
            if low is not None:
                inside &= times.values >= low
            if high is not None:
                inside &= times.values < high
        return int(inside.sum())

    def _column(self, attribute: Attribute, rows: pa.RecordBatch) -> pa.Array:
        return rows.column(rows.schema.get_field_index(self._scan.column_name(attribute)))

    def counts(self) -> InvalidCounts:
        """Return how many errors there were; where a column is judged and aggregated, it meets the same."""
        found: InvalidCounts = {}
        for (place, name, _), count in self._counts.items():
            if count:
                found[place, name] = max(count, found.get((place, name), 0))
        return found
