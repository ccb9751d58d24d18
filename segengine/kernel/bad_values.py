"""Counting values that are errors (infinities, years in no calendar) for the outputs they are in the way of.

Whether a segment fails must not depend on what a shared scan reads for others. So a value counts for an output only
where it is of an attribute the output judges or aggregates, in a row within the output's own limits of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.date_parts import take_part
from segengine.kernel.ordinals import read_ordinals
from segengine.plan.scans import Limits, Scan, ValueTest, aggregated, limits_of, output_row_sets
from segengine.project.model import Aggregate, Attribute

OutputCounts = dict[tuple[int, str], int]  # (output, column or aggregate) -> values


class BadValues:
    """The errors a scan meets; nothing is worked out before the first."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._counts: Counter[tuple[int, str, str]] = Counter()
        self._limits: dict[int, Limits] = {}

    def note_judged(self, attribute: Attribute, rows: pa.RecordBatch) -> None:
        """Count the errors of an attribute that conditions on rows are about."""
        outputs = [
            place
            for place, output in enumerate(self._scan.outputs)
            if any(condition.attribute == attribute for clause in output_row_sets(output) for condition in clause)
        ]
        self._note(attribute, attribute.name, outputs, rows)

    def note_aggregated(self, aggregates: Sequence[Aggregate], rows: pa.RecordBatch) -> None:
        """Count the errors of an attribute for several aggregates of it, which take its values alike."""
        outputs = [
            place
            for place, output in enumerate(self._scan.outputs)
            if isinstance(output, ValueTest) and aggregated(output)[1] in aggregates
        ]
        self._note(aggregates[0].of, f"{aggregates[0].function} of it", outputs, rows)

    def _note(self, attribute: Attribute, use: str, outputs: Sequence[int], rows: pa.RecordBatch) -> None:
        ordinals = read_ordinals(self._column(attribute, rows), attribute.whole.type)
        if attribute.part is not None:
            ordinals = take_part(ordinals, attribute.part)
        if ordinals.invalid is None:
            return
        bad = rows.take(pa.array(ordinals.invalid))
        inside: dict[Limits, int] = {}
        for output in outputs:
            if output not in self._limits:
                self._limits[output] = limits_of((self._scan.outputs[output],), self._scan.columns)
            limits = self._limits[output]
            if limits not in inside:
                inside[limits] = self._count_inside(limits, bad)
            self._counts[output, attribute.whole.name, use] += inside[limits]

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

    def counts(self) -> OutputCounts:
        """Return how many errors there were; where an output judges and aggregates a column, it meets the same."""
        found: OutputCounts = {}
        for (output, name, _), count in self._counts.items():
            if count:
                found[output, name] = max(count, found.get((output, name), 0))
        return found
