"""The one table of operators.

Loader, checks, kernel, JSON Schema and documentation all read it. An operator turns its literals into the set
of values it accepts (`segengine.project.values`); what is missing never reaches that set: a condition on a missing
value is false, `empty` alone sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from segengine.project.relative import read_relative
from segengine.project.types import AttributeType, Family, LiteralError, Span, parse_span
from segengine.project.values import (
    Constant,
    Ranges,
    RelativeOperation,
    Test,
    TextOperation,
    TextTest,
    make_ranges,
    stored_ranges,
)

Argument = Literal["one", "many", "pair", "flag", "boolean", "span", "period", "part"]

TEXT = (Family.TEXT,)
NUMBER = (Family.NUMBER,)
TIME = (Family.DATE, Family.TIMESTAMP)
CLOCK = (Family.TIMESTAMP,)
BOOLEAN = (Family.BOOLEAN,)
EVERY = (Family.TEXT, Family.NUMBER, Family.BOOLEAN, Family.DATE, Family.TIMESTAMP)

# Halves of the line, so that each is the complement of the other: `not is_true` is `is_false`.
TRUE = Ranges(((1, None),))
FALSE = Ranges(((None, 1),))


@dataclass(frozen=True)
class Operator:
    """One operator: for which families, what it takes, what it accepts.

    `argument`: `one` literal, `many` (a list, or one), a `pair` (both ends), `flag` (only `true`), `boolean`, a `span`
    of time (`20 days`), a `period` (`month`), or what a `part` is compared with: a value, a list, operators of numbers.
    """

    name: str
    families: tuple[Family, ...]
    argument: Argument
    summary: str
    spans: Callable[[Sequence[Span]], Ranges] | None = None
    text: TextOperation | None = None
    constant: Test | None = None
    relative: RelativeOperation | None = None


def _equals(spans: Sequence[Span]) -> Ranges:
    return make_ranges(tuple(spans))


OPERATORS: tuple[Operator, ...] = (
    Operator("equals", (Family.TEXT, Family.NUMBER), "one", "is exactly this value", spans=_equals, text="equals"),
    Operator("any_of", (Family.TEXT, Family.NUMBER), "many", "is one of these", spans=_equals, text="equals"),
    Operator("begins_with", TEXT, "many", "begins with this text, or one of these", text="begins_with"),
    Operator("ends_with", TEXT, "many", "ends with this text, or one of these", text="ends_with"),
    Operator("contains", TEXT, "many", "contains this text, or one of these", text="contains"),
    Operator("matches", TEXT, "many", "a RE2 pattern is found anywhere in it", text="matches"),
    Operator("greater_than", NUMBER, "one", "is greater", spans=lambda s: Ranges(((s[0][1], None),))),
    Operator("at_least", NUMBER, "one", "is greater or equal", spans=lambda s: Ranges(((s[0][0], None),))),
    Operator("less_than", NUMBER, "one", "is less", spans=lambda s: Ranges(((None, s[0][0]),))),
    Operator("at_most", NUMBER, "one", "is less or equal", spans=lambda s: Ranges(((None, s[0][1]),))),
    Operator(
        "between",
        (Family.NUMBER, *TIME),
        "pair",
        "lies between the two, both included",
        spans=lambda s: make_ranges(((s[0][0], s[1][1]),)),
    ),
    Operator("on_day", TIME, "one", "falls on this local day", spans=_equals),
    Operator(
        "after",
        TIME,
        "one",
        "is later (after a day: from the next day on)",
        spans=lambda s: Ranges(((s[0][1], None),)),
    ),
    Operator("before", TIME, "one", "is earlier", spans=lambda s: Ranges(((None, s[0][0]),))),
    Operator("on_or_after", TIME, "one", "is this or later", spans=lambda s: Ranges(((s[0][0], None),))),
    Operator(
        "on_or_before",
        TIME,
        "one",
        "is this (any time of the day) or earlier",
        spans=lambda s: Ranges(((None, s[0][1]),)),
    ),
    Operator(
        "within_last",
        TIME,
        "span",
        "lies between the start of the day so long ago and now: 20 days, 3 months (hours, minutes: exactly so long)",
        relative="within_last",
    ),
    Operator(
        "within_next",
        TIME,
        "span",
        "lies after now, up to the end of the day so far ahead: 2 weeks, 1 year (hours, minutes: exactly so far)",
        relative="within_next",
    ),
    Operator(
        "to_date",
        TIME,
        "period",
        "lies in the current week (from Monday), month, quarter or year, up to now",
        relative="to_date",
    ),
    Operator(
        "anniversary_within_next",
        TIME,
        "span",
        "has an anniversary (from the first year after it) today or on a day up to so far ahead: 30 days, 2 months",
        relative="anniversary_within_next",
    ),
    Operator("month_of", TIME, "part", "the month: 1 to 12, or january to december"),
    Operator("weekday_of", TIME, "part", "the day of the week: 1 (Monday) to 7, or monday to sunday"),
    Operator("day_of_month", TIME, "part", "the day of the month: 1 to 31"),
    Operator("hour_of", CLOCK, "part", "the local hour: 0 to 23"),
    Operator("year_of", TIME, "part", "the year: 1 to 9999"),
    Operator("is_true", BOOLEAN, "flag", "is true", constant=TRUE),
    Operator("is_false", BOOLEAN, "flag", "is false", constant=FALSE),
    Operator("empty", EVERY, "boolean", "true: is missing (NULL, NaN, text of length 0); false: is there"),
)
BY_NAME = {operator.name: operator for operator in OPERATORS}

MODIFIERS = {
    "not": "the condition must not hold (a missing value satisfies neither)",
    "or_missing": "true: a missing value passes too",
    "ignore_case": "true: text is compared after Unicode case folding",
    "rolling": "true: within_last and within_next count 24 hours a day from the very instant, not from local days",
}
WINDOWS = ("within_last", "within_next")  # what `rolling` is about

# What a bare value means, by family: `state: Texas`, `state: [Texas, Ohio]`.
SCALAR_MEANS = {
    Family.TEXT: "equals",
    Family.NUMBER: "equals",
    Family.DATE: "on_day",
    Family.TIMESTAMP: "on_day",
}


def modifiers_for(family: Family) -> list[str]:
    """Return the modifiers that fit a family."""
    only = {"ignore_case": Family.TEXT, "rolling": Family.TIMESTAMP}
    return [name for name in MODIFIERS if only.get(name, family) is family]


def operators_for(family: Family) -> list[Operator]:
    """Return the operators of a family, in the order of the table."""
    return [operator for operator in OPERATORS if family in operator.families]


def build_test(
    operator: Operator,
    literals: Sequence[str],
    type_: AttributeType,
    zone: str,
    ignore_case: bool,
    rolling: bool = False,
) -> Test:
    """Return the set of values an operator accepts.

    Args:
        operator: A row of the table that fits the attribute's family and is neither `empty` nor takes a part.
        literals: Its literals as written; number and form were checked before.
        type_: The attribute's type.
        zone: The project's time zone.
        ignore_case: Compare text after case folding (`matches`: RE2's own).
        rolling: Count a span of time from the very instant.

    Raises:
        LiteralError: A literal is no value of that type.
    """
    if operator.constant is not None:
        return operator.constant
    if type_.family is Family.TEXT:
        return _text_test(operator, literals, ignore_case)
    if operator.relative is not None:
        return read_relative(operator.relative, literals[0], type_, rolling)
    if operator.spans is None:
        raise LiteralError(f"operator {operator.name} does not fit {type_}")
    spans = [parse_span(text, type_, zone) for text in literals]
    if operator.argument == "pair" and spans[0][0] > spans[1][0]:
        raise LiteralError("expected the smaller end first")
    accepted = operator.spans(spans)
    return stored_ranges(accepted, type_, zone)


def _text_test(operator: Operator, literals: Sequence[str], ignore_case: bool) -> TextTest:
    if operator.text is None:
        raise LiteralError(f"operator {operator.name} does not fit text")
    for literal in literals:
        if literal == "":
            raise LiteralError("expected text; a missing value is found with `empty: true`")
    folds = ignore_case and operator.text != "matches"
    operands = {literal.casefold() if folds else literal for literal in literals}
    return TextTest(operator.text, tuple(sorted(operands)), ignore_case)


def empty_test(wanted: bool) -> tuple[Test, bool]:
    """Return the test and the fate of missing values for `empty: true` and `empty: false`."""
    return Constant(not wanted), wanted
