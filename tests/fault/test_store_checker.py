"""The checker of a store finds nothing in a good warehouse, and in a damaged one what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from store_checker import check_all, find_violations, main
from stored import Store
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.operations.measures import write_measure_tables
from segengine.operations.member_rows import write_member_rows
from segengine.operations.output_tables import write_output_tables
from segengine.operations.release import decide_held

PROJECT = """
project: checked
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: segment, name: Buyers, rules: [{over: purchases}]}
---
{kind: segment, name: Everybody, where: everyone, publish_if: {change_at_most: 0.5}}
---
{kind: measure, name: Spend, per: customer, over: purchases, values: {total: {sum: amount}, mean: {average: amount}}}
---
{kind: measure, name: 2 by channel, per: [customer, channel], over: purchases, value: {sum: amount}}
---
{kind: measure, name: Revenue, per: business, over: purchases, value: {sum: amount}}
"""
TABLES = (
    *("control", "runs", "segment_runs", "measure_runs", "profile_keys", "snapshots"),
    *("registry_control", "definitions"),
)
CUSTOMERS = 40
FIRST_DAY = datetime(2026, 6, 1, tzinfo=UTC)

Rows = list[dict[str, Any]]
Edit = Callable[[Rows, Store], object]


def set_sources(workspace: Workspace, customers: int, buyers: list[int]) -> None:
    workspace.write_table("customers", {"customer_id": [f"c{number}" for number in range(customers)]})
    amounts = pa.array([None if buyer % 7 == 0 else buyer / 4 for buyer in buyers], pa.float64())
    columns = {
        "purchase_id": list(range(len(buyers))),
        "customer_id": [f"c{buyer}" for buyer in buyers],
        "channel": [("web", "store")[buyer % 2] for buyer in buyers],
        "amount": amounts,
    }
    workspace.write_table("purchases", pa.table(columns))


@pytest.fixture(scope="module")
def good(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A warehouse with everything: several snapshots, one held back and released, tables for other tools."""
    workspace = Workspace(tmp_path_factory.mktemp("checked"), embedded)
    workspace.write_project(PROJECT)
    set_sources(workspace, 10, [0, 3, 6, 9])
    workspace.define(DEFINITIONS)
    workspace.pull()
    workspace.apply()
    workspace.refresh(as_of=FIRST_DAY)
    set_sources(workspace, CUSTOMERS, list(range(3, CUSTOMERS, 4)))
    workspace.refresh(as_of=FIRST_DAY + timedelta(days=1))
    with workspace.opened() as project:
        decide_held(project, ["Everybody"], "release")
        write_output_tables(project, ["Buyers", "Everybody"])
        write_member_rows(project)
        write_measure_tables(project)
    workspace.refresh("Buyers", as_of=FIRST_DAY - timedelta(days=1))  # in the past: not current
    return workspace


@pytest.fixture(scope="module")
def tables(good: Workspace) -> dict[str, Rows]:
    """Its rows, read once."""
    store = Store(good.warehouse)
    return {table: store.read(table) for table in (*TABLES, *store.derived())}


def test_good_warehouse(good: Workspace) -> None:
    assert find_violations(good.warehouse) == []
    purposes = [row["purpose"] for row in Store(good.warehouse).runs.values()]
    assert purposes == [
        "refresh",
        "refresh",
        "release",
        "refresh",
    ]
    assert {path.name for path in (good.warehouse / "output").iterdir()} == {
        *("Buyers", "Everybody", "segment_members", "Customer_Measure", "S2ByChannel", "Revenue"),
    }


def test_warehouse_before_its_first_refresh(embedded: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, embedded)
    assert find_violations(workspace.warehouse) == []
    workspace.write_project(PROJECT)
    set_sources(workspace, 3, [1])
    workspace.define(DEFINITIONS)
    workspace.pull()
    workspace.apply()
    assert find_violations(workspace.warehouse) == []


def change(workspace: Workspace, table: str, edit: Edit) -> None:
    """Write a table anew with its rows edited."""
    folder = str(workspace.warehouse / table)
    before = DeltaTable(folder).to_pyarrow_table()
    rows = before.to_pylist()
    edit(rows, Store(workspace.warehouse))
    write_deltalake(folder, pa.Table.from_pylist(rows, schema=before.schema), mode="overwrite")


def set_where(new: dict[str, Any], **wanted: Any) -> Edit:
    """Return an edit of the first row that has some values; a number instead of a run's id means that run's."""

    def edit(rows: Rows, store: Store) -> None:
        sought = {name: store.chain[v] if name == "run_id" else v for name, v in wanted.items()}
        row = next(row for row in rows if all(row[name] == value for name, value in sought.items()))
        row |= new

    return edit


