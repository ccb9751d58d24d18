"""Insights: what plain Python counts of the same customers, on every engine."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from launching import run
from mlflow import MlflowClient
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency
from workspace import Workspace, read_rows

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.models.differentiators import Difference, Differentiators
from segengine.models.insights import Insight
from segengine.models.overlap import Overlap
from segengine.operations.insights import describe_insight, write_insight_tables

PROJECT = """
project: insights
time_zone: UTC
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
kind: measure
name: Spend
per: customer
over: purchases
value: {sum: price}
---
kind: segment
name: Loyal
where: {tier: [High, Medium]}
---
kind: segment
name: Westerners
where: {state: [CA, OR, WA]}
---
kind: segment
name: Spenders
where: {Spend: {at_least: 40}}
---
kind: insight
name: What sets the loyal apart
differentiators: {of: Loyal}
fields: [age, state, subscriber, Spend, noise]
---
kind: insight
name: Spenders and Westerners
differentiators: {of: Spenders, against: Westerners}
fields: [tier, age]
---
kind: insight
name: Three ways
overlap: [Loyal, Westerners, Spenders]
fields: [tier, Spend]
---
kind: insight
name: Two ways
overlap: [Loyal, Westerners]
"""
COUNT = 3_000
STATES = np.array(["CA", "OR", "WA", "NV", "TX", "NY"])
TIERS = np.array(["High", "Medium", "Low", None], dtype=object)
Customer = Mapping[str, Any]


def draw_customers(seed: int) -> tuple[pa.Table, pa.Table]:
    """Return customers and purchases: the loyal are older, and buy more; where they live has nothing to do with it."""
    rng = np.random.default_rng(seed)
    tier, state = TIERS[rng.integers(0, 4, COUNT)], STATES[rng.integers(0, 6, COUNT)]
    loyal = np.isin(tier, ["High", "Medium"])
    ids = np.array([f"c{number:05d}" for number in range(COUNT)])
    customers = pa.table(
        {
            "customer_id": ids,
            "tier": tier,
            "state": state,
            "age": pa.array(rng.integers(18, 70, COUNT) + 8 * loyal, mask=rng.random(COUNT) < 0.1),
            "subscriber": rng.random(COUNT) < np.where(loyal, 0.6, 0.4),
            "noise": rng.normal(size=COUNT),
            "name": [f"name {number}" for number in range(COUNT)],
            "huge": np.where(np.arange(COUNT) == 7, np.inf, 1.0),
        }
    )
    buyers = np.repeat(np.arange(COUNT), rng.poisson(np.where(loyal, 3, 1.5)))
    purchases = {
        "purchase_id": np.arange(len(buyers)),
        "customer_id": ids[buyers],
        "price": rng.integers(1, 40, len(buyers)),
    }
    return customers, pa.table(purchases)


def list_customers(seed: int) -> list[dict[str, Any]]:
    """Return the customers as plain Python sees them, with what each has spent."""
    customers, purchases = draw_customers(seed)
    spend: Counter[str] = Counter()
    for row in purchases.to_pylist():
        spend[row["customer_id"]] += row["price"]
    return [{**row, "Spend": spend[row["customer_id"]]} for row in customers.to_pylist()]


RULES: Mapping[str, Callable[[Customer], bool]] = {
    "Loyal": lambda customer: customer["tier"] in ("High", "Medium"),
    "Westerners": lambda customer: customer["state"] in ("CA", "OR", "WA"),
    "Spenders": lambda customer: customer["Spend"] >= 40,
}


def set_up(folder: Path, session: EngineSession) -> Workspace:
    workspace = Workspace(folder, session)
    customers, purchases = draw_customers(5)
    workspace.set_up(PROJECT, {"customers": customers, "purchases": purchases}, DEFINITIONS)
    workspace.apply()
    return workspace


@pytest.fixture
def workspace(engine: EngineSession, tmp_path: Path) -> Workspace:
    return set_up(tmp_path, engine)


@pytest.fixture(scope="module")
def made() -> dict[str, Workspace]:
    """The project of each engine, refreshed once."""
    return {}


@pytest.fixture
def found_by(engine: EngineSession, made: dict[str, Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a project that the engine refreshed once; tests read it, or go on with a copy."""
    if engine.kind not in made:
        folder = tmp_path_factory.mktemp("insights")
        workspace = set_up(folder, engine)
        assert {run.error for run in workspace.refresh().analyses} == {""}
        made[engine.kind] = workspace
    return made[engine.kind]


