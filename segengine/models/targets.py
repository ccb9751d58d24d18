"""What suggestions are about: a target's values as whole numbers that add up exactly, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.errors import ConfigError
from segengine.kernel.ordinals import to_nine_digits
from segengine.models.fields import Field, fill_ordinals
from segengine.models.groups import Mask
from segengine.project.aggregates import exact_scale
from segengine.project.types import AttributeType, Family

GRID = 2**18
MOST_CLASSES = 10
_LEAST_OF_CLASS = 50
_TAIL = 0.005
_FAR = 2**40  # of the grid: farther out only the average is exact
_SAFE_SUM = 2**62

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Target:
    """A target and the grid its values are put on.

    `low`, `high`: ordinals at 0 and `GRID`, which cut off the half per cent of the values below and above. `classes`:
    the values of text and booleans that are each compared with the rest; empty for numbers.
    """

    field: Field
    low: float = 0.0
    high: float = 1.0
    classes: tuple[str | int, ...] = ()

    @property
    def outcomes(self) -> tuple[str | int | None, ...]:
        """What groups are searched for, one after the other: the classes, or None for the number itself."""
        return self.classes or (None,)

    def is_class(self, column: pa.Array, value: str | int) -> Mask:
        """Return who has a value, shape (n,)."""
        return np.asarray(pc.equal(column, pa.scalar(value, column.type)).fill_null(False))

    def place(self, column: pa.Array, outcome: str | int | None) -> Integers:
        """Return the values on the grid, beyond its ends too, shape (n,); of a class 0 and `GRID`."""
        if outcome is not None:
            return self.is_class(column, outcome) * np.int64(GRID)
        values = fill_ordinals(column).astype(np.float64)
        places = np.rint((values - self.low) / (self.high - self.low) * GRID)
        return np.clip(places, -_FAR, _FAR).astype(np.int64)

    def score(self, column: pa.Array, outcome: str | int | None) -> Integers:
        """Return the values on the grid with the outermost drawn to its ends, shape (n,)."""
        return np.clip(self.place(column, outcome), 0, GRID)

    def exact_values(self, column: pa.Array, outcome: str | int | None) -> Integers | npt.NDArray[np.object_]:
        """Return the values as whole numbers that an exact average is made of, shape (n,); of a class 0 and 1."""
        if outcome is not None:
            return self.is_class(column, outcome).astype(np.int64)
        values = fill_ordinals(column)
        return to_nine_digits(values.astype(np.float64)) if values.dtype == np.float64 else values.astype(np.int64)

    @property
    def scale(self) -> int:
        """The digits after the point of `exact_values`."""
        return 0 if self.classes else exact_scale(self.field.type)

    def to_value(self, place: float) -> float:
        """Return what a place on the grid stands for: a number in the target's unit, or a share."""
        if self.classes:
            return place / GRID
        unit = 1 if self.field.type.name in ("float", "double") else 10**self.field.type.scale
        return (self.low + place / GRID * (self.high - self.low)) / unit


def add_exactly(values: Integers | npt.NDArray[np.object_]) -> int:
    """Return the sum of whole numbers, of any size."""
    if not len(values):
        return 0
    is_safe = max(-int(values.min()), int(values.max())) * len(values) < _SAFE_SUM
    return int(values.sum()) if is_safe and values.dtype != object else sum(values.tolist())


def add_squares(places: Integers) -> int:
    """Return the sum of the squares of places on a grid, exactly."""
    high, low = places >> 20, places & (2**20 - 1)
    return (int(high @ high) << 40) + (int(high @ low) << 21) + int(low @ low)


def average(total: int, count: int, scale: int) -> float:
    """Return the mean of `count` numbers with `scale` digits after the point that add up to `total`."""
    return float(Fraction(total, count * 10**scale)) if count else 0.0


def prepare_target(column: pa.Array, field: Field) -> Target:
    """Return a target as groups are searched for it.

    Args:
        column: Its values in the sample that is searched, missing ones left out.
        field: Its name and type.

    Raises:
        ConfigError: It cannot be a target: the type does not fit, or the values do not differ or are too many.
    """
    name, family = field.name, field.type.family
    if family not in (Family.NUMBER, Family.TEXT, Family.BOOLEAN):
        raise ConfigError(
            f'The target "{name}" is a {field.type}: suggestions need a number, text or a boolean.',
            "Choose another target, for example a measure of how many days ago it was.",
        )
    if not len(column):
        raise ConfigError(f'The target "{name}" is missing everywhere.', "Choose another target, or refresh it first.")
    distinct = pc.count_distinct(column).as_py()
    if distinct == 1:
        raise ConfigError(
            f'The target "{name}" has the same value for every customer that has one.',
            "Suggestions compare groups, so choose a target that differs between customers.",
        )
    if family is Family.NUMBER:
        return _prepare_number(column, field)
    if distinct > MOST_CLASSES:
        raise ConfigError(
            f'The target "{name}" has {distinct:,} values: suggestions take text of at most {MOST_CLASSES}.',
            "Choose a number, or an attribute with fewer values.",
        )
    return Target(field, classes=_choose_classes(column, field.type))


def _prepare_number(column: pa.Array, field: Field) -> Target:
    values = np.sort(np.asarray(column))
    tail = int(_TAIL * len(values))
    low, high = values[tail], values[len(values) - 1 - tail]
    if low == high:  # nearly all customers have the same
        low, high = values[0], values[-1]
    return Target(field, float(low), float(high))


def _choose_classes(column: pa.Array, type_: AttributeType) -> tuple[str | int, ...]:
    if type_.family is Family.BOOLEAN:
        return (1,)
    counts = pc.value_counts(column)
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    ranked = sorted((count, value) for value, count in pairs)
    if len(ranked) == 2:  # each says the same of the other
        return (ranked[0][1],)
    return tuple(sorted(value for _, value in ranked))


def find_rare_classes(column: pa.Array, target: Target) -> tuple[str | int, ...]:
    """Return the classes that too few customers have, or too few have not, for groups to be told apart by them."""
    counts = {value: int(target.is_class(column, value).sum()) for value in target.classes}
    return tuple(value for value, count in counts.items() if min(count, len(column) - count) < _LEAST_OF_CLASS)