def drop_where(**wanted: Any) -> Edit:
    def edit(rows: Rows, store: Store) -> None:
        sought = {name: store.chain[v] if name == "run_id" else v for name, v in wanted.items()}
        rows.remove(next(row for row in rows if all(row[name] == value for name, value in sought.items())))

    return edit


def double_where(**wanted: Any) -> Edit:
    def edit(rows: Rows, _: Store) -> None:
        rows.append(next(dict(row) for row in rows if all(row[name] == value for name, value in wanted.items())))

    return edit


def flip_bit(rows: Rows, _: Store) -> None:
    row = next(row for row in rows if row["kind"] == "segment" and row["row_count"])
    row["content"] = bytes([row["content"][0] ^ 1]) + row["content"][1:]


def move_chain(rows: Rows, store: Store) -> None:
    next(row for row in rows if row["run_id"] == store.chain[0])["previous_run_id"] = store.chain[-1]


def lose_key(rows: Rows, _: Store) -> None:
    rows.remove(next(row for row in rows if row["profile_key"] == 7))


def key_twice(rows: Rows, _: Store) -> None:
    next(row for row in rows if row["profile_key"] == 7)["profile_key"] = 8


def id_twice(rows: Rows, _: Store) -> None:
    rows[0]["profile_id"] = rows[1]["profile_id"]


def other_member(rows: Rows, _: Store) -> None:
    rows[0]["customer_id"] = "c4"


