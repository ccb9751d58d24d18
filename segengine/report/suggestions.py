"""What a suggestion found, as text: cards with numbers, what is doubtful, and what was left out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from segengine.models.suggestions import Suggestions

_WIDTH = 116


def draw_suggestions(result: Suggestions, cards: Sequence[str]) -> str:
    """Return the suggestions, the surest first.

    Args:
        result: What was found.
        cards: Each of its suggestions in a line.
    """
    return "\n".join(_lines(result, cards)) + "\n"


def _lines(result: Suggestions, cards: Sequence[str]) -> Iterator[str]:
    unknown = result.customer_count - result.known_count
    without = f", {unknown:,} of them without {result.target}" if unknown else ""
    yield f"{result.customer_count:,} customers{without}"
    yield from (line for warning in result.warnings for line in _wrap("warning: ", warning))
    yield ""
    for number, card in enumerate(cards, start=1):
        yield from _wrap(f"{number:2}  ", card)
    if not cards:
        yield f'no group differs in "{result.target}" more than chance would have it'
    if result.left_out:
        yield ""
        yield "left out:"
        yield from (f"  {one.field}: {one.reason}" for one in result.left_out)


def _wrap(start: str, text: str) -> list[str]:
    """Return a text in lines, those after the first indented as far as the start is long."""
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
