"""Values by dimensions: states of groups that tasks hand on, their merging, and the finished groups.

A group is numbered when its first row comes; the state of its aggregates lies at that number. A profile, where values
are by profile too, is one more dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.aggregates import DistinctCounts, ValueKey, aggregate_type, readings, value_batch
from segengine.kernel.aggregation import Aggregation, Wanted
from segengine.kernel.arithmetic import Clock, stored_type, to_arrow
from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.date_parts import first_days, local_days, take_part
from segengine.kernel.narrow import widen
from segengine.kernel.ordinals import Ordinals, read_ordinals, text_values
from segengine.kernel.packed import pack_pairs, unpack_pairs
from segengine.kernel.states import absorb_states, state_arrays, state_fields
from segengine.kernel.values import Columns, Numbered, Values, make_groups
from segengine.kernel.values import Groups as RowGroups
from segengine.plan.rows import RowSet
from segengine.plan.scans import Groups
from segengine.project.measure import Dimension
from segengine.project.types import AttributeType, Family

Integers = npt.NDArray[np.int64]
KEY = "profile_key"
_INT64 = np.iinfo(np.int64)


def state_schema(groups: Groups) -> pa.Schema:
    """Return the schema of states: `profile_key` where values are by profile, `d0`, ... the dimensions, the states."""
    fields = [pa.field(KEY, pa.int64())] if groups.per_profile else []
    fields += [pa.field(f"d{place}", stored_type(each.type)) for place, each in enumerate(groups.dimensions)]
    for number, (_, aggregate) in enumerate(wanted_values(groups)):
        fields += state_fields(number, aggregate)
    return pa.schema(fields)


def merge_states(groups: Groups, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the states of several tasks as one of each group.

    Columns are found by name; those that the groups do not have (`profile_key`, if they are not by profile) are left
    out, and groups equal in the rest become one.
    """
    found = [batch for batch in batches if batch.num_rows]
    if len(found) == 1 and found[0].schema.names == state_schema(groups).names:
        return found[0]
    return _merged(groups, found).states()


def finish_states(groups: Groups, *batches: pa.RecordBatch) -> pa.RecordBatch:
    """Return the groups of all states with their values: columns `v0`, ...; overflow as in `value_batch`."""
    return _merged(groups, batches).finished()


def mask_states(groups: Groups, batch: pa.RecordBatch, masks: Sequence[npt.NDArray[np.bool_]]) -> pa.RecordBatch:
    """Return states that are those of no rows for the values of groups whose mask is false; one mask for each value."""
    wanted = wanted_values(groups)
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for each, mask in zip(groups.values, masks, strict=True):
        number = wanted.index(each)
        for field in state_fields(number, each[1]):
            columns[field.name] = pc.if_else(pa.array(mask), columns[field.name], pa.scalar(None, field.type))
    return pa.record_batch(columns)


def _merged(groups: Groups, batches: Iterable[pa.RecordBatch]) -> GroupTable:
    table = GroupTable(groups, [Numbered() for _ in groups.dimensions], _own_numbers(groups))
    for batch in batches:
        if batch.num_rows:
            table.absorb(batch)
    return table


def wanted_values(groups: Groups) -> tuple[Wanted, ...]:
    """Return what is aggregated, equal ones once; their places are the numbers of the states."""
    return tuple(dict.fromkeys(groups.values))


def _own_numbers(groups: Groups) -> dict[ValueKey, Numbered]:
    return {reading.key: Numbered() for _, aggregate in groups.values for reading in readings(aggregate)}


class DimensionReader:
    """Reads the values of a dimension as numbers: 0 where missing, else one more than in `numbered`."""

    def __init__(self, dimension: Dimension, clock: Clock | None) -> None:
        self.attribute = dimension.attribute
        self.numbered = Numbered()
        self.invalid_count = 0
        self._dimension = dimension
        self._clock = clock

    def read(self, columns: Columns) -> Values:
        """Return the numbers of a batch.

        Raises:
            BadColumnError: A value is not of its attribute's declared type.
        """
        whole = self._dimension.attribute.whole
        if whole.type.family is Family.TEXT:
            return Values(self.numbered.of_texts(text_values(columns.array(whole))) + 1, None)
        ordinals = self._taken(columns.ordinals(whole))
        if ordinals.invalid is not None:
            self.invalid_count += len(ordinals.invalid)
        return Values(_numbers(ordinals, self.numbered), None)

    def _taken(self, ordinals: Ordinals) -> Ordinals:
        attribute, period = self._dimension.attribute, self._dimension.period
        if attribute.part is not None:
            return take_part(ordinals, attribute.part)
        if period is None:
            return ordinals
        if attribute.type.family is Family.TIMESTAMP and self._clock is None:
            raise ValueError("periods of times need the project's time zone")
        return first_days(local_days(ordinals, attribute.type, self._clock.zone if self._clock else "UTC"), period)


