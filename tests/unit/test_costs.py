"""Whose the rows of a run are."""

from __future__ import annotations

from pathlib import Path

from segengine.demo.projects import copy_project
from segengine.operations.context import open_settings
from segengine.plan.audiences import plan_run
from segengine.plan.costs import RowCost, divide_rows, find_scan_users
from segengine.project.catalogue import load_catalogue
from segengine.project.types import parse_instant

CONTACTS = """
kind: segment
name: Ordering
audience: account
rules: [{over: orders}]
---
kind: segment
name: Of those who order
audience: contact
rules: [{over: orders, rows: {at_least: 2}}]
---
kind: segment
name: Buyers
audience: contact
where: {role: Buyer}
---
kind: segment
name: With tickets
audience: contact
rules: [{over: tickets}]
"""


def test_rows_are_divided_equally() -> None:
    users = {"a": frozenset({"x"}), "b": frozenset({"x", "y"}), "unread": frozenset({"y"})}
    assert divide_rows({"a": 6, "b": 2, "nobody's": 2}, users) == {
        "x": RowCost(0.7, 6, ("a", "b")),
        "y": RowCost(0.1, 0, ("b",)),
    }


def test_nothing_was_read() -> None:
    assert divide_rows({"a": 0}, {"a": frozenset({"x"})}) == {"x": RowCost(0.0, 0, ("a",))}
    assert divide_rows({}, {}) == {}


def test_what_contacts_ask_of_accounts_is_theirs(tmp_path: Path) -> None:
    copy_project("harbor_supply", tmp_path)
    for file in (tmp_path / "definitions").glob("*.yml"):
        file.unlink()
    (tmp_path / "definitions" / "own.yml").write_text(CONTACTS)
    catalogue = load_catalogue(open_settings(tmp_path))
    instant = parse_instant("2026-06-30T00:00:00Z", "UTC")
    users = find_scan_users(plan_run(catalogue.segments, catalogue, instant))
    assert users["orders > account"] == {"ordering", "of_those_who_order"}
    assert users["tickets > contact"] == {"with_tickets"}
    assert users["contacts"] == {"buyers"}
    assert users["accounts"] == {"ordering", "of_those_who_order"}, "read to know which accounts there are"


def test_values_of_accounts_that_contacts_ask_for_are_theirs(tmp_path: Path) -> None:
    copy_project("harbor_supply", tmp_path)
    catalogue = load_catalogue(open_settings(tmp_path))
    instant = parse_instant("2026-06-30T00:00:00Z", "UTC")
    alone = find_scan_users(plan_run({"pipeline": catalogue.measures["pipeline"]}, catalogue, instant))
    assert set(alone) == {"accounts", "contacts", "opportunities > contact"}
    assert set(alone.values()) == {frozenset({"pipeline"})}
    both = {identity: catalogue.measures[identity] for identity in ("revenue", "pipeline")}
    users = find_scan_users(plan_run(both, catalogue, instant))
    assert users["orders > account"] == {"revenue"}
    assert users["accounts"] == {"revenue", "pipeline"}
