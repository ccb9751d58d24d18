"""Suggestions and insights in refreshes, whatever they ask: their answers here are counts anybody can check."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from answering import Answers
from deltalake import DeltaTable, write_deltalake
from store_checker import check_store, find_violations
from workspace import Workspace, read_rows

from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.operations.analyses import list_analyses
from segengine.operations.costs import read_costs
from segengine.operations.dry_run import plan_refresh
from segengine.operations.due import Wanted
from segengine.operations.manage import Selection, plan_removal, record_change, record_removal
from segengine.operations.refresh import RefreshReport
from segengine.operations.status import read_status
from segengine.project.analysis import Analysis
from segengine.project.changes import deactivate, rename, set_type

PROJECT = """
project: shop
time_zone: UTC
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: bought_at}
relationships:
  - purchases.customer_id -> customers
audiences: {customer: {table: customers}}
activities:
  purchase: {table: purchases, at: bought_at, amount: amount}
keep: {all: 1 days}
"""
DEFINITIONS = """
kind: segment
name: West
where: {state: West}
---
kind: segment
name: Buyers
rules: [{over: purchases, where: {amount: {at_least: 5}}}]
---
kind: insight
name: Both
overlap: [West, Buyers]
"""
ACTIVITY = """
kind: suggestion
name: How they buy
activity: purchase
period: {within_last: 30 days}
dimensions: [recency]
"""
AS_OF = datetime(2026, 7, 1, 12, tzinfo=UTC)
CUSTOMERS = {"customer_id": ["a", "b", "c", "d"], "state": ["West", "West", "East", "East"]}
PURCHASES = {
    "purchase_id": [1, 2, 3, 4, 5, 6],
    "customer_id": ["a", "a", "b", "c", "c", "a"],
    "amount": [5, 7, 1, 20, 3, 100],
    "bought_at": [
        datetime(2026, month, day, tzinfo=UTC) for month, day in ((6, 20), (6, 30), (6, 10), (1, 1), (6, 3), (7, 2))
    ],
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers()
    monkeypatch.setattr("segengine.operations.evaluation.answer", answers)
    return answers


@pytest.fixture(scope="module")
def applied(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The project before its first refresh."""
    workspace = Workspace(tmp_path_factory.mktemp("applied"), embedded)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "purchases": PURCHASES}, DEFINITIONS)
    workspace.apply()
    return workspace


