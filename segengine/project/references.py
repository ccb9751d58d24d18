"""How definitions are kept: references by id, so that a rename of what they refer to breaks nothing.

Segments stand under `in_segment` as their id. Measures stand where attributes do, so their id is marked: `@id`; it is
read everywhere a measure's name is. A name that is also a column of some table is kept as it is: whether it means the
measure depends on where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from segengine.project.definitions import ANALYSIS_KINDS
from segengine.project.measure_names import BY_ID, measure_part
from segengine.project.measure_values import FUNCTIONS
from segengine.project.nodes import Plain
from segengine.project.project_file import Schema
from segengine.project.tokens import ExpressionError, split_tokens

_CONDITIONS = ("where", "among")
_WORD = re.compile(r"@?[^\W\d]\w*|@\w+")
Entries = dict[str, Plain]


def store_references(plain: Plain, segments: Mapping[str, str], measures: Mapping[str, str], schema: Schema) -> Plain:
    """Return a definition's plain values with names of segments and measures replaced by ids.

    Args:
        plain: The fields of a definition.
        segments: Ids of segments by name.
        measures: Ids of measures by name.
        schema: The columns of all tables.
    """
    columns = {column for table in schema.columns.values() for column in table}
    marked = {name: BY_ID + identity for name, identity in measures.items() if name not in columns}
    return _Rewriter(segments, marked).definition(plain)


def group_names(plain: Plain) -> set[str]:
    """Return what the groups of a measure call their columns; nothing of other definitions."""
    if not isinstance(plain, dict) or plain.get("kind") != "measure":
        return set()
    values, per = plain.get("values"), plain.get("per")
    names = set(values) if isinstance(values, dict) else set()
    for dimension in per if isinstance(per, list) else [per]:
        if isinstance(dimension, str):
            names.add(dimension.replace(".", "_"))
        elif isinstance(dimension, dict):
            names |= {*dimension, str(dimension.get("as"))}
    return names


def show_references(plain: Plain, names: Mapping[str, str]) -> Plain:
    """Return a definition's plain values with ids of segments and measures replaced by their names."""
    return _Rewriter(names, {BY_ID + identity: name for identity, name in names.items()}).definition(plain)


def refers_to(plain: Plain, identity: str) -> bool:
    """Return whether a definition's stored plain values refer to a segment or measure by its id."""
    return show_references(plain, {identity: "\0"}) != plain


@dataclass(frozen=True)
class _Rewriter:
    """Replaces references in the places where they can stand."""

    segments: Mapping[str, str]
    measures: Mapping[str, str]

    def definition(self, plain: Plain) -> Plain:
        if not isinstance(plain, dict):
            return plain
        if plain.get("kind") == "measure":
            return self._measure(plain)
        if plain.get("kind") == "consumer":
            return self._consumer(plain)
        if plain.get("kind") in ("expansion", *ANALYSIS_KINDS):
            return self._model(plain)
        return self._rules(plain)

    def _model(self, plain: Entries) -> Plain:
        """Return an expansion or an analysis: segments stand alone or in a list, fields by their names."""
        found = dict(plain)
        for name in ("source", "candidates", "of", "against"):
            if isinstance(segment := plain.get(name), str):
                found[name] = self.segments.get(segment, segment)
        if isinstance(segments := plain.get("overlap"), list):
            found["overlap"] = [self.segments.get(each, each) if isinstance(each, str) else each for each in segments]
        if isinstance(sides := plain.get("differentiators"), dict):
            found["differentiators"] = self._model(sides)
        if isinstance(target := plain.get("improve"), str):
            found["improve"] = self._name(target)
        for name in ("fields", "influences"):
            if isinstance(fields := plain.get(name), list):
                found[name] = [self._name(each) if isinstance(each, str) else self._condition(each) for each in fields]
        return found

    def _consumer(self, plain: Entries) -> Plain:
        uses, known = plain.get("uses"), {**self.measures, **self.segments}
        found: list[Plain] = [known.get(str(name), name) for name in (uses if isinstance(uses, list) else [uses])]
        return {**plain, "uses": found} if "uses" in plain else plain

    def _rules(self, plain: Plain) -> Plain:
        """Return a segment, a rule or a list of rules."""
        if isinstance(plain, list):
            return [self._rules(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        nested = ("rules", "union", "intersect", "except")
        return {
            key: self._condition(item) if key in _CONDITIONS else self._rules(item) if key in nested else item
            for key, item in plain.items()
        }

    def _condition(self, plain: Plain) -> Plain:
        if isinstance(plain, list):
            return [self._condition(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        found: Entries = {}
        for key, item in plain.items():
            if key == "in_segment":
                found[key] = self.segments.get(item, item) if isinstance(item, str) else item
            elif key in ("all", "any", "not"):
                found[key] = self._condition(item)
            else:
                found[self._name(key)] = item
        return found

    def _measure(self, plain: Entries) -> Plain:
        over = plain.get("over")
        values = plain.get("values")
        names = values if isinstance(values, dict) else {str(plain.get("name")): None}
        # Of the groups of a measure with one value, that value is called as the measure is.
        groups = {over: self.measures[over]} if isinstance(over, str) and over in self.measures else {}
        found = dict(plain)
        if groups:
            found["over"] = groups[str(over)]
        if "where" in plain:
            found["where"] = self._condition(plain["where"])
        if "value" in plain:
            found["value"] = self._value(plain["value"], names, groups)
        if isinstance(values, dict):
            found["values"] = {name: self._value(value, names, groups) for name, value in values.items()}
        return found

    def _value(self, plain: Plain, own: Collection[str], groups: Mapping[str, str]) -> Plain:
        if not isinstance(plain, dict):
            return plain
        found = dict(plain)
        for key, item in plain.items():
            if key == "where":
                found[key] = self._condition(item)
            elif key == "expression" and isinstance(item, str):
                found[key] = self._expression(item, own)
            elif key in (*FUNCTIONS, "by") and isinstance(item, str) and groups:
                found[key] = groups.get(item) or _Rewriter({}, groups)._expression(item, ())
        return found

    def _name(self, name: str) -> str:
        """Return a dotted name with the measure in it replaced."""
        parts = name.split(".")
        at = measure_part(parts, self.measures)
        if at is not None:
            parts[at] = self.measures[parts[at]]
        return ".".join(parts)

    def _expression(self, text: str, own: Collection[str]) -> str:
        """Return an expression with measures replaced; values of the measure itself come first."""
        try:
            tokens = split_tokens(text)
        except ExpressionError:
            return text
        for token in reversed(tokens):
            if token.kind == "name" and token.text not in own and self._name(token.text) != token.text:
                parts = [part if _WORD.fullmatch(part) else f"`{part}`" for part in self._name(token.text).split(".")]
                text = f"{text[: token.start]}{'.'.join(parts)}{text[token.end :]}"
        return text
