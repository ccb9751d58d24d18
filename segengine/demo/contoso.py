"""Contoso Coffee: a made-up company with believable customers, the same in every run.

Two years of purchases end on 30 June 2026; 5,000 customers, about 60,000 purchases, and the tables around
them. No engine and no Java: numpy draws, pyarrow holds, deltalake writes.

What is planted, for models and suggestions to find:

* Californians, the High tier and people under 35 buy more on the web; states without a store only there.
* Cold brew sells in June to August, above all to people under 35.
* Engineers buy about four times as many machines; people over 55 prefer filter coffee.
* A quarter of the managers and office workers buy for their office, ten to forty of a thing at once.
* The web sells beans, machines and accessories, the stores drinks and pastries.
* The High tier buys more often, as do satisfied customers; income follows the occupation.
* Satisfaction follows the home store: the first in Las Vegas, Fresno and the third in San Francisco are poor.
* Stars in reviews follow the author's satisfaction.
* The churn score is high for unsatisfied customers with few purchases in the last 180 days.
* A quarter of the customers stopped buying at some day; unsatisfied ones more often.
* Purchases grow (the second year has about 45 % more), peak in December and on Saturdays.

What is wrong on purpose, as in real data: purchases without a customer or with an unknown one, without a
product or with an unknown one; e-mail addresses that are NULL and some that are empty text; satisfaction
that is NULL and some NaN; roasts written in different case; reviews without an author.

A customer is known from `customer_since` on: nothing happens before, so any past day can be told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray

from segengine.demo.contoso_catalogue import OCCUPATIONS, PLACES, PLANS, PRODUCTS, REVIEW_TEXTS, STORES
from segengine.demo.contoso_draws import (
    CUSTOMER_COUNT,
    DAY_COUNT,
    DAY_SECONDS,
    LAST_DATE,
    PURCHASE_COUNT,
    Bools,
    Customers,
    Ints,
    Purchases,
    day_number,
    draw_customers,
    draw_purchases,
)

Texts = NDArray[np.str_]

SEED: Final = 20260630
REVIEW_COUNT: Final = 4_000
MEMBERSHIP_COUNT: Final = 1_800


def write_contoso(folder: Path) -> None:
    """Write the company's tables as Delta tables into `folder`/data, one folder each."""
    for name, table in contoso_tables().items():
        write_deltalake(str(folder / "data" / name), table, mode="overwrite", schema_mode="overwrite")


def contoso_tables() -> dict[str, pa.Table]:
    """Return the company's tables by name, equal in every call."""
    rng = np.random.default_rng(SEED)
    customers = draw_customers(rng)
    purchases = draw_purchases(customers, rng)
    return {
        "customers": customers_table(customers, rng),
        "purchases": purchases_table(purchases, rng),
        "products": products_table(rng),
        "stores": stores_table(),
        "reviews": reviews_table(customers, purchases, rng),
        "memberships": memberships_table(customers, rng),
        "points": points_table(customers, purchases, rng),
        "churn": churn_table(customers, purchases, rng),
    }


def customers_table(customers: Customers, rng: np.random.Generator) -> pa.Table:
    """Return the customers' table, in the order of the ids."""
    n = CUSTOMER_COUNT
    ids = customer_ids(np.arange(n))
    medians = np.append([median for _, median in OCCUPATIONS.values()], 60_000)
    income = np.round(medians[customers.occupation] * np.exp(rng.normal(0, 0.35, n)), 2)
    points = np.round(rng.lognormal(5.6, 1.0, n) * np.array([3.0, 1.6, 1.0, 0.4])[customers.tier])
    unsaid, odd = rng.random(n) < 0.2, rng.random(n) < 0.01
    lost = rng.random(n) < 0.04
    email = np.where(rng.random(n) < 0.02, "", np.char.add(np.char.lower(ids), "@example.com"))
    email = np.where(rng.random(n) < 0.25, np.char.replace(email, "example.com", "mail.example.org"), email)
    subscribes = rng.random(n) < np.array([0.65, 0.45, 0.35, 0.25])[customers.tier]
    referrer = np.floor(np.arange(n) * rng.random(n)).astype(np.int64)
    tail = np.char.zfill(rng.integers(1, 100, n).astype(str), 2)
    starts = np.array([place.post_code_start for place in PLACES])[customers.place]
    named = np.append(np.array(list(OCCUPATIONS)), "")
    satisfaction = np.where(odd, np.nan, customers.satisfaction)
    return pa.table(
        {
            "customer_id": ids,
            "state": np.array([place.state for place in PLACES])[customers.place],
            "city": np.array([place.city for place in PLACES])[customers.place],
            "post_code": np.char.add(starts, tail),
            "date_of_birth": dates(customers.born),
            "email": pa.array(email, mask=lost),
            "email_subscriber": pa.array(subscribes & ~lost, mask=rng.random(n) < 0.015),
            "income": money(np.round(income * 100).astype(np.int64), rng.random(n) < 0.05),
            "loyalty_tier": pa.array(np.array(["High", "Medium", "Low", ""])[customers.tier], mask=customers.tier < 0),
            "occupation": pa.array(named[customers.occupation], mask=customers.occupation < 0),
            "reward_points": pa.array(np.where(rng.random(n) < 0.15, 0, points).astype(np.int32)),
            "customer_satisfaction": pa.array(satisfaction, mask=unsaid & ~odd, from_pandas=False),
            "customer_since": dates(customers.since),
            "home_store_id": pa.array(store_ids(customers.home_store), mask=customers.home_store < 0),
            "referred_by_id": pa.array(customer_ids(referrer), mask=(rng.random(n) > 0.12) | (np.arange(n) == 0)),
        }
    )


