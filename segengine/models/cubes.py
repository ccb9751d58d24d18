"""Groups that differ in a target, searched by joint counts of pairs of fields: every conjunction is scored exactly.

Sums are whole numbers below 2**53, so they are the same in any order of the rows.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segengine.models.fields import Bins, Coding
from segengine.models.groups import Condition, Group, Mask, Operator

LEAST_Z = 3.0
LEAST_SHARE, MOST_SHARE, LEAST_ROWS = 0.02, 0.5, 50
MOST_JACCARD = 0.5  # groups with more in common say the same
_ROUNDS = 12
_BEAM = 10
_BEAM_GAIN = 1.5  # what a pair may be below LEAST_Z and still be tried with a third condition
_KEPT_OF_PAIR, _KEPT = 10, 200

Floats = npt.NDArray[np.float64]
Numbers = Floats | np.float64
Places = tuple[tuple[int, int], ...]  # (axis, row of its table), by axis


@dataclass(frozen=True)
class Axis:
    """A coded field and what can be asked of it.

    `codes`: shape (n,); `conditions`: those of rows 1 and on of `table`, shape (conditions + 1, codes), which says
    with 1 that a code satisfies them; row 0 is satisfied by all. `not_empty`: its row, 0 where nothing is missing.
    """

    codes: npt.NDArray[np.intp]
    conditions: Group
    table: Floats
    not_empty: int

    def count_rows(self, weights: Floats, rows: npt.NDArray[np.intp] | slice = slice(None)) -> tuple[Floats, Floats]:
        """Return how many rows satisfy each condition and the sum of their weights, shape (conditions + 1,)."""
        codes, width = self.codes[rows], self.table.shape[1]
        counts = self.table @ np.bincount(codes, minlength=width)
        return counts, self.table @ np.bincount(codes, weights[rows], minlength=width)


@dataclass(frozen=True)
class Pick:
    """A group that was found.

    `shift`: by how much its members' mean differed from the others', whole, once the shifts of those found before it
    were taken from theirs. `incomplete`: those of its fields that are missing for some.
    """

    group: Group
    shift: int
    incomplete: tuple[str, ...] = ()


def make_axis(name: str, coding: Coding, codes: npt.NDArray[np.int16]) -> Axis:
    """Return a field as an axis of the cubes.

    Args:
        name: The field's.
        coding: Its coding.
        codes: The codes of the rows searched, shape (n,).
    """
    width, every = coding.missing + 1, np.arange(coding.missing)
    present = np.bincount(codes, minlength=width) > 0
    asked: list[tuple[Condition, npt.NDArray[np.intp]]] = []
    if isinstance(coding, Bins):
        for place, limit in enumerate(coding.limits):
            asked.append((Condition(name, "at_most", limit), every[: place + 1]))
            asked.append((Condition(name, "greater_than", limit), every[place + 1 :]))
    else:
        operators: tuple[Operator, ...] = ("equals", "not_equals") if present[:-1].sum() > 2 else ("equals",)
        for place, value in enumerate(coding.values):
            chosen = {"equals": every[[place]], "not_equals": np.delete(every, place)}
            asked += [(Condition(name, operator, value), chosen[operator]) for operator in operators]
    if present[-1]:
        asked.append((Condition(name, "empty"), np.array([coding.missing])))
        asked.append((Condition(name, "not_empty"), every))
    table = np.zeros((len(asked) + 1, width))
    table[0] = 1
    for row, (_, satisfied) in enumerate(asked, 1):
        table[row, satisfied] = 1
    conditions = tuple(condition for condition, _ in asked)
    return Axis(codes.astype(np.intp), conditions, table, len(asked) if present[-1] else 0)


def search_groups(axes: Sequence[Axis], scores: npt.NDArray[np.int64]) -> tuple[Pick, ...]:
    """Return groups whose mean score stands out, the strongest first, none much the same as one before.

    Each is found with the effects of those before it taken out.

    Args:
        axes: The coded fields, of n rows.
        scores: What is looked at, whole numbers, shape (n,).
    """
    search = _Search(axes)
    left = scores.copy()
    picks: list[Pick] = []
    taken: list[Mask] = []
    for _ in range(_ROUNDS):
        places = search.find_best(left, taken)
        if places is None:
            break
        members = search.find_members(places)
        shift = round(float(left[members].mean() - left[~members].mean()))
        left[members] -= shift
        taken.append(members)
        group = tuple(axes[axis].conditions[row - 1] for axis, row in places)
        incomplete = tuple(
            condition.field for condition, (axis, _) in zip(group, places, strict=True) if axes[axis].not_empty
        )
        picks.append(Pick(group, shift, incomplete))
    return tuple(picks)


def find_deviations(counts: Numbers, sums: Numbers, of_counts: Numbers, of_sums: Numbers, spread: float) -> Floats:
    """Return by how many standard errors the means of groups differ from those of larger groups they are part of.

    Args:
        counts: Members, any shape.
        sums: The sums of their scores.
        of_counts: Members of the larger group, of a shape that fits.
        of_sums: The sums of theirs.
        spread: The standard deviation of the scores.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = spread * np.sqrt(counts * (1 - counts / of_counts))
        deviations = (sums - counts * (of_sums / of_counts)) / errors
    found: Floats = np.where((counts > 0) & (counts < of_counts), deviations, 0.0)
    return found


