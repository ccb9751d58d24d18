"""`backfill`: snapshots of past instants, by tables as they were then; members worked out in plain Python."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from history import Row, write_versions
from workspace import Workspace

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, DataContractError, LeaseHeldError
from segengine.operations.backfill import Every, list_days, plan_backfill
from segengine.operations.context import read_state
from segengine.operations.membership_changes import read_membership_changes
from segengine.operations.segments import show_segment
from segengine.operations.why import explain_membership
from segengine.store.control import Control
from segengine.store.runs import Status

BERLIN = ZoneInfo("Europe/Berlin")
PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: bought_at}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: measure
name: Spend
per: customer
over: purchases
value: {sum: price}
---
kind: segment
name: West
where: {state: {any_of: [CA, NV]}}
---
kind: segment
name: Big in the west
rules:
  - where: {in_segment: West}
  - intersect: {where: {Spend: {at_least: 10}}}
---
kind: segment
name: Everybody
where: everyone
publish_if: {at_least: 100}
"""
DAYS = [date(2026, 3, 20), date(2026, 3, 27), date(2026, 4, 3)]  # between them the clocks are put forward


def end_of(day: date) -> datetime:
    following = datetime.combine(day + timedelta(days=1), datetime.min.time(), BERLIN)
    return following.astimezone(UTC) - timedelta(microseconds=1)


def customer(customer_id: str, state: str) -> Row:
    return {"customer_id": customer_id, "state": state}


def purchase(number: int, customer_id: str, price: int, day: date) -> Row:
    return {"purchase_id": number, "customer_id": customer_id, "price": price, "bought_at": end_of(day)}


# One version at the first instant, one between it and the second, one after the third; nothing is like it was.
WRITTEN_AT = [end_of(DAYS[0]) - timedelta(hours=1), end_of(DAYS[1]) - timedelta(days=3), end_of(DAYS[2])]
CUSTOMERS = [
    [customer("a", "CA"), customer("b", "NY")],
    [customer("a", "CA"), customer("b", "NV"), customer("c", "NV")],
    [customer("b", "NV"), customer("c", "NY"), customer("d", "CA")],
]
PURCHASES = [
    [purchase(1, "a", 10, date(2026, 3, 1)), purchase(2, "b", 20, date(2026, 3, 2))],
    [purchase(1, "a", 9, date(2026, 3, 1)), purchase(2, "b", 20, date(2026, 3, 2))],  # 1 was corrected
    [purchase(2, "b", 20, date(2026, 3, 2)), purchase(3, "d", 30, date(2026, 4, 3))],
]


def expected(as_of: datetime) -> dict[str, set[str]]:
    version = sum(moment <= as_of for moment in WRITTEN_AT) - 1
    customers, purchases = CUSTOMERS[version], PURCHASES[version]
    west = {row["customer_id"] for row in customers if row["state"] in ("CA", "NV")}
    spend = {each: sum(row["price"] for row in purchases if row["customer_id"] == each) for each in west}
    return {
        "west": west,
        "big_in_the_west": {each for each in west if spend[each] >= 10},
        "everybody": {row["customer_id"] for row in customers},
    }


def set_up(folder: Path, session: EngineSession) -> Workspace:
    workspace = Workspace(folder, session)
    workspace.write_project(PROJECT)
    write_versions(workspace.data / "customers", CUSTOMERS, WRITTEN_AT)
    write_versions(workspace.data / "purchases", PURCHASES, WRITTEN_AT)
    workspace.define(SEGMENTS)
    workspace.pull()
    workspace.apply()
    return workspace


@pytest.fixture
def shop(engine: EngineSession, tmp_path: Path) -> Workspace:
    return set_up(tmp_path, engine)


@pytest.fixture
def local(embedded_engine: EngineSession, tmp_path: Path) -> Workspace:
    """The same, for what no engine decides."""
    return set_up(tmp_path, embedded_engine)


def rows_of(shop: Workspace, segment_id: str) -> list[dict[str, Any]]:
    return sorted(shop.published().of(segment_id), key=lambda row: row["as_of"])


