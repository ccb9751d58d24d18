"""Harbor Supply: a made-up wholesaler of workshop and office goods that sells to companies, the same in every run.

400 accounts, 3,000 contacts, and what happens with either until 30 June 2026: orders and opportunities of accounts,
support tickets and newsletters of contacts. No engine and no Java: numpy draws, pyarrow holds, deltalake writes.

What is planted, for segments and models to find:

* Larger accounts have more contacts and larger opportunities; Gold accounts order three times as often as Bronze ones.
* Manufacturers buy tools, software companies buy electronics.
* A fifth of the accounts stopped ordering at some day; their contacts rate tickets lower.
* Decision makers are few; opportunities are led by them more often than by others.
* Contacts who open newsletters belong more often to accounts that still order.

What is wrong on purpose, as in real data: contacts without an account or with one that does not exist, orders of
unknown accounts, accounts without a size, tiers and roles that are NULL and some that are empty text, accounts nobody
knows a person of, tickets nobody rated.

Nothing happens before an account is a customer or a contact is known, so any past day can be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from segengine.demo.contoso import Texts, dates, instants, money, numbered
from segengine.demo.contoso_draws import DAY_SECONDS, Bools, Floats, Ints, day_number

SEED: Final = 20260701
ACCOUNT_COUNT: Final = 400
CONTACT_COUNT: Final = 3_000
ORDER_COUNT: Final = 12_000
TICKET_COUNT: Final = 4_000
OPPORTUNITY_COUNT: Final = 1_500
MAILING_COUNT: Final = 15_000
LAST_DAY: Final = day_number("2026-06-30")

INDUSTRIES: Final = ("Manufacturing", "Software", "Logistics", "Construction", "Health", "Education")
REGIONS: Final = ("North", "South", "East", "West")
TIERS: Final = ("Gold", "Silver", "Bronze", "")
ROLES: Final = ("Decision maker", "Buyer", "Engineer", "Office manager", "Accountant", "")
STAGES: Final = ("Lead", "Proposal", "Negotiation", "Won", "Lost")
PRIORITIES: Final = ("low", "normal", "high")
SUBJECTS: Final = ("Delivery late", "Damaged in transit", "Wrong item", "Invoice question", "How to use")
PRODUCTS: Final = (  # name, category, price in cents
    ("Cordless drill", "Tools", 12_900),
    ("Bench vice", "Tools", 8_450),
    ("Torque wrench", "Tools", 11_200),
    ("Angle grinder", "Tools", 9_900),
    ("Tool trolley", "Tools", 31_900),
    ("Monitor", "Electronics", 24_900),
    ("Docking station", "Electronics", 15_900),
    ("Label printer", "Electronics", 18_700),
    ("Headset", "Electronics", 6_900),
    ("Network switch", "Electronics", 21_300),
    ("Standing desk", "Furniture", 54_900),
    ("Office chair", "Furniture", 28_900),
    ("Shelf unit", "Furniture", 17_400),
    ("Locker", "Furniture", 22_800),
    ("Copy paper", "Supplies", 2_490),
    ("Work gloves", "Supplies", 1_290),
    ("Packing tape", "Supplies", 890),
    ("Cable ties", "Supplies", 590),
    ("First aid kit", "Safety", 3_990),
    ("Safety glasses", "Safety", 1_490),
    ("Fire blanket", "Safety", 2_990),
)


@dataclass(frozen=True)
class Accounts:
    """The accounts as arrays, with what only the generator knows of them; days count from 1970-01-01."""

    since: Ints
    industry: Ints
    employees: Ints
    tier: Ints  # 3: empty text
    stopped: Ints  # the day after which nothing is ordered


@dataclass(frozen=True)
class Contacts:
    """The contacts as arrays; `account` is -1 for none and `ACCOUNT_COUNT` for one that does not exist."""

    account: Ints
    role: Ints  # 5: empty text
    known: Ints  # the day from which somebody is a contact


def write_harbor_supply(folder: Path) -> None:
    """Write the company's tables as Delta tables into `folder`/data, one folder each."""
    for name, table in harbor_supply_tables().items():
        write_deltalake(str(folder / "data" / name), table, mode="overwrite", schema_mode="overwrite")


def harbor_supply_tables() -> dict[str, pa.Table]:
    """Return the company's tables by name, equal in every call."""
    rng = np.random.default_rng(SEED)
    accounts = draw_accounts(rng)
    contacts = draw_contacts(accounts, rng)
    return {
        "accounts": accounts_table(accounts, rng),
        "contacts": contacts_table(contacts, rng),
        "products": products_table(),
        "orders": orders_table(accounts, rng),
        "opportunities": opportunities_table(accounts, contacts, rng),
        "tickets": tickets_table(accounts, contacts, rng),
        "mailings": mailings_table(accounts, contacts, rng),
    }


