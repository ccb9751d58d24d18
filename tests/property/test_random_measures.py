"""Random measures over random projects, and segments and measures that ask for each other: all judges agree.

Reference and DuckDB on some projects, a whole refresh of an engine on another. `-m long` does what `python -m
tests.property.run --measures 40` does, with PROPERTY_PROJECTS, PROPERTY_MEASURES, PROPERTY_SEGMENTS and PROPERTY_SEED.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from random_measures import draw_measures

from segengine.engine.session import EngineSession

from .judges import find_refusals, judge_by_duckdb
from .lanes import Judge, Tally, compare_case, engine_judge
from .run import main, parse

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


@pytest.mark.parametrize("seed", range(PROJECTS))
def test_definitions_are_taken(seed: int, tmp_path: Path) -> None:
    assert find_refusals(draw_measures(seed, MEASURES, SEGMENTS), tmp_path) == []


@pytest.mark.parametrize("seed", [1001, pytest.param(1002, marks=pytest.mark.long)])
def test_a_refresh_has_the_values_of_the_reference(
    engine: EngineSession, open_once: Callable[[str], EngineSession], seed: int, tmp_path: Path
) -> None:
    judges = {engine.kind: engine_judge(tmp_path, open_once("embedded"), engine)}
    tally = compare_case(draw_measures(seed, 40, 20), judges)
    assert not tally.disagreements
    assert tally.judged[engine.kind] > 0.7 * 60


def test_measures_are_judged_by_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--measures", "3", "--engine", "kernel"])
    assert stopped.value.code == 2
    assert "leave --engine out" in capsys.readouterr().err
    assert (parse(["--measures", "3"]).engine, parse([]).engine) == ("embedded", "kernel")


@pytest.mark.long
@pytest.mark.timeout(36_000)
def test_many_projects(tmp_path: Path) -> None:
    asked = {"projects": "100", "measures": "40", "segments": "20", "seed": "20000"}
    chosen = {name: os.environ.get(f"PROPERTY_{name.upper()}", value) for name, value in asked.items()}
    options = [text for name, value in chosen.items() for text in (f"--{name}", value)]
    assert main([*options, "--keep", str(tmp_path)]) == 0
