"""What makes a segment different, as text: the ranked fields, and a field's two distributions side by side."""

from __future__ import annotations

from segengine.models.cells import Cell, describe_cell
from segengine.models.differentiators import Difference, Differentiators
from segengine.models.sides import Sides
from segengine.project.literals import show_literal
from segengine.project.types import AttributeType, Family
from segengine.report.charts import draw_bar
from segengine.report.lines import align, shorten, show_share

_BAR, _NAME, _VALUE = 20, 28, 32
_TIME_WORDS = {"higher": "later", "lower": "earlier"}


def draw_differentiators(result: Differentiators, zone: str) -> str:
    """Return one line a field, those that differ most first: score, interval, and what differs in words."""
    sides = result.sides
    title = f"{sides.of} ({sides.of_count:,}) against {sides.against} ({sides.against_count:,})"
    scored = [one for one in result.differences if one.score is not None]
    kinds = (
        ("", [one for one in scored if one.is_significant]),
        ("no more than chance:", [one for one in scored if not one.is_significant]),
    )
    parts = [title, *(f"warning: {warning}" for warning in result.warnings)]
    for heading, found in kinds:
        if found:
            rows = [_line(one, zone) for one in found]
            parts += ["", *([heading] if heading else []), *align(rows, right=frozenset({1}))]
    if notes := [f"{one.field}: {one.note}" for one in result.differences if one.score is None]:
        parts += ["", "without a score:", *notes]
    return "\n".join(parts) + "\n"


def draw_difference(difference: Difference, sides: Sides, zone: str) -> str:
    """Return the two distributions of a field side by side, one line a cell; the cell that differs most is marked."""
    cells = difference.cells
    most = max([0.0, *(share for cell in cells for share in (cell.of_share, cell.against_share))]) or 1.0
    rows = [["", "", *_heads(sides.of), *_heads(sides.against)]]
    for place, cell in enumerate(cells):
        name = shorten(describe_cell(cell.cell, difference.type, zone), _VALUE)
        pairs = ((cell.of_count, cell.of_share), (cell.against_count, cell.against_share))
        bars = [
            text for count, share in pairs for text in (draw_bar(share / most, _BAR), show_share(share), f"{count:,}")
        ]
        rows.append(["►" if place == difference.largest and len(cells) > 1 else "", name, *bars])
    return "\n".join([_headline(difference, zone), "", *align(rows, right=frozenset({3, 4, 6, 7}))]) + "\n"


def _heads(name: str) -> list[str]:
    return [shorten(name, _BAR), "share", "count"]


def _line(one: Difference, zone: str) -> list[str]:
    score, low, high = one.score or 0.0, one.low or 0.0, one.high or 0.0
    interval = f"{low:.2f} to {high:.2f}"
    return [shorten(one.field, _NAME), f"{score:.2f}", draw_bar(score, _BAR), interval, _describe(one, zone)]


def _headline(one: Difference, zone: str) -> str:
    if one.score is None:
        return f"{one.field}: {one.note}"
    chance = "" if one.is_significant else ", no more than chance"
    return f"{one.field}: difference {one.score:.2f} ({one.low:.2f} to {one.high:.2f}){chance}; {_describe(one, zone)}"


def _describe(one: Difference, zone: str) -> str:
    """Return what differs: the direction with the averages, and the cell whose shares differ most."""
    cell = one.cells[one.largest]
    name = _name_value(cell.cell, one.type, zone)
    most = f"{name}: {show_share(cell.of_share)} against {show_share(cell.against_share)}"
    if one.of_average is None or one.against_average is None:
        return most
    averages = [show_average(value, one.type, zone) for value in (one.of_average, one.against_average)]
    word = _TIME_WORDS.get(one.direction, "") if one.type.family is not Family.NUMBER else one.direction
    return f"{word or 'neither higher nor lower'}, average {averages[0]} against {averages[1]}; {most}"


def _name_value(cell: Cell, type_: AttributeType, zone: str) -> str:
    return shorten(describe_cell(cell, type_, zone), _VALUE)


def show_average(value: float, type_: AttributeType, zone: str) -> str:
    """Return an average for people: a number with separators and few digits, a day, a time."""
    if type_.family is Family.DATE:
        return show_literal(round(value), type_, zone)
    if type_.family is Family.TIMESTAMP:
        return show_literal(round(value / 1_000_000) * 1_000_000, type_, zone)
    digits = 0 if abs(value) >= 1_000 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}" if not value or abs(value) >= 0.01 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text
