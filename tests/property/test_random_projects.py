"""Random definitions over random projects: the kernel and DuckDB against the reference evaluator.

2,000 segments by default; `-m long` does what `python -m tests.property.run` does, with the number of projects, of
segments and the first seed from PROPERTY_PROJECTS, PROPERTY_SEGMENTS and PROPERTY_SEED (`-s` shows each seed).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .judges import judge_by_duckdb
from .lanes import Judge, Tally, compare_project, kernel_judge
from .run import main

PROJECTS, SEGMENTS = 40, 50


@pytest.fixture(scope="module")
def total() -> Tally:
    return Tally()


@pytest.mark.parametrize("seed", range(PROJECTS))
def test_all_judges_agree(seed: int, tmp_path: Path, total: Tally) -> None:
    judges: dict[str, Judge] = {"duckdb": judge_by_duckdb, "kernel": kernel_judge(tmp_path, seed)}
    tally = compare_project(seed, SEGMENTS, judges)
    total.add(tally)
    assert not tally.disagreements
    assert tally.judged["kernel"] > SEGMENTS * 0.8


def test_most_segments_tell_profiles_apart(total: Tally) -> None:
    if total.segments < PROJECTS * SEGMENTS:
        pytest.skip("needs the whole lane before it")
    assert total.telling > 0.5 * total.segments
    assert total.judged["duckdb"] > 0.98 * total.segments


@pytest.mark.long
@pytest.mark.timeout(36_000)
def test_many_projects(tmp_path: Path) -> None:
    asked = {"projects": "100", "segments": "200", "seed": "10000"}
    chosen = {name: os.environ.get(f"PROPERTY_{name.upper()}", value) for name, value in asked.items()}
    options = [text for name, value in chosen.items() for text in (f"--{name}", value)]
    assert main([*options, "--keep", str(tmp_path)]) == 0