def test_every_instant_has_the_members_of_then(shop: Workspace, embedded: EngineSession) -> None:
    before = shop.on(embedded).refresh("West", "Spend", "Big in the west")
    report = shop.backfill(["Big in the west", "Everybody"], DAYS[0], DAYS[-1], "week")
    assert report.is_complete
    assert [each.as_of for each in report.instants] == [end_of(day) for day in DAYS]
    published = shop.published()
    for segment_id in ("west", "big_in_the_west", "everybody"):
        filled = [row for row in rows_of(shop, segment_id) if row["purpose"] == "back-fill"]
        members: list[set[str]] = [set()]
        for row, day in zip(filled, DAYS, strict=True):
            found = set(published.members_of_run(segment_id, row["run_id"]))
            assert found == expected(end_of(day))[segment_id]
            counts = (len(found), len(found - members[-1]), len(members[-1] - found))
            assert (row["member_count"], row["entered_count"], row["left_count"]) == counts
            assert (row["as_of"], row["status"]) == (end_of(day), "Successful")  # gates judge no back-fill
            members.append(found)
    assert len({frozenset(expected(end_of(day))["big_in_the_west"]) for day in DAYS}) > 1
    assert shop.published().members()["west"] == ["b", "d"]  # of the refresh
    assert {run.segment_id for run in before.segments} == {"west", "big_in_the_west"}
    assert [json.loads(row["source_readings"]) for row in published.runs[1:]] == 3 * [
        {"customers": "as_it_was", "purchases": "as_it_was"}
    ]


@pytest.mark.before_the_engine
def test_a_backfill_is_never_current_and_feeds_nothing(shop: Workspace) -> None:
    shop.backfill(["Big in the west"], DAYS[0], DAYS[-1], "week")
    listed = shop.listed()["big_in_the_west"]
    assert (listed.status, listed.current, listed.last) == (Status.NOT_STARTED, None, None)
    with pytest.raises(ConfigError, match="has only snapshots of back-fills: it was never refreshed"):
        shop.members("Big in the west")
    (run,) = shop.refresh("Big in the west").segments
    assert (run.status, run.error) == (Status.SKIPPED, 'measure "Spend" has never been refreshed')
    earlier = end_of(DAYS[1]) + timedelta(hours=1)
    first, second = (shop.refresh("West", as_of=moment).segments[0] for moment in (earlier, end_of(DAYS[2])))
    assert (first.entered_count, first.left_count) == (first.member_count, 0)  # there was no refresh before
    assert (second.entered_count, second.left_count) == (1, 2)  # "d"; "a" and "c", against that refresh
    current = shop.listed()["west"].current
    assert current is not None
    assert current.run_id == second.run_id
    assert shop.members("West", at=end_of(DAYS[0])) == ["a"]
    with shop.opened() as project:
        numbers = [run.snapshot_version for run in show_segment(project, "West").snapshots]
        assert numbers == [1, 2, 4, 3, 5]  # by time; of one time the refresh came later
        found = read_membership_changes(project, "West", end="2")
        assert (found.before and found.before.snapshot_version, found.entered_count) == (1, 2)
        assert explain_membership(project, "Big in the west", "b", snapshot=2).is_member


@pytest.mark.before_the_engine
def test_parents_come_from_the_same_instants(shop: Workspace) -> None:
    shop.refresh("West", as_of=end_of(DAYS[1]))
    shop.refresh()  # what is current now feeds nothing of then
    said: list[str] = []
    shop.backfill(["Big in the west"], DAYS[0], DAYS[-1], "week", said.append)
    assert said[0] == (
        '3 instants, the ends of 2026-03-20 to 2026-04-03; "Spend", "West", on which others depend, '
        "as of the same instants"
    )
    runs = {row["as_of"]: row["parents"] for row in rows_of(shop, "big_in_the_west") if row["purpose"] == "back-fill"}
    assert json.loads(runs[end_of(DAYS[1])])["west"] == 1  # the refresh of that instant was there
    made = [row["as_of"] for row in rows_of(shop, "west") if row["purpose"] == "back-fill"]
    assert made == [end_of(DAYS[0]), end_of(DAYS[2])]


