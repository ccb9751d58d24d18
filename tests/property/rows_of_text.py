"""What measures come to as lines of text, one per profile or group: `ann | 2024-06-01 -> 12.5 | web`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from random_values import write_decimal
from reference_measures import Computed

MISSING = "-"
_PLAIN = re.compile(r"\w[\w.,:+ -]*(?<! )")


def write_value(value: Any) -> str:
    """Return a value as text: numbers without zeros at the end, times as instants, odd text in quotes."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value + 0.0)
    if isinstance(value, int | Fraction | Decimal):
        return write_decimal(Fraction(value), digits=38)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def write_row(key: Sequence[Any], values: Iterable[Any]) -> str:
    """Return the line of a profile or group; of a business measure without dimensions the values alone."""
    found = " | ".join(map(write_value, values))
    return f"{' | '.join(map(write_value, key))} -> {found}" if key else found


def write_rows(rows: Sequence[tuple[Sequence[Any], Sequence[Any]]]) -> set[str]:
    """Return the lines of keys and values.

    Raises:
        ValueError: Two rows have the same key.
    """
    keys = [tuple(map(write_value, key)) for key, _ in rows]
    if len(set(keys)) < len(keys):
        raise ValueError(f"a group twice: {sorted(key for key in keys if keys.count(key) > 1)[:2]}")
    return {write_row(key, values) for key, values in rows}


def write_computed(computed: Computed, names: Iterable[str]) -> set[str]:
    """Return the lines of what the reference found, values in the order of their names."""
    ordered = list(names)
    return write_rows([(key, [found[name] for name in ordered]) for key, found in computed.values.items()])


def tells_apart(lines: set[str]) -> bool:
    """Return whether there are rows with different values."""
    return len({line.rpartition(" -> ")[2] for line in lines}) > 1