def find(workspace: Workspace, name: str, **choice: Any) -> Insight:
    with workspace.opened() as project:
        return describe_insight(project, name, **choice).insight


def compare(workspace: Workspace, name: str) -> Differentiators:
    found = find(workspace, name)
    assert isinstance(found, Differentiators)
    return found


def overlap(workspace: Workspace, name: str) -> Overlap:
    found = find(workspace, name)
    assert isinstance(found, Overlap)
    return found


def is_in(value: Any, cell: Any, shown: Iterable[Any]) -> bool:
    """Return whether a value is in a cell: by the meaning of cells, one value at a time."""
    if value is None or cell.kind == "missing":
        return value is None and cell.kind == "missing"
    if cell.kind == "value":
        return bool(value == cell.value)
    if cell.kind == "others":
        return value not in shown
    return (cell.above is None or value > cell.above) and (cell.at_most is None or value <= cell.at_most)


def check_difference(found: Difference, of: list[Customer], against: list[Customer]) -> None:
    """Hold counts, averages, score and significance against plain Python and scipy."""
    name = found.field
    values = [[customer[name] for customer in side] for side in (of, against)]
    shown = [cell.cell.value for cell in found.cells if cell.cell.kind == "value"]
    for cell in found.cells:
        counts = [sum(is_in(value, cell.cell, shown) for value in side) for side in values]
        assert [cell.of_count, cell.against_count] == counts, (name, cell)
        assert [cell.of_share, cell.against_share] == [counts[0] / len(of), counts[1] / len(against)]
    assert sum(cell.of_count for cell in found.cells) == len(of)
    assert sum(cell.against_count for cell in found.cells) == len(against)
    if found.of_average is not None:
        exact = [Fraction(sum(map(Fraction, known)), len(known)) for known in
                 ([value for value in side if value is not None] for side in values)]  # fmt: skip
        assert [found.of_average, found.against_average] == pytest.approx([float(each) for each in exact], abs=1e-8)
    table = np.array([[cell.of_count, cell.against_count] for cell in found.cells]).T
    distance = jensenshannon(*table, base=2)
    assert found.score is not None
    assert distance - 0.07 < found.score <= distance + 1e-9  # less what chance makes of it
    p_value = chi2_contingency(table).pvalue
    assert found.is_significant == (p_value < 0.01), (name, p_value)


def test_differentiators_are_those_of_plain_python_and_scipy(found_by: Workspace) -> None:
    customers = list_customers(5)
    loyal = [customer for customer in customers if RULES["Loyal"](customer)]
    others = [customer for customer in customers if not RULES["Loyal"](customer)]
    found = compare(found_by, "What sets the loyal apart")
    assert (found.sides.of, found.sides.against) == ("Loyal", "everyone else")
    assert (found.sides.of_count, found.sides.against_count) == (len(loyal), len(others))
    assert found.warnings == ()
    for one in found.differences:
        check_difference(one, loyal, others)
    assert {one.field for one in found.differences if one.is_significant} == {"age", "subscriber", "Spend"}
    assert {one.direction for one in found.differences if one.field in ("age", "Spend")} == {"higher"}


def test_members_of_both_segments_are_on_no_side(found_by: Workspace) -> None:
    both = [[RULES[name](customer) for name in ("Spenders", "Westerners")] for customer in list_customers(5)]
    shared = both.count([True, True])
    spenders, westerners = ([customer for customer, each in zip(list_customers(5), both, strict=True) if each == own]
                            for own in ([True, False], [False, True]))  # fmt: skip
    found = compare(found_by, "Spenders and Westerners")
    assert (found.sides.of_count, found.sides.against_count) == (len(spenders), len(westerners))
    assert found.warnings == (
        f'{shared:,} are in both "Spenders" and "Westerners": they are left out, only the others are compared.',
    )
    for one in found.differences:
        check_difference(one, spenders, westerners)


