"""Reading `where` and `among`: attribute first, then operator, then value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segengine.errors import Level, Place
from segengine.project.attributes import Attribute
from segengine.project.date_parts import PARTS, part_of, read_part_value
from segengine.project.measure_names import Base, MeasureNames, find_named
from segengine.project.model import All, AnyOf, Condition, Everyone, Expression, InSegment, Not
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.operators import (
    BY_NAME,
    MODIFIERS,
    SCALAR_MEANS,
    WINDOWS,
    Operator,
    build_test,
    empty_test,
    modifiers_for,
    operators_for,
)
from segengine.project.paths import Unresolved
from segengine.project.problems import LATER, Problems, did_you_mean
from segengine.project.project_file import Schema, Settings
from segengine.project.types import Family, LiteralError

FindSegment = Callable[[str, Place], str | None]


@dataclass(frozen=True)
class _Manner:
    """How the operators of a map are meant: what stands beside `not` is also about the operators under it."""

    ignore_case: bool = False
    rolling: bool = False


_PLAIN = _Manner()

_COMMA_HINT = "A comma separates keys: write numbers without it, lists in [brackets], and quote text that has one."
_RELATIVE_HINT = "Relative to now: `within_last: 20 days`, `within_next: 2 weeks`, `to_date: month`."
_CONNECTIVES = {"and": "Write `all: [...]`.", "or": "Write `any: [...]`."}
_SAME_MEANING = (
    ("=", "==", "equals", "on_day"),
    (">", "gt", "greater_than", "after"),
    (">=", "gte", "at_least", "on_or_after"),
    ("<", "lt", "less_than", "before"),
    ("<=", "lte", "at_most", "on_or_before"),
    ("in", "any_of"),
)


def _same_meaning(word: str, fitting: Sequence[str]) -> str:
    """Return a hint at the fitting operator that means what a word does elsewhere, or an empty text."""
    meant = [name for names in _SAME_MEANING if word in names for name in names if name in fitting]
    return f"Write `{meant[0]}`." if meant else ""


class ExpressionReader:
    """Reads the expressions over one base: the profile's table, the rows of a path, or the groups of a measure."""

    def __init__(
        self,
        settings: Settings,
        schema: Schema,
        base: Base,
        problems: Problems,
        measures: MeasureNames | None = None,
    ) -> None:
        self._settings = settings
        self._schema = schema
        self._base = base
        self._rows = not isinstance(base, str)
        self._problems = problems
        self._measures = measures

    def read(self, node: Node, find_segment: FindSegment, *, top: bool = False) -> Expression | None:
        """Return the expression of a node, or None where it has errors (which are reported)."""
        if isinstance(node, Scalar) and node.text == "everyone" and top and not self._rows:
            return Everyone(node.place)
        if not isinstance(node, Fields):
            self._no_condition(node)
            return None
        if not node.entries:
            self._problems.add(node.place, "SEG301", "the condition is empty.", "Write `everyone` for all profiles.")
            return None
        if len(node.entries) > 1:
            keys = ", ".join(node.keys())
            hint = "Put them as items under `all:` or `any:`."
            if any(isinstance(value, Scalar) and value.text is None for _, value in node.entries):
                hint = _COMMA_HINT
            self._problems.add(node.place, "SEG203", f"one condition has several keys ({keys}).", hint)
            return None
        key, value = node.entries[0]
        word = key.text or ""
        if word in ("all", "any"):
            return self._list(word, key.place, value, find_segment)
        if word == "not":
            item = self.read(value, find_segment)
            return None if item is None else Not(item, key.place)
        if word == "in_segment":
            return self._in_segment(key.place, value, find_segment)
        return self._attribute(word, key.place, value)

    def _no_condition(self, node: Scalar | Items) -> None:
        """Report what stands where a condition should."""
        word = node.text if isinstance(node, Scalar) else None
        if isinstance(node, Items):
            message = "a condition is a list, expected `attribute: value`, `all`, `any`, `not` or `in_segment`."
            self._problems.add(node.place, "SEG203", message, "Put the list under `all:` or `any:`.")
        elif word == "everyone":
            hint = "Leave `where` out: without it every row counts." if self._rows else "Write `where: everyone`."
            self._problems.add(node.place, "SEG203", "`everyone` stands alone behind the `where` of a profile.", hint)
        elif word and " " not in word:
            hint = did_you_mean(word, ["everyone"]) if did_you_mean(word, ["everyone"]).startswith("Did") else ""
            message = f'a condition is "{word}", expected `attribute: value`, `all`, `any`, `not` or `in_segment`.'
            self._problems.add(node.place, "SEG203", message, hint)
        else:
            self._problems.wrong_form(node, "a condition", "`attribute: value`, `all`, `any`, `not` or `in_segment`")

    def _list(self, word: str, place: Place, node: Node, find_segment: FindSegment) -> Expression | None:
        if not isinstance(node, Items):
            self._problems.wrong_form(node, f"`{word}`", "a list of conditions")
            return None
        if not node.nodes:
            self._problems.add(place, "SEG301", f"`{word}` has no conditions.")
            return None
        items = [self.read(item, find_segment) for item in node.nodes]
        good = tuple(item for item in items if item is not None)
        if len(good) < len(items):
            return None
        return All(good, place) if word == "all" else AnyOf(good, place)

    def _in_segment(self, place: Place, node: Node, find_segment: FindSegment) -> Expression | None:
        if isinstance(node, Items):
            hint = "Put one `in_segment` for each under `all:` or `any:`."
            self._problems.add(node.place, "SEG203", "in_segment is a list, expected one segment.", hint)
            return None
        name = self._problems.text(node, "in_segment")
        if name is None:
            return None
        identity = find_segment(name, node.place)
        return None if identity is None else InSegment(identity, place)

    def _attribute(self, name: str, place: Place, value: Node) -> Expression | None:
        attribute = find_named(self._settings, self._schema, self._base, name, self._measures)
        if isinstance(attribute, Unresolved):
            if name in BY_NAME or name in MODIFIERS:
                hint = "Write `attribute: {operator: value}`."
                self._problems.add(place, "SEG203", f'operator "{name}" stands where an attribute should.', hint)
            elif attribute.message:
                hint = _CONNECTIVES.get(name.lower(), attribute.hint)
                if ":" in name:
                    hint = "A blank belongs behind the colon: `attribute: value`."
                self._problems.add(place, attribute.code, attribute.message, hint)
            return None
        return self.read_value(attribute, value)

    def read_value(self, attribute: Attribute, value: Node) -> Expression | None:
        """Return the conditions on one attribute: a map of operators, or a bare value."""
        if isinstance(value, Fields):
            return self._operator_map(attribute, value)
        return self._bare(attribute, value)

    def _bare(self, attribute: Attribute, value: Scalar | Items) -> Expression | None:
        """Return the condition of a value without operator: a scalar means equals, a list any_of."""
        family = attribute.type.family
        if isinstance(value, Items):
            if family not in BY_NAME["any_of"].families:
                hint = "Use `any:` with one condition each."
                self._problems.add(
                    value.place, "SEG206", f"a list does not fit {attribute.name} ({attribute.type}).", hint
                )
                return None
            return self._condition(attribute, BY_NAME["any_of"], value, value.place)
        if family is Family.BOOLEAN:
            if value.text in ("true", "false"):
                operator = BY_NAME["is_true" if value.text == "true" else "is_false"]
                return self._condition(attribute, operator, Scalar("true", value.place), value.place)
            self._null_or(value, attribute, "true or false")
            return None
        if family is Family.TEXT and value.text in BY_NAME:
            message = f'{attribute.name} is compared with the text "{value.text}", which is also an operator.'
            hint = f"Write `{_operator_form(value.text)}` for the operator, `{{equals: {value.text}}}` for the text."
            self._problems.add(value.place, "SEG305", message, hint, Level.WARNING)
        return self._condition(attribute, BY_NAME[SCALAR_MEANS[family]], value, value.place)

    def _operator_map(self, attribute: Attribute, fields: Fields, around: _Manner = _PLAIN) -> Expression | None:
        """Return the condition of a map; `around`: what stands beside the `not` it is under."""
        manner = self._manner(attribute, fields, around)
        or_missing = self._flag(fields, "or_missing")
        items: list[Expression | None] = []
        for key, value in fields.entries:
            if key.text == "not":
                items.append(self._negation(attribute, key.place, value, manner))
            elif key.text not in MODIFIERS:
                items.append(self._operation(attribute, key, value, manner))
        if not items:
            self._problems.add(fields.place, "SEG301", f"no operator is given for {attribute.name}.")
            return None
        good = tuple(item for item in items if item is not None)
        if len(good) < len(items):
            return None
        together = good[0] if len(good) == 1 else All(good, fields.place)
        if not or_missing:
            return together
        test, missing = empty_test(True)
        is_empty = Condition(attribute, test, missing, True, fields.place, f"{attribute.name} empty")
        return AnyOf((together, is_empty), fields.place)

    def _flag(self, fields: Fields, name: str) -> bool:
        return bool(self._problems.boolean(fields.get(name), name))

    def _manner(self, attribute: Attribute, fields: Fields, around: _Manner) -> _Manner:
        """Return how a map's operators are meant, reporting modifiers that fit neither its attribute nor them."""
        ignore_case, rolling = self._flag(fields, "ignore_case"), self._flag(fields, "rolling")
        for name, given in (("ignore_case", ignore_case), ("rolling", rolling)):
            if given and name not in modifiers_for(attribute.type.family):
                message = f"{name} does not fit {attribute.name} ({attribute.type})."
                is_whole_day = name == "rolling" and attribute.type.family is Family.DATE
                hint = "A date has no time of day: leave it out." if is_whole_day else ""
                self._problems.add(fields.key_place(name), "SEG206", message, hint)
        if rolling and attribute.type.family is Family.TIMESTAMP and not _has_window(fields):
            message = f"{attribute.name}: rolling has no within_last or within_next beside it."
            self._problems.add(fields.key_place("rolling"), "SEG206", message)
        return _Manner(ignore_case or around.ignore_case, rolling or around.rolling)

    def _negation(self, attribute: Attribute, place: Place, value: Node, manner: _Manner) -> Expression | None:
        if isinstance(value, Fields):
            inner = self._operator_map(attribute, value, manner)
        elif manner.ignore_case and attribute.type.family is Family.TEXT:
            # The modifier beside `not` is about the value under it.
            name = "any_of" if isinstance(value, Items) else "equals"
            inner = self._condition(attribute, BY_NAME[name], value, value.place, manner)
        else:
            inner = self._bare(attribute, value)
        return None if inner is None else Not(inner, place)

    def _operation(self, attribute: Attribute, key: Scalar, value: Node, manner: _Manner) -> Expression | None:
        operator = BY_NAME.get(key.text or "")
        fitting = [known.name for known in operators_for(attribute.type.family)]
        if operator is None and key.text in LATER:
            self._problems.add(key.place, "SEG211", f'operator "{key.text}" is not supported by this version yet.')
            return None
        if operator is None:
            if isinstance(value, Scalar) and value.text is None:
                hint = _COMMA_HINT
            else:
                hint = _same_meaning(key.text or "", fitting) or did_you_mean(
                    key.text or "", [*fitting, *modifiers_for(attribute.type.family)]
                )
            self._problems.add(key.place, "SEG205", f'there is no operator "{key.text}".', hint)
            return None
        if operator.name not in fitting:
            message = f"operator {operator.name} does not fit {attribute.name} ({attribute.type})."
            hint = _same_meaning(operator.name, fitting) or f"Fitting: {', '.join(fitting)}."
            self._problems.add(key.place, "SEG206", message, hint)
            return None
        if operator.argument == "part":
            part = part_of(attribute, operator.name, self._settings.time_zone)
            return self._operator_map(part, value) if isinstance(value, Fields) else self._bare(part, value)
        return self._condition(attribute, operator, value, key.place, manner)

    def _condition(
        self, attribute: Attribute, operator: Operator, value: Node, place: Place, manner: _Manner = _PLAIN
    ) -> Condition | None:
        literals = self._literals(attribute, operator, value)
        if literals is None:
            return None
        quoted = [literal or '""' for literal in literals]
        shown = quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"
        text = f"{attribute.name} {operator.name}" + ("" if operator.argument == "flag" else f" {shown}")
        if operator.argument == "boolean":
            test, missing = empty_test(literals[0] == "true")
            return Condition(attribute, test, missing, True, place, text)
        folding = manner.ignore_case and attribute.type.family is Family.TEXT
        rolling = manner.rolling and operator.name in WINDOWS
        try:
            if attribute.part is not None:
                literals = [read_part_value(literal, attribute.part.name) for literal in literals]
            test = build_test(operator, literals, attribute.type, self._settings.time_zone, folding, rolling)
        except LiteralError as error:
            what = attribute.name if attribute.part else f"{attribute.name} ({attribute.type})"
            message = f"{what} {operator.name} {shown}: {error}."
            self._problems.add(value.place, "SEG207", message, _value_hint(attribute, operator, literals))
            return None
        text += " (ignoring case)" if folding else " (rolling)" if rolling else ""
        return Condition(attribute, test, False, False, place, text)

    def _literals(self, attribute: Attribute, operator: Operator, value: Node) -> Sequence[str] | None:
        """Return an operator's literals as text, checked for number and form but not yet for type."""
        what = f"{attribute.name} {operator.name}"
        if operator.argument in ("many", "pair") and isinstance(value, Items):
            texts = [self._literal(item, what) for item in value.nodes]
            if operator.argument == "pair" and len(texts) != 2:
                self._problems.add(value.place, "SEG207", f"{what} has {len(texts)} values, expected [from, to].")
                return None
            if not texts:
                self._problems.add(value.place, "SEG301", f"{what} has no values.")
                return None
            good = [text for text in texts if text is not None]
            return good if len(good) == len(texts) else None
        if operator.argument == "pair":
            self._problems.wrong_form(value, what, "a list of two: [from, to]")
            return None
        text = self._literal(value, what)
        if text is None:
            return None
        allowed = {"flag": ("true",), "boolean": ("true", "false")}.get(operator.argument)
        if allowed and text not in allowed:
            self._problems.add(value.place, "SEG207", f"{what} is {text!r}, expected {' or '.join(allowed)}.")
            return None
        return [text]

    def _literal(self, node: Node, what: str) -> str | None:
        if not isinstance(node, Scalar):
            self._problems.wrong_form(node, what, "a single value")
            return None
        if node.text is None:
            self._problems.add(node.place, "SEG208", f"{what} is null.", "Use `empty: true` to ask for missing values.")
        return node.text

    def _null_or(self, value: Scalar, attribute: Attribute, expected: str) -> None:
        if value.text is None:
            self._literal(value, attribute.name)
            return
        message = f"{attribute.name} ({attribute.type}) is {value.text!r}, expected {expected}."
        self._problems.add(value.place, "SEG207", message)


