"""Which groups hold on customers they were not found on, and which of their conditions are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segengine.models.cubes import LEAST_ROWS, LEAST_SHARE, MOST_SHARE
from segengine.models.group_counts import Search, Tally
from segengine.models.groups import Group
from segengine.models.moments import Comparison, Moments, compare
from segengine.models.targets import GRID

FALSE_DISCOVERY_RATE = 0.05
_NEEDED_P = 0.05
_NARROWED = 0.9  # a condition takes away at least a tenth


@dataclass(frozen=True)
class Confirmed:
    """A group that holds: its tally, by how much it differs from the others, and how sure that is.

    `effect`: the difference of the mean scores, in standard deviations; of a class the difference of the shares. `t`:
    of the comparison that was made; `q`: the least false discovery rate at which the group is still shown.
    """

    group: Group
    tally: Tally
    effect: float
    t: float
    q: float


@dataclass(frozen=True)
class _Tested:
    tally: Tally
    raw: Comparison
    left: Comparison

    @property
    def p(self) -> float:
        return max(self.raw.p, self.left.p)


def confirm_groups(search: Search, tallies: Sequence[Tally], outcome_count: int) -> list[Confirmed]:
    """Return the groups that hold, each with no condition that is not needed, the surest first.

    All groups that a part of a pick's conditions makes are tested: the difference must be there with and without the
    shifts of stronger groups, in the direction it was found in, at a false discovery rate of 5 % over all of them.

    Args:
        search: What was found.
        tallies: Of all its groups, in order.
        outcome_count: How many outcomes of the target are searched: they share the rate.
    """
    from scipy.stats import false_discovery_control

    if not search.picks:
        return []
    remaining = iter(tallies)
    parts = [{group: next(remaining) for group in groups} for groups in search.list_groups()]
    tested = [{group: _test(tally, part[()]) for group, tally in part.items() if group} for part in parts]
    rates = iter(false_discovery_control([one.p for part in tested for one in part.values()]).tolist())
    found: dict[Group, Confirmed] = {}
    for pick, part, tests in zip(search.picks, parts, tested, strict=True):
        rated = {group: (one, next(rates) * outcome_count) for group, one in tests.items()}
        sign = 1 if pick.shift > 0 else -1
        held = [
            Confirmed(group, one.tally, _effect(one.tally, part[()], search), one.left.t, q)
            for group, (one, q) in rated.items()
            if q <= FALSE_DISCOVERY_RATE and min(sign * one.raw.t, sign * one.left.t) > 0
            if _has_fit_size(one.tally, part[()]) and _needs_all(group, part, sign)
        ]
        if held:
            best = max(held, key=lambda one: (abs(one.t), -len(one.group)))
            found.setdefault(best.group, best)
    return _drop_alike(sorted(found.values(), key=lambda one: -abs(one.t)), search)


def _drop_alike(found: list[Confirmed], search: Search) -> list[Confirmed]:
    """Return the groups without those that say much the same as one before."""
    alike = {frozenset(pair) for pair in search.alike}
    kept: list[Confirmed] = []
    for one in found:
        if not any(frozenset((one.group, other.group)) in alike for other in kept):
            kept.append(one)
    return kept


def _test(tally: Tally, everyone: Tally) -> _Tested:
    raw, left = scores(tally), _left(tally)
    return _Tested(tally, compare(raw, scores(everyone) - raw), compare(left, _left(everyone) - left))


def scores(tally: Tally) -> Moments:
    """Return the moments of the scores of the half that confirms."""
    return Moments(tally.confirmed, tally.score_sum, tally.score_squares)


def _left(tally: Tally) -> Moments:
    return Moments(tally.confirmed, tally.left_sum, tally.left_squares)


def _effect(tally: Tally, everyone: Tally, search: Search) -> float:
    difference = scores(tally).mean - (scores(everyone) - scores(tally)).mean
    return difference / (scores(everyone).deviation if search.outcome is None else GRID)


def _has_fit_size(tally: Tally, everyone: Tally) -> bool:
    return max(LEAST_ROWS, LEAST_SHARE * everyone.known) <= tally.known <= MOST_SHARE * everyone.known


def _needs_all(group: Group, tallies: dict[Group, Tally], sign: int) -> bool:
    """Return whether each condition makes the group smaller, and its mean more extreme than that of those left out.

    One on a value must do so even among those whose value is known.
    """
    for place, condition in enumerate(group):
        before, after = group[:place], group[place + 1 :]
        wider = [(*before, *after)]
        if condition.when_known:
            wider.append((*before, condition.when_known, *after))
        if not all(_narrows(tallies[group], tallies[parent], sign) for parent in wider if parent in tallies):
            return False
    return True


def _narrows(child: Tally, parent: Tally, sign: int) -> bool:
    if child.confirmed > _NARROWED * parent.confirmed:
        return False
    gain = compare(scores(child), scores(parent) - scores(child))
    return sign * gain.t > 0 and gain.p / 2 < _NEEDED_P  # the test of one side
