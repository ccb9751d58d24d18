"""Results that a gate holds back never become current before somebody releases them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from workspace import Workspace

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.operations.release import Decision, decide_held
from segengine.operations.segments import count_outline
from segengine.operations.status import read_status
from segengine.store.runs import SegmentRun, Status

PROJECT = """
project: gated
schedule: {daily: ["02:00"]}
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: bought_at}
  visits: {path: data/visits, key: visit_id}
relationships: [purchases.customer_id -> customers, visits.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Buyers
rules: [{over: purchases}]
publish_if: {change_at_most: 0.5}
---
kind: segment
name: Customers who buy
where: {in_segment: Buyers}
---
kind: segment
name: Fresh
rules: [{over: purchases, rows: none}]
publish_if: {sources_not_empty: true, sources_not_older_than: 3 days}
---
kind: segment
name: Visitors
rules: [{over: visits}]
publish_if: {sources_not_empty: true, sources_not_older_than: 3 days, at_least: 1}
---
kind: segment
name: Everybody
where: everyone
"""
SPENDING = """
kind: measure
name: Purchases made
per: customer
over: purchases
value: {count: rows}
---
kind: segment
name: Spenders
where: {Purchases made: {at_least: 0}}
publish_if: {sources_not_older_than: 3 days}
---
kind: segment
name: Spenders by segment
where: {in_segment: Customers who buy}
publish_if: {sources_not_older_than: 3 days}
"""
VISITS = {"visit_id": [1], "customer_id": ["a"]}
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def purchases(*ids: str, at: datetime = JUNE - timedelta(days=1)) -> dict[str, object]:
    times = pa.array([at] * len(ids), pa.timestamp("us", tz="UTC"))
    return {"purchase_id": list(range(len(ids))), "customer_id": list(ids), "bought_at": times}


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The project with one refresh, as of June."""
    workspace = Workspace(tmp_path_factory.mktemp("gated"), embedded)
    tables = {"customers": {"customer_id": list("abcdef")}, "purchases": purchases("a", "b"), "visits": VISITS}
    workspace.set_up(PROJECT, tables, SEGMENTS)
    workspace.apply()
    report = workspace.refresh(as_of=JUNE)
    assert {str(run.status) for run in report.segments} == {"Successful"}
    return workspace


@pytest.fixture
def gated(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


def decide(workspace: Workspace, decision: Decision, *names: str) -> list[SegmentRun]:
    with workspace.opened() as project:
        return list(decide_held(project, names, decision).segments)


def ends(workspace: Workspace, as_of: datetime) -> dict[str, tuple[str, str]]:
    report = workspace.refresh(as_of=as_of)
    return {run.segment_id: (str(run.status), run.error) for run in report.segments}


def hold_back(workspace: Workspace, as_of: datetime = JUNE + timedelta(days=1)) -> None:
    workspace.write_table("purchases", purchases(*"cdef"))
    found = ends(workspace, as_of)
    problem = "the number of members changed by 2 from 2 (100.0 %), at most 50.0 % is allowed"
    assert found["buyers"] == ("Held", problem)
    assert found["customers_who_buy"] == ("Skipped", f'parent "Buyers" was held back: {problem}')
    assert found["everybody"][0] == "Successful"


@pytest.mark.before_the_engine
def test_who_would_be_in_it_is_seen_before_the_release(gated: Workspace) -> None:
    with pytest.raises(ConfigError, match='Segment "Buyers" has nothing held back: its last refresh ended Successful'):
        gated.members("Buyers", held=True)
    hold_back(gated)
    assert sorted(gated.members("Buyers", held=True)) == ["c", "d", "e", "f"]
    assert sorted(gated.members("Buyers")) == ["a", "b"], "these count"
    decide(gated, "release", "Buyers")
    assert sorted(gated.members("Buyers")) == ["c", "d", "e", "f"]
    with pytest.raises(ConfigError, match='Segment "Buyers" has nothing held back'):
        gated.members("Buyers", held=True)


def test_held_back_shown_and_released(gated: Workspace, embedded: EngineSession) -> None:
    hold_back(gated)

    assert gated.published().members()["buyers"] == gated.published().members()["customers_who_buy"] == ["a", "b"]
    assert sorted(gated.members("Buyers", limit=None)) == ["a", "b"]
    listed = gated.listed()["buyers"]
    assert (listed.status, listed.held.member_count if listed.held else None) == (Status.HELD, 4)
    assert listed.current is not None
    assert listed.current.snapshot_version == 1
    again = ends(gated.on(embedded), JUNE + timedelta(hours=36))
    assert again["buyers"][0] == "Held", "against the last good one, again"

    (released,) = decide(gated, "release", "Buyers")

    assert (released.snapshot_version, released.member_count, released.entered_count, released.left_count) == (
        2,
        4,
        4,
        2,
    )
    assert gated.published().members()["buyers"] == ["c", "d", "e", "f"]
    assert sorted(gated.members("Buyers", limit=None)) == ["c", "d", "e", "f"]
    assert gated.listed()["buyers"].status is Status.SUCCESSFUL
    with gated.opened() as project:
        assert [line.count for line in count_outline(project, "Buyers").lines] == [4]
    assert set(ends(gated.on(embedded), JUNE + timedelta(days=2)).values()) == {("Successful", "")}
    with pytest.raises(ConfigError, match="nothing held back: its last refresh ended Successful"):
        decide(gated, "release", "Buyers")


@pytest.mark.before_the_engine
def test_dropped(gated: Workspace) -> None:
    hold_back(gated)

    decide(gated, "drop", "Buyers")

    listed = gated.listed()["buyers"]
    assert (listed.status, listed.held) == (Status.CANCELED, None)
    assert " and dropped by " in listed.error
    assert gated.published().members()["buyers"] == ["a", "b"]
    assert str(gated.refresh("Customers who buy").segments[0].status) == "Successful", "fed by the last good one"
    with pytest.raises(ConfigError, match="nothing held back"):
        decide(gated, "release", "Buyers")


@pytest.mark.before_the_engine
def test_a_later_result_takes_the_place_of_a_held_one(gated: Workspace) -> None:
    hold_back(gated)
    gated.write_table("purchases", purchases("a", "b", "c"))
    assert ends(gated, JUNE + timedelta(days=2))["buyers"] == ("Successful", "")

    with pytest.raises(ConfigError, match="nothing held back"):
        decide(gated, "release", "Buyers")
    assert gated.published().members()["buyers"] == ["a", "b", "c"]


@pytest.mark.before_the_engine
def test_a_released_result_of_an_earlier_as_of_is_not_current(gated: Workspace) -> None:
    gated.refresh(as_of=JUNE + timedelta(days=5))
    gated.write_table("purchases", purchases(*"cdef"))
    assert ends(gated, JUNE + timedelta(days=1))["buyers"][0] == "Held"

    decide(gated, "release", "Buyers")

    assert gated.published().members()["buyers"] == ["a", "b"]
    assert sorted(gated.members("Buyers", limit=None, snapshot=3)) == ["c", "d", "e", "f"]


@pytest.mark.before_the_engine
def test_a_held_result_of_another_definition_is_not_released(gated: Workspace) -> None:
    hold_back(gated)
    gated.define(SEGMENTS.replace("[{over: purchases}]", "[{over: purchases, where: {customer_id: c}}]"))
    gated.apply()

    with pytest.raises(ConfigError, match="held back of segment .Buyers. is of an earlier definition"):
        decide(gated, "release", "Buyers")
    assert decide(gated, "drop", "Buyers")[0].status is Status.CANCELED


def test_empty_and_stale_sources(gated: Workspace) -> None:
    gated.write_table("visits", {"visit_id": pa.array([], pa.int64()), "customer_id": pa.array([], pa.string())})

    found = ends(gated, JUNE + timedelta(days=3, hours=1))

    stale = 'the news of table "purchases" is 97 hours old, at most 3 days are allowed'
    assert found["fresh"] == ("Held", stale)
    assert found["visitors"] == ("Held", 'it has 0 members, fewer than 1; table "visits" is empty')
    assert gated.published().members()["visitors"] == ["a"]


def test_sources_of_measures_and_parents_count_where_they_are_refreshed_too(gated: Workspace) -> None:
    gated.define(SPENDING, "spending.yml")
    gated.apply()
    late = JUNE + timedelta(days=4)
    stale = 'the news of table "purchases" is 5 days old, at most 3 days are allowed'

    found = ends(gated, late)
    assert [found[name] for name in ("spenders", "spenders_by_segment")] == [("Held", stale)] * 2

    named = gated.refresh("Spenders", as_of=late + timedelta(hours=1))
    assert [str(run.status) for run in named.segments] == ["Successful"]  # of what was read before it asks nothing


@pytest.mark.before_the_engine
def test_commands(gated: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gated.folder)
    gated.write_table("purchases", purchases(*"cdef"))
    assert main(["refresh", "Buyers", "--as-of", "2026-06-02T00:00:00Z"]) == 4
    shown = capsys.readouterr().out
    assert ("Held" in shown, "held back: `segengine release NAME` makes a result current" in shown) == (True, True)
    assert main(["segments", "show", "Buyers"]) == 0
    shown = capsys.readouterr().out
    assert "held back: 4 members, 4 entered, 2 left, as of 2026-06-02 00:00; `segengine release buyers` or " in shown
    assert main(["release", "Buyers", "-o", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["segments"]
    assert (row["decision"], row["snapshot_version"], row["member_count"]) == ("released", 2, 4)
    assert main(["drop", "Buyers"]) == 2
    assert 'error: Segment "Buyers" has nothing held back' in capsys.readouterr().err
    assert main(["release", "Byers"]) == 2


@pytest.mark.before_the_engine
def test_what_a_killed_run_was_doing_is_not_forgotten(gated: Workspace) -> None:
    hold_back(gated)
    DeltaTable(str(gated.warehouse / "control")).update(
        updates={"owner": "'ann on another, process 1|another|boot|1|1'", "ids": "'[\"everybody\"]'"}
    )
    assert gated.listed()["everybody"].status is Status.FAILED
    with gated.opened() as project:
        assert read_status(project).died.endswith("ended without saying so")

    with pytest.raises(ConfigError, match="The last run ended without saying so"):
        decide(gated, "release", "Buyers")
    assert gated.listed()["everybody"].status is Status.FAILED


def test_held_members_on_the_command_line(
    embedded_engine: EngineSession, refreshed: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = refreshed.copy_to(tmp_path).on(embedded_engine)
    hold_back(workspace)
    command = ["segments", "members", "Buyers", "--held", "--conf", str(workspace.folder)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    problem = "the number of members changed by 2 from 2 (100.0 %), at most 50.0 % is allowed"
    assert f'4 of 4 members of "Buyers", held back ({problem}), as of 2026-06-02 00:00' in shown
    assert main([*command, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)["members"]
    assert (sorted(document["members"]), document["held"]) == (["c", "d", "e", "f"], problem)
    assert document["snapshot_version"] is None
    assert main([*command, "-o", "csv"]) == 0
    assert sorted(capsys.readouterr().out.split()) == ["c", "customer_id", "d", "e", "f"]
    assert main([*command, "--snapshot", "1"]) == 2
    assert "it goes without --snapshot and --at" in capsys.readouterr().err
