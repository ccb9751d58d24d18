"""Nests: row sets of which any two lie one inside the other or apart.

Those that have a row are a chain. So the row is summed up, or joined otherwise, in the innermost of them alone, and in
the end each row set takes in those directly inside it: one step a row and nest, however many row sets there are.
Filters of many measures are like that: the last 30 and 90 days, amounts from 10 and from 20 on, each channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segengine.kernel.bitmaps import AnyArray, Words
from segengine.kernel.columns import make_index
from segengine.plan.rows import Clause, Clauses, RowSet

_MOST_CLAUSES = 4  # of a row set that is compared with others: each of its clauses is, with each of theirs
_LOOKED_UP = (np.uint8, np.uint16)  # parts of words: the lanes of a nest of few, and of many
_FEW_LANES = 8

Mask = npt.NDArray[np.bool_]
Part = type[np.uint8] | type[np.uint16]


@dataclass(frozen=True)
class Nest:
    """Row sets by lane, outer ones first, numbered from 1; `parents`: the number of the next one around, or 0."""

    lanes: tuple[int, ...]
    parents: tuple[int, ...]

    def columns(self, column_of: Mapping[int, int], none: int) -> AnyArray:
        """Return by number the column of the row set, or of the next one around it that has one.

        Args:
            column_of: The columns that lanes have.
            none: What stands for no column, as for number 0.
        """
        columns = [none]
        for lane, parent in zip(self.lanes, self.parents, strict=True):
            columns.append(column_of.get(lane, columns[parent]))
        return np.array(columns, dtype=np.int64)

    def links(self, column_of: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Yield the column of each row set, inner ones first, and that of the next one around it; both have some."""
        columns = self.columns(column_of, -1).tolist()
        for number in range(len(self.lanes), 0, -1):
            around = columns[self.parents[number - 1]]
            if self.lanes[number - 1] in column_of and around >= 0:
                yield columns[number], around


class Innermost:
    """Finds the innermost row set of each nest."""

    def __init__(self, nests: Sequence[Nest]) -> None:
        self._tables = [_highest_numbers(nest) for nest in nests]

    def find(self, bits: Words) -> list[AnyArray]:
        """Return for each nest the numbers of the innermost row sets, 0 where a row is in none, shape (n,) each.

        Args:
            bits: The lanes of each row, shape (n, words).
        """
        parts: dict[Part, AnyArray] = {part: bits.view(part) for part in _LOOKED_UP}
        found = []
        for part, ((first, table), *others) in self._tables:
            numbers = table.take(parts[part][:, first], mode="clip")
            for place, table in others:
                np.maximum(numbers, table.take(parts[part][:, place], mode="clip"), out=numbers)
            found.append(numbers)
        return found


def _highest_numbers(nest: Nest) -> tuple[Part, list[tuple[int, AnyArray]]]:
    """Return in how large parts of words lanes are looked up, and for each part with lanes its place and table.

    A table has for each value of the part the highest number in it. Many lanes are looked up 16 at a time; for few, of
    which there may be many nests, such tables would be too large.
    """
    part = _LOOKED_UP[len(nest.lanes) > _FEW_LANES]
    bit_count = 8 * np.dtype(part).itemsize
    numbers: dict[int, list[int]] = {}
    for number, lane in enumerate(nest.lanes, start=1):
        numbers.setdefault(lane // bit_count, [0] * bit_count)[lane % bit_count] = number
    type_ = np.min_scalar_type(len(nest.lanes))
    tables = []
    for place, of_bits in numbers.items():
        table = np.zeros(1, dtype=type_)
        for number in of_bits:
            table = np.concatenate([table, np.maximum(table, type_.type(number))])
        tables.append((place, table))
    return part, tables


def find_nests(row_sets: Sequence[RowSet]) -> list[Nest]:
    """Return nests, as few as are easily found, that have each row set once, by its place."""
    compared = {
        place: row_set.clauses
        for place, row_set in enumerate(row_sets)
        if isinstance(row_set, Clauses) and 0 < len(row_set.clauses) <= _MOST_CLAUSES
    }
    alone = [Nest((place,), (0,)) for place in range(len(row_sets)) if place not in compared]
    return [*_nests(list(compared), *_compare(list(compared.values()))), *alone]


def _compare(sets: Sequence[Sequence[Clause]]) -> tuple[Mask, Mask]:
    """Return which sets of clauses are surely inside which others, and which surely have no row in common."""
    clauses = list(dict.fromkeys(clause for own in sets for clause in own))
    inside = np.ones((len(clauses), len(clauses)), dtype=bool)
    apart = np.zeros_like(inside)
    for attribute in {condition.attribute for clause in clauses for condition in clause}:
        own_inside, own_apart = make_index(attribute, clauses).compare()
        inside &= own_inside
        apart |= own_apart
    place_of = {clause: place for place, clause in enumerate(clauses)}
    places = [place_of[clause] for own in sets for clause in own]
    starts = np.cumsum([0, *map(len, sets)])[:-1]
    some = np.logical_or.reduceat(inside[np.ix_(places, places)], starts, axis=1)
    return (
        np.logical_and.reduceat(some, starts, axis=0),
        np.logical_and.reduceat(np.logical_and.reduceat(apart[np.ix_(places, places)], starts, axis=1), starts, axis=0),
    )


def _nests(lanes: Sequence[int], inside: Mask, apart: Mask) -> Iterator[Nest]:
    """Yield nests; each row set, outer ones first, is put into the first nest that it fits in."""
    fits = inside | inside.T | apart
    nests: list[list[int]] = []
    room = np.ones_like(fits)  # by nest which row sets would fit
    for place in np.argsort(inside.sum(axis=1), kind="stable").tolist():
        own = int(np.argmax(room[: len(nests) + 1, place]))
        if own == len(nests):
            nests.append([])
        nests[own].append(place)
        room[own] &= fits[place]
    for members in nests:
        around = np.tril(inside[np.ix_(members, members)], -1)  # earlier ones: of two that are equal one
        last = len(members) - np.argmax(around[:, ::-1], axis=1)
        yield Nest(tuple(lanes[place] for place in members), tuple(np.where(around.any(axis=1), last, 0).tolist()))
