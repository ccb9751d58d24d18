"""Who Contoso's customers are and what they buy, drawn as numpy arrays; the planted dependencies are here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from segengine.demo.contoso_catalogue import (
    CATEGORIES,
    CATEGORY_WEIGHTS,
    OCCUPATIONS,
    PLACES,
    PRODUCTS,
    STORES,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CUSTOMER_COUNT: Final = 5_000
PURCHASE_COUNT: Final = 60_000
ZONE: Final = ZoneInfo("America/Los_Angeles")
FIRST_DATE: Final = "2024-07-01"
LAST_DATE: Final = "2026-06-30"
DAY_COUNT: Final = 730  # from the first to the last
DAY_SECONDS: Final = 86_400
OFFICE_SEED: Final = 20260702


@dataclass(frozen=True)
class Customers:
    """The customers as arrays, with what only the generator knows of them."""

    since: Ints  # days since 1970-01-01
    place: Ints
    born: Ints  # days since 1970-01-01
    occupation: Ints  # -1: missing
    tier: Ints  # 0 High, 1 Medium, 2 Low, -1 missing
    home_store: Ints  # -1: none
    satisfaction: Floats  # 1 to 5, known for everybody here; the table has gaps
    stopped: Ints  # number of the day in the two years after which nothing is bought


@dataclass(frozen=True)
class Purchases:
    """The purchases as arrays, in the order of their time."""

    customer: Ints
    product: Ints
    store: Ints  # -1: web
    day: Ints  # 0 is FIRST_DAY
    second: Ints  # UTC, since 1970-01-01
    quantity: Ints
    unit_price: Ints  # cents


def draw_customers(rng: np.random.Generator) -> Customers:
    """Return customers in the order in which they joined, from 2021 to June 2026."""
    n = CUSTOMER_COUNT
    joined_from, joined_to = day_number("2021-01-01"), day_number("2026-06-25")
    since = np.sort(joined_from + np.floor((joined_to - joined_from) * rng.random(n) ** 0.8).astype(np.int64))
    weights = np.array([place.weight for place in PLACES])
    place = rng.choice(len(PLACES), n, p=weights / weights.sum())
    grown_up = 18.0 + (joined_to - since) / 365.25  # at least 18 when they joined
    age = np.clip(rng.gamma(6.0, 4.2, n) + 17.0, grown_up, 88.0)
    shares = np.array([share for share, _ in OCCUPATIONS.values()])
    occupation = rng.choice(len(OCCUPATIONS), n, p=shares / shares.sum())
    names = list(OCCUPATIONS)
    occupation = np.where((age > 66) & (rng.random(n) < 0.8), names.index("Retired"), occupation)
    occupation = np.where((age < 23) & (rng.random(n) < 0.6), names.index("Student"), occupation)
    home_store = draw_home_stores(place, rng)
    service = np.append([store.service for store in STORES], 0.0)[home_store]
    satisfaction = np.clip(np.round(2 * (3.6 + service + rng.normal(0, 0.75, n))) / 2, 1.0, 5.0)
    stops = rng.random(n) < np.clip(0.25 + 0.15 * (3.5 - satisfaction), 0.03, 0.7)
    return Customers(
        since=since,
        place=place,
        born=day_number(LAST_DATE) - np.floor(age * 365.25).astype(np.int64),
        occupation=np.where(rng.random(n) < 0.06, -1, occupation),
        tier=rng.choice([0, 1, 2, -1], n, p=[0.15, 0.30, 0.40, 0.15]),
        home_store=home_store,
        satisfaction=satisfaction,
        stopped=np.where(stops, rng.integers(60, DAY_COUNT, n), DAY_COUNT),
    )


def draw_home_stores(place: Ints, rng: np.random.Generator) -> Ints:
    """Return for each customer a store of the own city, -1 for one in ten and where the city has none."""
    home_store = np.full(len(place), -1, dtype=np.int64)
    for number, where in enumerate(PLACES):
        stores = [i for i, store in enumerate(STORES) if store.city == where.city]
        if stores:
            here = np.flatnonzero(place == number)
            home_store[here] = rng.choice(stores, len(here))
    return np.where(rng.random(len(place)) < 0.1, -1, home_store)


def draw_purchases(customers: Customers, rng: np.random.Generator) -> Purchases:
    """Return the purchases of the two years."""
    by_day = np.append(0.0, np.cumsum(day_weights()))
    by_day /= by_day[-1]
    first = np.clip(customers.since - day_number(FIRST_DATE), 0, DAY_COUNT - 1)
    start, end = by_day[first], by_day[np.maximum(customers.stopped, first + 1)]
    rate = rng.gamma(0.9, 1.0, CUSTOMER_COUNT) * np.array([2.2, 1.2, 0.8, 0.7])[customers.tier]
    weight = rate * np.exp(0.15 * (customers.satisfaction - 3.5)) * (end - start)
    customer = rng.choice(CUSTOMER_COUNT, PURCHASE_COUNT, p=weight / weight.sum())
    moment = start[customer] + (end - start)[customer] * rng.random(PURCHASE_COUNT)
    day = np.clip(np.searchsorted(by_day, moment, side="right") - 1, 0, DAY_COUNT - 1)
    second_of_day = np.floor((6.0 + 15.0 * rng.beta(1.6, 2.4, PURCHASE_COUNT)) * 3600).astype(np.int64)
    second = local_seconds(day, second_of_day)
    order = np.argsort(second, kind="stable")
    customer, day, second = customer[order], day[order], second[order]
    web = draw_web(customers, rng)[customer] > rng.random(PURCHASE_COUNT)
    product = draw_products(customers, customer, day, web, rng)
    return Purchases(
        customer=customer,
        product=product,
        store=np.where(web, -1, draw_stores(customers, customer, rng)),
        day=day,
        second=second,
        quantity=draw_quantities(customers, customer, product, rng),
        unit_price=draw_prices(product, day, web, rng),
    )


def day_weights() -> Floats:
    """Return the weight of each day: growth, December, summer, Saturdays."""
    days = np.arange(DAY_COUNT)
    dates = np.datetime64(FIRST_DATE) + days
    month = dates.astype("datetime64[M]").astype(np.int64) % 12
    weekday = (dates.astype(np.int64) + 3) % 7  # 1 January 1970 was a Thursday
    season = np.array([0.95, 0.95, 1.0, 1.0, 1.05, 1.1, 1.1, 1.05, 1.0, 1.0, 1.1, 1.4])[month]
    growth: Floats = np.power(1.25, days / 365.0)
    weights: Floats = growth * season * np.where(weekday == 5, 1.35, np.where(weekday == 6, 1.15, 1.0))
    return weights


def draw_web(customers: Customers, rng: np.random.Generator) -> Floats:
    """Return each customer's share of purchases on the web, 1 where the state has no store."""
    with_store = {place.state for place in PLACES for store in STORES if store.city == place.city}
    states = np.array([place.state for place in PLACES])[customers.place]
    taste = rng.normal(-1.5, 1.7, CUSTOMER_COUNT)
    taste += 1.0 * (states == "California") + 0.9 * (customers.tier == 0) + 0.6 * is_young(customers)
    return np.where(np.isin(states, list(with_store)), 1.0 / (1.0 + np.exp(-taste)), 1.0)


