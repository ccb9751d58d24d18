"""Measures worked out before they are saved: what a refresh would give, with nothing recorded or published."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import Workspace, read_rows

from segengine.api import Project
from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, DefinitionError, RunError
from segengine.operations.apply import plan_definitions
from segengine.operations.measure_preview import preview_measure

PROJECT = """
project: shop
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id, at: bought_at, columns: {bought_at: {zone: UTC}}}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SPEND = "{kind: measure, name: Spend, per: customer, over: purchases, value: {sum: amount}}\n"
SHARE = """---
kind: measure
name: Share of income
per: customer
value: {expression: Spend / income, if_missing: -1}
"""
BY_CHANNEL = """---
{kind: measure, name: By channel, per: [channel], over: purchases, values: {rows: {count: rows}, sum: {sum: amount}}}
"""
TABLES = {
    "customers": {"customer_id": ["a", "b", "c"], "income": [4, 0, 100]},
    "purchases": {
        "purchase_id": [1, 2, 3],
        "customer_id": ["a", "a", "b"],
        "channel": ["web", "store", "web"],
        "amount": pa.array([Decimal(3), Decimal(2), Decimal(7)], pa.decimal128(38, 0)),
        "bought_at": pa.array([datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3)], pa.timestamp("us", "UTC")),
    },
}


@pytest.fixture
def shop(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, TABLES, SPEND)
    return workspace


def preview(workspace: Workspace, name: str, *files: Path, **choice: Any) -> list[tuple[Any, ...]]:
    with workspace.opened() as project:
        found = preview_measure(project, plan_definitions(project, files), name, **choice)
        rows = [tuple(row.values()) for batch in found.rows for row in batch.to_pylist()]
    assert len(rows) == min(found.row_count, choice.get("limit") or found.row_count)
    return sorted(rows)


def test_what_is_in_no_registry_is_worked_out_and_published_nowhere(shop: Workspace, embedded: EngineSession) -> None:
    shop.define(SPEND + SHARE + BY_CHANNEL)
    assert preview(shop, "Share of income") == [("a", Decimal("1.25")), ("b", -1), ("c", 0)]
    assert preview(shop, "by_channel") == [("store", 1, 2), ("web", 2, 10)]
    shop.define(BY_CHANNEL.replace("values:", "where: {channel: mail}, values:"))
    assert preview(shop.on(embedded), "By channel") == []
    shop.define(SPEND)
    assert preview(shop.on(embedded), "Spend", limit=2) == [("a", 5), ("b", 7)]
    with shop.opened() as project:
        assert not project.warehouse.exists("definitions")
    assert read_rows(shop.warehouse / "control")[0]["published_id"] == ""


@pytest.mark.before_the_engine
def test_what_a_refresh_would_take_from_a_snapshot_feeds_from_there(shop: Workspace) -> None:
    """The spend of the snapshot counts until its definition changes: then it is worked out too."""
    shop.apply()
    shop.refresh()
    shop.write_table("purchases", TABLES["purchases"] | {"amount": pa.array([Decimal(1)] * 3, pa.decimal128(38, 0))})
    shop.define(SPEND + SHARE)
    before = shop.published()

    assert preview(shop, "Share of income") == [("a", Decimal("1.25")), ("b", -1), ("c", 0)]
    assert preview(shop, "Spend") == [("a", 2), ("b", 1), ("c", 0)]
    shop.define(SPEND.replace("sum: amount", "max: amount") + SHARE)
    assert preview(shop, "Share of income") == [("a", Decimal("0.25")), ("b", -1), ("c", -1)]

    assert shop.published() == before
    assert shop.values("Spend") == [("a", 5), ("b", 7), ("c", 0)]


@pytest.mark.before_the_engine
def test_only_some_files_and_a_past_instant(shop: Workspace) -> None:
    shop.apply()
    draft = shop.define(SHARE.removeprefix("---"), "draft.yml")
    shop.define("kind: nonsense", "broken.yml")
    pq.write_table(pa.table(TABLES["purchases"]), shop.data / "purchases.parquet")
    shop.write_project(PROJECT.replace("data/purchases,", "data/purchases.parquet, format: parquet,"))
    assert preview(shop, "Share of income", draft) == [("a", Decimal("1.25")), ("b", -1), ("c", 0)]
    as_of = datetime(2026, 1, 15, tzinfo=UTC)
    assert preview(shop, "Share of income", draft, as_of=as_of) == [("a", Decimal("0.75")), ("b", -1), ("c", 0)]


@pytest.mark.before_the_engine
def test_what_cannot_be_worked_out(shop: Workspace) -> None:
    shop.define(SPEND + SHARE)
    with pytest.raises(ConfigError, match=r'There is no measure "Spent"\. Did you mean "Spend"\?'):
        preview(shop, "Spent")
    huge = pa.array([Decimal(9 * 10**37)] * 3, pa.decimal128(38, 0))
    shop.write_table("purchases", TABLES["purchases"] | {"amount": huge})
    for name in ("Spend", "Share of income"):
        with pytest.raises(RunError, match='Measure "Spend" fails: a value has more than 38 digits 1 time'):
            preview(shop, name)
    shop.define(SPEND.replace("amount", "amuont"))
    with pytest.raises(DefinitionError, match='Did you mean "amount"'):
        preview(shop, "Spend")
    shop.define(SPEND + SHARE)
    shop.apply()
    (shop.folder / "definitions" / "segments.yml").unlink()
    shop.write_table("customers", {"customer_id": ["a"]})
    shop.pull()
    with pytest.raises(ConfigError, match='Measure "Share of income" cannot be evaluated: .*"income"'):
        preview(shop, "Share of income")


def test_on_the_command_line(
    embedded_engine: EngineSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path, embedded_engine)
    workspace.set_up(PROJECT, TABLES, SPEND + SHARE + BY_CHANNEL)

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["measures", "preview", *arguments, "--conf", str(tmp_path)]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    shown = run("Share of income", "--as-of", "2026-06-30")
    assert shown.splitlines()[-1] == '3 of 3 rows of "Share of income", not published, as of 2026-06-30 23:59'
    assert list(csv.reader(io.StringIO(run("spend", "-o", "csv")))) == [
        ["customer_id", "Spend"],
        ["a", "5"],
        ["b", "7"],
        ["c", "0"],
    ]
    document = json.loads(run("By channel", "-o", "json"))["values"]
    assert (document["name"], document["row_count"], document["rows"][0]) == (
        "By channel",
        2,
        {"channel": "store", "rows": 1, "sum": "2"},
    )
    assert "\nrows\nstore  ██" in run("By channel", "--chart")
    assert 'There is no measure "Nothing"' in run("Nothing", code=2)
    assert "definitions/gone.yml" in run("spend", str(tmp_path / "definitions" / "gone.yml"), code=2)
    table = Project(tmp_path).preview_values("Spend")
    assert table.to_pydict() == {"profile_id": ["a", "b", "c"], "Spend": [5, 7, 0]}
    workspace.define(BY_CHANNEL.replace("values:", "where: {channel: mail}, values:"))
    assert Project(tmp_path).preview_values("By channel").to_pydict() == {"channel": [], "rows": [], "sum": []}
