"""`suggest show` and `suggest save`, what fails and why, and what stays of earlier suggestions."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from mlflow import MlflowClient
from shoppers import AS_OF, MEASURES, PROJECT, STORES, draw_customers, draw_purchases
from workspace import Workspace

from segengine import Project
from segengine.cli.main import main
from segengine.engine.session import EngineSession, activate
from segengine.errors import ConfigError, DefinitionError
from segengine.models.activity import ActivityGroups
from segengine.models.suggestions import Suggestions
from segengine.operations.quick_segment import count_draft, record_draft
from segengine.operations.suggestions import SavedAs, describe_suggestions, draft_proposal
from segengine.project.changes import rename
from segengine.project.nodes import Plain, dump_documents

SUGGESTIONS = """
kind: suggestion
name: What drives spend
improve: Spend
influences: [income, tier, remark, constant]
---
kind: suggestion
name: Purchases
activity: purchase
period: {within_last: 12 months}
dimensions: [recency, frequency]
"""
COUNT = 1_000


@pytest.fixture
def workspace(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    customers = draw_customers(5, COUNT)
    tables = {"customers": customers, "stores": STORES, "purchases": draw_purchases(6, customers)}
    workspace.set_up(PROJECT, tables, MEASURES + SUGGESTIONS)
    workspace.apply()
    return workspace


def run(workspace: Workspace, *arguments: str) -> int:
    with activate(workspace.session):
        return main([*arguments, "--conf", str(workspace.folder)])


def test_suggestions_are_shown_and_saved(
    workspace: Workspace, embedded: EngineSession, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.on(embedded).refresh(as_of=AS_OF)
    assert run(workspace, "suggest", "show", "What drives spend") == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "What drives spend: snapshot 1 as of 2026-07-01 14:30"
    assert lines[1:3] == ["1,000 customers", ""]
    assert lines[3].startswith(" 1  Spend is ")
    assert "  remark: is free text" in lines
    assert "  constant: has the same value everywhere" in lines
    assert "suggest save what_drives_spend NUMBER" in shown.err

    assert run(workspace, "suggest", "show", "what_drives_spend", "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)["suggestions"]
    first = document["proposals"][0]
    assert first["member_count"] == document["result"]["suggestions"][0]["member_count"]
    assert first["rule"].keys() == {"where"}

    save = ("suggest", "save", "What drives spend", "1", "--name", "Best group", "-o", "json")
    assert run(workspace, *save, "--as-of", "2026-07-01T12:30:01.000005Z") == 0
    saved = json.loads(capsys.readouterr().out)["segment"]
    assert (saved["created"], saved["member_count"]) == (False, first["member_count"])
    file = workspace.folder / "definitions" / "saved.yml"
    assert run(workspace, *save, "--file", str(file), "--yes") == 0
    assert json.loads(capsys.readouterr().out)["segment"]["created"]
    assert not workspace.plan().has_changes
    workspace.on(embedded).refresh("Best group")
    assert len(workspace.published().members()["best_group"]) == first["member_count"]
    assert workspace.listed()["best_group"].segment.description == first["card"]

    assert run(workspace, "suggest", "show", "Purchases") == 0
    shown = capsys.readouterr()
    assert "customers with activity" in shown.out
    assert "recency by max of purchased_at, High is recent: Low up to 20" in shown.out


@pytest.mark.before_the_engine
def test_what_cannot_be_saved_says_why(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "suggest", "show", "Purchases") == 2
    assert 'Suggestion "Purchases" has no snapshot: it was never refreshed' in capsys.readouterr().err
    workspace.refresh(as_of=AS_OF)
    with activate(workspace.session), Project(workspace.folder) as project:
        count = len(project.suggestions("Purchases").findings.proposals)
        with pytest.raises(ConfigError, match=f'"Purchases" has no suggestion {count + 1}'):
            project.save_suggestion("Purchases", count + 1, name="Nobody")
        with pytest.raises(ConfigError, match='There is no suggestion "Purchase"'):
            project.save_suggestion("Purchase", 1, name="Nobody")
        with pytest.raises(DefinitionError, match="Subscribers"):
            project.save_suggestion("Purchases", 1, name="Subscribers")
        counted = project.save_suggestion("Purchases", 1, name="Best buyers", dry_run=True)
        assert counted.preview.member_count == project.suggestions("Purchases").findings.proposals[0].member_count
        assert "best_buyers" not in {each.segment.id for each in project.segments()}


@pytest.mark.before_the_engine
def test_what_no_rule_can_say_is_shown_but_not_saved(workspace: Workspace) -> None:
    definitions = """