def purchases_table(purchases: Purchases, rng: np.random.Generator) -> pa.Table:
    """Return the purchases' table, with a few links that lead nowhere."""
    n = PURCHASE_COUNT
    odd = rng.permutation(n)
    customer, product = customer_ids(purchases.customer), product_ids(purchases.product)
    customer[odd[:30]] = np.char.add("X", np.char.zfill(np.arange(30).astype(str), 5))
    product[odd[30:70]] = "P999"
    guests, unscanned = np.isin(np.arange(n), odd[70:90]), np.isin(np.arange(n), odd[90:120])
    return pa.table(
        {
            "purchase_id": numbered("B", np.arange(n), 6),
            "customer_id": pa.array(customer, mask=guests),
            "product_id": pa.array(product, mask=unscanned),
            "store_id": pa.array(store_ids(purchases.store), mask=purchases.store < 0),
            "channel": np.where(purchases.store < 0, "web", "store"),
            "purchased_at": instants(purchases.second),
            "quantity": pa.array(purchases.quantity.astype(np.int32)),
            "unit_price": money(purchases.unit_price, digits=10),
            "total_price": money(purchases.unit_price * purchases.quantity),
        }
    )


def products_table(rng: np.random.Generator) -> pa.Table:
    """Return the products' table."""
    roasts = np.array([item.roast for item in PRODUCTS])
    return pa.table(
        {
            "product_id": product_ids(np.arange(len(PRODUCTS))),
            "name": [item.name for item in PRODUCTS],
            "category": [item.category for item in PRODUCTS],
            "list_price": money(np.array([item.price for item in PRODUCTS]), digits=10),
            "roast": pa.array(roasts, mask=roasts == ""),
            "decaf": [item.decaf for item in PRODUCTS],
            "launched_on": dates(rng.integers(day_number("2012-01-01"), day_number("2024-06-01"), len(PRODUCTS))),
        }
    )


def stores_table() -> pa.Table:
    """Return the stores' table."""
    state_of = {place.city: place.state for place in PLACES}
    opened = np.array([store.opened_on for store in STORES], dtype="datetime64[D]")
    return pa.table(
        {
            "store_id": store_ids(np.arange(len(STORES))),
            "city": [store.city for store in STORES],
            "state": [state_of[store.city] for store in STORES],
            "opened_on": dates(opened.astype(np.int64)),
            "drive_through": [store.drive_through for store in STORES],
        }
    )


def reviews_table(customers: Customers, purchases: Purchases, rng: np.random.Generator) -> pa.Table:
    """Return reviews, written one to fourteen days after a purchase by its buyer."""
    purchase = rng.choice(PURCHASE_COUNT, REVIEW_COUNT, replace=False)
    second = purchases.second[purchase] + rng.integers(DAY_SECONDS, 14 * DAY_SECONDS, REVIEW_COUNT)
    order = np.argsort(second, kind="stable")
    order = order[second[order] < purchases.second[-1]]
    purchase, second, n = purchase[order], second[order], len(order)
    author = purchases.customer[purchase]
    stars = np.clip(np.rint(customers.satisfaction[author] + rng.normal(0, 0.9, n)), 1, 5).astype(np.int64)
    text = np.array(REVIEW_TEXTS)[stars - 1, rng.integers(0, len(REVIEW_TEXTS[0]), n)]
    text = np.where(rng.random(n) < 0.02, "", text)
    return pa.table(
        {
            "review_id": numbered("R", np.arange(n), 5),
            "author_id": pa.array(customer_ids(author), mask=rng.random(n) < 0.01),
            "product_id": product_ids(purchases.product[purchase]),
            "stars": pa.array(stars.astype(np.int32)),
            "text": pa.array(text, mask=rng.random(n) < 0.15),
            "reviewed_at": instants(second),
        }
    )


