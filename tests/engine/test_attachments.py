"""Attached rows in output tables: which rows, in which order, how many, and as of when; against plain Python."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from workspace import Workspace, read_rows

from segengine.engine.session import EngineSession
from segengine.errors import DataContractError
from segengine.operations.output_tables import write_output_tables

PROJECT = """
project: shop
tables:
  customers: {path: data/customers, key: customer_id}
  products: {path: data/products, key: product_id}
  purchases:
    path: data/purchases
    key: [day, number]
    at: bought_at
    columns: {price: {from: total}}
  reviews: {path: data/reviews, key: review_id}
  groups: {path: data/groups, key: group_id}
  memberships: {path: data/memberships, key: membership_id}
relationships:
  - purchases.customer_id -> customers
  - purchases.product_id -> products
  - {from: reviews.author_id, to: customers, name: author}
  - {from: reviews.reader_id, to: customers, name: reader}
  - memberships.group_id -> groups
  - memberships.customer_id -> customers
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Buyers
where: {customer_id: {not: d}}
attach:
  - purchases.price
  - purchases.bought_at
  - purchases.wall
  - purchases.returned
  - purchases.weight
  - purchases.product.category
  - {over: reviews, via: [author], columns: [stars]}
  - {over: reviews, via: [reader], columns: [author.state], name: read_reviews}
  - {over: groups, via: [{back: memberships.group}, customer], columns: [kind, memberships.role]}