@pytest.fixture(scope="module")
def answered(applied: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The project after its first refresh."""
    workspace = applied.copy_to(tmp_path_factory.mktemp("answered"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("segengine.operations.evaluation.answer", Answers())
        assert ended(workspace.refresh()) == {"both": ("Successful", "")}
    assert answer_of(workspace, "both") == {"west": 2, "buyers": 2}
    return workspace


@pytest.fixture
def workspace(engine: EngineSession, answered: Workspace, tmp_path: Path) -> Workspace:
    """The project after its first refresh; what follows is done by the engine."""
    return answered.copy_to(tmp_path).on(engine)


@pytest.fixture
def new(engine: EngineSession, applied: Workspace, tmp_path: Path) -> Workspace:
    """The project before its first refresh, which the engine does."""
    return applied.copy_to(tmp_path).on(engine)


def ended(report: RefreshReport) -> dict[str, tuple[str, str]]:
    return {run.id: (str(run.status), run.error) for run in report.analyses}


def answer_of(workspace: Workspace, identity: str) -> Mapping[str, Any]:
    """Return the current answer of an analysis, as stored."""
    runs = [row for row in read_rows(workspace.warehouse / "analysis_runs") if row["analysis_id"] == identity]
    newest = max((row for row in runs if row["status"] == "Successful"), key=lambda row: row["snapshot_version"])
    stored = read_rows(workspace.warehouse / "model_results")
    found = [row for row in stored if (row["run_id"], row["id"]) == (newest["snapshot_run_id"], identity)]
    assert len(found) == 1
    content: Mapping[str, Any] = json.loads(found[0]["content"])
    return content


def test_an_answer_is_published_with_the_members_of_its_run(workspace: Workspace, answers: Answers) -> None:
    workspace.write_table("customers", {"customer_id": ["a", "c", "d"], "state": ["West", "East", "East"]})
    report = workspace.refresh()
    assert ended(report) == {"both": ("Successful", "")}
    assert report.is_complete
    assert report.analyses[0].snapshot_version == 2
    assert answer_of(workspace, "both") == {"west": 1, "buyers": 2}
    check_store(workspace.warehouse)
    stored = DeltaTable(str(workspace.warehouse / "model_results"))
    write_deltalake(stored, stored.to_pyarrow_table().slice(0, 1), mode="overwrite")
    (violation,) = find_violations(workspace.warehouse)
    assert re.fullmatch(r'model_results: 0 answers of run_\w+, "both", expected one', violation)


def test_the_figures_of_an_activity_are_those_of_its_rows(new: Workspace, answers: Answers) -> None:
    workspace = new
    workspace.define(ACTIVITY, "activity.yml")
    workspace.apply()
    report = workspace.refresh(as_of=AS_OF)
    assert ended(report)["how_they_buy"] == ("Successful", "")
    found = answer_of(workspace, "how_they_buy")["figures"]
    ids = {row["profile_key"]: row["profile_id"] for row in read_rows(workspace.warehouse / "profile_keys")}
    first, expected = datetime(2026, 6, 1, tzinfo=UTC), {}
    for customer in CUSTOMERS["customer_id"]:
        own = [
            (at, amount)
            for of, at, amount in zip(
                PURCHASES["customer_id"], PURCHASES["bought_at"], PURCHASES["amount"], strict=True
            )
            if of == customer and first <= at <= AS_OF
        ]
        last = max((int(at.timestamp() * 1_000_000) for at, _ in own), default=None)
        expected[customer] = {"frequency": len(own), "recency": last, "monetary": sum(amount for _, amount in own)}
    assert {ids[row.pop("profile_key")]: row for row in found} == expected
    assert "@how_they_buy" not in {summary.segment.id for summary in workspace.listed().values()}
    with workspace.opened() as project:
        costs = {each.definition.id: each.cost.scans for each in read_costs(project).costs}
    assert costs["how_they_buy"] == ("purchases > customer",)
    check_store(workspace.warehouse)


def test_what_has_no_answer_fails_alone_and_keeps_its_last_one(workspace: Workspace, answers: Answers) -> None:
    workspace.define("kind: insight\nname: Against all\ndifferentiators: {of: West}\nfields: [state]\n", "more.yml")
    workspace.apply()

    def refuse(analysis: Analysis) -> None:
        if analysis.id == "both":
            raise ConfigError("Nobody is in both.", "Choose others.")

    answers.act = refuse
    report = workspace.refresh(full=True)
    assert ended(report) == {"both": ("Failed", "Nobody is in both. Choose others."), "against_all": ("Successful", "")}
    assert not report.is_complete
    assert answer_of(workspace, "both") == {"west": 2, "buyers": 2}
    with workspace.opened() as project:
        listed = {each.analysis.id: each for each in list_analyses(project)}
        counts = read_status(project).runs[0].status_counts
    assert (listed["both"].status, listed["both"].error) == ("Failed", "Nobody is in both. Choose others.")
    assert listed["both"].asks == 'overlap of "West", "Buyers"'
    assert listed["against_all"].asks == '"West" against everyone else'
    assert counts == {"Successful": 3, "Failed": 1}
    check_store(workspace.warehouse)


def test_it_is_skipped_where_a_parent_has_no_members_to_show(
    new: Workspace, embedded: EngineSession, answers: Answers
) -> None:
    workspace = new
    workspace.define(DEFINITIONS.replace("name: West\n", "name: West\nstate: draft\n"))
    workspace.apply()
    assert ended(workspace.on(embedded).refresh()) == {"both": ("Skipped", 'parent "West" is a draft')}
    assert not answers.asked
    workspace.define(DEFINITIONS + "---\nkind: suggestion\nname: Odd\nactivity: purchase\nof: West\n")
    workspace.apply()
    purchases = {**PURCHASES, "amount": [5.0, 7.0, 1.0, float("inf"), 3.0, 1.0]}
    workspace.write_table("purchases", purchases)
    workspace.pull()
    found = ended(workspace.refresh())
    assert found["both"][0] == "Skipped"
    assert found["both"][1].startswith('parent "Buyers" failed: 1 value(s) of "amount" are infinite')
    assert found["odd"] == ("Failed", '1 value(s) of "amount" are infinite or out of range')
    check_store(workspace.warehouse)


def test_an_answer_that_cannot_have_changed_is_kept(workspace: Workspace, answers: Answers) -> None:
    report = workspace.refresh()
    assert [(run.status, run.snapshot_version) for run in report.analyses] == [("Successful", 1)]
    assert report.unchanged_count == 3
    assert not answers.asked
    with workspace.opened() as project:
        assert {each.definition.id: each.reason for each in plan_refresh(project)} == dict.fromkeys(
            ("west", "buyers", "both"), ""
        )
    workspace.append_rows("purchases", {**{key: values[:1] for key, values in PURCHASES.items()}, "purchase_id": [9]})
    report = workspace.refresh()
    assert [run.snapshot_version for run in report.analyses] == [2]
    workspace.define(DEFINITIONS.replace("[West, Buyers]", "[Buyers, West]"))
    workspace.apply()
    with workspace.opened() as project:
        reasons = {each.definition.id: each.reason for each in plan_refresh(project, Wanted(["Both"]))}
    assert reasons == {"both": ""}, "the order of segments changes nothing"


def test_a_deleted_segment_fails_what_asks_for_it(workspace: Workspace, answers: Answers) -> None:
    west = Selection("segment", ("West",))
    with workspace.opened() as project:
        assert [str(user) for change in plan_removal(project, west).changes for user in change.users] == [
            'insight "Both"'
        ]
        with pytest.raises(ConfigError, match='insight "Both"'):
            record_removal(project, west)
        record_removal(project, west, force=True)
    cause = 'it uses segment "West", which was deleted.'
    assert ended(workspace.refresh()) == {"both": ("Failed", cause)}
    with workspace.opened() as project:
        assert [(each.status, each.error) for each in list_analyses(project)] == [("Failed", cause)]
        record_removal(project, Selection("insight", ("Both",)))
        assert list_analyses(project) == []
    assert workspace.refresh().is_complete
    check_store(workspace.warehouse)


def test_a_rename_keeps_the_answers_and_static_ones_wait_to_be_named(
    workspace: Workspace, embedded: EngineSession, answers: Answers
) -> None:
    with workspace.opened() as project:
        record_change(project, Selection("segment", ("West",)), rename("Wild West"))
        record_change(project, Selection("insight", ("Both",)), rename("Both of them"))
        record_change(project, Selection("insight", ("Both of them",)), set_type("static"))
        (summary,) = list_analyses(project)
    assert (summary.analysis.name, summary.asks) == ("Both of them", 'overlap of "Wild West", "Buyers"')
    assert summary.current is not None
    assert ended(workspace.on(embedded).refresh(full=True)) == {}
    assert ended(workspace.refresh("Both of them", full=True)) == {"both": ("Successful", "")}
    with workspace.opened() as project:
        record_change(project, Selection("insight", ("both",)), deactivate())
    assert ended(workspace.refresh("both")) == {"both": ("Skipped", "it is inactive")}


def test_nothing_is_half_published(workspace: Workspace, embedded: EngineSession, answers: Answers) -> None:
    def interrupt(analysis: Analysis) -> None:
        raise KeyboardInterrupt

    answers.act = interrupt
    with pytest.raises(KeyboardInterrupt):
        workspace.refresh(full=True)
    assert answer_of(workspace, "both") == {"west": 2, "buyers": 2}
    check_store(workspace.warehouse)
    answers.act = lambda analysis: None
    report = workspace.on(embedded).refresh(full=True)
    assert [(run.status, run.snapshot_version) for run in report.analyses] == [("Successful", 2)]
    check_store(workspace.warehouse)


def test_answers_that_are_no_longer_kept_go(new: Workspace, embedded: EngineSession, answers: Answers) -> None:
    workspace = new
    for day in (1, 2, 3):
        workspace.on(embedded).refresh(as_of=datetime(2026, 6, day, tzinfo=UTC), full=True)
    workspace.maintain()
    (row,) = read_rows(workspace.warehouse / "model_results")
    newest = max(read_rows(workspace.warehouse / "analysis_runs"), key=lambda each: each["snapshot_version"])
    assert row["run_id"] == newest["run_id"]
    check_store(workspace.warehouse, thinned=True)


def test_a_warehouse_without_analyses_has_no_table_of_them(
    new: Workspace, embedded: EngineSession, answers: Answers
) -> None:
    workspace = new
    workspace.define(DEFINITIONS.rpartition("---\n")[0])
    workspace.apply(prune=True)
    assert workspace.on(embedded).refresh().is_complete
    assert not (workspace.warehouse / "analysis_runs").exists()
    workspace.define(DEFINITIONS)
    workspace.apply()
    with pytest.raises(ConfigError, match="A back-fill is of segments and measures"):
        workspace.backfill(["Both"], date(2026, 1, 1), date(2026, 1, 2), "day")
    assert ended(workspace.refresh()) == {"both": ("Successful", "")}
    check_store(workspace.warehouse)