def draw_stores(customers: Customers, customer: Ints, rng: np.random.Generator) -> Ints:
    """Return a store for each purchase: mostly the home store, otherwise one of the same state."""
    state_of = {place.city: place.state for place in PLACES}
    chosen = customers.home_store[customer].copy()
    elsewhere = (chosen < 0) | (rng.random(len(customer)) < 0.15)
    states = np.array([place.state for place in PLACES])[customers.place][customer]
    for state in sorted(set(state_of.values())):
        stores = [i for i, store in enumerate(STORES) if state_of[store.city] == state]
        rows = np.flatnonzero(elsewhere & (states == state))
        if stores:
            chosen[rows] = rng.choice(stores, len(rows))
    return chosen


def draw_products(customers: Customers, customer: Ints, day: Ints, web: Bools, rng: np.random.Generator) -> Ints:
    """Return the product of each purchase, by who buys when and where."""
    weights = np.tile(np.array(CATEGORY_WEIGHTS), (len(customer), 1))
    month = (np.datetime64(FIRST_DATE) + day).astype("datetime64[M]").astype(np.int64) % 12 + 1
    young = is_young(customers)[customer]
    old = (customers.born < day_number("1971-07-01"))[customer]
    engineer = (customers.occupation == list(OCCUPATIONS).index("Engineer"))[customer]
    summer = (month >= 6) & (month <= 8)
    column = {name: number for number, name in enumerate(CATEGORIES)}
    weights[:, column["Cold brew"]] *= np.where(summer, np.where(young, 5.0, 2.0), np.where(young, 1.2, 0.6))
    weights[:, column["Machines"]] *= np.where(engineer, 4.0, 1.0)
    weights[:, column["Filter coffee"]] *= np.where(old, 1.8, 1.0)
    for name in ("Beans", "Machines", "Accessories"):
        weights[:, column[name]] *= np.where(web, 3.0, 0.6)
    weights[:, column["Pastries"]] *= np.where(web, 0.2, 1.0)
    running = np.cumsum(weights, axis=1)
    category = (running < (running[:, -1] * rng.random(len(customer)))[:, None]).sum(axis=1)
    product = np.empty(len(customer), dtype=np.int64)
    for number, name in enumerate(CATEGORIES):
        rows = np.flatnonzero(category == number)
        choices = products_of(name)
        popularity = 1.0 / np.arange(1, len(choices) + 1) ** 0.6
        product[rows] = rng.choice(choices, len(rows), p=popularity / popularity.sum())
    return product


