"""Plots of what models found, as matplotlib figures for MLflow and reports.

Figures are made without pyplot, so nothing of a notebook's own plots is touched and no window opens. Every colour is of
Okabe and Ito's palette, which the colour-blind can tell apart, and nothing is said by colour alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segengine.models.shares import show_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, VERMILLION, GREY = "#0072B2", "#E69F00", "#D55E00", "#595959"
WIDTH = 8.0  # inches
DPI = 150
LABEL_SIZE, TICK_SIZE, TITLE_SIZE = 11, 10, 13
_LABEL_WIDTH = 44  # characters
_ROW_HEIGHT = 0.32  # inches
_DWARFING = 4  # times as high as all others


@dataclass(frozen=True)
class Band:
    """Scores from `start` up to the next band's start, and what they are called."""

    start: float
    name: str


@dataclass(frozen=True)
class Bar:
    """A bar; `low` to `high` is the interval of its value, where there is one; `note` stands below its label."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


def draw_scores(counts: Sequence[int], bands: Sequence[Band], title: str = "Scores of candidates") -> Figure:
    """Return how candidates spread over scores, with the share of each band.

    A bar that dwarfs all others, as of candidates with nothing in common, is cut off and says its share.

    Args:
        counts: Candidates in bins of equal width from 0 to 1.
        bands: Ascending; the last one ends at 1.
        title: What stands above.
    """
    figure, axes = _start(title, 4.2)
    width, total = 1 / len(counts), max(sum(counts), 1)
    starts = np.arange(len(counts)) * width
    band_starts = [band.start for band in bands]
    # A bin belongs to the band its middle is in; one that is in none is grey.
    places = np.searchsorted(band_starts, starts + width / 2, side="right")
    colours = [GREY if place == 0 else BLUE for place in places]
    shares = 100 * np.array(counts) / total
    axes.bar(starts, shares, width, align="edge", color=colours, edgecolor="white", lw=0.5)
    *_, second, first = sorted(shares)
    if first > _DWARFING * second > 0:  # beside it, nothing else would be seen
        axes.set_ylim(0, 1.2 * second)
        edge = starts[shares.argmax()] + width  # beside the bar, on the side with room
        side, place = ("left", edge) if edge < 0.5 else ("right", edge - width)
        axes.text(place, 1.2 * second, f" ↑ {first:.0f} % ", ha=side, va="top", fontsize=TICK_SIZE)
    top = axes.get_ylim()[1]
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= top])  # what lies above has room for names alone
    axes.set_ylim(0, top * 1.25)
    for place, band in enumerate(bands, start=1):
        end = band_starts[place] if place < len(bands) else 1.0
        share = sum(count for count, each in zip(counts, places, strict=True) if each == place) / total
        axes.axvline(band.start, color=VERMILLION, lw=1, ls="--")
        text = f"{_plain(textwrap.fill(band.name, 12))}\n{show_share(share)}"
        axes.text((band.start + end) / 2, top * 1.23, text, ha="center", va="top", fontsize=TICK_SIZE)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="x")
    _name_axes(axes, "Score (0.5: as common among members as among others)", "Share of candidates (%)")
    return figure


def draw_lift(shares: Sequence[float], lifts: Sequence[float], title: str = "Lift by size of the list") -> Figure:
    """Return how many times more hidden members the best candidates have than as many drawn at random.

    Args:
        shares: Sizes of the list as shares of all candidates, 0..1, ascending.
        lifts: The lift at each, at least 0.
        title: What stands above.
    """
    figure, axes = _start(title, 4.2)
    sizes = 100 * np.array(shares)
    axes.plot(sizes, lifts, color=BLUE, lw=2, marker="o", ms=5)
    axes.axhline(1, color=GREY, lw=1, ls="--")
    axes.annotate(
        "drawn at random", (0, 1), (5, 3), textcoords="offset points", color=GREY, fontsize=TICK_SIZE, va="bottom"
    )
    for size, lift in zip(sizes, lifts, strict=True):
        axes.annotate(f"{lift:.1f}", (size, lift), (5, 5), textcoords="offset points", fontsize=TICK_SIZE)
    axes.set_xlim(0, sizes[-1] * 1.06)
    axes.set_ylim(0, max(1.0, *lifts) * 1.2)
    _name_axes(axes, "Size of the list (% of candidates)", "Lift (times)")
    return figure


def draw_differentiator(
    field: str, cells: Sequence[str], ours: tuple[str, Sequence[float]], theirs: tuple[str, Sequence[float]]
) -> Figure:
    """Return two distributions side by side.

    Args:
        field: The attribute or measure.
        cells: Its values or ranges, in order.
        ours: The segment's name and its share in each cell, 0..1.
        theirs: The same of whom it is compared with.
    """
    figure, axes = _start(field, 1.6 + 1.2 * _ROW_HEIGHT * len(cells))
    rows = np.arange(len(cells))
    for (name, shares), offset, colour, hatch in ((ours, -0.2, BLUE, ""), (theirs, 0.2, ORANGE, "///")):
        axes.barh(
            rows + offset,
            100 * np.array(shares),
            0.38,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            lw=0,
            label=_plain(textwrap.shorten(name, 45, placeholder=" ...")),
        )
    _name_rows(axes, [Bar(cell, 0) for cell in cells])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=TICK_SIZE)
    _name_axes(axes, "Share of each group (%)")
    return figure


def draw_suggestions(bars: Sequence[Bar], target: str, average: float) -> Figure:
    """Return what a target is on average in each suggested group, with intervals, against everybody's average."""
    figure, axes = _start(f"{target}: suggested groups", 1.6 + _ROW_HEIGHT * 2.0 * max(len(bars), 2))
    rows = np.arange(len(bars))
    colours = [BLUE if bar.value >= average else ORANGE for bar in bars]
    axes.barh(rows, [bar.value - average for bar in bars], 0.6, left=average, color=colours)
    for row, bar in zip(rows, bars, strict=True):
        if bar.low is not None and bar.high is not None:
            errors = [[bar.value - bar.low], [bar.high - bar.value]]
            axes.errorbar([bar.value], [row], xerr=errors, color="black", capsize=4, lw=1.2, fmt="none")
    axes.axvline(average, color=GREY, lw=1.2, ls="--")
    ends = [average, *(end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None)]
    room = 0.1 * (max(ends) - min(ends)) or 1.0
    axes.set_xlim(min(ends) - room, max(ends) + room)
    _count_on_x(axes, "{x:,g}")
    _name_rows(axes, bars)
    _name_axes(axes, f"Average {target}\n(dashed: of everybody; whiskers: 95 % interval)")
    return figure


