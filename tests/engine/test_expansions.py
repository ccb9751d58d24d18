"""Expansions: the customers most like the members of a segment, on every engine the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from erased import find_text
from mlflow import MlflowClient
from workspace import Workspace, read_rows

from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.models.tracking_stores import LOCAL_ARTIFACTS, LOCAL_FILE
from segengine.operations.output_tables import write_output_tables
from segengine.operations.similar import describe_similarity
from segengine.operations.why import explain_membership

PROJECT = """
project: likeness
time_zone: UTC
tables:
  customers: {path: data/customers, key: customer_id}
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
kind: segment
name: Lovers
where: {loves: true}
---
kind: expansion
name: Similar to lovers
source: Lovers
fields: [age, city, score]
size: 0.1
---
kind: segment
name: Similar Berliners
where: {all: [{city: Berlin}, {in_segment: Similar to lovers}]}
"""
COUNT = 1_500
CITIES = np.array(["Berlin", "Bonn", "Köln", "Ulm"])


def draw_customers(seed: int) -> pa.Table:
    """Return customers of whom those who are young and in Berlin, or have a high score, may love it."""
    rng = np.random.default_rng(seed)
    age, city, score = rng.integers(18, 80, COUNT), CITIES[rng.integers(0, 4, COUNT)], rng.normal(size=COUNT)
    taste = ((age < 35) & (city == "Berlin")) | (score > 1.3)
    loves = taste & (rng.random(COUNT) < 0.5)
    ids = [f"c{number:05d}" for number in range(COUNT)]
    missing = rng.random(COUNT) < 0.05
    return pa.table(
        {
            "customer_id": ids,
            "age": pa.array(age, mask=missing),
            "city": city,
            "score": score,
            "loves": loves,
            "taste": taste,
            "noise": rng.integers(0, 3, COUNT),
            "huge": np.where(np.arange(COUNT) == 7, np.inf, 1.0),
        }
    )


@pytest.fixture
def workspace(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, {"customers": draw_customers(11)}, DEFINITIONS)
    workspace.apply()
    return workspace


def members(workspace: Workspace) -> dict[str, set[str]]:
    return {segment: set(found) for segment, found in workspace.published().members().items()}


def test_similar_customers_become_members_and_feed_others(workspace: Workspace, embedded: EngineSession) -> None:
    report = workspace.on(embedded).refresh(as_of=datetime(2026, 1, 1, tzinfo=UTC))
    assert [run.error for run in report.segments] == ["", "", ""]
    found = members(workspace)
    customers = draw_customers(11).to_pandas().set_index("customer_id")
    similar = found["similar_to_lovers"]
    assert not found["lovers"] & similar
    assert 60 < len(similar) <= COUNT // 10
    others = customers.drop(sorted(found["lovers"]))
    assert customers.loc[sorted(similar), "taste"].mean() > 3 * others["taste"].mean()
    berliners = set(customers.index[customers["city"] == "Berlin"])
    assert found["similar_berliners"] == berliners & similar
    run = workspace.published().of("similar_to_lovers")[-1]
    assert (run["member_count"], run["entered_count"], run["profile_count"]) == (len(similar), len(similar), COUNT)

    workspace.write_table("customers", draw_customers(12))
    report = workspace.refresh(as_of=datetime(2026, 1, 2, tzinfo=UTC))
    assert [run.error for run in report.segments] == ["", "", ""]
    after = members(workspace)["similar_to_lovers"]
    run = workspace.published().of("similar_to_lovers")[-1]
    assert similar != after
    assert not members(workspace)["lovers"] & after
    assert 60 < len(after) <= COUNT // 10
    assert (run["entered_count"], run["left_count"]) == (len(after - similar), len(similar - after))


@pytest.mark.before_the_engine
def test_the_same_customers_are_found_again(workspace: Workspace) -> None:
    workspace.refresh(as_of=datetime(2026, 1, 2, tzinfo=UTC))
    before = members(workspace)["similar_to_lovers"]
    workspace.refresh(as_of=datetime(2026, 1, 3, tzinfo=UTC), full=True)
    assert members(workspace)["similar_to_lovers"] == before


AMONG_BERLINERS = """
---
kind: segment
name: Berliners
where: {city: Berlin}
---
kind: expansion
name: Among Berliners
source: Lovers
fields: [age, score]
candidates: Berliners
include_source: true
size: 1000
"""


def test_who_is_chosen(workspace: Workspace) -> None:
    """The best scores, ties by id; of the candidates alone, and the source itself where that is asked for."""
    workspace.define(DEFINITIONS.replace("size: 0.1", "size: 31") + AMONG_BERLINERS)
    workspace.apply()
    report = workspace.refresh()
    assert {run.error for run in report.segments} == {""}
    found = members(workspace)
    rows = read_rows(workspace.warehouse / "similarity_scores")
    scores = [row for row in rows if row["id"] == "similar_to_lovers"]
    ids = {key: profile_id for profile_id, key in workspace.published().keys["customer"].items()}
    assert sum(row["candidate_count"] for row in scores) == COUNT - len(found["lovers"])
    own = [(-row["score"], ids[row["profile_key"]]) for row in scores if row["profile_key"] is not None]
    assert found["similar_to_lovers"] == {profile_id for _, profile_id in sorted(own)[:31]}
    assert min(-score for score, _ in own) >= 0.4
    assert len({score for score, _ in own}) < len(own)  # there are ties
    assert found["lovers"] < found["among_berliners"]
    chosen = found["among_berliners"] - found["lovers"]
    among = [row for row in rows if row["id"] == "among_berliners"]
    assert chosen == {ids[row["profile_key"]] for row in among if row["profile_key"] and row["score"] >= 0.55}
    assert chosen < found["berliners"]
    with workspace.opened() as project:
        warnings = describe_similarity(project, "Among Berliners").report["warnings"]
    candidates = f"there are only {len(found['berliners'] - found['lovers'])} candidates"
    reaching = f"of whom {len(chosen)} have a score of 0.55 or more"
    assert f"1,000 customers were asked for, but {candidates}, {reaching}." in warnings


FAILING = """
kind: segment
name: Ancient
where: {age: {at_least: 200}}
---
kind: segment
name: All
where: everyone
---
kind: segment
name: Few
where: {age: 18}
---
kind: expansion
name: Of the ancient
source: Ancient
---
kind: expansion
name: Of all
source: All
---
kind: expansion
name: Of few
source: Few
---
kind: expansion
name: By noise
source: Lovers
fields: [noise]
---
kind: expansion
name: By huge numbers
source: Lovers
fields: [huge]
---
kind: segment
name: By noise in Berlin
where: {all: [{city: Berlin}, {in_segment: By noise}]}
"""


@pytest.mark.before_the_engine
def test_a_model_that_cannot_be_made_fails_alone(workspace: Workspace) -> None:
    workspace.define(FAILING, "failing.yml")
    workspace.apply()
    runs = {run.segment_id: run for run in workspace.refresh().segments}
    assert {key for key, run in runs.items() if run.status == "Successful"} == {
        *("lovers", "ancient", "all", "few", "similar_to_lovers", "similar_berliners")
    }
    failed = {key: run.error for key, run in runs.items() if run.status == "Failed"}
    assert failed.keys() == {"of_the_ancient", "of_all", "of_few", "by_noise", "by_huge_numbers"}
    assert failed["of_the_ancient"].startswith("The source segment is empty.")
    assert "nobody is left to find" in failed["of_all"]
    assert "need at least 50 members" in failed["of_few"]
    assert "say nothing about the source's members: noise" in failed["by_noise"]
    assert '1 value(s) of "huge" are infinite' in failed["by_huge_numbers"]
    assert runs["by_noise_in_berlin"].status == "Skipped"
    assert 'parent "By noise" failed' in runs["by_noise_in_berlin"].error


@pytest.mark.before_the_engine
def test_what_cannot_have_changed_keeps_its_members(workspace: Workspace) -> None:
    workspace.refresh()
    again = {run.segment_id: run for run in workspace.refresh().segments}
    assert {run.snapshot_version for run in again.values()} == {1}
    workspace.define(DEFINITIONS.replace("size: 0.1", "size: 40"))
    workspace.apply()
    changed = {run.segment_id: run.snapshot_version for run in workspace.refresh().segments}
    assert changed == {"lovers": 1, "similar_to_lovers": 2, "similar_berliners": 2}


@pytest.mark.before_the_engine
def test_the_model_behind_it_is_shown_and_recorded(workspace: Workspace) -> None:
    run_id = workspace.refresh(tracking=True).run_id
    client = MlflowClient(f"sqlite:///{workspace.folder / 'mlruns.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    (recorded,) = client.search_runs([experiment.experiment_id])
    assert recorded.data.tags["segengine.run_id"] == run_id
    assert recorded.data.params["fields"] == "age, city, score"
    assert recorded.data.metrics["auc"] > 0.8
    plots = {each.path for each in client.list_artifacts(recorded.info.run_id)}
    assert {"scores.png", "lift.png", "fields.csv"} <= plots
    store = (LOCAL_FILE, LOCAL_ARTIFACTS)
    assert [each for each in find_text(workspace.folder, "c0000") if each.startswith(store)] == [], "ids of customers"
    assert LOCAL_FILE in find_text(workspace.folder, "score"), "it would be found there"
    with workspace.opened() as project:
        details = describe_similarity(project, "Similar to lovers")
        assert [choice["name"] for choice in details.report["fields"]] == ["age", "city", "score"]
        assert details.report["quality"]["auc"] == recorded.data.metrics["auc"]
        with pytest.raises(ConfigError, match='Segment "Lovers" is found by its rules, not by a model'):
            describe_similarity(project, "Lovers")
        with pytest.raises(ConfigError, match="has no rules: a model finds its members"):
            explain_membership(project, "Similar to lovers", "c00001")
        table = write_output_tables(project, ["Similar to lovers"])[0]
    rows = read_rows(workspace.warehouse / "output" / table)
    assert {row["customer_id"] for row in rows} == members(workspace)["similar_to_lovers"]
    assert all(0.55 <= row["score"] <= 1 for row in rows)


@pytest.mark.before_the_engine
def test_scores_go_with_the_snapshots_they_belong_to(workspace: Workspace) -> None:
    project = (workspace.folder / "segengine.yml").read_text()
    workspace.write_project(f"{project}keep: {{all: 2 days}}\n")
    for day in (1, 5, 6):
        workspace.write_table("customers", draw_customers(day))
        workspace.refresh(as_of=datetime(2026, 1, day, tzinfo=UTC))
    runs = [row["run_id"] for row in workspace.published().of("similar_to_lovers")]
    table = workspace.warehouse / "similarity_scores"
    assert {row["run_id"] for row in read_rows(table)} == set(runs)
    workspace.maintain(as_of=datetime(2026, 1, 6, tzinfo=UTC))
    assert {row["run_id"] for row in read_rows(table)} == set(runs[1:])
