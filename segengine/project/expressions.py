"""Expressions of measures: `quantity * unit_price`, ``(revenue - `Total cost`) / 2``, `as_of - joined_on`.

Names mean what the asker says; types follow from what is joined. Numbers are exact: decimals of 38 digits, whose scale
is known from those of the operands. Of dates and times there are only differences, in whole local days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from segengine.errors import Place
from segengine.project.aggregates import MAX_PRECISION, QUOTIENT_SCALE, exact_scale
from segengine.project.attributes import Arithmetic, ArithmeticOperator, AsOf, Number, Operand
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems
from segengine.project.tokens import ExpressionError, Token, split_tokens
from segengine.project.types import AttributeType, Family

AS_OF = "as_of"
MAX_DEPTH = 50
_TIMES = (Family.DATE, Family.TIMESTAMP)
FindOperand = Callable[[str, Place], Operand | Unresolved]


@dataclass(frozen=True)
class _Part:
    """An operand and the text it stands for; without an operand where a name in it is wrong (which is reported)."""

    operand: Operand | None
    start: int
    end: int


def read_operand(text: str, place: Place, find: FindOperand, problems: Problems) -> Operand | None:
    """Return what an expression means, or None where it has errors (which are reported).

    Args:
        text: The expression.
        place: Where it stands.
        find: Returns what a name means; `as_of` is known without it.
        problems: Where issues are added.
    """
    parser = _Parser(text, place, find, problems)
    try:
        return parser.read()
    except ExpressionError as error:
        problems.add(parser.place_of(error.at), "SEG230", f'"{text}": {error}.', error.hint)
        return None


class _Parser:
    """Reads one expression by precedence: `*` and `/` before `+` and `-`, from left to right."""

    def __init__(self, text: str, place: Place, find: FindOperand, problems: Problems) -> None:
        self._text = text
        self._place = place
        self._find = find
        self._problems = problems
        self._tokens: list[Token] = []
        self._next = 0
        self._depth = 0

    def place_of(self, start: int) -> Place:
        """Return where a part of the expression stands, as far as that is known."""
        return replace(self._place, column=self._place.column + start)

    def read(self) -> Operand | None:
        self._tokens = split_tokens(self._text)
        if not self._tokens:
            raise ExpressionError("it is empty", 0)
        part = self._sum()
        if token := self._token():
            before = self._tokens[self._next - 1]
            if token.text == "(" and before.kind == "name":
                raise ExpressionError(f'there is no function "{before.text}"', before.start, "Known: + - * / ( ).")
            hint = "A name with blanks stands in back-quotes." if token.kind == before.kind == "name" else ""
            raise ExpressionError(f'"{token.text}" stands where an operator should', token.start, hint)
        return part.operand

    def _token(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _takes(self, *signs: str) -> Token | None:
        token = self._token()
        if token is None or token.kind != "sign" or token.text not in signs:
            return None
        self._next += 1
        return token

    def _sum(self) -> _Part:
        left = self._product()
        while sign := self._takes("+", "-"):
            left = self._joined(sign, left, self._product())
        return left

    def _product(self) -> _Part:
        left = self._signed()
        while sign := self._takes("*", "/"):
            left = self._joined(sign, left, self._signed())
        return left

    def _signed(self) -> _Part:
        sign = self._takes("-", "+")
        if sign is None:
            return self._single()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"it has more than {MAX_DEPTH} signs in a row", sign.start)
        part = self._signed()
        self._depth -= 1
        if isinstance(part.operand, Number):
            factor = -1 if sign.text == "-" else 1
            number = replace(part.operand, unscaled=factor * part.operand.unscaled)
            return _Part(number, sign.start, part.end)
        zero = _Part(Number(0, AttributeType("integer")), sign.start, sign.start)
        return self._joined(sign, zero, part)

    def _single(self) -> _Part:
        token = self._token()
        if token is None:
            raise ExpressionError("it ends where a name or a number should stand", len(self._text))
        self._next += 1
        if token.kind == "number":
            return _Part(_number(token), token.start, token.end)
        if token.kind == "name":
            return _Part(self._named(token), token.start, token.end)
        if token.text != "(":
            raise ExpressionError(f'"{token.text}" stands where a name or a number should', token.start)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"its brackets are nested deeper than {MAX_DEPTH}", token.start)
        inner = self._sum()
        self._depth -= 1
        closed = self._takes(")")
        if closed is None:
            raise ExpressionError("a bracket is not closed", token.start)
        return _Part(inner.operand, token.start, closed.end)

    def _named(self, token: Token) -> Operand | None:
        if token.text == AS_OF and not token.quoted:
            return AsOf(AttributeType("timestamp"))
        found = self._find(token.text, self.place_of(token.start))
        if isinstance(found, Unresolved):
            if found.message:
                self._problems.add(found.place or self.place_of(token.start), found.code, found.message, found.hint)
            return None
        return found

    def _joined(self, sign: Token, left: _Part, right: _Part) -> _Part:
        if left.operand is None or right.operand is None:
            return _Part(None, left.start, right.end)
        operator: ArithmeticOperator = next(known for known in ("+", "-", "*", "/") if known == sign.text)
        type_ = joined_type(operator, left.operand.type, right.operand.type)
        if type_ is None:
            found = " and ".join(
                f"{self._text[part.start : part.end]} ({part.operand.type})"
                for part in (left, right)
                if part.operand is not None and part.end > part.start
            )
            times = any(part.operand.type.family in _TIMES for part in (left, right) if part.operand)
            hint = "Of dates and times there are only differences (-), in whole days." if times else ""
            raise ExpressionError(f'"{operator}" does not fit {found}', sign.start, hint)
        if operator == "/" and isinstance(right.operand, Number) and not right.operand.unscaled:
            raise ExpressionError("it divides by zero", sign.start)
        if type_.scale > MAX_PRECISION:
            what = self._text[left.start : right.end]
            what = "it" if what == self._text.strip() else f'"{what}"'
            message = f"{what} would have {type_.scale} digits after the point, at most {MAX_PRECISION} are kept"
            raise ExpressionError(message, sign.start, "Divide last, or by fewer numbers with digits after the point.")
        return _Part(Arithmetic(operator, left.operand, right.operand, type_), left.start, right.end)


def joined_type(operator: ArithmeticOperator, left: AttributeType, right: AttributeType) -> AttributeType | None:
    """Return the type of two operands joined, or None where they do not fit; the scale may be too large."""
    if left.family in _TIMES and right.family in _TIMES and operator == "-":
        return AttributeType("integer")
    if not left.family is right.family is Family.NUMBER:
        return None
    scales = exact_scale(left), exact_scale(right)
    if operator == "*":
        scale = sum(scales)
    else:
        scale = max(scales) + (QUOTIENT_SCALE if operator == "/" else 0)
    return AttributeType("decimal", MAX_PRECISION, scale)


def _number(token: Token) -> Number:
    whole, _, digits = token.text.partition(".")
    if len(whole.lstrip("0")) + len(digits) > MAX_PRECISION:
        raise ExpressionError(f"{token.text} has more than {MAX_PRECISION} digits", token.start)
    unscaled = int(whole + digits)
    if not digits and unscaled < 2**63:
        return Number(unscaled, AttributeType("integer"))
    return Number(unscaled, AttributeType("decimal", MAX_PRECISION, len(digits)))
