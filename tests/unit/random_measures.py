"""Random measures and segments that use each other, over a random world."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from random_definitions import RandomSegments, Segments
from random_expressions import draw_arithmetic, is_number
from random_paths import Subject, Way
from random_worlds import random_world
from reference import Joined, Reference
from reference_expressions import MAX_SCALE
from reference_measures import (
    OWNER,
    PERIODS,
    PICKS,
    MeasureReference,
    columns_of,
    dimensions_of,
    is_attribute,
    is_business,
)
from reference_times import PARTS
from reference_values import FailedError, is_missing, is_time, scale_of
from worlds import Case, World

FUNCTIONS = (
    *("sum", "sum", "average", "average", "count", "count", "count_unique", "max", "min"),
    *("first", "last", "arg_max", "arg_min"),
)
REPLACEMENTS = {
    "text": ("none", "😀", "a"),
    "boolean": ("true", "false"),
    "date": ("1970-01-01", "2024-02-29"),
    "timestamp": ("2020-02-29T12:00:00Z", "2018-11-04T02:30:00Z"),
    "double": ("0", "0.5"),
    "float": ("0", "0.5"),
}
ATTEMPTS = 12


class RandomMeasures(RandomSegments):
    """Draws measures and segments; later ones may refer to earlier ones."""

    def __init__(self, choose: random.Random, world: World, stored: Mapping[str, set[str]]) -> None:
        super().__init__(choose, world, list(stored))
        self.segments: dict[str, dict[str, Any]] = {}
        self.measures: dict[str, dict[str, Any]] = {}
        self.reference = MeasureReference(world, self.segments, stored, self.measures)
        self._around.reference = self.reference
        self._world = world
        self._columns: list[Subject] = []
        self._groups: list[Way] = []
        self._tables = [self._whole_table(table) for table in world.rows]

    def add_segment(self, name: str) -> None:
        """Draw a segment; one with a result may be used by what is drawn later."""
        self.segments[name] = self.draw(name)
        try:
            self.reference.members(name)
        except FailedError:
            return
        if len(self.parents) < 12:
            self.parents.append(name)

    def add_measure(self, name: str) -> None:
        """Draw a measure; nearly always one with a result, which may be used by what is drawn later."""
        for _ in range(ATTEMPTS):
            self.measures[name] = measure = self._measure(name)
            try:
                computed = self.reference.computed(name)
            except FailedError:
                if self._choose.random() < 0.04:
                    return
                self.reference.forget(name)
                continue
            if is_attribute(measure):
                for column, value in columns_of(measure).items():
                    found = tuple(row[value] for row in computed.values.values() if not is_missing(row[value]))
                    self._columns.append(Subject(column, computed.types[value], found))
                own = [subject for subject in self._around.profiles.subjects if subject not in self._columns]
                self._around.profiles = replace(self._around.profiles, subjects=(*own, *self._columns[-8:]))
            elif not is_business(measure):
                self._groups.append(self._group_rows(name))
            return
        del self.measures[name]

    # Where rows come from

    def _whole_table(self, table: str) -> Way:
        rows = tuple(Joined(table, (), (row,)) for row in self._world.rows[table])
        return Way(table, None, (), rows, self._around.subjects(table, ()))

    def _group_rows(self, name: str) -> Way:
        self.reference.add_table(name)
        world = self.reference.world
        rows = tuple(Joined(name, (), (row,)) for row in world.rows[name])
        subjects = tuple(
            Subject(column, type_, tuple(row[column] for row in world.rows[name] if row[column] is not None))
            for column, type_ in world.types[name].items()
            if column != OWNER
        )
        return Way(name, None, (), rows, subjects)

    def _rows_of(self, business: bool) -> Way:
        if self._groups and self._choose.random() < 0.3:
            return self._choose.choice(self._groups)
        return self._choose.choice(self._tables if business or not self._around.ways else self._around.ways)

    # Measures

    def _measure(self, name: str) -> dict[str, Any]:
        draw = self._choose.random()
        base: dict[str, Any] = {"kind": "measure", "name": name}
        if draw < 0.15:
            written = base | {"per": "customer"}
            expression = self._expression(self._profile_operands())
            if expression:
                return written | {"value": self._replaced(*expression)}
        business = draw > 0.7 or not self._around.ways
        way = self._rows_of(business)
        dimensions = [] if draw < 0.5 else self._dimensions(way, 0 if business else 1)
        if not dimensions:
            per: Any = "business" if business else "customer"
        else:
            per = dimensions if business else ["customer", *dimensions]
        written = base | {"per": per, "over": way.over}
        if way.via is not None and not business:
            written["via"] = list(way.via)
        if self._choose.random() < 0.4:
            written["where"] = self._filter(way, business)
        values = self._values(name, way, business, attribute=per == "customer")
        if len(values) == 1 and self._choose.random() < 0.8:
            return written | {"value": next(iter(values.values()))}
        return written | {"values": values}

    def _filter(self, way: Way, business: bool) -> dict[str, Any]:
        reaches = not business or way in self._groups or way.over == self._world.profile_table
        reaches = reaches or len(self.reference.chains(way.over, (way.over,))) == 1
        return self._where(way, self._choose.choice((0, 1, 1, 2)), "top" if reaches else "nowhere")

    def _dimensions(self, way: Way, least: int) -> list[Any]:
        found: list[Any] = []
        names: set[str] = set()
        for _ in range(self._choose.choice((least, 1, 1, 2, 2))):
            subject = self._choose.choice(way.subjects)
            item = self._dimension(subject)
            (dimension,) = dimensions_of({"per": [item]})
            if dimension.name.lower() not in names and len(found) < 2:
                names.add(dimension.name.lower())
                found.append(item)
        return found

    def _dimension(self, subject: Subject) -> Any:
        if is_time(subject.type) and self._choose.random() < 0.85:
            parts = [part for part in PARTS if subject.type != "date" or part != "hour_of"]
            of = self._choose.choice((*PERIODS, "month", *parts))
            named = {"as": f"{of}_{len(subject.name)}"} if self._choose.random() < 0.3 else {}
            return {of: subject.name, **named}
        return subject.name

    # Values

    def _values(self, measure: str, way: Way, business: bool, *, attribute: bool) -> dict[str, dict[str, Any]]:
        values: dict[str, dict[str, Any]] = {}
        known: list[Subject] = []
        for number in range(self._choose.choice((1, 1, 2, 3, 4))):
            operands = [*known, *(self._profile_operands() if attribute and self._choose.random() < 0.4 else ())]
            expression = self._expression(operands) if known and self._choose.random() < 0.45 else None
            if expression:
                value, type_ = self._replaced(*expression), expression[1]
            else:
                value, type_ = self._aggregate(way, business)
            values[f"{measure}v{number}"] = value
            known.append(Subject(f"{measure}v{number}", type_, ()))
        return values

    def _expression(self, operands: Sequence[Subject]) -> tuple[dict[str, Any], str] | None:
        drawn = draw_arithmetic(self._choose, operands, self._choose.choice((1, 1, 2, 3)))
        return ({"expression": drawn[0]}, drawn[1]) if drawn else None

    def _profile_operands(self) -> list[Subject]:
        """Return some attributes of the profile, measures among them."""
        subjects = self._around.profiles.subjects
        found = self._choose.sample(subjects, min(4, len(subjects)))
        measured = self._choose.sample(self._columns, min(3, len(self._columns)))
        return list(dict.fromkeys((*found, *measured)))

    def _replaced(self, value: dict[str, Any], type_: str) -> dict[str, Any]:
        if self._choose.random() > 0.3 or scale_of(type_) == MAX_SCALE:  # no whole number fits that scale
            return value
        pool = REPLACEMENTS.get(type_, ("0", "-1", "7") if is_number(type_) else ())
        return {**value, "if_missing": self._choose.choice(pool)} if pool else value

    def _aggregate(self, way: Way, business: bool) -> tuple[dict[str, Any], str]:
        """Return a value that is made of rows, and its type."""
        value = self._function(way)
        if self._choose.random() < 0.3:
            value["where"] = self._filter(way, business)
        type_ = self.reference.type_of(way.over, way.via, value)
        never_missing = any(function in value for function in ("sum", "count", "count_unique"))
        return (value if never_missing else self._replaced(value, type_)), type_

    def _function(self, way: Way) -> dict[str, Any]:
        choose = self._choose
        function = choose.choice(FUNCTIONS)
        subjects = list(way.subjects)
        if function in PICKS:
            orders = [subject for subject in subjects if is_number(subject.type) or is_time(subject.type)]
            if orders:
                return {function: choose.choice(subjects).name, "by": choose.choice(orders).name}
            function = "count_unique"
        if function == "count" and choose.random() < 0.5:
            return {"count": "rows"}
        if function in ("sum", "average", "min", "max"):
            spare = 6 if function == "average" else 0
            drawn = draw_arithmetic(choose, subjects, choose.choice((1, 2)), spare) if choose.random() < 0.35 else None
            times = function in ("min", "max")
            fitting = [one.name for one in subjects if is_number(one.type) or (times and is_time(one.type))]
            if drawn:
                return {function: drawn[0]}
            if fitting:
                return {function: choose.choice(fitting)}
            function = "count"
        return {function: choose.choice(subjects).name}

    # Conditions

    def _leaf(self, way: Way, segments: Segments) -> dict[str, Any]:
        """Return one condition, sometimes on a measure of the profile."""
        is_profile = way.over == self._world.profile_table and not way.hops and segments == "anywhere"
        if self._columns and segments != "nowhere" and not is_profile and self._choose.random() < 0.12:
            return self._on_measure()
        return super()._leaf(way, segments)

    def _item(self, way: Way, depth: int, segments: Segments) -> dict[str, Any]:
        if segments == "top" and self._columns and self._choose.random() < 0.15:
            return self._on_measure()
        return super()._item(way, depth, segments)

    def _on_measure(self) -> dict[str, Any]:
        subject = self._choose.choice(self._columns)
        return {subject.name: self._judged(subject)}


def draw_measures(seed: int, measure_count: int, segment_count: int) -> Case:
    """Return a random project with measures and segments; the same for the same arguments."""
    choose = random.Random(f"measures {seed} {measure_count} {segment_count}")
    world = random_world(choose)
    ids = sorted(Reference(world, {}, {}).profiles)
    stored = {f"old_{number}": set(choose.sample(ids, number * 4)) for number in range(3)}
    drawing = RandomMeasures(choose, world, stored)
    kinds = [drawing.add_measure] * measure_count + [drawing.add_segment] * segment_count
    choose.shuffle(kinds)
    for number, add in enumerate(kinds):
        add(f"{'m' if add == drawing.add_measure else 's'}{number}")
    return Case(world, list(drawing.segments.values()), stored, list(drawing.measures.values()))
