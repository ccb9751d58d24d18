"""Distinct values that pass the room a task may use: what measures count of them, against DuckDB."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from workspace import Workspace

from segengine.engine import results as results_module
from segengine.engine.session import EngineSession
from segengine.kernel import scan_groups as scan_groups_module

PROJECT = """
project: shop
time_zone: UTC
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: segment, name: Rich, where: {income: {at_least: 50}}}
---
kind: measure
name: Total
per: business
over: purchases
values:
  baskets: {count_unique: basket}
  rows: {count: rows}
  amounts: {count_unique: amount}
  weights: {count_unique: weight}
  web_baskets: {count_unique: basket, where: {channel: web}}
  share: {expression: "baskets / rows"}
---
kind: measure
name: Sales
per: [channel, {day: bought_at}, weight]
over: purchases
values: {baskets: {count_unique: basket}, customers: {count_unique: customer_id}, last: {max: amount}}
---
kind: measure
name: Of the rich
per: [channel]
over: purchases
where: {in_segment: Rich}
values: {baskets: {count_unique: basket}, spend: {sum: amount}}
---
kind: measure
name: Not of the rich
per: [channel]
over: purchases
where: {not: {in_segment: Rich}}
values: {baskets: {count_unique: basket}}
---
kind: measure
name: By customer
per: [customer, channel]
over: purchases
values: {baskets: {count_unique: basket}}
---
kind: measure
name: Nothing
per: business
over: purchases
where: {channel: none of this name}
values: {baskets: {count_unique: basket}}
"""
BUSINESS_COUNT = 5
FOUND = """
create view sold as select *, nullif(basket, '') as b, nullif(channel, '') as c,
    cast(bought_at at time zone 'UTC' as date) as d, case when not isnan(weight) then weight + 0.0 end as w
    from purchases left join customers using (customer_id)
"""
# One row for each group, as its measure has them.
QUERIES = {
    "Total": """select count(distinct b), count(*), count(distinct amount), count(distinct w),
        count(distinct b) filter (c = 'web') from sold""",
    "Sales": "select c, d, w, count(distinct b), count(distinct customer_id), max(amount) from sold group by all",
    "Of the rich": "select c, count(distinct b), sum(amount) from sold where income >= 50 group by all",
    "Not of the rich": "select c, count(distinct b) from sold where coalesce(income < 50, true) group by all",
    "By customer": "select customer_id, c, count(distinct b) from sold where income is not null group by all",
    "Nothing": "select 0",
}


def draw_purchases(choose: random.Random, count: int) -> pa.Table:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    columns: dict[str, list[Any]] = {
        "purchase_id": list(range(count)),
        "customer_id": [choose.choice([None, *(f"c{n}" for n in range(45))]) for _ in range(count)],
        "basket": [
            choose.choice([None, "", "ß", *(f"b{choose.randrange(900)}" for _ in range(9))]) for _ in range(count)
        ],
        "channel": [choose.choice([None, "", "web", "store", "1:web"]) for _ in range(count)],
        "amount": [choose.choice([None, choose.randrange(-500, 500)]) for _ in range(count)],
        "weight": [choose.choice([None, float("nan"), 0.0, -0.0, 0.1, 2.5]) for _ in range(count)],
        "bought_at": [start + timedelta(hours=choose.randrange(72)) for _ in range(count)],
    }
    types = {"amount": pa.int64(), "weight": pa.float64(), "bought_at": pa.timestamp("us", "UTC")}
    return pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})


@pytest.mark.parametrize("room", [None, pytest.param(4_000, marks=pytest.mark.before_the_engine)])
def test_distinct_values_equal_duckdb(
    room: int | None, engine: EngineSession, embedded: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small room counts where tasks run in this process, as those of the embedded engine do."""
    if room is not None:
        monkeypatch.setattr(scan_groups_module, "_BUDGET", room)
        monkeypatch.setattr(results_module, "_MOST_WAITING", room)
    choose = random.Random(5)
    customers = pa.table({"customer_id": [f"c{n}" for n in range(40)], "income": [n * 7 % 100 for n in range(40)]})
    purchases = draw_purchases(choose, 3_000)
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, {"customers": customers, "purchases": purchases.slice(0, 0)}, DEFINITIONS)
    for start in range(0, purchases.num_rows, 500):  # a batch for each file, at least
        workspace.append_rows("purchases", purchases.slice(start, 500))
    workspace.apply()
    report = workspace.refresh(as_of=datetime(2025, 3, 1, tzinfo=UTC))
    assert [run.error for run in report.measures if run.error] == []
    snapshots = DeltaTable(str(workspace.warehouse / "snapshots")).to_pyarrow_table(columns=["kind"])
    states_count = snapshots.column("kind").to_pylist().count("states")
    if room is not None and engine.kind == "embedded":
        assert states_count > BUSINESS_COUNT, "the room was never passed"
    with duckdb.connect() as oracle:
        oracle.register("purchases", purchases)
        oracle.register("customers", customers)
        oracle.execute(FOUND)
        for name, query in QUERIES.items():
            expected = oracle.execute(query).fetchall()
            found = workspace.on(embedded).values(name, limit=1_000)
            if name == "Total":
                found = [row[:-1] for row in found]
            assert sorted(found, key=repr) == sorted(expected, key=repr), name