kind: suggestion
name: Possession
activity: possession
dimensions: [frequency, duration]
---
kind: suggestion
name: Every year
activity: purchase
period: {anniversary_within_next: 200 days}
dimensions: [frequency]
"""
    workspace.define(definitions)
    workspace.apply(prune=True)
    workspace.refresh(as_of=AS_OF)
    with activate(workspace.session), Project(workspace.folder) as project:
        assert project.suggestions("Possession").findings.proposals[0].rule is None
        with pytest.raises(ConfigError, match="rules do not add up durations"):
            project.save_suggestion("Possession", 1, name="Keepers")
        with pytest.raises(ConfigError, match='suggestion 1 of "Every year", because of its period'):
            project.save_suggestion("Every year", 1, name="Again")


KEPT = """
    select customer_id, sum(
        cast(timezone('Europe/Berlin', case when returned_at <= $as_of then returned_at else $as_of end) as date)
        - cast(timezone('Europe/Berlin', purchased_at) as date)) as days
    from purchases semi join customers using (customer_id) where purchased_at <= $as_of group by customer_id
"""


@pytest.mark.before_the_engine
def test_groups_by_duration_can_be_made_of_a_measure(workspace: Workspace) -> None:
    """What is said where a rule cannot: of the measure from the template, each level has the members of its group."""
    workspace.define("{kind: suggestion, name: Kept, activity: possession, dimensions: [duration]}")
    workspace.apply(prune=True)
    workspace.refresh(as_of=AS_OF)
    with workspace.opened() as project:
        found = describe_suggestions(project, "Kept").findings.result
    assert isinstance(found, ActivityGroups)
    levels = {f"kept_{number}": group.levels[0] for number, group in enumerate(found.groups)}
    assert len(levels) == 3
    documents: list[Plain] = [
        {"kind": "measure", "name": "Days", "per": "customer", "template": "membership_duration"}
        | {"activity": "possession"}
    ]
    for name, level in levels.items():
        bounds = {"greater_than": level.above, "at_most": level.at_most}
        days: Plain = {operator: str(bound) for operator, bound in bounds.items() if bound is not None}
        did: Plain = {"over": "purchases", "where": {"purchased_at": {"on_or_before": "2026-07-01 14:30:01.000005"}}}
        documents.append({"kind": "segment", "name": name, "rules": [did, {"intersect": {"where": {"Days": days}}}]})
    workspace.define(dump_documents(documents))
    workspace.apply(prune=True)
    workspace.refresh(as_of=AS_OF)
    customers = draw_customers(5, COUNT)
    with duckdb.connect() as database:
        database.register("customers", customers)
        database.register("purchases", draw_purchases(6, customers))
        kept = dict(database.execute(KEPT, {"as_of": AS_OF}).fetchall())
    members = workspace.published().members()
    for (name, level), group in zip(levels.items(), found.groups, strict=True):
        low, high = level.above, level.at_most
        own = {each for each, days in kept.items() if (low is None or days > low) and (high is None or days <= high)}
        assert set(members[name]) == own
        assert group.member_count == len(own)


def describe(workspace: Workspace, name: str, **choice: Any) -> Suggestions:
    with workspace.opened() as project:
        found = describe_suggestions(project, name, **choice).findings.result
    assert isinstance(found, Suggestions)
    return found


@pytest.mark.before_the_engine
def test_a_new_run_replaces_the_suggestions_and_keeps_the_old(workspace: Workspace) -> None:
    workspace.refresh(as_of=AS_OF)
    first = describe(workspace, "What drives spend")
    customers = draw_customers(8, COUNT)
    workspace.write_table("customers", customers)
    workspace.write_table("purchases", draw_purchases(9, customers))
    workspace.refresh(as_of=AS_OF + timedelta(days=1))
    second = describe(workspace, "What drives spend")
    assert first != second
    assert describe(workspace, "What drives spend", snapshot=1) == first
    assert describe(workspace, "What drives spend", at=AS_OF) == first


@pytest.mark.before_the_engine
def test_names_may_change_before_a_suggestion_is_saved(workspace: Workspace) -> None:
    definitions = """
kind: suggestion
name: Who subscribes
improve: subscribed
influences: [Spend, {in_segment: Golden}]
of: Spenders
---
kind: segment
name: Golden
where: {tier: gold}
---
kind: segment
name: Spenders
where: {Spend: {greater_than: 0}}
"""
    workspace.define(MEASURES + definitions)
    workspace.apply(prune=True)
    workspace.refresh()
    with activate(workspace.session), Project(workspace.folder) as project:
        proposal = project.suggestions("Who subscribes").findings.proposals[0]
        for old, new in (("Golden", "Best tier"), ("Spenders", "Buyers")):
            project.change([old], rename(new))
        project.change(["Spend"], rename("Lifetime value"), kind="measure")
        counted = project.save_suggestion("Who subscribes", 1, name="Subscribing")
    assert counted.draft.segment.description == f'{proposal.card}; of "Buyers"'
    assert counted.preview.member_count == proposal.member_count
    written = json.dumps(counted.draft.fields)
    assert '{"in_segment": "Buyers"}' in written
    assert '"Lifetime value"' in written


@pytest.mark.before_the_engine
def test_customers_newer_than_a_measure_are_counted_as_rules_see_them(workspace: Workspace) -> None:
    definitions = """