DAMAGES: dict[str, tuple[str, Edit, str]] = {
    "no control row": ("control", lambda rows, _: rows.clear(), "control: 0 different rows, expected one"),
    "another control row": (
        "control",
        lambda rows, _: rows.append({**rows[0], "token": 99}),
        "control: 2 different rows, expected one",
    ),
    "token lost": ("control", set_where({"token": 3}), "control: token 3 is too small for 4 published changes"),
    "lease half free": ("control", set_where({"work_id": "run_x"}), "control: nobody holds the lease, but it still"),
    "head unknown": ("control", set_where({"published_id": "run_x"}), "runs: no row of run_x, which is published"),
    "run lost": ("runs", drop_where(run_id=1), "runs: no row of run_"),
    "run twice": ("runs", double_where(purpose="release"), "runs: 2 rows of run_"),
    "chain in a circle": ("runs", move_chain, "runs: the chain meets run_"),
    "change lost": ("definitions", lambda rows, _: rows.clear(), "definitions: no row of change_"),
    "version skipped": ("definitions", set_where({"version": 3}, id="buyers"), '"buyers" has version 3, expected 1'),
    "name twice": ("definitions", set_where({"name": "EVERYBODY"}, id="buyers"), '2 are called "everybody"'),
    "of no version": (
        "segment_runs",
        set_where({"definition_version": 2}, segment_id="buyers", run_id=1),
        'is about version 2 of "buyers", which is not published',
    ),
    "other purpose": (
        "segment_runs",
        set_where({"purpose": "drop"}, segment_id="buyers", run_id=1),
        "its purpose is drop, the run's refresh",
    ),
    "other as_of": ("measure_runs", set_where({"as_of": FIRST_DAY}, measure_id="spend", run_id=1), "as of 2026-06-01"),
    "success in a failed run": ("runs", set_where({"status": "Failed"}, run_id=0), "Successful in a run that ended"),
    "unpublished snapshot": (
        "segment_runs",
        set_where({"snapshot_run_id": "run_x"}, segment_id="buyers", run_id=1),
        "its snapshot is of run_x, which is not published",
    ),
    "success without a snapshot": (
        "segment_runs",
        set_where({"snapshot_run_id": ""}, segment_id="buyers", run_id=1),
        'Successful with the snapshot of ""',
    ),
    "success without a version": (
        "measure_runs",
        set_where({"snapshot_version": 0}, measure_id="spend", run_id=1),
        "Successful with snapshot version 0",
    ),
    "number left out": (
        "segment_runs",
        set_where({"snapshot_version": 3}, segment_id="buyers", run_id=1),
        '"buyers": snapshot version 3, expected 2',
    ),
    "row twice": ("segment_runs", double_where(segment_id="buyers"), 'segment_runs: 2 rows of "buyers" in run_'),
    "bucket lost": (
        "snapshots",
        drop_where(run_id=1, kind="segment", id="buyers", bucket=1),
        '"buyers": 0 members in its bitmaps, run_',
    ),
    "bit changed": ("snapshots", flip_bit, "bits in bucket "),
    "bitmap cut off": (
        "snapshots",
        set_where({"content": b"\x01", "row_count": 1}, run_id=1, kind="segment", id="buyers", bucket=1),
        "a bitmap of 1 bytes in bucket 1",
    ),
    "bitmap twice": ("snapshots", double_where(kind="segment", id="buyers", bucket=1), "2 bitmaps of bucket 1"),
    "counts of another": (
        "segment_runs",
        set_where({"entered_count": 1}, segment_id="buyers", run_id=1),
        "1 entered and ",
    ),
    "held back counts": (
        "segment_runs",
        set_where({"left_count": 5}, segment_id="everybody", status="Held"),
        "30 entered and 5 left, the bitmaps say 30 and 0",
    ),
    "measure's rows lost": (
        "snapshots",
        drop_where(run_id=1, kind="measure", id="spend", bucket=1),
        '"spend": 0 rows, run_',
    ),
    "measure's count": (
        "measure_runs",
        set_where({"value_counts": '{"Spend.total": 1}'}, measure_id="spend", run_id=1),
        "its values are not as many as run_",
    ),
    "key of nobody": (
        "profile_keys",
        lose_key,
        "key 7 of audience customer is nobody's; 1 are up to 40",
    ),
    "key twice": ("profile_keys", key_twice, "profile_keys: key 8 of audience customer is given twice"),
    "id twice": ("profile_keys", id_twice, "profile_keys: 1 profile(s) of audience customer have two keys"),
    "last key forgotten": (
        "control",
        set_where({"last_profile_key": '{"customer": 10}'}),
        "profile_keys: key 40 of audience customer is beyond last_profile_key 10",
    ),
    "output table ahead": (
        "output/Buyers",
        lambda rows, _: [row.update(snapshot_version=4) for row in rows],
        'output/Buyers: snapshot 4 of "buyers" is not published',
    ),
    "output table mixed": (
        "output/Buyers",
        set_where({"snapshot_version": 1}),
        'output/Buyers: 2 snapshots of "buyers" at once',
    ),
    "output table with a stranger": (
        "output/Buyers",
        other_member,
        'output/Buyers: snapshot 2 of "buyers" has other members than its bitmaps: 10, not 10',
    ),
    "member rows lost": (
        "output/segment_members",
        drop_where(segment_id="everybody"),
        'output/segment_members: snapshot 2 of "everybody" has other members than its bitmaps: 39, not 40',
    ),
    "measure table ahead": (
        "output/Customer_Measure",
        set_where({"Spend_total": None}, customer_id="c11"),
        'output/Customer_Measure: column "Spend_total" has the values of no published snapshot',
    ),
    "measure table doubled": (
        "output/Customer_Measure",
        double_where(customer_id="c11"),
        "output/Customer_Measure: a profile twice, or one without a key",
    ),
    "rows by dimensions lost": (
        "output/S2ByChannel",
        lambda rows, _: rows.pop(),
        "output/S2ByChannel: 9 rows, which no published measure has",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(good: Workspace, tables: dict[str, Rows], name: str) -> None:
    table, edit, complaint = DAMAGES[name]
    rows = [dict(row) for row in tables[table]]

    edit(rows, Store(good.warehouse, dict(tables)))

    assert complaint in "\n".join(check_all(Store(good.warehouse, {**tables, table: rows})))


def test_command(good: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = good.copy_to(tmp_path)
    change(workspace, "profile_keys", lose_key)

    assert main([str(good.warehouse)]) == 0
    assert main([str(good.warehouse), str(workspace.warehouse)]) == 1
    assert capsys.readouterr().out.startswith(f"{workspace.warehouse}: profile_keys: key 7 of audience customer is no")


def test_snapshots_thinned_and_people_forgotten_are_allowed(good: Workspace, tmp_path: Path) -> None:
    """Only where that is said, only whole snapshots, and never a current one."""
    workspace = good.copy_to(tmp_path)
    first = Store(good.warehouse).chain[0]
    person = Store(good.warehouse).ids["customer"][7]

    def drop_first(rows: Rows, _: Store) -> None:
        rows[:] = [row for row in rows if row["run_id"] != first]

    def forget(rows: Rows, _: Store) -> None:
        rows[:] = [row for row in rows if person not in row.values()]

    change(workspace, "snapshots", drop_first)
    for table in ("profile_keys", *(f"output/{each}" for each in ("Everybody", "segment_members", "Customer_Measure"))):
        assert find_violations(workspace.warehouse, thinned=True, forgotten=1) != [] or table == "profile_keys"
        change(workspace, table, forget)

    assert find_violations(workspace.warehouse, thinned=True, forgotten=1) == []
    assert find_violations(workspace.warehouse, thinned=True) != []
    assert find_violations(workspace.warehouse, forgotten=1) != []
    change(workspace, "snapshots", drop_where(run_id=1, kind="segment", id="buyers", bucket=1))
    assert '"buyers": 0 members' in "\n".join(find_violations(workspace.warehouse, thinned=True, forgotten=1))
