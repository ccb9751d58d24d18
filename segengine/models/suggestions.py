"""Suggestions for a target: groups of customers whose average or share stands out, found on some, confirmed on others.

1. `find_candidates` searches a sample, drawn with `name_salt` and `choose_share`; 40 % of all customers, by another
   draw, take no part in it.
2. `Candidates.counter` counts what was found over all customers, batch by batch.
3. `confirm_candidates` returns what holds on those 40 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from segengine.errors import ConfigError
from segengine.models.codings import LeftOut, choose_coding
from segengine.models.confirmation import Confirmed, confirm_groups
from segengine.models.cubes import LEAST_ROWS, Axis, make_axis, search_groups
from segengine.models.fields import HASH, Field, draw_by_hash
from segengine.models.group_counts import DISCOVER_SHARE, GroupCounter, Search, Tally, find_alike, is_discovering
from segengine.models.groups import Group
from segengine.models.influences import judge_influences
from segengine.models.intervals import Interval, find_expected
from segengine.models.targets import Target, average, find_rare_classes, prepare_target

SAMPLE_ROWS = 120_000
MOST_SUGGESTIONS = 8
_LEAST_EFFECT, _LEAST_DIFFERENCE = 0.1, 0.05


@dataclass(frozen=True)
class Question:
    """What suggestions are asked for.

    `seed_text`: the definition's hash, which decides who is searched and who confirms; `zone`: the project's.
    """

    target: Field
    influences: tuple[Field, ...]
    seed_text: str
    zone: str = "UTC"


@dataclass(frozen=True)
class Candidates:
    """What was found among the customers that are searched, to be counted over all."""

    question: Question
    target: Target
    searches: tuple[Search, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]

    @property
    def counter(self) -> GroupCounter:
        """What counts it; it can be sent to the engine's tasks."""
        return GroupCounter(self.target, self.searches, self.question.seed_text)


@dataclass(frozen=True)
class Suggestion:
    """A group worth a segment.

    `outcome`: the class whose share stands out, None where it is the average of a number. `group`: the conditions its
    members satisfy; a rule of them has exactly `member_count` members, of whom `known_count` have a target. `average`
    and `average_of_all`: in the target's unit or, of an outcome, shares. `expected`: what to count on, from customers
    the group was not found on. `effect`: in standard deviations, or the difference of the shares; `q_value`: the least
    rate of false discoveries at which it is shown.
    """

    outcome: str | int | None
    group: Group
    member_count: int
    member_share: float
    known_count: int
    average: float
    average_of_all: float
    expected: Interval
    effect: float
    q_value: float


@dataclass(frozen=True)
class Suggestions:
    """The suggestions for a target, the surest first, with all that was left out or is doubtful, in words."""

    target: str
    suggestions: tuple[Suggestion, ...]
    customer_count: int
    known_count: int
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def name_salt(seed_text: str) -> str:
    """Return the salt of the sample's draws."""
    return f"{seed_text}: sample"


def choose_share(customer_count: int) -> float:
    """Return the share of all customers to sample: of them a part is searched, at most about `SAMPLE_ROWS`."""
    return min(1.0, SAMPLE_ROWS / max(1.0, DISCOVER_SHARE * customer_count))


def find_candidates(sample: pa.Table, question: Question) -> Candidates:
    """Return groups that stand out in a sample.

    Args:
        sample: A feature table of those customers whose draw by `name_salt` is below `choose_share`, in any order.
        question: Its target and the fields that may have an influence on it.

    Raises:
        ConfigError: The target cannot be one, or no field is of use.
    """
    rows = _take_rows(sample, question)
    target_column = rows[question.target.name].combine_chunks()
    target = prepare_target(target_column, question.target)
    judged = judge_influences(rows, target, question.influences, question.seed_text, question.zone)
    axes = [_make_axis(field, rows, question.zone) for field in judged.usable]
    if not axes:
        reasons = "; ".join(f"{one.field} {one.reason}" for one in judged.left_out)
        raise ConfigError(
            f'No field is left that could have an influence on "{question.target.name}": {reasons or "none is given"}.',
            "Name other attributes or measures under `influences`.",
        )
    warnings = list(judged.warnings)
    if rows.num_rows < 2 * LEAST_ROWS:
        warnings.append(
            f"Only {rows.num_rows} customers with a known target could be searched: too few to find a group among."
        )
    rare = find_rare_classes(target_column, target)
    warnings += [f"Too few customers differ in whether they have {value}: it was not looked at." for value in rare]
    searches = []
    for outcome in target.outcomes:
        picks = () if outcome in rare else search_groups(axes, target.score(target_column, outcome))
        searches.append(Search(outcome, picks, find_alike(picks, rows)))
    return Candidates(question, target, tuple(searches), judged.left_out, tuple(warnings))


def _take_rows(sample: pa.Table, question: Question) -> pa.Table:
    """Return the rows to search, those with a target, in an order of their own."""
    hashes = np.asarray(sample[HASH])
    known = np.asarray(sample[question.target.name].is_valid())
    rows = np.flatnonzero(known & is_discovering(hashes, question.seed_text))
    draws = draw_by_hash(hashes[rows], name_salt(question.seed_text))
    return sample.take(pa.array(rows[np.lexsort((hashes[rows], draws))[:SAMPLE_ROWS]]))


def _make_axis(field: Field, rows: pa.Table, zone: str) -> Axis:
    column = rows[field.name].combine_chunks()
    coding = choose_coding(column, field, zone)
    return make_axis(field.name, coding, coding.encode(column))


def confirm_candidates(candidates: Candidates, counted: Iterable[pa.RecordBatch]) -> Suggestions:
    """Return the suggestions that hold.

    Args:
        candidates: What was found.
        counted: What `Candidates.counter` returned for batches that have each customer once, in any order.
    """
    searches = candidates.searches
    tallies = candidates.counter.merge(counted)
    everyone = tallies[0][0]
    confirmed = [
        (search, tallied[0], one)
        for search, tallied in zip(searches, tallies, strict=True)
        for one in confirm_groups(search, tallied, len(searches))
        if abs(one.effect) >= (_LEAST_EFFECT if search.outcome is None else _LEAST_DIFFERENCE)
    ]
    confirmed.sort(key=lambda found: -abs(found[2].t))
    return Suggestions(
        candidates.question.target.name,
        tuple(_suggest(candidates.target, *found) for found in confirmed[:MOST_SUGGESTIONS]),
        everyone.members,
        everyone.known,
        candidates.left_out,
        candidates.warnings,
    )


def _suggest(target: Target, search: Search, everyone: Tally, found: Confirmed) -> Suggestion:
    tally = found.tally
    return Suggestion(
        search.outcome,
        found.group,
        tally.members,
        tally.members / everyone.members,
        tally.known,
        average(tally.total, tally.known, target.scale),
        average(everyone.total, everyone.known, target.scale),
        find_expected(target, search.outcome, tally),
        found.effect,
        found.q,
    )
