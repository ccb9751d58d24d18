"""Random rows and random definitions over one fixed project, for comparing the kernel with the reference."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from reference import Link, World

ZONES = ("America/Los_Angeles", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "UTC")
PROJECT = """
project: random
time_zone: {zone}
tables:
  customers:
    path: c
    key: customer_id
    columns: {{local_at: {{zone: Australia/Lord_Howe}}}}
  churn: {{path: h, key: customer_id}}
  stores: {{path: s, key: store_id}}
  products: {{path: p, key: [brand, code]}}
  purchases: {{path: u, key: purchase_id}}
  cards: {{path: d, key: card_id}}
  swipes: {{path: w, key: swipe_id}}
relationships:
  - {{from: customers.home_store_id, to: stores, name: home_store}}
  - {{from: customers.referred_by_id, to: customers, name: referred_by}}
  - {{from: churn.customer_id, to: customers, one_to_one: true}}
  - purchases.customer_id -> customers
  - purchases.store_id -> stores
  - {{from: "purchases.[brand, code]", to: products, name: product}}
  - cards.customer_id -> customers
  - swipes.card_id -> cards
audiences: {{customer: {{table: customers}}}}
"""
TYPES = {
    "customers": {
        "customer_id": "integer",
        "name": "text",
        "income": "decimal(12,2)",
        "wealth": "decimal(38,0)",
        "score": "double",
        "ratio": "float",
        "visits": "integer",
        "active": "boolean",
        "born": "date",
        "seen_at": "timestamp",
        "local_at": "timestamp_ntz Australia/Lord_Howe",
        "naive_at": "timestamp_ntz",
        "home_store_id": "text",
        "referred_by_id": "integer",
    },
    "churn": {"customer_id": "integer", "risk": "double", "level": "text"},
    "stores": {"store_id": "text", "city": "text", "size": "integer"},
    "products": {"brand": "text", "code": "integer", "category": "text", "price": "decimal(38,6)"},
    "purchases": {
        "purchase_id": "integer",
        "customer_id": "integer",
        "store_id": "text",
        "brand": "text",
        "code": "integer",
        "amount": "decimal(12,2)",
        "quantity": "integer",
        "channel": "text",
        "bought_at": "timestamp",
        "returned": "boolean",
        "day": "date",
    },
    "cards": {"card_id": "integer", "customer_id": "integer", "brand": "text"},
    "swipes": {"swipe_id": "integer", "card_id": "integer", "weight": "float", "place": "text"},
}
LINKS = {
    "customers": {
        "home_store": Link(("home_store_id",), "stores", ("store_id",)),
        "referred_by": Link(("referred_by_id",), "customers", ("customer_id",)),
        "churn": Link(("customer_id",), "churn", ("customer_id",), onward=False),
    },
    "churn": {"customer": Link(("customer_id",), "customers", ("customer_id",))},
    "purchases": {
        "customer": Link(("customer_id",), "customers", ("customer_id",)),
        "store": Link(("store_id",), "stores", ("store_id",)),
        "product": Link(("brand", "code"), "products", ("brand", "code")),
    },
    "cards": {"customer": Link(("customer_id",), "customers", ("customer_id",))},
    "swipes": {"card": Link(("card_id",), "cards", ("card_id",))},
}
# Attributes by the table a rule stands on.
ATTRIBUTES = {
    "customers": [
        *[name for name in TYPES["customers"] if not name.endswith("_id")],
        *("home_store.city", "home_store.size", "referred_by.name", "referred_by.home_store.city"),
        *("churn.risk", "churn.level", "referred_by.churn.risk"),
    ],
    "purchases": [
        *("amount", "quantity", "channel", "bought_at", "returned", "day", "brand", "store.city", "store.size"),
        *("product.category", "product.price", "customer.name", "customer.score", "customer.churn.level"),
    ],
    "swipes": ["weight", "place", "card.brand", "card.customer.visits"],
    "cards": ["brand", "customer.active"],
}
TEXTS = (
    *("a", "A", "ab", "istanbul", "İstanbul", "ISTANBUL", "ß", "ss", "SS", "ẞ", "😀", "😀a", "ſ", "%", "a.b", "NULL"),
    *("San José", "San Jose\u0301", "san", " ", "x\ny", "null", "true", "1", "01", "Σ", "ς", "e\u0301"),
)
PATTERNS = ("^a", "a$", "[0-9]+", "san|ist", "😀", "^$", ".", r"\.", "a.b")
WHOLE = (0, 1, -1, 2, 3, 255, 256, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63 - 2)
DECIMALS = ("0", "1", "1.00", "0.01", "-0.01", "1.005", "0.1", "9999999999.99", "-9999999999.99", "3.14")
HUGE = ("0", "1", "-1", "9" * 38, "-" + "9" * 38, str(2**63), str(-(2**63)), str(2**64), str(2**63 - 1))
FLOATS = ("0", "-0.0", "0.1", "0.1000000001", "1e-46", "-1e-46", "1e30", "-2.5", "1", "16777217", "1.5", "3e38")
MOMENTS = (
    *("2018-11-04T00:30:00", "2018-11-04T02:59:59.999999", "2018-02-17T23:30:00", "2024-03-10T02:30:00"),
    *("2024-11-03T01:30:00", "2024-11-03T08:30:00Z", "2024-03-31T00:00:00", "2024-04-07T01:45:00"),
    *("2024-10-06T02:15:00", "2024-03-10T10:00:00Z", "1969-12-31T23:59:59.999999Z", "2024-02-29T12:00:00+05:30"),
)
DAYS = ("2018-11-04", "2018-11-03", "2018-02-18", "2024-03-31", "2024-03-10", "2024-11-03", "2024-02-29", "1969-12-31")


def random_value(choose: random.Random, type_: str) -> Any:
    """Return a value of a column, often missing, often near a literal."""
    if choose.random() < 0.2:
        return choose.choice([None, {"text": "", "double": float("nan"), "float": float("nan")}.get(type_)])
    if type_ == "text":
        return choose.choice(TEXTS)
    if type_ == "integer":
        return choose.choice(WHOLE)
    if type_ == "decimal(12,2)":
        return Decimal(choose.choice([text for text in DECIMALS if text != "1.005"])).quantize(Decimal("0.01"))
    if type_ == "decimal(38,6)":
        return Decimal(choose.choice(("0.000000", "1.005000", "0.100000", "9" * 32 + ".999999")))
    if type_ == "decimal(38,0)":
        return Decimal(choose.choice(HUGE))
    if type_ == "double":
        return float(choose.choice(FLOATS))
    if type_ == "float":
        return choose.choice((0.0, -0.0, 0.10000000149011612, 1.401298464324817e-45, -2.5, 1.0, 16777216.0, 1.5))
    if type_ == "boolean":
        return choose.random() < 0.5
    if type_ == "date":
        return date.fromisoformat(choose.choice(DAYS))
    moment = datetime.fromisoformat(choose.choice(MOMENTS)).replace(tzinfo=UTC)
    moment += timedelta(minutes=choose.choice((0, 0, 15, 60, 180, 420, 479, 480, 600, -60, -660)))
    return moment if type_ == "timestamp" else moment.replace(tzinfo=None)


def random_world(choose: random.Random, profile_count: int, row_count: int) -> World:
    """Return a world whose links are sometimes missing, unknown or broken."""
    ids = list(range(profile_count))
    rows: dict[str, list[dict[str, Any]]] = {}
    counts = {"customers": profile_count, "stores": 4, "products": 5, "cards": profile_count, "swipes": row_count}
    for table, types in TYPES.items():
        count = counts.get(table, row_count)
        rows[table] = [{name: random_value(choose, type_) for name, type_ in types.items()} for _ in range(count)]
    unknown = [None, -5, 10**6]
    for number, row in enumerate(rows["customers"]):
        row.update(customer_id=number, referred_by_id=choose.choice([*ids, *unknown]))
        row["home_store_id"] = choose.choice(["s0", "s1", "s2", "s3", "S1", "", None])
    rows["churn"] = [{**row, "customer_id": number} for number, row in enumerate(rows["churn"][: profile_count // 2])]
    for number, row in enumerate(rows["stores"]):
        row["store_id"] = f"s{number}"
    for number, row in enumerate(rows["products"]):
        row.update(brand="ab"[number % 2], code=number)
    for number, row in enumerate(rows["purchases"]):
        few = ids[: max(1, len(ids) // 2)]  # the other half has no rows
        row.update(purchase_id=number, customer_id=choose.choice([*few, *few, *unknown]))
        row.update(store_id=choose.choice(["s0", "s1", "s9", "", None]), brand=choose.choice(["a", "b", None]))
        row.update(code=choose.choice([0, 1, 2, 3, 4, None]), quantity=choose.choice([0, 1, 2, 3, None]))
    for number, row in enumerate(rows["cards"]):
        row.update(card_id=number, customer_id=choose.choice([*ids, *unknown]))
    for number, row in enumerate(rows["swipes"]):
        row.update(swipe_id=number, card_id=choose.choice([*ids, *unknown]))
    return World(choose.choice(ZONES), "customers", "customer_id", TYPES, LINKS, rows)


class RandomSegments:
    """Draws definitions as plain values; later ones may refer to earlier ones."""

    def __init__(self, choose: random.Random, parents: list[str]) -> None:
        self._choose = choose
        self._parents = parents

    def draw(self, name: str) -> dict[str, Any]:
        """Return one definition."""
        base: dict[str, Any] = {"kind": "segment", "name": name}
        if self._choose.random() < 0.3:
            return {**base, "where": self._where("customers", self._choose.choice([0, 1, 2, 3]))}
        return {**base, "rules": self._steps(depth=2)}

    def _steps(self, depth: int) -> list[dict[str, Any]]:
        first = self._rule(depth)
        more = self._choose.choice([0, 0, 1, 1, 2, 3])
        operators = ("union", "intersect", "except")
        return [first, *({self._choose.choice(operators): self._rule(depth)} for _ in range(more))]

    def _rule(self, depth: int) -> dict[str, Any]:
        draw = self._choose.random()
        if depth and draw < 0.15:
            return {"rules": self._steps(depth - 1)}
        if draw < 0.3:
            return {"where": "everyone" if draw < 0.17 else self._where("customers", self._choose.choice([0, 1, 2]))}
        over = self._choose.choice(["purchases", "purchases", "purchases", "cards", "swipes", "customers"])
        rule: dict[str, Any] = {"over": over}
        if over == "customers":
            rule["via"] = self._choose.choice([["referred_by"], ["referred_by", "referred_by"]])
        for part, share in (("among", 0.35), ("where", 0.9)):
            if self._choose.random() < share:
                rule[part] = self._where(over, self._choose.choice([0, 1, 2]), rows=True)
        quantifier = self._choose.choice(["", "any", "all", "none", "at_least", "at_most", "exactly"])
        if quantifier in ("at_least", "at_most", "exactly"):
            rule["rows"] = {quantifier: str(self._choose.choice([0, 1, 1, 2, 3, 5]))}
        elif quantifier and (quantifier != "all" or "where" in rule):
            rule["rows"] = quantifier
        return rule

    def _where(self, table: str, depth: int, rows: bool = False) -> dict[str, Any]:
        draw = self._choose.random()
        if depth and draw < 0.75:
            if draw < 0.12:
                return {"not": self._where(table, depth - 1, rows)}
            count = self._choose.choice([1, 2, 2, 3, 4])
            items = [self._where(table, depth - 1, rows) for _ in range(count)]
            return {self._choose.choice(["all", "any"]): items}
        if self._parents and not rows and draw > 0.9:
            return {"in_segment": self._choose.choice(self._parents)}
        name = self._choose.choice(ATTRIBUTES[table])
        return {name: self._wanted(type_of(table, name))}

    def _wanted(self, type_: str) -> Any:
        draw = self._choose.random()
        literal = self._literals(type_)
        if draw < 0.15:
            return self._choose.choice(["true", "false"]) if type_ == "boolean" else literal()
        if draw < 0.25 and not type_.startswith(("date", "time", "bool")):
            return [literal() for _ in range(self._choose.choice([1, 2, 4]))]
        return self._operator_map(type_, literal, depth=1)

    def _operator_map(self, type_: str, literal: Callable[[], str], depth: int) -> dict[str, Any]:
        wanted: dict[str, Any] = {}
        for _ in range(self._choose.choice([1, 1, 1, 2])):
            if depth and self._choose.random() < 0.25:
                nested = self._operator_map(type_, literal, depth - 1)
                plain = self._choose.choice(["true", "false"]) if type_ == "boolean" else literal()
                wanted["not"] = self._choose.choice([nested, plain])
            else:
                wanted |= self._operator(type_, literal)
        if self._choose.random() < 0.2:
            wanted["or_missing"] = "true"
        if type_ == "text" and self._choose.random() < 0.4:
            wanted["ignore_case"] = "true"
        return wanted

    def _operator(self, type_: str, literal: Callable[[], str]) -> dict[str, Any]:
        if self._choose.random() < 0.1:
            return {"empty": self._choose.choice(["true", "false"])}
        if type_ == "boolean":
            return {self._choose.choice(["is_true", "is_false"]): "true"}
        if type_ == "text":
            operator = self._choose.choice(["equals", "any_of", "begins_with", "ends_with", "contains", "matches"])
            if operator == "matches":
                return {operator: self._choose.choice(PATTERNS)}
            few = operator != "equals" and self._choose.random() < 0.5
            return {operator: [literal(), literal()] if few else literal()}
        if self._choose.random() < 0.2:
            return {"between": sorted([literal(), literal()], key=_sort_key(type_))}
        if type_.startswith(("date", "time")):
            operators = ["on_day", "before", "after", "on_or_before", "on_or_after"]
        else:
            operators = ["equals", "any_of", "greater_than", "at_least", "less_than", "at_most"]
        return {self._choose.choice(operators): literal()}

    def _literals(self, type_: str) -> Callable[[], str]:
        if type_ == "text":
            pool: tuple[str, ...] = TEXTS
        elif type_ == "date":
            pool = DAYS
        elif type_.startswith("timestamp"):
            pool = (*MOMENTS, *DAYS)
        elif type_ == "integer":
            pool = (*map(str, WHOLE), "1.5", "3.0", str(2**63), str(-(2**63) - 1), "1e2")
        elif type_ == "decimal(38,0)":
            pool = (*HUGE, "0.5")
        else:
            pool = FLOATS if type_ in ("double", "float") else (*DECIMALS, "1.005")
        return lambda: self._choose.choice(pool)


def type_of(table: str, name: str) -> str:
    *steps, column = name.split(".")
    for step in steps:
        table = LINKS[table][step].table
    return TYPES[table][column]


def _sort_key(type_: str) -> Callable[[str], Any]:
    if type_.startswith(("date", "time")):
        return lambda text: text[:10]
    return lambda text: Decimal(text)
