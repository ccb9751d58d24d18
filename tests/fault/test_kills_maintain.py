"""A `maintain` killed between any two changes of the disk loses nothing that counts; the next one does the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from killing import CHANGES, OPERATIONS, cut_off, kill, list_changes
from workspace import Workspace

from segengine.engine.session import EngineSession

PROJECT = """
project: killed
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
keep: {all: 2 days}
"""
SEGMENTS = """
kind: segment
name: Everybody
where: everyone
"""
KEPT = {3: ["a", "c"], 4: ["a", "d"]}


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("refreshed"), embedded)
    workspace.set_up(PROJECT, {"customers": {"customer_id": ["a"]}}, SEGMENTS)
    workspace.apply()
    for number, other in enumerate("abcd", start=1):
        workspace.write_table("customers", {"customer_id": sorted({"a", other})})
        workspace.refresh(as_of=datetime(2026, 6, 1 + number, tzinfo=UTC))
    return workspace


def test_a_maintenance_that_is_cut_off(refreshed: Workspace, tmp_path: Path) -> None:
    """Before the first change of each kind and before the last, one of them by the signal that all stand for."""
    whole = refreshed.copy_to(tmp_path / "whole")
    done = list_changes(whole, "maintain")
    assert {name for _, name in CHANGES} - set(done) == {"append", "overwrite"}

    for kind, number in {*((name, 1) for name in done), (done[-1], done.count(done[-1]))}:
        end = kill if kind == "compact" else cut_off
        check_end(refreshed.copy_to(tmp_path / f"{kind}_{number}"), whole, number, kind, end)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_maintenance_that_is_killed(refreshed: Workspace, tmp_path: Path) -> None:
    """Before the first change, and wherever another kind of change follows."""
    whole = refreshed.copy_to(tmp_path / "whole")
    done = list_changes(whole, "maintain")
    first = [place for place, (one, other) in enumerate(zip(["", *done], done, strict=False)) if one != other]
    for place in first:
        kind, number = done[place], done[: place + 1].count(done[place])
        check_end(refreshed.copy_to(tmp_path / f"{kind}_{number}"), whole, number, kind, kill)


def check_end(
    workspace: Workspace, whole: Workspace, number: int, kind: str, end: Callable[[Workspace, str, int, str], None]
) -> None:
    """Verify that what counts is there after the end of one, and after the next as if there had been no end.

    The end comes before a change of some kind: how many there are in all depends on the files that an engine writes.
    """
    where = f"before {kind} {number}"
    end(workspace, "maintain", number, kind)
    check(workspace, where)
    with workspace.opened() as project:
        OPERATIONS["maintain"](project)
    check(workspace, where)
    stored, expected = ({row["run_id"] for row in each.published().snapshots} for each in (workspace, whole))
    assert stored == expected, where
    files = [each for each in (workspace.warehouse / "snapshots").rglob("*.parquet") if "_delta_log" not in each.parts]
    assert len(files) == 1, where


def check(workspace: Workspace, where: str) -> None:
    published = workspace.published()
    rows = {row["snapshot_version"]: row for row in published.of("everybody")}
    for number, members in KEPT.items():
        assert published.members_of_run("everybody", rows[number]["snapshot_run_id"]) == members, where
    assert [row["member_count"] for row in rows.values()] == [1, 2, 2, 2], where
