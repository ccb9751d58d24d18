"""Rows of many runs, held as columns and made into objects where somebody looks at them.

The log of a project grows with every run, while a refresh looks at two or three rows of each definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

RunT = TypeVar("RunT")
Numbers = npt.NDArray[np.int64]
Places = Numbers
Mask = npt.NDArray[np.bool_]

_AT_ONCE = 128  # neighbours are of one run: who looks at one soon looks at them, and a row alone costs as much as ten
_NOWHERE: Places = np.array([], dtype=np.int64)


class RunRows(Generic[RunT]):
    """What runs say of definitions, oldest first; a *place* is the number of a row."""

    def __init__(self, rows: pa.Table, id_column: str, make: Callable[[dict[str, Any]], RunT]) -> None:
        """Hold rows.

        Args:
            rows: One row for each run and definition, oldest run first.
            id_column: The column that names the definition.
            make: Makes an object of a row.
        """
        self._rows, self._id_column, self._make = rows.combine_chunks(), id_column, make
        self._made: dict[int, RunT] = {}
        self._numbers: dict[str, Numbers] = {}
        self._masks: dict[tuple[str, tuple[str, ...]], Mask] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._rows.num_rows)

    def __getitem__(self, place: int) -> RunT:
        """Return the object of one row."""
        if place not in self._made:
            start = place - place % _AT_ONCE
            found = self._rows.slice(start, _AT_ONCE).to_pylist()
            self._made |= {start + offset: self._make(row) for offset, row in enumerate(found)}
        return self._made[place]

    def __iter__(self) -> Iterator[RunT]:
        """Yield the objects of all rows."""
        return map(self._make, self._rows.to_pylist())

    def take(self, places: Places) -> list[RunT]:
        """Return the objects of some rows."""
        return [self[place] for place in places.tolist()]

    def of_run(self, run_id: str) -> list[RunT]:
        """Return the objects of the rows of one run."""
        return self.take(np.flatnonzero(self.are("run_id", run_id)))

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        values: list[Any] = self._rows[name].to_pylist()
        return values

    def numbers(self, name: str) -> Numbers:
        """Return the values of a column of whole numbers without missing ones."""
        if name not in self._numbers:
            self._numbers[name] = self._rows[name].cast(pa.int64()).to_numpy()
        return self._numbers[name]

    @cached_property
    def instants(self) -> Numbers:
        """The instant each row is for, in microseconds since 1970."""
        values: Numbers = self._rows["as_of"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        return values

    def are(self, name: str, *values: str) -> Mask:
        """Return which rows have one of some texts in a column."""
        if (name, values) not in self._masks:
            found = pc.is_in(self._rows[name].cast(pa.string()), value_set=pa.array(values, pa.string()))
            self._masks[name, values] = found.to_numpy(zero_copy_only=False)
        return self._masks[name, values]

    @property
    def ids(self) -> tuple[str, ...]:
        """The definitions there are rows of."""
        return tuple(self._places)

    def places(self, identity: str) -> Places:
        """Return the places of one definition's rows, oldest first."""
        return self._places.get(identity, _NOWHERE)

    @cached_property
    def _places(self) -> dict[str, Places]:
        if not len(self):
            return {}
        ids = self._rows[self._id_column].dictionary_encode().combine_chunks()
        codes = ids.indices.to_numpy()
        ends = np.cumsum(np.bincount(codes))
        return dict(zip(ids.dictionary.to_pylist(), np.split(np.argsort(codes, kind="stable"), ends[:-1]), strict=True))


def make_no_rows() -> RunRows[Any]:
    """Return what there is before the first run."""
    text, instant = pa.string(), pa.timestamp("us", "UTC")
    columns = {"run_id": text, "id": text, "status": text, "purpose": text, "as_of": instant}
    return RunRows(pa.schema({**columns, "snapshot_version": pa.int64()}).empty_table(), "id", dict)
