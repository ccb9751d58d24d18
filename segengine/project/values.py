"""Sets of values: what an operator accepts.

Ordered attributes (numbers, dates, timestamps, booleans as 0 and 1) are judged by `Ranges`, text by `TextTest`,
and `Constant` accepts every value or none. `Relative` stands for ranges that depend on the instant a run is for. Each
is closed under complement, so `not` never reaches the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from segengine.project.types import EPOCH, AttributeType, Ordinal

Bound = Ordinal | None  # None: without end on that side
TextOperation = Literal["equals", "begins_with", "ends_with", "contains", "matches"]


@dataclass(frozen=True)
class Ranges:
    """A set of ordinals as sorted, disjoint, half-open spans `[low, high)`."""

    spans: tuple[tuple[Bound, Bound], ...]

    def complement(self) -> Ranges:
        """Return the ordinals outside this set."""
        gaps: list[tuple[Bound, Bound]] = []
        start: Bound = None
        for low, high in self.spans:
            if low is not None:
                gaps.append((start, low))
            if high is None:
                return Ranges(tuple(gaps))
            start = high
        return Ranges((*gaps, (start, None)))

    def union(self, other: Ranges) -> Ranges:
        """Return the ordinals in either set."""
        return make_ranges((*self.spans, *other.spans))

    def intersection(self, other: Ranges) -> Ranges:
        """Return the ordinals in both sets."""
        return self.complement().union(other.complement()).complement()

    def accepts(self, ordinal: Ordinal) -> bool:
        """Return whether an ordinal is in the set."""
        return any((low is None or low <= ordinal) and (high is None or ordinal < high) for low, high in self.spans)

    def is_empty(self) -> bool:
        """Return whether no ordinal is in the set."""
        return not self.spans


def make_ranges(spans: tuple[tuple[Bound, Bound], ...]) -> Ranges:
    """Return the union of half-open spans; empty ones vanish, touching ones join."""
    infinity = float("inf")
    real = [(low, high) for low, high in spans if low is None or high is None or low < high]
    real.sort(key=lambda span: -infinity if span[0] is None else span[0])
    merged: list[tuple[Bound, Bound]] = []
    for low, high in real:
        if merged:
            last_low, last_high = merged[-1]
            if last_high is None:
                break
            if low is None or low <= last_high:
                merged[-1] = (last_low, None if high is None else max(last_high, high))
                continue
        merged.append((low, high))
    return Ranges(tuple(merged))


@dataclass(frozen=True)
class TextTest:
    """Text that begins with, contains, ... one of the operands; `negated`: none of them."""

    operation: TextOperation
    operands: tuple[str, ...]
    ignore_case: bool = False
    negated: bool = False

    def complement(self) -> TextTest:
        """Return the test that accepts all other text."""
        return TextTest(self.operation, self.operands, self.ignore_case, not self.negated)

    def accepts(self, text: str) -> bool | None:
        """Return whether a text passes, or None for a pattern, which only the kernel's RE2 may judge."""
        if self.operation == "matches":
            return None
        folded = text.casefold() if self.ignore_case else text
        operands = [operand.casefold() for operand in self.operands] if self.ignore_case else self.operands
        return any(_hits(self.operation, folded, operand) for operand in operands) != self.negated


def _hits(operation: TextOperation, text: str, operand: str) -> bool:
    if operation == "begins_with":
        return text.startswith(operand)
    if operation == "ends_with":
        return text.endswith(operand)
    return operand in text if operation == "contains" else text == operand


@dataclass(frozen=True)
class Constant:
    """Accepts every value that is there, or none."""

    accepts_all: bool

    def complement(self) -> Constant:
        """Return the opposite."""
        return Constant(not self.accepts_all)


RelativeOperation = Literal["within_last", "within_next", "to_date", "anniversary_within_next"]
Unit = Literal["minute", "day", "week", "month", "quarter", "year"]


@dataclass(frozen=True)
class Relative:
    """Times as seen from the instant a run is for; `negated`: all others.

    `count` and `unit` say how far: minutes (always `rolling`), days or months; `rolling` months reach to the same local
    time, others to the start or end of a local day. Of `to_date` the `unit` is the period.
    """

    operation: RelativeOperation
    count: int
    unit: Unit
    rolling: bool = False
    negated: bool = False

    def complement(self) -> Relative:
        """Return the test that accepts all other times."""
        return replace(self, negated=not self.negated)


Test = Ranges | TextTest | Constant | Relative


def stored_ranges(instants: Ranges, type_: AttributeType, zone: str) -> Ranges:
    """Return what a timestamp column stores for ranges of instants; `zone`: its wall clock's, unless it has its own."""
    column_zone = type_.zone or zone
    if type_.name == "timestamp_ntz" and column_zone != "UTC":
        return wall_clock_ranges(instants, column_zone)
    return instants


def wall_clock_ranges(instants: Ranges, zone: str) -> Ranges:
    """Return the wall-clock ordinals (microseconds) in `zone` whose instants lie in the given ranges.

    A wall clock that exists twice means the earlier instant; one that does not exist moves forward by the gap.
    Each wall clock maps to one instant with the offset valid before a change until the clocks have passed it,
    so the answer is found piece by piece around each bound.
    """
    pieces: list[tuple[Bound, Bound]] = []
    for low, high in instants.spans:
        span = _from_instant(low, zone)
        if high is not None:
            span = span.intersection(_from_instant(high, zone).complement())
        pieces.extend(span.spans)
    return make_ranges(tuple(pieces))


def _from_instant(bound: Bound, zone: str) -> Ranges:
    """Return the wall clocks whose instant is at or after `bound`."""
    if bound is None:
        return Ranges(((None, None),))
    here = ZoneInfo(zone)
    base = int(bound)
    reach = 2 * 86_400_000_000
    pieces: list[tuple[Bound, Bound]] = [(base + reach, None)]
    start = base - reach
    while start < base + reach:
        offset = _offset(start, here)
        end = _next_change(start, base + reach, here, offset)
        pieces.append((max(start, base + offset), end))
        start = end
    return make_ranges(tuple(pieces))


def _offset(wall: int, here: ZoneInfo) -> int:
    """Return the zone's offset in microseconds for a wall clock, the one before the change where in doubt."""
    try:
        moment = datetime(1970, 1, 1) + timedelta(microseconds=wall)
    except OverflowError:
        moment = datetime.min if wall < 0 else datetime.max
    delta = moment.replace(tzinfo=here).utcoffset() or timedelta()
    return delta // timedelta(microseconds=1)


def _next_change(start: int, end: int, here: ZoneInfo, offset: int) -> int:
    """Return the first wall clock after `start` with another offset, at most `end` (steps of 15 minutes)."""
    step = 15 * 60_000_000
    low = start
    while low < end and _offset(low + step, here) == offset:
        low += step
    if low >= end:
        return end
    high = low + step
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, here) == offset else (low, middle)
    return min(high, end)


def epoch_text(microseconds: int) -> str:
    """Return an instant as RFC 3339 text in UTC."""
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
