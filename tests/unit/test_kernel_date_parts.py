"""Parts of dates and times: whole batches in the kernel against plain Python, one value at a time."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from judging import judge
from kernel_runs import found_keys
from local_times import MICROSECOND, ZONES, instant_of_wall, random_moment

from segengine.kernel.date_parts import take_part, to_instants, to_local
from segengine.kernel.ordinals import Ordinals, read_ordinals
from segengine.kernel.scan import KEY, BadColumnError, ScanKernel
from segengine.plan.scans import ScanBuilder, SomeRow
from segengine.project.attributes import Attribute
from segengine.project.date_parts import DAY_OF_LEAP_YEAR, PARTS, part_of
from segengine.project.model import Condition
from segengine.project.types import EPOCH, AttributeType, instant_of
from segengine.project.values import Constant, Ranges

DATE, INSTANT = AttributeType("date"), AttributeType("timestamp")
PER_DAY = [name for name in PARTS if name != "hour_of"]
DAY = 86_400_000_000
ODD_DAYS = [date(1, 1, 1), date(9999, 12, 31), date(1900, 2, 28), date(1900, 3, 1), date(2000, 2, 29), date(2100, 3, 1)]


def column(type_: AttributeType) -> Attribute:
    return Attribute("rows", (), "at", type_)


def parts(array: pa.Array, type_: AttributeType, name: str, zone: str) -> Ordinals:
    part = part_of(column(type_), name, zone).part
    assert part is not None
    return take_part(read_ordinals(array, type_), part)


def expected(local: date, name: str) -> int:
    """Return a part of a date, or of a local time."""
    if name == "weekday_of":
        return local.isoweekday()
    if name == DAY_OF_LEAP_YEAR:
        return date(2000, local.month, local.day).timetuple().tm_yday
    if name == "hour_of":
        assert isinstance(local, datetime)
        return local.hour
    return {"month_of": local.month, "day_of_month": local.day, "year_of": local.year}[name]


@pytest.mark.parametrize("name", PER_DAY)
def test_parts_of_dates(name: str) -> None:
    choose = random.Random(name)
    for days in (ODD_DAYS, [date(2023, 1, 1) + timedelta(days=choose.randrange(1_500)) for _ in range(3_000)], []):
        found = parts(pa.array(days, pa.date32()), DATE, name, "Asia/Tokyo")
        assert found.values.tolist() == [expected(day, name) for day in days]
        assert found.invalid is None


@pytest.mark.parametrize("zone", ZONES)
def test_parts_of_instants_are_those_of_local_time(zone: str) -> None:
    choose, here = random.Random(zone), ZoneInfo(zone)
    moments = [random_moment(choose, zone) + timedelta(minutes=choose.randrange(-90, 90)) for _ in range(400)]
    moments += [datetime(year, 12, 31, 20, tzinfo=UTC) for year in (2, 1600, 1883, 1912, 2037, 2038, 2500, 9998)]
    array = pa.array(moments, pa.timestamp("us", "UTC"))
    for name in PARTS:
        wanted = [expected(moment.astimezone(here), name) for moment in moments]
        assert parts(array, INSTANT, name, zone).values.tolist() == wanted


@pytest.mark.parametrize("own", ZONES)
@pytest.mark.parametrize("zone", ["Asia/Beirut", "America/St_Johns", "UTC"])
def test_parts_of_wall_clocks_are_those_of_the_projects_zone(own: str, zone: str) -> None:
    choose = random.Random(own + zone)
    moments = [random_moment(choose, own) for _ in range(100)]
    walls = [moment.astimezone(ZoneInfo(own)).replace(tzinfo=None) for moment in moments]
    walls += [wall + timedelta(minutes=choose.randrange(-90, 90)) for wall in walls]
    type_ = AttributeType("timestamp_ntz", zone=own)
    array = pa.array(walls, pa.timestamp("us"))
    for name in ("hour_of", "day_of_month"):
        wanted = [expected(instant_of_wall(wall, own).astimezone(ZoneInfo(zone)), name) for wall in walls]
        assert parts(array, type_, name, zone).values.tolist() == wanted


def test_a_wall_clock_without_zone_is_the_projects() -> None:
    array = pa.array([datetime(2024, 3, 31, 2, 30), datetime(2024, 10, 27, 2, 30)], pa.timestamp("us"))
    found = parts(array, AttributeType("timestamp_ntz"), "hour_of", "Europe/Berlin")
    assert found.values.tolist() == [3, 2]  # the first of them never was


@pytest.mark.parametrize("zone", ZONES)
def test_local_times_around_every_change_of_the_clocks(zone: str) -> None:
    here = ZoneInfo(zone)
    days = [datetime(1900, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(200 * 365)]
    offsets = [day.astimezone(here).utcoffset() for day in days]
    changed = [day for day, one, other in zip(days, offsets, offsets[1:], strict=False) if one != other]
    around = [day + timedelta(minutes=minutes) for day in changed for minutes in range(0, 1_441, 15)]
    around += [moment - MICROSECOND for moment in around]
    instants = np.array([instant_of(moment) for moment in around], dtype=np.int64)
    walls = [moment.astimezone(here).replace(tzinfo=None) for moment in around]
    wanted = [(wall - EPOCH.replace(tzinfo=None)) // MICROSECOND for wall in walls]
    assert to_local(instants, zone).tolist() == wanted
    back = [instant_of(instant_of_wall(wall, zone)) for wall in walls]
    assert to_instants(np.array(wanted, dtype=np.int64), zone).tolist() == back


@pytest.mark.parametrize("name", list(PARTS))
def test_years_that_no_calendar_has_are_errors(name: str) -> None:
    first, last = (date.min - date(1970, 1, 1)).days * DAY, ((date.max - date(1970, 1, 1)).days + 1) * DAY
    values = [first - 1, first, last - 1, last, -(2**63), 2**63 - 1, None, 0]
    array = pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))
    found = parts(array, INSTANT, name, "UTC")
    assert found.invalid is not None
    assert found.invalid.tolist() == [0, 3, 4, 5]
    assert found.missing is not None
    assert found.missing.tolist() == [value is None for value in values]
    attribute = part_of(column(INSTANT), name, "Asia/Tokyo")
    everything = Condition(attribute, Ranges(((None, None),)))
    assert judge(everything, array) == [True, True, False, False, False, False, False, True]  # nine hours later there


def test_missing_values_have_no_parts() -> None:
    month = part_of(column(DATE), "month_of", "UTC")
    march = Condition(month, Ranges(((3, 4),)))
    array = pa.array([date(2024, 3, 1), date(2024, 4, 1), None], pa.date32())
    assert judge(march, array) == [True, False, False]
    assert judge(march.negated(), array) == [False, True, False]
    empty = Condition(month, Constant(False), True, True)
    assert judge(empty, array) == [False, False, True]
    assert judge(empty.negated(), array) == [True, True, False]


def test_a_column_is_read_once_whatever_its_parts() -> None:
    at = column(INSTANT)
    tests: list[tuple[Attribute, Any]] = [
        (at, Ranges(((None, 0),))),
        (part_of(at, "month_of", "UTC"), Ranges(((1, 2),))),
        (part_of(at, "hour_of", "UTC"), Ranges(((1, 2),))),
    ]
    builder = ScanBuilder("customer", "rows", None)
    outputs = [builder.output(SomeRow(frozenset((Condition(*test),)))) for test in tests]
    outputs.append(builder.output(SomeRow(frozenset(Condition(*test) for test in tests[1:]))))
    scan = builder.build()
    assert scan.columns == (at,)
    assert [scan.column_name(attribute) for attribute in scan.judged] == ["c0"] * 3
    kernel = ScanKernel(scan)
    hour = DAY // 24
    values = pa.array([-1, 0, hour, 40 * DAY + hour, 2**62, None], pa.int64()).cast(pa.timestamp("us", "UTC"))
    kernel.add([pa.record_batch([pa.array(range(1, 7), pa.int64()), values], names=[KEY, "c0"])])
    keys = found_keys(kernel)
    assert [keys[output] for output in outputs] == [[1], [2, 3], [3, 4], [3]]
    assert kernel.invalid_counts() == {(output, "at"): 1 for output in outputs[1:]}


def test_text_that_is_no_date_is_said_of_the_column() -> None:
    month = part_of(column(DATE), "month_of", "UTC")
    builder = ScanBuilder("customer", "rows", None)
    builder.output(SomeRow(frozenset((Condition(month, Ranges(((3, 4),))),))))
    kernel = ScanKernel(builder.build())
    with pytest.raises(BadColumnError) as caught:
        kernel.add([pa.record_batch([pa.array([1, 2]), pa.array(["2024-03-01", "March"])], names=[KEY, "c0"])])
    assert (caught.value.column, caught.value.type, caught.value.count) == ("at", "date", 1)


@pytest.mark.parametrize(
    ("type_", "zone", "low", "high"),
    [
        (DATE, "Asia/Tokyo", 19_358, 19_723),
        (INSTANT, "UTC", (19_358 - 2) * DAY, (19_723 + 2) * DAY),
        (AttributeType("timestamp_ntz"), "Asia/Tokyo", (19_358 - 2) * DAY, (19_723 + 2) * DAY),
    ],
)
def test_years_bound_the_rows_that_are_read(type_: AttributeType, zone: str, low: int, high: int) -> None:
    builder = ScanBuilder("customer", "rows", None)
    year = part_of(column(type_), "year_of", zone)
    month = part_of(column(type_), "month_of", zone)
    builder.output(SomeRow(frozenset((Condition(year, Ranges(((2023, 2024),))), Condition(month, Ranges(((3, 4),)))))))
    assert builder.build().limits == ((column(type_), Ranges(((low, high),))),)
    builder.output(SomeRow(frozenset((Condition(month, Ranges(((3, 4),))),))))
    assert builder.build().limits == ()
