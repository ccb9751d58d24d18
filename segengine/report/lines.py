"""Lines of aligned text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

GAP = "  "


def align(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return rows of cells as lines, each column as wide as its widest cell; `right`: columns set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def show_share(share: float | Decimal) -> str:
    """Return a share of 0 to 1 as per cent with one digit."""
    return f"{share:.1%}".replace("%", " %")


def shorten(text: str, width: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