kind: suggestion
name: Who subscribes
improve: subscribed
influences: [Spend]
"""
    workspace.define(MEASURES + definitions)
    workspace.apply(prune=True)
    workspace.refresh()
    newer = draw_customers(6, 300)
    ids = pa.array([f"new {number}" for number in range(300)])
    subscribed = pa.array([False] * 300)
    newer = newer.set_column(0, "customer_id", ids)
    newer = newer.set_column(newer.schema.get_field_index("subscribed"), "subscribed", subscribed)
    workspace.append_rows("customers", newer)
    workspace.refresh("Who subscribes")
    with workspace.opened() as project:
        proposals = describe_suggestions(project, "Who subscribes").findings.proposals
        assert proposals
        for number, proposal in enumerate(proposals, start=1):
            draft = draft_proposal(project, "Who subscribes", number, SavedAs(f"Group {number}"))
            assert count_draft(project, draft).preview.member_count == proposal.member_count
            record_draft(project, draft)
    sizes = {f"group_{number}": proposal.member_count for number, proposal in enumerate(proposals, start=1)}
    workspace.refresh(*sizes)
    assert {key: len(workspace.published().members()[key]) for key in sizes} == sizes


FAILING = """
kind: segment
name: Nobody
where: {tier: none of them}
---
kind: segment
name: Few
where: {income: {at_least: 120000}}
---
kind: suggestion
name: Of nobody
improve: Spend
influences: [tier]
of: Nobody
---
kind: suggestion
name: Of few
activity: purchase
of: Few
---
kind: suggestion
name: Constant
improve: constant
influences: [tier]
---
kind: suggestion
name: Remarks
improve: remark
influences: [tier]
---
kind: suggestion
name: One class
improve: subscribed
influences: [tier]
of: Subscribers
---
kind: suggestion
name: By ids
improve: Spend
influences: [email, remark, constant]
---
kind: suggestion
name: Missing
improve: score
influences: [tier]
of: Without score
---
kind: segment
name: Without score
where: {score: {empty: true}}
---
kind: suggestion
name: Long ago
activity: purchase
period: {before: 1990-01-01}
"""
ERRORS = {
    "of_nobody": 'Segment "Nobody" has 0 members: a suggestion needs at least 50.',
    "of_few": 'Segment "Few" has',
    "constant": 'The target "constant" has the same value for every customer that has one.',
    "remarks": "values: suggestions take text of at most 10.",
    "one_class": 'The target "subscribed" has the same value for every customer that has one.',
    "by_ids": 'No field is left that could have an influence on "Spend": email looks like an id',
    "missing": 'The target "score" is missing everywhere.',
}


@pytest.mark.before_the_engine
def test_a_question_without_an_answer_fails_alone(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.define(FAILING, "failing.yml")
    workspace.apply()
    runs = {each.analysis_id: each for each in workspace.refresh(as_of=AS_OF).analyses}
    failed = {identity: each.error for identity, each in runs.items() if each.status == "Failed"}
    assert failed.keys() == ERRORS.keys()
    assert [identity for identity, part in ERRORS.items() if part not in failed[identity]] == []
    assert {identity for identity in runs if identity not in failed} == {"what_drives_spend", "purchases", "long_ago"}
    assert run(workspace, "suggest", "show", "Long ago") == 0
    assert "Nobody has any activity in the period." in capsys.readouterr().out
    assert run(workspace, "suggest", "save", "Long ago", "1", "--name", "X", "--yes") == 2
    assert '"Long ago" suggests nothing.' in capsys.readouterr().err


@pytest.mark.before_the_engine
def test_what_was_found_is_recorded(workspace: Workspace) -> None:
    workspace.refresh(as_of=AS_OF, tracking=True)
    client = MlflowClient(f"sqlite:///{workspace.folder / 'mlruns.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    recorded = {each.info.run_name: each for each in client.search_runs([experiment.experiment_id])}
    assert recorded.keys() == {"What drives spend", "Purchases"}
    spend, purchases = recorded["What drives spend"], recorded["Purchases"]
    assert spend.data.params["target"] == "Spend"
    assert spend.data.metrics["suggestions"] == len(describe(workspace, "What drives spend").suggestions)
    files = {each.path for each in client.list_artifacts(spend.info.run_id)}
    assert {"suggestions.csv", "suggestions.png", "left_out.csv"} <= files
    assert purchases.data.params["dimensions"] == "recency, frequency"
    assert {"groups.csv", "dimensions.json"} <= {each.path for each in client.list_artifacts(purchases.info.run_id)}
