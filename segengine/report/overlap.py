"""How segments overlap, as text: every combination with a bar, the segments, and a field's values."""

from __future__ import annotations

from segengine.models.cells import describe_cell
from segengine.models.overlap import FieldOverlap, Overlap
from segengine.report.charts import draw_bar
from segengine.report.lines import align, shorten, show_share

_BAR, _NAMES, _SHOWN, _COLUMNS = 30, 60, 20, 4
_MATRIX = 8


def draw_overlap(overlap: Overlap, zone: str) -> str:
    """Return the combinations, the largest first, then the segments, then the values of the chosen fields."""
    count = len(overlap.segments)
    shared = f"in all {count}: {overlap.shared_count:,} ({show_share(overlap.shared_share)})"
    parts = [
        f"{overlap.union_count:,} in at least one of {count} segments; {shared}",
        *(f"warning: {warning}" for warning in overlap.warnings),
        "",
    ]
    parts += [*_combination_lines(overlap), "", *_segment_lines(overlap)]
    if 2 < count <= _MATRIX:
        parts += ["", "in both:", *_pair_lines(overlap)]
    for field in overlap.fields:
        parts += ["", *_field_lines(field, overlap, zone)]
    return "\n".join(parts) + "\n"


def _combination_lines(overlap: Overlap) -> list[str]:
    everyone = len(overlap.segments)
    most = max((one.share for one in overlap.combinations), default=0.0) or 1.0
    rows = []
    occurring = [one for one in overlap.combinations if one.count]
    for one in occurring[:_SHOWN]:
        share = show_share(one.share)
        rows.append([_name(one.segments, everyone), f"{one.count:,}", share, draw_bar(one.share / most, _BAR)])
    left = overlap.union_count - sum(one.count for one in occurring[:_SHOWN])
    if left:
        rows.append(["other combinations", f"{left:,}", show_share(left / overlap.union_count), ""])
    return align(rows, right=frozenset({1, 2})) if rows else []


def _name(segments: tuple[str, ...], everyone: int) -> str:
    if len(segments) == everyone:
        return "all of them" if everyone > 2 else "both"
    return shorten(f"only {segments[0]}" if len(segments) == 1 else " + ".join(segments), _NAMES)


def _segment_lines(overlap: Overlap) -> list[str]:
    rows = [["segment", "members", "of the union", "in no other", "of its own"]]
    for one in overlap.segments:
        own = show_share(one.only_count / one.count) if one.count else ""
        name = shorten(one.segment, _NAMES)
        rows.append([name, f"{one.count:,}", show_share(one.share), f"{one.only_count:,}", own])
    return align(rows, right=frozenset({1, 2, 3, 4}))


def _pair_lines(overlap: Overlap) -> list[str]:
    names = [one.segment for one in overlap.segments]
    counts = {one.segments: one.count for one in overlap.pairs}
    rows = [["", *(str(place) for place in range(1, len(names) + 1))]]
    for row, name in enumerate(names):
        cells = [f"{counts[name, other]:,}" if place > row else "" for place, other in enumerate(names)]
        rows.append([f"{row + 1} {shorten(name, _NAMES)}", *cells])
    return align(rows, right=frozenset(range(1, len(names) + 1)))


def _field_lines(field: FieldOverlap, overlap: Overlap, zone: str) -> list[str]:
    everyone = len(overlap.segments)
    columns = _choose_columns(overlap)
    heads = [shorten(_name(overlap.combinations[column].segments, everyone), 24) for column in columns]
    rows = [[field.field, "in any", *heads]]
    for value in field.values:
        name = shorten(describe_cell(value.cell, field.type, zone), 32)
        shares = [show_share(value.counts[column] / value.union_count) for column in columns]
        rows.append([name, f"{value.union_count:,}", *shares])
    return align(rows, right=frozenset(range(1, 2 + _COLUMNS)))


def _choose_columns(overlap: Overlap) -> list[int]:
    """Return the places of the combinations that have room beside values: the largest, and that of all segments."""
    columns = list(range(len(overlap.combinations)))
    shared = [place for place in columns if len(overlap.combinations[place].segments) == len(overlap.segments)]
    others = [place for place in columns[:_COLUMNS] if place not in shared]
    return sorted([*others[: _COLUMNS - len(shared)], *shared])
