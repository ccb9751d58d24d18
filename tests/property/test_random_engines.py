"""Random projects as Delta tables, judged by one refresh of an engine: joins, types and ids as they really come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import Workspace
from worlds import Case, make_world

from segengine.engine.session import EngineSession

from .judges import judge_by_engine, judge_by_reference
from .lanes import compare_project, engine_judge

OpenOnce = Callable[[str], EngineSession]


def compare_on(engine: EngineSession, preparing: EngineSession, seed: int, segments: int, folder: Path) -> None:
    tally = compare_project(seed, segments, {engine.kind: engine_judge(folder, preparing, engine)})
    assert not tally.disagreements
    assert tally.judged[engine.kind] > 0.7 * segments


def test_a_refresh_has_the_members_of_the_reference(engine: EngineSession, open_once: OpenOnce, tmp_path: Path) -> None:
    compare_on(engine, open_once("embedded"), 1001, 250, tmp_path)


@pytest.mark.parametrize("seed", [1002, pytest.param(1003, marks=pytest.mark.long)])
def test_other_projects_have_too(embedded_engine: EngineSession, seed: int, tmp_path: Path) -> None:
    compare_on(embedded_engine, embedded_engine, seed, 120, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(2001, 2013))
def test_many_refreshes_have_the_members_of_the_reference(
    engine: EngineSession, open_once: OpenOnce, seed: int, tmp_path: Path
) -> None:
    compare_on(engine, open_once("embedded"), seed, 200, tmp_path)


NAN_AND_ONE_VALUE = Case(
    make_world(
        {
            "project": "nan",
            "tables": {"customers": {"path": "data/customers", "key": "id"}},
            "audiences": {"customer": {"table": "customers"}},
        },
        {"customers": {"id": "text", "score": "double"}},
        {"customers": [{"id": "nan", "score": float("nan")}, {"id": "two", "score": 2.0}]},
    ),
    [{"kind": "segment", "name": "two", "where": {"score": "2"}}],
    {},
)


@pytest.mark.before_the_engine
def test_nan_beside_one_value_is_read(engine: EngineSession, open_once: OpenOnce, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, open_once("embedded"))
    found = judge_by_engine(NAN_AND_ONE_VALUE, workspace, engine)
    assert found == judge_by_reference(NAN_AND_ONE_VALUE)
