"""Paths and look-ups on real tables: every way rows can reach a profile, against loops in plain Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from workspace import Workspace

from segengine.engine.session import EngineSession
from segengine.errors import DataContractError

PROJECT = """
project: paths
tables:
  customers: {path: data/customers, key: customer_id}
  cards: {path: data/cards, key: card_id}
  stores: {path: data/stores, key: store_id}
  regions: {path: data/regions, key: region_id}
  countries: {path: data/countries, key: country_id}
  purchases: {path: data/purchases, key: purchase_id}
  baskets: {path: data/baskets, key: [day, number]}
  lines: {path: data/lines, key: line_id}
  products:
    path: data/products
    key: [brand, code]
    columns: {code: {from: article}}
  groups: {path: data/groups, key: group_id}
  memberships: {path: data/memberships, key: [group_id, member_id]}
relationships:
  - {from: customers.referred_by_id, to: customers, name: referred_by}
  - {from: customers.home_store_id, to: stores, name: home_store}
  - {from: cards.customer_id, to: customers, one_to_one: true}
  - stores.region_id -> regions
  - regions.country_id -> countries
  - {from: purchases.buyer_id, to: customers, name: buyer}
  - {from: purchases.receiver_id, to: customers, name: receiver}
  - purchases.store_id -> stores
  - {from: "purchases.[brand, code]", to: products, name: product}
  - baskets.customer_id -> customers
  - {from: "lines.[day, number]", to: baskets, name: basket}
  - {from: "lines.[brand, code]", to: products, name: product}
  - memberships.group_id -> groups
  - {from: memberships.member_id, to: customers, name: member}
audiences: {customer: {table: customers}}
"""

Row = dict[str, Any]
Tables = dict[str, list[Row]]
SCHEMAS = {
    "customers": {"customer_id": pa.int64(), "state": pa.string(), "referred_by_id": pa.int64()}
    | {"home_store_id": pa.string()},
    "cards": {"card_id": pa.int64(), "customer_id": pa.int64(), "level": pa.string()},
    "stores": {"store_id": pa.string(), "city": pa.string(), "region_id": pa.int64()},
    "regions": {"region_id": pa.int64(), "country_id": pa.string()},
    "countries": {"country_id": pa.string(), "name": pa.string()},
    "purchases": {"purchase_id": pa.int64(), "buyer_id": pa.int64(), "receiver_id": pa.int64()}
    | {"store_id": pa.string(), "brand": pa.string(), "code": pa.int64(), "amount": pa.int64()},
    "baskets": {"day": pa.string(), "number": pa.int64(), "customer_id": pa.int64(), "channel": pa.string()},
    "lines": {"line_id": pa.int64(), "day": pa.string(), "number": pa.int32(), "brand": pa.string()}
    | {"code": pa.int64(), "quantity": pa.int64()},
    "products": {"brand": pa.string(), "article": pa.int64(), "category": pa.string()},
    "groups": {"group_id": pa.int64(), "kind": pa.string()},
    "memberships": {"group_id": pa.int64(), "member_id": pa.string(), "role": pa.string()},
}


def make_tables() -> Tables:
    """Return rows whose ids are often missing, empty or unknown."""
    draw = random.Random(5)
    customers = list(range(1, 46))
    stores = ["s1", "s2", "s3", "s4", "S1", "1"]
    some_customer: list[Any] = [*customers, None, 0, 999]
    some_store: list[Any] = [*stores, None, "", "s9"]

    def product() -> Row:
        return {"brand": draw.choice(["a", "b", None, ""]), "code": draw.choice([1, 2, 3, None])}

    def customer(number: int) -> Row:
        # 21 to 45 are a chain; the others were referred by few, so that some referred several.
        referrer = number + 1 if number > 20 else draw.choice([1, 1, 2, 3, 40, None, 999])
        return {
            "customer_id": number,
            "state": draw.choice(["CA", "NV", None, ""]),
            "referred_by_id": referrer,
            "home_store_id": draw.choice(some_store),
        }

    memberships = {(draw.choice([1, 2, 3, 4, 9]), draw.choice(some_customer)) for _ in range(120)}
    return {
        "customers": [customer(number) for number in customers],
        "cards": [
            {"card_id": 100 + number, "customer_id": number, "level": draw.choice(["gold", "blue"])}
            for number in customers[::2]
        ],
        "stores": [
            {"store_id": s, "city": f"city {s}", "region_id": region}
            for s, region in zip(stores, [1, 2, 1, None, 7, 1], strict=True)
        ],
        "regions": [{"region_id": 1, "country_id": "DE"}, {"region_id": 2, "country_id": "??"}],
        "countries": [{"country_id": "DE", "name": "Germany"}, {"country_id": "", "name": "nowhere"}],
        "purchases": [
            {
                "purchase_id": number,
                "buyer_id": draw.choice(some_customer),
                "receiver_id": draw.choice(some_customer),
                "store_id": draw.choice(some_store),
                "amount": draw.randrange(100),
                **product(),
            }
            for number in range(150)
        ],
        "baskets": [
            {"day": day, "number": number, "customer_id": draw.choice(some_customer), "channel": draw.choice("wsx")}
            for day in ("mon", "tue", "")
            for number in range(10)
        ],
        "lines": [
            {
                "line_id": number,
                "day": draw.choice(["mon", "tue", "wed", "", None]),
                "number": draw.choice([*range(11), None]),
                "quantity": draw.randrange(5),
                **product(),
            }
            for number in range(400)
        ],
        "products": [
            {"brand": brand, "article": code, "category": f"{brand}{code}"}
            for brand in ("a", "b", "")
            for code in (1, 2)
        ],
        "groups": [{"group_id": number, "kind": "club" if number % 2 else "team"} for number in range(1, 6)],
        "memberships": [
            {
                "group_id": group,
                "member_id": None if member is None else str(member) if member else "",
                "role": draw.choice(["host", "guest"]),
            }
            for group, member in sorted(memberships, key=repr)
        ],
    }


# ---- the same in plain Python


@dataclass(frozen=True)
class Step:
    """A hop: columns of the row that stand for columns of a table's row; `many`: to every such row."""

    columns: tuple[str, ...]
    table: str
    keys: tuple[str, ...]
    many: bool = False


