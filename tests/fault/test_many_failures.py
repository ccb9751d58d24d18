"""A thousand segments of which fifty fail, each in its own way: the others are published, and every cause is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import Workspace

from segengine.cli.main import main
from segengine.engine.session import EngineSession

PROJECT = """
project: many
tables:
  customers: {path: data/customers, key: customer_id}
  orders: {path: data/orders, key: order_id}
  gone: {path: data/gone, key: row_id}
  changed: {path: data/changed, key: row_id}
  torn: {path: data/torn.parquet, format: parquet, key: row_id}
  notes: {path: data/notes.csv, format: csv, key: note_id, columns: {stars: {type: integer}}}
  kinds: {path: data/kinds, key: kind_id}
relationships:
  - orders.customer_id -> customers
  - orders.kind_id -> kinds
  - gone.customer_id -> customers
  - changed.customer_id -> customers
  - torn.customer_id -> customers
  - notes.customer_id -> customers
audiences: {customer: {table: customers}}
"""
GOOD = 950
# What fails, why, and how many of it.
FAILING = {
    "gone": ("rules: [{over: gone, where: {amount: {at_least: NUMBER}}}]", "there is nothing at", 7),
    "changed": ("rules: [{over: changed, where: {amount: {at_least: NUMBER}}}]", "is text now, integer in the lock", 7),
    "torn": ("rules: [{over: torn, where: {amount: {at_least: NUMBER}}}]", "Failed while reading", 7),
    "notes": ("rules: [{over: notes, where: {stars: {at_least: NUMBER}}}]", "are not of type integer", 7),
    "kinds": ("rules: [{over: orders, where: {kind.name: kNUMBER}}]", "1 duplicate key(s) in kind_id", 6),
    "infinite": ("rules: [{over: orders, where: {price: {at_least: NUMBER}}}]", "are infinite or out of range", 6),
    "child": ("where: {all: [{in_segment: infinite 0}, {age: {at_least: NUMBER}}]}", 'parent "infinite 0" failed: ', 5),
    "held": ("where: {age: {less_than: 20}}\npublish_if: {at_least: 100NUMBER}", "it has 50 members, fewer than", 5),
}
COUNT = 300


def make_segments() -> str:
    good = [
        f"kind: segment\nname: good {number}\n"
        + (
            f"where: {{age: {{at_least: {number % 97}}}}}"
            if number % 2
            else f"rules: [{{over: orders, where: {{amount: {{at_least: {number % 89}}}}}}}]"
        )
        for number in range(GOOD)
    ]
    bad = [
        f"kind: segment\nname: {name} {number}\n{text.replace('NUMBER', str(number))}"
        for name, (text, _, count) in FAILING.items()
        for number in range(count)
    ]
    return "\n---\n".join([*good[: GOOD // 2], *bad, *good[GOOD // 2 :]])


def rows(amount: pa.Array) -> pa.Table:
    ids = [f"c{number}" for number in range(COUNT)]
    return pa.table({"row_id": list(range(COUNT)), "customer_id": ids, "amount": amount})


@pytest.mark.before_the_engine
def test_a_thousand_segments_of_which_fifty_fail(
    engine: EngineSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, engine)
    numbers = pa.array(range(COUNT), pa.int64())
    ids = [f"c{number}" for number in range(COUNT)]
    orders = {
        "order_id": list(range(COUNT)),
        "customer_id": ids,
        "kind_id": [number % 5 for number in range(COUNT)],
        "amount": numbers,
        "price": [float(number) for number in range(COUNT)],
    }
    tables = {
        "customers": {"customer_id": ids, "age": [number % 100 + 10 * (number >= 200) for number in range(COUNT)]},
        "orders": orders,
        "gone": rows(numbers),
        "changed": rows(numbers),
        "kinds": {"kind_id": [0, 1, 2, 3, 4], "name": [f"k{number}" for number in range(5)]},
    }
    (workspace.folder / "data").mkdir()
    pq.write_table(rows(numbers), workspace.data / "torn.parquet")
    (workspace.data / "notes.csv").write_text("note_id,customer_id,stars\n1,c1,5\n2,c2,3\n")
    workspace.set_up(PROJECT, tables, make_segments())
    workspace.apply()

    (workspace.data / "gone").rename(workspace.folder / "elsewhere")
    workspace.write_table("changed", rows(pa.array([str(number) for number in range(COUNT)])))
    tear(workspace.data / "torn.parquet")
    (workspace.data / "notes.csv").write_text("note_id,customer_id,stars\n1,c1,five\n2,c2,3\n")
    workspace.write_table("kinds", {"kind_id": [0, 1, 2, 3, 3], "name": [f"k{number}" for number in range(5)]})
    workspace.write_table("orders", {**orders, "price": [float("inf"), *orders["price"][1:]]})
    monkeypatch.chdir(workspace.folder)

    assert main(["refresh", "-o", "json"]) == 4

    ended = json.loads(capsys.readouterr().out)["segments"]
    statuses = Counter(row["status"] for row in ended)
    assert statuses == {"Successful": GOOD, "Failed": 40, "Skipped": 5, "Held": 5}
    for row in ended:
        name = row["name"].partition(" ")[0]
        assert FAILING.get(name, ("", "", 0))[1] in row["error"], row
        assert bool(row["error"]) == (name != "good"), row
    published = workspace.published()
    assert {row["status"] for row in published.segment_runs} == {"Successful", "Failed", "Skipped", "Held"}
    assert len(published.runs) == 1
    assert len(published.members(only=["good_100", "good_101"])["good_100"]) == COUNT - 100 % 89


def tear(file: Path) -> None:
    """Damage the pages of a Parquet file; its footer stays, so that only reading its rows tells."""
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    file.write_bytes(content)