def _operator_form(name: str) -> str:
    """Return an operator as it is written: `{empty: true}`."""
    return f"{{{name}: {'true' if BY_NAME[name].argument in ('flag', 'boolean') else '...'}}}"


def _value_hint(attribute: Attribute, operator: Operator, literals: Sequence[str]) -> str:
    """Return what may have been meant by literals that are no values of an attribute."""
    if attribute.part is not None:
        names = PARTS[attribute.part.name].names
        near = [did_you_mean(literal, names) for literal in literals if literal.lower() not in names]
        return next((hint for hint in near if hint.startswith("Did")), "")
    if operator.name == SCALAR_MEANS[attribute.type.family] and literals[0] in BY_NAME:
        return f"As an operator: `{_operator_form(literals[0])}`."
    is_time = attribute.type.family in (Family.DATE, Family.TIMESTAMP) and operator.argument in ("one", "pair")
    in_words = any(re.search("[a-z]", literal) and not literal[:4].isdigit() for literal in literals)
    return _RELATIVE_HINT if is_time and in_words else ""


def _has_window(fields: Fields) -> bool:
    """Return whether a map has an operator that can roll, also under `not`."""
    return any(
        key.text in WINDOWS or (key.text == "not" and isinstance(value, Fields) and _has_window(value))
        for key, value in fields.entries
    )
