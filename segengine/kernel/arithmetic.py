"""Exact arithmetic on columns of numbers, and the types that values are stored in.

Numbers are unscaled whole numbers at the scale of their type. Rows whose result is sure to fit are worked out as int64,
the others as Python integers, one by one: rare, and exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.kernel.bitmaps import AnyArray
from segengine.kernel.date_parts import local_days
from segengine.kernel.ordinals import Ordinals, to_nine_digits
from segengine.project.aggregates import FLOAT_SCALE, MAX_PRECISION, exact_scale
from segengine.project.attributes import Arithmetic, AsOf, Attribute, Number, Operand, ValueOf
from segengine.project.types import AttributeType, Family

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Read = Callable[[Attribute | ValueOf], Ordinals]

_INT64 = np.iinfo(np.int64)
_HALF = 1 << 62  # two numbers below it have a sum that fits
_WORD = 1 << 64
_LIMIT = 10**MAX_PRECISION
_FLOATS = ("float", "double")
_FAST_FLOAT = 2.0**61 / 10**FLOAT_SCALE
_FIXED_TYPES = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "text": pa.string(),
    "boolean": pa.bool_(),
}


@dataclass(frozen=True)
class Clock:
    """The instant of a run, in microseconds since 1970 UTC, and the project's time zone."""

    as_of: int
    zone: str


def stored_type(type_: AttributeType) -> pa.DataType:
    """Return the Arrow type that values of a type are stored in."""
    return pa.decimal128(MAX_PRECISION, type_.scale) if type_.name == "decimal" else _FIXED_TYPES[type_.name]


def compute(operand: Operand, read: Read, as_of: int, zone: str, count: int) -> Ordinals:
    """Return the value of an expression on each row, unscaled at the scale of its type.

    Args:
        operand: The expression.
        read: Returns the ordinals of an attribute, or of another value, as `read_ordinals` has them.
        as_of: The instant of the run, microseconds since 1970 UTC.
        zone: The project's time zone: the difference of times is in its days.
        count: How many rows.

    Missing where an operand is missing or a divisor 0; invalid where an operand is.
    """
    return _Rows(read, as_of, zone, count).value(operand)


@dataclass(frozen=True)
class _Rows:
    read: Read
    as_of: int
    zone: str
    count: int

    def value(self, operand: Operand) -> Ordinals:
        """Return an operand at its own type."""
        if isinstance(operand, Arithmetic):
            return self._joined(operand)
        if isinstance(operand, AsOf):
            return Ordinals(np.full(self.count, self.as_of, dtype=np.int64), None)
        if isinstance(operand, Number):
            if _INT64.min <= operand.unscaled <= _INT64.max:
                return Ordinals(np.full(self.count, operand.unscaled, dtype=np.int64), None)
            return Ordinals(np.zeros(self.count, np.int64), None, dict.fromkeys(range(self.count), operand.unscaled))
        return self.read(operand)

    def _joined(self, operand: Arithmetic) -> Ordinals:
        left_type, right_type = operand.left.type, operand.right.type
        if left_type.family in (Family.DATE, Family.TIMESTAMP):
            left, right = (local_days(self.value(part), part.type, self.zone) for part in (operand.left, operand.right))
            return _with_gaps(_sums(left, right, -1), left, right)
        left, right = (exact_numbers(self.value(part), part.type) for part in (operand.left, operand.right))
        left_scale, right_scale = exact_scale(left_type), exact_scale(right_type)
        if operand.operator == "*":
            return _with_gaps(_products(left, right), left, right)
        if operand.operator == "/":
            return _with_gaps(_quotients(left, right, operand.type.scale - left_scale + right_scale), left, right)
        scale = max(left_scale, right_scale)
        joined = _sums(
            _scaled(left, scale - left_scale),
            _scaled(right, scale - right_scale),
            1 if operand.operator == "+" else -1,
        )
        return _with_gaps(joined, left, right)


def exact_numbers(numbers: Ordinals, type_: AttributeType) -> Ordinals:
    """Return numbers as whole ones at `exact_scale`: a float as the nearest decimal with nine digits."""
    if type_.name not in _FLOATS:
        return numbers
    values = numbers.values.astype(np.float64)
    for gaps in (numbers.missing, numbers.invalid):
        if gaps is not None:
            values[gaps] = 0.0
    huge = np.flatnonzero(np.abs(values) >= _FAST_FLOAT)
    whole_parts = to_nine_digits(values[huge]).tolist()
    values[huge] = 0.0
    found = Ordinals(np.asarray(to_nine_digits(values), dtype=np.int64), numbers.missing, invalid=numbers.invalid)
    for row, value in zip(huge.tolist(), whole_parts, strict=True):
        put_exactly(found.values, found.large, row, value)
    return found


def put_exactly(values: npt.NDArray[np.generic], large: dict[int, int], place: int, value: int) -> None:
    """Store a whole number where it fits: in the array, or beside it."""
    if _INT64.min <= value <= _INT64.max:
        values[place] = value
    else:
        values[place] = 0
        large[place] = value


def half_even(numerator: int, denominator: int) -> int:
    """Return a quotient rounded half to even; the denominator is positive."""
    whole, left = divmod(numerator, denominator)
    return whole + (2 * left > denominator or (2 * left == denominator and whole % 2 == 1))


def _whole(numbers: Ordinals) -> Integers:
    return np.asarray(numbers.values, dtype=np.int64)


def _below(numbers: Ordinals, bound: int) -> Mask:
    """Return where numbers lie strictly between -bound and bound."""
    values = _whole(numbers)
    below: Mask = (values < bound) & (values > -bound)
    if numbers.large:
        below[list(numbers.large)] = False
    return below


