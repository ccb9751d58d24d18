"""Members cut from scores: exactly the best ones, whatever the partitions."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from segengine.errors import ConfigError
from segengine.models.calibration import STEPS
from segengine.models.selection import Counts, Cut, count_bands, find_cut, to_steps

Candidate = tuple[str, float]


def counts_of(scores: pa.Array) -> Counts:
    return np.bincount(to_steps(scores), minlength=STEPS + 1)


def choose(parts: list[list[Candidate]], size: int, minimum_score: float) -> tuple[Cut, list[str]]:
    """Return the ids of the members, found as an engine would: part by part."""
    columns = [pa.array([score for _, score in part], pa.float64()) for part in parts]
    cut = find_cut(np.sum([counts_of(column) for column in columns], axis=0), size, minimum_score)
    members, tied = [], []
    for part, column in zip(parts, columns, strict=True):
        members += [part[row][0] for row in np.flatnonzero(np.asarray(column) > cut.score)]
        tied += [part[row][0] for row in np.flatnonzero(np.asarray(column) == cut.score)]
    return cut, members + sorted(tied)[: cut.tied_taken]


@pytest.mark.parametrize("seed", range(30))
def test_the_best_are_chosen_however_the_rows_are_spread(seed: int) -> None:
    draw = random.Random(seed)
    candidates = [(f"c{i}", draw.choice([0.1234, 0.4, 0.55, 0.7, 0.7001, 0.9999, 1.0])) for i in range(200)]
    draw.shuffle(candidates)
    size, minimum = draw.choice([1, 30, 100, 200, 500]), draw.choice([0.4, 0.55, 0.7])
    parts: list[list[Candidate]] = [[] for _ in range(5)]
    for candidate in candidates:
        draw.choice(parts).append(candidate)
    eligible = sorted((-score, id_) for id_, score in candidates if score >= minimum)
    cut, members = choose(parts, size, minimum)
    assert sorted(members) == sorted(id_ for _, id_ in eligible[:size])
    assert cut.members == len(members)


def test_fewer_than_asked_for_is_said() -> None:
    counts = counts_of(pa.array([0.9, 0.6, 0.5, 0.1]))
    assert find_cut(counts, 2).warnings == ()
    assert find_cut(counts, 3).warnings == ("3 customers were asked for, but only 2 have a score of 0.55 or more.",)
    assert find_cut(counts, 9, 0.4).warnings == (
        "9 customers were asked for, but there are only 4 candidates, of whom 3 have a score of 0.4 or more.",
    )


def test_no_candidate_is_an_empty_segment_with_a_warning() -> None:
    cut = find_cut(counts_of(pa.array([], pa.float64())), 10)
    assert cut.members == 0
    assert cut.warnings


def test_a_least_score_between_two_scores_leaves_the_lower_out() -> None:
    counts = counts_of(pa.array([0.6, 0.6001]))
    assert find_cut(counts, 5, 0.60005).members == 1
    assert find_cut(counts, 5, 0.6).members == 2


@pytest.mark.parametrize(
    ("size", "minimum", "message"),
    [(0, 0.55, "at least 1"), (5, 0.39, "0.4 to 1"), (5, 1.1, "1.1"), (5, float("nan"), "nan")],
)
def test_a_wish_out_of_range_is_refused(size: int, minimum: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_cut(counts_of(pa.array([0.9])), size, minimum)


def test_bands_begin_with_their_least_score() -> None:
    scores = pa.array([1.0, 0.85, 0.8499, 0.7, 0.55, 0.5499, 0.0])
    counted = {band.band: band.candidates for band in count_bands(counts_of(scores))}
    assert counted == {"very similar": 2, "similar": 2, "somewhat similar": 1, "not similar": 2}
