"""Values of accounts in the expressions of their contacts' measures, beside a plain loop over the rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.operations.apply import plan_definitions
from segengine.operations.dry_run import plan_refresh
from segengine.operations.measure_preview import preview_measure
from segengine.operations.refresh import RefreshReport
from segengine.operations.why import explain_membership
from segengine.plan.scans import BUCKET_SIZE

PROJECT = """
project: trade
tables:
  accounts: {path: data/accounts, key: account_id}
  contacts: {path: data/contacts, key: contact_id}
  orders: {path: data/orders, key: order_id}
  mails: {path: data/mails, key: mail_id}
relationships:
  - {from: contacts.company_id, to: accounts, name: company}
  - orders.account_id -> accounts
  - mails.contact_id -> contacts
audiences:
  account: {table: accounts}
  contact: {table: contacts, account: account}
"""
SALES = """
kind: measure
name: Sales
per: account
over: orders
values:
  orders: {count: rows}
  exact total: {sum: amount}
  weight: {max: weight}
  first: {min: day}
  best: {arg_max: category, by: amount}
"""
REACH = """
kind: measure
name: Reach
per: contact
over: mails
values:
  mails: {count: rows}
  per_order: {expression: mails / company.Sales.orders}
  left: {expression: company.Sales.`exact total` - mails}
  third: {expression: company.Sales.`exact total` / 3, if_missing: -1}
  weight: {expression: company.Sales.weight}
  doubled: {expression: company.Sales.weight * 2}
  days: {expression: company.Sales.first - known_on}
  first: {expression: company.Sales.first}
  best: {expression: company.Sales.best, if_missing: nothing}
  own: {expression: role}
"""
DEFINITIONS = f"{SALES}---{REACH}"
Value = Decimal | float | date | str | int | None
AMOUNT = pa.decimal128(38, 4)
HUGE = Decimal(9 * 10**26)  # a third of some of it still has at most 38 digits, ten of them after the point


def make_world(choose: random.Random, account_count: int, contact_count: int) -> dict[str, pa.Table]:
    """Return tables with gaps of every kind: unknown and missing accounts, missing values, both signs, many digits."""
    account_ids = [f"A{number}" for number in range(account_count)]
    contact_ids = [f"c{number}" for number in range(contact_count)]
    day = date(2024, 1, 1)

    def gap(make: Callable[[], Any]) -> Any:
        return make() if choose.random() < 0.85 else None

    orders = [
        (
            gap(lambda: choose.choice(account_ids)) or choose.choice([None, "", "nobody"]),
            gap(lambda: choose.choice([Decimal("0.0001"), Decimal("-7.5"), HUGE, Decimal(choose.randrange(10**6))])),
            gap(lambda: choose.choice([0.1, -2.5, 1e6, float("nan"), choose.random()])),
            gap(lambda: day + timedelta(choose.randrange(900))),
            gap(lambda: choose.choice(["", "Tools", "Ink ß𝄞"])),
        )
        for _ in range(3 * account_count // 2)
    ]
    columns = list(zip(*orders, strict=True))
    types = (pa.string(), AMOUNT, pa.float64(), pa.date32(), pa.string())
    names = ("account_id", "amount", "weight", "day", "category")
    ordered = {name: pa.array(column, type_) for name, column, type_ in zip(names, columns, types, strict=True)}
    return {
        "accounts": pa.table({"account_id": account_ids}),
        "contacts": pa.table(
            {
                "contact_id": contact_ids,
                "company_id": [gap(lambda: choose.choice(account_ids)) or choose.choice([None, "", "nobody"])
                               for _ in contact_ids],
                "role": [choose.choice([None, "", "Buyer"]) for _ in contact_ids],
                "known_on": [gap(lambda: day + timedelta(choose.randrange(900))) for _ in contact_ids],
            }
        ),
        "orders": pa.table({"order_id": range(len(orders)), **ordered}),
        "mails": pa.table(
            {"mail_id": range(contact_count), "contact_id": choose.choices([*contact_ids, "x"], k=contact_count)}
        ),
    }  # fmt: skip


def decimal_of(value: Fraction, scale: int) -> Decimal:
    """Return a fraction rounded half to even, with so many digits after the point."""
    return Decimal(f"{round(value * 10**scale)}E-{scale}")


def quotient(top: int | Decimal, bottom: int, scale: int) -> Decimal | None:
    return None if bottom == 0 else decimal_of(Fraction(top) / bottom, scale + 6)


def sales_by_hand(tables: dict[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Return the values of each account."""
    rows: dict[str, list[dict[str, Any]]] = {account: [] for account in tables["accounts"]["account_id"].to_pylist()}
    for row in tables["orders"].to_pylist():
        if row["account_id"] in rows:
            rows[row["account_id"]].append(row)
    return {account: _sales_of(own) for account, own in rows.items()}