@pytest.mark.before_the_engine
def test_what_is_there_is_left_out(shop: Workspace) -> None:
    first = shop.backfill(["West"], DAYS[0], DAYS[1], "week")
    said: list[str] = []
    again = shop.backfill(["West", "Spend"], DAYS[0], DAYS[-1], "week", said.append)
    assert [each.runs[0].run_id for each in again.instants[:2]] == [each.run_id for each in first.instants]
    assert [len(each.runs) for each in again.instants] == [2, 2, 2]
    assert len(rows_of(shop, "west")) == 3
    nothing = shop.backfill(["West", "Spend"], DAYS[0], DAYS[-1], "week", said.append)
    assert nothing.is_complete
    assert [each.run_id for each in nothing.instants] == ["", "", ""]
    assert said[-1] == "2026-04-03 (3 of 3): there already"
    shop.define(SEGMENTS.replace("[CA, NV]", "[CA]"))
    shop.apply()
    with shop.opened() as project:
        planned = plan_backfill(project, ["West", "Spend"], DAYS[0], DAYS[-1], "week")
    assert [sorted(each.definitions) for each in planned] == [["west"]] * 3
    changed = shop.backfill(["West"], DAYS[0], DAYS[0], "day")
    assert [run.snapshot_version for run in changed.instants[0].runs] == [4]
    with shop.opened() as project:
        newest = [run.snapshot_version for run in show_segment(project, "West").snapshots]
    assert newest == [1, 4, 2, 3]


@pytest.mark.before_the_engine
def test_what_is_done_stays_when_it_is_canceled(shop: Workspace) -> None:
    said: list[str] = []

    def interrupt(line: str) -> None:
        said.append(line)
        if "(2 of 3)" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.backfill(["West"], DAYS[0], DAYS[-1], "week", interrupt)
    assert said[-1] == "2 of 3 instants are done; the same command goes on with the rest"
    assert [row["as_of"] for row in rows_of(shop, "west")] == [end_of(day) for day in DAYS[:2]]
    said.clear()
    shop.backfill(["West"], DAYS[0], DAYS[-1], "week", said.append)
    assert said[0] == "3 instants, the ends of 2026-03-20 to 2026-04-03, 2 of them there already"
    assert [row["as_of"] for row in rows_of(shop, "west")] == [end_of(day) for day in DAYS]


