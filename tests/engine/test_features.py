"""The table of features: what models see of profiles, the same on every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from workspace import Workspace

from segengine.engine.features import MOST_KEPT, Features, FeatureSources, read_features
from segengine.engine.measure_rows import find_nothing
from segengine.engine.session import EngineSession
from segengine.engine.sources import open_sources
from segengine.errors import DataContractError
from segengine.models.fields import HASH, KEY, draw_by_hash
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.project.attributes import Attribute
from segengine.project.profile_attributes import find_profile_attribute
from segengine.project.profile_measures import find_profile_measure
from segengine.store.profile_keys import read_profile_keys
from segengine.store.snapshots import read_contents, snapshot_of

PROJECT = """
project: features
time_zone: America/New_York
tables:
  customers: {path: data/customers, key: customer_id, columns: {seen: {type: timestamp_ntz}}}
  stores: {path: data/stores, key: store_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships:
  - {from: customers.store_id, to: stores, name: store}
  - {from: purchases.customer_id, to: customers, name: customer}
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
kind: measure
name: Spend
per: customer
over: purchases
value: {sum: price}
---
kind: measure
name: Purchases
per: customer
over: purchases
value: {count: rows}
---
kind: segment
name: Rich
where: {Spend: {at_least: 10}}
---
kind: segment
name: Nobody
where: {city: Nowhere}
"""
NOON = datetime(2026, 7, 1, 12)
CUSTOMERS = pa.table(
    {
        "customer_id": ["a", "b", "c", "d"],
        "city": ["Köln", "", None, "Bonn"],
        "income": pa.array([Decimal("10.50"), None, Decimal("-1.25"), Decimal(0)], pa.decimal128(12, 2)),
        "score": [0.5, float("nan"), None, -1.0],
        "subscribed": [True, False, None, True],
        "born": [date(1970, 1, 2), None, date(1969, 12, 31), date(2000, 1, 1)],
        "seen": pa.array([NOON, None, NOON, NOON], pa.timestamp("us")),
        "store_id": [1, 2, None, 1],
    }
)
STORES = {"store_id": [1, 2], "floors": [3, None]}
PURCHASES = {"purchase_id": [1, 2, 3], "customer_id": ["a", "a", "b"], "price": [7, 5, 1]}
TABLES = {"customers": CUSTOMERS, "stores": STORES, "purchases": PURCHASES}
MEASURED = ("Spend", "Purchases")
ATTRIBUTES = ("city", "income", "score", "subscribed", "born", "seen", "store.floors")


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("features"), embedded)
    workspace.set_up(PROJECT, TABLES, DEFINITIONS)
    workspace.apply()
    workspace.refresh()
    return workspace


@pytest.fixture
def workspace(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


def read(
    project: OpenProject,
    names: tuple[str, ...],
    segments: tuple[str, ...] = (),
    *,
    lenient: bool = False,
    profile_count: int = MOST_KEPT + 1,
) -> Features:
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    settings, schema = project.settings, catalogue.schema
    asked: dict[str, Attribute | str] = {}
    for name in names:
        is_measure = name in MEASURED
        found = find_profile_measure(catalogue, name) if is_measure else find_profile_attribute(settings, schema, name)
        asked[name] = found[1]
    asked |= {f"in {segment}": segment for segment in segments}
    snapshots = {
        identity: snapshot_of(run)
        for identity in ("spend", "purchases", "rich", "nobody")
        if (run := history.current(identity))
    }
    sources = FeatureSources(
        audience="customer",
        tables=open_sources(project.session, settings, ("customers", "stores")),
        schema=schema,
        keys=read_profile_keys(project.warehouse, "customer", history.run_ids),
        contents=read_contents(project.warehouse, list(snapshots.values())),
        snapshots={identity: key.source for identity, key in snapshots.items()},
        measures=catalogue.measures,
        nothing=find_nothing("customer", ["spend", "purchases"], catalogue, 0),
        tasks=2,
        profile_count=profile_count,
    )
    return read_features(asked, sources, lenient=lenient)


def everybody(batch: pa.RecordBatch) -> np.ndarray:
    return np.ones(batch.num_rows, dtype=bool)


def third(salt: str) -> Callable[[pa.RecordBatch], np.ndarray]:
    return lambda batch: draw_by_hash(np.asarray(batch.column(HASH)), salt) < 0.3


COUNTS = pa.schema([("rows", pa.int64()), ("text", pa.string())])


def count_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.record_batch([[batch.num_rows], [batch.schema.names[-1]]], schema=COUNTS)


def by_id(project: OpenProject, table: pa.Table) -> Mapping[str, dict[str, object]]:
    _, history = read_state(project)
    keys = read_profile_keys(project.warehouse, "customer", history.run_ids).toArrow().to_pylist()
    ids = {row["profile_key"]: row["profile_id"] for row in keys}
    return {ids[row.pop(KEY)]: row for row in table.to_pylist()}


def test_features_are_what_rules_compare(workspace: Workspace) -> None:
    with workspace.opened() as project:
        features = read(project, (*ATTRIBUTES, "Spend"), ("rich", "nobody"))
        table = features.sample(everybody)
        rows = by_id(project, table)
    instant = int(datetime(2026, 7, 1, 16, tzinfo=UTC).timestamp() * 1_000_000)  # New York is four hours behind
    assert table.schema.names == features.names
    hashes = {row.pop(HASH) for row in rows.values()}
    assert len(hashes) == 4
    names = (*ATTRIBUTES, "Spend", "in rich", "in nobody")
    assert {identity: tuple(row[name] for name in names) for identity, row in rows.items()} == {
        "a": ("Köln", 1050, 0.5, 1, 1, instant, 3, 12, 1, 0),
        "b": (None, None, None, 0, None, None, None, 1, 0, 0),
        "c": (None, -125, None, None, -1, instant, None, 0, 0, 0),
        "d": ("Bonn", 0, -1.0, 1, 10957, instant, 3, 0, 0, 0),
    }


def test_a_sample_is_the_same_share_of_the_same_profiles(workspace: Workspace, embedded: EngineSession) -> None:
    ids = [f"c{number}" for number in range(3_000)]
    workspace.write_table(
        "customers",
        pa.table(
            {
                **{name: pa.nulls(3_000, CUSTOMERS.schema.field(name).type) for name in CUSTOMERS.schema.names},
                "customer_id": ids,
            }
        ),
    )
    workspace.on(embedded).refresh()
    with workspace.opened() as project:
        features = read(project, ("city",))
        table, again = features.sample(third("salt")), features.sample(third("salt"))
        other = features.sample(third("pepper"))
        everyone = features.sample(everybody)
        counted = features.gather(count_rows, COUNTS)
        kept = read(project, ("city",), profile_count=3_000)
        assert kept.is_kept
        assert not features.is_kept
        assert kept.sample(third("salt")).equals(table)
        assert kept.gather(count_rows, COUNTS).schema == counted.schema
    assert table.equals(again)
    assert sum(counted["rows"].to_pylist()) == sum(kept.gather(count_rows, COUNTS)["rows"].to_pylist()) == 3_000
    assert 800 < table.num_rows < 1_000
    assert 200 < len(set(table[KEY].to_pylist()) & set(other[KEY].to_pylist())) < 340
    assert everyone.num_rows == 3_000
    assert np.all(np.diff(everyone[HASH].to_numpy()) > 0)


def test_who_is_newer_than_a_measure_has_the_value_of_nothing(workspace: Workspace, embedded: EngineSession) -> None:
    newer = CUSTOMERS.slice(0, 1).set_column(0, "customer_id", pa.array(["e"]))
    workspace.write_table("customers", pa.concat_tables([CUSTOMERS, newer]))
    known = {"a": (12, 2, 1), "b": (1, 1, 0), "c": (0, 0, 0), "d": (0, 0, 0)}
    for refreshed in ("Nobody", "Spend"):  # no measure knows the newer one, then one of two
        workspace.on(embedded).refresh(refreshed)
        with workspace.opened() as project:
            rows = by_id(project, read(project, MEASURED, ("rich",)).sample(everybody))
        found = {key: (row["Spend"], row["Purchases"], row["in rich"]) for key, row in rows.items()}
        assert found == {**known, "e": (0, 0, 0)}


def test_a_value_no_rule_takes_is_told(workspace: Workspace) -> None:
    column = CUSTOMERS.schema.get_field_index("score")
    workspace.write_table("customers", CUSTOMERS.set_column(column, "score", pa.array([1.0, float("inf"), None, 2.0])))
    with workspace.opened() as project:
        with pytest.raises(DataContractError, match='1 value.s. of "score" are infinite'):
            read(project, ("score",)).sample(everybody)
        rows = by_id(project, read(project, ("score",), lenient=True).sample(everybody))
    assert {key: row["score"] for key, row in rows.items()} == {"a": 1.0, "b": None, "c": None, "d": 2.0}