def draw_accounts(rng: np.random.Generator) -> Accounts:
    """Return accounts in the order in which they became customers, from 2019 to May 2026."""
    n = ACCOUNT_COUNT
    stops = rng.random(n) < 0.2
    return Accounts(
        since=np.sort(rng.integers(day_number("2019-01-01"), day_number("2026-05-20"), n)),
        industry=rng.choice(len(INDUSTRIES), n, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1]),
        employees=np.maximum(3, np.rint(rng.lognormal(5.0, 1.3, n))).astype(np.int64),
        tier=rng.choice(4, n, p=[0.15, 0.3, 0.45, 0.1]),
        stopped=np.where(stops, rng.integers(day_number("2025-01-01"), day_number("2026-04-01"), n), LAST_DAY),
    )


def draw_contacts(accounts: Accounts, rng: np.random.Generator) -> Contacts:
    """Return contacts, more of them at larger accounts, none at a few."""
    n = CONTACT_COUNT
    weights = np.sqrt(accounts.employees) * (rng.random(ACCOUNT_COUNT) > 0.04)
    account = rng.choice(ACCOUNT_COUNT, n, p=weights / weights.sum())
    odd = rng.random(n)
    account = np.where(odd < 0.05, -1, np.where(odd < 0.06, ACCOUNT_COUNT, account))
    earliest = np.append(accounts.since, [day_number("2022-01-01")] * 2)[account]
    return Contacts(
        account=account,
        role=rng.choice(6, n, p=[0.1, 0.25, 0.25, 0.2, 0.15, 0.05]),
        known=between(earliest, np.full(n, LAST_DAY - 10), rng),
    )


def accounts_table(accounts: Accounts, rng: np.random.Generator) -> pa.Table:
    """Return the accounts' table; one in four belongs to another."""
    n = ACCOUNT_COUNT
    parent = np.floor(np.arange(n) * rng.random(n)).astype(np.int64)
    revenue = np.round(accounts.employees * 90_000 * np.exp(rng.normal(0, 0.5, n)), 2)
    return pa.table(
        {
            "account_id": account_ids(np.arange(n)),
            "name": np.char.add("Company ", np.char.zfill(np.arange(1, n + 1).astype(str), 3)),
            "industry": np.array(INDUSTRIES)[accounts.industry],
            "region": np.array(REGIONS)[rng.integers(0, len(REGIONS), n)],
            "employees": pa.array(accounts.employees.astype(np.int32), mask=rng.random(n) < 0.06),
            "annual_revenue": money(np.round(revenue * 100).astype(np.int64), rng.random(n) < 0.1, digits=14),
            "tier": pa.array(np.array(TIERS)[accounts.tier], mask=rng.random(n) < 0.05),
            "customer_since": dates(accounts.since),
            "parent_id": pa.array(account_ids(parent), mask=(rng.random(n) > 0.25) | (np.arange(n) == 0)),
        }
    )


def contacts_table(contacts: Contacts, rng: np.random.Generator) -> pa.Table:
    """Return the contacts' table."""
    n = CONTACT_COUNT
    ids = contact_ids(np.arange(n))
    return pa.table(
        {
            "contact_id": ids,
            "account_id": pa.array(account_ids(contacts.account), mask=contacts.account < 0),
            "role": pa.array(np.array(ROLES)[contacts.role], mask=rng.random(n) < 0.04),
            "email": pa.array(np.char.add(np.char.lower(ids), "@example.com"), mask=rng.random(n) < 0.08),
            "newsletter": pa.array(rng.random(n) < 0.45, mask=rng.random(n) < 0.03),
            "known_since": dates(contacts.known),
        }
    )


def products_table() -> pa.Table:
    """Return the products' table."""
    names, categories, prices = zip(*PRODUCTS, strict=True)
    return pa.table(
        {
            "product_id": numbered("P", np.arange(len(PRODUCTS)), 2),
            "name": list(names),
            "category": list(categories),
            "list_price": money(np.array(prices), digits=10),
        }
    )


def orders_table(accounts: Accounts, rng: np.random.Generator) -> pa.Table:
    """Return orders of two years, in the order of their time; one product each."""
    n = ORDER_COUNT
    start = np.maximum(accounts.since, day_number("2024-07-01"))
    activity = rng.gamma(1.2, 1.0, ACCOUNT_COUNT) * np.array([3.0, 1.8, 1.0, 0.7])[accounts.tier]
    weights = activity * np.maximum(accounts.stopped - start, 0) * (rng.random(ACCOUNT_COUNT) > 0.05)
    account = rng.choice(ACCOUNT_COUNT, n, p=weights / weights.sum())
    second = between(start[account], accounts.stopped[account], rng) * DAY_SECONDS + rng.integers(0, DAY_SECONDS, n)
    order = np.argsort(second, kind="stable")
    account, second = account[order], second[order]
    product = draw_products(accounts.industry[account], rng)
    quantity = 1 + rng.poisson(2.5, n)
    prices = np.array([price for _, _, price in PRODUCTS])[product]
    named, odd = account_ids(account), rng.permutation(n)
    named[odd[:25]] = "A9999"
    return pa.table(
        {
            "order_id": numbered("O", np.arange(n), 5),
            "account_id": pa.array(named, mask=np.isin(np.arange(n), odd[25:60])),
            "product_id": pa.array(numbered("P", product, 2), mask=np.isin(np.arange(n), odd[60:90])),
            "ordered_at": instants(second),
            "quantity": pa.array(quantity.astype(np.int32)),
            "total": money(prices * quantity),
        }
    )