def memberships_table(customers: Customers, rng: np.random.Generator) -> pa.Table:
    """Return subscriptions to a plan; `left_on` is missing while one lasts."""
    n, last = MEMBERSHIP_COUNT, day_number(LAST_DATE)
    customer = rng.integers(0, CUSTOMER_COUNT, n)
    earliest = np.maximum(customers.since[customer], day_number("2023-01-01"))
    joined = earliest + np.floor((last - earliest) * rng.random(n)).astype(np.int64)
    left = joined + 30 + np.floor(rng.exponential(400, n)).astype(np.int64)
    order = np.argsort(joined, kind="stable")
    return pa.table(
        {
            "membership_id": numbered("M", np.arange(n), 5),
            "customer_id": customer_ids(customer[order]),
            "plan": np.array(PLANS)[rng.choice(len(PLANS), n, p=[0.4, 0.3, 0.2, 0.1])],
            "joined_on": dates(joined[order]),
            "left_on": dates(left[order], left[order] > last),
        }
    )


def points_table(customers: Customers, purchases: Purchases, rng: np.random.Generator) -> pa.Table:
    """Return loyalty bookings for some purchases of customers with a tier: 10 to 20 points a dollar."""
    tier = customers.tier[purchases.customer]
    rows = np.flatnonzero((tier >= 0) & (rng.random(PURCHASE_COUNT) < 0.4))
    dollars = purchases.unit_price[rows] * purchases.quantity[rows] // 100
    redeemed = np.where(rng.random(len(rows)) < 0.12, 50 * rng.integers(1, 20, len(rows)), 0)
    return pa.table(
        {
            "booking_id": numbered("L", np.arange(len(rows)), 6),
            "customer_id": customer_ids(purchases.customer[rows]),
            "booked_at": instants(purchases.second[rows] + 60),
            "earned_points": pa.array((dollars * np.array([20, 15, 10])[tier[rows]]).astype(np.int32)),
            "redeemed_points": pa.array(redeemed.astype(np.int32)),
        }
    )


def churn_table(customers: Customers, purchases: Purchases, rng: np.random.Generator) -> pa.Table:
    """Return a churn score in 0..1 for most customers, as another team's model might have written it."""
    recent = np.bincount(purchases.customer[purchases.day >= DAY_COUNT - 180], minlength=CUSTOMER_COUNT)
    log_odds = 1.1 * (3.4 - customers.satisfaction) + 0.9 * (1.5 - np.minimum(recent, 6))
    score = np.round(1.0 / (1.0 + np.exp(-log_odds - rng.normal(0, 0.6, CUSTOMER_COUNT))), 4)
    scored = np.flatnonzero(rng.random(CUSTOMER_COUNT) < 0.97)
    return pa.table({"customer_id": customer_ids(scored), "score": score[scored]})


def numbered(prefix: str, numbers: Ints, digits: int) -> Texts:
    """Return ids such as C00001 for the number 0."""
    return np.char.add(prefix, np.char.zfill((numbers + 1).astype(str), digits))


def customer_ids(numbers: Ints) -> Texts:
    """Return the customers' ids."""
    return numbered("C", numbers, 5)


def product_ids(numbers: Ints) -> Texts:
    """Return the products' ids."""
    return numbered("P", numbers, 3)


def store_ids(numbers: Ints) -> Texts:
    """Return the stores' ids."""
    return numbered("S", numbers, 2)


def dates(days: Ints, missing: Bools | None = None) -> pa.Array:
    """Return days since 1970-01-01 as dates."""
    return pa.array(days.astype("datetime64[D]"), mask=missing)


def instants(seconds: Ints) -> pa.Array:
    """Return seconds since 1970-01-01 UTC as timestamps."""
    return pa.array(seconds * 1_000_000, type=pa.timestamp("us", tz="UTC"))


def money(cents: Ints, missing: Bools | None = None, digits: int = 12) -> pa.Array:
    """Return cents as exact decimals with two places."""
    return pa.array(cents / 100, mask=missing).cast(pa.decimal128(digits, 2))
