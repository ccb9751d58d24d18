"""What a segment of the benchmark is: one description, written as segengine's YAML and as SQL.

The SQL is standard enough for DuckDB and Spark, with the meaning segengine gives its conditions: a missing value
(NULL, NaN, empty text) satisfies no condition, under `not` neither; `all` is false for a profile without rows.
It is written from that meaning, not by segengine's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import yaml

Joiner = Literal["union", "intersect", "except"]
Quantifier = Literal["any", "none", "all", "at_least", "at_most", "exactly", "aggregate"]
Kind = Literal["text", "number", "float", "date", "timestamp", "boolean"]
Value = str | int | float | date

KINDS: dict[str, Kind] = {
    "state": "text",
    "occupation": "text",
    "loyalty_tier": "text",
    "email": "text",
    "email_subscriber": "boolean",
    "income": "number",
    "satisfaction": "float",
    "date_of_birth": "date",
    "reward_points": "number",
    "customer_since": "date",
    "product_id": "text",
    "channel": "text",
    "quantity": "number",
    "total_price": "number",
    "rating": "float",
    "purchased_at": "timestamp",
    "product.category": "text",
    "product.list_price": "number",
    "store.city": "text",
}
COMPARISONS = {"greater_than": ">", "at_least": ">=", "less_than": "<", "at_most": "<="}


@dataclass(frozen=True)
class Spec:
    """One condition: a column, one of segengine's operators, its values."""

    column: str
    operator: str
    values: tuple[Value, ...] = ()
    negated: bool = False
    or_missing: bool = False

    def definition(self) -> dict[str, object]:
        """Return the condition as segengine reads it."""
        operation = {self.operator: self._literal()}
        written: dict[str, object] = {"not": operation} if self.negated else dict(operation)
        if self.or_missing:
            written["or_missing"] = True
        return {self.column: written}

    def _literal(self) -> object:
        values = [str(value) for value in self.values]
        if self.operator in ("is_true", "is_false", "empty"):
            return True
        return values if self.operator in ("any_of", "between", "begins_with", "contains") else values[0]

    def sql(self) -> str:
        """Return the condition as SQL; NULL stands for false."""
        if self.operator == "empty":
            return self._present() if self.negated else self._missing()
        test = f"not ({self._test()})" if self.negated else self._test()
        if self._lets_missing_pass():
            test = f"{test} and {self._present()}"
        return f"({test} or {self._missing()})" if self.or_missing else f"({test})"

    def _lets_missing_pass(self) -> bool:
        """Whether the plain test may hold for '' (only where negated) or NaN.

        SQL puts NaN above all numbers; DuckDB does not even keep it out of `x < 6`, where the largest number that a
        Parquet file has in its statistics, which leave NaN out, lies below 6.
        """
        kind = KINDS[self.column]
        return kind == "float" or (kind == "text" and self.negated)

    def _name(self) -> str:
        table, _, column = self.column.rpartition(".")
        return f"{table}s.{column}" if table else column

    def _present(self) -> str:
        kind, name = KINDS[self.column], self._name()
        if kind == "text":
            return f"{name} <> ''"
        return f"not isnan({name})" if kind == "float" else f"{name} is not null"

    def _missing(self) -> str:
        kind, name = KINDS[self.column], self._name()
        more = {"text": f" or {name} = ''", "float": f" or isnan({name})"}.get(kind, "")
        return f"({name} is null{more})"

    def _test(self) -> str:
        name, values = self._name(), self.values
        if self.operator in ("is_true", "is_false"):
            return name if self.operator == "is_true" else f"not {name}"
        if self.operator in ("equals", "any_of"):
            listed = ", ".join(_literal(value) for value in values)
            return f"{name} in ({listed})" if len(values) > 1 else f"{name} = {listed}"
        if self.operator in ("begins_with", "contains"):
            before = "%" if self.operator == "contains" else ""
            return " or ".join(f"{name} like '{before}{value}%'" for value in values)
        if KINDS[self.column] in ("date", "timestamp"):
            return self._time_test(name)
        if self.operator == "between":
            return f"{name} between {_literal(values[0])} and {_literal(values[1])}"
        return f"{name} {COMPARISONS[self.operator]} {_literal(values[0])}"

    def _time_test(self, name: str) -> str:
        """Return a test on days as one on instants: a day lasts until the next one begins."""
        first, last = self.values[0], self.values[-1]
        if not isinstance(first, date) or not isinstance(last, date):
            raise TypeError(f"{self.column} is compared with days")
        word = KINDS[self.column]
        start = f"{name} >= {_moment(first, word)}"
        end = f"{name} < {_moment(last + timedelta(days=1), word)}"
        tests = {
            "on_or_after": start,
            "before": f"{name} < {_moment(first, word)}",
            "on_or_before": end,
            "after": f"{name} >= {_moment(first + timedelta(days=1), word)}",
            "between": f"{start} and {end}",
        }
        return tests[self.operator]


