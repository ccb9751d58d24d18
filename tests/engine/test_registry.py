"""Definitions: files against the registry, by `plan`, `apply` and `get`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from workspace import Workspace, read_rows

from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, DefinitionError, LeaseHeldError
from segengine.operations.apply import merge_fields
from segengine.operations.context import load_registered
from segengine.operations.definition_plan import Action, DefinitionPlan
from segengine.operations.get import get_definitions
from segengine.operations.segments import show_segment
from segengine.project.nodes import Plain, dump_documents
from segengine.store.registry import append_definitions, make_change_id, read_registry, registry_control

PROJECT = """
project: small
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
LOCK = """
customers: {customer_id: text, state: text, age: integer}
purchases: {purchase_id: integer, customer_id: text, amount: "decimal(10,2)"}
"""
WEST = """
kind: segment
name: West coast
tags: [region, demo]
where: {state: [California, Oregon]}
"""
YOUNG = """
kind: segment
name: Young
description: Below thirty
where: {age: {less_than: 30}}
"""
BOTH = """
kind: segment
name: Young in the west
where: {all: [{in_segment: West coast}, {in_segment: Young}]}
"""
SPENDERS = """
kind: segment
name: Big spenders
rules:
  - over: purchases
    rows: {at_least: 2}
    where: {amount: {at_least: 100.00}}
  - except: {where: {state: "no"}}
"""


@pytest.fixture
def workspace(engine: EngineSession, tmp_path: Path) -> Workspace:
    """A project that needs no data: definitions are checked against the lock alone."""
    workspace = Workspace(tmp_path, engine)
    workspace.write_project(PROJECT)
    (tmp_path / "schema.lock.yml").write_text(LOCK)
    return workspace


def actions(plan: DefinitionPlan) -> dict[str, str]:
    return {change.id: str(change.action) for change in plan.changes}


def change_by_command(workspace: Workspace, identity: str, fields: Mapping[str, Plain], **other: str) -> None:
    """Write a new version as commands do: the fields change, what the file last applied stays known."""
    with workspace.opened() as project:
        control = registry_control(project.warehouse)
        with control.lease(make_change_id(datetime.now(UTC)), []) as lease:
            known = read_registry(project.warehouse).newest[identity]
            record = replace(
                known, version=known.version + 1, fields={**known.fields, **fields}, origin="command", **other
            )
            append_definitions(project.warehouse, lease, [record])
            control.publish(lease)


@pytest.mark.before_the_engine
def test_apply_records_versions_and_repeats_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.define(WEST, "west.yml")
    workspace.define(f"{YOUNG}---{BOTH}", "young.yml")
    before = datetime.now(UTC)

    assert workspace.plan().has_changes
    assert not workspace.warehouse.exists(), "plan writes nothing"
    monkeypatch.setenv("SEGENGINE_AUTHOR", "ann")
    first = workspace.apply()
    assert actions(first) == {"west_coast": "created", "young": "created", "young_in_the_west": "created"}
    again = workspace.apply()
    assert actions(again) == {"west_coast": "unchanged", "young": "unchanged", "young_in_the_west": "unchanged"}
    assert not again.has_changes

    monkeypatch.setenv("SEGENGINE_AUTHOR", "bob")
    workspace.define(YOUNG.replace("30", "25").replace("Below thirty", "Below 25"), "young.yml")
    workspace.define(BOTH, "both.yml")
    second = workspace.apply()
    assert actions(second) == {"west_coast": "unchanged", "young": "changed", "young_in_the_west": "unchanged"}
    (changed,) = second.of(Action.CHANGE)
    assert changed.fields == ("description", "where")

    rows = sorted(read_rows(workspace.warehouse / "definitions"), key=lambda row: (row["id"], row["version"]))
    told = [(row["id"], row["version"], row["author"], row["origin"]) for row in rows]
    assert told == [
        ("west_coast", 1, "ann", "file:definitions/west.yml"),
        ("young", 1, "ann", "file:definitions/young.yml"),
        ("young", 2, "bob", "file:definitions/young.yml"),
        ("young_in_the_west", 1, "ann", "file:definitions/young.yml"),
    ]
    assert all(before <= row["recorded_at"] <= datetime.now(UTC) for row in rows)
    hashes = [(row["data_hash"], row["metadata_hash"]) for row in rows if row["id"] == "young"]
    assert all(data and metadata for data, metadata in hashes)
    assert hashes[0][0] != hashes[1][0]
    assert hashes[0][1] != hashes[1][1]


