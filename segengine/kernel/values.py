"""The values of rows as aggregates take them, and rows by what they are aggregated by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.ordinals import BadValueError, Ordinals, read_ordinals
from segengine.project.attributes import Attribute


class BadColumnError(Exception):
    """A column has values that are not of its declared type."""

    def __init__(self, column: str, type_: str, count: int) -> None:
        super().__init__(column, type_, count)
        self.column, self.type, self.count = column, type_, count


class Columns:
    """The columns of one batch; each becomes ordinals once."""

    def __init__(self, array: Callable[[Attribute], pa.Array]) -> None:
        self.array = array
        self._ordinals: dict[Attribute, Ordinals] = {}

    def ordinals(self, attribute: Attribute) -> Ordinals:
        """Return the ordinals of an attribute, not to be changed.

        Raises:
            BadColumnError: A value is not of the attribute's declared type.
        """
        if attribute not in self._ordinals:
            try:
                self._ordinals[attribute] = read_ordinals(self.array(attribute), attribute.type)
            except BadValueError as error:
                raise BadColumnError(attribute.name, str(attribute.type), error.count) from None
        return self._ordinals[attribute]


_ENTRY_BYTES = 128  # of a value and its number, without the letters of a text


class Numbered:
    """Distinct values by number, the same in all batches of a task: 0, 1, ... in the order they come."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._text_bytes = 0

    @property
    def byte_count(self) -> int:
        """About what the values take."""
        return _ENTRY_BYTES * len(self._numbers) + self._text_bytes

    def clear(self) -> None:
        """Forget all values: numbers begin with 0 again."""
        self._numbers.clear()
        self._text_bytes = 0

    def numbers(self, values: Sequence[object]) -> npt.NDArray[np.int64]:
        """Return the number of each value."""
        known = self._numbers
        return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)

    def of_array(self, values: AnyArray) -> npt.NDArray[np.int64]:
        """Return the number of each value of an array; equal ones are looked up once."""
        if values.dtype == object:
            return self.numbers(values.tolist())
        distinct, places = np.unique(values, return_inverse=True)
        return self.numbers(distinct.tolist())[places]

    def of_texts(self, texts: pa.Array) -> npt.NDArray[np.int64]:
        """Return the number of each text; -1 where there is none, or an empty one."""
        encoded = texts.dictionary_encode()
        codes = np.asarray(encoded.indices.fill_null(len(encoded.dictionary)))
        known_count = len(self._numbers)
        found = [-1 if text is None or text == "" else self._number(text) for text in encoded.dictionary.to_pylist()]
        numbers: npt.NDArray[np.int64] = np.array([*found, -1], dtype=np.int64)[codes]
        if new_count := len(self._numbers) - known_count:
            self._text_bytes += encoded.dictionary.nbytes * new_count // len(found)
        return numbers

    def _number(self, value: object) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self) -> list[object]:
        """Return all values in the order of their numbers."""
        return list(self._numbers)


@dataclass(frozen=True)
class Texts:
    """Texts of rows that become Python's own only where they are asked for; `order`: the rows' places in `array`."""

    array: pa.Array
    order: AnyArray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.array if self.order is None else self.order)

    def __getitem__(self, rows: AnyArray) -> AnyArray:
        """Return the texts of some rows, an array of objects."""
        wanted = rows if self.order is None else self.order[rows]
        texts: AnyArray = self.array.take(pa.array(wanted)).to_numpy(zero_copy_only=False)
        return texts

    def taken(self, order: AnyArray) -> Texts:
        """Return the texts in another order."""
        return Texts(self.array, order if self.order is None else self.order[order])


@dataclass(frozen=True)
class Values:
    """A column's values as aggregates take them.

    `data`: shape (n,), int64, float64, Python integers or texts; `there`: shape (n,), or None where nothing is missing.
    """

    data: AnyArray | Texts
    there: npt.NDArray[np.bool_] | None

    def taken(self, order: AnyArray) -> Values:
        """Return the values in another order."""
        data = self.data.taken(order) if isinstance(self.data, Texts) else self.data.take(order, mode="clip")
        return Values(data, None if self.there is None else self.there.take(order, mode="clip"))

    def at(self, rows: AnyArray | slice) -> AnyArray:
        """Return the values of some rows as an array."""
        if isinstance(self.data, Texts):
            return self.data[np.arange(len(self.data))[rows]]
        return self.data[rows]


def joined_values(parts: Sequence[Values]) -> Values:
    """Return the values of several batches, none of them reordered, as one."""
    texts = [part.data.array for part in parts if isinstance(part.data, Texts)]
    data = Texts(pa.concat_arrays(texts)) if texts else np.concatenate([part.data for part in parts])
    if all(part.there is None for part in parts):
        return Values(data, None)
    there = [np.ones(len(part.data), dtype=bool) if part.there is None else part.there for part in parts]
    return Values(data, np.concatenate(there))


@dataclass(frozen=True)
class Groups:
    """Rows of one batch by profile: `places` (g,) each once, `starts` (g,) the first row of each, `count` rows."""

    places: AnyArray
    starts: AnyArray
    count: int

    @property
    def lengths(self) -> AnyArray:
        """The number of rows of each."""
        return np.diff(np.append(self.starts, self.count))


def make_groups(places: AnyArray) -> Groups:
    """Return the groups of rows that lie beside each other where they have the same place."""
    starts = np.concatenate([[0], np.flatnonzero(places[1:] != places[:-1]) + 1])
    return Groups(places[starts], starts, len(places))


def drop_room(states: AnyArray, room: int) -> AnyArray:
    """Return the states of the places below `room`; the memory of the others is given back, not copied around.

    Nothing else may look into these states any more.
    """
    states.resize((room, *states.shape[1:]), refcheck=False)
    return states


def with_room(states: AnyArray, room: int) -> AnyArray:
    """Return states with room for so many places, 0 at first; pages that nobody touches cost nothing."""
    roomy: AnyArray = np.zeros((room, *states.shape[1:]), dtype=states.dtype)
    roomy[: len(states)] = states
    return roomy
