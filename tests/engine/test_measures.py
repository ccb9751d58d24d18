"""Measures on every engine: values by profile, by dimensions and of the business, and what uses them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from workspace import Workspace

from segengine.cli.main import main
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError
from segengine.operations.measures import list_measures, read_totals, show_measure, write_measure_tables
from segengine.operations.why import explain_membership
from segengine.store.runs import Status

PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: segment, name: Rich, where: {income: {at_least: 50}}}
---
{kind: measure, name: Spend, per: customer, over: purchases, value: {sum: amount}}
---
kind: measure
name: Buying
per: customer
over: purchases
values:
  rows: {count: rows}
  priced: {count: amount}
  channels: {count_unique: channel}
  average: {average: amount}
  first: {first: channel, by: bought_at}
  dearest: {arg_max: channel, by: amount}
  last: {max: bought_at}
  web: {sum: amount, where: {channel: web}}
  web_share: {expression: "web / Spend", if_missing: 0}
  income_left: {expression: "income - `Spend` * 2"}
  days: {expression: "as_of - last"}
---
kind: measure
name: Spend of the rich
per: customer
over: purchases
where: {all: [{in_segment: Rich}, {channel: web}]}
values: {total: {sum: amount}, average: {average: amount}}
---
kind: measure
name: By channel
per: [customer, channel]
over: purchases
values: {spend: {sum: amount}, share: {expression: "spend / 10"}}
---
{kind: measure, name: Best channel, per: customer, over: By channel, value: {arg_max: channel, by: spend}}
---
kind: measure
name: Sales
per: [{month: bought_at}, channel]
over: purchases
values:
  revenue: {sum: amount}
  customers: {count_unique: customer_id}
---
{kind: measure, name: Revenue, per: business, over: purchases, values: {revenue: {sum: amount}, rows: {count: rows}}}
---
kind: measure
name: Revenue of the rich
per: business
over: purchases
where: {in_segment: Rich}
value: {sum: amount}
---
{kind: segment, name: Spenders, where: {Spend: {at_least: 5}}}
---
{kind: segment, name: Web people, where: {all: [{Best channel: web}, {Buying.rows: {at_least: 2}}]}}
---
{kind: segment, name: Thrifty, where: {not: {Spend: {at_least: 5}}}}
---
kind: segment
name: Spenders who were in a store
rules: [{over: purchases, where: {all: [{channel: store}, {Spend: {greater_than: 0}}]}}]
"""
CUSTOMERS = {"customer_id": ["a", "b", "c", "d"], "income": [100, 10, None, 60]}


def instant(day: int, month: int = 1) -> datetime:
    return datetime(2025, month, day, 23, 30, tzinfo=UTC)


AMOUNTS = ("9.99", "0.01", "5", None, "-1", "99")
PURCHASES = {
    "purchase_id": [1, 2, 3, 4, 5, 6],
    "customer_id": ["a", "a", "b", "b", "c", "nobody"],
    "amount": pa.array([None if text is None else Decimal(text) for text in AMOUNTS], pa.decimal128(8, 2)),
    "channel": ["web", "store", "web", "web", "store", None],
    "bought_at": pa.array([instant(d) for d in (1, 2, 3, 4, 31, 6)], pa.timestamp("us", tz="UTC")),
    "weight": [1.5, 0.1, 2.5, 2.0, None, 1.0],
}
AS_OF = datetime(2025, 3, 1, 12, tzinfo=UTC)
MEMBERS = {
    "rich": ["a", "d"],
    "spenders": ["a", "b"],
    "web_people": ["a", "b"],
    "thrifty": ["c", "d"],
    "spenders_who_were_in_a_store": ["a"],
}


def make_shop(folder: Path, engine: EngineSession, more: str = "") -> Workspace:
    workspace = Workspace(folder, engine)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "purchases": PURCHASES}, DEFINITIONS + more)
    workspace.apply()
    return workspace


@pytest.fixture(scope="module")
def made() -> dict[str, Workspace]:
    """The project of each engine, made once."""
    return {}


