"""Measures as DuckDB SQL: rows with their operands, grouped, then expressions over what the groups come to.

Every number is a HUGEINT and a scale, as in `sql_values`. Each step of an expression is a column of a query around the
one before, so that no text grows beyond use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Protocol

from reference_expressions import (
    AS_OF,
    Joint,
    Literal,
    Name,
    Part,
    names_in,
    order_of_values,
    parse_arithmetic,
    scale_of_joint,
)
from reference_measures import (
    FUNCTIONS,
    PICKS,
    Dimension,
    dimensions_of,
    is_attribute,
    is_business,
    values_of,
)

from .sql_joins import JoinWriter, Tables, name_of
from .sql_values import PARTS, NotExpressibleError, Value, ValueWriter, quote

MOST = 37  # powers of ten that a HUGEINT holds
OWNER = "_id"


class Measures(Tables, Protocol):
    """What measures need to know beside: paths, and what other measures came to."""

    @property
    def measures(self) -> Mapping[str, Mapping[str, Any]]: ...

    def via(self, over: str, via: Sequence[Any] | str | None) -> Sequence[Any]: ...

    def chains(self, table: str, seen: tuple[str, ...]) -> list[list[str]]: ...

    def measured(self, name: str) -> Measured: ...


@dataclass(frozen=True)
class Measured:
    """A table with what a measure came to: OWNER where it is of profiles, and a column by each name.

    `dimensions`: the names that tell its rows apart.
    """

    table: str
    columns: Mapping[str, Value]
    dimensions: Sequence[str]


@dataclass
class Layers:
    """A query that grows by columns, each computed from those below it."""

    sql: str
    count: int = field(default=0)

    def add(self, expression: str) -> str:
        """Return the name of a new column."""
        self.count += 1
        self.sql = f"SELECT *, {expression} AS e{self.count} FROM ({self.sql})"
        return f"e{self.count}"


def entering(value: Value) -> Value:
    """Return a number as it enters arithmetic and sums: a float as a decimal with nine digits."""
    if value.kind in ("double", "float"):
        return Value(f"nine_digits({value.sql})", "whole", 9)
    return Value(f"CAST({value.sql} AS HUGEINT)", "whole", value.scale)


def power_of_ten(count: int) -> str:
    if count > MOST:
        raise NotExpressibleError("a factor beyond 128 bits")
    return f"CAST('{10**count}' AS HUGEINT)"


class ArithmeticWriter:
    """Writes expressions as columns of a growing query."""

    def __init__(self, layers: Layers, values: ValueWriter, read: Callable[[str], Value]) -> None:
        self._layers = layers
        self._values = values
        self._read = read

    def write(self, part: Part) -> Value:
        """Return what an expression comes to as a value of the query."""
        if isinstance(part, Literal):
            return Value(f"CAST('{int(Fraction(part.text) * 10**part.scale)}' AS HUGEINT)", "whole", part.scale)
        if isinstance(part, Name):
            return self._values.as_of if part.text == AS_OF else self._read(part.text)
        left, right = self.write(part.left), self.write(part.right)
        if left.kind in ("date", "instant"):
            days = f"CAST({self._values.day(left)} - {self._values.day(right)} AS HUGEINT)"
            return Value(self._layers.add(days), "whole")
        sql, scale = self._joined(part, *(self._entered(side) for side in (left, right)))
        return Value(self._layers.add(sql), "whole", scale)

    def _entered(self, value: Value) -> Value:
        number = entering(value)
        return Value(self._layers.add(number.sql), "whole", number.scale)

    def _joined(self, part: Joint, left: Value, right: Value) -> tuple[str, int]:
        scale = scale_of_joint(part.sign, left.scale, right.scale)
        if part.sign == "*":
            return f"{left.sql} * {right.sql}", scale
        if part.sign == "/":
            shift = scale + right.scale - left.scale
            dividend = self._layers.add(f"{left.sql} * {power_of_ten(shift)} * CAST(sign({right.sql}) AS HUGEINT)")
            return f"half_even({dividend}, nullif(abs({right.sql}), 0))", scale
        sides = [f"{side.sql} * {power_of_ten(scale - side.scale)}" for side in (left, right)]
        return f" {part.sign} ".join(sides), scale


class MeasureWriter:
    """One measure as a query."""

    def __init__(self, oracle: Measures, measure: Mapping[str, Any]) -> None:
        self._oracle = oracle
        self._measure = measure
        self._own = values_of(measure)
        self._dimensions = dimensions_of(measure)
        self._keys = ([] if is_business(measure) else [OWNER]) + [f"d{n}" for n in range(len(self._dimensions))]

    def write(self) -> tuple[str, dict[str, Value]]:
        """Return the query, whose columns are OWNER, the dimensions and the values by name, and what they hold."""
        kinds: dict[str, Value] = {}
        made: dict[str, Value] = {}
        aggregated = {name: value for name, value in self._own.items() if "expression" not in value}
        layers = Layers("SELECT id AS _id FROM _profiles")
        if "over" in self._measure:
            sql, dimension_kinds, made = self._groups(aggregated)
            layers = Layers(sql)
            kinds |= dimension_kinds
        names = {name: f"x{place}" for place, name in enumerate(self._own)}
        for name in order_of_values(self._own):
            value = made.get(name) or self._expression(layers, self._own[name]["expression"], names, kinds)
            sql = f"in_range({value.sql})" if value.kind == "whole" else value.sql
            if "if_missing" in self._own[name]:
                sql = f"coalesce({sql}, {self._replacement(self._own[name]['if_missing'], value)})"
            layers.sql = f"SELECT *, {sql} AS {names[name]} FROM ({layers.sql})"
            kinds[name] = Value(name_of(name), value.kind, value.scale)
        columns = ["_id"] if self._keys[:1] == [OWNER] else []
        columns += [f"d{place} AS {name_of(d.name)}" for place, d in enumerate(self._dimensions)]
        columns += [f"{column} AS {name_of(name)}" for name, column in names.items()]
        return f"SELECT {', '.join(columns)} FROM ({layers.sql})", kinds

    # Rows

    def _groups(self, values: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Value], dict[str, Value]]:
        """Return the query of the groups, what its dimensions hold, and what aggregates make of each value's rows."""
        rows = self._rows()
        columns: list[str] = [] if is_business(self._measure) else [f"{rows.profile_id} AS _id"]
        kinds = {}
        for place, dimension in enumerate(self._dimensions):
            value = self._dimension(rows.value(dimension.attribute), dimension)
            columns.append(f"{value.sql} AS d{place}")
            kinds[dimension.name] = Value(name_of(dimension.name), value.kind, value.scale)
        inputs = {name: self._inputs(rows, value, columns) for name, value in values.items()}
        where = self._condition(rows, self._measure.get("where"))
        keys = [f"{sql} AS k{place}" for place, sql in enumerate(rows.row_key())]
        select = ", ".join([*columns, *keys]) or "1 AS one"
        layers = Layers(f"SELECT {select} FROM {rows.tables()} WHERE {where}")
        made, aggregates = {}, []
        order = ", ".join(f"k{place} NULLS LAST" for place in range(len(keys)))
        for place, (name, written) in enumerate(values.items()):
            operand = self._operand(layers, written, inputs[name].attributes)
            sql, empty, result = _aggregate(written, operand, inputs[name], order, f"a{place}")
            aggregates.append(f"{sql} AS a{place}")
            made[name] = Value(f"coalesce(a{place}, {empty})" if empty else f"a{place}", result.kind, result.scale)
        select = ", ".join([*self._keys, *aggregates]) or "1 AS one"
        grouped = f"SELECT {select} FROM ({layers.sql})" + (f" GROUP BY {', '.join(self._keys)}" if self._keys else "")
        if is_attribute(self._measure):
            others = "".join(f", g.a{place}" for place in range(len(aggregates)))
            grouped = f"SELECT p.id AS _id{others} FROM _profiles p LEFT JOIN ({grouped}) g ON p.id = g._id"
        return grouped, kinds, made

    def _rows(self) -> JoinWriter:
        over = self._measure["over"]
        if over in self._oracle.measures:
            return GroupWriter(self._oracle, self._oracle.measured(over))
        if not is_business(self._measure):
            return JoinWriter(self._oracle, over, self._oracle.via(over, self._measure.get("via")))
        chains = [[]] if over == self._oracle.world.profile_table else self._oracle.chains(over, (over,))
        return JoinWriter(self._oracle, over, chains[0] if len(chains) == 1 else [], every_row=True)

    def _condition(self, rows: JoinWriter, where: Mapping[str, Any] | None) -> str:
        return "true" if where is None else f"coalesce({rows.condition(where)}, false)"

    def _dimension(self, value: Value, dimension: Dimension) -> Value:
        if dimension.of in PARTS:
            return self._oracle.values.part(value, dimension.of)
        if dimension.of:
            day = self._oracle.values.day(value)
            return Value(f"CAST(date_trunc('{dimension.of}', {day}) AS DATE)", "date")
        # There is one zero.
        return Value(f"{value.sql} + 0.0", value.kind) if value.kind in ("double", "float") else value

    def _inputs(self, rows: JoinWriter, value: Mapping[str, Any], columns: list[str]) -> Inputs:
        """Add the columns that a value is made of; return their names."""
        base = f"c{len(columns)}"
        attributes: dict[str, Value] = {}
        for function in FUNCTIONS:
            for name in names_in(parse_arithmetic(value[function])) if function in value else ():
                if (function, name) != ("count", "rows") and name not in attributes:
                    found = rows.value(name)
                    column = f"{base}_{len(attributes)}"
                    columns.append(f"{found.sql} AS {column}")
                    attributes[name] = Value(column, found.kind, found.scale)
        by = ""
        if "by" in value:
            by = f"{base}_by"
            columns.append(f"{rows.value(value['by']).sql} AS {by}")
        columns.append(f"{self._condition(rows, value.get('where'))} AS {base}_counts")
        return Inputs(attributes, by, f"{base}_counts")

    def _operand(self, layers: Layers, value: Mapping[str, Any], attributes: Mapping[str, Value]) -> Value | None:
        ((function, what),) = ((key, text) for key, text in value.items() if key in FUNCTIONS)
        if (function, what) == ("count", "rows"):
            return None
        return ArithmeticWriter(layers, self._oracle.values, attributes.__getitem__).write(parse_arithmetic(what))

    # Expressions

    def _expression(self, layers: Layers, text: str, names: Mapping[str, str], kinds: Mapping[str, Value]) -> Value:
        tree = parse_arithmetic(text)
        attributes = [name for name in names_in(tree) if name not in self._own]
        read = {name: Value(names[name], found.kind, found.scale) for name, found in kinds.items() if name in names}
        if attributes:
            read |= self._join_attributes(layers, attributes)
        return ArithmeticWriter(layers, self._oracle.values, read.__getitem__).write(tree)

    def _join_attributes(self, layers: Layers, attributes: Sequence[str]) -> dict[str, Value]:
        """Join attributes of the profile, its other measures among them."""
        profile = JoinWriter(self._oracle, self._oracle.world.profile_table, [])
        found = {name: profile.value(name) for name in dict.fromkeys(attributes)}
        layers.count += 1
        prefix = f"p{layers.count}"
        columns = ", ".join(f"{value.sql} AS {prefix}_{place}" for place, value in enumerate(found.values()))
        joined = f"SELECT {profile.profile_id} AS {prefix}, {columns} FROM {profile.tables()}"
        layers.sql = f"SELECT * FROM ({layers.sql}) l{prefix} LEFT JOIN ({joined}) {prefix} ON _id = {prefix}.{prefix}"
        return {
            name: Value(f"{prefix}_{place}", value.kind, value.scale)
            for place, (name, value) in enumerate(found.items())
        }

    def _replacement(self, text: str, value: Value) -> str:
        if value.kind == "whole":
            number = Fraction(text) * 10**value.scale
            return f"CAST('{int(number)}' AS HUGEINT)"
        if value.kind == "instant":
            return f"TIMESTAMP '{datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None).isoformat(' ')}'"
        if value.kind == "date":
            return f"DATE '{text}'"
        return quote(text) if value.kind == "text" else f"CAST('{text}' AS {value.kind.upper()})"


