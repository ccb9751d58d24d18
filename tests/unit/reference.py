"""A reference evaluator in plain Python, row by row, from the meaning of definitions alone.

It shares no code with segengine: three-valued truth per row, sets of profile ids per rule. Slow and obvious on
purpose; where it and the engine differ, it decides until a person says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reference_times import PARTS, RELATIVE, part_of, read_names, relative_holds
from reference_values import (
    aggregate,
    bare_operator,
    check_finite,
    compare,
    id_text,
    is_missing,
    ordered_holds,
    text_holds,
)
from worlds import Link, Row, World

Truth = bool | None  # None: the value is missing
COUNTS = {
    "at_least": lambda found, wanted: found >= wanted,
    "at_most": lambda found, wanted: found <= wanted,
    "exactly": lambda found, wanted: found == wanted,
}
AGGREGATES = ("sum", "average", "min", "max", "count_unique")
MODIFIERS = ("ignore_case", "or_missing", "rolling")


@dataclass(frozen=True)
class Hop:
    """One step of a path: to the one row a link leads to, or `back` to all rows whose link leads here.

    `name` is what attributes call it: the relationship, or the table reached back.
    """

    name: str
    table: str
    link: Link
    back: bool


@dataclass(frozen=True)
class Joined:
    """One row of a path: a row at the start, one after each hop; the last is the profile."""

    start: str
    hops: tuple[Hop, ...]
    rows: tuple[Row, ...]


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
        self._tables: dict[tuple[str, tuple[str, ...]], dict[tuple[str | None, ...], list[Row]]] = {}
        self._joined: dict[tuple[str, str], list[Joined]] = {}
        rows = world.rows[world.profile_table]
        self.profiles = {name: row for row in rows if (name := id_text(row[world.profile_key])) is not None}

    def members(self, name: str) -> set[str]:
        """Return the profile ids of a segment.

        Raises:
            FailedError: An infinite value, or one out of range, is in its way.
        """
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
        return {name for name, row in self.profiles.items() if self.truth(where, Joined(table, (), (row,))) is True}

    def _rows_rule(self, rule: dict[str, Any]) -> set[str]:
        rows_of: dict[str, list[Joined]] = {name: [] for name in self.profiles}
        for joined in self.joined_rows(rule["over"], rule.get("via")):
            rows_of[self.profile_of(joined)].append(joined)
        judge = self._judge_values if any(name in rule for name in AGGREGATES) else self._judge_rows
        return {name for name, rows in rows_of.items() if judge(rule, rows)}

    def _judge_rows(self, rule: dict[str, Any], rows: list[Joined]) -> bool:
        looked_at = [row for row in rows if self._holds_on(rule.get("among"), row)]
        satisfied = [self._holds_on(rule.get("where"), row) for row in looked_at]
        quantifier = rule.get("rows", "any")
        if isinstance(quantifier, dict):
            ((name, count),) = quantifier.items()
            return COUNTS[name](sum(satisfied), int(count))
        if quantifier == "all":
            return bool(satisfied) and all(satisfied)
        return any(satisfied) if quantifier == "any" else not any(satisfied)

    def _judge_values(self, rule: dict[str, Any], rows: list[Joined]) -> bool:
        satisfied = [r for r in rows if self._holds_on(rule.get("among"), r) and self._holds_on(rule.get("where"), r)]
        hops = self.path(rule["over"], rule.get("via"))
        truths = []
        for function in AGGREGATES:
            for name, wanted in rule.get(function, {}).items():
                type_ = self.attribute_type(name, rule["over"], hops)
                values = [check_finite(self.attribute(name, row)) for row in satisfied]
                truths.append(self.holds(*aggregate(function, values, type_, self.world.zone), wanted))
        return all_of(truths) is True

    def _holds_on(self, where: dict[str, Any] | None, row: Joined) -> bool:
        return where is None or self.truth(where, row) is True

    # Relationships

    def path(self, over: str, via: Sequence[Any] | str | None) -> tuple[Hop, ...]:
        """Return the hops of a rule's path: those named, or the one chain that visits no table twice."""
        if via is None:
            (via,) = self.chains(over, (over,))
        hops, table = [], over
        for step in [via] if isinstance(via, str) else via:
            if isinstance(step, dict):
                source, _, name = step["back"].partition(".")
                hops.append(Hop(source, source, self.world.links[source][name], back=True))
            else:
                link = self.world.links[table][step]
                hops.append(Hop(step, link.table, link, back=False))
            table = hops[-1].table
        return tuple(hops)

    def chains(self, table: str, seen: tuple[str, ...]) -> list[list[str]]:
        """Return the names of every chain of many-to-one links to the profiles that visits no table twice."""
        chains = []
        for name, link in self.world.links[table].items():
            if not link.onward or link.table in seen:
                continue
            if link.table == self.world.profile_table:
                chains.append([name])
            else:
                chains += [[name, *rest] for rest in self.chains(link.table, (*seen, link.table))]
        return chains

    def joined_rows(self, over: str, via: Sequence[Any] | str | None) -> list[Joined]:
        """Return the rows of a path that reach a profile; every hop has to match."""
        if (over, repr(via)) not in self._joined:
            hops = self.path(over, via)
            found: list[tuple[Row, ...]] = [(row,) for row in self.world.rows[over]]
            for hop in hops:
                found = [(*rows, target) for rows in found for target in self._targets(hop, rows[-1])]
            self._joined[over, repr(via)] = [Joined(over, hops, rows) for rows in found]
        return self._joined[over, repr(via)]

    def profile_of(self, joined: Joined) -> str:
        """Return the id of the profile a row reaches."""
        return id_text(joined.rows[-1][self.world.profile_key]) or ""

    def _targets(self, hop: Hop, row: Row) -> list[Row]:
        here, there = hop.link.columns, hop.link.key
        if hop.back:
            here, there = there, here
        key = tuple(id_text(row[column]) for column in here)
        return [] if None in key else self._by_key(hop.table, there).get(key, [])

    def _by_key(self, table: str, key: tuple[str, ...]) -> dict[tuple[str | None, ...], list[Row]]:
        if (table, key) not in self._tables:
            found: dict[tuple[str | None, ...], list[Row]] = {}
            for row in self.world.rows[table]:
                found.setdefault(tuple(id_text(row[column]) for column in key), []).append(row)
            self._tables[table, key] = found
        return self._tables[table, key]

    def attribute_type(self, name: str, start: str, hops: Sequence[Hop]) -> str:
        """Return the type of an attribute seen from the rows of a path."""
        *steps, column = name.split(".")
        table = start
        for place, step in enumerate(steps):
            back = place < len(hops) and hops[place].back and hops[place].name == step
            table = step if back else self.world.links[table][step].table
        return self.world.types[table][column]

    def attribute(self, name: str, joined: Joined) -> Any:
        """Return the value of an attribute seen from a row.

        Its steps follow the row's own path as long as they are the same; from there on they are look-ups.
        """
        *steps, column = name.split(".")
        table, row, on_path = joined.start, joined.rows[0], True
        for place, step in enumerate(steps):
            hop = joined.hops[place] if on_path and place < len(joined.hops) else None
            if hop is not None and hop.name == step:
                table, row = hop.table, joined.rows[place + 1]
                continue
            on_path = False
            link = self.world.links[table][step]
            targets = self._targets(Hop(step, link.table, link, back=False), row)
            if not targets:
                return None
            table, row = link.table, targets[0]
        return row[column]

    # Conditions

    def truth(self, where: dict[str, Any], row: Joined) -> Truth:
        """Return the truth of a condition on one row."""
        ((key, value),) = where.items()
        if key == "all":
            return all_of(self.truth(item, row) for item in value)
        if key == "any":
            return any_of(self.truth(item, row) for item in value)
        if key == "not":
            return negate(self.truth(value, row))
        if key == "in_segment":
            return self.profile_of(row) in self.members(value)
        type_ = self.attribute_type(key, row.start, row.hops)
        return self.holds(check_finite(self.attribute(key, row)), type_, value)

    def holds(self, found: Any, type_: str, wanted: Any, ignore_case: bool = False) -> Truth:
        """Return the truth of what is wanted of one value."""
        if not isinstance(wanted, dict):
            return self._operation(found, type_, *bare_operator(type_, wanted), ignore_case)
        folds = ignore_case or wanted.get("ignore_case") == "true"
        rolls = wanted.get("rolling") == "true"
        truths: list[Truth] = []
        for operator, value in wanted.items():
            if operator == "not":
                truths.append(negate(self.holds(found, type_, value, folds)))
            elif operator not in MODIFIERS:
                truths.append(self._operation(found, type_, operator, value, folds, rolls))
        together = all_of(truths)
        return any_of([together, is_missing(found)]) if wanted.get("or_missing") == "true" else together

    def _operation(
        self, found: Any, type_: str, operator: str, value: Any, ignore_case: bool, rolling: bool = False
    ) -> Truth:
        zone = self.world.zone
        if operator in PARTS:
            part = None if is_missing(found) else part_of(found, type_, operator, zone)
            return self.holds(part, "integer", read_names(value, operator))
        if operator == "empty":
            return is_missing(found) == (value == "true")
        if is_missing(found):
            return None
        if operator in RELATIVE:
            return relative_holds(found, type_, operator, value, rolling, self.world.as_of, zone)
        literals = value if isinstance(value, list) else [value]
        if type_ == "text":
            return any(text_holds(found, operator, literal, ignore_case) for literal in literals)
        if type_ == "boolean":
            return bool(found == (operator == "is_true"))
        return ordered_holds(operator, [compare(found, literal, type_, zone) for literal in literals])
