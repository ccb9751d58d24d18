"""A second oracle: definitions as DuckDB SQL, judged by another engine with joins, groups and three-valued logic."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa
from kernel_runs import arrow_type
from reference_measures import columns_of, dimensions_of, is_attribute, is_business, values_of
from worlds import Case

from .rows_of_text import write_rows
from .sql_joins import JoinWriter, key_text, name_of
from .sql_measures import OWNER, Measured, MeasureWriter, entering, plain_value
from .sql_values import MACROS, NotExpressibleError, Value, ValueWriter, quote

AGGREGATES = ("sum", "average", "min", "max", "count_unique")
COUNTS = {"at_least": ">=", "at_most": "<=", "exactly": "="}
SET_OPERATORS = {"union": "UNION", "intersect": "INTERSECT", "except": "EXCEPT"}


class DuckdbOracle:
    """One world in DuckDB, and the members of segments and the values of measures as tables."""

    def __init__(self, case: Case) -> None:
        self.world = world = case.world
        self._segments = {segment["name"]: segment for segment in case.segments}
        self.measures = {measure["name"]: measure for measure in case.measures}
        self._measured: dict[str, Measured] = {}
        self.values = ValueWriter(world.zone, world.as_of)
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")
        # DuckDB 2.0 loses rows when it moves conditions on an outer join's columns below EXCEPT, among others.
        self._connection.execute("PRAGMA disable_optimizer")
        self._connection.create_function("casefold", str.casefold, ["VARCHAR"], "VARCHAR")
        self._connection.create_function("nine_digits", _nine_digits, ["DOUBLE"], "HUGEINT")
        for macro in MACROS:
            self._connection.execute(macro)
        self._infinite: set[tuple[str, str]] = set()
        for table in world.rows:
            self._load(table)
        key = key_text("p", world.profile_key, world.types[world.profile_table][world.profile_key])
        self._connection.execute(f"CREATE TABLE _profiles AS SELECT {key} AS id FROM {name_of(world.profile_table)} p")
        self._tables: dict[str, str] = {}
        for name, members in case.stored.items():
            self._keep(
                name, " UNION ALL ".join(["SELECT '' AS id WHERE false", *(f"SELECT {quote(m)}" for m in members)])
            )

    def members(self, name: str) -> set[str]:
        """Return the ids of a segment's members.

        Raises:
            NotExpressibleError: SQL cannot say it, or cannot say a parent of it.
        """
        found = self._connection.execute(f"SELECT id FROM {self.members_table(name)}")
        return {profile for (profile,) in found.fetchall()}

    def members_table(self, name: str) -> str:
        """Return the table with a segment's members."""
        if name not in self._tables:
            segment = self._segments[name]
            sql = self._rule(segment) if "where" in segment else self._steps(segment["rules"])
            self._keep(name, f"SELECT id FROM ({sql}) INTERSECT SELECT id FROM _profiles")
        return self._tables[name]

    def measured(self, name: str) -> Measured:
        """Return the table with a measure's values.

        Raises:
            NotExpressibleError: SQL cannot say it, or cannot say what it is made of.
        """
        if name not in self._measured:
            sql, columns = MeasureWriter(self, self.measures[name]).write()
            table = f"_measure_{len(self._measured)}_{len(self._tables)}"
            self._create(table, sql)
            dimensions = [dimension.name for dimension in dimensions_of(self.measures[name])]
            self._measured[name] = Measured(table, columns, dimensions)
        return self._measured[name]

    def measure_of_profiles(self, column: str) -> tuple[str, Value] | None:
        """Return the table and the column of a measure that a condition names, or None."""
        for name, measure in self.measures.items():
            if is_attribute(measure) and column in (columns := columns_of(measure)):
                measured = self.measured(name)
                return measured.table, measured.columns[columns[column]]
        return None

    def rows(self, name: str) -> set[str]:
        """Return a measure's values as lines of text.

        Raises:
            NotExpressibleError: SQL cannot say it.
        """
        measured, measure = self.measured(name), self.measures[name]
        keys = [OWNER] if not is_business(measure) else []
        kinds = [*([Value(OWNER, "text")] if keys else ()), *measured.columns.values()]
        columns = ", ".join([*keys, *(value.sql for value in measured.columns.values())])
        found = self._connection.execute(f"SELECT {columns} FROM {measured.table}").fetchall()
        plain = [[plain_value(part, kind) for part, kind in zip(row, kinds, strict=True)] for row in found]
        length = len(keys) + len(dimensions_of(measure))
        names = list(measured.columns)[len(dimensions_of(measure)) :]
        order = [length + names.index(value) for value in values_of(measure)]
        return write_rows([(row[:length], [row[place] for place in order]) for row in plain])

    def close(self) -> None:
        self._connection.close()

    def column(self, alias: str, table: str, column: str) -> Value:
        """Return a column of a loaded table as a value."""
        if (table, column) in self._infinite:
            raise NotExpressibleError("infinite values")
        type_ = self.world.types[table][column].split()[0]
        sql = f"{alias}.{name_of(column)}"
        if type_.startswith("decimal"):
            return Value(sql, "whole", int(type_.rstrip(")").partition(",")[2]))
        if type_.startswith("timestamp"):
            return Value(sql, "instant")
        return Value(sql, {"integer": "whole"}.get(type_, type_))  # type: ignore[arg-type]

    def _keep(self, name: str, sql: str) -> None:
        table = f"_members_{len(self._tables)}"
        self._create(table, sql)
        self._tables[name] = table

    def _create(self, table: str, sql: str) -> None:
        try:
            self._connection.execute(f"CREATE TABLE {table} AS {sql}")
        except (duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
            if not re.search("Overflow|too large", str(error)):
                raise
            raise NotExpressibleError("a number beyond 128 bits") from None

    def _load(self, table: str) -> None:
        types = self.world.types[table]
        rows = self.world.rows[table]
        arrays = [pa.array([row[column] for row in rows], arrow_type(type_)) for column, type_ in types.items()]
        for column in types:
            if any(isinstance(row[column], float) and math.isinf(row[column]) for row in rows):
                self._infinite.add((table, column))
        self._connection.register("_raw", pa.table(arrays, names=list(types)))
        columns = ", ".join(
            f"{self._normalised(name_of(column), type_)} AS {name_of(column)}" for column, type_ in types.items()
        )
        self._connection.execute(f"CREATE TABLE {name_of(table)} AS SELECT {columns} FROM _raw")
        self._connection.unregister("_raw")

    def _normalised(self, sql: str, type_: str) -> str:
        """Return a column with NULL for what is missing, instants for times and whole numbers for decimals."""
        if type_ == "text":
            return f"NULLIF({sql}, '')"
        if type_ in ("double", "float"):
            return f"CASE WHEN isnan({sql}) THEN NULL ELSE CAST({sql} AS DOUBLE) END"
        if type_.startswith("decimal"):
            return f"CAST(replace(CAST({sql} AS VARCHAR), '.', '') AS HUGEINT)"
        if type_ == "timestamp":
            return f"{sql} AT TIME ZONE 'UTC'"
        if type_.startswith("timestamp_ntz"):
            return f"instant_of({sql}, {quote(type_.partition(' ')[2] or self.world.zone)})"
        return sql

    # Paths

    def via(self, over: str, via: Sequence[Any] | str | None) -> Sequence[Any]:
        """Return a path's hops: those named, or the one chain that visits no table twice."""
        if via is None:
            (via,) = self.chains(over, (over,))
        return [via] if isinstance(via, str) else via

    def chains(self, table: str, seen: tuple[str, ...]) -> list[list[str]]:
        """Return every chain of many-to-one hops to the profiles that visits no table twice."""
        if table == self.world.profile_table:
            return [[]]
        return [
            [name, *rest]
            for name, link in self.world.links[table].items()
            if link.onward and link.table not in seen
            for rest in self.chains(link.table, (*seen, link.table))
        ]

    # Rules

    def _steps(self, steps: Sequence[Mapping[str, Any]]) -> str:
        sql = self._rule(steps[0])
        for step in steps[1:]:
            ((operator, rule),) = step.items()
            sql = f"SELECT id FROM ({sql}) {SET_OPERATORS[operator]} SELECT id FROM ({self._rule(rule)})"
        return sql

    def _rule(self, rule: Mapping[str, Any]) -> str:
        if "rules" in rule:
            return self._steps(rule["rules"])
        if "over" in rule:
            return RowsWriter(self, rule).write()
        if rule["where"] == "everyone":
            return "SELECT id FROM _profiles"
        rows = JoinWriter(self, self.world.profile_table, [])
        condition = rows.condition(rule["where"])
        return f"SELECT {rows.profile_id} AS id FROM {rows.tables()} WHERE {condition}"


def _nine_digits(value: float) -> int:
    return round(Fraction(value) * 10**9)


class RowsWriter:
    """A rule over rows: its rows with what holds on them, grouped by profile."""

    def __init__(self, oracle: DuckdbOracle, rule: Mapping[str, Any]) -> None:
        self._oracle = oracle
        self._rule = rule
        self._rows = JoinWriter(oracle, rule["over"], oracle.via(rule["over"], rule.get("via")))

    def write(self) -> str:
        """Return the query of the profiles the rule holds for."""
        looked_at, satisfied = (self._holds(part) for part in ("among", "where"))
        columns = [f"{self._rows.profile_id} AS id", f"{looked_at} AS looked_at", f"{satisfied} AS satisfied"]
        groups = [
            "count(*) FILTER (looked_at) AS looked_at_count",
            "count(*) FILTER (looked_at AND satisfied) AS satisfied_count",
        ]
        conditions = []
        for function in AGGREGATES:
            for name, wanted in self._rule.get(function, {}).items():
                value = self._rows.value(name)
                column, result = f"v{len(columns)}", f"g.a{len(columns)}"
                sql, empty, made = _aggregate(function, value, column, result)
                columns.append(f"{_entering(function, value)} AS {column}")
                groups.append(f"{sql} AS {result[2:]}")
                judged = Value(f"coalesce({result}, {empty})" if empty else result, made.kind, made.scale)
                conditions.append(f"({self._oracle.values.holds(judged, wanted)})")
        found = " AND ".join(conditions) or self._quantified()
        rows = f"SELECT {', '.join(columns)} FROM {self._rows.tables()}"
        grouped = f"SELECT id, {', '.join(groups)} FROM ({rows}) GROUP BY id"
        return f"SELECT p.id FROM _profiles p LEFT JOIN ({grouped}) g ON p.id = g.id WHERE {found}"

    def _holds(self, part: str) -> str:
        where = self._rule.get(part)
        return "true" if where is None else f"coalesce({self._rows.condition(where)}, false)"

    def _quantified(self) -> str:
        quantifier = self._rule.get("rows", "any")
        satisfied = "coalesce(g.satisfied_count, 0)"
        if isinstance(quantifier, dict):
            ((name, count),) = quantifier.items()
            return f"{satisfied} {COUNTS[name]} {count}"
        if quantifier == "all":
            return "g.looked_at_count > 0 AND g.satisfied_count = g.looked_at_count"
        return f"{satisfied} {'>' if quantifier == 'any' else '='} 0"


def _entering(function: str, value: Value) -> str:
    """Return a value as it enters an aggregate."""
    return entering(value).sql if function in ("sum", "average") else value.sql


def _aggregate(function: str, value: Value, column: str, result: str) -> tuple[str, str, Value]:
    """Return the aggregate's SQL, what it is for no rows (empty: missing), and the value it makes."""
    rows = "FILTER (looked_at AND satisfied)"
    scale = 9 if value.kind in ("double", "float") else value.scale
    if function == "count_unique":
        return f"count(DISTINCT {column}) {rows}", "0", Value(result, "whole")
    if function in ("min", "max"):
        return f"{function}({column}) {rows}", "", Value(result, value.kind, value.scale)
    if function == "sum":
        return f"in_range(sum({column}) {rows})", "0", Value(result, "whole", scale)
    total, count = f"sum({column}) {rows} * 1000000::HUGEINT", f"count({column}) {rows}"
    return f"in_range(half_even({total}, nullif({count}, 0)::HUGEINT))", "", Value(result, "whole", scale + 6)
