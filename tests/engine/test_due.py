"""What is due: by the project's schedule and by own ones, after outages and failures, and how that is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.operations import refresh
from segengine.operations.dry_run import plan_refresh
from segengine.operations.due import Wanted
from segengine.operations.measures import list_measures
from segengine.operations.status import read_status
from segengine.store.control import ControlRow
from segengine.store.runs import History
from segengine.store.warehouse import Warehouse

pytestmark = pytest.mark.before_the_engine
PROJECT = """
project: shop
schedule: {daily: ["00:00", "06:00", "12:00", "18:00"]}
tables:
  customers: {path: data/customers, key: customer_id}
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
kind: segment
name: Daily
where: everyone
---
kind: segment
name: Monthly
refresh: {monthly: {day: 1, at: "00:00"}}
where: everyone
---
kind: segment
name: Fixed
type: static
where: everyone
---
kind: measure
name: Age
per: customer
value: {expression: "income + 1"}
refresh: {monthly: {day: 1, at: "00:00"}}
"""


@pytest.fixture
def shop(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a"], "income": [1]}}, DEFINITIONS)
    workspace.apply()
    return workspace


def due(workspace: Workspace, *names: str) -> set[str]:
    with workspace.opened() as project:
        return {planned.definition.id for planned in plan_refresh(project, Wanted(names, due=True))}


def month_start() -> datetime:
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def test_what_is_due_follows_from_the_last_success(shop: Workspace) -> None:
    assert due(shop) == {"daily", "monthly", "fixed", "age"}, "nothing was ever refreshed"

    shop.refresh(as_of=month_start() - timedelta(minutes=1))
    assert due(shop) == {"daily", "monthly", "age"}, "the machine was off since the end of last month"
    assert due(shop, "Daily") == {"daily"}
    assert {name: run.next_due for name, run in shop.listed().items()}["fixed"] is None

    shop.refresh("Monthly", "Age", as_of=month_start())
    assert due(shop) == {"daily"}
    report = shop.refresh(due=True)
    assert [run.name for run in report.segments] == ["Daily"]

    assert due(shop) == set()
    runs = len(shop.published().runs)
    assert shop.refresh(due=True).run_id == ""
    assert len(shop.published().runs) == runs, "where nothing is due, nothing is written"
    listed = shop.listed()
    next_month = (month_start() + timedelta(days=32)).replace(day=1)
    assert listed["monthly"].next_due == next_month
    next_quarter = listed["daily"].next_due
    assert next_quarter is not None
    assert timedelta(0) < next_quarter - datetime.now(UTC) <= timedelta(hours=6)
    assert next_quarter.hour % 6 == next_quarter.minute == 0
    with shop.opened() as project:
        assert [measure.next_due for measure in list_measures(project)] == [next_month]
        status = read_status(project)
    assert (status.due_count, status.next_due) == (0, min(next_quarter, next_month))


def test_another_run_may_have_been_faster(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published between the first look and the lease is no longer due; the log is read again only then."""
    choose, read, reads = refresh.choose_definitions, refresh.read_history, list[ControlRow]()

    def choose_after_another(*arguments: Any) -> Any:
        monkeypatch.setattr(refresh, "choose_definitions", choose)
        shop.refresh()
        return choose(*arguments)

    def read_counted(warehouse: Warehouse, control: ControlRow) -> History:
        reads.append(control)
        return read(warehouse, control)

    monkeypatch.setattr(refresh, "choose_definitions", choose_after_another)
    monkeypatch.setattr(refresh, "read_history", read_counted)
    assert shop.refresh(due=True).run_id == ""
    assert [bool(row.published_id) for row in reads] == [False, False, True], "twice by it, once by the other"
    assert len(shop.published().runs) == 1
    reads.clear()
    shop.refresh()
    assert len(reads) == 1


