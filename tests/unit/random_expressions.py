"""Random arithmetic for measures: over the numbers and times there are, as trees and as text."""

from __future__ import annotations

import random
from collections.abc import Sequence

from random_paths import Subject
from reference_expressions import AS_OF, MAX_SCALE, Joint, Literal, Name, Part, compute
from reference_values import is_time, scale_of
from worlds import AS_OF as MOMENT

LITERALS = ("0", "1", "2", "7", "0.5", "0.01", "1.005", "100", "3", "0.333333", "1000000")
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}


def is_number(type_: str) -> bool:
    return not is_time(type_) and type_ not in ("text", "boolean")


def draw_arithmetic(
    choose: random.Random, subjects: Sequence[Subject], depth: int, spare: int = 0
) -> tuple[str, str] | None:
    """Return an expression that computes, and its type; None where there is nothing to compute with.

    Args:
        choose: Where chance comes from.
        subjects: What may be named in it.
        depth: How many operators may be inside of one another.
        spare: How many digits its type must leave to what is made of it.
    """
    types = {subject.name: subject.type for subject in subjects}
    if not any(is_number(type_) or is_time(type_) for type_ in types.values()):
        return None
    for _ in range(8):
        tree = _draw(choose, subjects, depth)
        if not isinstance(tree, Joint) or not _has_name(tree):
            continue
        _, type_ = compute(tree, lambda name: (None, types[name]), MOMENT, "UTC")
        if scale_of(type_) + spare <= MAX_SCALE:
            return write_arithmetic(choose, tree), type_
    return None


def _has_name(part: Part) -> bool:
    return isinstance(part, Name) or (isinstance(part, Joint) and (_has_name(part.left) or _has_name(part.right)))


def _draw(choose: random.Random, subjects: Sequence[Subject], depth: int) -> Part:
    numbers = [subject for subject in subjects if is_number(subject.type)]
    times = [subject for subject in subjects if is_time(subject.type)]
    if depth and (choose.random() < 0.75 or not numbers):
        if times and (choose.random() < 0.25 or not numbers):
            return _days(choose, times)
        sign = choose.choice("+-**//")
        left, right = (_draw(choose, subjects, depth - 1) for _ in "lr")
        return Joint(sign, left, Literal("2") if sign == "/" and right == Literal("0") else right)
    if not numbers or choose.random() < 0.2:
        return Literal(choose.choice(LITERALS))
    return Name(choose.choice(numbers).name)


def _days(choose: random.Random, times: Sequence[Subject]) -> Part:
    pair = [Name(choose.choice(times).name), Name(AS_OF if choose.random() < 0.3 else choose.choice(times).name)]
    choose.shuffle(pair)
    return Joint("-", *pair)


def write_arithmetic(choose: random.Random, part: Part) -> str:
    """Return an expression as text, with the brackets it needs and sometimes others."""
    if isinstance(part, Literal):
        return part.text
    if isinstance(part, Joint) and (part.sign, part.left) == ("-", Literal("0")) and isinstance(part.right, Name):
        return f"-{write_arithmetic(choose, part.right)}"
    if isinstance(part, Name):
        return part.text if part.text.replace(".", "").isidentifier() else f"`{part.text}`"
    blank = choose.choice(("", " ", " "))
    left, right = (write_arithmetic(choose, side) for side in (part.left, part.right))
    if _binds_less(part.left, part.sign, 0) or choose.random() < 0.1:
        left = f"({left})"
    if _binds_less(part.right, part.sign, 1):
        right = f"({right})"
    return f"{left}{blank}{part.sign}{blank}{right}"


def _binds_less(part: Part, sign: str, equal: int) -> bool:
    return isinstance(part, Joint) and PRECEDENCE[part.sign] < PRECEDENCE[sign] + equal
