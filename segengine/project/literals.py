"""Values as rules write them: the way back from ordinals to text."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from segengine.project.types import (
    EPOCH,
    EPOCH_DAY,
    AttributeType,
    Family,
    LiteralError,
    Ordinal,
    nearest_float,
    parse_instant,
)


def show_literal(ordinal: Ordinal, type_: AttributeType, zone: str) -> str:
    """Return the text of a value that a rule compares as equal to it.

    Args:
        ordinal: A number (decimals unscaled), a day since 1970, an instant in microseconds since 1970 UTC, 0 or 1.
        type_: The attribute's type; not text, whose values are literals already.
        zone: The project's time zone: times are shown in it, those that its clocks show twice or never in UTC.
    """
    if type_.family is Family.BOOLEAN:
        return "true" if ordinal else "false"
    if type_.family is Family.DATE:
        return _show_day(int(ordinal))
    if type_.family is Family.TIMESTAMP:
        return _show_instant(int(ordinal), zone)
    if type_.name in ("float", "double"):
        return _show_float(float(ordinal), single=type_.name == "float")
    text = f"{Decimal(int(ordinal)).scaleb(-type_.scale):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _show_day(days: int) -> str:
    try:
        return (EPOCH_DAY + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"{days} days from 1970-01-01"  # beyond the calendar that literals have


def _show_instant(microseconds: int, zone: str) -> str:
    try:
        moment = EPOCH + timedelta(microseconds=microseconds)
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(sep=" ")
    except OverflowError:
        return f"{microseconds} microseconds from 1970-01-01"
    try:
        is_local = parse_instant(local, zone) == microseconds
    except LiteralError:  # pragma: no cover - isoformat is what literals look like
        is_local = False
    return local if is_local else moment.replace(tzinfo=None).isoformat(sep=" ") + "Z"


def _show_float(value: float, *, single: bool) -> str:
    text = repr(value)
    if single:  # the fewest digits that tell it from its neighbours of the same width
        shorter = (f"{value:.{digits}g}" for digits in range(1, 10))
        text = next((one for one in shorter if nearest_float(Decimal(one), single=True) == value), text)
    return text.removesuffix(".0")
