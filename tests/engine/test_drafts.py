"""Drafts: checked, applied, listed and previewed like all others, never refreshed before they are activated."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspace import Workspace

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.operations.manage import Selection, record_change
from segengine.operations.preview import preview_plan
from segengine.operations.status import read_status
from segengine.project.changes import activate
from segengine.store.runs import Status

PROJECT = """
project: shop
schedule: {daily: ["02:00"]}
tables:
  customers: {path: data/customers, key: customer_id}
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Romans
state: draft
where: {city: Rome}
---
kind: segment
name: Young Romans
where: {all: [{in_segment: Romans}, {age: {less_than: 30}}]}
---
kind: measure
name: Double age
state: draft
per: customer
value: {expression: age * 2}
"""


@pytest.fixture
def shop(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    customers = {"customer_id": ["a", "b", "c"], "city": ["Rome", "Rome", "Oslo"], "age": [20, 40, 20]}
    workspace.set_up(PROJECT, {"customers": customers}, SEGMENTS)
    return workspace


def ends(workspace: Workspace, *names: str, **choice: bool) -> dict[str, tuple[str, str]]:
    report = workspace.refresh(*names, **choice)
    return {run.id: (str(run.status), run.error) for run in (*report.segments, *report.measures)}


@pytest.mark.before_the_engine
def test_a_draft_is_refreshed_from_its_activation_on(shop: Workspace) -> None:
    shop.apply()
    waiting = ("Skipped", 'parent "Romans" is a draft')
    assert ends(shop) == {"young_romans": waiting}
    assert ends(shop, due=True) == {"young_romans": waiting}, "what was skipped is still due, drafts never are"
    assert ends(shop, "Romans", "Double age") == {
        "romans": ("Skipped", "it is a draft"),
        "double_age": ("Skipped", "it is a draft"),
    }
    listed = shop.listed()["romans"]
    assert (listed.segment.state, listed.current, listed.next_due) == ("draft", None, None)

    with shop.opened() as project:
        record_change(project, Selection("segment", ("Romans",)), activate())
        assert read_status(project).due_count == 2
    assert ends(shop, due=True) == {"romans": ("Successful", ""), "young_romans": ("Successful", "")}
    assert shop.members("Young Romans") == ["a"]
    assert shop.plan().has_changes is False, "what the command changed stays"


@pytest.mark.before_the_engine
def test_a_draft_is_previewed_with_those_that_ask_for_it(shop: Workspace) -> None:
    with shop.opened() as project:
        previews = {each.segment.id: each.member_count for each in preview_plan(project, shop.plan())}
    assert previews == {"romans": 2, "young_romans": 1}
    shop.apply()
    shop.define(SEGMENTS.replace("city: Rome", "city: Oslo"))
    with shop.opened() as project:
        previews = {each.segment.id: each.member_count for each in preview_plan(project, shop.plan())}
    assert previews == {"romans": 1, "young_romans": 1}
    assert shop.listed()["romans"].status is Status.NOT_STARTED


def test_drafts_on_the_command_line(
    embedded_engine: EngineSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path, embedded_engine)
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a"], "city": ["Rome"], "age": [20]}}, SEGMENTS)
    conf = ["--conf", str(tmp_path)]
    assert main(["apply", *conf]) == 0
    capsys.readouterr()
    assert main(["segments", "show", "Romans", *conf]) == 0
    assert capsys.readouterr().out.startswith("Romans (romans), dynamic, draft, Not started\n")
    assert main(["measures", "show", "Double age", *conf]) == 0
    assert capsys.readouterr().out.startswith("Double age (double_age), per customer, draft, Not started\n")
    assert main(["segments", "list", *conf]) == 0
    assert "draft" in capsys.readouterr().out
    assert main(["segments", "activate", "Romans", *conf]) == 0
    assert main(["refresh", *conf]) == 0
    assert "2 of 2 segments published" in capsys.readouterr().out
