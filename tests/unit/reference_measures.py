"""The reference evaluator's measures: one profile, one group, one row at a time, from the meaning of definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from reference import Joined, Reference, Truth
from reference_expressions import (
    AS_OF,
    Name,
    Read,
    Typed,
    compute,
    local_day,
    names_in,
    order_of_values,
    parse_arithmetic,
)
from reference_times import PARTS, part_of, start_of_period, to_instant
from reference_values import FailedError, aggregate, check_digits, check_finite, is_missing, scale_of
from worlds import Row, World

FUNCTIONS = (
    *("sum", "average", "count", "count_unique", "max", "min"),
    *("first", "last", "arg_max", "arg_min"),
)
PICKS = {"first": min, "arg_min": min, "last": max, "arg_max": max}
PERIODS = ("day", "week", "month", "quarter", "year")
OWNER = "_profile"  # of the rows of a measure of profiles: the column with the profile's id
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Computed:
    """What a measure comes to, by the profile's id (of a measure of profiles) and its dimensions.

    `types` are those of the dimensions, then of the values, by name. Values are plain: None where missing, fractions
    for decimals, instants for times.
    """

    types: Mapping[str, str]
    values: Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True)
class Dimension:
    """What a measure's values are told apart by: an attribute, its period, or a part of it."""

    name: str
    attribute: str
    of: str = ""


