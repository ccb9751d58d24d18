"""Small charts for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from segengine.store.runs import SegmentRun

_BLOCKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def draw_sparkline(values: Sequence[int]) -> str:
    """Return one character a value, low to high; the scale begins at the smallest value."""
    if not values:
        return ""
    low, high = min(values), max(values)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((value - low) / (high - low) * steps) if high > low else 0] for value in values)


def draw_bar(share: float, width: int) -> str:
    """Return a bar as long as a share, 0 to 1, of a width in characters; what is not nothing is at least a sliver."""
    whole, part = divmod(round(share * width * 8), 8)
    bar = "█" * whole + (_EIGHTHS[part] if part else "")
    return bar or ("▏" if share > 0 else "")


def draw_trend(title: str, snapshots: Sequence[SegmentRun], zone: str, *, width: int = 72, height: int = 12) -> str:
    """Return a line chart of a segment's member count over its snapshots, as text without colours; days in `zone`."""
    import plotext as plot

    plot.clear_figure()
    plot.theme("clear")
    plot.plot_size(width, height)
    places = list(range(len(snapshots)))
    counts = [run.member_count or 0 for run in snapshots]
    plot.plot(places, counts, marker="braille")
    plot.scatter(places, counts, marker="●")
    labels = [f"{run.as_of.astimezone(ZoneInfo(zone)):%d %b %y}" for run in snapshots]
    every = max(1, len(labels) // 6)
    plot.xticks(places[::every], labels[::every])
    low, high = min(counts), max(counts)
    ticks = sorted({low, (low + high) // 2, high})
    plot.yticks(ticks, [f"{tick:,}" for tick in ticks])
    plot.title(title)
    text: str = plot.uncolorize(plot.build())
    return text