def _pieced(fast: Integers, fits: Mask, parts: list[Ordinals], exact: Callable[..., int]) -> Ordinals:
    """Return numbers worked out fast where they fit, the others from Python integers."""
    found = Ordinals(fast, None)
    for row in np.flatnonzero(~fits).tolist():
        numbers = [part.large.get(row, int(part.values[row])) for part in parts]
        put_exactly(found.values, found.large, row, exact(*numbers))
    return found


def _scaled(numbers: Ordinals, digits: int) -> Ordinals:
    if digits == 0:
        return numbers
    factor = 10**digits
    fast = _whole(numbers) * (factor if factor <= _HALF else 0)
    return _pieced(fast, _below(numbers, max(1, _HALF // factor)), [numbers], lambda a: a * factor)


def _sums(left: Ordinals, right: Ordinals, sign: int) -> Ordinals:
    fast = _whole(left) + sign * _whole(right)
    return _pieced(fast, _below(left, _HALF) & _below(right, _HALF), [left, right], lambda a, b: a + sign * b)


def _products(left: Ordinals, right: Ordinals) -> Ordinals:
    size = np.abs(_whole(left).astype(np.float64)) * np.abs(_whole(right).astype(np.float64))
    fits = (size < _HALF) & _below(left, _INT64.max) & _below(right, _INT64.max)
    return _pieced(_whole(left) * _whole(right), fits, [left, right], lambda a, b: a * b)


def _quotients(left: Ordinals, right: Ordinals, digits: int) -> Ordinals:
    """Return quotients with so many more digits, rounded half to even; missing where the divisor is 0."""
    factor = 10**digits
    fits = _below(left, _HALF) & _below(right, _HALF)
    zero = _whole(right) == 0
    if right.large:
        zero[list(right.large)] = False
    dividends = np.abs(np.where(fits, _whole(left), 0))
    divisors = np.abs(np.where(fits & ~zero, _whole(right), 1))
    whole, rest = np.divmod(dividends, divisors)
    most = _HALF // factor
    fits &= (whole < most // 2) & (rest < most)
    quotients, left_over = np.divmod(np.where(fits, rest, 0) * (factor if most else 0), divisors)
    quotients += np.where(fits, whole, 0) * (factor if most else 0)
    twice = 2 * left_over
    quotients += (twice > divisors) | ((twice == divisors) & (quotients & 1 == 1))
    quotients = np.where((_whole(left) < 0) != (_whole(right) < 0), -quotients, quotients)

    def exact(a: int, b: int) -> int:
        return half_even(a * factor if b > 0 else -a * factor, abs(b))

    found = _pieced(quotients, fits | zero, [left, right], exact)
    found.missing = zero if zero.any() else None
    return found


def _with_gaps(found: Ordinals, *operands: Ordinals) -> Ordinals:
    """Return numbers with the gaps of what they were made of: missing and invalid ones are 0."""
    missing, invalid = found.missing, None
    for operand in operands:
        if operand.missing is not None:
            missing = operand.missing if missing is None else missing | operand.missing
        if operand.invalid is not None:
            invalid = operand.invalid if invalid is None else np.union1d(invalid, operand.invalid)
    for gaps in (missing, invalid):
        if gaps is not None:
            found.values[gaps] = 0
    if found.large and (missing is not None or invalid is not None):
        gone = np.zeros(len(found.values), dtype=bool) if missing is None else missing.copy()
        gone[invalid if invalid is not None else []] = True
        found.large = {row: value for row, value in found.large.items() if not gone[row]}
    return Ordinals(found.values, missing, found.large, invalid)


def to_arrow(ordinals: Ordinals, type_: AttributeType) -> pa.Array:
    """Return values in the type they are stored in; the inverse of `read_ordinals`.

    NULL where missing or invalid. Text comes as texts, in an array of objects; there is one zero of floats.

    Raises:
        OverflowError: A number has more than 38 digits (`drop_overflow` takes these out).
    """
    stored = stored_type(type_)
    values: AnyArray = ordinals.values
    gaps = ordinals.missing
    if ordinals.invalid is not None:
        gaps = np.zeros(len(values), dtype=bool) if gaps is None else gaps.copy()
        gaps[ordinals.invalid] = True
    if type_.name == "decimal":
        return _decimals(_whole(ordinals), ordinals.large, gaps, stored)
    if ordinals.large:
        raise OverflowError(f"a value of type {type_} beyond 64 bits")
    if type_.name in _FLOATS:
        values = np.asarray(values, dtype=np.float64) + 0.0
    elif type_.name == "boolean":
        return pa.array(values != 0, stored, mask=gaps)
    elif type_.name == "date":
        values = values.astype(np.int32)
    elif type_.name == "text":
        return pa.array(values, stored, mask=gaps)
    return pa.array(values, mask=gaps).cast(stored)


def _decimals(values: Integers, large: dict[int, int], gaps: Mask | None, stored: pa.DataType) -> pa.Array:
    """Return unscaled numbers as Arrow's 128-bit words."""
    words = np.empty((len(values), 2), dtype=np.int64)
    words[:, 0] = values
    words[:, 1] = values >> 63
    for row, value in large.items():
        if abs(value) >= _LIMIT:
            raise OverflowError("a number of more than 38 digits")
        words[row] = (value + _WORD // 2) % _WORD - _WORD // 2, value >> 64
    validity = None if gaps is None else pa.array(~gaps).buffers()[1]
    return pa.Array.from_buffers(stored, len(values), [validity, pa.py_buffer(words)])