def draw_products(industry: Ints, rng: np.random.Generator) -> Ints:
    """Return a product for each order, by the industry of who orders."""
    categories = np.array([category for _, category, _ in PRODUCTS])
    weights = np.ones((len(INDUSTRIES), len(PRODUCTS)))
    weights[np.isin(INDUSTRIES, ["Manufacturing", "Construction"])] *= np.where(categories == "Tools", 4.0, 1.0)
    weights[np.isin(INDUSTRIES, ["Software", "Education"])] *= np.where(categories == "Electronics", 4.0, 1.0)
    running = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[industry]
    chosen: Ints = (running < rng.random(len(industry))[:, None]).sum(axis=1)
    return chosen


def opportunities_table(accounts: Accounts, contacts: Contacts, rng: np.random.Generator) -> pa.Table:
    """Return opportunities, each with the account and the contact who leads it, where there is one."""
    n = OPPORTUNITY_COUNT
    with_account = (contacts.account >= 0) & (contacts.account < ACCOUNT_COUNT)
    weights = with_account * np.where(contacts.role == 0, 6.0, 1.0)
    contact = rng.choice(CONTACT_COUNT, n, p=weights / weights.sum())
    account = contacts.account[contact]
    created = between(contacts.known[contact], np.full(n, LAST_DAY), rng)
    order = np.argsort(created, kind="stable")
    contact, account, created = contact[order], account[order], created[order]
    amount = np.rint(accounts.employees[account] * rng.lognormal(4.5, 0.8, n) * 100).astype(np.int64)
    stage = rng.choice(len(STAGES), n, p=[0.2, 0.2, 0.15, 0.25, 0.2])
    return pa.table(
        {
            "opportunity_id": numbered("D", np.arange(n), 4),
            "account_id": account_ids(account),
            "contact_id": pa.array(contact_ids(contact), mask=rng.random(n) < 0.1),
            "stage": np.array(STAGES)[stage],
            "amount": money(amount),
            "created_on": dates(created),
        }
    )


def tickets_table(accounts: Accounts, contacts: Contacts, rng: np.random.Generator) -> pa.Table:
    """Return support tickets, in the order of their time; contacts of accounts that left are less content."""
    n = TICKET_COUNT
    contact = rng.integers(0, CONTACT_COUNT, n)
    day = between(contacts.known[contact], np.full(n, LAST_DAY), rng)
    second = day * DAY_SECONDS + rng.integers(0, DAY_SECONDS, n)
    order = np.argsort(second, kind="stable")
    contact, second = contact[order], second[order]
    mood = np.where(has_left(accounts, contacts)[contact], 2.4, 3.8)
    rating = np.clip(np.rint(mood + rng.normal(0, 1.0, n)), 1, 5).astype(np.int32)
    return pa.table(
        {
            "ticket_id": numbered("T", np.arange(n), 5),
            "contact_id": pa.array(contact_ids(contact), mask=rng.random(n) < 0.01),
            "subject": np.array(SUBJECTS)[rng.integers(0, len(SUBJECTS), n)],
            "priority": np.array(PRIORITIES)[rng.choice(3, n, p=[0.3, 0.5, 0.2])],
            "opened_at": instants(second),
            "rating": pa.array(rating, mask=rng.random(n) < 0.3),
        }
    )


def mailings_table(accounts: Accounts, contacts: Contacts, rng: np.random.Generator) -> pa.Table:
    """Return newsletters sent since 2025 and whether they were opened."""
    n = MAILING_COUNT
    contact = rng.integers(0, CONTACT_COUNT, n)
    sent = between(np.maximum(contacts.known[contact], day_number("2025-01-01")), np.full(n, LAST_DAY), rng)
    order = np.argsort(sent, kind="stable")
    contact, sent = contact[order], sent[order]
    opened = rng.random(n) < np.where(has_left(accounts, contacts)[contact], 0.1, 0.35)
    return pa.table(
        {
            "mailing_id": numbered("M", np.arange(n), 5),
            "contact_id": contact_ids(contact),
            "sent_on": dates(sent),
            "opened": pa.array(opened, mask=rng.random(n) < 0.02),
        }
    )


def has_left(accounts: Accounts, contacts: Contacts) -> Bools:
    """Return for each contact whether the account stopped ordering."""
    known = np.append(accounts.stopped < LAST_DAY, [False, False])
    return known[contacts.account]


def between(first: Ints, last: Ints, rng: np.random.Generator) -> Ints:
    """Return a random day from `first` to `last`, both included, or `first` where that is later."""
    span: Floats = np.maximum(last - first + 1, 1) * rng.random(len(first))
    days: Ints = first + np.floor(span).astype(np.int64)
    return days


def account_ids(numbers: Ints) -> Texts:
    """Return the accounts' ids; the number after the last one gives an id nobody has."""
    return numbered("A", numbers, 4)


def contact_ids(numbers: Ints) -> Texts:
    """Return the contacts' ids."""
    return numbered("K", numbers, 5)
