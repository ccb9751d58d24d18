"""Values as rules write them: what is shown is read back as the same value."""

from __future__ import annotations

import random
import struct
from datetime import UTC, date, datetime

import pytest

from segengine.project.literals import show_literal
from segengine.project.types import EPOCH_DAY, AttributeType, instant_of, parse_span, parse_type

ZONES = ("UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia")
INSTANT = AttributeType("timestamp")


def typed(text: str) -> AttributeType:
    type_ = parse_type(text)
    assert type_ is not None
    return type_


@pytest.mark.parametrize(
    ("ordinal", "type_", "shown"),
    [
        (5, "integer", "5"),
        (-12345678901234567890, "decimal(38,0)", "-12345678901234567890"),
        (1050, "decimal(10,2)", "10.5"),
        (-5, "decimal(10,2)", "-0.05"),
        (100000, "decimal(10,2)", "1000"),
        (0.1, "double", "0.1"),
        (4.0, "double", "4"),
        (1e22, "double", "1e+22"),
        (struct.unpack("=f", struct.pack("=f", 0.1))[0], "float", "0.1"),
        (16777216.0, "float", "16777216"),
        (1, "boolean", "true"),
        (0, "boolean", "false"),
        ((date(1985, 7, 21) - EPOCH_DAY).days, "date", "1985-07-21"),
        (10**7, "date", "10000000 days from 1970-01-01"),
    ],
)
def test_values_as_rules_write_them(ordinal: int | float, type_: str, shown: str) -> None:
    assert show_literal(ordinal, typed(type_), "UTC") == shown


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(2026, 6, 30, 12, tzinfo=UTC), "2026-06-30 05:00:00"),
        (datetime(2026, 6, 30, 12, 0, 0, 5, tzinfo=UTC), "2026-06-30 05:00:00.000005"),
        (datetime(2025, 11, 2, 8, 30, tzinfo=UTC), "2025-11-02 01:30:00"),  # twice on the clock: the earlier
        (datetime(2025, 11, 2, 9, 30, tzinfo=UTC), "2025-11-02 09:30:00Z"),
    ],
)
def test_instants_are_shown_in_local_time(moment: datetime, shown: str) -> None:
    assert show_literal(instant_of(moment), INSTANT, "America/Los_Angeles") == shown


def test_instants_beyond_the_calendar() -> None:
    assert show_literal(10**18, INSTANT, "UTC") == "1000000000000000000 microseconds from 1970-01-01"


def test_what_is_shown_is_read_back() -> None:
    draw = random.Random(7)
    for _ in range(500):
        zone = draw.choice(ZONES)
        for name, ordinal in (
            ("integer", draw.randrange(-(10**12), 10**12)),
            ("decimal(20,7)", draw.randrange(-(10**19), 10**19)),
            ("double", draw.uniform(-1, 1) * 10 ** draw.randrange(-20, 20)),
            ("float", struct.unpack("=f", struct.pack("=f", draw.uniform(-1, 1) * 10 ** draw.randrange(-20, 20)))[0]),
            ("date", draw.randrange(-500_000, 500_000)),
            ("timestamp", draw.randrange(-(10**16), 10**17)),
        ):
            low, high = parse_span(show_literal(ordinal, typed(name), zone), typed(name), zone)
            assert low <= ordinal < high, (name, ordinal, zone)
