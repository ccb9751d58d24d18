"""Customers with odd data in every column, and what they buy: a small project for suggestions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

PROJECT = """
project: suggesting
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id, columns: {seen: {type: timestamp_ntz, zone: Asia/Tokyo}}}
  stores: {path: data/stores, key: store_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships:
  - {from: customers.store_id, to: stores, name: store}
  - {from: purchases.customer_id, to: customers, name: customer}
audiences: {customer: {table: customers}}
activities:
  purchase: {table: purchases, at: purchased_at, amount: price}
  possession: {table: purchases, start: purchased_at, end: returned_at}
"""
MEASURES = """
kind: measure
name: Spend
per: customer
over: purchases
value: {sum: price}
---
kind: measure
name: Buying
per: customer
over: purchases
values: {largest: {max: price}, latest: {max: purchased_at}}
---
kind: segment
name: Subscribers
where: {subscribed: true}
---
"""
INFLUENCES = """
  - income
  - score
  - born
  - joined_at
  - seen
  - tier
  - remark
  - subscribed
  - store.city
  - email
  - constant
"""
AS_OF = datetime(2026, 7, 1, 12, 30, 1, 5, tzinfo=UTC)
TIERS = np.array(["gold", "silver", "O'Brien: yes", "true", "", None])


def draw_customers(seed: int, count: int) -> pa.Table:
    """Return customers with missing, odd and equal values in every column."""
    rng = np.random.default_rng(seed)

    def missing(share: float) -> np.ndarray:
        return rng.random(count) < share

    days = [date(1940, 1, 1) + timedelta(days=int(day)) for day in rng.integers(0, 25_000, count)]
    times = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=int(each)) for each in rng.integers(0, 2e8, count)]
    income = [Decimal(int(each)).scaleb(-2) for each in rng.gamma(3, 1_500_000, count)]
    score = np.where(missing(0.05), np.nan, rng.normal(size=count).round(1))
    return pa.table(
        {
            "customer_id": [f"c{number:05d}" for number in range(count)],
            "income": pa.array(income, pa.decimal128(12, 2), mask=missing(0.1)),
            "score": pa.array(score, mask=missing(0.05)),
            "born": pa.array(days, mask=missing(0.2)),
            "joined_at": pa.array(times, pa.timestamp("us", "UTC"), mask=missing(0.02)),
            "seen": pa.array([each.replace(tzinfo=None) for each in times], pa.timestamp("us"), mask=missing(0.1)),
            "tier": TIERS[rng.choice(6, count, p=[0.2, 0.3, 0.15, 0.15, 0.1, 0.1])],
            "remark": [f"note {number} of {number % 97} words here" for number in range(count)],
            "subscribed": pa.array(rng.random(count) < 0.4, mask=missing(0.1)),
            "store_id": pa.array(rng.integers(1, 6, count), mask=missing(0.1)),
            "email": [f"c{number}@example.com" for number in range(count)],
            "constant": ["same"] * count,
        }
    )


def draw_purchases(seed: int, customers: pa.Table) -> pa.Table:
    """Return purchases: more and dearer ones of the rich and the golden; some by nobody, some without price or time."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for customer in customers.to_pylist():
        rich = (customer["income"] or 0) > 50_000
        eager = 2.0 + 3 * rich + 4 * (customer["tier"] == "gold") + 2 * bool(customer["subscribed"])
        for _ in range(rng.poisson(eager)):
            at = AS_OF - timedelta(seconds=int(rng.integers(-3_000_000, 40_000_000)))
            price = Decimal(int(rng.gamma(2, 800 * (1 + rich)))).scaleb(-2)
            rows.append({"customer_id": customer["customer_id"], "price": price, "purchased_at": at})
    for row in rows[::50]:
        row["price"] = None
    for row in rows[::3]:
        row["returned_at"] = row["purchased_at"] + timedelta(days=int(rng.integers(1, 60)))
    for row in rows[7::60]:
        row["purchased_at"] = None
    for row in rows[3::70]:
        row["customer_id"] = None
    rows += [{**row, "price": Decimal(-5)} for row in rows[::90]]
    schema = pa.schema(
        [
            *[("purchase_id", pa.int64()), ("customer_id", pa.string()), ("price", pa.decimal128(10, 2))],
            *[("purchased_at", pa.timestamp("us", "UTC")), ("returned_at", pa.timestamp("us", "UTC"))],
        ]
    )
    return pa.Table.from_pylist([{"purchase_id": number, **row} for number, row in enumerate(rows)], schema)


STORES = {"store_id": [1, 2, 3, 4, 5], "city": ["Ulm", "Bonn", "Köln", None, "Ulm"]}