def values_of(measure: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a measure's values by name; the only one is named like the measure."""
    found: dict[str, dict[str, Any]] = measure["values"] if "values" in measure else {measure["name"]: measure["value"]}
    return found


def columns_of(measure: Mapping[str, Any]) -> dict[str, str]:
    """Return what conditions call a measure's values, each with the value's name."""
    names = list(values_of(measure))
    return {measure["name"]: names[0]} if len(names) == 1 else {f"{measure['name']}.{name}": name for name in names}


def is_business(measure: Mapping[str, Any]) -> bool:
    return "customer" not in _per(measure)


def is_attribute(measure: Mapping[str, Any]) -> bool:
    """Return whether a measure has one value for each profile and name."""
    return _per(measure) == ["customer"]


def _per(measure: Mapping[str, Any]) -> list[Any]:
    return measure["per"] if isinstance(measure["per"], list) else [measure["per"]]


def dimensions_of(measure: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Return a measure's dimensions, named by `as`, like the column, or by the word for the period or part.

    Where two are called by the same word, each has its column behind it.
    """
    written = [item for item in _per(measure) if item not in ("customer", "business")]
    words = [word for item in written if isinstance(item, dict) for word in item.keys() - {"as"} if "as" not in item]
    found = []
    for item in written:
        if isinstance(item, dict):
            ((of, attribute),) = ((key, value) for key, value in item.items() if key != "as")
            own = of if words.count(of) < 2 else f"{of}_{attribute.replace('.', '_')}"
            found.append(Dimension(str(item.get("as", own)), attribute, of))
        else:
            found.append(Dimension(item.replace(".", "_"), item))
    return tuple(found)


def plain(value: Any, type_: str, zone: str) -> Any:
    """Return a value as it is kept: None where it is missing, a fraction for a decimal, an instant for a time."""
    if is_missing(value):
        return None
    if type_.startswith("timestamp"):
        return to_instant(value, type_, zone)
    return Fraction(value) if isinstance(value, Decimal) else value


def plain_type(type_: str) -> str:
    return "timestamp" if type_.startswith("timestamp") else type_


def read_replacement(text: str, type_: str) -> Any:
    """Return what stands for a missing value, from its text."""
    if type_ == "date":
        return date.fromisoformat(text)
    if type_ == "timestamp":
        return datetime.fromisoformat(text).astimezone(UTC)
    if type_ == "boolean":
        return text == "true"
    if type_ in ("double", "float"):
        return float(text)
    return text if type_ == "text" else Fraction(text)


class MeasureReference(Reference):
    """Evaluates segments and measures over one world; rules may ask for measures, measures for segments."""

    def __init__(
        self,
        world: World,
        segments: Mapping[str, dict[str, Any]],
        stored: Mapping[str, set[str]],
        measures: Mapping[str, dict[str, Any]],
    ) -> None:
        super().__init__(world, segments, stored)
        self.measures = measures
        self._computed: dict[str, Computed | None] = {}

    def computed(self, name: str) -> Computed:
        """Return what a measure comes to.

        Raises:
            FailedError: A value has too many digits, or an infinite one is in its way.
        """
        if name not in self._computed:
            self._computed[name] = None
            self._computed[name] = self._compute(self.measures[name])
        found = self._computed[name]
        if found is None:
            raise FailedError(f"{name} failed before")
        return found

    def forget(self, name: str) -> None:
        """Forget what a measure came to, so that another one can have its name."""
        self._computed.pop(name, None)

    def type_of(self, over: str, via: Sequence[Any] | None, value: Mapping[str, Any]) -> str:
        """Return the type of a value made of the rows of a path."""
        per = "business" if via is None and over not in self.measures else "customer"
        return self._aggregated({"name": "", "per": per, "over": over, "via": via}, value, [])[1]

    # Measures as attributes

    def measured(self, column: str) -> tuple[str, str] | None:
        """Return the measure and the value that a name in a rule means, or None."""
        for name, measure in self.measures.items():
            if is_attribute(measure) and column in (columns := columns_of(measure)):
                return name, columns[column]
        return None

    def value_of_profile(self, column: str, profile: str) -> Typed:
        """Return a measure's value for a profile, missing without one, and its type."""
        measure, value = self.measured(column) or ("", "")
        computed = self.computed(measure)
        return computed.values.get((profile,), {}).get(value), computed.types[value]

    def truth(self, where: dict[str, Any], row: Joined) -> Truth:
        ((key, wanted),) = where.items()
        if key in ("all", "any", "not", "in_segment") or self.measured(key) is None:
            return super().truth(where, row)
        return self.holds(*self.value_of_profile(key, self.profile_of(row)), wanted)

    def profile_of(self, joined: Joined) -> str:
        """Return the id of the profile a row reaches; of the rows of business measures, nothing where there is none."""
        if joined.start == self.world.profile_table or joined.hops:
            return super().profile_of(joined)
        if OWNER in joined.rows[0]:
            return str(joined.rows[0][OWNER])
        (chain,) = self.chains(joined.start, (joined.start,))
        rows: tuple[Row, ...] = joined.rows
        for hop in self.path(joined.start, chain):
            found = self._targets(hop, rows[-1])
            if not found:
                return ""
            rows = (*rows, found[0])
        return super().profile_of(Joined(joined.start, (), rows))

    # Computing

    def _compute(self, measure: Mapping[str, Any]) -> Computed:
        dimensions = dimensions_of(measure)
        groups: dict[Key, list[Joined]] = {}
        if is_attribute(measure):
            groups = {(profile,): [] for profile in self.profiles}
        elif not dimensions:
            groups = {(): []}
        types = {d.name: self._dimension(d, None, measure)[1] for d in dimensions}
        names = _attributes_of(measure)
        for row in self._rows(measure):
            for name in names:
                check_finite(self.attribute(name, row))  # whether the row counts or not
            key = () if is_business(measure) else (self.profile_of(row),)
            key += tuple(self._dimension(dimension, row, measure)[0] for dimension in dimensions)
            if self._holds_on(measure.get("where"), row):
                groups.setdefault(key, []).append(row)
        found: dict[Key, dict[str, Any]] = {key: {} for key in groups}
        for name in order_of_values(values_of(measure)):
            values = {key: self._value(measure, name, key, rows, found[key], types) for key, rows in groups.items()}
            types[name] = self._value(measure, name, (), [], {}, types)[1]
            for key, (value, _) in values.items():
                found[key][name] = value
        return Computed(types, found)

    def _rows(self, measure: Mapping[str, Any]) -> Sequence[Joined]:
        """Return the rows of a measure: of a path, of a whole table, or the groups of another measure."""
        over = measure.get("over")
        if over is None:
            return []
        if over in self.measures:
            self.add_table(over)
        elif not is_business(measure):
            return self.joined_rows(over, measure.get("via"))
        return [Joined(over, (), (row,)) for row in self.world.rows[over]]

    def add_table(self, name: str) -> None:
        """Make the groups of a measure rows of a table of its name."""
        if name in self.world.types:
            return
        computed = self.computed(name)
        dimensions = [dimension.name for dimension in dimensions_of(self.measures[name])]
        rows = [
            {OWNER: key[0], **dict(zip(dimensions, key[1:], strict=True)), **values}
            for key, values in computed.values.items()
        ]
        self.world = replace(
            self.world,
            types={**self.world.types, name: {OWNER: "text", **computed.types}},
            keys={**self.world.keys, name: tuple(dimensions)},
            links={**self.world.links, name: {}},
            rows={**self.world.rows, name: rows},
        )

    def _dimension(self, dimension: Dimension, row: Joined | None, measure: Mapping[str, Any]) -> Typed:
        value, type_ = self._read_row(measure, row, dimension.attribute)
        zone = self.world.zone
        if dimension.of in PARTS:
            return (None if is_missing(value) else part_of(value, type_, dimension.of, zone)), "integer"
        if dimension.of:
            return (None if is_missing(value) else _first_day(local_day(value, type_, zone), dimension.of)), "date"
        return plain(value, type_, zone), plain_type(type_)

    def _read_row(self, measure: Mapping[str, Any], row: Joined | None, name: str) -> Typed:
        """Return an attribute of a row, or of no row its type alone."""
        over = measure["over"]
        if over in self.measures:
            self.add_table(over)
        hops = () if is_business(measure) or over in self.measures else self.path(over, measure.get("via"))
        type_ = self.attribute_type(name, over, hops)
        return (None if row is None else check_finite(self.attribute(name, row))), type_

    # Values

    def _value(
        self,
        measure: Mapping[str, Any],
        name: str,
        key: Key,
        rows: Sequence[Joined],
        before: Mapping[str, Any],
        types: Mapping[str, str],
    ) -> Typed:
        """Return a value of one profile or group, and its type."""
        written = values_of(measure)[name]
        if "expression" in written:
            value, type_ = self._expression(measure, written["expression"], key, before, types)
        else:
            value, type_ = self._aggregated(measure, written, rows)
        if value is None and "if_missing" in written:
            value = read_replacement(written["if_missing"], type_)
        return value, type_

    def _expression(
        self, measure: Mapping[str, Any], text: str, key: Key, before: Mapping[str, Any], types: Mapping[str, str]
    ) -> Typed:
        own = values_of(measure)

        def read(name: str) -> Typed:
            if name in own:
                return before.get(name), types[name]
            assert is_attribute(measure), f"{name} is no value of {measure['name']}"
            profile = key[0] if key else ""
            if self.measured(name):
                return self.value_of_profile(name, profile)
            table = self.world.profile_table
            type_ = self.attribute_type(name, table, ())
            row = self.profiles.get(profile)
            return (None if row is None else check_finite(self.attribute(name, Joined(table, (), (row,))))), type_

        value, type_ = self._arithmetic(text, read)
        return self._kept(value, type_)

    def _arithmetic(self, text: str, read: Read) -> Typed:
        return compute(parse_arithmetic(text), read, self.world.as_of, self.world.zone)

    def _aggregated(self, measure: Mapping[str, Any], written: Mapping[str, Any], rows: Sequence[Joined]) -> Typed:
        ((function, what),) = ((key, value) for key, value in written.items() if key in FUNCTIONS)
        satisfied = [row for row in rows if self._holds_on(written.get("where"), row)]
        if (function, what) == ("count", "rows"):
            return len(satisfied), "integer"
        type_ = self._operand(measure, None, what)[1]
        if function in PICKS:
            return self._pick(measure, function, what, written["by"], satisfied), plain_type(type_)
        values = [self._operand(measure, row, what)[0] for row in satisfied]
        if function == "count":
            return sum(not is_missing(value) for value in values), "integer"
        value, _ = aggregate(function, values, type_, self.world.zone)
        return self._kept(value, aggregate_type(function, type_))

    def _kept(self, value: Any, type_: str) -> Typed:
        """Return a value as it is kept; a decimal with at most 38 digits."""
        found = plain(value, type_, self.world.zone)
        if found is not None and type_.startswith("decimal"):
            check_digits(found, scale_of(type_))
        return found, plain_type(type_)

    def _operand(self, measure: Mapping[str, Any], row: Joined | None, what: str) -> Typed:
        """Return what a function is applied to, of one row: an attribute, or arithmetic on several."""
        tree = parse_arithmetic(what)
        if isinstance(tree, Name) and tree.text != AS_OF:
            return self._read_row(measure, row, tree.text)
        return self._arithmetic(what, lambda name: self._read_row(measure, row, name))

    def _pick(self, measure: Mapping[str, Any], function: str, what: str, by: str, rows: Sequence[Joined]) -> Any:
        """Return the value of the row that is first or last by an attribute, then by its key, then by the value."""
        entries = []
        for row in rows:
            order = plain(*self._read_row(measure, row, by), self.world.zone)
            value = plain(*self._read_row(measure, row, what), self.world.zone)
            if order is not None and value is not None:
                entries.append((order, self._row_key(row), value))
        if not entries:
            return None
        best = PICKS[function](order for order, _, _ in entries)
        return min((key, value) for order, key, value in entries if order == best)[1]

    def _row_key(self, row: Joined) -> tuple[tuple[bool, Any], ...]:
        """Return what tells rows apart, in order: a missing component after all others."""
        tables = [(row.start, row.rows[0])]
        tables += [(hop.table, found) for hop, found in zip(row.hops, row.rows[1:], strict=True) if hop.back]
        parts = [
            plain(found[column], self.world.types[table][column], self.world.zone)
            for table, found in tables
            for column in self.world.keys[table]
        ]
        return tuple((part is None, 0 if part is None else part) for part in parts)


def _attributes_of(measure: Mapping[str, Any]) -> set[str]:
    """Return the attributes of rows that a measure's values and dimensions are made of."""
    found = {dimension.attribute for dimension in dimensions_of(measure)}
    for value in values_of(measure).values():
        found |= {value["by"]} if "by" in value else set()
        for function in FUNCTIONS:
            if function in value and (function, value[function]) != ("count", "rows"):
                found |= set(names_in(parse_arithmetic(value[function])))
    return found


def aggregate_type(function: str, type_: str) -> str:
    """Return the type of sums and averages (exact decimals), of distinct values counted, of extremes."""
    if function == "count_unique":
        return "integer"
    if function in ("min", "max"):
        return plain_type(type_)
    return f"decimal(38,{scale_of(type_) + (6 if function == 'average' else 0)})"


def _first_day(day: date, period: str) -> date:
    return day if period == "day" else start_of_period(day, period)
