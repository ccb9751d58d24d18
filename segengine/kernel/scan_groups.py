"""All values by dimensions of one scan: reading the dimensions, the groups, and the room they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.aggregates import ValueKey, ValueReader, readings
from segengine.kernel.aggregation import Lanes
from segengine.kernel.arithmetic import Clock
from segengine.kernel.groups import DimensionReader, GroupTable
from segengine.kernel.values import Values
from segengine.plan.scans import MAX_STATE_BYTES, Scan

NOBODY = 0  # the key of rows that reach no profile; its bucket, 0, is no bucket of profiles
_BUDGET = MAX_STATE_BYTES // 4  # of distinct values; to hand them on takes as much again


class ScanGroups:
    """The groups of a scan, by their number there.

    `dimensions`: the readers of the dimensions, in the order in which their numbers are to be given.
    """

    def __init__(self, scan: Scan, readers: Mapping[ValueKey, ValueReader], clock: Clock | None) -> None:
        """Prepare empty tables.

        Args:
            scan: What to answer.
            readers: How the values that are aggregated are read.
            clock: The time of the run.
        """
        self._groups = scan.groups
        self._readers = [[DimensionReader(each, clock) for each in groups.dimensions] for groups in scan.groups]
        self.dimensions = [reader for own in self._readers for reader in own]
        self._numbered = {key: reader.numbered for key, reader in readers.items()}
        # What profiles count too stays: their states have the numbers.
        kept = {reading.key for _, aggregate in scan.aggregates for reading in readings(aggregate)}
        self._own = [numbered for key, numbered in self._numbered.items() if key not in kept]
        self._own += [reader.numbered for reader in self.dimensions]
        self._tables = self._fresh_tables()

    def _fresh_tables(self) -> list[GroupTable]:
        return [
            GroupTable(groups, [reader.numbered for reader in own], self._numbered)
            for groups, own in zip(self._groups, self._readers, strict=True)
        ]

    def __len__(self) -> int:
        """Return how many of the scan's questions are by dimensions."""
        return len(self._groups)

    @property
    def keeps_orphans(self) -> bool:
        """Whether rows that reach no profile count for some."""
        return any(not groups.per_profile or groups.orphans for groups in self._groups)

    @property
    def is_full(self) -> bool:
        """Whether the distinct values take all the room they may."""
        values, pairs = (sum(each.byte_count for each in own) for own in (self._own, self._tables))
        return values + pairs > _BUDGET

    def add(
        self,
        keys: npt.NDArray[np.int64],
        lanes: Lanes,
        numbers: Sequence[Values],
        values: Mapping[ValueKey, Values],
    ) -> None:
        """Take in the rows of a batch.

        Args:
            keys: The profile of each row.
            lanes: Which rows are in each row set.
            numbers: Of each of the `dimensions` the numbers of the rows' values.
            values: What the aggregates read of each row.
        """
        left = iter(numbers)
        for groups, table in zip(self._groups, self._tables, strict=True):
            own = [next(left).at(slice(None)) for _ in groups.dimensions]
            rows = lanes.rows(groups.rows)
            if groups.per_profile and not groups.orphans:
                rows = rows[keys[rows] != NOBODY]
            if len(rows):
                table.add(keys, own, rows, lanes.mask, values)

    def states(self, number: int) -> pa.RecordBatch | None:
        """Return the states of groups (`state_schema`); None where there was no row."""
        states = self._tables[number].states()
        return states if states.num_rows else None

    def take(self) -> dict[int, pa.RecordBatch]:
        """Return the states of all groups that had a row, by number, and forget them."""
        found = {number: states for number in range(len(self)) if (states := self.states(number)) is not None}
        for numbered in self._own:
            numbered.clear()
        self._tables = self._fresh_tables()
        return found
