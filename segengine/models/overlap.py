"""How segments overlap: who is in all, in one alone, in every combination; also by the values of fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from segengine.models.cells import LEAST_EXPECTED, Cell, FieldCounts
from segengine.models.memberships import Memberships
from segengine.project.types import AttributeType, Family

LISTED_WHOLE = 8  # up to so many segments every combination is listed, also those of nobody
MOST_LISTED = 1_000

_COUNTED_BY_CODE = 16  # up to so many segments a place for every code is little


@dataclass(frozen=True)
class CombinationCounts:
    """How many profiles are in exactly the segments of a code, shape (n,) each; codes ascending, none is 0."""

    codes: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Combination:
    """Some segments, and how many profiles are in all of them and in none of the others."""

    segments: tuple[str, ...]
    count: int
    share: float


@dataclass(frozen=True)
class SegmentPart:
    """A segment's part of the union, and that of the profiles in this segment alone."""

    segment: str
    count: int
    share: float
    only_count: int
    only_share: float


@dataclass(frozen=True)
class PairPart:
    """Profiles in both of two segments, whatever else they are in."""

    segments: tuple[str, str]
    count: int
    share: float


@dataclass(frozen=True)
class ValueOverlap:
    """The overlap among the profiles of one cell of a field; `counts`: of the listed combinations, in their order."""

    cell: Cell
    union_count: int
    shared_count: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class FieldOverlap:
    """The overlap by the values of a field."""

    field: str
    type: AttributeType
    values: tuple[ValueOverlap, ...]


@dataclass(frozen=True)
class Overlap:
    """How segments overlap; all shares are of the union (0 to 1), which is everybody in at least one of them.

    `shared_count`: in all segments. `combinations`: largest first; of more than 8 segments the 1,000 largest that
    occur, `unlisted_count` profiles being in others.
    """

    segments: tuple[SegmentPart, ...]
    union_count: int
    shared_count: int
    shared_share: float
    pairs: tuple[PairPart, ...]
    combinations: tuple[Combination, ...]
    unlisted_count: int
    fields: tuple[FieldOverlap, ...] = ()
    warnings: tuple[str, ...] = ()


def count_combinations(memberships: Memberships) -> CombinationCounts:
    """Return how many profiles are in each combination of segments that occurs."""
    if len(memberships.bits) <= _COUNTED_BY_CODE:
        room = 1 << len(memberships.bits)
        by_code = np.zeros(room, dtype=np.int64)
        for codes in memberships.list_codes():
            by_code += np.bincount(codes, minlength=room)
        own = np.flatnonzero(by_code[1:]) + 1
        return CombinationCounts(own.astype(np.uint64), by_code[own])
    found = [np.unique(codes, return_counts=True) for codes in memberships.list_codes()]
    codes = np.concatenate([np.zeros(1, np.uint64), *(one[0].astype(np.uint64) for one in found)])
    distinct, places = np.unique(codes, return_inverse=True)
    counts = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(counts, places[1:], np.concatenate([np.zeros(0, np.int64), *(one[1] for one in found)]))
    return CombinationCounts(distinct[1:], counts[1:])  # the first is that of no segment


def list_combinations(counts: CombinationCounts, segment_count: int) -> CombinationCounts:
    """Return the combinations to show, by code: up to 8 segments all there are, of more the 1,000 largest found."""
    if segment_count <= LISTED_WHOLE:
        every = np.arange(1, 1 << segment_count, dtype=np.uint64)
        whole = np.zeros(len(every), dtype=np.int64)
        whole[counts.codes.astype(np.int64) - 1] = counts.counts
        return CombinationCounts(every, whole)
    is_partial = counts.codes != _everything(segment_count)  # what all share is listed in any case
    largest = np.sort(np.lexsort((counts.codes, -counts.counts, is_partial))[:MOST_LISTED])
    return CombinationCounts(counts.codes[largest], counts.counts[largest])