def _literal(value: Value) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _moment(day: date, kind: Kind) -> str:
    return f"date '{day}'" if kind == "date" else f"timestamp '{day} 00:00:00'"


@dataclass(frozen=True)
class Group:
    """Conditions joined by and (`all`) or by or (`any`)."""

    join: Literal["all", "any"]
    specs: tuple[Spec, ...]

    def definition(self) -> dict[str, object]:
        """Return the conditions as segengine reads them."""
        if len(self.specs) == 1:
            return self.specs[0].definition()
        return {self.join: [spec.definition() for spec in self.specs]}

    def sql(self) -> str:
        """Return the conditions as SQL; NULL stands for false."""
        return f"({' and '.join(s.sql() for s in self.specs)})" if self.join == "all" else self._either()

    def _either(self) -> str:
        return f"({' or '.join(spec.sql() for spec in self.specs)})"

    def tables(self) -> set[str]:
        """Return the look-up tables the conditions need."""
        return {spec.column.partition(".")[0] for spec in self.specs if "." in spec.column}


@dataclass(frozen=True)
class Aggregate:
    """A lower bound on an aggregate over the rows a rule looks for; no rows do not reach it."""

    function: Literal["sum", "average", "max", "count_unique"]
    column: str
    least: int

    def definition(self) -> dict[str, object]:
        """Return the aggregate as segengine reads it."""
        return {self.function: {self.column: {"at_least": str(self.least)}}}

    def sql(self, rows: str = "") -> str:
        """Return the test as SQL; `rows`: a FILTER clause for each aggregate."""
        if self.function == "average":  # without a division: averages of decimals are floats in some engines
            return f"sum({self.column}){rows} >= {self.least} * count({self.column}){rows}"
        if self.function == "count_unique":
            return f"count(distinct nullif({self.column}, '')){rows} >= {self.least}"
        return f"{self.function}({self.column}){rows} >= {self.least}"


@dataclass(frozen=True)
class Rule:
    """A rule on the profile (`quantifier` None) or on its purchases; `aggregated`: what `aggregate` asks of them."""

    where: Group
    quantifier: Quantifier | None = None
    count: int = 0
    among: Group | None = None
    aggregated: Aggregate | None = None

    def definition(self) -> dict[str, object]:
        """Return the rule as segengine reads it."""
        if self.quantifier is None:
            return {"where": self.where.definition()}
        written: dict[str, object] = {"over": "purchases", "where": self.where.definition()}
        if self.aggregated is not None:
            written |= self.aggregated.definition()
        elif self.quantifier in ("none", "all"):
            written["rows"] = self.quantifier
        elif self.quantifier != "any":
            written["rows"] = {self.quantifier: self.count}
        if self.among is not None:
            written["among"] = self.among.definition()
        return written

    def rows(self) -> str:
        """Return the FROM clause: purchases with the look-ups the rule needs.

        Where rows without a look-up cannot satisfy the rule anyway, an inner join says so and is cheaper.
        """
        groups = [group for group in (self.where, self.among) if group is not None]
        tables = sorted({table for group in groups for table in group.tables()})
        may_drop = self.quantifier != "all" and all(
            group.join == "all" and not any(spec.or_missing or spec.operator == "empty" for spec in group.specs)
            for group in groups
        )
        kind = "join" if may_drop else "left join"
        return "purchases" + "".join(f" {kind} {table}s using ({table}_id)" for table in tables)

    def condition(self) -> str:
        """Return the SQL of the rows the rule looks for."""
        if self.among is None or self.quantifier == "all":
            return self.where.sql()
        return f"{self.among.sql()} and {self.where.sql()}"

    def ids(self) -> str:
        """Return a query for the `customer_id` of those the rule selects, maybe several times each."""
        if self.quantifier is None:
            return f"select customer_id from customers where {self.where.sql()}"
        hits = f"select customer_id from {self.rows()} where {self.condition()}"
        grouped = f"{hits} group by customer_id having count(*)"
        if self.aggregated is not None:
            return f"{hits} group by customer_id having {self.aggregated.sql()}"
        if self.quantifier == "any":
            return hits
        if self.quantifier == "none":
            return f"select customer_id from customers anti join ({hits}) as hits using (customer_id)"
        if self.quantifier == "at_least":
            return f"{grouped} >= {self.count}"
        if self.quantifier == "exactly":
            return f"{grouped} = {self.count}"
        if self.quantifier == "at_most":
            return f"select customer_id from customers anti join ({grouped} > {self.count}) as more using (customer_id)"
        among = f" where {self.among.sql()}" if self.among else ""
        holds = f"bool_and(coalesce({self.where.sql()}, false))"
        return f"select customer_id from {self.rows()}{among} group by customer_id having {holds}"

    def aggregate(self) -> str:
        """Return the rule as an aggregate over all rows of a customer, for one query with all rules."""
        if self.aggregated is not None:
            return self.aggregated.sql(f" filter (where {self.condition()})")
        if self.quantifier in ("any", "none"):
            return f"bool_or({self.condition()})"
        if self.quantifier == "all":
            among = f" filter (where {self.among.sql()})" if self.among else ""
            return f"bool_and(coalesce({self.where.sql()}, false)){among}"
        comparison = {"at_least": ">=", "at_most": "<=", "exactly": "="}[str(self.quantifier)]
        return f"count(*) filter (where {self.condition()}) {comparison} {self.count}"

    def wide_test(self, name: str) -> str:
        """Return the rule as a test of the column that holds its aggregate, NULL for customers without rows."""
        if self.quantifier == "none":
            return f"not coalesce({name}, false)"
        return f"coalesce({name}, {'true' if self.quantifier == 'at_most' else 'false'})"


