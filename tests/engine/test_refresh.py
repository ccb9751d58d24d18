"""Refreshes one after the other: snapshots, keys, parents, the lease, and how results are looked at."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable
from workspace import Workspace

from segengine.engine import handover
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, LeaseHeldError, RunError
from segengine.operations.member_rows import write_member_rows
from segengine.operations.output_tables import write_output_tables
from segengine.operations.segments import show_segment
from segengine.operations.status import read_status
from segengine.store.control import Control
from segengine.store.processes import describe_process
from segengine.store.runs import Status

PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id, at: since}
  purchases: {path: data/purchases, key: purchase_id, at: bought_at}
  scores: {path: data/scores, key: score_id}
relationships:
  - purchases.customer_id -> customers
  - scores.customer_id -> customers
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Everybody
where: everyone
---
kind: segment
name: Buyers
rules: [{over: purchases, where: {amount: {at_least: 1}}}]
---
kind: segment
name: Never bought
rules: [{over: purchases, rows: none}]
---
kind: segment
name: Founders
type: static
where: {since: {before: 2025-02-01}}
---
kind: segment
name: Founders who bought
where: {all: [{in_segment: Founders}, {in_segment: Buyers}]}
"""
CUSTOMERS = {
    "customer_id": ["a", "b", "c", "d"],
    "since": [date(2025, 1, 1), date(2025, 1, 31), date(2025, 2, 1), date(2025, 3, 1)],
}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


PURCHASES = {
    "purchase_id": [1, 2, 3],
    "customer_id": ["a", "c", "d"],
    "amount": [5, 5, 5],
    "bought_at": pa.array(
        [instant("2025-01-15T12:00"), instant("2025-03-15T12:00"), instant("2025-04-15T12:00")],
        pa.timestamp("us", tz="UTC"),
    ),
}
MAY, JUNE, FEBRUARY = instant("2025-05-01T00:00"), instant("2025-06-01T00:00"), instant("2025-02-15T00:00")
IN_MAY = {
    "everybody": ["a", "b", "c", "d"],
    "buyers": ["a", "c", "d"],
    "never_bought": ["b"],
    "founders": ["a", "b"],
    "founders_who_bought": ["a"],
}


def write_shop(workspace: Workspace) -> None:
    scores = {"score_id": [1], "customer_id": ["a"], "score": [0.5]}
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "purchases": PURCHASES, "scores": scores}, SEGMENTS)
    workspace.apply()


