"""Cases with answers written by hand, or found by chance and kept: every judge has to give the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession

from .cases import GOLDEN, GoldenCase, read_case
from .judges import find_disagreements, judge_by_duckdb, judge_by_engine, judge_by_kernel, judge_by_reference

CASES = sorted(GOLDEN.glob("*.yml"))
OF_SEGMENTS = [path for path in CASES if not path.stem.startswith("measures_")]  # what the kernel alone can judge
BUGS: dict[str, str] = {}


@pytest.fixture(params=CASES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def golden(path: Path) -> GoldenCase:
    return read_case(path)


@pytest.fixture
def known_bugs(path: Path, request: pytest.FixtureRequest) -> None:
    """Expect the engine to fail a case it is known to fail."""
    if path.stem in BUGS:
        request.applymarker(pytest.mark.xfail(strict=True, reason=BUGS[path.stem]))


def test_reference_gives_the_answers(golden: GoldenCase) -> None:
    assert judge_by_reference(golden.case) == golden.members


def test_duckdb_gives_the_answers(golden: GoldenCase) -> None:
    assert find_disagreements("duckdb", judge_by_duckdb(golden.case), golden.members) == []


@pytest.mark.parametrize("path", OF_SEGMENTS, indirect=True, ids=lambda path: path.stem)
@pytest.mark.usefixtures("known_bugs")
def test_kernel_gives_the_answers(golden: GoldenCase, tmp_path: Path) -> None:
    found = judge_by_kernel(golden.case, tmp_path)
    assert find_disagreements("kernel", found, golden.members) == []


@pytest.mark.before_the_engine
@pytest.mark.usefixtures("known_bugs")
def test_engines_give_the_answers(
    engine: EngineSession, open_once: Callable[[str], EngineSession], golden: GoldenCase, tmp_path: Path
) -> None:
    found = judge_by_engine(golden.case, Workspace(tmp_path, open_once("embedded")), engine)
    assert find_disagreements(engine.kind, found, golden.members) == []