def test_only_some_kinds(shop: Workspace) -> None:
    assert [run.name for run in shop.refresh(kinds=["measure"]).measures] == ["Age"]
    assert {run.name for run in shop.refresh(kinds=["segment", "expansion"]).segments} == {"Daily", "Monthly", "Fixed"}
    assert not shop.refresh("Age", kinds=["segment"]).run_id, "of what is named those of other kinds are left out"
    with pytest.raises(ConfigError, match='There is no kind "segments" to refresh') as caught:
        shop.refresh(kinds=["segments"])
    assert "segment" in caught.value.hint


FAMILY = """
kind: measure
name: Age
per: customer
value: {expression: "income + 1"}
refresh: {daily: ["00:00"]}
---
kind: segment
name: Old
where: {Age: {at_least: 2}}
refresh: {monthly: {day: 1, at: "00:00"}}
---
kind: segment
name: Frozen
type: static
where: everyone
---
kind: segment
name: Old and frozen
refresh: {monthly: {day: 1, at: "00:00"}}
where: {all: [{in_segment: Old}, {in_segment: Frozen}]}
"""


def test_parents_are_refreshed_too_where_that_is_asked(engine: EngineSession, tmp_path: Path) -> None:
    shop = Workspace(tmp_path, engine)
    shop.set_up(PROJECT, {"customers": {"customer_id": ["a"], "income": [1]}}, FAMILY)
    shop.apply()
    shop.refresh(as_of=month_start() - timedelta(days=2))

    lines: list[str] = []
    shop.refresh("Old and frozen", progress=lines.append)
    assert not [line for line in lines if '"Frozen"' in line], "what is static is as it was meant to be"
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert '"Old and frozen" uses "Old" as of' in warning
    assert "--with-parents refreshes it too" in warning

    lines.clear()
    report = shop.refresh("Old and frozen", with_parents=True, progress=lines.append)
    assert {run.name for run in report.segments} == {"Old", "Old and frozen"}
    assert [run.name for run in report.measures] == ["Age"]
    assert not [line for line in lines if line.startswith("warning")]


def test_a_failed_refresh_stays_due(shop: Workspace) -> None:
    shop.refresh()
    shop.write_table("customers", {"customer_id": ["a"], "income": [float("inf")]})
    shop.pull()
    shop.refresh("Age", as_of=datetime.now(UTC) + timedelta(days=40))
    with shop.opened() as project:
        (measure,) = list_measures(project)
    assert str(measure.status) == "Failed"
    assert measure.next_due == (month_start() + timedelta(days=32)).replace(day=1)


def test_without_any_schedule_nothing_can_be_due(shop: Workspace) -> None:
    shop.write_project(PROJECT.replace('schedule: {daily: ["00:00", "06:00", "12:00", "18:00"]}', ""))
    assert due(shop) == {"monthly", "fixed", "age"}, "these have their own, or need none"
    shop.define("kind: segment\nname: Daily\nwhere: everyone\n")
    shop.apply(prune=True)

    with pytest.raises(ConfigError, match="Nothing is ever due: the project has no schedule.") as wrong:
        due(shop)
    assert wrong.value.hint == 'Add one to segengine.yml: `schedule: {daily: ["02:00"]}`.'
    assert shop.listed()["daily"].next_due is None


def test_the_command_says_what_is_due(
    shop: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.folder)
    assert main(["refresh", "--due", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["segments"]) == 3
    assert main(["refresh", "--due"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].endswith("nothing is due")
    assert main(["status"]) == 0
    assert "due now: 0 definitions; next due: 20" in capsys.readouterr().out
    assert main(["segments", "show", "Monthly"]) == 0
    assert "refreshed monthly on day 1 at 00:00 UTC; next due: " in capsys.readouterr().out
    assert main(["segments", "show", "Fixed"]) == 0
    assert "refreshed when asked; next due: never" in capsys.readouterr().out
    assert main(["measures", "show", "Age"]) == 0
    assert "refreshed monthly on day 1 at 00:00 UTC; next due: " in capsys.readouterr().out
