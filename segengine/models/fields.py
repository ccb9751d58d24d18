"""What models see of customers: a table of features, and its fields coded into a few whole numbers.

A feature table is Arrow: a row for each profile, with `profile_key` (int64), `id_hash` (int64: `xxhash64` of the
profile's id, the same on every engine and in every warehouse) and a column for each field under its name. Text stands
as it is, everything else as the ordinal that rules compare (`segengine.kernel.ordinals`; times as instants): int64, of
floats float64. NULL is missing; empty text and NaN are NULL too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.project.types import AttributeType, Family, Ordinal

KEY, HASH = "profile_key", "id_hash"
Codes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Field:
    """A field of a feature table, by the name that rules on the profile give it (`income`, `LifetimeSpend`)."""

    name: str
    type: AttributeType

    @property
    def is_ordered(self) -> bool:
        """Whether its values are cut into bins: numbers, dates and times; text and booleans are categories."""
        return self.type.family in (Family.NUMBER, Family.DATE, Family.TIMESTAMP)


@dataclass(frozen=True)
class Categories:
    """Codes of text or of a boolean: the place in `values`, then one for every other value, then one for missing."""

    values: tuple[str | int, ...]

    @property
    def others(self) -> int:
        """The code of values that have none of their own."""
        return len(self.values)

    @property
    def missing(self) -> int:
        """The code of a missing value; there are `missing + 1` codes."""
        return len(self.values) + 1

    def encode(self, column: pa.Array) -> Codes:
        """Return the codes of a column, shape (n,)."""
        places = pc.index_in(column, value_set=pa.array(self.values, column.type), skip_nulls=True)
        codes = np.asarray(places.fill_null(self.others)).astype(np.int16)
        codes[np.asarray(column.is_null())] = self.missing
        return codes


@dataclass(frozen=True)
class Bins:
    """Codes of an ordered field: how many of the ascending `limits` lie below the value, then one for missing.

    Code i holds the values above `limits[i - 1]` and at most `limits[i]`.
    """

    limits: tuple[Ordinal, ...]

    @property
    def missing(self) -> int:
        """The code of a missing value; there are `missing + 1` codes."""
        return len(self.limits) + 1

    def encode(self, column: pa.Array) -> Codes:
        """Return the codes of a column, shape (n,)."""
        dtype = np.float64 if pa.types.is_floating(column.type) else np.int64
        places = np.searchsorted(np.array(self.limits, dtype=dtype), fill_ordinals(column), side="left")
        codes: Codes = places.astype(np.int16)
        codes[np.asarray(column.is_null())] = self.missing
        return codes


Coding = Categories | Bins


def draw_by_hash(hashes: npt.NDArray[np.int64], salt: str) -> npt.NDArray[np.float64]:
    """Return a number of [0, 1) for each profile, shape (n,): always the same for a profile and a salt.

    For splits and samples that do not depend on the order of rows. Each purpose has a salt of its own, or the halves
    of one split are not independent of another's.

    Source: the mixing of Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014, mix64variant13.
    """
    mixed = hashes.astype(np.uint64) ^ np.frombuffer(hashlib.blake2b(salt.encode(), digest_size=8).digest(), np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def read_flags(rows: pa.RecordBatch | pa.Table, name: str) -> npt.NDArray[np.bool_]:
    """Return where a field of truth values is true, shape (n,)."""
    ordinals: npt.NDArray[np.int64] = np.asarray(rows.column(name))
    return np.equal(ordinals, 1)


def fill_ordinals(column: pa.Array) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """Return an ordered field's values, shape (n,), 0 where missing."""
    values: npt.NDArray[np.int64] = np.asarray(column.fill_null(0) if column.null_count else column)
    return values


def take_quantiles(values: npt.NDArray[np.generic], counts: npt.NDArray[np.int64], bin_count: int) -> Sequence[Ordinal]:
    """Return the limits that cut values into at most `bin_count` bins of about equal weight.

    Equal values are never parted, so there are fewer bins where few values carry much weight.

    Args:
        values: Distinct values, ascending, shape (n,).
        counts: How often each occurs, shape (n,).
        bin_count: At least 1.

    Returns:
        Ascending values of `values`, each the last of its bin; never the greatest, so that no bin is empty.
    """
    so_far = np.cumsum(counts)
    if not len(so_far):
        return ()
    shares = np.arange(1, bin_count) * so_far[-1] / bin_count
    places = np.unique(np.minimum(np.searchsorted(so_far, shares), len(values) - 2))  # a frequent greatest stands alone
    limits: list[Ordinal] = values[places[places >= 0]].tolist()
    return limits


def double_ranks(values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Return twice the rank of each value, shape (n,), from 2 on; equal ones share their average rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    doubled: npt.NDArray[np.int64] = (2 * np.cumsum(counts) - counts + 1)[places]
    return doubled