@dataclass(frozen=True)
class BenchmarkSegment:
    """One segment: rules, each but the first with what joins it to those before."""

    id: str
    rules: tuple[tuple[Joiner, Rule], ...]

    def definition(self) -> dict[str, object]:
        """Return the segment as segengine reads it."""
        (_, first), *more = self.rules
        rules = [first.definition(), *({joiner: rule.definition()} for joiner, rule in more)]
        return {"kind": "segment", "name": f"Benchmark {self.id}", "id": self.id, "rules": rules}

    def sql(self) -> str:
        """Return a query for the distinct `customer_id` of the members, as somebody who knows SQL well writes it.

        Rules on the profile that follow each other are one filter; intersect and except are semi and anti joins.
        """
        test: str | None = ""  # while all rules so far are on the profile
        ids = ""
        for joiner, rule in self.rules:
            if test is not None and rule.quantifier is None:
                test = _join_tests(test, joiner, rule.where.sql())
                continue
            if test:
                ids = f"select customer_id from customers where {test}"
            test = None
            ids = _join_ids(ids, joiner, rule.ids())
        if test is not None:
            return f"select customer_id from customers where {test}"
        return f"select distinct customer_id from ({ids}) as members"

    def wide_test(self, names: dict[Rule, str]) -> str:
        """Return the segment as one test over columns that hold the aggregates of the rules on rows."""
        test = ""
        for joiner, rule in self.rules:
            own = rule.where.sql() if rule.quantifier is None else rule.wide_test(names[rule])
            test = _join_tests(test, joiner, own)
        return test


def _join_tests(before: str, joiner: Joiner, test: str) -> str:
    if not before:
        return test
    return {
        "union": f"({before} or {test})",
        "intersect": f"({before} and {test})",
        "except": f"({before} and ({test}) is not true)",
    }[joiner]


def _join_ids(before: str, joiner: Joiner, ids: str) -> str:
    if not before:
        return ids
    if joiner == "union":
        return f"select customer_id from ({before}) as a union all select customer_id from ({ids}) as b"
    kind = "semi" if joiner == "intersect" else "anti"
    return f"select customer_id from ({before}) as a {kind} join ({ids}) as b using (customer_id)"


# --- the project


def write_project(folder: Path, data: Path, definitions: Sequence[dict[str, object]], engine: str) -> Path:
    """Write a project over generated data with the definitions, and return its folder."""
    settings = {
        "project": "benchmark",
        "time_zone": "UTC",
        "warehouse": "warehouse/",
        "definitions": "definitions/",
        "engine": engine,
        "tables": {
            "customers": {"path": str(data / "customers"), "key": "customer_id"},
            "purchases": {"path": str(data / "purchases"), "key": "purchase_id", "at": "purchased_at"},
            "products": {"path": str(data / "products"), "key": "product_id"},
            "stores": {"path": str(data / "stores"), "key": "store_id"},
        },
        "relationships": [
            "purchases.customer_id -> customers",
            "purchases.product_id -> products",
            "purchases.store_id -> stores",
        ],
        "audiences": {"customer": {"table": "customers"}},
    }
    (folder / "definitions").mkdir(parents=True)
    (folder / "segengine.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    documents = yaml.safe_dump_all(definitions, sort_keys=False)
    (folder / "definitions" / "all.yml").write_text(documents, encoding="utf-8")
    return folder
