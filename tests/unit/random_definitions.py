"""Random definitions over a random world: the whole rule language, with values near those the rows have."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

from random_paths import Subject, Surroundings, Way
from random_values import PATTERNS, PERIODS, draw_duration, literal_order, other_literals, write_literal
from random_worlds import random_world
from reference import AGGREGATES, MODIFIERS, Reference
from reference_times import NAMES, PARTS, part_of
from reference_values import is_time
from worlds import Case, World

Segments = Literal["anywhere", "top", "nowhere"]  # where `in_segment` may stand
SAMPLE = 25  # rows a condition is tried on
TRIES = 4
NUMBER_OPERATORS = ("equals", "any_of", "greater_than", "at_least", "less_than", "at_most")
TIME_OPERATORS = ("on_day", "before", "after", "on_or_before", "on_or_after")
TEXT_OPERATORS = ("equals", "any_of", "begins_with", "ends_with", "contains", "matches")


class RandomSegments:
    """Draws definitions as plain values; later ones may refer to earlier ones."""

    def __init__(self, choose: random.Random, world: World, parents: list[str]) -> None:
        self._choose = choose
        self.parents = parents
        self._zone = world.zone
        self._around = Surroundings(world, choose)

    def draw(self, name: str) -> dict[str, Any]:
        """Return one definition."""
        base: dict[str, Any] = {"kind": "segment", "name": name}
        if self._choose.random() < 0.25:
            return {**base, "where": self._profile_where(self._choose.choice((0, 1, 2, 3)))}
        return {**base, "rules": self._steps(depth=2)}

    def _steps(self, depth: int) -> list[dict[str, Any]]:
        first = self._rule(depth)
        more = self._choose.choice((0, 0, 0, 1, 1, 2, 3))
        operators = ("union", "intersect", "except")
        return [first, *({self._choose.choice(operators): self._rule(depth)} for _ in range(more))]

    def _rule(self, depth: int) -> dict[str, Any]:
        draw = self._choose.random()
        if depth and draw < 0.12:
            return {"rules": self._steps(depth - 1)}
        if draw < 0.25 or not self._around.ways:
            where = "everyone" if draw < 0.13 else self._profile_where(self._choose.choice((0, 1, 2)))
            return {"where": where}
        return self._rows_rule(self._choose.choice(self._around.ways))

    def _profile_where(self, depth: int) -> dict[str, Any]:
        return self._where(self._around.profiles, depth, "anywhere")

    def _rows_rule(self, way: Way) -> dict[str, Any]:
        rule: dict[str, Any] = {"over": way.over}
        if way.via is not None:
            rule["via"] = list(way.via)
        aggregated = self._choose.random() < 0.35
        quantifier = self._choose.choice(("", "any", "all", "all", "none", "at_least", "at_most", "exactly"))
        segments: Segments = "anywhere" if quantifier in ("", "any") and not aggregated else "top"
        for part, share in (("among", 0.4 if quantifier == "all" else 0.25), ("where", 0.5 if aggregated else 0.9)):
            if self._choose.random() < share:
                rule[part] = self._where(way, self._choose.choice((0, 1, 1, 2)), segments)
        if aggregated:
            return rule | self._aggregates(way, rule)
        if quantifier in ("at_least", "at_most", "exactly"):
            rule["rows"] = {quantifier: str(self._choose.choice((0, 1, 1, 2, 2, 3, 5)))}
        elif quantifier and (quantifier != "all" or "where" in rule):
            rule["rows"] = quantifier
        return rule

    def _aggregates(self, way: Way, rule: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for function in self._choose.sample(AGGREGATES, self._choose.choice((1, 1, 1, 2))):
            fitting = [subject for subject in way.subjects if _fits(function, subject.type)]
            near = [subject for subject in fitting if "." not in subject.name]
            fitting = near if near and self._choose.random() < 0.6 else fitting
            for subject in self._choose.sample(fitting, min(len(fitting), self._choose.choice((1, 1, 2)))):
                value = self._around.aggregated(function, subject, way, rule)
                if value is not None:
                    found.setdefault(function, {})[subject.name] = self._judged(value)
        return found or {"rows": {"at_least": "2"}}

    # Conditions

    def _where(self, way: Way, depth: int, segments: Segments) -> dict[str, Any]:
        draw = self._choose.random()
        if depth and draw < 0.75:
            if draw < 0.12:
                return {"not": self._where(way, depth - 1, "anywhere" if segments == "anywhere" else "nowhere")}
            word = self._choose.choice(("all", "any"))
            below: Segments = segments if word == "all" or segments == "anywhere" else "nowhere"
            count = self._choose.choice((1, 2, 2, 3))
            items = [self._item(way, depth - 1, below) for _ in range(count)]
            return {word: items}
        return self._leaf(way, segments)

    def _item(self, way: Way, depth: int, segments: Segments) -> dict[str, Any]:
        """Return an item of `all` or `any`; where only the top is open to `in_segment`, the item itself may be one."""
        if segments == "top" and not (self.parents and self._choose.random() < 0.15):
            segments = "nowhere"
        elif segments == "top":
            return {"in_segment": self._choose.choice(self.parents)}
        return self._where(way, depth, segments)

    def _leaf(self, way: Way, segments: Segments) -> dict[str, Any]:
        """Return one condition, mostly one that tells some rows from others."""
        if self.parents and segments != "nowhere" and self._choose.random() < 0.12:
            return {"in_segment": self._choose.choice(self.parents)}
        for _ in range(TRIES):
            subject = self._subject(way)
            condition = {subject.name: self._wanted(subject)}
            if len({self._around.reference.truth(condition, row) is True for row in way.rows[:SAMPLE]}) > 1:
                break
        return condition

    def _subject(self, way: Way) -> Subject:
        """Return an attribute: often one of the rows' own table, often a time."""
        fitting = way.subjects
        for share, chosen in (
            (0.4, [subject for subject in fitting if "." not in subject.name]),
            (0.35, [subject for subject in fitting if is_time(subject.type)]),
        ):
            if chosen and self._choose.random() < share:
                fitting = tuple(subject for subject in chosen if subject in fitting) or fitting
        return self._choose.choice(fitting)

    def _judged(self, subject: Subject) -> Any:
        """Return what is wanted of an aggregate, mostly something that tells some profiles from others."""
        for _ in range(TRIES):
            wanted = self._wanted(subject)
            found = {self._around.reference.holds(value, subject.type, wanted) is True for value in subject.values}
            if len(found) > 1:
                break
        return wanted

    def _wanted(self, subject: Subject) -> Any:
        draw = self._choose.random()
        if draw < 0.12:
            return self._literal(subject)
        if draw < 0.22 and not is_time(subject.type) and subject.type != "boolean":
            return [self._literal(subject) for _ in range(self._choose.choice((1, 2, 4)))]
        return self._operator_map(subject, depth=1)

    def _literal(self, subject: Subject) -> str:
        if subject.values and self._choose.random() < 0.85:
            value = self._choose.choice(subject.values)
            return write_literal(self._choose, value, subject.type, self._zone)
        return other_literals(subject.type)(self._choose)

    def _operator_map(self, subject: Subject, depth: int) -> dict[str, Any]:
        wanted: dict[str, Any] = {}
        for _ in range(self._choose.choice((1, 1, 1, 2))):
            if depth and self._choose.random() < 0.25:
                plain = self._literal(subject)
                wanted["not"] = self._choose.choice((self._operator_map(subject, depth - 1), plain))
            else:
                wanted |= self._operator(subject)
        if self._choose.random() < 0.2:
            wanted["or_missing"] = "true"
        if subject.type == "text" and self._choose.random() < 0.4:
            wanted = self._choose.choice((wanted, _recased(wanted))) | {"ignore_case": "true"}
        return wanted

    def _operator(self, subject: Subject) -> dict[str, Any]:
        type_ = subject.type
        if self._choose.random() < 0.08:
            return {"empty": self._choose.choice(("true", "false"))}
        if type_ == "boolean":
            return {self._choose.choice(("is_true", "is_false")): "true"}
        if type_ == "text":
            return self._text_operator(subject)
        if is_time(type_):
            if self._choose.random() < 0.45:
                return self._relative(type_)
            if self._choose.random() < 0.3:
                return self._part(subject)
        if self._choose.random() < 0.2:
            return {"between": self._pair(subject)}
        return {self._choose.choice(TIME_OPERATORS if is_time(type_) else NUMBER_OPERATORS): self._literal(subject)}

    def _text_operator(self, subject: Subject) -> dict[str, Any]:
        operator = self._choose.choice(TEXT_OPERATORS)
        if operator == "matches":
            return {operator: self._choose.choice(PATTERNS)}
        if operator in ("begins_with", "ends_with", "contains") and self._choose.random() < 0.6:
            whole = self._literal(subject) or "a"
            first = 0 if operator == "begins_with" else self._choose.randrange(len(whole))
            last = len(whole) if operator == "ends_with" else self._choose.randrange(first, len(whole)) + 1
            return {operator: whole[first:last]}
        few = operator != "equals" and self._choose.random() < 0.5
        return {operator: [self._literal(subject), self._literal(subject)] if few else self._literal(subject)}

    def _pair(self, subject: Subject) -> list[str]:
        """Return two literals of which the first is not greater, so that `between` is not refused."""
        literals = [self._literal(subject), self._literal(subject)]
        return sorted(literals, key=lambda text: literal_order(text, subject.type, self._zone))

    def _relative(self, type_: str) -> dict[str, Any]:
        choose, as_of = self._choose, self._around.world.as_of
        operator = choose.choice(("within_last", "within_last", "within_next", "to_date", "anniversary_within_next"))
        if operator == "to_date":
            return {operator: choose.choice(PERIODS)}
        duration = draw_duration(choose, as_of, short=type_ != "date" and operator != "anniversary_within_next")
        rolls = type_ != "date" and operator != "anniversary_within_next" and not duration.startswith("0")
        return {operator: duration, "rolling": "true"} if rolls and choose.random() < 0.4 else {operator: duration}

    def _part(self, subject: Subject) -> dict[str, Any]:
        part = self._choose.choice([name for name in PARTS if subject.type != "date" or name != "hour_of"])
        values = tuple(part_of(value, subject.type, part, self._zone) for value in subject.values)
        wanted = self._wanted(Subject(part, "part", values))
        names = NAMES.get(part, ())
        return {part: _named(wanted, names) if names and self._choose.random() < 0.5 else wanted}