REFERRED_BY = Step(("referred_by_id",), "customers", ("customer_id",))
HOME_STORE = Step(("home_store_id",), "stores", ("store_id",))
BUYER = Step(("buyer_id",), "customers", ("customer_id",))
RECEIVER = Step(("receiver_id",), "customers", ("customer_id",))
STORE = Step(("store_id",), "stores", ("store_id",))
REGION = Step(("region_id",), "regions", ("region_id",))
COUNTRY = Step(("country_id",), "countries", ("country_id",))
PRODUCT = Step(("brand", "code"), "products", ("brand", "article"))
BASKET = Step(("day", "number"), "baskets", ("day", "number"))
CUSTOMER = Step(("customer_id",), "customers", ("customer_id",))
MEMBER = Step(("member_id",), "customers", ("customer_id",))
CARD = Step(("customer_id",), "cards", ("customer_id",))
RESIDENTS = Step(("store_id",), "customers", ("home_store_id",), many=True)
REGION_STORES = Step(("region_id",), "stores", ("region_id",), many=True)
REFERRED = Step(("customer_id",), "customers", ("referred_by_id",), many=True)
GROUP_MEMBERS = Step(("group_id",), "memberships", ("group_id",), many=True)


class Plain:
    """Nested loops over the tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.ids = [str(row["customer_id"]) for row in tables["customers"]]
        self.scanned: dict[str, tuple[int, int]] = {}

    def step(self, row: Row, step: Step) -> list[Row]:
        wanted = tuple(text(row[name]) for name in step.columns)
        if None in wanted:
            return []
        found = [o for o in self.tables[step.table] if tuple(text(o[name]) for name in step.keys) == wanted]
        assert step.many or len(found) <= 1
        return found

    def look_up(self, row: Row, *steps: Step) -> Row:
        """Return the row at the end of look-ups; without a match every value is missing."""
        for step in steps:
            found = self.step(row, step)
            if not found:
                return dict.fromkeys([name for columns in SCHEMAS.values() for name in columns])
            (row,) = found
        return row

    def rows(self, over: str, *steps: Step) -> list[list[Row]]:
        """Return every joined row as the rows it is made of, the profile last; broken ones are left out."""
        ways = [[row] for row in self.tables[over]]
        for step in steps:
            ways = [[*way, following] for way in ways for following in self.step(way[-1], step)]
        return ways

    def count(self, over: str, steps: Iterable[Step], holds: Callable[[list[Row]], bool] = lambda way: True) -> Counter:
        """Return how many joined rows of each profile satisfy."""
        return Counter(str(way[-1]["customer_id"]) for way in self.rows(over, *steps) if holds(way))

    def at_least(self, count: int, over: str, steps: Iterable[Step], holds: Callable[[list[Row]], bool]) -> list[str]:
        counted = self.count(over, steps, holds)
        return [name for name in self.ids if counted[name] >= count]


def text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


Expected = Callable[[Plain], list[str]]
RULES: dict[str, tuple[str, Expected]] = {
    "bought": (
        "{over: purchases, via: [buyer], where: {amount: {at_least: 70}}}",
        lambda p: p.at_least(1, "purchases", [BUYER], lambda way: way[0]["amount"] >= 70),
    ),
    "received": (
        "{over: purchases, via: [receiver], rows: {at_least: 2}, where: {amount: {at_least: 50}}}",
        lambda p: p.at_least(2, "purchases", [RECEIVER], lambda way: way[0]["amount"] >= 50),
    ),
    "gave to others": (  # both paths of one table: the other one's customer is a look-up
        "{over: purchases, via: [buyer], where: {all: [{receiver.state: CA}, {buyer.state: NV}]}}",
        lambda p: p.at_least(
            1,
            "purchases",
            [BUYER],
            lambda way: p.look_up(way[0], RECEIVER)["state"] == "CA" and way[1]["state"] == "NV",
        ),
    ),
    "referred three": (
        "{over: customers, via: [referred_by], rows: {at_least: 3}}",
        lambda p: p.at_least(3, "customers", [REFERRED_BY], lambda way: True),
    ),
    "referred from nevada": (  # the row is who was referred, the profile at the end of the path who referred
        "{over: customers, via: [referred_by], where: {all: [{state: NV}, {referred_by.state: {empty: true}}]}}",
        lambda p: p.at_least(
            1, "customers", [REFERRED_BY], lambda way: way[0]["state"] == "NV" and not way[1]["state"]
        ),
    ),
    "referred at second hand": (
        "{over: customers, via: [referred_by, referred_by], where: {referred_by.state: CA}}",
        lambda p: p.at_least(1, "customers", [REFERRED_BY, REFERRED_BY], lambda way: way[1]["state"] == "CA"),
    ),
    "received by somebody they referred": (  # one table twice on a path
        "{over: purchases, via: [receiver, referred_by], where: {store.city: city s1}}",
        lambda p: p.at_least(
            1, "purchases", [RECEIVER, REFERRED_BY], lambda way: p.look_up(way[0], STORE)["city"] == "city s1"
        ),
    ),
    "host of a club": (
        "{over: groups, via: [{back: memberships.group}, member], rows: {at_least: 2},"
        " where: {all: [{kind: club}, {memberships.role: host}]}}",
        lambda p: p.at_least(
            2,
            "groups",
            [GROUP_MEMBERS, MEMBER],
            lambda way: way[0]["kind"] == "club" and way[1]["role"] == "host",
        ),
    ),
    "no guest": (
        "{over: groups, via: [{back: memberships.group}, member], rows: none, where: {memberships.role: guest}}",
        lambda p: [
            name
            for name in p.ids
            if not p.count("groups", [GROUP_MEMBERS, MEMBER], lambda way: way[1]["role"] == "guest")[name]
        ],
    ),
    "host with another in the group": (  # memberships of a group, seen from another membership of it
        "{over: memberships, via: [group, {back: memberships.group}, member], rows: {at_least: 3},"
        " where: {all: [{role: guest}, {group.memberships.role: host}]}}",
        lambda p: p.at_least(
            3,
            "memberships",
            [Step(("group_id",), "groups", ("group_id",)), GROUP_MEMBERS, MEMBER],
            lambda way: way[0]["role"] == "guest" and way[2]["role"] == "host",
        ),
    ),
    "neighbours from california": (
        "{over: customers, via: [home_store, {back: customers.home_store}], rows: {at_least: 2}, where: {state: CA}}",
        lambda p: p.at_least(2, "customers", [HOME_STORE, RESIDENTS], lambda way: way[0]["state"] == "CA"),
    ),
    "californians with neighbours": (
        "{over: customers, via: [home_store, {back: customers.home_store}], rows: {at_least: 5},"
        " where: {home_store.customers.state: CA}}",
        lambda p: p.at_least(5, "customers", [HOME_STORE, RESIDENTS], lambda way: way[2]["state"] == "CA"),
    ),
    "bought where they live": (
        "{over: purchases, via: [store, {back: customers.home_store}], rows: {exactly: 5},"
        " among: {amount: {at_least: 60}}, where: {store.region.country.name: Germany}}",
        lambda p: [
            name
            for name in p.ids
            if p.count(
                "purchases",
                [STORE, RESIDENTS],
                lambda way: way[0]["amount"] >= 60 and p.look_up(way[1], REGION, COUNTRY)["name"] == "Germany",
            )[name]
            == 5
        ],
    ),
    "much is bought where they live": (  # each purchase counts once for each who lives there
        "{over: purchases, via: [store, {back: customers.home_store}], sum: {amount: {at_least: 500}},"
        " average: {amount: {less_than: 46}}}",
        lambda p: [
            name
            for name in p.ids
            if (
                amounts := [
                    way[0]["amount"]
                    for way in p.rows("purchases", STORE, RESIDENTS)
                    if str(way[-1]["customer_id"]) == name
                ]
            )
            and sum(amounts) >= 500
            and sum(amounts) < 46 * len(amounts)
        ],
    ),
    "lives in a region": (  # two hops from one to many
        "{over: regions, via: [{back: stores.region}, {back: customers.home_store}],"
        " where: {stores.city: {not: city s2}}}",
        lambda p: p.at_least(1, "regions", [REGION_STORES, RESIDENTS], lambda way: way[1]["city"] != "city s2"),
    ),
    "was referred by someone": (
        "{over: customers, via: {back: customers.referred_by}, where: {customers.home_store.city: city s1}}",
        lambda p: p.at_least(
            1, "customers", [REFERRED], lambda way: p.look_up(way[1], HOME_STORE)["city"] == "city s1"
        ),
    ),
    "bought in a basket": (
        "{over: lines, rows: {at_least: 2}, where: {all: [{basket.channel: [w, s]}, {product.category: [a1, b2]}]}}",
        lambda p: p.at_least(
            2,
            "lines",
            [BASKET, CUSTOMER],
            lambda way: way[1]["channel"] in "ws" and p.look_up(way[0], PRODUCT)["category"] in ("a1", "b2"),
        ),
    ),
    "only known products": (
        "{over: lines, rows: all, among: {quantity: 4}, where: {product.category: {empty: false}}}",
        lambda p: [
            name
            for name in p.ids
            if (
                known := [
                    bool(p.look_up(way[0], PRODUCT)["category"])
                    for way in p.rows("lines", BASKET, CUSTOMER)
                    if str(way[-1]["customer_id"]) == name and way[0]["quantity"] == 4
                ]
            )
            and all(known)
        ],
    ),
    "bought an unknown product": (  # without a match the row stays
        "{over: purchases, via: [buyer], where: {all: [{product.category: {empty: true}},"
        " {store.region.country.name: {empty: true}}]}}",
        lambda p: p.at_least(
            1,
            "purchases",
            [BUYER],
            lambda way: (
                not p.look_up(way[0], PRODUCT)["category"] and not p.look_up(way[0], STORE, REGION, COUNTRY)["name"]
            ),
        ),
    ),
    "gold by way of the card": (  # one-to-one links in both directions
        "{over: purchases, via: [buyer, cards, customer], where: {buyer.cards.level: gold}}",
        lambda p: p.at_least(1, "purchases", [BUYER, CARD, CUSTOMER], lambda way: way[2]["level"] == "gold"),
    ),
    "referred by a card holder": (
        "{where: {any: [{referred_by.cards.level: blue}, {referred_by.referred_by.home_store.city: city s3}]}}",
        lambda p: [
            str(row["customer_id"])
            for row in p.tables["customers"]
            if p.look_up(row, REFERRED_BY, CARD)["level"] == "blue"
            or p.look_up(row, REFERRED_BY, REFERRED_BY, HOME_STORE)["city"] == "city s3"
        ],
    ),
    "twenty hops down": (
        "{over: customers, via: [" + ", ".join(["referred_by"] * 20) + "]}",
        lambda p: p.at_least(1, "customers", [REFERRED_BY] * 20, lambda way: True),
    ),
    "twenty hops up": (
        "{where: {" + "referred_by." * 20 + "customer_id: {at_least: 43}}}",
        lambda p: [
            str(row["customer_id"])
            for row in p.tables["customers"]
            if (p.look_up(row, *[REFERRED_BY] * 20)["customer_id"] or 0) >= 43
        ],
    ),
}


def write_paths(workspace: Workspace, tables: Tables) -> None:
    workspace.write_project(PROJECT)
    for name, rows in tables.items():
        columns = {column: pa.array([row[column] for row in rows], type_) for column, type_ in SCHEMAS[name].items()}
        workspace.write_table(name, columns)


def test_every_path_reaches_whom_plain_loops_reach(engine: EngineSession, tmp_path: Path) -> None:
    tables = make_tables()
    workspace = Workspace(tmp_path, engine)
    write_paths(workspace, tables)
    workspace.define(
        "---\n".join(f"kind: segment\nname: {name}\nrules: [{rule}]\n" for name, (rule, _) in RULES.items())
    )
    workspace.pull()
    workspace.apply()

    report = workspace.refresh()

    plain = Plain(tables)
    members = {name.replace("_", " "): found for name, found in workspace.published().members().items()}
    expected = {name: sorted(expected(plain)) for name, (_, expected) in RULES.items()}
    assert {name: members[name] for name in RULES} == expected
    assert {name: len(found) for name, found in expected.items() if not 0 < len(found) < len(plain.ids)} == {}
    counts = {scan.name: (scan.row_count, scan.orphan_count) for scan in report.scans}
    for path, over, steps in (
        ("purchases > store < customers.home_store", "purchases", [STORE, RESIDENTS]),
        ("groups < memberships.group > member", "groups", [GROUP_MEMBERS, MEMBER]),
        ("lines > basket > customer", "lines", [BASKET, CUSTOMER]),
    ):
        rows, broken = counts[path]
        assert rows - broken == len(plain.rows(over, *steps))
        assert broken == rows - sum(plain.count(over, steps).values()) > 0


@pytest.mark.before_the_engine
def test_the_one_side_of_a_hop_back_must_be_one(engine: EngineSession, tmp_path: Path) -> None:
    tables = make_tables()
    tables["stores"] += tables["stores"][:2]
    workspace = Workspace(tmp_path, engine)
    write_paths(workspace, tables)
    workspace.define("kind: segment\nname: A\nrules: [{over: stores, via: [{back: customers.home_store}]}]\n")
    workspace.pull()
    workspace.apply()

    with pytest.raises(DataContractError, match=r'table "stores" has 2 duplicate key\(s\) in store_id'):
        workspace.refresh()
