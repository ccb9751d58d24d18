"""Fitting the columns of a table into the width of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_GAPS = (3, 2)
_NARROWEST = 16


@dataclass(frozen=True)
class Cells:
    """What a column takes: all of it in one line (`natural`), its longest word, and whether it can be left out."""

    natural: int
    word: int
    optional: bool = False

    @property
    def least(self) -> int:
        """How narrow it can well be: no word is broken, and what is short stays in one line."""
        return min(self.natural, max(self.word, _NARROWEST))


@dataclass(frozen=True)
class Layout:
    """How a table is laid out: blanks between columns, and the width of each column that is shown, by its place."""

    gap: int
    widths: dict[int, int]


def measure_cells(texts: Sequence[str], *, optional: bool = False) -> Cells:
    """Return what a column of these texts takes, its header among them."""
    from rich.cells import cell_len

    lines = [line for text in texts for line in text.splitlines()]
    words = [word for line in lines for word in line.split()]
    return Cells(max(map(cell_len, lines), default=0), max(map(cell_len, words), default=0), optional)


def fit_columns(columns: Sequence[Cells], room: int) -> Layout:
    """Return the first of these that fits: columns as they are, closer together, broken into lines between words.

    Before words are broken, optional columns are left out, the last ones first.
    """
    widths = {place: column.natural for place, column in enumerate(columns)}
    for gap in _GAPS:
        if _total(widths, gap) <= room:
            return Layout(gap, widths)
    gap = _GAPS[-1]
    optional = [place for place, column in enumerate(columns) if column.optional]
    while optional and _total({place: columns[place].least for place in widths}, gap) > room:
        del widths[optional.pop()]
    while _total(widths, gap) > room and max(widths.values()) > 1:
        broad = [place for place, width in widths.items() if width > columns[place].least]
        broad = broad or [place for place, width in widths.items() if width > columns[place].word] or list(widths)
        widths[max(broad, key=widths.__getitem__)] -= 1
    return Layout(gap, widths)


def _total(widths: dict[int, int], gap: int) -> int:
    return sum(widths.values()) + gap * (len(widths) - 1)
