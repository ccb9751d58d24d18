"""Managing applied definitions by commands: versions, usage, deletion, and what a refresh makes of states."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_registry import BOTH, LOCK, PROJECT, WEST, YOUNG, actions
from workspace import Workspace, read_rows

from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, DefinitionError
from segengine.operations.context import load_registered
from segengine.operations.definition_plan import DefinitionPlan
from segengine.operations.get import get_definitions
from segengine.operations.manage import (
    Selection,
    find_record,
    plan_change,
    plan_removal,
    record_change,
    record_copy,
    record_edit,
    record_removal,
)
from segengine.operations.measures import show_measure, write_measure_tables
from segengine.operations.unused import deactivate_unused, read_deactivations
from segengine.operations.why import explain_membership
from segengine.project.changes import Change, activate, add_tags, deactivate, remove_tags, rename, set_type
from segengine.project.definitions import read_definition
from segengine.project.find import Filter
from segengine.project.model import Definition
from segengine.project.nodes import Plain, parse_documents
from segengine.project.problems import Problems
from segengine.store.registry import read_registry, registry_control
from segengine.store.runs import Status
from segengine.store.usage import append_uses

TOOL = "kind: consumer\nname: Campaign tool\nuses: [Young in the west]\nlink: https://campaigns.example.org\n"
SPEND = "kind: measure\nname: Spend\nper: customer\nover: purchases\nvalue: {sum: amount}\n"


@pytest.fixture
def workspace(engine: EngineSession, tmp_path: Path) -> Workspace:
    """A project that needs no data, with three segments, a measure and a consumer."""
    workspace = Workspace(tmp_path, engine)
    workspace.write_project(PROJECT)
    (tmp_path / "schema.lock.yml").write_text(LOCK)
    workspace.define("---\n".join([WEST, YOUNG, BOTH, TOOL, SPEND]))
    workspace.apply()
    return workspace


def change(workspace: Workspace, what: Change, *names: str, kind: str = "segment", **chosen: object) -> DefinitionPlan:
    with workspace.opened() as project:
        return record_change(project, Selection(kind, names, Filter(**chosen)), what)  # type: ignore[arg-type]


def fields_of(workspace: Workspace, name: str) -> dict[str, Plain]:
    with workspace.opened() as project:
        (fields,) = get_definitions(project, [name])
    assert isinstance(fields, dict)
    return fields


@pytest.mark.before_the_engine
def test_tags_of_several_are_one_change_with_author_and_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGENGINE_AUTHOR", "ann")
    plan = change(workspace, add_tags("spring", "demo"), "West coast", "young")

    assert [(str(c.action), c.id, c.fields) for c in plan.changes] == [
        ("changed", "west_coast", ("tags",)),
        ("changed", "young", ("tags",)),
    ]
    assert fields_of(workspace, "young")["tags"] == ["spring", "demo"]
    assert fields_of(workspace, "west_coast")["tags"] == ["region", "demo", "spring"]
    rows = [row for row in read_rows(workspace.warehouse / "definitions") if row["version"] == 2]
    assert len({row["change_id"] for row in rows}) == 1
    assert {(row["id"], row["author"], row["origin"]) for row in rows} == {
        ("west_coast", "ann", "command"),
        ("young", "ann", "command"),
    }

    again = change(workspace, add_tags("spring"), tags=("spring",))
    assert set(actions(again).values()) == {"unchanged"}
    assert not again.has_changes
    change(workspace, remove_tags("spring", "demo"), tags=("spring",), search="YOUNG")
    assert "tags" not in fields_of(workspace, "young")
    assert set(actions(workspace.apply()).values()) == {"unchanged"}, "what commands changed stays"


@pytest.mark.before_the_engine
def test_too_many_tags_are_refused_and_nothing_is_written(workspace: Workspace) -> None:
    with pytest.raises(DefinitionError, match="21 tags, at most 20"):
        change(workspace, add_tags(*(f"t{number}" for number in range(19))), "west_coast", "young")
    assert fields_of(workspace, "west_coast")["tags"] == ["region", "demo"]


@pytest.mark.before_the_engine
def test_who_is_meant(workspace: Workspace) -> None:
    with workspace.opened() as project:
        with pytest.raises(ConfigError, match='no segment "Spend"'):
            plan_change(project, Selection("segment", ("Spend",)), activate())
        with pytest.raises(ConfigError, match="Which segments"):
            plan_change(project, Selection("segment"), activate())
        nobody = plan_change(project, Selection("segment", (), Filter(("no such tag",))), activate())
        assert nobody.changes == ()
        both = plan_change(project, Selection("segment", (), Filter(search="young")), add_tags("x"))
        assert set(actions(both)) == {"young", "young_in_the_west"}


@pytest.mark.before_the_engine
def test_a_rename_keeps_id_references_and_output_table(workspace: Workspace) -> None:
    plan = change(workspace, rename("Pacific coast"), "West coast")
    assert [(str(c.action), c.id, c.note) for c in plan.changes] == [
        ("renamed", "west_coast", 'was "West coast"; used by segment "Young in the west"')
    ]
    assert fields_of(workspace, "Pacific coast")["output_table"] == "WestCoast"
    assert fields_of(workspace, "young_in_the_west")["where"] == {
        "all": [{"in_segment": "Pacific coast"}, {"in_segment": "Young"}]
    }
    change(workspace, rename("Pacific", "Pacific"), "west_coast")
    assert "output_table" not in fields_of(workspace, "Pacific")
    with pytest.raises(DefinitionError, match='two segments are named "Young"'):
        change(workspace, rename("Young"), "west_coast")
    for unseen in ("", "  ", "West\ncoast"):
        with pytest.raises(ConfigError, match="is no name"):
            change(workspace, rename(unseen), "west_coast")
    change(workspace, rename("Money"), "Spend", kind="measure")
    assert fields_of(workspace, "Money")["id"] == "spend"


@pytest.mark.before_the_engine
def test_a_copy_has_its_own_name_id_and_table(workspace: Workspace) -> None:
    with workspace.opened() as project:
        record_copy(project, "segment", "Young in the west", "Young again")
        with pytest.raises(DefinitionError, match="young"):
            record_copy(project, "segment", "West coast", "Young")
        with pytest.raises(ConfigError, match="is no name"):
            record_copy(project, "segment", "West coast", "Young\n2")
        with pytest.raises(ConfigError, match="No id"):
            record_copy(project, "segment", "West coast", "***")
    assert fields_of(workspace, "Young again") == {
        **fields_of(workspace, "young_in_the_west"),
        "name": "Young again",
        "id": "young_again",
    }


@pytest.mark.before_the_engine
def test_deleting_names_who_uses_it(workspace: Workspace) -> None:
    with workspace.opened() as project:
        plan = plan_removal(project, Selection("segment", ("Young",)))
        assert [(str(c.action), c.note) for c in plan.changes] == [("removed", 'used by segment "Young in the west"')]
        with pytest.raises(ConfigError) as refused:
            record_removal(project, Selection("segment", ("Young in the west",)))
        assert '"Young in the west" is used by consumer "Campaign tool"' in str(refused.value)
        record_removal(project, Selection("consumer", ("Campaign tool",)))
        record_removal(project, Selection("segment", ("Young in the west", "Young")))
    assert set(workspace.listed()) == {"west_coast"}
    assert actions(workspace.apply())["young"] == "created", "its file still has it"


@pytest.mark.before_the_engine
def test_deleting_by_force_breaks_those_who_use_it(workspace: Workspace) -> None:
    people = {"customer_id": ["a", "b"], "state": ["Oregon", "Ohio"], "age": [20, 20]}
    workspace.write_table("customers", people)
    workspace.write_table("purchases", {"purchase_id": [1], "customer_id": ["a"], "amount": [1]})
    workspace.pull()
    assert workspace.refresh().is_complete
    with workspace.opened() as project:
        record_removal(project, Selection("segment", ("Young",)), force=True)

    cause = 'it uses segment "Young", which was deleted.'
    shown = workspace.listed()["young_in_the_west"]
    assert (shown.status, shown.error) == (Status.FAILED, cause)
    report = workspace.refresh()
    assert {run.segment_id: (str(run.status), run.error) for run in report.segments} == {
        "west_coast": ("Successful", ""),
        "young_in_the_west": ("Failed", cause),
    }
    assert workspace.members("young_in_the_west") == ["a"], "the last good snapshot stays"
    change(workspace, add_tags("broken"), "Young in the west")
    change(workspace, add_tags("fine"), "West coast")

    with workspace.opened() as project:
        version = find_record(read_registry(project.warehouse), "segment", "young_in_the_west")
        text = "kind: segment\nname: Young in the west\nwhere: {in_segment: West coast}\n"
        record_edit(project, version, read(text))
    assert workspace.refresh().is_complete


@pytest.mark.before_the_engine
def test_broken_measures_are_shown_and_written_nowhere(workspace: Workspace) -> None:
    double = "kind: measure\nname: Double\nper: customer\nvalue: {expression: Spend * 2}\n"
    many = "kind: segment\nname: Many\nwhere: {Double: {at_least: 1}}\n"
    workspace.define(f"{double}---\n{many}", "more.yml")
    workspace.apply()
    workspace.write_table("customers", {"customer_id": ["a"], "state": ["Oregon"], "age": [20]})
    workspace.write_table("purchases", {"purchase_id": [1], "customer_id": ["a"], "amount": [1]})
    workspace.pull()
    assert workspace.refresh().is_complete
    with workspace.opened() as project:
        record_removal(project, Selection("measure", ("Spend",)), force=True)
        details = show_measure(project, "Double")
        assert (details.summary.status, not details.summary.measure.is_total) == (Status.FAILED, True)
        assert details.summary.error == 'it uses measure "Spend", which was deleted.'
        assert write_measure_tables(project) == []
        with pytest.raises(ConfigError, match='Measure "Double" cannot be evaluated'):
            explain_membership(project, "Many", "a")
    report = workspace.refresh()
    assert {run.measure_id: str(run.status) for run in report.measures} == {"double": "Failed"}
    assert {run.segment_id: str(run.status) for run in report.segments}["many"] in ("Failed", "Skipped")


def read(text: str) -> Definition:
    found = read_definition(parse_documents(text, "edited.yml")[0][0], "edited.yml", Problems())
    assert found is not None
    return found


@pytest.mark.before_the_engine
def test_edits_are_checked_and_never_overwrite_others(workspace: Workspace) -> None:
    with workspace.opened() as project:
        version = find_record(read_registry(project.warehouse), "segment", "young")
        good = read("kind: segment\nname: Young\nwhere: {age: {less_than: 20}}\n")
        with pytest.raises(DefinitionError, match=r"edited.yml:3: error SEG204.*Did you mean \"age\""):
            record_edit(project, version, read("kind: segment\nname: Young\nwhere: {agee: 1}\n"))
        with pytest.raises(ConfigError, match='"young" was made segment "old"'):
            record_edit(project, version, replace(good, id="old"))
        plan = record_edit(project, version, good)
        assert [(str(c.action), c.fields) for c in plan.changes] == [("changed", ("description", "where"))]
        assert plan.changes_of_members == ("young",)
        with pytest.raises(ConfigError, match=r"changed by .* meanwhile \(version 2\)"):
            record_edit(project, version, good)


@pytest.mark.before_the_engine
def test_what_nobody_uses_is_deactivated_after_45_days(workspace: Workspace) -> None:
    change(workspace, lambda fields: {**fields, "exempt_from_deactivation": "true"}, "Young")
    with workspace.opened() as project:
        record_removal(project, Selection("consumer", ("Campaign tool",)))
        applied = datetime.now(UTC)
        assert {use.name for use in read_deactivations(project)} == {"Spend", "Young in the west"}
        said: list[str] = []

        def after(days: int) -> dict[str, str]:
            catalogue, registry = load_registered(project)
            now = applied + timedelta(days=days)
            plan = deactivate_unused(project, catalogue, registry, now=now, progress=said.append)
            return actions(plan) if plan else {}

        assert after(37) == {}
        assert said == []
        assert after(44) == {}
        assert sorted(line.partition('" is deactivated on ')[0] for line in said) == ['"Spend', '"Young in the west']
        append_uses(project.warehouse, ["spend"], "values", "ann", applied + timedelta(days=40))
        append_uses(project.warehouse, ["spend"], "values", "ann", applied + timedelta(days=30))
        assert after(46) == {"young_in_the_west": "changed"}
        assert after(46) == {"west_coast": "changed"}, "its user is inactive since today, whatever `now` says"
        assert after(84) == {}, "Young is exempt"
        assert after(86) == {"spend": "changed"}
        assert read_deactivations(project) == []
        with registry_control(project.warehouse).lease("change_of_somebody", []):
            assert after(200) == {}, "there is nothing left to do"
    assert fields_of(workspace, "Young in the west")["tags"] == ["AutoDeactivated"]
    assert fields_of(workspace, "Young in the west")["state"] == "inactive"
    assert workspace.listed()["young"].segment.state == "active"
    change(workspace, activate(), "Young in the west")
    assert fields_of(workspace, "Young in the west")["state"] == "active"


@pytest.mark.before_the_engine
def test_taking_all_members_is_a_use(workspace: Workspace) -> None:
    workspace.write_table("customers", {"customer_id": ["a"], "state": ["Oregon"], "age": [20]})
    workspace.write_table("purchases", {"purchase_id": [1], "customer_id": ["a"], "amount": [1]})
    workspace.pull()
    workspace.refresh()
    workspace.members("Young")
    assert not (workspace.warehouse / "usage").exists() or not read_rows(workspace.warehouse / "usage")
    workspace.members("Young", limit=None)
    workspace.members("Young", limit=None)
    workspace.values("Spend", limit=None)
    uses = [(row["id"], row["used_for"]) for row in read_rows(workspace.warehouse / "usage")]
    assert sorted(uses) == [("spend", "values"), ("young", "members")], "at most once a day"


@pytest.mark.before_the_engine
def test_states_and_types_decide_what_a_refresh_takes(workspace: Workspace) -> None:
    workspace.write_table("customers", {"customer_id": ["a"], "state": ["Oregon"], "age": [20]})
    workspace.write_table("purchases", {"purchase_id": [1], "customer_id": ["a"], "amount": [1]})
    workspace.pull()
    workspace.refresh()
    workspace.write_table("customers", {"customer_id": ["a", "b"], "state": ["Oregon"] * 2, "age": [20, 20]})

    change(workspace, deactivate(), "Young")
    change(workspace, deactivate(unused=True), "Spend", kind="measure")
    change(workspace, set_type("static"), "West coast")
    assert fields_of(workspace, "Spend")["tags"] == ["AutoDeactivated"]
    report = workspace.refresh()
    assert [run.segment_id for run in report.segments] == ["young_in_the_west"]
    assert report.measures == ()
    assert workspace.members("young_in_the_west") == ["a"], "inactive and static parents feed what they had"

    named = workspace.refresh("Young")
    assert [(str(run.status), run.error) for run in named.segments] == [("Skipped", "it is inactive")]
    assert workspace.refresh("young_in_the_west").is_complete, "it goes on feeding its children"

    change(workspace, deactivate(), "West coast")
    change(workspace, activate(), "West coast", "young")
    change(workspace, activate(), "Spend", kind="measure")
    assert "tags" not in fields_of(workspace, "Spend")
    once = workspace.refresh()
    assert {run.segment_id for run in once.segments} == {"west_coast", "young", "young_in_the_west"}
    assert workspace.members("young_in_the_west") == ["a", "b"]
    assert "west_coast" not in {run.segment_id for run in workspace.refresh().segments}, "static: once"
    change(workspace, set_type("dynamic"), "West coast")
    assert "west_coast" in {run.segment_id for run in workspace.refresh().segments}