class _Scored(NamedTuple):
    """A group with its strength, and by how much the least of its conditions gains on the rest of them."""

    strength: float
    gain: float
    places: Places


class _Search:
    def __init__(self, axes: Sequence[Axis]) -> None:
        self._axes = axes
        self._count = len(axes[0].codes)
        self._pair_counts: dict[tuple[int, int], Floats] = {}
        self._least = max(LEAST_ROWS, LEAST_SHARE * self._count)

    def find_best(self, left: npt.NDArray[np.int64], taken: Sequence[Mask]) -> Places | None:
        """Return the strongest group whose conditions are all needed and that no group taken is much like."""
        weights = left.astype(np.float64)
        spread = _find_spread(left)
        if spread == 0:
            return None
        pairs = [scored for found in self._pairs(weights, spread) for scored in found]
        found = [*self._singles(weights, spread), *pairs]
        for scored in heapq.nsmallest(_BEAM, pairs, key=_by_strength):
            found += self._extend(scored.places, weights, spread)
        good = {scored.places: scored for scored in found if scored.gain >= LEAST_Z}
        for scored in heapq.nsmallest(_KEPT, good.values(), key=_by_strength):
            members = self.find_members(scored.places)
            if any(_jaccard(members, other) > MOST_JACCARD for other in taken):
                continue
            if self._is_needed(scored.places, members, weights, spread):
                return scored.places
        return None

    def find_members(self, places: Places) -> Mask:
        """Return the rows that satisfy all conditions, shape (n,)."""
        members: Mask = np.ones(self._count, dtype=bool)
        for axis, row in places:
            members &= self._axes[axis].table[row].astype(bool)[self._axes[axis].codes]
        return members

    def _singles(self, weights: Floats, spread: float) -> Iterator[_Scored]:
        for place, axis in enumerate(self._axes):
            counts, sums = axis.count_rows(weights)
            strengths, (rows,) = self._select(counts, sums, counts[0], sums[0], spread)
            for strength, row in zip(strengths.tolist(), rows.tolist(), strict=True):
                yield _Scored(strength, math.inf, ((place, row),))

    def _pairs(self, weights: Floats, spread: float) -> Iterator[list[_Scored]]:
        """Yield for each two fields their strongest pairs of conditions: those that gain, and those worth a third."""
        for one, other in combinations(range(len(self._axes)), 2):
            counts, sums = self._count_pair(one, other, weights)
            strengths, (rows, columns) = self._select(counts, sums, counts[0, 0], sums[0, 0], spread)
            count, total = counts[rows, columns], sums[rows, columns]
            signs = np.sign(total / count - sums[0, 0] / counts[0, 0])
            gains = signs * find_deviations(count, total, counts[rows, 0], sums[rows, 0], spread)
            others = signs * find_deviations(count, total, counts[0, columns], sums[0, columns], spread)
            gains = np.minimum(gains, others)
            order = np.argsort(-strengths, kind="stable")
            kept = [i for least in (LEAST_Z, _BEAM_GAIN) for i in order[gains[order] >= least][:_KEPT_OF_PAIR]]
            yield [
                _Scored(float(strengths[i]), float(gains[i]), ((one, int(rows[i])), (other, int(columns[i]))))
                for i in dict.fromkeys(kept)
            ]

    def _count_pair(self, one: int, other: int, weights: Floats) -> tuple[Floats, Floats]:
        """Return count and sum of each two conditions of two fields, shape (rows of one table, rows of the other)."""
        left, right = self._axes[one], self._axes[other]
        shape = left.table.shape[1], right.table.shape[1]
        joint = left.codes * shape[1] + right.codes
        if (one, other) not in self._pair_counts:
            cells = np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape)
            self._pair_counts[one, other] = left.table @ cells @ right.table.T
        sums = np.bincount(joint, weights, minlength=shape[0] * shape[1]).reshape(shape)
        return self._pair_counts[one, other], left.table @ sums @ right.table.T

    def _extend(self, pair: Places, weights: Floats, spread: float) -> Iterator[_Scored]:
        """Yield a pair of conditions with every third."""
        members = np.flatnonzero(self.find_members(pair))
        all_count, all_sum = np.float64(self._count), weights.sum()
        for place, axis in enumerate(self._axes):
            if place in (pair[0][0], pair[1][0]):
                continue
            counts, sums = axis.count_rows(weights, members)
            strengths, (rows,) = self._select(counts, sums, all_count, all_sum, spread)
            signs = np.sign(sums[rows] / counts[rows] - all_sum / all_count)
            gains = signs * find_deviations(counts[rows], sums[rows], counts[0], sums[0], spread)
            for strength, gain, row in zip(strengths.tolist(), gains.tolist(), rows.tolist(), strict=True):
                yield _Scored(strength, gain, tuple(sorted((*pair, (place, row)))))

    def _select(
        self, counts: Floats, sums: Floats, all_count: np.float64, all_sum: np.float64, spread: float
    ) -> tuple[Floats, tuple[npt.NDArray[np.intp], ...]]:
        """Return the strengths and the places of groups of a fit size that stand out from all rows."""
        strengths = np.abs(find_deviations(counts, sums, all_count, all_sum, spread))
        chosen = (counts >= self._least) & (counts <= MOST_SHARE * self._count) & (strengths >= LEAST_Z)
        for axis in range(chosen.ndim):
            np.moveaxis(chosen, axis, 0)[0] = False  # row 0 asks nothing
        return strengths[chosen], np.nonzero(chosen)

    def _is_needed(self, places: Places, members: Mask, weights: Floats, spread: float) -> bool:
        """Return whether each condition gains on the group without it, and on `not empty` in its place."""
        count, total = np.float64(members.sum()), weights[members].sum()
        sign = np.sign(total / count - weights.mean())
        for place in places:
            others = tuple(other for other in places if other != place)
            known = self._axes[place[0]].not_empty
            wider = [others]
            if known and place[1] < known - 1:  # the last two rows are `empty` and `not empty` themselves
                wider.append((*others, (place[0], known)))
            for parent in wider:
                rows = self.find_members(parent)
                gain = find_deviations(count, total, np.float64(rows.sum()), weights[rows].sum(), spread)
                if sign * gain < LEAST_Z:
                    return False
        return True


def _find_spread(scores: npt.NDArray[np.int64]) -> float:
    """Return the standard deviation, from exact sums."""
    count, total, squares = len(scores), int(scores.sum()), int((scores * scores).sum())
    return math.sqrt(count * squares - total * total) / count


def _by_strength(scored: _Scored) -> tuple[float, Places]:
    return -scored.strength, scored.places


def _jaccard(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())