@pytest.mark.before_the_engine
def test_an_instant_that_fails_leaves_the_others(shop: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(shop.data / "customers")
    without = [[{"customer_id": "a"}], *CUSTOMERS[1:]]
    write_versions(shop.data / "customers", without, WRITTEN_AT)
    report = shop.backfill(["West"], DAYS[0], DAYS[-1], "week")
    assert not report.is_complete
    assert ["was not there at version 0" in each.error for each in report.instants] == [True, False, False]
    failed, *good = rows_of(shop, "west")
    assert (failed["status"], failed["purpose"]) == ("Failed", "back-fill")
    assert [row["status"] for row in good] == ["Successful"] * 2
    assert shop.listed()["west"].status is Status.NOT_STARTED
    with pytest.raises(DataContractError, match="As of 2026-03-20 22:59 UTC the sources had other columns"):
        shop.backfill(["West"], DAYS[0], DAYS[0], "day")


def test_inactive_definitions_have_a_past_too(local: Workspace) -> None:
    local.define(SEGMENTS.replace("name: West\n", "name: West\nstate: inactive\n"))
    local.apply()
    assert local.backfill(["Big in the west"], DAYS[0], DAYS[0], "day").is_complete
    assert local.published().of("big_in_the_west")[0]["member_count"] == 1


def test_what_is_current_is_kept_beside_later_backfills(local: Workspace) -> None:
    local.write_project(PROJECT + "keep: {all: 1 days}\n")
    (current,) = local.refresh("West", as_of=end_of(DAYS[0])).segments
    local.backfill(["West"], DAYS[1], DAYS[2], "week")
    assert local.maintain(retention=timedelta(0)) is not None
    with local.opened() as project:
        _, history = read_state(project)
    kept = [run.purpose for run in history.segments.snapshots("west") if history.segments.is_kept(run)]
    assert kept == ["refresh", "back-fill"]
    assert len(local.members("West")) == current.member_count


def test_another_run_is_not_disturbed(local: Workspace) -> None:
    local.backfill(["West"], DAYS[0], DAYS[0], "day")
    said: list[str] = []
    with local.opened() as project:
        control = Control(project.warehouse, "control")
        with control.lease("run_other", ["west"]), pytest.raises(LeaseHeldError):
            local.backfill(["West"], DAYS[0], DAYS[-1], "week", said.append)
    assert said[-1] == "1 of 3 instants are done; the same command goes on with the rest"
    assert local.backfill(["West"], DAYS[0], DAYS[-1], "week").is_complete


@pytest.mark.parametrize(
    ("first", "last", "every", "days"),
    [
        ("2026-01-31", "2026-04-30", "month", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("2024-02-29", "2024-03-28", "month", ["2024-02-29"]),
        ("2026-03-27", "2026-03-30", "day", ["2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30"]),
        ("2026-03-27", "2026-04-09", "week", ["2026-03-27", "2026-04-03"]),
        ("2026-03-27", "2026-03-27", "week", ["2026-03-27"]),
    ],
)
def test_days(first: str, last: str, every: Every, days: list[str]) -> None:
    found = list_days(date.fromisoformat(first), date.fromisoformat(last), every, "Europe/Berlin")
    assert [day.isoformat() for day in found] == days


def test_days_that_have_not_ended() -> None:
    today = datetime.now(BERLIN).date()
    yesterday = today - timedelta(days=1)
    assert list_days(yesterday, yesterday, "day", "Europe/Berlin") == [yesterday]
    with pytest.raises(ConfigError) as refused:
        list_days(yesterday, today, "day", "Europe/Berlin")
    assert refused.value.message == f"{today} has not ended in Europe/Berlin yet."
    with pytest.raises(ConfigError, match="is before the first"):
        list_days(today, yesterday, "day", "Europe/Berlin")


def test_on_the_command_line(local: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    conf = ["--conf", str(local.folder)]
    days = ["--from", "2026-03-20", "--to", "2026-04-03", "--every", "week"]
    assert main(["backfill", "West", *days, "--dry-run", "-o", "json", *conf]) == 0
    planned = json.loads(capsys.readouterr().out)["instants"]
    assert [(each["day"], each["definitions"], each["there"]) for each in planned] == [
        (day.isoformat(), ["West"], []) for day in DAYS
    ]
    assert not (local.warehouse / "control").exists()
    assert main(["backfill", "West", *days, *conf]) == 0
    captured = capsys.readouterr()
    assert "3 instants published, in " in captured.out
    line = "2026-03-20 (1 of 3): 1 of 1 published; read customers (version 0) as it was\n"
    assert line in captured.err
    assert main(["backfill", "West", *days, "-o", "csv", *conf]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1] == "2026-03-20,west,West,1,1,1,0,,there already,"
    assert main(["segments", "show", "West", *conf]) == 0
    shown = capsys.readouterr().out
    assert shown.count("back-fill") == 3
    assert main(["status", *conf]) == 0
    assert capsys.readouterr().out.count("back-fill") == 3
    assert main(["backfill", "Vest", *days, *conf]) == 2
    assert 'error: There is no definition "Vest".\nhint: Did you mean "West"?' in capsys.readouterr().err
    with local.opened() as project:
        details = show_segment(project, "West")
    assert [run.purpose for run in details.snapshots] == ["back-fill"] * 3


def test_a_broken_definition_is_refused(local: Workspace) -> None:
    local.write_project(PROJECT.replace("relationships: [purchases.customer_id -> customers]", "relationships: []"))
    for name in ("Spend", "Big in the west"):
        with pytest.raises(ConfigError, match=f'^"{name}" cannot be evaluated: '):
            local.backfill([name], DAYS[0], DAYS[0], "day")