def draw_overlap(bars: Sequence[Bar], title: str = "Overlap") -> Figure:
    """Return how many profiles are in each combination of segments, with their share of the union."""
    figure, axes = _start(title, 1.2 + _ROW_HEIGHT * 1.5 * max(len(bars), 2))
    rows = np.arange(len(bars))
    total = max(sum(bar.value for bar in bars), 1)
    axes.barh(rows, [bar.value for bar in bars], 0.6, color=BLUE)
    for row, bar in zip(rows, bars, strict=True):
        text = f"{bar.value:,.0f} ({show_share(bar.value / total)})"
        axes.annotate(text, (bar.value, row), (5, 0), textcoords="offset points", va="center", fontsize=TICK_SIZE)
    axes.margins(x=0.45)
    _name_rows(axes, bars)
    _count_on_x(axes, "{x:,.0f}")
    _name_axes(axes, "Profiles (in brackets: share of all in any of the segments)")
    return figure


def _start(title: str, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.suptitle(_plain(textwrap.shorten(title, 80, placeholder=" ...")), fontsize=TITLE_SIZE, fontweight="bold")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TICK_SIZE)
    axes.set_axisbelow(True)
    axes.grid(color="#DDDDDD", lw=0.6)
    return figure, axes


def _name_axes(axes: Axes, x: str, y: str = "") -> None:
    axes.set_xlabel(_plain(x), fontsize=LABEL_SIZE)
    axes.set_ylabel(_plain(y), fontsize=LABEL_SIZE)


def _count_on_x(axes: Axes, form: str) -> None:
    """Write numbers as people do, and so few that millions have room."""
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(form)


def _name_rows(axes: Axes, bars: Sequence[Bar]) -> None:
    """Name the rows of horizontal bars, the first one on top."""
    labels = [f"{textwrap.fill(bar.label, _LABEL_WIDTH)}\n{bar.note}".strip() for bar in bars]
    axes.set_yticks(range(len(bars)), list(map(_plain, labels)))
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _plain(text: str) -> str:
    """Return a text in which a dollar is a dollar and no formula begins."""
    return text.replace("$", r"\$")