@pytest.mark.before_the_engine
def test_metadata_alone_keeps_the_data_hash(workspace: Workspace) -> None:
    workspace.define(WEST)
    workspace.apply()
    workspace.define(WEST.replace("[region, demo]", "[region]").replace("[California, Oregon]", "[Oregon, California]"))
    workspace.apply()

    first, second = sorted(read_rows(workspace.warehouse / "definitions"), key=lambda row: row["version"])
    assert first["data_hash"] == second["data_hash"]
    assert first["metadata_hash"] != second["metadata_hash"]


@pytest.mark.before_the_engine
def test_gone_files_are_removed_only_by_prune_and_come_back(workspace: Workspace) -> None:
    workspace.define(WEST, "west.yml")
    path = workspace.define(YOUNG, "young.yml")
    workspace.apply()
    path.unlink()

    kept = workspace.apply()
    assert actions(kept) == {"west_coast": "unchanged", "young": "gone from the files"}
    assert not kept.has_changes
    assert set(workspace.listed()) == {"west_coast", "young"}

    pruned = workspace.apply(prune=True)
    assert actions(pruned) == {"west_coast": "unchanged", "young": "removed"}
    assert set(workspace.listed()) == {"west_coast"}

    workspace.define(YOUNG, "young.yml")
    assert actions(workspace.apply()) == {"west_coast": "unchanged", "young": "created"}
    versions = {row["version"]: row["removed"] for row in read_rows(workspace.warehouse / "definitions")}
    assert versions[3] is False
    assert versions[2] is True


@pytest.mark.before_the_engine
def test_prune_of_a_parent_is_an_error(workspace: Workspace) -> None:
    workspace.define(WEST, "west.yml")
    young = workspace.define(YOUNG, "young.yml")
    workspace.define(BOTH, "both.yml")
    workspace.apply()
    young.unlink()

    with pytest.raises(DefinitionError) as caught:
        workspace.apply(prune=True)

    assert [(issue.place.file, "Young" in issue.message) for issue in caught.value.issues] == [
        ("definitions/both.yml", True)
    ]
    assert set(workspace.listed()) == {"west_coast", "young", "young_in_the_west"}


@pytest.mark.before_the_engine
def test_errors_of_files_record_nothing(workspace: Workspace) -> None:
    workspace.define(f"{WEST}---{YOUNG}")
    workspace.apply()
    workspace.define(f"{WEST.replace('Oregon', 'Nevada')}---{YOUNG.replace('age', 'agee')}")

    with pytest.raises(DefinitionError, match='table "customers" has no column "agee"'):
        workspace.apply()

    assert [row["version"] for row in read_rows(workspace.warehouse / "definitions")] == [1, 1]


@pytest.mark.before_the_engine
def test_renaming_keeps_history_and_references(workspace: Workspace) -> None:
    """Other segments refer to the id, so a new name reaches them without being written again."""
    workspace.define(f"{YOUNG}---{BOTH}")
    west = workspace.define(WEST, "west.yml")
    workspace.apply()
    renamed = WEST.replace("name: West coast", "name: Pacific coast\nid: west_coast")
    west.write_text(renamed)

    plan = workspace.apply([west])

    assert [(str(change.action), change.note) for change in plan.changes] == [("renamed", 'was "West coast"')]
    rows = read_rows(workspace.warehouse / "definitions")
    assert sorted((row["id"], row["version"]) for row in rows) == [
        ("west_coast", 1),
        ("west_coast", 2),
        ("young", 1),
        ("young_in_the_west", 1),
    ]
    with workspace.opened() as project:
        child = show_segment(project, "young_in_the_west")
        parent = show_segment(project, "Pacific coast")
    assert child.fields["where"] == {"all": [{"in_segment": "Pacific coast"}, {"in_segment": "Young"}]}  # type: ignore[index,call-overload]
    assert tuple(user.name for user in parent.used_by) == ("Young in the west",)