def _fits(function: str, type_: str) -> bool:
    """Return whether an aggregate of a column of a type makes sense."""
    is_number = not is_time(type_) and type_ not in ("text", "boolean")
    return function == "count_unique" or is_number or (function in ("min", "max") and is_time(type_))


def _named(wanted: Any, names: Sequence[str]) -> Any:
    """Return what is wanted of a part with names in place of numbers."""
    if isinstance(wanted, dict):
        return {key: _named(value, names) for key, value in wanted.items()}
    if isinstance(wanted, list):
        return [_named(value, names) for value in wanted]
    return names[int(wanted) - 1] if wanted.isdecimal() and 0 < int(wanted) <= len(names) else wanted


def _recased(wanted: Any) -> Any:
    """Return what is wanted of text with letters of the other case, but for patterns."""
    if isinstance(wanted, dict):
        return {
            key: value if key in ("matches", "empty", *MODIFIERS) else _recased(value) for key, value in wanted.items()
        }
    return [_recased(value) for value in wanted] if isinstance(wanted, list) else wanted.swapcase()


def draw_project(seed: int, segment_count: int) -> Case:
    """Return a random project; the same for the same arguments."""
    choose = random.Random(f"{seed} {segment_count}")
    world = random_world(choose)
    ids = sorted(Reference(world, {}, {}).profiles)
    stored = {f"old_{number}": set(choose.sample(ids, number * 4)) for number in range(3)}
    drawing = RandomSegments(choose, world, list(stored))
    segments = []
    for number in range(segment_count):
        segments.append(drawing.draw(f"s{number}"))
        if number < 10:
            drawing.parents.append(f"s{number}")
    return Case(world, segments, stored)
