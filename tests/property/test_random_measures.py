"""Random measures over random projects, and segments and measures that ask for each other: all judges agree.

`-m long` does what `python -m tests.property.run --measures` does, sized like the lane of segments.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from random_measures import draw_measures

from .judges import judge_by_duckdb
from .lanes import Judge, Tally, compare_case
from .run import main

PROJECTS, MEASURES, SEGMENTS = 6, 16, 8


@pytest.fixture(scope="module")
def total() -> Tally:
    return Tally()


@pytest.mark.parametrize("seed", range(PROJECTS))
def test_all_judges_agree(seed: int, total: Tally) -> None:
    judges: dict[str, Judge] = {"duckdb": judge_by_duckdb}
    tally = compare_case(draw_measures(seed, MEASURES, SEGMENTS), judges)
    total.add(tally)
    assert not tally.disagreements


def test_most_measures_tell_profiles_apart(total: Tally) -> None:
    asked = PROJECTS * (MEASURES + SEGMENTS)
    if total.segments + total.measures < 0.9 * asked:
        pytest.skip("needs the whole lane before it")
    assert total.telling > 0.5 * asked
    assert total.judged["duckdb"] > 0.9 * asked


@pytest.mark.long
@pytest.mark.timeout(36_000)
def test_many_projects(tmp_path: Path) -> None:
    asked = {"projects": "100", "measures": "40", "segments": "20", "seed": "20000"}
    chosen = {name: os.environ.get(f"PROPERTY_{name.upper()}", value) for name, value in asked.items()}
    options = [text for name, value in chosen.items() for text in (f"--{name}", value)]
    assert main([*options, "--keep", str(tmp_path)]) == 0