def _numbers(ordinals: Ordinals, numbered: Numbered) -> Integers:
    """Return the numbers of dimension values; there is one zero of floats."""
    gaps = np.zeros(len(ordinals.values), dtype=bool) if ordinals.missing is None else ordinals.missing.copy()
    if ordinals.invalid is not None:
        gaps[ordinals.invalid] = True
    values: AnyArray = np.where(gaps, 0, ordinals.values)
    if ordinals.large:
        values = values.astype(object)
        values[list(ordinals.large)] = list(ordinals.large.values())
    return np.where(gaps, 0, numbered.of_array(values) + 1)


class PairNumbers:
    """Dense numbers of pairs of whole numbers, each below 2**31, in the order they come."""

    def __init__(self) -> None:
        self._sorted: Integers = np.zeros(0, dtype=np.int64)
        self._number_of: Integers = np.zeros(0, dtype=np.int64)
        self._parts: list[Integers] = []

    def of_pairs(self, first: Integers, second: Integers) -> Integers:
        """Return the number of each pair, shape (n,)."""
        distinct, places = np.unique(pack_pairs(first, second), return_inverse=True)
        return self.of_distinct(distinct)[places]

    def of_distinct(self, packed: Integers) -> Integers:
        """Return the number of each packed pair; they are sorted, and each there once."""
        places = np.searchsorted(self._sorted, packed)
        known = places < len(self._sorted)
        known[known] = self._sorted[places[known]] == packed[known]
        new = packed[~known]
        if len(new):
            first = len(self._sorted)
            self._parts.append(new)
            self._number_of = np.insert(self._number_of, places[~known], np.arange(first, first + len(new)))
            self._sorted = np.insert(self._sorted, places[~known], new)
            places = np.searchsorted(self._sorted, packed)
        return self._number_of[places]

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self._sorted)

    def pairs(self) -> tuple[Integers, Integers]:
        """Return the two sides of all pairs in the order of their numbers."""
        packed = np.concatenate([np.zeros(0, dtype=np.int64), *self._parts])
        return unpack_pairs(packed)


