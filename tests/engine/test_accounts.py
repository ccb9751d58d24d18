"""Accounts and contacts refreshed: what is asked of an account reaches its contacts, and only them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from workspace import Published, Workspace, read_rows

from segengine.api import Project
from segengine.cli.main import main
from segengine.engine.session import EngineSession, activate
from segengine.errors import ConfigError, DataContractError
from segengine.operations.members import read_segment_members
from segengine.operations.output_tables import write_output_tables
from segengine.operations.why import explain_membership

PROJECT = """
project: trade
tables:
  accounts: {path: data/accounts, key: account_id}
  contacts: {path: data/contacts, key: contact_id, columns: {company_id: {from: company}}}
  orders: {path: data/orders, key: order_id}
  mails: {path: data/mails, key: mail_id}
  deals: {path: data/deals, key: deal_id}
relationships:
  - {from: contacts.company_id, to: accounts, name: company}
  - orders.account_id -> accounts
  - mails.contact_id -> contacts
  - deals.account_id -> accounts
  - deals.contact_id -> contacts
audiences:
  account: {table: accounts}
  contact: {table: contacts, account: account}
"""
# Account 1 is large and ordered three times, 2 is small and ordered once, 3 never did; 4 has no contact. Contacts of 1:
# ann, bob; of 2: cid; of 3: dan; eve has no account, fay one that does not exist.
TABLES: dict[str, dict[str, Any]] = {
    "accounts": {"account_id": [1, 2, 3, 4], "employees": [900, 9, None, 700]},
    "contacts": {
        "contact_id": ["ann", "bob", "cid", "dan", "eve", "fay"],
        "company": pa.array([1, 1, 2, 3, None, 99], pa.int64()),
        "role": ["Boss", "Clerk", "Boss", "", "Boss", None],
    },
    "orders": {
        "order_id": [1, 2, 3, 4, 5, 6],
        "account_id": pa.array([1, 1, 1, 2, 77, None], pa.int64()),
        "amount": [5.0, 15.0, 20.0, 15.0, 50.0, 50.0],
    },
    "mails": {"mail_id": [1, 2, 3], "contact_id": ["ann", "cid", "zoe"]},
    "deals": {"deal_id": [1, 2], "account_id": [1, 3], "contact_id": ["bob", None]},
}
SEGMENTS = """
kind: segment
name: Large
audience: account
where: {employees: {at_least: 500}}
---
kind: segment
name: Mailed accounts
audience: account
rules: [{over: mails}]
---
kind: segment
name: At large
audience: contact
where: {in_segment: Large}
---
kind: segment
name: Not at large
audience: contact
where: {not: {in_segment: Large}}
---
kind: segment
name: Looked up
audience: contact
where: {company.employees: {less_than: 500, or_missing: true}}
---
kind: segment
name: Bosses at buyers
audience: contact
rules:
  - where: {role: Boss}
  - intersect: {over: orders, where: {amount: {at_least: 15}}}
---
kind: segment
name: Two orders
audience: contact
rules: [{over: orders, rows: {at_least: 2}, where: {amount: {at_least: 15}}}]
---
kind: segment
name: One order
audience: contact
rules: [{over: orders, rows: {exactly: 1}}]
---
kind: segment
name: No order
audience: contact
rules: [{over: orders, rows: none}]
---
kind: segment
name: Anybody but buyers
audience: contact
rules:
  - where: everyone
  - except: {over: orders}
---
kind: segment
name: Only large orders
audience: contact
rules: [{over: orders, rows: all, where: {amount: {at_least: 15}}}]
---
kind: segment
name: All cheap but one
audience: contact
rules: [{over: orders, rows: {at_most: 1}, where: {amount: {at_most: 5}}}]
---
kind: segment
name: Mailed themselves
audience: contact
rules: [{over: mails}]
---
kind: segment
name: Mailed at the account
audience: contact
rules: [{over: mails, via: [contact, company]}]
---
kind: segment
name: Their own deal
audience: contact
rules: [{over: deals, via: contact}]
---
kind: segment
name: Deal of the account
audience: contact
rules: [{over: deals, via: account}]
---
kind: segment
name: Several colleagues
audience: contact
rules: [{over: contacts, via: company, rows: {at_least: 2}}]
---
kind: segment
name: In brackets
audience: contact
rules:
  - where: {in_segment: Mailed at the account}
  - except:
      rules:
        - over: orders
          where: {amount: {at_least: 20}}
        - intersect: {where: {not: {in_segment: At large}}}
