"""From what scans keep of rows to the values that measures store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.aggregates import drop_overflow
from segengine.kernel.arithmetic import compute, stored_type, to_arrow
from segengine.kernel.date_parts import to_local
from segengine.kernel.ordinals import Ordinals, read_ordinals
from segengine.kernel.scan import KEY
from segengine.project.aggregates import ZERO_OF_NOTHING
from segengine.project.attributes import Aggregate, Attribute, ValueOf
from segengine.project.measure import Measure, MeasureValue
from segengine.project.types import AttributeType, Family, parse_span
from segengine.project.walk import aggregated_values, order_values


def overflow_places(values: pa.RecordBatch) -> dict[int, list[int]]:
    """Return, by number of a value, the rows of a batch of values that have too many digits."""
    text = (values.schema.metadata or {}).get(b"overflow")
    return {int(number): places for number, places in json.loads(text).items()} if text else {}


def with_literal(array: pa.Array, text: str, type_: AttributeType, zone: str) -> pa.Array:
    """Return values with a literal where they are missing (empty text and NaN included)."""
    missing = array.is_null()
    if type_.family is Family.TEXT:
        missing = pc.or_(missing, pc.equal(array, "").fill_null(False))
        return pc.if_else(missing, pa.scalar(text, array.type), array)
    if pa.types.is_floating(array.type):
        missing = pc.or_(missing, pc.is_nan(array).fill_null(False))
    return pc.if_else(missing, literal_array(text, type_, zone)[0], array)


def literal_array(text: str, type_: AttributeType, zone: str) -> pa.Array:
    """Return one literal as a stored value, shape (1,)."""
    if type_.family is Family.BOOLEAN:
        return pa.array([text == "true"])
    if type_.family is Family.TEXT:
        return pa.array([text])
    low, _ = parse_span(text, type_, zone)
    if type_.name == "timestamp_ntz":  # the literal is an instant, the value what clocks there showed
        low = int(to_local(np.array([low], dtype=np.int64), type_.zone or zone)[0])
    is_float = type_.name in ("float", "double")
    if is_float:
        return to_arrow(Ordinals(np.array([low], dtype=np.float64), None), type_)
    if abs(int(low)) < 2**63:
        return to_arrow(Ordinals(np.array([low], dtype=np.int64), None), type_)
    return to_arrow(Ordinals(np.zeros(1, dtype=np.int64), None, {0: int(low)}), type_)


def name_groups(
    measure: Measure,
    finished: pa.RecordBatch,
    masks: Sequence[npt.NDArray[np.bool_]],
    as_of: int,
    zone: str,
) -> tuple[pa.RecordBatch, int]:
    """Return finished groups as the rows a measure stores, and how many values have too many digits.

    Args:
        measure: The measure.
        finished: `profile_key` where it has values by profile, `d0`.. its dimensions, `v0`.. its aggregated values.
        masks: For each aggregated value the groups, shape (n,), in which rows may count; none: in all of them.
        as_of: The instant of the run.
        zone: The project's time zone.

    Returns:
        Columns `profile_key`, then the dimensions and the values by name, in the types that are stored.
    """
    over_count = 0
    for place, groups in overflow_places(finished).items():
        over_count += int(masks[place][groups].sum()) if masks else len(groups)
    columns = {KEY: finished.column(KEY)} if measure.per_profile else {}
    columns |= {dimension.name: finished.column(f"d{place}") for place, dimension in enumerate(measure.dimensions)}
    values: dict[str, pa.Array] = {}
    place_of = {value.name: place for place, value in enumerate(aggregated_values(measure))}
    for value in order_values(measure):
        if isinstance(value.source, Aggregate):
            place = place_of[value.name]
            array = finished.column(f"v{place}")
            if masks:
                array = pc.if_else(pa.array(masks[place]), array, value_of_nothing(value))
        elif isinstance(value.source, ValueOf):
            array = values[value.source.value]
        else:
            found = compute(value.source, _Reader(measure, values), as_of, zone, finished.num_rows)
            over_count += len(drop_overflow(found))
            array = to_arrow(found, value.type)
        if value.if_missing is not None:
            array = with_literal(array, value.if_missing, value.type, zone)
        values[value.name] = array
    columns |= {value.name: values[value.name] for value in measure.shown_values}
    return pa.record_batch(columns), over_count


def value_of_nothing(value: MeasureValue) -> pa.Scalar:
    """Return what an aggregated value is over no rows."""
    is_zero = isinstance(value.source, Aggregate) and value.source.function in ZERO_OF_NOTHING
    return make_nothing(stored_type(value.type), is_zero)


def make_nothing(stored: pa.DataType, is_zero: bool) -> pa.Scalar:
    """Return the stored value over no rows: 0 or missing."""
    return pa.scalar(0 if is_zero else None, stored)


PRESENT = "@present"  # beside the values of a measure: whether a place had a profile; no measure is called so


def with_names(measure: Measure, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return stored values or groups with the names they have by now: a rename leaves what is stored as it is."""
    if measure.is_attribute:
        return rows.rename_columns([*map(measure.column, measure.shown_values), PRESENT])
    keys = [KEY] if measure.per_profile else []
    dimensions, values = [each.name for each in measure.dimensions], [each.name for each in measure.shown_values]
    return rows.rename_columns([*keys, *dimensions, *values])


def total_of_nothing(measure: Measure) -> pa.RecordBatch:
    """Return the aggregated values of a business measure without dimensions over no rows."""
    nothing = [value_of_nothing(value) for value in aggregated_values(measure)]
    return pa.record_batch({f"v{place}": pa.array([value.as_py()], value.type) for place, value in enumerate(nothing)})


class _Reader:
    """Reads the other values of a measure for an expression."""

    def __init__(self, measure: Measure, values: Mapping[str, pa.Array]) -> None:
        self._types = {value.name: value.type for value in measure.values}
        self._values = values

    def __call__(self, leaf: Attribute | ValueOf) -> Ordinals:
        if not isinstance(leaf, ValueOf):
            raise TypeError(f"{leaf.name} is no value of the measure")
        return read_ordinals(self._values[leaf.value], self._types[leaf.value])
