"""Conditions on times with the days and times they mean as of an instant: `within_last: 12 months` becomes two ends."""

from __future__ import annotations

from collections.abc import Iterator

from segengine.project.attributes import Attribute
from segengine.project.date_parts import PARTS
from segengine.project.literals import show_literal
from segengine.project.logic import push_not_inward
from segengine.project.model import All, Condition, Expression
from segengine.project.nodes import Plain
from segengine.project.relative import anchor_test
from segengine.project.types import AttributeType, Family, parse_instant
from segengine.project.values import Bound, Ranges, Relative

_INSTANT = AttributeType("timestamp")
_WHOLE = AttributeType("integer")


def write_fixed_times(expression: Expression, as_of: int, zone: str) -> Plain:
    """Return conditions on times as a rule writes them, without any that is relative to its run.

    Args:
        expression: Conditions on columns of a table's rows, all of which hold.
        as_of: What they are relative to, in microseconds since 1970 UTC.
        zone: The project's time zone.

    Returns:
        What stands behind `where`; None where no rule of days and times can say it, or no time is accepted.
    """
    accepted: dict[Attribute, Ranges] = {}
    for each in _list_items(push_not_inward(expression)):
        ranges = _find_ranges(each, as_of, zone)
        if ranges is None or not isinstance(each, Condition):
            return None
        before = accepted.get(each.attribute)
        accepted[each.attribute] = ranges if before is None else before.intersection(ranges)
    if any(ranges.is_empty() for ranges in accepted.values()):
        return None
    items = [_write(attribute, ranges, zone) for attribute, ranges in accepted.items()]
    return items[0] if len(items) == 1 else {"all": items}


def _list_items(expression: Expression) -> Iterator[Expression]:
    if isinstance(expression, All):
        for item in expression.items:
            yield from _list_items(item)
    else:
        yield expression


def _find_ranges(expression: Expression, as_of: int, zone: str) -> Ranges | None:
    """Return what a condition accepts: days, instants, or (of a part) whole numbers; None where that is no ranges."""
    if not isinstance(expression, Condition) or expression.missing or expression.about_missing:
        return None
    test, type_ = expression.test, expression.attribute.type
    if isinstance(test, Relative):
        if test.operation == "anniversary_within_next":
            return None
        return anchor_test(test, type_ if type_.family is Family.DATE else _INSTANT, as_of, zone)
    if not isinstance(test, Ranges):
        return None
    if part := expression.attribute.part:
        return test.intersection(PARTS[part.name].domain)
    if type_.name != "timestamp_ntz":
        return test
    column_zone = type_.zone or zone
    return Ranges(tuple((_to_instant(low, column_zone), _to_instant(high, column_zone)) for low, high in test.spans))


def _to_instant(wall_clock: Bound, zone: str) -> Bound:
    """Return when a zone's clocks show a time."""
    return None if wall_clock is None else parse_instant(show_literal(wall_clock, _INSTANT, "UTC"), zone)


def _write(attribute: Attribute, accepted: Ranges, zone: str) -> Plain:
    items: list[Plain] = [
        {attribute.whole.name: _write_span(attribute, low, high, zone)} for low, high in accepted.spans
    ]
    return items[0] if len(items) == 1 else {"any": items}


def _write_span(attribute: Attribute, low: Bound, high: Bound, zone: str) -> dict[str, Plain]:
    """Return the operators that accept what is in `[low, high)`."""
    part = attribute.part
    names = ("at_least", "at_most") if part else ("on_or_after", "on_or_before")
    type_ = _WHOLE if part else attribute.type if attribute.type.family is Family.DATE else _INSTANT
    ends = zip(names, (low, None if high is None else high - 1), strict=True)
    written: dict[str, Plain] = {name: show_literal(end, type_, zone) for name, end in ends if end is not None}
    if not written:
        return {"empty": "false"}
    return {part.name: written} if part else written