"""
# What is judged on the account, with aggregates and conditions on the account inside.
SEGMENTS += """---
kind: segment
name: Spent much
audience: contact
rules: [{over: orders, sum: {amount: {at_least: 30}}}]
---
kind: segment
name: Spent little
audience: contact
rules: [{over: orders, sum: {amount: {less_than: 30}}}]
---
kind: segment
name: Large with orders
audience: contact
rules: [{over: orders, where: {all: [{account.employees: {at_least: 100}}, {amount: {at_least: 15}}]}}]
---
kind: segment
name: In large and ordered
audience: contact
rules: [{over: orders, where: {all: [{in_segment: Large}, {amount: {at_least: 5}}]}}]
---
kind: segment
name: No order while large
audience: contact
rules: [{over: orders, rows: none, where: {in_segment: Large}}]
---
kind: segment
name: Mailed at large
audience: contact
rules: [{over: mails, where: {any: [{in_segment: At large}, {contact.company.employees: {at_least: 500}}]}}]
---
kind: segment
name: Mailed and of a large account
audience: contact
rules: [{over: mails, where: {in_segment: Large}}]
"""
# Measures of the account; without one they are missing, without orders 0.
SEGMENTS += """---
kind: measure
name: Ordered
per: account
over: orders
value: {sum: amount}
---
kind: segment
name: At good accounts
audience: contact
where: {company.Ordered: {at_least: 15}}
---
kind: segment
name: At poor accounts
audience: contact
where: {not: {company.Ordered: {at_least: 15}}}
---
kind: segment
name: At good accounts or none
audience: contact
where: {company.Ordered: {at_least: 15, or_missing: true}}
---
kind: segment
name: At no account
audience: contact
where: {company.Ordered: {empty: true}}
---
kind: segment
name: Mailed at poor accounts
audience: contact
rules: [{over: mails, via: contact, where: {contact.company.Ordered: {less_than: 20}}}]
"""
EVERYBODY = ["ann", "bob", "cid", "dan", "eve", "fay"]
OF_ACCOUNTS = {"large": ["1", "4"], "mailed_accounts": ["1", "2"]}
OF_CONTACTS = {
    "at_large": ["ann", "bob"],
    "not_at_large": ["cid", "dan", "eve", "fay"],
    "looked_up": ["cid", "dan", "eve", "fay"],
    "bosses_at_buyers": ["ann", "cid"],
    "two_orders": ["ann", "bob"],
    "one_order": ["cid"],
    "no_order": ["dan"],
    "anybody_but_buyers": ["dan", "eve", "fay"],
    "only_large_orders": ["cid"],
    "all_cheap_but_one": ["ann", "bob", "cid", "dan"],
    "mailed_themselves": ["ann", "cid"],
    "mailed_at_the_account": ["ann", "bob", "cid"],
    "their_own_deal": ["bob"],
    "deal_of_the_account": ["ann", "bob", "dan"],
    "several_colleagues": ["ann", "bob"],
    "in_brackets": ["ann", "bob", "cid"],
    "spent_much": ["ann", "bob"],
    "spent_little": ["cid", "dan"],
    "large_with_orders": ["ann", "bob"],
    "in_large_and_ordered": ["ann", "bob"],
    "no_order_while_large": ["cid", "dan"],
    "mailed_at_large": ["ann"],
    "mailed_and_of_a_large_account": ["ann"],
    "at_good_accounts": ["ann", "bob", "cid"],
    "at_poor_accounts": ["dan"],
    "at_good_accounts_or_none": ["ann", "bob", "cid", "eve", "fay"],
    "at_no_account": ["eve", "fay"],
    "mailed_at_poor_accounts": ["cid"],
}


def write_trade(workspace: Workspace, segments: str = SEGMENTS, **tables: dict[str, Any]) -> None:
    workspace.set_up(PROJECT, TABLES | tables, segments)
    workspace.apply()


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("trade"), embedded)
    write_trade(workspace)
    workspace.refresh()
    return workspace


@pytest.fixture
def trade(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


def members(published: Published) -> dict[str, list[str]]:
    return published.members("account", OF_ACCOUNTS) | published.members("contact", OF_CONTACTS)


def changes(workspace: Workspace, *names: str) -> dict[str, tuple[Any, ...]]:
    """Refresh and return status, members, entered, left and profiles of each segment."""
    return {
        run.segment_id: (str(run.status), run.member_count, run.entered_count, run.left_count, run.profile_count)
        for run in workspace.refresh(*names).segments
    }


# ---- what is carried over


@pytest.mark.over_connect
def test_first_refresh(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    write_trade(workspace)

    report = workspace.refresh()

    published = workspace.published()
    assert members(published) == OF_ACCOUNTS | OF_CONTACTS
    assert published.last_keys == {"account": 4, "contact": 6}
    counted = {run.segment_id: (run.member_count, run.entered_count, run.profile_count) for run in report.segments}
    assert counted == {
        **{name: (len(ids), len(ids), 4) for name, ids in OF_ACCOUNTS.items()},
        **{name: (len(ids), len(ids), 6) for name, ids in OF_CONTACTS.items()},
    }
    assert {row["segment_id"] for row in published.segment_runs} == {*counted}, "what is hidden has no run"
    scans = {scan.name: (scan.row_count, scan.orphan_count) for scan in report.scans}
    assert scans["orders > account"] == (6, 2)
    assert scans["account of contacts"] == (6, 2), "eve and fay have no account"
    assert not any(name.startswith("orders > account >") for name in scans)


@pytest.mark.before_the_engine
def test_people_change_companies(trade: Workspace) -> None:
    trade.write_table(
        "contacts", {"contact_id": ["ann", "bob", "cid", "gil"], "company": [2, 1, None, 4]} | {"role": ["Boss"] * 4}
    )

    found = changes(trade)

    published = trade.published()
    assert published.members("contact", ["at_large", "one_order", "no_order", "bosses_at_buyers"]) == {
        "at_large": ["bob", "gil"],
        "one_order": ["ann"],
        "no_order": ["gil"],
        "bosses_at_buyers": ["ann", "bob"],
    }
    assert found["at_large"] == ("Successful", 2, 1, 1, 4)
    assert found["one_order"] == ("Successful", 1, 1, 1, 4)
    assert published.last_keys == {"account": 4, "contact": 7}


@pytest.mark.before_the_engine
def test_an_account_that_is_gone_has_no_contacts(trade: Workspace) -> None:
    trade.write_table("accounts", {"account_id": [2, 3], "employees": pa.array([900, None], pa.int64())})

    changes(trade)

    found = trade.published().members("contact", ["at_large", "not_at_large", "two_orders", "no_order", "looked_up"])
    assert found == {
        "at_large": ["cid"],
        "not_at_large": ["ann", "bob", "dan", "eve", "fay"],
        "two_orders": [],
        "no_order": ["dan"],
        "looked_up": ["ann", "bob", "dan", "eve", "fay"],
    }


# ---- what runs, and what feeds


@pytest.mark.before_the_engine
def test_contacts_alone_have_their_questions_judged(trade: Workspace) -> None:
    """Accounts are looked at for what is asked of them; their own segments are not touched."""
    trade.append_rows("orders", {"order_id": [7], "account_id": [3], "amount": [1.0]})

    report = trade.refresh("No order", "One order")

    published = trade.published()
    assert published.members("contact", ["no_order", "one_order"]) == {"no_order": [], "one_order": ["cid", "dan"]}
    assert sorted(run.segment_id for run in report.segments) == ["no_order", "one_order"]
    assert published.statuses("large") == ["Successful"]
    assert {scan.name for scan in report.scans} == {"accounts", "orders > account", "contacts", "account of contacts"}


@pytest.mark.before_the_engine
def test_a_stored_account_segment_feeds_as_it_was_published(trade: Workspace) -> None:
    """Account 2 grew, 1 is gone; At large asks the snapshot, in which 1 and 4 are."""
    trade.write_table("accounts", {"account_id": [2, 3, 4], "employees": [900, 900, 900]})
    trade.write_table("contacts", TABLES["contacts"] | {"company": [1, 4, 2, 3, None, 4]})

    report = trade.refresh("At large")

    published = trade.published()
    assert published.members("contact", ["at_large"]) == {"at_large": ["bob", "fay"]}
    assert json.loads(published.of("at_large")[-1]["parents"]) == {"large": 1}
    assert {scan.name for scan in report.scans} == {"contacts", "account of contacts"}


@pytest.mark.before_the_engine
def test_only_good_account_segments_feed(trade: Workspace, embedded: EngineSession) -> None:
    trade.define(SEGMENTS.replace("at_least: 500", "at_least: 600"))
    trade.on(embedded).apply()

    report = trade.refresh("At large", "Not at large", "Two orders")

    ended = {run.segment_id: (str(run.status), run.error) for run in report.segments}
    cause = 'the definition of parent "Large" changed since its last refresh'
    assert ended == {
        "at_large": ("Skipped", cause),
        "not_at_large": ("Skipped", cause),
        "two_orders": ("Successful", ""),
    }
    assert trade.published().members("contact", ["at_large"]) == {"at_large": OF_CONTACTS["at_large"]}


@pytest.mark.before_the_engine
def test_a_bad_value_fails_what_uses_it_on_either_side(trade: Workspace) -> None:
    bad = TABLES["orders"] | {"amount": [float("inf"), 15.0, 20.0, 15.0, 50.0, 50.0]}
    trade.write_table("orders", bad)

    report = trade.refresh()

    failed = {run.segment_id for run in report.segments if run.status != "Successful"}
    assert failed == {
        *("bosses_at_buyers", "two_orders", "only_large_orders", "all_cheap_but_one", "in_brackets"),
        *("spent_much", "spent_little", "large_with_orders", "in_large_and_ordered"),
        *("at_good_accounts", "at_poor_accounts", "at_good_accounts_or_none", "at_no_account"),
        "mailed_at_poor_accounts",
    }
    assert {run.error for run in report.segments if run.error} == {
        '1 value(s) of "amount" are infinite or out of range',
        'measure "Ordered" failed: 1 value(s) of "amount" are infinite or out of range',
    }


@pytest.mark.before_the_engine
def test_duplicate_accounts_are_an_error_before_anything_is_written(trade: Workspace) -> None:
    before = len(read_rows(trade.warehouse / "snapshots"))
    trade.write_table("accounts", {"account_id": [1, 1, 2], "employees": [1, 2, 3]})

    with pytest.raises(DataContractError, match=r'table "accounts" has 1 duplicate key\(s\) in account_id'):
        trade.refresh("At large")

    assert len(read_rows(trade.warehouse / "snapshots")) == before
    assert members(trade.published()) == OF_ACCOUNTS | OF_CONTACTS


@pytest.mark.before_the_engine
def test_accounts_and_contacts_of_several_buckets(
    engine: EngineSession, embedded: EngineSession, tmp_path: Path
) -> None:
    """40,000 accounts and 70,000 contacts: two buckets of the ones meet three of the others."""
    accounts, contacts = 40_000, 70_000
    company = [(number * 7919) % (accounts + 500) for number in range(contacts)]  # 500 ids nobody has
    workspace = Workspace(tmp_path, embedded)
    write_trade(
        workspace,
        accounts={"account_id": list(range(accounts)), "employees": [n % 1000 for n in range(accounts)]},
        contacts={
            "contact_id": [f"c{number}" for number in range(contacts)],
            "company": company,
            "role": ["Boss" if number % 2 else "Clerk" for number in range(contacts)],
        },
        orders={
            "order_id": list(range(2 * accounts)),
            "account_id": [number // 4 * 2 for number in range(2 * accounts)],
            "amount": [float(number % 4 * 5) for number in range(2 * accounts)],
        },
    )

    workspace.on(engine).refresh("Large", "At large", "Not at large", "Two orders", "No order")

    found = workspace.published().members("contact", ["at_large", "not_at_large", "two_orders", "no_order"])
    large = sorted(f"c{n}" for n in range(contacts) if company[n] < accounts and company[n] % 1000 >= 500)
    assert found["at_large"] == large
    assert found["not_at_large"] == sorted({f"c{n}" for n in range(contacts)} - {*large})
    # Accounts with an even number have four orders, of 0, 5, 10 and 15; the others none.
    assert found["two_orders"] == []
    assert found["no_order"] == sorted(f"c{n}" for n in range(contacts) if company[n] < accounts and company[n] % 2)


@pytest.mark.before_the_engine
def test_a_bad_value_of_the_account_fails_the_rules_that_ask_for_it(trade: Workspace) -> None:
    bad = {"account_id": [1, 2, 3, 4], "employees": [float("inf"), 9.0, 7.0, 700.0]}
    trade.write_table("accounts", bad)
    trade.pull()

    report = trade.refresh("Large with orders", "Spent much")

    ended = {run.segment_id: (str(run.status), run.error) for run in report.segments}
    cause = '1 value(s) of "employees" are infinite or out of range'
    assert ended == {"spent_much": ("Successful", ""), "large_with_orders": ("Failed", cause)}


# ---- looking at results


@pytest.mark.before_the_engine
@pytest.mark.parametrize("every", [len(EVERYBODY), pytest.param(1, marks=pytest.mark.long)])
def test_why_agrees_with_the_members_of_every_segment(trade: Workspace, every: int) -> None:
    """By default each segment is asked about one profile, the next about the next."""
    with trade.opened() as project:
        for number, (segment_id, ids) in enumerate(OF_CONTACTS.items()):
            some = EVERYBODY[number % every :: every]
            found = [name for name in some if explain_membership(project, segment_id, name).is_member]
            assert found == [name for name in ids if name in some], segment_id


@pytest.mark.before_the_engine
def test_why_shows_rows_of_the_account(trade: Workspace) -> None:
    with trade.opened() as project:
        bob = explain_membership(project, "Two orders", "bob")
        eve = explain_membership(project, "Spent little", "eve")
    assert (bob.lines[0].truth, bob.lines[0].saw) == ("true", "2 of 3 rows")
    assert [row["order_id"] for row in bob.lines[0].rows] == ["2", "3"]
    assert [(line.truth, line.saw) for line in eve.lines] == [("false", "no account"), (None, "no account")]


@pytest.mark.before_the_engine
def test_contacts_show_their_account(trade: Workspace) -> None:
    with trade.opened() as project:
        assert write_output_tables(project, ["Not at large", "Large", "Two orders"]) == [
            "NotAtLarge",
            "Large",
            "TwoOrders",
        ]
        preview = read_segment_members(project, "Not at large", limit=3)
        shown = [row for rows in preview.rows for row in rows.to_pylist()]
    rows = read_rows(trade.warehouse / "output" / "NotAtLarge")
    assert sorted(
        (row["contact_id"], row["company_id"], row["snapshot_version"]) for row in rows if row["company_id"]
    ) == [
        ("cid", "2", 1),
        ("dan", "3", 1),
        ("fay", "99", 1),
    ]
    assert [row["contact_id"] for row in rows if row["company_id"] is None] == ["eve"]
    assert sorted(read_rows(trade.warehouse / "output" / "Large")[0]) == [
        "account_id",
        "segment_id",
        "snapshot_version",
    ]
    assert (preview.id_name, preview.account_name) == ("contact_id", "company_id")
    assert len(shown) == 3
    accounts = {"cid": "2", "dan": "3", "eve": None, "fay": "99"}
    assert {row["profile_id"]: row["account_id"] for row in shown}.items() <= accounts.items()
    assert sorted(trade.members("Not at large", limit=None)) == OF_CONTACTS["not_at_large"]


@pytest.mark.before_the_engine
def test_the_account_is_that_of_the_run(trade: Workspace) -> None:
    """Looked up in the version of the contact table that the run read, or in the present one where that is gone."""
    moved = TABLES["contacts"] | {"company": [2, 2, 3, 3, None, 99]}
    trade.write_table("contacts", moved)
    with trade.opened() as project:
        then = read_segment_members(project, "At large", limit=None)
        assert sorted(tuple(row.values()) for rows in then.rows for row in rows.to_pylist()) == [
            ("ann", "1"),
            ("bob", "1"),
        ]
    files = (trade.data / "contacts").glob("part-*.parquet")
    oldest = min(files, key=lambda file: file.stat().st_mtime_ns)
    oldest.unlink()
    with trade.opened() as project:
        now = read_segment_members(project, "At large", limit=None)
        assert sorted(tuple(row.values()) for rows in now.rows for row in rows.to_pylist()) == [
            ("ann", "2"),
            ("bob", "2"),
        ]


@pytest.mark.before_the_engine
def test_commands_and_api_show_audience_and_account(trade: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    conf = str(trade.folder)
    assert main(["segments", "members", "At large", "--conf", conf, "-o", "csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert [rows[0], *sorted(rows[1:])] == [["contact_id", "company_id"], ["ann", "1"], ["bob", "1"]]
    assert main(["segments", "members", "At large", "--conf", conf, "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)["members"]
    assert dict(zip(shown["members"], shown["accounts"], strict=True)) == {"ann": "1", "bob": "1"}
    assert main(["segments", "members", "Large", "--conf", conf, "-o", "json"]) == 0
    assert "accounts" not in json.loads(capsys.readouterr().out)["members"]
    assert main(["segments", "members", "Not at large", "--conf", conf]) == 0
    assert "company_id" in capsys.readouterr().out
    assert main(["segments", "list", "--conf", conf]) == 0
    listed = capsys.readouterr().out
    assert "audience" in listed
    assert "contact" in listed
    with activate(trade.session):
        project = Project(trade.folder, spark=trade.session.spark)
        assert sorted(project.members_with_accounts("At large")) == [("ann", "1"), ("bob", "1")]
        with pytest.raises(ConfigError, match='Segment "Large" is of audience "account", which has no account'):
            project.members_with_accounts("Large")