@pytest.fixture
def shop(engine: EngineSession, made: dict[str, Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a project that was refreshed once; tests only read it."""
    if engine.kind not in made:
        workspace = make_shop(tmp_path_factory.mktemp("measures"), engine)
        report = workspace.refresh(as_of=AS_OF)
        assert [run.error for run in (*report.measures, *report.segments) if run.error] == []
        made[engine.kind] = workspace
    return made[engine.kind]


@pytest.mark.over_connect
def test_every_profile_has_its_values(shop: Workspace) -> None:
    web, store = "web", "store"
    last = {"a": instant(2), "b": instant(4), "c": instant(31)}
    average = {"a": Decimal("5.00000000"), "b": Decimal("5.00000000"), "c": Decimal("-1.00000000"), "d": None}
    assert shop.values("Spend") == [
        ("a", Decimal("10.00")),
        ("b", Decimal("5.00")),
        ("c", Decimal("-1.00")),
        ("d", Decimal("0.00")),
    ]
    share = {"a": Decimal("0.99900000"), "b": Decimal(1), "c": Decimal(0), "d": Decimal(0)}
    assert shop.values("Buying") == [
        ("a", 2, 2, 2, average["a"], web, web, last["a"], Decimal("9.99"), share["a"], Decimal("80.00"), 57),
        ("b", 2, 1, 1, average["b"], web, web, last["b"], Decimal("5.00"), share["b"], Decimal("0.00"), 55),
        ("c", 1, 1, 1, average["c"], store, store, last["c"], Decimal("0.00"), share["c"], None, 28),
        ("d", 0, 0, 0, None, None, None, None, Decimal("0.00"), share["d"], Decimal("60.00"), None),
    ]


def test_rows_of_profiles_that_do_not_count_give_the_value_of_nothing(shop: Workspace) -> None:
    assert shop.values("Spend of the rich") == [
        ("a", Decimal("9.99"), Decimal("9.99000000")),
        ("b", Decimal("0.00"), None),
        ("c", Decimal("0.00"), None),
        ("d", Decimal("0.00"), None),
    ]


@pytest.mark.over_connect
def test_values_by_dimensions(shop: Workspace) -> None:
    assert shop.values("By channel") == [
        ("a", "store", Decimal("0.01"), Decimal("0.00100000")),
        ("a", "web", Decimal("9.99"), Decimal("0.99900000")),
        ("b", "web", Decimal("5.00"), Decimal("0.50000000")),
        ("c", "store", Decimal("-1.00"), Decimal("-0.10000000")),
    ]
    assert shop.values("Best channel") == [("a", "web"), ("b", "web"), ("c", "store"), ("d", None)]


@pytest.mark.over_connect
def test_business_measures_count_every_row(shop: Workspace) -> None:
    january, february = date(2025, 1, 1), date(2025, 2, 1)  # 31 January 23:30 UTC is February in Berlin
    assert shop.values("Sales") == [
        (january, "store", Decimal("0.01"), 1),
        (january, "web", Decimal("14.99"), 2),
        (january, None, Decimal("99.00"), 1),
        (february, "store", Decimal("-1.00"), 1),
    ]
    assert shop.values("Revenue") == [(Decimal("113.00"), 6)]
    assert shop.values("Revenue of the rich") == [(Decimal("10.00"),)]


def test_measures_are_attributes_in_rules(shop: Workspace) -> None:
    assert shop.published().members() == MEMBERS


@pytest.mark.over_connect
def test_tables_for_other_tools(shop: Workspace) -> None:
    with shop.opened() as project:
        assert write_measure_tables(project) == [
            "Customer_Measure",
            "ByChannel",
            "Revenue",
            "RevenueOfTheRich",
            "Sales",
        ]
        assert "Customer_Measure" in write_measure_tables(project), "again, in its place"
    table = DeltaTable(str(shop.warehouse / "output" / "Customer_Measure")).to_pyarrow_table()
    rows = {row["customer_id"]: row for row in table.to_pylist()}
    assert sorted(rows) == ["a", "b", "c", "d"]
    assert table.column_names[:3] == ["customer_id", "BestChannel", "Buying_rows"]
    assert rows["a"]["SpendOfTheRich_total"] == Decimal("9.99")
    assert rows["d"]["BestChannel"] is None
    sales = DeltaTable(str(shop.warehouse / "output" / "Sales")).to_pyarrow_table()
    assert sales.column_names == ["month", "channel", "revenue", "customers"]
    assert sales.num_rows == 4


def test_list_and_details(shop: Workspace) -> None:
    with shop.opened() as project:
        listed = {summary.measure.id: summary for summary in list_measures(project)}
        details = show_measure(project, "Spend")
    assert {summary.status for summary in listed.values()} == {Status.SUCCESSFUL}
    assert tuple(user.name for user in details.used_by) == (
        "Buying",
        "Spenders",
        "Spenders who were in a store",
        "Thrifty",
    )
    current = listed["buying"].current
    assert current is not None
    assert (current.row_count, '"Buying.average": 3' in current.value_counts) == (4, True)


@pytest.mark.before_the_engine
def test_stored_values_feed_segments_and_new_profiles_have_those_of_nothing(
    engine: EngineSession, tmp_path: Path
) -> None:
    workspace = make_shop(tmp_path, engine)
    workspace.refresh(as_of=AS_OF)
    workspace.append_rows("customers", {"customer_id": ["e"], "income": pa.array([None], pa.int64())})

    report = workspace.refresh("Thrifty", "Web people", as_of=datetime(2025, 3, 2, tzinfo=UTC))

    assert [run.error for run in report.segments] == ["", ""]
    assert report.measures == ()
    assert workspace.published().members(only=["thrifty"]) == {"thrifty": ["c", "d", "e"]}


@pytest.mark.before_the_engine
def test_renamed_measures_keep_their_values_and_profiles_that_go_leave(engine: EngineSession, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path, engine, "---\n{kind: segment, name: Some, where: {Spend: {at_least: 5}}}\n")
    workspace.refresh(as_of=AS_OF)
    renamed = DEFINITIONS.replace("Spend:", "Money:").replace("`Spend`", "Money").replace("/ Spend", "/ Money")
    workspace.define(renamed.replace("name: Spend,", "name: Money, id: spend,"))
    workspace.apply()
    workspace.write_table("customers", {name: values[1:] for name, values in CUSTOMERS.items()})

    report = workspace.refresh("Thrifty", as_of=AS_OF)

    assert [run.error for run in report.segments] == [""]
    assert workspace.published().members(only=["thrifty"]) == {"thrifty": ["c", "d"]}
    assert workspace.values("Money", snapshot=1)[0] == ("a", Decimal("10.00"))
    workspace.refresh("Money", as_of=AS_OF)
    assert [row[0] for row in workspace.values("Money")] == ["b", "c", "d"]
    with workspace.opened() as project:
        assert explain_membership(project, "Thrifty", "c").is_member


@pytest.mark.before_the_engine
def test_a_measure_that_fails_takes_what_uses_it_along(engine: EngineSession, tmp_path: Path) -> None:
    huge = "---\n{kind: measure, name: Weight, per: customer, over: purchases, value: {sum: weight}}\n"
    huge += "---\n{kind: measure, name: Weight per row, per: customer, value: {expression: Weight / `Buying.rows`}}\n"
    huge += "---\n{kind: segment, name: Heavy, where: {Weight per row: {at_least: 1}}}\n"
    workspace = make_shop(tmp_path, engine, huge)
    weights = {**PURCHASES, "weight": [1.5, 0.1, float("inf"), 2.0, None, 1.0]}
    workspace.write_table("purchases", weights)

    report = workspace.refresh(as_of=AS_OF)

    ended = {run.id: (str(run.status), run.error) for run in (*report.measures, *report.segments) if run.error}
    infinite = '1 value(s) of "weight" are infinite or out of range'
    assert ended == {
        "weight": ("Failed", infinite),
        "weight_per_row": ("Skipped", f'measure "Weight" failed: {infinite}'),
        "heavy": ("Skipped", f'measure "Weight per row" was skipped: measure "Weight" failed: {infinite}'),
    }
    later = workspace.refresh("Heavy", as_of=AS_OF)
    assert [run.error for run in later.segments] == ['measure "Weight per row" has never been refreshed']


@pytest.mark.before_the_engine
def test_numbers_with_too_many_digits_fail_the_measure_only(engine: EngineSession, tmp_path: Path) -> None:
    power = " * ".join(["amount"] * 8)
    more = f'---\nkind: measure\nname: Power\nper: customer\nover: purchases\nvalue: {{sum: "{power}"}}\n'
    more += "---\nkind: measure\nname: Power of the rich\nper: customer\nover: purchases\n"
    more += f'where: {{in_segment: Rich}}\nvalue: {{sum: "{power}"}}\n'
    more += "---\nkind: measure\nname: Power by channel\nper: [customer, channel]\nover: purchases\n"
    more += f'values: {{n: {{count: rows}}, of_rich: {{sum: "{power}", where: {{in_segment: Rich}}}}}}\n'
    workspace = make_shop(tmp_path, engine, more)
    amounts = [Decimal("9.99"), Decimal("0.01"), Decimal("1234.5"), None, Decimal("-1"), Decimal("99")]
    workspace.write_table("purchases", {**PURCHASES, "amount": pa.array(amounts, pa.decimal128(8, 2))})

    report = workspace.refresh(as_of=AS_OF)

    ended = {run.id: (str(run.status), run.error) for run in report.measures if run.error}
    assert ended == {"power": ("Failed", "a value has more than 38 digits 1 time(s)")}, "b is not rich"


@pytest.mark.before_the_engine
@pytest.mark.parametrize(
    "everybody", ["in_segment: All", "all: [{in_segment: All}, {customer.income: {not: -1, or_missing: true}}]"]
)
def test_rows_of_no_profile_are_in_no_segment_of_everyone(
    everybody: str, engine: EngineSession, tmp_path: Path
) -> None:
    more = "---\n{kind: segment, name: All, where: everyone}\n"
    more += "---\n{kind: measure, name: Of all, per: business, over: purchases, "
    more += f"values: {{rows: {{count: rows}}, of_all: {{count: rows, where: {{{everybody}}}}}}}}}\n"
    more += "---\n{kind: measure, name: Just all, per: business, over: purchases, "
    more += f"where: {{{everybody}}}, value: {{count: rows}}}}\n"
    workspace = make_shop(tmp_path, engine, more)
    workspace.refresh(as_of=AS_OF)
    assert workspace.values("Of all") == [(6, 5)]
    assert workspace.values("Just all") == [(5,)]


@pytest.mark.before_the_engine
def test_the_trend_of_a_total(engine: EngineSession, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path, engine)
    workspace.refresh("Revenue", as_of=AS_OF)
    workspace.append_rows("purchases", {name: values[:1] for name, values in PURCHASES.items()})
    workspace.refresh("Revenue", as_of=datetime(2025, 3, 2, tzinfo=UTC))

    with workspace.opened() as project:
        details = show_measure(project, "Revenue")
        totals = read_totals(project, details.summary.measure, details.snapshots)

    assert [total["revenue"] for total in totals] == [Decimal("113.00"), Decimal("122.99")]


def test_show_goes_back_as_far_as_asked(
    embedded_engine: EngineSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = make_shop(tmp_path, embedded_engine)
    workspace.refresh("Revenue", "Spend", as_of=AS_OF)
    workspace.append_rows("purchases", {name: values[:1] for name, values in PURCHASES.items()})
    workspace.refresh("Revenue", "Spend", as_of=datetime(2025, 3, 30, tzinfo=UTC))

    def shown(name: str, *options: str) -> list[tuple[int, object]]:
        assert main(["measures", "show", name, *options, "-o", "json", "--conf", str(tmp_path)]) == 0
        snapshots = json.loads(capsys.readouterr().out)["measure"]["snapshots"]
        return [(row["snapshot_version"], row.get("totals", {}).get("revenue")) for row in snapshots]

    assert shown("Revenue") == [(1, "113"), (2, "122.99")]
    assert shown("Revenue", "--period", "7-days") == [(2, "122.99")]
    assert shown("Revenue", "--period", "30-days") == [(1, "113"), (2, "122.99")]
    assert shown("Spend", "--period", "7-days") == [(2, None)]
    assert main(["measures", "show", "Revenue", "--period", "7-days", "--conf", str(tmp_path)]) == 0
    assert "113" not in capsys.readouterr().out.rpartition("snapshot ")[2]


@pytest.mark.before_the_engine
def test_unknown_measures_and_values_before_the_first_refresh(engine: EngineSession, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path, engine)
    with pytest.raises(ConfigError, match='There is no measure "Spent"') as unknown:
        workspace.values("Spent")
    assert 'Did you mean "Spend"?' in unknown.value.hint
    with pytest.raises(ConfigError, match='Measure "Spend" has no snapshot: it was never refreshed'):
        workspace.values("Spend")
    report = workspace.refresh("Spenders", as_of=AS_OF)
    assert [run.error for run in report.segments] == ['measure "Spend" has never been refreshed']


TRADE = """
project: trade
time_zone: Europe/Berlin
tables:
  accounts: {path: data/accounts, key: account_id}
  contacts: {path: data/contacts, key: contact_id}
relationships: [contacts.account_id -> accounts]
audiences: {account: {table: accounts}, contact: {table: contacts, account: account}}
"""
SIZES = """
{kind: measure, name: Companies, audience: account, per: business, over: accounts, value: {count: rows}}
---
{kind: measure, name: People, audience: contact, per: [role], over: contacts, value: {count: rows}}
"""


@pytest.mark.before_the_engine
def test_business_measures_of_two_audiences(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    accounts = {"account_id": ["x", "y", "z"]}
    contacts = {"contact_id": ["a", "b"], "account_id": ["x", None], "role": ["buyer", None]}
    workspace.set_up(TRADE, {"accounts": accounts, "contacts": contacts}, SIZES)
    workspace.apply()

    report = workspace.refresh(as_of=AS_OF)

    assert [run.error for run in report.measures] == ["", ""]
    assert workspace.values("Companies") == [(3,)]
    assert workspace.values("People") == [("buyer", 1), (None, 1)]


@pytest.mark.before_the_engine
def test_an_expression_may_be_one_name_of_any_type(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    names = ("city", "is_new", "since", "weight", "income")
    own = ", ".join(f"own {name}: {{expression: {name}}}" for name in names)
    best = "best: {last: channel, by: bought_at}, again: {expression: best, if_missing: none}"
    each = f"over: purchases, values: {{{best}}}}}"
    definitions = [
        f"{{kind: measure, name: Own, per: customer, values: {{{own}}}}}",
        f"{{kind: measure, name: Best, per: customer, {each}",
        f"{{kind: measure, name: Each, per: [customer, {{year: bought_at}}], {each}",
        f"{{kind: measure, name: All, per: business, {each}",
        "{kind: measure, name: Other, per: customer, value: {expression: Best.best}}",
    ]
    customers = {
        "customer_id": ["a", "b", "c"],
        "city": ["Ulm", "", None],
        "is_new": [True, False, None],
        "since": [date(2020, 2, 29), None, date(1969, 12, 31)],
        "weight": [0.1, float("nan"), -0.0],
        "income": pa.array([Decimal(10**37), None, Decimal(-1)], pa.decimal128(38, 0)),
    }
    workspace.set_up(PROJECT, {"customers": customers, "purchases": PURCHASES}, "\n---\n".join(definitions))
    workspace.apply()
    report = workspace.refresh(as_of=AS_OF)
    assert [run.error for run in report.measures if run.error] == []
    assert workspace.values("Own") == [
        ("a", "Ulm", True, date(2020, 2, 29), 0.1, 10**37),
        ("b", None, False, None, None, None),
        ("c", None, None, date(1969, 12, 31), 0.0, -1),
    ]
    assert workspace.values("Best") == [("a", "store", "store"), ("b", "web", "web"), ("c", "store", "store")]
    year = date(2025, 1, 1)
    assert workspace.values("Each") == [(id_, year, *rest) for id_, *rest in workspace.values("Best")]
    assert workspace.values("All") == [("store", "store")]
    assert workspace.values("Other") == [("a", "store"), ("b", "web"), ("c", "store")]
