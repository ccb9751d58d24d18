"""What random definitions of a world may use: the paths to its profiles and the attributes seen from each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reference import Hop, Joined, Reference
from reference_values import FailedError, aggregate, is_missing
from worlds import World

MAX_JOINED = 250


@dataclass(frozen=True)
class Subject:
    """What a condition is about: an attribute's name, its type, and values it has."""

    name: str
    type: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Way:
    """A path a rule may take, as it is written, with its rows and the attributes seen from them."""

    over: str
    via: tuple[Any, ...] | None
    hops: tuple[Hop, ...]
    rows: tuple[Joined, ...]
    subjects: tuple[Subject, ...]


class Surroundings:
    """What may be used in a world: its paths and the attributes seen from each of them."""

    def __init__(self, world: World, choose: random.Random) -> None:
        self.world = world
        self.reference = Reference(world, {}, {})
        self._choose = choose
        table = world.profile_table
        profiles = tuple(Joined(table, (), (row,)) for row in world.rows[table])
        self.profiles = Way(table, None, (), profiles, self.subjects(table, ()))
        self.ways = [way for way in self._ways() if way.rows]

    def subjects(self, over: str, hops: tuple[Hop, ...]) -> tuple[Subject, ...]:
        """Return the attributes of a table, of its look-ups, and of the tables a path reaches back."""
        found = self._seen_from(over, "", 3 if self._choose.random() < 0.3 else 2)
        prefix = ""
        for hop in hops:
            prefix = f"{prefix}{hop.name}."
            if hop.back:
                found += self._seen_from(hop.table, prefix, 1)
        return tuple(found)

    def _seen_from(self, table: str, prefix: str, depth: int) -> list[Subject]:
        world = self.world
        found = []
        for column, type_ in world.types[table].items():
            is_link = any(column in link.columns for link in world.links[table].values())
            if not is_link or self._choose.random() < 0.15:
                values = tuple(row[column] for row in world.rows[table] if not is_missing(row[column]))
                found.append(Subject(prefix + column, type_, values))
        for name, link in world.links[table].items() if depth else ():
            found += self._seen_from(link.table, f"{prefix}{name}.", depth - 1)
        return found

    def _ways(self) -> list[Way]:
        world, ways = self.world, []
        selves = [name for name, link in world.links[world.profile_table].items() if link.table == world.profile_table]
        for table in world.rows:
            chains = self.reference.chains(table, (table,)) if table != world.profile_table else []
            if len(chains) == 1:
                ways += [self._way(table, None)] * 2
            ways += [self._way(table, chain) for chain in chains]
            if chains and selves:
                ways.append(self._way(table, [*chains[0], selves[0]]))
        for name in selves:
            ways += [self._way(world.profile_table, [name]), self._way(world.profile_table, [name, name])]
        for _ in range(30):
            way = self._back_walk()
            if way is not None and len(way.rows) <= MAX_JOINED:
                ways.append(way)
        return ways

    def _way(self, over: str, via: Sequence[Any] | None) -> Way:
        hops = self.reference.path(over, via)
        rows = tuple(self.reference.joined_rows(over, via))
        return Way(over, None if via is None else tuple(via), hops, rows, self.subjects(over, hops))

    def _back_walk(self) -> Way | None:
        """Return a path that begins anywhere and ends at the profiles, with at least one hop back."""
        world, choose = self.world, self._choose
        over = table = choose.choice(list(world.rows))
        via: list[Any] = []
        while len(via) < 4:
            forward = [(name, link.table) for name, link in world.links[table].items() if link.onward]
            back = [
                ({"back": f"{source}.{name}"}, source)
                for source, links in world.links.items()
                for name, link in links.items()
                if link.onward and link.table == table and world.links[table].get(source) is None
            ]
            steps: list[tuple[Any, str]] = back * 2 + forward
            if not steps:
                return None
            step, table = choose.choice(steps)
            via.append(step)
            if table == world.profile_table and any(isinstance(step, dict) for step in via):
                return self._way(over, via) if self._size(over, via) <= MAX_JOINED else None
        return None

    def _size(self, over: str, via: Sequence[Any]) -> int:
        """Return how many rows the path has, counted hop by hop so that none grows beyond use."""
        for length in range(1, len(via) + 1):
            count = len(self.reference.joined_rows(over, via[:length]))
            if count > 4 * MAX_JOINED:
                break
        return count

    def aggregated(self, function: str, subject: Subject, way: Way, rule: dict[str, Any]) -> Subject | None:
        """Return what is judged: the aggregate, with the values it has over the rows of each profile.

        None where some profile's rows, whatever the rule, could come to more than 38 digits.
        """
        zone = self.world.zone
        try:
            for values in self._values(subject, way, {}).values() if function in ("sum", "average") else ():
                sizes = [abs(value) for value in values if not is_missing(value)]
                aggregate("sum", sizes, subject.type, zone)
                aggregate(function, [max(sizes, default=0)], subject.type, zone)
        except FailedError:
            return None
        found = [
            aggregate(function, values, subject.type, zone) for values in self._values(subject, way, rule).values()
        ]
        type_ = aggregate(function, [], subject.type, zone)[1]
        return Subject(subject.name, type_, tuple(value for value, _ in found if not is_missing(value)))

    def _values(self, subject: Subject, way: Way, rule: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the values of each profile's rows that satisfy a rule; segments are taken as having everyone."""
        found: dict[str, list[Any]] = {}
        conditions = [
            rule[part] for part in ("among", "where") if part in rule and "in_segment" not in repr(rule[part])
        ]
        for row in way.rows:
            if all(self.reference.truth(condition, row) is True for condition in conditions):
                found.setdefault(self.reference.profile_of(row), []).append(self.reference.attribute(subject.name, row))
        return found