@dataclass(frozen=True)
class Inputs:
    """The columns a value is made of: its attributes, what picks are ordered by, and whether the row counts."""

    attributes: Mapping[str, Value]
    by: str
    counts: str


class GroupWriter(JoinWriter):
    """The rows of a measure: its groups, one table."""

    def __init__(self, oracle: Measures, measured: Measured) -> None:
        super().__init__(oracle, measured.table, [], owner=OWNER)
        self._measured = measured

    def value(self, name: str) -> Value:
        found = self._measured.columns.get(name)
        return Value(f"t0.{found.sql}", found.kind, found.scale) if found else super().value(name)

    def row_key(self) -> list[str]:
        return [f"t0.{self._measured.columns[name].sql}" for name in self._measured.dimensions]


def _aggregate(
    value: Mapping[str, Any], operand: Value | None, inputs: Inputs, order: str, result: str
) -> tuple[str, str, Value]:
    """Return the aggregate's SQL, what it is for no rows (empty: missing), and what it holds."""
    (function,) = (key for key in value if key in FUNCTIONS)
    rows = f"FILTER ({inputs.counts})"
    if operand is None:
        return f"count(*) {rows}", "0", Value(result, "whole")
    column = operand.sql
    if function in PICKS:
        there = f"FILTER ({inputs.counts} AND {inputs.by} IS NOT NULL AND {column} IS NOT NULL)"
        direction = "ASC" if function in ("first", "arg_min") else "DESC"
        ordered = ", ".join(filter(None, [f"{inputs.by} {direction}", order, f"{column} ASC"]))
        return f"first({column} ORDER BY {ordered}) {there}", "", operand
    if function in ("count", "count_unique"):
        return f"count({'DISTINCT ' if function == 'count_unique' else ''}{column}) {rows}", "0", Value(result, "whole")
    if function in ("min", "max"):
        return f"{function}({column}) {rows}", "", operand
    number = entering(operand)
    if function == "sum":
        return f"in_range(sum({number.sql}) {rows})", "0", Value(result, "whole", number.scale)
    total, count = f"sum({number.sql}) {rows} * 1000000::HUGEINT", f"count({column}) {rows}"
    sql = f"in_range(half_even({total}, nullif({count}, 0)::HUGEINT))"
    return sql, "", Value(result, "whole", number.scale + 6)


def plain_value(found: Any, value: Value) -> Any:
    """Return a value that a query found as the reference has it."""
    if found is None:
        return None
    if value.kind == "whole":
        return Fraction(int(found), 10**value.scale)
    return found.replace(tzinfo=UTC) if value.kind == "instant" else found
