"""Expressions of measures, read and computed by hand for the oracles: exact fractions, and days between dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from graphlib import TopologicalSorter
from typing import Any

from reference_times import day_of, to_instant
from reference_values import check_finite, enter_decimal, half_even, is_missing, is_time, scale_of

AS_OF = "as_of"
QUOTIENT_DIGITS = 6
MAX_SCALE = 38
_TOKEN = re.compile(r"\s*(?:`(?P<quoted>[^`]+)`|(?P<number>\d+(?:\.\d+)?)|(?P<sign>[-+*/()])|(?P<name>[^\W\d][\w.]*))")


@dataclass(frozen=True)
class Name:
    """A column, a value, or `as_of`."""

    text: str


@dataclass(frozen=True)
class Literal:
    """A number as it is written: its scale is the digits it has after the point."""

    text: str

    @property
    def scale(self) -> int:
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class Joint:
    """Two parts and the sign between them."""

    sign: str
    left: Part
    right: Part


Part = Name | Literal | Joint
Typed = tuple[Any, str]  # a value and its type
Read = Callable[[str], Typed]


def parse_arithmetic(text: str) -> Part:
    """Return an expression as a tree: products before sums, from left to right.

    Without a sign or back-quote it is a number or one name, which may have blanks.
    """
    if not re.search(r"[-+*/()`]|^[\d.]+$", text):
        return Name(text)
    tokens = list(_tokens(text))
    tree, rest = _sum(tokens)
    assert not rest, f"{text!r} goes on after its end"
    return tree


def order_of_values(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of a measure's values, each after those that its expression names."""
    needs = {
        name: {*names_in(parse_arithmetic(value["expression"]))} & {*values} if "expression" in value else set()
        for name, value in values.items()
    }
    return list(TopologicalSorter(needs).static_order())


def names_in(part: Part) -> Iterator[str]:
    """Yield the names an expression uses, `as_of` aside."""
    if isinstance(part, Joint):
        yield from names_in(part.left)
        yield from names_in(part.right)
    elif isinstance(part, Name) and part.text != AS_OF:
        yield part.text


def _tokens(text: str) -> Iterator[Part | str]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        assert found, f"{text!r} at {place}"
        place = found.end()
        if found["sign"]:
            yield found["sign"]
        else:
            yield Literal(found["number"]) if found["number"] else Name(found["quoted"] or found["name"])


def _sum(tokens: list[Part | str]) -> tuple[Part, list[Part | str]]:
    return _chain(tokens, "+-", _product)


def _product(tokens: list[Part | str]) -> tuple[Part, list[Part | str]]:
    return _chain(tokens, "*/", _operand)


def _chain(
    tokens: list[Part | str], signs: str, item: Callable[[list[Part | str]], tuple[Part, list[Part | str]]]
) -> tuple[Part, list[Part | str]]:
    left, rest = item(tokens)
    while rest and isinstance(rest[0], str) and rest[0] in signs:
        right, after = item(rest[1:])
        left, rest = Joint(rest[0], left, right), after
    return left, rest


def _operand(tokens: list[Part | str]) -> tuple[Part, list[Part | str]]:
    first, *rest = tokens
    if first == "-":
        inner, rest = _operand(rest)
        return (Literal(f"-{inner.text}") if isinstance(inner, Literal) else Joint("-", Literal("0"), inner)), rest
    if first == "(":
        inner, rest = _sum(rest)
        assert rest[0] == ")"
        return inner, rest[1:]
    assert not isinstance(first, str), f"{first} where a name or a number should stand"
    return first, rest


def compute(part: Part, read: Read, as_of: datetime, zone: str) -> Typed:
    """Return what an expression comes to, and its type, which does not depend on what is missing.

    Exactly, however many digits its parts have; only what is kept has to have 38 at most.
    """
    if isinstance(part, Literal):
        return Fraction(part.text), f"decimal(38,{part.scale})"
    if isinstance(part, Name):
        return (as_of, "timestamp") if part.text == AS_OF else read(part.text)
    left, left_type = compute(part.left, read, as_of, zone)
    right, right_type = compute(part.right, read, as_of, zone)
    if is_time(left_type):
        assert part.sign == "-"
        assert is_time(right_type)
        if is_missing(left) or is_missing(right):
            return None, "integer"
        return (local_day(left, left_type, zone) - local_day(right, right_type, zone)).days, "integer"
    scale = scale_of_joint(part.sign, scale_of(left_type), scale_of(right_type))
    type_ = f"decimal(38,{scale})"
    if is_missing(check_finite(left)) or is_missing(check_finite(right)):
        return None, type_
    return _join(part.sign, enter_decimal(left), enter_decimal(right), scale), type_


def scale_of_joint(sign: str, left: int, right: int) -> int:
    """Return how many digits after the point two numbers joined by a sign have."""
    if sign == "*":
        return left + right
    return max(left, right) + (QUOTIENT_DIGITS if sign == "/" else 0)


def _join(sign: str, left: Fraction, right: Fraction, scale: int) -> Fraction | None:
    if sign == "/":
        return half_even(left / right, scale) if right else None
    return left + right if sign == "+" else left - right if sign == "-" else left * right


def local_day(value: date, type_: str, zone: str) -> date:
    """Return a date, or the local day of a timestamp in the project's zone."""
    return value if type_ == "date" else day_of(to_instant(value, type_, zone), zone)  # type: ignore[arg-type]