attach_limit: 3
---
kind: segment
name: Nobody
where: {state: nowhere}
attach: [purchases.price]
"""
AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def purchase(day: date | None, number: int | None, customer: str | None, **others: Any) -> dict[str, Any]:
    row = {
        "day": day,
        "number": number,
        "customer_id": customer,
        "product_id": None,
        "total": None,
        "bought_at": NOON,
        "wall": None,
        "returned": None,
        "weight": None,
    }
    return {**row, **others}


MONDAY, TUESDAY = date(2025, 3, 3), date(2025, 3, 4)
PURCHASES = [
    purchase(TUESDAY, 2, "a", product_id="p1", total=Decimal("1.10"), weight=0.5, returned=True),
    purchase(TUESDAY, 10, "a", product_id="p9", total=Decimal("2.20"), wall=datetime(2025, 3, 4, 8)),
    purchase(MONDAY, 9, "a", product_id="", weight=float("nan")),
    purchase(MONDAY, 10, "a", product_id="p2", total=Decimal("-3.00"), returned=False),
    purchase(MONDAY, 2, "a", product_id="p2", total=Decimal("4.40")),
    purchase(None, 1, "b", product_id="p1"),
    purchase(MONDAY, None, "b"),
    purchase(MONDAY, 7, "b", bought_at=AS_OF + timedelta(days=1)),
    *[purchase(MONDAY, number, "d") for number in range(100, 110)],
    purchase(MONDAY, 50, None),
    purchase(MONDAY, 51, "unknown"),
]
PURCHASE_TYPES = {
    "day": pa.date32(),
    "number": pa.int64(),
    "customer_id": pa.string(),
    "product_id": pa.string(),
    "total": pa.decimal128(12, 2),
    "bought_at": pa.timestamp("us", tz="UTC"),
    "wall": pa.timestamp("us"),
    "returned": pa.bool_(),
    "weight": pa.float64(),
}
CATEGORIES = {"p1": "Tea", "p2": "Coffee"}
REVIEWS = [("10", "a", "b", 5), ("9", "a", "c", 1), ("é", "a", None, 2), ("Z", "b", "b", 3), ("z", "a", "a", 4)]
STATES = {"a": "CA", "b": None, "c": "", "d": "NV"}
GROUPS = {1: "club", 2: "team"}
MEMBERSHIPS = [(1, 2, "a", "host"), (2, 1, "a", "guest"), (3, 1, "c", ""), (4, 3, "a", "lost"), (5, 1, "a", "host")]


def write_purchases(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    columns = {name: pa.array([row[name] for row in rows], type_) for name, type_ in PURCHASE_TYPES.items()}
    workspace.write_table("purchases", columns)


def write_shop(workspace: Workspace) -> None:
    workspace.write_project(PROJECT)
    workspace.write_table("customers", {"customer_id": list(STATES), "state": list(STATES.values())})
    workspace.write_table("products", {"product_id": list(CATEGORIES), "category": list(CATEGORIES.values())})
    write_purchases(workspace, PURCHASES)
    names = ("review_id", "author_id", "reader_id", "stars")
    workspace.write_table("reviews", dict(zip(names, map(list, zip(*REVIEWS, strict=True)), strict=True)))
    workspace.write_table("groups", {"group_id": list(GROUPS), "kind": list(GROUPS.values())})
    names = ("membership_id", "group_id", "customer_id", "role")
    workspace.write_table("memberships", dict(zip(names, map(list, zip(*MEMBERSHIPS, strict=True)), strict=True)))
    workspace.define(SEGMENTS)
    workspace.pull()
    workspace.apply()


def output_of(workspace: Workspace, *names: str) -> dict[str, dict[str, Any]]:
    """Return the rows of the last output table written, by customer."""
    with workspace.opened() as project:
        tables = write_output_tables(project, names)
    return {row["customer_id"]: row for row in read_rows(workspace.warehouse / "output" / tables[-1])}


# ---- the same in plain Python


def missing_first(key: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    return [(value is not None, value) for value in key]


def expected_purchases(customer: str) -> list[dict[str, Any]]:
    own = [row for row in PURCHASES if row["customer_id"] == customer and row["bought_at"] <= AS_OF]
    own.sort(key=lambda row: missing_first((row["day"], row["number"])))
    fields = ("bought_at", "wall", "returned", "weight")
    return [
        {
            "day": row["day"],
            "number": row["number"],
            "price": row["total"],
            **{name: row[name] for name in fields},
            "product_category": CATEGORIES.get(row["product_id"]),
        }
        for row in own
    ]


def expected_row(customer: str) -> dict[str, Any]:
    arrays = {
        "purchases": expected_purchases(customer),
        "reviews": [{"review_id": r, "stars": s} for r, author, _, s in sorted(REVIEWS) if author == customer],
        "read_reviews": [
            {"review_id": r, "author_state": STATES[author]}
            for r, author, reader, _ in sorted(REVIEWS)
            if reader == customer
        ],
        "groups": [
            {"group_id": g, "memberships_membership_id": m, "kind": GROUPS[g], "memberships_role": role}
            for g, m, member, role in sorted((g, m, member, role) for m, g, member, role in MEMBERSHIPS if g in GROUPS)
            if member == customer
        ],
    }
    columns: dict[str, Any] = {}
    for name, found in arrays.items():
        columns |= {name: found[:3], f"{name}_truncated": len(found) > 3}
    return {
        "customer_id": customer,
        "segment_id": "buyers",
        "snapshot_version": 1,
        **columns,
        "attributes_as_of": AS_OF,
    }


def comparable(value: Any) -> Any:
    """Return nested values with NaN as text: it equals nothing, itself included."""
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def test_rows_stand_in_key_order_up_to_the_limit(
    engine: EngineSession, embedded: EngineSession, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path, engine)
    write_shop(workspace)
    workspace.on(embedded).refresh(as_of=AS_OF)
    # What comes later is not in the run's versions, so it is not in the output table either.
    write_purchases(workspace, [*PURCHASES, purchase(MONDAY, 1, "c")])

    written = output_of(workspace, "Nobody", "Buyers")

    expected = {customer: expected_row(customer) for customer in ("a", "b", "c")}
    assert {name for row in expected.values() for name in row if row[name] is True} == {
        "purchases_truncated",
        "reviews_truncated",
    }
    assert comparable(written) == comparable(expected)
    assert list(written["a"]) == list(expected["a"])
    nobody = DeltaTable(str(workspace.warehouse / "output" / "Nobody")).to_pyarrow_table()
    assert nobody.num_rows == 0
    assert nobody.column_names == [
        *("customer_id", "segment_id", "snapshot_version", "purchases", "purchases_truncated", "attributes_as_of")
    ]


@pytest.mark.before_the_engine
def test_rows_are_those_of_the_run_or_of_now_where_they_are_gone(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    write_shop(workspace)
    text = "kind: segment\nname: Buyers\nwhere: everyone\nattach_limit: 2\nattach: [purchases.price]\n"
    workspace.define(text)
    workspace.apply(prune=True)
    workspace.refresh(as_of=AS_OF)
    write_purchases(workspace, [purchase(MONDAY, 1, "c", total=Decimal("7.00"))])
    assert DeltaTable(str(workspace.data / "purchases")).vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False
    )

    started_at = datetime.now(UTC)
    now = output_of(workspace, "Buyers")
    assert [entry["price"] for entry in now["c"]["purchases"]] == [Decimal("7.00")]
    assert now["a"]["purchases"] == []
    assert started_at <= now["a"]["attributes_as_of"] <= datetime.now(UTC)

    # The run did not read memberships; attaching them needs no refresh.
    workspace.define(text.replace("purchases.price", "memberships.role"))
    workspace.apply()
    again = output_of(workspace, "Buyers")
    assert [entry["role"] for entry in again["a"]["memberships"]] == ["host", "guest"]
    assert (again["a"]["memberships_truncated"], again["a"]["snapshot_version"]) == (True, 1)


@pytest.mark.before_the_engine
def test_the_run_checks_what_will_be_attached(engine: EngineSession, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine)
    write_shop(workspace)
    workspace.write_table("products", {"product_id": ["p1", "p1"], "category": ["Tea", "Coffee"]})

    with pytest.raises(DataContractError, match=r'table "products" has 1 duplicate key\(s\) in product_id'):
        workspace.refresh("Buyers")
    ended = {run.name: str(run.status) for run in workspace.refresh().segments}
    assert ended == {"Buyers": "Failed", "Nobody": "Successful"}
