"""From Arrow columns to ordinals: what a value is compared as.

Integers, decimals (unscaled), dates (days) and timestamps (microseconds) become int64, floats float64. Decimals
beyond int64 are kept beside the array as Python integers: they are rare, and exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.project.types import EPOCH_DAY, AttributeType, nearest_float

_INT64 = np.iinfo(np.int64)
_MAX_UNSCALED = 10**38
_NINE_DIGITS = 10**9
_SPLIT = 2.0**27 + 1

Value = int | float | None


class BadValueError(Exception):
    """A value cannot be what the project says its column is; `count` says how many of the batch."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass
class Ordinals:
    """A column's values as numbers.

    `values`: shape (n,), int64 or float64, 0 where missing; sums and counts may have fewer bits. `missing`: shape (n,)
    or None where nothing is; `large`: positions whose integer does not fit int64; `invalid`: positions that are errors
    (infinities, overflow), which fail what uses the column, not the run.
    """

    values: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    missing: npt.NDArray[np.bool_] | None
    large: dict[int, int] = field(default_factory=dict)
    invalid: npt.NDArray[np.intp] | None = None


def read_ordinals(array: pa.Array, type_: AttributeType) -> Ordinals:
    """Return the ordinals of an Arrow array as a declared type means them.

    Raises:
        BadValueError: Text of a CSV (or a value of another stored type) is no value of the declared type.
    """
    stored = array.type
    if type_.name in ("float", "double") and pa.types.is_floating(stored):
        return _floats(array, single=type_.name == "float")
    if type_.name in ("float", "double") and pa.types.is_integer(stored) and type_.name == "double":
        return Ordinals(_plain(array).astype(np.float64), _missing(array))
    if type_.name == "integer" and pa.types.is_integer(stored):
        return Ordinals(_plain(array).astype(np.int64), _missing(array))
    if type_.name == "boolean" and pa.types.is_boolean(stored):
        return Ordinals(_plain(array.cast(pa.int8())).astype(np.int64), _missing(array))
    if type_.name == "date" and pa.types.is_date32(stored):
        return Ordinals(_plain(array.cast(pa.int32())).astype(np.int64), _missing(array))
    if type_.family == "timestamp" and pa.types.is_timestamp(stored):
        microseconds = array if stored.unit == "us" else array.cast(pa.timestamp("us", stored.tz), safe=False)
        return Ordinals(_plain(microseconds.cast(pa.int64())).astype(np.int64), _missing(array))
    if type_.name == "decimal" and pa.types.is_decimal128(stored) and stored.scale == type_.scale:
        return _decimals(array)
    return _by_distinct_value(array, type_)