def _sales_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    weights = [row["weight"] for row in rows if row["weight"] is not None and row["weight"] == row["weight"]]
    best = [row for row in rows if row["amount"] is not None and row["category"]]
    return {
        "orders": len(rows),
        "total": sum((Fraction(row["amount"]) for row in rows if row["amount"] is not None), Fraction()),
        "weight": max(weights, default=None),
        "first": min((row["day"] for row in rows if row["day"]), default=None),
        "best": min(best, key=lambda row: (-row["amount"], row["order_id"]))["category"] if best else None,
    }


def reach_by_hand(
    tables: dict[str, pa.Table], sales: dict[str, dict[str, Any]] | None = None
) -> dict[str, tuple[Value, ...]]:
    """Return the values of each contact, in the order of the measure's."""
    sales = sales_by_hand(tables) if sales is None else sales
    mails = tables["mails"]["contact_id"].to_pylist()
    counts = {contact: 0 for contact in tables["contacts"]["contact_id"].to_pylist()}
    for contact in mails:
        if contact in counts:
            counts[contact] += 1
    found: dict[str, tuple[Value, ...]] = {}
    for contact in tables["contacts"].to_pylist():
        own, count = sales.get(contact["company_id"]), counts[contact["contact_id"]]
        values: tuple[Value, ...] = (None, None, Decimal("-1.0000000000"), None, None, None, None, "nothing")
        if own is not None:
            first, known, weight = own["first"], contact["known_on"], own["weight"]
            values = (
                quotient(count, own["orders"], 0),
                decimal_of(own["total"] - count, 4),
                decimal_of(own["total"] / 3, 10),
                weight,
                None if weight is None else decimal_of(2 * Fraction(decimal_of(Fraction(weight), 9)), 9),
                (first - known).days if first and known else None,
                first,
                own["best"] or "nothing",
            )
        found[contact["contact_id"]] = (count, *values, contact["role"] or None)
    return found


def set_up(workspace: Workspace, tables: dict[str, pa.Table], definitions: str = DEFINITIONS) -> None:
    workspace.set_up(PROJECT, tables, definitions)
    workspace.apply()


def reach_of(workspace: Workspace) -> dict[str, tuple[Value, ...]]:
    return {row[0]: row[1:] for row in workspace.values("Reach", limit=None)}


def ends(report: RefreshReport) -> dict[str, tuple[str, str]]:
    return {run.id: (str(run.status), run.error) for run in (*report.segments, *report.measures)}


@pytest.fixture
def trade(engine: EngineSession, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, engine)


def test_values_of_many_accounts_reach_their_contacts(trade: Workspace, embedded: EngineSession) -> None:
    """Over several buckets on both sides; the account's values are of the same run, then from their snapshot."""
    tables = make_world(random.Random(7), BUCKET_SIZE + 400, BUCKET_SIZE + 900)
    set_up(trade, tables)
    assert set(ends(trade.on(embedded).refresh()).values()) == {("Successful", "")}
    by_hand = reach_by_hand(tables)
    found = reach_of(trade.on(embedded))
    assert len(found) == len(by_hand)
    assert [(id_, found[id_], row) for id_, row in by_hand.items() if found[id_] != row][:5] == []

    report = trade.refresh("Reach", full=True)

    assert {scan.name for scan in report.scans} == {"accounts", "mails > contact", "contacts", "account of contacts"}
    assert reach_of(trade.on(embedded)) == found


@pytest.mark.before_the_engine
@pytest.mark.parametrize("seed", range(3))
def test_values_of_few_accounts_with_many_gaps(trade: Workspace, seed: int) -> None:
    tables = make_world(random.Random(seed), 5, 40)
    set_up(trade, tables)
    trade.refresh()
    assert reach_of(trade) == reach_by_hand(tables)


@pytest.mark.before_the_engine
def test_accounts_that_came_and_went_since_their_measure_was_evaluated(trade: Workspace) -> None:
    """A new account has the value of no rows; of one that is gone its contacts have nothing."""
    tables = make_world(random.Random(11), 6, 30)
    set_up(trade, tables)
    trade.refresh()
    sales = sales_by_hand(tables)
    del sales["A0"]
    accounts = ["A1", "A2", "A3", "A4", "A5", *(f"B{number}" for number in range(BUCKET_SIZE + 1))]
    trade.write_table("accounts", pa.table({"account_id": accounts}))
    more = {"contact_id": ["new", "far"], "company_id": ["B0", f"B{BUCKET_SIZE}"]}
    more |= {"role": ["Buyer", None], "known_on": pa.array([None, None], pa.date32())}
    tables["contacts"] = pa.concat_tables([tables["contacts"], pa.table(more).cast(tables["contacts"].schema)])
    trade.write_table("contacts", tables["contacts"])

    trade.refresh("Reach")

    nothing = _sales_of([])
    by_hand = reach_by_hand(tables, sales | {"B0": nothing, f"B{BUCKET_SIZE}": nothing})
    assert by_hand["far"] == (0, None, 0, 0, None, None, None, None, "nothing", None)
    assert reach_of(trade) == by_hand


