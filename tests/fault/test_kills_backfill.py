"""A back-fill killed between any two changes of the disk: an instant is there or not; done again, all are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from history import Row, write_versions
from killing import OPERATIONS, cut_off, kill, list_changes
from store_checker import check_store
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.store.runs import Status

PROJECT = """
project: killed
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: bought_on}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: measure, name: Spend, per: customer, over: purchases, value: {sum: amount}}
---
{kind: segment, name: Rich, where: {Spend: {at_least: 10}}}
"""


def purchase(customer_id: str, amount: int) -> Row:
    return {"purchase_id": customer_id, "customer_id": customer_id, "amount": amount, "bought_on": date(2026, 2, 1)}


# The first and second instant see the first and second version. "old" is known then only: a back-fill gives its key.
WRITTEN_AT = [datetime(2026, 2, 25, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)]
CUSTOMERS = [[{"customer_id": each} for each in ids] for ids in (("a", "old"), ("a", "b", "c"), ("a", "b", "c"))]
PURCHASES = [
    [purchase("a", 10), purchase("old", 20)],
    [purchase("a", 9), purchase("b", 10), purchase("c", 20)],
    [purchase("a", 50)],
]
MEMBERS = [["a", "old"], ["b", "c"]]
COUNTS = [(2, 2, 0), (2, 2, 2)]  # members, entered, left


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("refreshed"), embedded)
    workspace.write_project(PROJECT)
    write_versions(workspace.data / "customers", CUSTOMERS, WRITTEN_AT)
    write_versions(workspace.data / "purchases", PURCHASES, WRITTEN_AT)
    workspace.define(DEFINITIONS)
    workspace.pull()
    workspace.apply()
    workspace.refresh()
    return workspace


def filled(workspace: Workspace) -> list[dict[str, Any]]:
    """Return what the back-fills say of the segment; whatever happened to one, what is current stays."""
    check_store(workspace.warehouse)
    published = workspace.published()
    assert published.members() == {"rich": ["a"]}
    assert workspace.listed()["rich"].status is Status.SUCCESSFUL
    rows = [row for row in published.of("rich") if row["purpose"] == "back-fill"]
    assert [published.members_of_run("rich", row["run_id"]) for row in rows] == MEMBERS[: len(rows)]
    counts = [tuple(row[f"{name}_count"] for name in ("member", "entered", "left")) for row in rows]
    assert counts == COUNTS[: len(rows)]
    return rows


def go_on(workspace: Workspace, published: int) -> None:
    """Verify what a back-fill that ended there left, and that the same command does the rest."""
    before = filled(workspace)
    assert len(before) == published
    with workspace.opened() as project:
        OPERATIONS["backfill"](project)
    after = filled(workspace)
    assert len(after) == 2
    assert after[:published] == before, "what is done stays done"
    assert workspace.published().last_keys == {"customer": 4}


def test_a_backfill_that_is_cut_off(refreshed: Workspace, tmp_path: Path) -> None:
    """Before each lease is taken, and before each instant is published."""
    whole = refreshed.copy_to(tmp_path / "whole")
    done = list_changes(whole, "backfill")
    take, publish, take_again, publish_again = (place for place, name in enumerate(done, 1) if name == "update_one")
    assert len(done) == publish_again
    go_on(whole, 2)

    for number, published in ((take, 0), (publish, 0), (take_again, 1), (publish_again, 1)):
        workspace = refreshed.copy_to(tmp_path / f"cut_off_{number}")
        cut_off(workspace, "backfill", number)
        go_on(workspace, published)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_backfill_that_is_killed(refreshed: Workspace, tmp_path: Path) -> None:
    done = list_changes(refreshed.copy_to(tmp_path / "whole"), "backfill")
    _, publish, *_ = (place for place, name in enumerate(done, 1) if name == "update_one")
    for number in range(1, len(done) + 1):
        workspace = refreshed.copy_to(tmp_path / f"killed_{number}")
        kill(workspace, "backfill", number)
        go_on(workspace, published=int(number > publish))
