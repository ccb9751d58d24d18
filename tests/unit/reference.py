"""A reference evaluator in plain Python, row by row, from the meaning of definitions alone.

It shares no code with segengine: three-valued truth per row, sets of profile ids per rule. Slow and obvious on
purpose; where it and the engine differ, it decides until a person says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reference_values import bare_operator, compare, ordered_holds, text_holds

Row = Mapping[str, Any]
Truth = bool | None  # None: the value is missing
COUNTS = {
    "at_least": lambda found, wanted: found >= wanted,
    "at_most": lambda found, wanted: found <= wanted,
    "exactly": lambda found, wanted: found == wanted,
}


@dataclass(frozen=True)
class Link:
    """From columns of a row to the one row of another table; `onward`: many-to-one, may be part of a path."""

    columns: tuple[str, ...]
    table: str
    key: tuple[str, ...]
    onward: bool = True


@dataclass(frozen=True)
class World:
    """Tables with rows, types (`text`, `decimal(12,2)`, `timestamp_ntz Zone`, ...) and links."""

    zone: str
    profile_table: str
    profile_key: str
    types: Mapping[str, Mapping[str, str]]
    links: Mapping[str, Mapping[str, Link]]
    rows: Mapping[str, list[dict[str, Any]]]


def is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def id_text(value: Any) -> str | None:
    return None if is_missing(value) else str(value)


def all_of(truths: Iterable[Truth]) -> Truth:
    found = list(truths)
    return False if False in found else None if None in found else True


def any_of(truths: Iterable[Truth]) -> Truth:
    found = list(truths)
    return True if True in found else None if None in found else False


def negate(truth: Truth) -> Truth:
    return None if truth is None else not truth


class Reference:
    """Evaluates segments, given as plain YAML values, over one world."""

    def __init__(self, world: World, segments: Mapping[str, dict[str, Any]], stored: Mapping[str, set[str]]) -> None:
        self.world = world
        self.segments = segments
        self._members: dict[str, set[str]] = dict(stored)
        self._tables: dict[tuple[str, tuple[str, ...]], dict[tuple[str | None, ...], Row]] = {}
        self.profiles = {str(row[world.profile_key]): row for row in world.rows[world.profile_table]}

    def members(self, name: str) -> set[str]:
        """Return the profile ids of a segment."""
        if name not in self._members:
            segment = self.segments[name]
            if "where" in segment:
                self._members[name] = self._profile_rule(segment["where"])
            else:
                self._members[name] = self._steps(segment["rules"])
        return self._members[name] & set(self.profiles)

    # Rules

    def _steps(self, steps: list[dict[str, Any]]) -> set[str]:
        result = self._rule(steps[0])
        for step in steps[1:]:
            ((operator, rule),) = step.items()
            found = self._rule(rule)
            if operator == "union":
                result = result | found
            elif operator == "intersect":
                result = result & found
            else:
                result = result - found
        return result

    def _rule(self, rule: dict[str, Any]) -> set[str]:
        if "rules" in rule:
            return self._steps(rule["rules"])
        return self._rows_rule(rule) if "over" in rule else self._profile_rule(rule["where"])

    def _profile_rule(self, where: Any) -> set[str]:
        if where == "everyone":
            return set(self.profiles)
        table = self.world.profile_table
        return {name for name, row in self.profiles.items() if self._truth(where, row, table) is True}

    def _rows_rule(self, rule: dict[str, Any]) -> set[str]:
        over = rule["over"]
        via = rule.get("via") or self.find_path(over)
        rows_of: dict[str, list[Row]] = {name: [] for name in self.profiles}
        for row in self.world.rows[over]:
            profile = self.profile_of(over, row, via)
            if profile is not None:
                rows_of[profile].append(row)
        return {name for name, rows in rows_of.items() if self._judge(rule, rows)}

    def _judge(self, rule: dict[str, Any], rows: list[Row]) -> bool:
        over, among, where = rule["over"], rule.get("among"), rule.get("where")
        looked_at = [row for row in rows if among is None or self._truth(among, row, over) is True]
        satisfied = [where is None or self._truth(where, row, over) is True for row in looked_at]
        quantifier = rule.get("rows", "any")
        if isinstance(quantifier, dict):
            ((name, count),) = quantifier.items()
            return bool(COUNTS[name](sum(satisfied), int(count)))
        if quantifier == "all":
            return bool(satisfied) and all(satisfied)
        return any(satisfied) if quantifier == "any" else not any(satisfied)

    # Relationships

    def find_path(self, over: str) -> list[str]:
        """Return the one chain of links from a table to the profiles that visits no table twice."""
        (path,) = self._chains(over, [over])
        return path

    def _chains(self, table: str, seen: list[str]) -> list[list[str]]:
        chains = []
        for name, link in self.world.links.get(table, {}).items():
            if not link.onward or link.table in seen:
                continue
            if link.table == self.world.profile_table:
                chains.append([name])
            else:
                chains += [[name, *rest] for rest in self._chains(link.table, [*seen, link.table])]
        return chains

    def profile_of(self, table: str, row: Row, via: list[str]) -> str | None:
        """Return the id of the profile a row reaches, or None."""
        found = self.follow(table, row, via)
        return None if found is None else str(found[self.world.profile_key])

    def follow(self, table: str, row: Row | None, names: Iterable[str]) -> Row | None:
        """Return the row at the end of links, or None where one is broken."""
        for name in names:
            if row is None:
                return None
            link = self.world.links[table][name]
            key = tuple(id_text(row[column]) for column in link.columns)
            row = None if None in key else self._by_key(link.table, link.key).get(key)
            table = link.table
        return row

    def _by_key(self, table: str, key: tuple[str, ...]) -> dict[tuple[str | None, ...], Row]:
        if (table, key) not in self._tables:
            rows = self.world.rows[table]
            self._tables[table, key] = {tuple(id_text(row[column]) for column in key): row for row in rows}
        return self._tables[table, key]

    def attribute(self, name: str, row: Row, table: str) -> tuple[Any, str]:
        """Return value and type of an attribute seen from a row."""
        *steps, column = name.split(".")
        found = self.follow(table, row, steps)
        for step in steps:
            table = self.world.links[table][step].table
        return (None if found is None else found[column]), self.world.types[table][column]

    # Conditions

    def _truth(self, where: dict[str, Any], row: Row, table: str) -> Truth:
        ((key, value),) = where.items()
        if key == "all":
            return all_of(self._truth(item, row, table) for item in value)
        if key == "any":
            return any_of(self._truth(item, row, table) for item in value)
        if key == "not":
            return negate(self._truth(value, row, table))
        if key == "in_segment":
            return str(row[self.world.profile_key]) in self.members(value)
        found, type_ = self.attribute(key, row, table)
        return self._holds(found, type_, value, ignore_case=False)

    def _holds(self, found: Any, type_: str, wanted: Any, ignore_case: bool) -> Truth:
        if not isinstance(wanted, dict):
            return self._operation(found, type_, *bare_operator(type_, wanted), ignore_case)
        folds = ignore_case or wanted.get("ignore_case") == "true"
        truths: list[Truth] = []
        for operator, value in wanted.items():
            if operator == "not":
                truths.append(negate(self._holds(found, type_, value, folds)))
            elif operator not in ("ignore_case", "or_missing"):
                truths.append(self._operation(found, type_, operator, value, folds))
        together = all_of(truths)
        return any_of([together, is_missing(found)]) if wanted.get("or_missing") == "true" else together

    def _operation(self, found: Any, type_: str, operator: str, value: Any, ignore_case: bool) -> Truth:
        if operator == "empty":
            return is_missing(found) == (value == "true")
        if is_missing(found):
            return None
        literals = value if isinstance(value, list) else [value]
        if type_ == "text":
            return any(text_holds(found, operator, literal, ignore_case) for literal in literals)
        if type_ == "boolean":
            return bool(found == (operator == "is_true"))
        compared = [compare(found, literal, type_, self.world.zone) for literal in literals]
        return ordered_holds(operator, compared)