def combine(customers: Iterable[Customer], names: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    found = Counter(tuple(name for name in names if RULES[name](customer)) for customer in customers)
    del found[()]
    return found


def test_overlaps_are_those_of_plain_python(found_by: Workspace) -> None:
    customers = list_customers(5)
    two = combine(customers, ("Loyal", "Westerners"))
    found = overlap(found_by, "Two ways")
    assert {one.segments: one.count for one in found.combinations} == two
    assert (found.union_count, found.shared_count) == (two.total(), two["Loyal", "Westerners"])
    assert found.shared_share == two["Loyal", "Westerners"] / two.total()
    names = ("Loyal", "Westerners", "Spenders")
    three = overlap(found_by, "Three ways")
    whole = combine(customers, names)
    assert Counter({one.segments: one.count for one in three.combinations}) == whole
    tiers, spend = three.fields
    assert (tiers.field, spend.field) == ("tier", "Spend")
    for value in chain(tiers.values, spend.values):
        field = tiers if value in tiers.values else spend
        shown = [each.cell.value for each in field.values if each.cell.kind == "value"]
        own = [customer for customer in customers if is_in(customer[field.field], value.cell, shown)]
        expected = combine(own, names)
        assert dict(zip([one.segments for one in three.combinations], value.counts, strict=True)) == {
            segments: expected[segments] for segments in whole
        }
        assert (value.union_count, value.shared_count) == (expected.total(), expected[names])


def test_the_order_of_rows_changes_nothing(
    found_by: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor whether they are counted here or by the engine's tasks."""
    workspace = found_by.copy_to(tmp_path)
    names = ("What sets the loyal apart", "Spenders and Westerners", "Three ways")
    before = [find(workspace, name) for name in names]
    customers, purchases = draw_customers(5)
    order = np.random.default_rng(1)
    workspace.write_table("customers", customers.take(order.permutation(customers.num_rows)))
    workspace.write_table("purchases", purchases.take(order.permutation(purchases.num_rows)))
    monkeypatch.setattr("segengine.engine.features.MOST_KEPT", 0)
    runs = workspace.refresh(full=True).analyses
    assert {run.snapshot_version for run in runs} == {2}
    assert [find(workspace, name) for name in names] == before


FAILING = """
kind: segment
name: Nobody
where: {state: ZZ}
---
kind: segment
name: All
where: everyone
---
kind: segment
name: All again
where: {not: {state: ZZ}}
---
kind: segment
name: Californians
where: {state: CA}
---
kind: segment
name: Few
where: {all: [{state: CA}, {age: 20}]}
---
kind: insight
name: Of nobody
differentiators: {of: Nobody}
fields: [age]
---
kind: insight
name: Of everyone
differentiators: {of: All}
fields: [age]
---
kind: insight
name: Of the same
differentiators: {of: All, against: All again}
fields: [age]
---
kind: insight
name: By huge numbers
differentiators: {of: Loyal}
fields: [huge]
---
kind: insight
name: Within the West
differentiators: {of: Californians, against: Westerners}
fields: [tier, name, state]
---
kind: insight
name: Of few
differentiators: {of: Few}
fields: [age]
---
kind: insight
name: With nobody
overlap: [Loyal, Nobody]
fields: [name, state]
---
kind: insight
name: Nobody at all
overlap: [Nobody, Few elsewhere]
fields: [age]
---
kind: segment
name: Few elsewhere
where: {state: YY}
"""


@pytest.mark.before_the_engine
def test_questions_without_an_answer_fail_alone(workspace: Workspace) -> None:
    workspace.define(FAILING, "failing.yml")
    workspace.apply()
    runs = {run.analysis_id: run for run in workspace.refresh().analyses}
    failed = {key: run.error for key, run in runs.items() if run.status == "Failed"}
    assert failed.keys() == {"of_nobody", "of_everyone", "of_the_same", "by_huge_numbers"}
    assert (
        failed["of_nobody"] == '"Nobody" has no members, so there is nothing to compare. Refresh it, or take another.'
    )
    assert failed["of_everyone"].startswith('Everyone is in "All": there is nobody else to compare with.')
    assert failed["of_the_same"].startswith('"All" and "All again" have the same members.')
    assert '1 value(s) of "huge" are infinite' in failed["by_huge_numbers"]
    assert {run.status for key, run in runs.items() if key not in failed} == {"Successful"}


@pytest.mark.before_the_engine
def test_what_is_left_out_or_doubtful_is_said(workspace: Workspace) -> None:
    workspace.define(FAILING, "failing.yml")
    workspace.apply()
    workspace.refresh()
    within = compare(workspace, "Within the West")
    assert within.warnings == (
        'All members of "Californians" are in "Westerners" too: they are compared with the rest of "Westerners".',
    )
    assert within.differences[0].field == "state"
    assert (within.differences[0].score or 0.0) > 0.95
    assert {one.field: one.note for one in within.differences if one.score is None} == {
        "name": "no value is frequent enough to compare"
    }
    (warning,) = compare(workspace, "Of few").warnings
    assert "under 30 there are counts, but no scores" in warning
    with_nobody = overlap(workspace, "With nobody")
    assert with_nobody.warnings == (
        '"Nobody" has no members.',
        '"name" is left out: no value of it has 5 of these profiles.',
    )
    assert [each.field for each in with_nobody.fields] == ["state"]
    nobody = overlap(workspace, "Nobody at all")
    assert (nobody.union_count, nobody.fields) == (0, ())


@pytest.mark.before_the_engine
def test_who_is_gone_since_is_not_counted(workspace: Workspace) -> None:
    workspace.refresh()
    customers, _ = draw_customers(5)
    workspace.write_table("customers", customers.slice(0, 2_000))
    workspace.refresh("What sets the loyal apart")
    rest = [RULES["Loyal"](customer) for customer in list_customers(5)[:2_000]]
    sides = compare(workspace, "What sets the loyal apart").sides
    assert (sides.of_count, sides.against_count) == (rest.count(True), rest.count(False))


@pytest.mark.before_the_engine
def test_an_overlap_by_no_field_reads_stored_members_alone(workspace: Workspace) -> None:
    workspace.refresh()
    before = overlap(workspace, "Two ways")
    shutil.rmtree(workspace.data / "customers")  # no source is there to be read, pinned or checked
    runs = {run.analysis_id: run for run in workspace.refresh("Two ways", "Three ways", full=True).analyses}
    assert (runs["two_ways"].snapshot_version, runs["two_ways"].error) == (2, "")
    assert overlap(workspace, "Two ways") == before
    assert "customers" in runs["three_ways"].error  # it counts by a field of theirs


@pytest.mark.before_the_engine
def test_a_field_that_is_gone_fails_the_questions_about_it(workspace: Workspace) -> None:
    customers, _ = draw_customers(5)
    workspace.write_table("customers", customers.drop_columns(["age"]))
    failed = {run.analysis_id: run.error for run in workspace.refresh().analyses if run.error}
    assert failed.keys() == {"what_sets_the_loyal_apart", "spenders_and_westerners"}
    assert all('"customers"' in error and '"age"' in error for error in failed.values()), failed


@pytest.mark.before_the_engine
def test_snapshots_stay_as_they_were(workspace: Workspace) -> None:
    workspace.refresh(as_of=datetime(2026, 1, 1, tzinfo=UTC))
    first = find(workspace, "Three ways")
    customers, purchases = draw_customers(6)
    workspace.write_table("customers", customers)
    workspace.write_table("purchases", purchases)
    workspace.refresh(as_of=datetime(2026, 1, 2, tzinfo=UTC))
    assert find(workspace, "Three ways") != first
    assert find(workspace, "Three ways", snapshot=1) == first
    assert find(workspace, "Three ways", at=datetime(2026, 1, 1, 12, tzinfo=UTC)) == first
    with pytest.raises(ConfigError, match='Insight "Three ways" has no snapshot 3'):
        find(workspace, "Three ways", snapshot=3)


@pytest.mark.before_the_engine
def test_what_was_found_is_recorded(workspace: Workspace) -> None:
    workspace.refresh(tracking=True)
    client = MlflowClient(f"sqlite:///{workspace.folder / 'mlruns.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    runs = {run.data.tags["segengine.definition_id"]: run for run in client.search_runs([experiment.experiment_id])}
    loyal, three = runs["what_sets_the_loyal_apart"], runs["three_ways"]
    assert (loyal.data.params["of"], loyal.data.params["against"]) == ("loyal", "everyone else")
    assert loyal.data.metrics["fields_that_differ"] == 3
    files = {each.path for each in client.list_artifacts(loyal.info.run_id)}
    assert {"differences.csv", "values.csv", "difference_age.png"} <= files
    found = overlap(workspace, "Three ways")
    assert three.data.metrics["union_count"] == found.union_count
    assert {"combinations.csv", "segments.csv", "overlap.png"} <= {
        each.path for each in client.list_artifacts(three.info.run_id)
    }


def test_output_tables_have_what_was_found_as_rows(found_by: Workspace) -> None:
    workspace = found_by
    with workspace.opened() as project:
        tables = write_insight_tables(project)
    assert set(tables) == {"WhatSetsTheLoyalApart", "SpendersAndWesterners", "ThreeWays", "TwoWays"}
    rows = read_rows(workspace.warehouse / "output" / "WhatSetsTheLoyalApart")
    assert {(row["insight_id"], row["snapshot_version"]) for row in rows} == {("what_sets_the_loyal_apart", 1)}
    found = compare(workspace, "What sets the loyal apart")
    assert Counter(row["field"] for row in rows) == {one.field: len(one.cells) for one in found.differences}
    yes = next(row for row in rows if (row["field"], row["value"]) == ("subscriber", "yes"))
    customers = list_customers(5)
    assert yes["of_count"] == sum(RULES["Loyal"](customer) and customer["subscriber"] for customer in customers)
    assert yes["is_significant"]
    rows = read_rows(workspace.warehouse / "output" / "ThreeWays")
    combinations = {row["segments"]: row["profile_count"] for row in rows if row["field"] is None}
    expected = combine(customers, ("Loyal", "Westerners", "Spenders"))
    assert combinations == {" + ".join(segments): count for segments, count in expected.items()}


@pytest.fixture
def conf(embedded_engine: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    workspace = Workspace(tmp_path, embedded_engine)
    customers, purchases = draw_customers(5)
    workspace.set_up(PROJECT, {"customers": customers, "purchases": purchases}, DEFINITIONS)
    monkeypatch.setenv("SEGENGINE_CONF", str(tmp_path))
    return str(tmp_path)


def test_the_command_shows_an_insight(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply"]) == 0
    code, _, err = run(capsys, "insights", "show", "Three ways")
    assert (code, err.splitlines()[-2:]) == (
        2,
        [
            'error: Insight "Three ways" has no snapshot: it was never refreshed.',
            "hint: Run `segengine refresh three_ways`.",
        ],
    )
    assert main(["refresh", "--output-tables", "--no-tracking"]) == 0
    assert (Path(conf) / "warehouse" / "output" / "TwoWays").is_dir()
    capsys.readouterr()
    _, out, _ = run(capsys, "insights", "show", "what_sets_the_loyal_apart")
    lines = out.splitlines()
    assert lines[0].startswith("What sets the loyal apart: snapshot 1 as of ")
    assert lines[1].startswith("Loyal (1,")
    assert [line.split("  ")[0] for line in lines[3:6]] == ["age", "Spend", "subscriber"]
    _, out, _ = run(capsys, "insights", "show", "What sets the loyal apart", "--field", "subscriber")
    assert out.splitlines()[1].startswith("subscriber: difference 0.")
    assert out.count("\n") == 6
    _, out, _ = run(capsys, "insights", "show", "Three ways", "--field", "tier")
    assert "all of them" in out
    assert "\nSpend " not in out
    document = json.loads(run(capsys, "insights", "show", "Three ways", "-o", "json")[1])["insight"]
    assert (document["name"], document["snapshot_version"]) == ("Three ways", 1)
    assert document["result"]["fields"][0]["field"] == "tier"
    _, out, _ = run(capsys, "insights", "show", "Two ways", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    expected = combine(list_customers(5), ("Loyal", "Westerners"))
    assert {row["segments"]: int(row["profile_count"]) for row in rows} == {
        " + ".join(segments): count for segments, count in expected.items()
    }


def test_the_command_says_what_is_not_there(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply"]) == 0
    assert main(["refresh", "--no-tracking"]) == 0
    capsys.readouterr()
    code, _, err = run(capsys, "insights", "show", "Three ways", "--field", "tire")
    assert code == 2
    assert 'Insight "Three ways" has no field "tire".' in err
    assert 'Did you mean "tier"?' in err
    code, _, err = run(capsys, "insights", "show", "Loyal")
    assert code == 2
    assert 'insight "Loyal"' in err
