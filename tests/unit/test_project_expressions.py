"""Expressions: how they are split, what binds first, and which types follow."""

from __future__ import annotations

import pytest

from segengine.errors import Place
from segengine.project.attributes import Arithmetic, AsOf, Attribute, Number, Operand
from segengine.project.expressions import joined_type, read_operand
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems
from segengine.project.tokens import ExpressionError, split_tokens
from segengine.project.types import AttributeType, parse_type

TYPES = {
    "a": "integer",
    "b": "decimal(12,2)",
    "c": "double",
    "day": "date",
    "time": "timestamp",
    "word": "text",
    "flag": "boolean",
    "two words": "integer",
    "a.b": "integer",
    "as_of": "integer",
    "Größe": "integer",
}


def find(name: str, place: Place) -> Operand | Unresolved:
    type_ = parse_type(TYPES[name]) if name in TYPES else None
    return Attribute("t", (), name, type_) if type_ else Unresolved("SEG204", f"no {name}")


def read(text: str) -> Operand | None:
    problems = Problems()
    operand = read_operand(text, Place("a.yml", 3, 10), find, problems)
    assert (operand is None) == bool(problems.issues)
    return operand


def issue(text: str) -> tuple[str, int]:
    problems = Problems()
    assert read_operand(text, Place("a.yml", 3, 10), find, problems) is None
    (found,) = problems.issues
    return found.message, found.place.column


def show(operand: Operand | None) -> str:
    if isinstance(operand, Arithmetic):
        return f"({show(operand.left)}{operand.operator}{show(operand.right)})"
    if isinstance(operand, Number):
        return f"{operand.unscaled}e-{operand.type.scale}" if operand.type.scale else str(operand.unscaled)
    return operand.column if isinstance(operand, Attribute) else "as_of" if isinstance(operand, AsOf) else "?"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a + b * c", "(a+(b*c))"),
        ("a * b + c", "((a*b)+c)"),
        ("(a + b) * c", "((a+b)*c)"),
        ("a - b - c", "((a-b)-c)"),
        ("a / b / c", "((a/b)/c)"),
        ("a - -b", "(a-(0-b))"),
        ("-a * b", "((0-a)*b)"),
        ("a*-2", "(a*-2)"),
        ("+a", "(0+a)"),
        ("1.50", "150e-2"),
        (".5 + 5.", "(5e-1+5)"),
        ("-0.5", "-5e-1"),
        ("`two words` + `a`", "(two words+a)"),
        ("a.b", "a.b"),
        ("`a.b`", "a.b"),
        ("a . b", None),
        ("as_of - day", "(as_of-day)"),
        ("`as_of`", "as_of"),
        ("Größe*2", "(Größe*2)"),
        ("\n a\n+ b", "(a+b)"),
    ],
)
def test_what_binds_first(text: str, shown: str | None) -> None:
    if shown is None:
        assert "has no meaning" in issue(text)[0]
    else:
        assert show(read(text)) == shown


def test_as_of_in_back_quotes_is_a_name() -> None:
    assert isinstance(read("as_of"), AsOf)
    assert isinstance(read("`as_of`"), Attribute)


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("a", "integer"),
        ("a + a", "decimal(38,0)"),
        ("a + b", "decimal(38,2)"),
        ("b - c", "decimal(38,9)"),
        ("b * b", "decimal(38,4)"),
        ("b * c", "decimal(38,11)"),
        ("a / a", "decimal(38,6)"),
        ("a / b", "decimal(38,8)"),
        ("c / 3", "decimal(38,15)"),
        ("day - day", "integer"),
        ("time - time", "integer"),
        ("time - day", "integer"),
        ("as_of - time", "integer"),
        ("(as_of - day) / 365.25", "decimal(38,8)"),
        ("9223372036854775807", "integer"),
        ("9223372036854775808", "decimal(38,0)"),
        ("0.10", "decimal(38,2)"),
        ("word", "text"),
    ],
)
def test_types(text: str, type_: str) -> None:
    operand = read(text)
    assert operand is not None
    assert str(operand.type) == type_


@pytest.mark.parametrize("text", ["a + word", "word - word", "flag * 2", "day + day", "day - 1", "day * time", "-day"])
def test_what_does_not_fit(text: str) -> None:
    assert "does not fit" in issue(text)[0]


def test_the_scale_has_an_end() -> None:
    assert read("c * c * c * c * b") is not None
    message, _ = issue("c * c * c * c * b * .1")
    assert "39 digits" in message
    assert joined_type("*", AttributeType("decimal", 38, 20), AttributeType("decimal", 38, 19)) == AttributeType(
        "decimal", 38, 39
    )


@pytest.mark.parametrize(
    ("text", "column"), [("a + nothing", 14), ("a + (b * word)", 17), ("a b", 12), ("a + (b", 14), ("a $ b", 12)]
)
def test_issues_have_their_place(text: str, column: int) -> None:
    assert issue(text)[1] == column


@pytest.mark.parametrize(
    "text", ["", " ", "a +", "* a", "()", "a)", "(a", "a b", "2 a", "1.2.3", "`a", "``", "a..b", "@"]
)
def test_forms_that_are_none(text: str) -> None:
    issue(text)


def test_digits_and_tokens_are_bounded() -> None:
    assert read("9" * 38) is not None
    assert "38 digits" in issue("9" * 39)[0]
    assert "38 digits" in issue("0." + "0" * 38 + "1")[0]
    assert "38 digits" in issue("9" * 10_000)[0]
    with pytest.raises(ExpressionError):
        split_tokens("+".join(["a"] * 1_000))
    assert "more than" in issue("(" * 100_000)[0]


def test_depth_is_bounded() -> None:
    assert read("(" * 50 + "a" + ")" * 50) is not None
    assert "nested" in issue("(" * 150 + "a" + ")" * 150)[0]
    assert "in a row" in issue("-" * 150 + "a")[0]
    assert read(" + ".join(["a"] * 200)) is not None
