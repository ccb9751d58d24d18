"""The twelve templates of measures over the activities of Contoso, beside their formulas in DuckDB's SQL."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from by_hand import GOLDEN
from deltalake import DeltaTable
from workspace import Workspace

from segengine.demo.contoso import write_contoso
from segengine.demo.projects import copy_project
from segengine.engine.session import EngineSession
from segengine.project.templates import TEMPLATES

AS_OF = datetime(2026, 4, 1, 6, 59, 59, 999_999, UTC)  # the last of 31 March in Los Angeles
PERIOD = "within_last: 12 months"
ACTIVITIES = {"loyalty": "points", "membership": "memberships"}

# The rows of each activity up to as_of, `day` the local day of each; $period: what of them is in the period.
ROWS = """
    WITH customers AS (FROM source_customers WHERE customer_since <= DATE '2026-03-31'),
    purchases AS (
        SELECT customer_id, total_price, CAST(timezone('America/Los_Angeles', purchased_at) AS DATE) AS day
        FROM source_purchases
        WHERE purchased_at <= TIMESTAMPTZ '2026-04-01 06:59:59.999999Z'
    ),
    points AS (
        SELECT *, CAST(timezone('America/Los_Angeles', booked_at) AS DATE) AS day FROM source_points
        WHERE booked_at <= TIMESTAMPTZ '2026-04-01 06:59:59.999999Z'
    ),
    memberships AS (SELECT *, joined_on AS day FROM source_memberships WHERE joined_on <= DATE '2026-03-31'),
    chosen AS (FROM {table} WHERE {period})
"""
DAYS = "(date_diff('day', min(day), DATE '2026-03-31') + 1)"
FORMULAS = {
    "average_transaction_value": "average(total_price, 2)",
    "total_transaction_value": "coalesce(sum(total_price), 0)",
    "average_daily_revenue": f"quotient(sum(total_price), {DAYS}, 2)",
    "average_monthly_revenue": f"quotient(sum(total_price) * 30.4375, {DAYS}, 6)",
    "average_yearly_revenue": f"quotient(sum(total_price) * 365.25, {DAYS}, 4)",
    "transaction_count": "count(day)",
    "loyalty_points_earned": "coalesce(sum(earned_points), 0)",
    "loyalty_points_redeemed": "coalesce(sum(redeemed_points), 0)",
    "loyalty_points_balance": "coalesce(sum(earned_points), 0) - coalesce(sum(redeemed_points), 0)",
    "active_lifespan": "date_diff('day', min(day), max(day))",
    "membership_duration": """coalesce(sum(date_diff('day', joined_on,
        CASE WHEN left_on <= DATE '2026-03-31' THEN left_on ELSE DATE '2026-03-31' END)), 0)""",
    "time_since_last_purchase": "date_diff('day', max(day), DATE '2026-03-31')",
}


def activity_of(template: str) -> str:
    return next((name for name in ACTIVITIES if template.startswith(name)), "purchase")


def definition_of(template: str, period: str) -> str:
    name = f"{template} {'of a year' if period else 'of all time'}"
    fields = f"kind: measure\nname: {name}\nper: customer\ntemplate: {template}\nactivity: {activity_of(template)}\n"
    return f"{fields}period: {{{period}}}\n" if period else fields


@contextmanager
def sources_in_duckdb(data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(runpy.run_path(str(GOLDEN / "exact_sql.py"))["MACROS"])
        for name in ("customers", "purchases", "points", "memberships"):
            connection.register(f"source_{name}", DeltaTable(str(data / name)).to_pyarrow_table())
        yield connection


def find_by_hand(connection: duckdb.DuckDBPyConnection, template: str, period: str) -> dict[str, Any]:
    table = ACTIVITIES.get(activity_of(template), "purchases")
    inside = "day >= DATE '2025-03-31'" if period else "true"
    query = (
        f"{ROWS.format(table=table, period=inside)} SELECT customers.customer_id, {FORMULAS[template]} "
        "FROM customers LEFT JOIN chosen USING (customer_id) GROUP BY customers.customer_id"
    )
    return dict(connection.execute(query).fetchall())


@pytest.mark.before_the_engine
def test_templates_are_their_formulas(engine: EngineSession, tmp_path: Path) -> None:
    copy_project("contoso", tmp_path)
    for file in (tmp_path / "definitions").iterdir():
        file.unlink()
    write_contoso(tmp_path)
    cases = [(template, period) for template in TEMPLATES for period in ("", PERIOD)]
    workspace = Workspace(tmp_path, engine)
    workspace.define("---\n".join(definition_of(*case) for case in cases))
    workspace.pull()
    workspace.apply()

    report = workspace.refresh(as_of=AS_OF)

    assert [run.error for run in report.measures if run.error] == []
    assert {*FORMULAS} == {*TEMPLATES}
    with sources_in_duckdb(workspace.data) as connection:
        for template, period in cases:
            name = f"{template} {'of a year' if period else 'of all time'}"
            found = dict(workspace.values(name, limit=None))
            expected = find_by_hand(connection, template, period)
            assert len(expected) > 1_000
            assert found == expected, name
