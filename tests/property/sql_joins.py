"""The rows of a path as DuckDB SQL: inner joins along it, left joins for look-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from worlds import Link, World

from .sql_values import Value, ValueWriter


class Tables(Protocol):
    """What joins need to know: the world's columns, and the tables with members of segments and values of measures."""

    world: World
    values: ValueWriter

    def column(self, alias: str, table: str, column: str) -> Value: ...

    def members_table(self, name: str) -> str: ...

    def measure_of_profiles(self, column: str) -> tuple[str, Value] | None: ...


def name_of(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def key_text(alias: str, column: str, type_: str) -> str:
    """Return a key's column as text; whole numbers as plain digits."""
    return f"{alias}.{name_of(column)}" if type_ == "text" else f"CAST({alias}.{name_of(column)} AS VARCHAR)"


class JoinWriter:
    """The rows of a path: inner joins along it, left joins for look-ups as they are asked for.

    `every_row`: left joins along the path as well, so that rows stay that reach no profile; without a path to it there
    is no `profile_id`. `owner`: the column of a table of groups that has the profile's id.
    """

    def __init__(
        self, oracle: Tables, over: str, via: Sequence[Any], *, every_row: bool = False, owner: str = ""
    ) -> None:
        self._oracle = oracle
        self._world = oracle.world
        self._path: dict[tuple[str, ...], tuple[str, str]] = {(): ("t0", over)}
        self._joins = [f"{name_of(over)} t0"]
        self._join = "LEFT JOIN" if every_row else "JOIN"
        self._measures: dict[str, str] = {}
        self._keys = [("t0", over)]
        steps: tuple[str, ...] = ()
        for hop in via:
            steps = self._follow(steps, hop)
        alias, table = self._path[steps]
        key = self._world.profile_key
        self.profile_id = f"t0.{owner}" if owner else ""
        if table == self._world.profile_table:
            self.profile_id = key_text(alias, key, self._world.types[table][key])

    def _follow(self, steps: tuple[str, ...], hop: Any) -> tuple[str, ...]:
        """Join the next table of the path; return the names that lead there."""
        alias, table = self._path[steps]
        if isinstance(hop, dict):
            target, _, name = hop["back"].partition(".")
            link, step = self._world.links[target][name], target
        else:
            link, step = self._world.links[table][hop], hop
            target = link.table
        new = f"t{len(self._joins)}"
        if isinstance(hop, dict):
            condition = self._matches(new, target, link, alias, table)
        else:
            condition = self._matches(alias, table, link, new, target)
        self._joins.append(f"{self._join} {name_of(target)} {new} ON {condition}")
        self._path[(*steps, step)] = (new, target)
        if isinstance(hop, dict):
            self._keys.append((new, target))
        return (*steps, step)

    def _matches(self, many: str, many_table: str, link: Link, one: str, one_table: str) -> str:
        """Return the condition that a row links to another; both sides as text."""
        many_types, one_types = self._world.types[many_table], self._world.types[one_table]
        return " AND ".join(
            f"{key_text(many, foreign, many_types[foreign])} = {key_text(one, key, one_types[key])}"
            for foreign, key in zip(link.columns, link.key, strict=True)
        )

    def tables(self) -> str:
        """Return the joins of everything asked for so far."""
        return " ".join(self._joins)

    def row_key(self) -> list[str]:
        """Return what tells rows apart, in order: the key of the table, then those of the tables reached back."""
        return [f"{alias}.{name_of(column)}" for alias, table in self._keys for column in self._world.keys[table]]

    def value(self, name: str) -> Value:
        """Return an attribute seen from the rows, or a measure of their profile."""
        measured = self._oracle.measure_of_profiles(name)
        if measured is not None:
            table, value = measured
            if table not in self._measures:
                new = self._measures[table] = f"t{len(self._joins)}"
                self._joins.append(f"LEFT JOIN {table} {new} ON {new}._id = {self.profile_id}")
            return Value(f"{self._measures[table]}.{value.sql}", value.kind, value.scale)
        *steps, column = name.split(".")
        alias, table = self._path[()]
        for place in range(1, len(steps) + 1):
            prefix = tuple(steps[:place])
            if prefix not in self._path:
                link = self._world.links[table][prefix[-1]]
                new = f"t{len(self._joins)}"
                condition = self._matches(alias, table, link, new, link.table)
                self._joins.append(f"LEFT JOIN {name_of(link.table)} {new} ON {condition}")
                self._path[prefix] = (new, link.table)
            alias, table = self._path[prefix]
        return self._oracle.column(alias, table, column)

    def condition(self, where: Mapping[str, Any]) -> str:
        """Return a condition: true, false, or NULL."""
        ((key, value),) = where.items()
        if key in ("all", "any"):
            word = " AND " if key == "all" else " OR "
            return word.join(f"({self.condition(item)})" for item in value)
        if key == "not":
            return f"NOT ({self.condition(value)})"
        if key == "in_segment":
            return f"coalesce({self.profile_id} IN (SELECT id FROM {self._oracle.members_table(value)}), false)"
        return self._oracle.values.holds(self.value(key), value)