@pytest.mark.before_the_engine
def test_rename_without_id_is_noticed(workspace: Workspace) -> None:
    path = workspace.define(WEST)
    workspace.apply()
    path.write_text(WEST.replace("West coast", "Pacific coast"))

    changes = {change.id: change for change in workspace.plan().changes}

    assert {identity: str(change.action) for identity, change in changes.items()} == {
        "pacific_coast": "created",
        "west_coast": "gone from the files",
    }
    assert changes["pacific_coast"].note == (
        'looks like "West coast" renamed; write `id: west_coast` to keep its history'
    )


@pytest.mark.before_the_engine
def test_file_and_command_change_different_fields(workspace: Workspace) -> None:
    workspace.define(WEST)
    workspace.apply()
    change_by_command(workspace, "west_coast", {"tags": ["region", "loud"], "description": "By the sea"})
    workspace.define(WEST.replace("[region, demo]", "[region, demo, new]").replace("Oregon", "Washington"))

    plan = workspace.apply()

    assert actions(plan) == {"west_coast": "changed"}
    with workspace.opened() as project:
        (fields,) = get_definitions(project)
    assert fields == {
        "kind": "segment",
        "name": "West coast",
        "id": "west_coast",
        "tags": ["region", "new", "loud"],
        "where": {"state": ["California", "Washington"]},
        "description": "By the sea",
    }
    assert actions(workspace.apply()) == {"west_coast": "unchanged"}


@pytest.mark.before_the_engine
def test_both_change_one_field(workspace: Workspace) -> None:
    workspace.define(f"{WEST}---{YOUNG}")
    workspace.apply()
    change_by_command(workspace, "young", {"description": "By command"})
    workspace.define(f"{WEST}---{YOUNG.replace('Below thirty', 'By file')}")

    plan = workspace.plan()
    assert [(change.id, change.fields) for change in plan.of(Action.CONFLICT)] == [("young", ("description",))]
    with pytest.raises(ConfigError) as caught:
        workspace.apply()
    assert str(caught.value) == (
        "File and registry both changed: young (description). Say who wins with --take file or --take registry."
    )
    assert sorted(row["version"] for row in read_rows(workspace.warehouse / "definitions")) == [1, 1, 2]

    def description() -> Plain:
        with workspace.opened() as project:
            (fields,) = get_definitions(project, ["Young"])
        return fields["description"]  # type: ignore[index,call-overload]

    workspace.apply(take="registry")
    assert description() == "By command"
    assert actions(workspace.apply())["young"] == "unchanged"
    change_by_command(workspace, "young", {"description": "By command again"})
    workspace.define(f"{WEST}---{YOUNG.replace('Below thirty', 'By file again')}")
    workspace.apply(take="file")
    assert description() == "By file again"


