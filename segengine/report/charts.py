"""Small charts for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from segengine.store.runs import BACKFILLED, SegmentRun

_BLOCKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDTH, _HEIGHT, _BAR_WIDTH = 72, 12, 40  # in characters


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


def draw_trend(title: str, snapshots: Sequence[SegmentRun], zone: str) -> str:
    """Return a line chart of a segment's member count over its snapshots, as text without colours; days in `zone`.

    Below it, one character a snapshot: how many entered and left, on one scale from 0, and in all. The scale leaves out
    snapshots all of whose members entered, as in the first one: beside those nothing else would be seen. What a
    back-fill or an earlier refresh of the same instant counted, the refreshes count too.
    """
    counts = [run.member_count or 0 for run in snapshots]
    chart = draw_lines(title, [run.as_of for run in snapshots], counts, zone)
    entered, left = ([getattr(run, name) or 0 for run in snapshots] for name in ("entered_count", "left_count"))
    changes = [max(pair) for count, *pair in zip(counts, entered, left, strict=True) if pair[0] < count]
    top = max(changes, default=0) or max([*entered, *left])
    both = draw_sparkline([0, *(min(value, top) for value in (*entered, *left)), top])[1:-1]
    refreshes = [run for run in snapshots if run.purpose != BACKFILLED] or snapshots
    counted = {run.as_of: run for run in refreshes}.values()
    totals = (sum(run.entered_count or 0 for run in counted), sum(run.left_count or 0 for run in counted))
    lines = [
        f"{name:<8}{both[place : place + len(snapshots)]}  {total:,}"
        for name, total, place in zip(("entered", "left"), totals, (0, len(snapshots)), strict=True)
    ]
    return "\n".join([chart.rstrip(), *lines]) + "\n"


def draw_lines(title: str, moments: Sequence[datetime], values: Sequence[float], zone: str) -> str:
    """Return a line chart of values over time, as text without colours; days in `zone`."""
    import plotext as plot

    plot.clear_figure()
    plot.theme("clear")
    plot.plot_size(_WIDTH, _HEIGHT)
    places = list(range(len(values)))
    plot.plot(places, values, marker="braille")
    plot.scatter(places, values, marker="●")
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    form = "%d %b %y" if len({moment.date() for moment in local}) > 1 or len(local) == 1 else "%d %b %H:%M"
    labels = [moment.strftime(form) for moment in local]
    every = max(1, len(labels) // 6)
    plot.xticks(places[::every], labels[::every])
    low, high = min(values), max(values)
    middle = (low + high) // 2 if high - low > 2 else (low + high) / 2
    ticks = sorted({low, middle, high})
    plot.yticks(ticks, [f"{tick:,}" for tick in ticks])
    plot.title(title)
    text: str = plot.uncolorize(plot.build())
    return text


def draw_bars(title: str, labels: Sequence[str], values: Sequence[float]) -> str:
    """Return one bar a line, the longest as wide as they may be; negative values have none."""
    longest = max([*values, 0.0]) or 1.0
    margin = max(map(len, labels), default=0)
    lines = [
        f"{label:<{margin}}  {'█' * round(max(value, 0.0) / longest * _BAR_WIDTH):<{_BAR_WIDTH}}  {value:,.10g}"
        for label, value in zip(labels, values, strict=True)
    ]
    return "\n".join([title, *(line.rstrip() for line in lines)])