@dataclass(frozen=True)
class CombinationGroups:
    """Numbers profiles by their combination, for counting fields by cells (`segengine.models.cells.CellCounter`)."""

    memberships: Memberships
    listed: CombinationCounts

    @property
    def group_count(self) -> int:
        """How many groups there are: one for each listed combination, and one for all others."""
        return len(self.listed.codes) + 1

    def assign(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the group of each profile, shape (n,): 0 in no segment, i + 1 in listed combination i."""
        codes = self.memberships.look_up(keys).astype(np.uint64)
        places = np.searchsorted(self.listed.codes, codes)
        is_listed = np.append(self.listed.codes, np.uint64(0))[places] == codes
        return np.where(codes == 0, 0, np.where(is_listed, places + 1, self.group_count))


def describe_overlap(
    names: Sequence[str],
    memberships: Memberships,
    counts: CombinationCounts,
    fields: Sequence[FieldCounts] = (),
) -> Overlap:
    """Return the overlap of segments.

    Args:
        names: The segments, in the order of their bits.
        memberships: Their members.
        counts: Of all combinations that occur.
        fields: Counts by cells of the groups that `CombinationGroups` makes of `list_combinations`.
    """
    count, union = len(names), int(counts.counts.sum())
    listed, sizes = list_combinations(counts, count), memberships.count_pairs().tolist()
    segments = []
    for place, name in enumerate(names):
        size, only = sizes[place][place], _count_code(counts, 1 << place)
        segments.append(SegmentPart(name, size, _share(size, union), only, _share(only, union)))
    pairs = [(names[one], names[other], sizes[one][other]) for one, other in combinations(range(count), 2)]
    order = np.lexsort((listed.codes, -listed.counts)).tolist()
    found = [(_name(names, int(listed.codes[place])), int(listed.counts[place])) for place in order]
    shared = _count_code(counts, int(_everything(count)))
    warnings = [f'"{part.segment}" has no members.' for part in segments if not part.count]
    warnings += [doubt for one in fields if (doubt := _find_doubt(one))]
    return Overlap(
        segments=tuple(segments),
        union_count=union,
        shared_count=shared,
        shared_share=_share(shared, union),
        pairs=tuple(PairPart((one, other), size, _share(size, union)) for one, other, size in pairs),
        combinations=tuple(Combination(inside, size, _share(size, union)) for inside, size in found),
        unlisted_count=union - int(listed.counts.sum()),
        fields=tuple(_describe_field(one, order, listed, count) for one in fields if _is_shown(one)),
        warnings=tuple(warnings),
    )


def _share(count: int, union: int) -> float:
    return count / union if union else 0.0


def _is_shown(counts: FieldCounts) -> bool:
    """Return whether a field parts the profiles, and has not (nearly) a value for each, as ids are."""
    if counts.cells.field.type.family is not Family.TEXT:
        return True
    return int(counts.rows[:, :-2].sum(axis=0).max(initial=0)) >= LEAST_EXPECTED


def _find_doubt(counts: FieldCounts) -> str:
    """Return what to know of a field whose values are not shown, or only those of the fewer profiles; else ''."""
    name = counts.cells.field.name
    if not _is_shown(counts):
        return f'"{name}" is left out: no value of it has {LEAST_EXPECTED} of these profiles.'
    others, everyone = int(counts.rows[:, -2].sum()), int(counts.rows.sum())
    if counts.cells.field.is_ordered or 2 * others <= everyone:
        return ""
    shown_count = counts.cells.cell_count - 2
    return (
        f'"{name}" has many values: only the {shown_count} most frequent are shown, {others:,} of {everyone:,} '
        "profiles have another."
    )


def _describe_field(
    counts: FieldCounts, order: Sequence[int], listed: CombinationCounts, segment_count: int
) -> FieldOverlap:
    field, shared = counts.cells.field, np.flatnonzero(listed.codes == _everything(segment_count))
    values = tuple(
        ValueOverlap(cell, int(column.sum()), int(column[shared].sum()), tuple(column[order].tolist()))
        for cell, column in zip(counts.cells.list_cells(), counts.rows.T, strict=True)
        if column.any()
    )
    return FieldOverlap(field.name, field.type, values)


def _everything(segment_count: int) -> np.uint64:
    return np.uint64((1 << segment_count) - 1)


def _count_code(counts: CombinationCounts, code: int) -> int:
    return int(counts.counts[counts.codes == np.uint64(code)].sum())


def _name(names: Sequence[str], code: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(names) if code >> place & 1)