@pytest.mark.before_the_engine
def test_files_go_on_with_the_name_they_gave(workspace: Workspace) -> None:
    workspace.define(f"{WEST}---{YOUNG}---{BOTH}")
    workspace.apply()
    change_by_command(workspace, "west_coast", {"name": "Pacific coast"}, name="Pacific coast")

    assert set(actions(workspace.apply()).values()) == {"unchanged"}
    workspace.define(f"{WEST.replace('Oregon', 'Nevada')}---{YOUNG}---{BOTH}")
    assert actions(workspace.apply())["west_coast"] == "changed"
    with workspace.opened() as project:
        assert tuple(user.name for user in show_segment(project, "Pacific coast").used_by) == ("Young in the west",)

    workspace.define("kind: segment\nname: Pacific coast\nid: other\nwhere: everyone\n", "other.yml")
    with pytest.raises(DefinitionError, match='two segments are named "Pacific coast"'):
        workspace.apply()


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"}),
        ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {}, {"a": "1"}, {}),
        ({"a": "1"}, {"a": "1"}, {}, {}),
        ({}, {"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"tags": ["x", "y"]}, {"tags": ["x", "z"]}, {"tags": ["y", "w"]}, {"tags": ["z", "w"]}),
        ({"tags": ["x"]}, {}, {"tags": ["x", "y"]}, {"tags": ["y"]}),
        ({"tags": "x"}, {"tags": ["x", "y"]}, {"tags": []}, {"tags": ["y"]}),
    ],
)
def test_merging_three_ways(
    base: dict[str, Plain], ours: dict[str, Plain], theirs: dict[str, Plain], merged: dict[str, Plain]
) -> None:
    assert merge_fields(base, ours, theirs, None) == (merged, ())


@pytest.mark.parametrize(("take", "wins"), [("file", "2"), ("registry", "3")])
def test_conflict_and_who_wins(take: str, wins: str) -> None:
    base, ours, theirs = {"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a": "3", "b": "1"}

    assert merge_fields(base, ours, theirs, None)[1] == ("a",)
    assert merge_fields(base, ours, theirs, take) == ({"a": wins, "b": "1"}, ())  # type: ignore[arg-type]


@pytest.mark.before_the_engine
def test_get_and_apply_make_the_round_trip(workspace: Workspace) -> None:
    workspace.define(f"{WEST}---{YOUNG}---{BOTH}---{SPENDERS}")
    workspace.apply()
    with workspace.opened() as project:
        definitions = get_definitions(project)
    assert [fields["id"] for fields in definitions] == [  # type: ignore[index,call-overload]
        "big_spenders",
        "west_coast",
        "young",
        "young_in_the_west",
    ]
    text = dump_documents(definitions)
    assert "in_segment: West coast" in text

    workspace.define(text)
    again = workspace.apply()
    assert set(actions(again).values()) == {"unchanged"}
    assert not again.has_changes
    with workspace.opened() as project:
        assert get_definitions(project) == definitions


@pytest.mark.before_the_engine
def test_get_of_an_unknown_name(workspace: Workspace) -> None:
    workspace.define(WEST)
    workspace.apply()

    with workspace.opened() as project, pytest.raises(ConfigError, match='There is no definition "West cost"'):
        get_definitions(project, ["West cost"])


@pytest.mark.before_the_engine
def test_second_applier_meets_a_lease(workspace: Workspace) -> None:
    workspace.define(WEST)
    workspace.apply()
    workspace.define(WEST.replace("Oregon", "Nevada"))

    with workspace.opened() as project, registry_control(project.warehouse).lease("change_of_somebody", []):
        with pytest.raises(LeaseHeldError) as caught:
            workspace.apply()
    assert re.fullmatch(
        r"Another run \(change_of_somebody, \S+ on \S+, process \d+\) holds the lease until "
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. Wait for it to end, as `refresh --wait MINUTES` does\. "
        r"If it was killed, its lease ends by itself\.",
        str(caught.value),
    )

    assert actions(workspace.apply()) == {"west_coast": "changed"}


def test_definitions_are_checked_again_where_something_changed(workspace: Workspace) -> None:
    workspace.define(WEST)
    workspace.apply()
    with workspace.opened() as project:
        first, _ = load_registered(project)
        assert load_registered(project)[0] is first

        workspace.define(WEST.replace("Oregon", "Nevada"))
        workspace.apply()  # as another process would
        changed, _ = load_registered(project)
        assert changed.hashes["west_coast"].data != first.hashes["west_coast"].data

        (workspace.folder / "schema.lock.yml").write_text(LOCK.replace("state: text, ", ""))
        assert list(load_registered(project)[0].broken) == ["west_coast"]