def draw_quantities(customers: Customers, customer: Ints, product: Ints, rng: np.random.Generator) -> Ints:
    """Return how many of the product each purchase is of: one or two, or as many as an office needs."""
    own = np.random.default_rng(OFFICE_SEED)  # who buys for an office changes no other draw
    names = list(OCCUPATIONS)
    working = np.isin(customers.occupation, [names.index("Manager"), names.index("Office worker")])
    for_office = working & (own.random(CUSTOMER_COUNT) < 0.25)
    colleagues = own.integers(10, 41, CUSTOMER_COUNT)
    machine = np.isin(product, products_of("Machines"))
    shared = for_office[customer] & ~machine & (own.random(len(customer)) < 0.8)
    return np.where(shared, colleagues[customer], 1 + rng.poisson(np.where(machine, 0.02, 0.45)))


def draw_prices(product: Ints, day: Ints, web: Bools, rng: np.random.Generator) -> Ints:
    """Return unit prices in cents: list price, 4 % more from January 2026, web offers of 5 % off."""
    percent = np.where(np.datetime64(FIRST_DATE) + day >= np.datetime64("2026-01-01"), 104, 100)
    percent = percent - np.where(web & (rng.random(len(product)) < 0.2), 5, 0)
    return np.array([item.price for item in PRODUCTS])[product] * percent // 100


def day_number(date: str) -> int:
    """Return the days from 1970-01-01 to an ISO date."""
    return int(np.datetime64(date, "D").astype(np.int64))


def local_seconds(days: Ints, second_of_day: Ints) -> Ints:
    """Return instants, in seconds since 1970-01-01 UTC, for days and local times between 6 and 21 o'clock.

    The clock changes at 2 in the morning, so noon tells the offset of all these hours.
    """
    start = datetime.fromisoformat(f"{FIRST_DATE}T12:00:00")
    noons = [(start + timedelta(days=day)).replace(tzinfo=ZONE) for day in range(DAY_COUNT)]
    midnights = np.array([int(noon.timestamp()) for noon in noons]) - DAY_SECONDS // 2
    return midnights[days] + second_of_day


def is_young(customers: Customers) -> Bools:
    """Return who is under 35 at the end of the two years."""
    return customers.born > day_number("1991-06-30")


def products_of(category: str) -> Ints:
    """Return the numbers of the category's products."""
    return np.flatnonzero([product.category == category for product in PRODUCTS])