@pytest.fixture(scope="module")
def in_may(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The shop with one refresh, as of May."""
    workspace = Workspace(tmp_path_factory.mktemp("shop"), embedded)
    write_shop(workspace)
    workspace.refresh(as_of=MAY)
    assert workspace.published().members() == IN_MAY
    return workspace


@pytest.fixture
def shop(engine: EngineSession, in_may: Workspace, tmp_path: Path) -> Workspace:
    return in_may.copy_to(tmp_path).on(engine)


def counts(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("snapshot_version", "status", "member_count", "entered_count", "left_count", "profile_count")
    return [tuple(row[name] for name in names) for row in rows]


# ---- snapshots and keys


@pytest.mark.over_connect
def test_first_refresh(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    write_shop(workspace)
    assert {summary.status for summary in workspace.listed().values()} == {Status.NOT_STARTED}

    report = workspace.refresh(as_of=MAY)

    assert {run.segment_id: run.member_count for run in report.segments} == {k: len(v) for k, v in IN_MAY.items()}
    published = workspace.published()
    assert published.members() == IN_MAY
    assert sorted(published.keys["customer"].values()) == [1, 2, 3, 4]
    assert counts(published.of("buyers")) == [(1, "Successful", 3, 3, 0, 4)]


@pytest.mark.before_the_engine
def test_people_come_go_and_return(shop: Workspace, embedded: EngineSession) -> None:
    keys = shop.published().keys["customer"]
    shop.write_table(
        "customers", {"customer_id": ["e", "d", "c", "b"], "since": pa.array([None, *[date(2025, 1, 9)] * 3])}
    )
    shop.append_rows(
        "purchases",
        {
            "purchase_id": [4],
            "customer_id": ["b"],
            "amount": [9],
            "bought_at": pa.array([JUNE], pa.timestamp("us", tz="UTC")),
        },
    )
    shop.write_table("scores", {"score_id": [1], "customer_id": ["a"], "score": [0.5]})

    shop.refresh(as_of=JUNE)  # "e" has no date, so nobody knows whether she was there already

    second = shop.published()
    expected = {"everybody": ["b", "c", "d"], "buyers": ["b", "c", "d"], "never_bought": [], "founders": ["a", "b"]}
    assert second.members() == {**expected, "founders_who_bought": ["b"]}
    assert second.keys["customer"] == keys
    assert counts(second.of("everybody"))[1] == (2, "Successful", 3, 0, 1, 3)
    assert counts(second.of("buyers"))[1] == (2, "Successful", 3, 1, 1, 3)
    assert counts(second.of("never_bought"))[1] == (2, "Successful", 0, 0, 1, 3)
    assert counts(second.of("founders_who_bought"))[1] == (2, "Successful", 1, 1, 1, 3)
    assert [scan["orphan_count"] for scan in json.loads(second.runs[1]["scans"]) if "purchases" in scan["name"]] == [1]
    assert second.members_of_run("everybody", second.runs[0]["run_id"]) == ["a", "b", "c", "d"]

    shop.write_table("customers", {"customer_id": ["a", "e"], "since": [date(2025, 1, 9)] * 2})
    shop.on(embedded).refresh()
    third = shop.published()
    assert third.members()["everybody"] == ["a", "e"]
    assert third.keys["customer"] == keys | {"e": 5}
    assert third.last_keys == {"customer": 5}
    assert counts(third.of("everybody"))[2] == (3, "Successful", 2, 2, 3, 2)


@pytest.mark.before_the_engine
def test_as_of_the_past_leaves_out_what_came_later_and_stays_in_the_past(shop: Workspace) -> None:
    """Founders is static and has a snapshot, so it is not refreshed; it feeds its child as it is."""
    shop.refresh(as_of=FEBRUARY)

    published = shop.published()
    run_id = published.runs[1]["run_id"]
    found = {name: published.members_of_run(name, run_id) for name in ("everybody", "buyers", "never_bought")}
    assert found == {"everybody": ["a", "b", "c"], "buyers": ["a"], "never_bought": ["b", "c"]}
    assert published.members() == IN_MAY, "the newest as_of stays current"
    assert counts(published.of("buyers")) == [(1, "Successful", 3, 3, 0, 4), (2, "Successful", 1, 1, 0, 3)]
    listed = shop.listed()["buyers"]
    assert listed.current is not None
    assert (listed.current.snapshot_version, listed.status) == (1, Status.SUCCESSFUL)
    assert sorted(shop.members("Buyers", at=FEBRUARY + timedelta(days=1))) == ["a"]


@pytest.mark.before_the_engine
def test_same_as_of_again_gives_the_same(shop: Workspace) -> None:
    shop.refresh(as_of=MAY)

    published = shop.published()
    assert published.members() == IN_MAY
    first, second = (run["run_id"] for run in published.runs)
    assert published.members_of_run("buyers", first) == published.members_of_run("buyers", second) == IN_MAY["buyers"]
    assert counts(published.of("buyers")) == [(1, "Successful", 3, 3, 0, 4), (2, "Successful", 3, 3, 0, 4)]


@pytest.mark.before_the_engine
def test_static_segments_are_refreshed_when_named(shop: Workspace, embedded: EngineSession) -> None:
    shop.write_table("customers", {"customer_id": ["a", "z"], "since": [date(2025, 1, 9)] * 2})
    automatic = shop.on(embedded).refresh(as_of=JUNE)
    assert sorted(run.segment_id for run in automatic.segments) == sorted({*IN_MAY} - {"founders"})
    assert shop.published().members()["founders"] == ["a", "b"]

    named = shop.refresh("Founders", as_of=JUNE)

    assert [(run.segment_id, run.member_count, run.entered_count, run.left_count) for run in named.segments] == [
        ("founders", 2, 1, 1)
    ]
    assert shop.published().members()["founders"] == ["a", "z"]


def test_profiles_of_several_buckets(engine: EngineSession, embedded: EngineSession, tmp_path: Path) -> None:
    count = 70_000
    workspace = Workspace(tmp_path, embedded)
    write_shop(workspace)
    ids = [f"c{number}" for number in range(count)]
    workspace.write_table("customers", {"customer_id": ids, "since": [date(2025, 1, 1 + n % 7) for n in range(count)]})
    workspace.write_table(
        "purchases",
        {
            "purchase_id": list(range(count)),
            "customer_id": [ids[number // 3 * 3] for number in range(count)],
            "amount": [number % 3 for number in range(count)],
            "bought_at": pa.array([FEBRUARY] * count, pa.timestamp("us", tz="UTC")),
        },
    )
    workspace.define(SEGMENTS.replace("before: 2025-02-01", "before: 2025-01-02"))
    workspace.apply()

    workspace.on(engine).refresh()

    published = workspace.published()
    assert sorted(published.keys["customer"].values()) == list(range(1, count + 1))
    members = published.members()
    # Every third customer has three purchases, of 0, 1 and 2; the last one (69,999) has only that of 0.
    buyers = sorted(ids[number] for number in range(0, count - 1, 3))
    assert members["buyers"] == buyers
    assert members["never_bought"] == sorted(ids[number] for number in range(count) if number % 3)
    assert members["founders"] == sorted(ids[::7])
    assert members["founders_who_bought"] == sorted({*buyers} & {*ids[::7]})
    assert len(shop_members := workspace.on(engine).members("Buyers", limit=None)) == len({*shop_members})
    assert sorted(shop_members) == buyers


def test_few_profiles_get_the_keys_that_many_would(
    engine: EngineSession, embedded: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "few", embedded)
    workspace.folder.mkdir()
    write_shop(workspace)
    ids = [f"{letter}{number}" for letter in ("c", "ß", "𝄞", "\uffff", " ") for number in range(40)]
    workspace.write_table("customers", {"customer_id": ids, "since": [date(2025, 1, 1)] * len(ids)})
    many = workspace.copy_to(tmp_path / "many").on(engine)
    workspace.refresh("Everybody")

    monkeypatch.setattr("segengine.store.profile_keys._FEW", 0)
    many.refresh("Everybody")

    keys = many.published().keys["customer"]
    assert keys == workspace.published().keys["customer"]
    assert sorted(keys.values()) == list(range(1, len(ids) + 1))


def test_contents_stay_in_the_process_where_the_tasks_run_in_it(
    shop: Workspace, engine: EngineSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets: list[int | None] = []

    def leave(name: str, content: handover.Content) -> int | None:
        tickets.append(handover.leave(name, content))
        return tickets[-1]

    monkeypatch.setattr("segengine.engine.parts.leave", leave)
    shop.refresh("Buyers", full=True)

    assert bool(tickets) == (engine.kind == "embedded")
    assert None not in tickets
    assert handover._open == {}


# ---- parents outside of the run


FAMILY = """
kind: segment
name: Good parent
where: {since: {before: 2025-02-01}}
---
kind: segment
name: Failing parent
rules: [{over: scores, where: {score: {at_least: 0.1}}}]
---
kind: segment
name: Changed parent
where: {since: {before: 2025-03-01}}
---
kind: segment
name: Child of good
where: {not: {in_segment: Good parent}}
---
kind: segment
name: Child of failing
where: {in_segment: Failing parent}
---
kind: segment
name: Child of changed
where: {in_segment: Changed parent}
---
kind: segment
name: Grandchild
where: {any: [{in_segment: Child of changed}, {in_segment: Good parent}]}
"""
NEW_PARENT = """
kind: segment
name: New parent
where: everyone
---
kind: segment
name: Child of new
where: {in_segment: New parent}
"""


@pytest.mark.before_the_engine
def test_only_good_stored_parents_feed(engine: EngineSession, embedded: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, embedded)
    write_shop(workspace)
    workspace.define(FAMILY)
    workspace.apply(prune=True)
    workspace.refresh(as_of=MAY)
    family = ("good_parent", "failing_parent", "changed_parent", "child_of_good", "grandchild")
    before = workspace.published().members()
    assert {name: before[name] for name in family} == {
        "good_parent": ["a", "b"],
        "failing_parent": ["a"],
        "changed_parent": ["a", "b", "c"],
        "child_of_good": ["c", "d"],
        "grandchild": ["a", "b", "c"],
    }
    workspace.write_table("scores", {"score_id": [1], "customer_id": ["a"], "score": [float("inf")]})
    workspace.refresh("Failing parent", as_of=MAY)
    workspace.define(FAMILY.replace("2025-03-01", "2025-03-02") + "---" + NEW_PARENT)
    workspace.apply()
    # Nobody is a founder any more, but Good parent is not asked again: its snapshot of May feeds.
    workspace.write_table("customers", CUSTOMERS | {"since": [date(2025, 4, 1)] * 4})

    children = ("Child of good", "Child of failing", "Child of changed", "Child of new", "Grandchild")
    report = workspace.on(engine).refresh(*children, as_of=JUNE)

    assert {run.segment_id: (str(run.status), run.error) for run in report.segments} == {
        "child_of_good": ("Successful", ""),
        "child_of_failing": ("Skipped", 'the last refresh of parent "Failing parent" ended Failed'),
        "child_of_changed": ("Skipped", 'the definition of parent "Changed parent" changed since its last refresh'),
        "child_of_new": ("Skipped", 'parent "New parent" has never been refreshed'),
        "grandchild": (
            "Skipped",
            'parent "Child of changed" was skipped: '
            'the definition of parent "Changed parent" changed since its last refresh',
        ),
    }
    published = workspace.published()
    assert published.members()["child_of_good"] == ["c", "d"]
    assert published.members()["grandchild"] == before["grandchild"]
    assert json.loads(published.of("child_of_good")[-1]["parents"]) == {"good_parent": 1}
    listed = workspace.listed()["child_of_new"]
    assert (listed.status, listed.current, listed.error) == (
        Status.SKIPPED,
        None,
        'parent "New parent" has never been refreshed',
    )


# ---- looking at results


@pytest.mark.before_the_engine
def test_members_by_limit_snapshot_and_time(shop: Workspace, embedded: EngineSession) -> None:
    shop.append_rows(
        "purchases",
        {
            "purchase_id": [4],
            "customer_id": ["b"],
            "amount": [9],
            "bought_at": pa.array([MAY], pa.timestamp("us", tz="UTC")),
        },
    )
    shop.on(embedded).refresh(as_of=JUNE)
    keys = shop.published().keys["customer"]
    by_key = sorted(["a", "b", "c", "d"], key=keys.__getitem__)

    assert sorted(shop.members("Buyers", limit=None)) == ["a", "b", "c", "d"]
    assert shop.members("buyers", limit=3) == by_key[:3]
    assert shop.members("Buyers") == by_key
    assert sorted(shop.members("Buyers", snapshot=1)) == ["a", "c", "d"]
    assert sorted(shop.members("Buyers", at=JUNE - timedelta(microseconds=1))) == ["a", "c", "d"]
    assert sorted(shop.members("Buyers", at=JUNE)) == ["a", "b", "c", "d"]
    assert shop.members("Never bought", limit=None) == []
    assert shop.members("Never bought") == []
    with pytest.raises(ConfigError, match=r'Segment "Buyers" has no snapshot 3\. Known: 1, 2\.'):
        shop.members("Buyers", snapshot=3)
    with pytest.raises(ConfigError, match=r"has no snapshot that old\. Known: the first is as of 2025-05-01 00:00 UTC"):
        shop.members("Buyers", at=FEBRUARY)
    with pytest.raises(ConfigError, match='There is no segment "Byers"'):
        shop.members("Byers")


@pytest.mark.before_the_engine
def test_list_show_and_status(shop: Workspace) -> None:
    listed = shop.listed()
    assert list(listed) == ["buyers", "everybody", "founders", "founders_who_bought", "never_bought"]
    assert {name: summary.member_share for name, summary in listed.items()} == {
        name: len(ids) / 4 for name, ids in IN_MAY.items()
    }
    with shop.opened() as project:
        shown = show_segment(project, "Buyers")
        status = read_status(project)
    assert tuple(user.name for user in shown.used_by) == ("Founders who bought",)
    assert [run.snapshot_version for run in shown.snapshots] == [1]
    assert (status.owner, status.work_id, status.until, status.refreshing) == ("", "", None, ())
    (run,) = status.runs
    assert (run.run.as_of, run.status_counts) == (MAY, {"Successful": 5})
    # everybody reads 4 customers, the rules over purchases 3 rows
    assert (run.run.row_count, run.orphan_count) == (7, 0)
    assert run.run.seconds > 0


@pytest.mark.over_connect
def test_output_tables_hold_the_current_members(shop: Workspace) -> None:
    with shop.opened() as project:
        assert write_output_tables(project, ["Buyers", "Never bought"]) == ["Buyers", "NeverBought"]
        assert write_output_tables(project, ["Buyers"]) == ["Buyers"]  # again, in its place
        output = shop.warehouse / "output"
        written = project.session.spark.read.format("delta").load(str(output / "Buyers"))
        expected = project.session.spark.createDataFrame(
            [("a", "buyers", 1), ("c", "buyers", 1), ("d", "buyers", 1)],
            "customer_id string, segment_id string, snapshot_version int",
        )
        # An empty note that Sail leaves on the columns of tables it writes may come along.
        assert_df_equality(written, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


@pytest.mark.over_connect
def test_member_rows_are_the_members_of_every_segment(shop: Workspace) -> None:
    with shop.opened() as project:
        assert write_member_rows(project) == "segment_members"

    written = DeltaTable(str(shop.warehouse / "output" / "segment_members")).to_pyarrow_table().to_pylist()
    found = sorted((row["segment_id"], row["profile_id"], row["snapshot_version"]) for row in written)
    assert found == sorted((name, member, 1) for name, ids in IN_MAY.items() for member in ids)


@pytest.mark.before_the_engine
def test_output_table_of_nobody(shop: Workspace, embedded: EngineSession) -> None:
    shop.write_table("purchases", {name: pa.array(values)[:0] for name, values in PURCHASES.items()})
    shop.on(embedded).refresh("Buyers", as_of=JUNE)

    with shop.opened() as project:
        write_output_tables(project, ["Buyers"])

    written = DeltaTable(str(shop.warehouse / "output" / "Buyers")).to_pyarrow_table()
    assert written.num_rows == 0
    assert written.column_names == ["customer_id", "segment_id", "snapshot_version"]


@pytest.mark.before_the_engine
def test_nothing_applied_and_unknown_names(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    workspace.write_project(PROJECT)
    (tmp_path / "schema.lock.yml").write_text("customers: {customer_id: text, since: date}\n")

    with pytest.raises(ConfigError, match=r"No definitions are applied yet\. Run `segengine apply`\."):
        workspace.refresh()
    assert not workspace.warehouse.exists()


@pytest.mark.before_the_engine
def test_unknown_name_refreshes_nothing(shop: Workspace) -> None:
    with pytest.raises(ConfigError, match='There is no definition "Bayers"'):
        shop.refresh("Buyers", "Bayers")

    assert len(shop.published().runs) == 1


@pytest.mark.before_the_engine
def test_interrupt_is_recorded_and_changes_nothing(shop: Workspace, embedded: EngineSession) -> None:
    """Keys that a failed run wrote were never given: the next run gives them to other profiles."""
    shop.write_table("customers", {"customer_id": ["q"], "since": [date(2025, 1, 1)]})

    def interrupt(line: str) -> None:
        if line.startswith("evaluating"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.refresh("Buyers", as_of=JUNE, progress=interrupt)

    published = shop.published()
    assert published.members() == IN_MAY
    assert published.statuses("buyers") == ["Successful", "Canceled"]
    assert published.last_keys == {"customer": 4}
    assert "q" not in published.keys["customer"]
    assert published.control["owner"] == ""

    shop.write_table("customers", {"customer_id": ["b", "r", "s"], "since": [date(2025, 1, 1)] * 3})
    shop.on(embedded).refresh("Everybody", "Never bought", as_of=JUNE)
    later = shop.published()
    assert later.keys["customer"] == published.keys["customer"] | {"r": 5, "s": 6} or later.keys["customer"] == (
        published.keys["customer"] | {"r": 6, "s": 5}
    )
    assert later.members()["everybody"] == ["b", "r", "s"]
    assert sorted(shop.on(embedded).members("Never bought")) == ["b", "r", "s"]


# ---- the lease


def write_control(workspace: Workspace, **values: str) -> None:
    """Change the control row behind everybody's back; values are SQL."""
    DeltaTable(str(workspace.warehouse / "control")).update(updates=values)


def dead_process() -> str:
    """Return who a lease belongs to whose process has just ended."""
    code = "from segengine.store.processes import describe_process; print(describe_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.before_the_engine
def test_second_refresh_meets_a_lease(shop: Workspace) -> None:
    with shop.opened() as project, Control(project.warehouse, "control").lease("run_of_somebody", ["buyers"]):
        with pytest.raises(
            LeaseHeldError, match=r"^Another run \(run_of_somebody, .*\) holds the lease until "
        ) as caught:
            shop.refresh()
        assert caught.value.exit_code == 5
        assert {name for name, summary in shop.listed().items() if summary.status is Status.REFRESHING} == {"buyers"}
        status = read_status(project)
        assert (status.work_id, status.refreshing) == ("run_of_somebody", ("buyers",))
        assert re.fullmatch(rf"\S+ on {re.escape(socket.gethostname())}, process {os.getpid()}", status.owner)

    published = shop.published()
    assert published.members() == IN_MAY
    assert len(published.runs) == 1
    assert published.control["owner"] == ""


@pytest.mark.before_the_engine
@pytest.mark.parametrize("who", ["dead", "expired", "elsewhere"])
def test_lease_of_a_dead_process_or_an_expired_one_is_taken_over(
    shop: Workspace, embedded: EngineSession, who: str
) -> None:
    owner = "ann on another, process 1|another|boot|1|1"
    later, earlier = "'2999-01-01T00:00:00Z'", "'2025-01-01T00:00:00Z'"
    write_control(
        shop,
        owner=f"'{dead_process() if who == 'dead' else owner}'",
        work_id="'run_dead'",
        ids="'[\"buyers\"]'",
        until=f"arrow_cast({earlier if who == 'expired' else later}, 'Timestamp(Microsecond, Some(\"UTC\"))')",
    )
    if who == "elsewhere":
        with pytest.raises(LeaseHeldError, match=r"run_dead, ann on another, process 1.*2999-01-01 00:00:00 UTC"):
            shop.refresh()
        return
    listed = shop.on(embedded).listed()["buyers"]
    assert (listed.status, listed.error) == (Status.FAILED, "run_dead ended without saying so")
    assert listed.current is not None, "what was published stays"

    shop.refresh("Buyers", as_of=JUNE)

    published = shop.published()
    assert published.statuses("buyers") == ["Successful", "Successful"]
    assert published.control["owner"] == ""


def test_this_process_counts_as_alive() -> None:
    assert describe_process().split("|")[3] == str(os.getpid())
    assert dead_process().split("|")[2] == describe_process().split("|")[2]


def test_run_that_lost_its_lease_publishes_nothing(shop: Workspace) -> None:
    """At a URL the engine itself makes the MERGE that finds another token."""
    shop.write_project(f"{PROJECT}warehouse: {shop.warehouse.as_uri()}\n")
    shop.write_table("customers", {"customer_id": ["q", "a"], "since": [date(2025, 1, 1)] * 2})

    def steal(line: str) -> None:
        if line == "publishing":
            write_control(shop, **{"token": "99", "owner": "'thief'"})

    with pytest.raises(RunError, match=r"^run_\w+ lost its lease while it ran, to thief\. Nothing of it was published"):
        shop.refresh("Everybody", as_of=JUNE, progress=steal)

    published = shop.published()
    assert len(published.runs) == 1
    assert published.members() == IN_MAY
    assert (published.control["token"], published.control["owner"]) == (99, "thief")
    assert "q" not in published.keys["customer"]
    assert published.last_keys == {"customer": 4}
