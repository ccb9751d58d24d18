"""Counting groups over all customers: batch by batch, in whole numbers that add up to the same in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from decimal import Decimal
from itertools import chain, product

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.models.cubes import MOST_JACCARD, Pick
from segengine.models.fields import HASH, draw_by_hash
from segengine.models.groups import Condition, Group, Mask, find_members
from segengine.models.targets import Integers, Target, add_exactly, add_squares

DISCOVER_SHARE = 0.6


@dataclass(frozen=True)
class Search:
    """What was found for one outcome of the target: a class, or None for a number itself.

    `alike`: those of its groups that have most of their members in common, by two.
    """

    outcome: str | int | None
    picks: tuple[Pick, ...]
    alike: tuple[tuple[Group, Group], ...] = ()

    def list_groups(self) -> list[list[Group]]:
        """Return for each pick the groups that some of its conditions make, everyone first, the pick itself last.

        A condition on a value that is missing for some may also shrink to the value's being known. Without a pick
        there is one list, of everyone.
        """
        return [_list_parts(pick) for pick in self.picks] or [[()]]


def find_alike(picks: Sequence[Pick], rows: pa.Table) -> tuple[tuple[Group, Group], ...]:
    """Return the groups made of the picks' conditions that have more than half of the members of both in common.

    Args:
        picks: What was found.
        rows: A feature table with the fields that the picks have conditions on.
    """
    groups = list(dict.fromkeys(part for pick in picks for part in _list_parts(pick) if part))
    if not groups:
        return ()
    members = np.array([find_members(group, rows) for group in groups], dtype=np.float32)
    common = members @ members.T  # whole numbers: exact
    sizes = common.diagonal()
    found = np.argwhere(np.triu(common > MOST_JACCARD * (sizes[:, None] + sizes - common), 1))
    return tuple((groups[one], groups[other]) for one, other in found)


def _list_parts(pick: Pick) -> list[Group]:
    choices: list[list[Group]] = []
    for condition in pick.group:
        known = condition.when_known if condition.field in pick.incomplete else None
        choices.append([(), *([(known,)] if known else []), (condition,)])
    return [tuple(chain.from_iterable(chosen)) for chosen in product(*choices)]


@dataclass(frozen=True)
class Tally:
    """What is known of a group's members.

    `members`: all of them; `known`, `total`: those with a target, and the sum of its exact values. Then of those with
    a target in the half that confirms: `confirmed`, their number; `place_sum` and so on: the sums, and the sums of
    squares, of the target's places on the grid, of its scores there, and of what is left of the scores once the shifts
    of stronger groups are taken out.
    """

    members: int = 0
    known: int = 0
    total: int = 0
    confirmed: int = 0
    place_sum: int = 0
    place_squares: int = 0
    score_sum: int = 0
    score_squares: int = 0
    left_sum: int = 0
    left_squares: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both."""
        return Tally(*map(sum, zip(astuple(self), astuple(other), strict=True)))


_WHOLE = pa.decimal128(38, 0)
TALLIES = pa.schema([("group", pa.int32()), *((field.name, _WHOLE) for field in fields(Tally))])


def is_discovering(hashes: npt.NDArray[np.int64], seed_text: str) -> Mask:
    """Return which profiles groups are searched among; the others confirm. Shape (n,)."""
    return draw_by_hash(hashes, f"{seed_text}: halves") < DISCOVER_SHARE


@dataclass(frozen=True)
class GroupCounter:
    """Counts the groups of searches, and all groups that a part of their conditions makes."""

    target: Target
    searches: tuple[Search, ...]
    seed_text: str

    def count(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the tallies of a batch of the feature table, one row for each group (schema `TALLIES`).

        The batch has all profiles' ids as hashes, the target and the fields that the groups have conditions on.
        """
        tallies = [tally for search in self.searches for tally in self._tally(search, batch)]
        numbers = zip(*(astuple(tally) for tally in tallies), strict=True)
        sums = [pa.array(map(Decimal, column), _WHOLE) for column in numbers]
        return pa.RecordBatch.from_arrays([pa.array(range(len(tallies)), pa.int32()), *sums], schema=TALLIES)

    def merge(self, counted: Iterable[pa.RecordBatch]) -> list[list[Tally]]:
        """Return the tallies of all batches, of each search those of its groups, in order."""
        sizes = [sum(map(len, search.list_groups())) for search in self.searches]
        tallies = [Tally()] * sum(sizes)
        for batch in counted:
            groups, *columns = (column.to_pylist() for column in batch.columns)
            for group, *numbers in zip(groups, *columns, strict=True):
                tallies[group] += Tally(*map(int, numbers))
        ends = np.cumsum([0, *sizes]).tolist()
        return [tallies[start:end] for start, end in zip(ends, ends[1:], strict=False)]

    def _tally(self, search: Search, batch: pa.RecordBatch) -> Iterator[Tally]:
        column = batch[self.target.field.name]
        known = np.asarray(column.is_valid())
        confirming = np.flatnonzero(known & ~is_discovering(np.asarray(batch[HASH]), self.seed_text))
        values = self.target.exact_values(column, search.outcome)
        places = self.target.place(column, search.outcome)[confirming]
        scores = self.target.score(column, search.outcome)[confirming]
        left = scores.copy()
        lists = search.list_groups()
        asked = {condition for groups in lists for group in groups for condition in group}
        holding = {condition: condition.holds(batch[condition.field]) for condition in asked}
        for number, groups in enumerate(lists):
            for group in groups:
                members = _members(group, holding, batch.num_rows)
                with_target, rows = members & known, members[confirming]
                yield Tally(
                    int(members.sum()),
                    int(with_target.sum()),
                    add_exactly(values[with_target]),
                    int(rows.sum()),
                    *_sums(places[rows]),
                    *_sums(scores[rows]),
                    *_sums(left[rows]),
                )
            if search.picks:
                left[rows] -= search.picks[number].shift  # the last group is the pick itself


def _members(group: Sequence[Condition], holding: Mapping[Condition, Mask], count: int) -> Mask:
    members: Mask = np.ones(count, dtype=bool)
    for condition in group:
        members &= holding[condition]
    return members


def _sums(places: Integers) -> tuple[int, int]:
    return int(places.sum()), add_squares(places)