class GroupTable:
    """The groups of one task and the states of their aggregates."""

    def __init__(self, groups: Groups, dimensions: Sequence[Numbered], numbered: Mapping[ValueKey, Numbered]) -> None:
        """Prepare an empty table.

        Args:
            groups: What is asked.
            dimensions: The values of each dimension by number.
            numbered: The distinct values of columns, where these are counted.
        """
        self._groups = groups
        self._wanted = wanted_values(groups)
        self._aggregation = Aggregation(self._wanted)
        accumulators = [self._aggregation.accumulator(wanted) for wanted in self._wanted]
        self._distinct = [each for each in accumulators if isinstance(each, DistinctCounts)]
        self._room = 0
        self._dimensions = dimensions
        self._numbered = numbered
        self._combined = [PairNumbers() for _ in dimensions[1:]]
        self._numbers = PairNumbers()

    def add(
        self,
        keys: Integers,
        dimensions: Sequence[Integers],
        rows: AnyArray,
        mask_of: Callable[[RowSet], npt.NDArray[np.bool_]],
        values: Mapping[ValueKey, Values],
    ) -> None:
        """Take in rows of a batch.

        Args:
            keys: The profile of each row of the batch.
            dimensions: For each dimension the number of each row's value; 0: missing.
            rows: The rows that count, at least one.
            mask_of: Returns which rows of the batch are in a row set.
            values: What the aggregates read of each row.
        """
        order, groups = self._grouped(keys[rows], [numbers[rows] for numbers in dimensions])
        order = rows[order]
        places = np.repeat(groups.places, groups.lengths)
        read = {reading.key for _, aggregate in self._wanted for reading in readings(aggregate)}
        taken = {key: values[key].taken(order) for key in read}
        self._aggregation.add(places, lambda row_set: np.flatnonzero(mask_of(row_set)[order]), taken)

    def absorb(self, batch: pa.RecordBatch) -> None:
        """Take in states, at least one."""
        keys = np.zeros(batch.num_rows, dtype=np.int64)
        if self._groups.per_profile:
            keys = batch.column(KEY).to_numpy(zero_copy_only=False)
        dimensions = []
        for place, (dimension, numbered) in enumerate(zip(self._groups.dimensions, self._dimensions, strict=True)):
            array = batch.column(f"d{place}")
            if dimension.type.family is Family.TEXT:
                dimensions.append(numbered.of_texts(text_values(array)) + 1)
            else:
                dimensions.append(_numbers(read_ordinals(array, dimension.type), numbered))
        order, groups = self._grouped(keys, dimensions)
        for number, wanted in enumerate(self._wanted):
            arrays = [batch.column(field.name) for field in state_fields(number, wanted[1])]
            absorb_states(self._aggregation.accumulator(wanted), arrays, self._numbers_of(wanted), order, groups)

    def _grouped(self, keys: Integers, dimensions: Sequence[Integers]) -> tuple[AnyArray, RowGroups]:
        """Return the order of rows by group, and the groups."""
        combined = dimensions[0] if dimensions else np.zeros(len(keys), dtype=np.int64)
        for pairs, numbers in zip(self._combined, dimensions[1:], strict=True):
            combined = pairs.of_pairs(combined, numbers)
        packed = pack_pairs(keys if self._groups.per_profile else np.zeros_like(keys), combined)
        order = np.argsort(packed)
        found = make_groups(packed[order])
        groups = RowGroups(self._numbers.of_distinct(found.places), found.starts, found.count)
        if len(self._numbers) > self._room:
            self._room = max(len(self._numbers), 2 * self._room)
            self._aggregation.grow(self._room)
        return order, groups

    def _numbers_of(self, wanted: Wanted) -> Numbered:
        """Return the distinct values of what an aggregate reads; of rows alone there are none."""
        read = readings(wanted[1])
        return self._numbered[read[0].key] if read else Numbered()

    @property
    def byte_count(self) -> int:
        """What the pairs of groups and distinct values take."""
        return sum(counts.byte_count for counts in self._distinct)

    def states(self) -> pa.RecordBatch:
        """Return the groups with their states (`state_schema`)."""
        arrays = list(self._named())
        for wanted in self._wanted:
            accumulator, numbered = self._aggregation.accumulator(wanted), self._numbers_of(wanted)
            arrays += state_arrays(accumulator, wanted[1], numbered, len(self._numbers))
        return pa.record_batch(arrays, schema=state_schema(self._groups))

    def finished(self) -> pa.RecordBatch:
        """Return the groups with their values."""
        every = slice(0, len(self._numbers))
        found = [(self._aggregation.result(wanted, every), aggregate_type(wanted[1])) for wanted in self._groups.values]
        values = widen(value_batch(found))
        schema = pa.schema([*list(state_schema(self._groups))[: self._named_count], *values.schema])
        return pa.record_batch([*self._named(), *values.columns], schema=schema.with_metadata(values.schema.metadata))

    @property
    def _named_count(self) -> int:
        return len(self._dimensions) + self._groups.per_profile

    def _named(self) -> Iterator[pa.Array]:
        """Yield what names the groups: the profile's key, then the dimensions."""
        keys, combined = self._numbers.pairs()
        if self._groups.per_profile:
            yield pa.array(keys)
        numbers: list[Integers] = []
        for pairs in reversed(self._combined):
            firsts, seconds = pairs.pairs()
            numbers.append(seconds[combined])
            combined = firsts[combined]
        numbers.append(combined)
        for dimension, numbered, own in zip(self._groups.dimensions, self._dimensions, reversed(numbers), strict=False):
            distinct = _stored(numbered.values(), dimension.type)
            yield distinct.take(pa.array(own - 1, mask=own == 0))


def _stored(values: Sequence[object], type_: AttributeType) -> pa.Array:
    """Return dimension values, texts or ordinals, in the type they are stored in."""
    if type_.family is Family.TEXT:
        return pa.array(values, stored_type(type_))
    if type_.name in ("float", "double"):
        return to_arrow(Ordinals(np.array(values, dtype=np.float64), None), type_)
    whole = [value if isinstance(value, int) else 0 for value in values]
    large = {place: value for place, value in enumerate(whole) if not _INT64.min <= value <= _INT64.max}
    small = np.array([0 if place in large else value for place, value in enumerate(whole)], dtype=np.int64)
    return to_arrow(Ordinals(small, None, large), type_)