def _missing(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    return np.asarray(array.is_null()) if array.null_count else None


def _plain(array: pa.Array) -> npt.NDArray[np.generic]:
    filled = array.fill_null(0) if array.null_count else array
    plain: npt.NDArray[np.generic] = filled.to_numpy(zero_copy_only=False)
    return plain


def _floats(array: pa.Array, *, single: bool) -> Ordinals:
    values = _plain(array).astype(np.float32 if single else np.float64).astype(np.float64)
    missing = np.isnan(values)
    if array.null_count:
        missing |= np.asarray(array.is_null())
    invalid = np.flatnonzero(np.isinf(values))
    return Ordinals(values, missing if missing.any() else None, invalid=invalid if len(invalid) else None)


def _decimals(array: pa.Array) -> Ordinals:
    """Return unscaled decimals from Arrow's 128-bit words: the low one is enough where the high one is its sign."""
    data = array.buffers()[1]
    pairs = np.frombuffer(data, dtype=np.int64)[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    low, high = pairs[:, 0].copy(), pairs[:, 1]
    missing = _missing(array)
    if missing is not None:
        low[missing] = 0
    if array.type.precision <= 18:
        return Ordinals(low, missing)
    fits = high == (low >> 63)
    if missing is not None:
        fits |= missing
    large = {int(i): (int(high[i]) << 64) | (int(low[i]) & (2**64 - 1)) for i in np.flatnonzero(~fits)}
    return Ordinals(low, missing, large)


def _by_distinct_value(array: pa.Array, type_: AttributeType) -> Ordinals:
    """Return ordinals converted once per distinct value: for stored types that are not what is meant."""
    encoded = array.dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(len(encoded.dictionary)))
    convert = _converter(type_)
    converted: list[Value] = []
    bad: list[int] = []
    for place, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            converted.append(convert(value))
        except (ValueError, InvalidOperation):
            converted.append(None)
            bad.append(place)
    if bad:
        raise BadValueError(int(np.isin(codes, bad).sum()))
    return _gather([*converted, None], codes, type_)


def _gather(distinct: list[Value], codes: npt.NDArray[np.generic], type_: AttributeType) -> Ordinals:
    is_float = type_.name in ("float", "double")
    table = np.zeros(len(distinct), dtype=np.float64 if is_float else np.int64)
    missing, invalid = np.zeros(len(distinct), dtype=bool), np.zeros(len(distinct), dtype=bool)
    large: dict[int, int] = {}
    for place, value in enumerate(distinct):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            missing[place] = True
        elif isinstance(value, float) and math.isinf(value):
            invalid[place] = True
        elif isinstance(value, int) and not _INT64.min <= value <= _INT64.max:
            large[place] = value
        else:
            table[place] = value
    rows_large = (
        {int(row): large[int(codes[row])] for row in np.flatnonzero(np.isin(codes, list(large)))} if large else {}
    )
    rows_invalid = np.flatnonzero(invalid[codes]) if invalid.any() else None
    return Ordinals(table[codes], missing[codes] if missing.any() else None, rows_large, rows_invalid)


def _converter(type_: AttributeType) -> Callable[[object], Value]:
    """Return the function that makes an ordinal of one value of any stored type; ValueError where it cannot."""
    if type_.name in ("float", "double"):
        return lambda value: _to_float(value, single=type_.name == "float")
    if type_.name in ("integer", "decimal"):
        return lambda value: _to_unscaled(value, type_)
    if type_.name == "boolean":
        return _to_boolean
    if type_.name == "date":
        return _to_days
    return lambda value: _to_microseconds(value, has_offsets=type_.name == "timestamp" or type_.zone == "UTC")


def _to_float(value: object, *, single: bool) -> Value:
    if isinstance(value, str) and value == "":
        return None
    return nearest_float(Decimal(str(value).strip()), single=single)


def _to_unscaled(value: object, type_: AttributeType) -> Value:
    """Return a number at the type's scale; digits beyond it are an error, but a float is rounded half to even."""
    if isinstance(value, str) and value == "":
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return value
        number = Decimal(value)
    else:
        number = Decimal(str(value).strip())
    with localcontext() as context:
        context.prec = 400
        scaled = number.scaleb(type_.scale)
        whole = scaled.to_integral_value(ROUND_HALF_EVEN)
    if whole != scaled and not isinstance(value, float):
        raise ValueError(value)
    return int(whole) if abs(whole) < _MAX_UNSCALED else math.inf


_BOOLEANS = {"true": 1, "false": 0, "t": 1, "f": 0, "1": 1, "0": 0, "yes": 1, "no": 0}


def _to_boolean(value: object) -> Value:
    text = str(value).strip().lower()
    if text == "":
        return None
    if text not in _BOOLEANS:
        raise ValueError(value)
    return _BOOLEANS[text]


def _to_days(value: object) -> Value:
    if value == "":
        return None
    return (date.fromisoformat(str(value).strip()) - EPOCH_DAY).days


def _to_microseconds(value: object, *, has_offsets: bool) -> Value:
    """Return a time; one that says its offset is an error in a column that is the wall clock of another zone."""
    if value == "":
        return None
    moment = datetime.fromisoformat(str(value).strip())
    if moment.tzinfo is not None and not has_offsets:
        raise ValueError(value)
    wall = moment.replace(tzinfo=None) - (moment.utcoffset() or (moment - moment))
    delta = wall - datetime(1970, 1, 1)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def to_nine_digits(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64] | npt.NDArray[np.object_]:
    """Return finite floats as the nearest decimals with nine digits after the point, unscaled, ties to even.

    The product with 10**9 is taken exactly, as a float and its error (Dekker 1971: a float is split into halves of 26
    bits; 10**9 needs only 21). Where a result passes 2**62, all come as Python integers.
    """
    if len(values) and np.abs(values).max() >= 2.0**62 / _NINE_DIGITS:
        return np.array([round(Fraction(value) * _NINE_DIGITS) for value in values.tolist()], dtype=object)
    product = values * _NINE_DIGITS
    stretched = values * _SPLIT
    high = stretched - (stretched - values)
    error = (high * _NINE_DIGITS - product) + (values - high) * _NINE_DIGITS
    nearest = np.rint(product)
    left = product - nearest
    whole = nearest.astype(np.int64)
    # Where the product is whole, the error decides; in the middle between two, its sign does.
    steps = np.where(left == 0, np.rint(error), 0)
    odd_tie = (left == 0) & (np.abs(error - np.trunc(error)) == 0.5) & ((whole + steps.astype(np.int64)) & 1 == 1)
    steps = np.where(odd_tie, steps + np.sign(error - steps), steps)
    steps = np.where((np.abs(left) == 0.5) & (np.sign(error) == np.sign(left)), np.sign(left), steps)
    found: npt.NDArray[np.int64] = whole + steps.astype(np.int64)
    return found


def text_values(array: pa.Array) -> pa.Array:
    """Return an array as text, empty text included; whole numbers as plain decimal digits."""
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return array.cast(pa.string())
    if pa.types.is_decimal(array.type) and array.type.scale == 0:
        return pa.array([None if v is None else str(int(v)) for v in array.to_pylist()], pa.string())
    return pc.cast(array, pa.string())
