"""The words of expressions: numbers, names and signs."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TOKENS = 400  # of one expression: beyond, nobody wrote it
_PART = r"(?:`[^`]+`|[^\W\d]\w*|@\w+)"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<name>{_PART}(?:\.{_PART})*)|(?P<sign>[-+*/()]))", re.UNICODE
)


@dataclass(frozen=True)
class Token:
    """A number, a name (without back-quotes; `quoted`: it had some) or a sign, and where it begins and ends."""

    kind: str
    text: str
    start: int
    end: int
    quoted: bool = False


class ExpressionError(ValueError):
    """The text is no expression; `at` is the place in it."""

    def __init__(self, message: str, at: int, hint: str = "") -> None:
        super().__init__(message)
        self.at = at
        self.hint = hint


def split_tokens(text: str) -> list[Token]:
    """Return the tokens of an expression.

    Raises:
        ExpressionError: A character has no meaning here, or there are too many tokens.
    """
    tokens: list[Token] = []
    place = 0
    while text[place:].strip():
        matched = _TOKEN.match(text, place)
        if not matched:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            hint = "A back-quote is not closed." if text[at] == "`" else "Known: + - * / ( ), numbers and names."
            if text[at] == ".":
                hint = "A name or a number is missing beside the point."
            raise ExpressionError(f'"{text[at]}" has no meaning in an expression', at, hint)
        kind = matched.lastgroup or ""
        word = matched[kind]
        tokens.append(Token(kind, word.replace("`", ""), matched.start(kind), matched.end(), "`" in word))
        place = matched.end()
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError(f"it has more than {MAX_TOKENS} names, numbers and signs", tokens[MAX_TOKENS].start)
    return tokens