@pytest.mark.before_the_engine
def test_a_change_of_the_account_is_one_of_its_contacts(trade: Workspace) -> None:
    tables = make_world(random.Random(3), 5, 20)
    segment = "---\nkind: segment\nname: Reached\naudience: contact\nwhere: {Reach.left: {at_least: 0}}\n"
    set_up(trade, tables, DEFINITIONS + segment)
    trade.refresh()
    assert trade.refresh().unchanged_count == 3
    order = {"order_id": 900, "account_id": "A1", "amount": Decimal(5), "day": date(2020, 1, 1)}
    added = pa.Table.from_pylist([order], tables["orders"].schema)
    trade.append_rows("orders", dict(zip(added.column_names, added.columns, strict=True)))

    with trade.opened() as project:
        reasons = {each.definition.id: each.reason for each in plan_refresh(project)}
    report = trade.refresh()

    assert reasons == {
        "sales": 'table "orders" changed',
        "reach": '"Sales" is evaluated, to which it refers',
        "reached": '"Reach" is evaluated, to which it refers',
    }
    assert report.unchanged_count == 0
    tables["orders"] = pa.concat_tables([tables["orders"], added])
    by_hand = reach_by_hand(tables)
    assert reach_of(trade) == by_hand
    left = {contact: row[2] for contact, row in by_hand.items()}
    members = sorted(contact for contact, value in left.items() if value is not None and value >= 0)
    assert trade.published().members("contact")["reached"] == members
    with trade.opened() as project:
        why = explain_membership(project, "Reached", members[0])
    assert why.is_member


@pytest.mark.before_the_engine
def test_numbers_with_too_many_digits_fail_what_they_are_in(trade: Workspace) -> None:
    tables = make_world(random.Random(5), 4, 12)
    squared = "{expression: company.Sales.`exact total` * company.Sales.`exact total`}"
    others = f"---\n{{kind: measure, name: Squared, per: contact, value: {squared}}}\n"
    others += "---\n{kind: measure, name: Cubed, per: contact, value: {expression: Squared / 2}}\n"
    set_up(trade, tables, DEFINITIONS + others)
    found = ends(trade.refresh())
    assert found["sales"] == found["reach"] == ("Successful", "")
    assert {identity: status for identity, (status, _) in found.items() if status == "Failed"} == {
        "squared": "Failed",
        "cubed": "Failed",
    }
    assert "more than 38 digits" in found["squared"][1]
    assert reach_of(trade) == reach_by_hand(tables)

    most = pa.array([Decimal("9" * 34)] * tables["orders"].num_rows, AMOUNT)
    trade.write_table("orders", tables["orders"].set_column(2, "amount", most))
    broken = ends(trade.refresh())

    assert broken["sales"][0] == "Failed"
    assert broken["reach"][0] in ("Failed", "Skipped")
    assert reach_of(trade) == reach_by_hand(tables), "the last good snapshot stays"


@pytest.mark.before_the_engine
def test_values_that_are_errors_fail_account_and_contacts(trade: Workspace) -> None:
    tables = make_world(random.Random(6), 4, 12)
    plain = "---\n{kind: measure, name: Mails, per: contact, over: mails, value: {count: rows}}\n"
    set_up(trade, tables, DEFINITIONS + plain)
    weights = pa.array([float("inf")] * tables["orders"].num_rows)
    trade.write_table("orders", tables["orders"].set_column(3, "weight", weights))
    found = ends(trade.refresh())
    assert found["sales"][0] == "Failed"
    assert found["reach"] == ("Skipped", f'measure "Sales" failed: {found["sales"][1]}')
    assert found["mails"] == ("Successful", "")


@pytest.mark.before_the_engine
def test_a_preview_works_the_account_out_too(trade: Workspace) -> None:
    tables = make_world(random.Random(8), 5, 20)
    trade.set_up(PROJECT, tables, DEFINITIONS)
    with trade.opened() as project:
        found = preview_measure(project, plan_definitions(project), "Reach", limit=None)
        rows = {row["profile_id"]: (*row.values(),)[1:] for batch in found.rows for row in batch.to_pylist()}
    assert rows == reach_by_hand(tables)
