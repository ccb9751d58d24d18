"""Schedules against a clock that is watched minute by minute, in plain Python."""

from __future__ import annotations

import random
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from segengine.errors import DefinitionError
from segengine.project.schedule import Period, Schedule, next_due
from segengine.project.settings import load_settings

MINUTE = timedelta(minutes=1)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "UTC")
# Around days on which the clocks of these zones are changed; Apia left out 30 December 2011, Sao Paulo midnights.
DAYS = ("2025-03-30", "2025-10-26", "2025-03-09", "2025-11-02", "2025-04-06", "2025-10-05", "2018-11-04", "2011-12-30")


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def daily(*times: str, zone: str = "UTC") -> Schedule:
    return Schedule("daily", tuple(time.fromisoformat(each) for each in times), zone)


def watch(
    first: datetime, last: datetime, zone: str
) -> tuple[dict[datetime, datetime], list[tuple[datetime, datetime]]]:
    """Return when each local minute is shown first, and what the clock leaves out: (shown before, shown after)."""
    shown: dict[datetime, datetime] = {}
    left_out: list[tuple[datetime, datetime]] = []
    before = None
    moment = first
    while moment < last:
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        shown.setdefault(local, moment)
        if before is not None and local - before > MINUTE:
            left_out.append((before, local))
        before = local
        moment += MINUTE
    return shown, left_out


def planned_minutes(schedule: Schedule, first: datetime, last: datetime) -> list[datetime]:
    """Return every instant of a schedule in a span, by looking at the clock of each minute."""
    shown, left_out = watch(first - timedelta(days=3), last + timedelta(days=3), schedule.zone)
    days = {local.date() for local in shown} | {day for gap in left_out for day in (gap[0].date(), gap[1].date())}
    days |= {gap[0].date() + timedelta(days=1) for gap in left_out}
    found = []
    for day in days:
        if schedule.period == "weekly" and day.isoweekday() - 1 != schedule.day:
            continue
        if schedule.period == "monthly" and day.day != min(schedule.day, monthrange(day.year, day.month)[1]):
            continue
        for each in schedule.times:
            wanted = datetime.combine(day, each)
            for before, after in left_out:
                if before < wanted < after:
                    wanted += after - before - MINUTE
            if wanted in shown:
                found.append(shown[wanted])
    return sorted(moment for moment in set(found) if first < moment < last)


@pytest.mark.parametrize("zone", ZONES)
def test_planned_instants_are_those_that_a_watched_clock_shows(zone: str) -> None:
    choose = random.Random(zone)
    for day in DAYS:
        first = at(f"{day}T00:00") - timedelta(days=2)
        last = first + timedelta(days=5)
        times = {time(0, 0), time(2, 30), *(time(choose.randrange(24), choose.randrange(60)) for _ in range(2))}
        periods: list[tuple[Period, int]] = [
            ("daily", 0),
            ("weekly", date.fromisoformat(day).weekday()),
            ("monthly", date.fromisoformat(day).day),
            ("monthly", 31),
        ]
        for period, of in periods:
            schedule = Schedule(period, tuple(sorted(times)), zone, of)
            expected = planned_minutes(schedule, first, last)
            found = []
            moment = first
            while (moment := schedule.following(moment)) < last:
                found.append(moment)
            assert found == expected, (str(schedule), day)


def test_a_time_left_out_moves_forward_and_one_shown_twice_is_the_first() -> None:
    night = daily("02:30", zone="Europe/Berlin")

    assert night.following(at("2025-03-29T12:00")) == at("2025-03-30T01:30"), "half past three, summer time"
    assert night.following(at("2025-10-25T12:00")) == at("2025-10-26T00:30")
    assert night.following(at("2025-10-26T00:30")) == at("2025-10-27T01:30"), "once a day, not twice"


def test_the_end_of_a_short_month() -> None:
    last = Schedule("monthly", (time(6),), "UTC", 31)

    assert last.following(at("2025-01-31T06:00")) == at("2025-02-28T06:00")
    assert last.following(at("2024-02-01T00:00")) == at("2024-02-29T06:00")
    assert last.following(at("2025-04-30T05:59")) == at("2025-04-30T06:00")


def test_refreshes_by_a_poller_with_outages_match_a_simulation() -> None:
    """A poller asks every 10 minutes, is off at times and fails at times: after each planned instant one success."""
    choose = random.Random(6)
    schedule = daily("02:00", "02:30", "14:00", zone="Europe/Berlin")
    first, last = at("2025-03-25T00:00"), at("2025-04-05T00:00")
    planned = planned_minutes(schedule, first - timedelta(days=1), last)
    succeeded, pending = first, False
    now, refreshes = first, 0
    off_until = first
    while now < last:
        pending = pending or any(now - 10 * MINUTE < moment <= now for moment in planned)
        if choose.random() < 0.01:
            off_until = now + timedelta(hours=choose.randrange(1, 40))
        if now >= off_until:
            is_due = next_due(schedule, succeeded, now) <= now
            assert is_due == pending, now
            if is_due and choose.random() < 0.8:
                succeeded, pending = now, False
                refreshes += 1
        now += 10 * MINUTE
    assert 5 < refreshes < len(planned)


def test_moved_times_starve_nothing_and_repeat_nothing() -> None:
    morning, evening = daily("02:00"), daily("23:00")
    succeeded = at("2025-05-05T02:00")

    assert next_due(evening, succeeded, at("2025-05-05T12:00")) == at("2025-05-05T23:00")
    assert next_due(morning, at("2025-05-05T23:00"), at("2025-05-06T01:00")) == at("2025-05-06T02:00")
    now = succeeded
    for hour in range(3, 60):  # moved an hour ahead of the clock all day long: at the latest a day later it is due
        now = succeeded + timedelta(hours=hour - 2)
        moved = daily(f"{(hour + 1) % 24:02}:00")
        if next_due(moved, succeeded, now) <= now:
            break
    assert now - succeeded <= timedelta(hours=25)


def test_what_never_succeeded_is_due_at_once() -> None:
    now = at("2025-05-05T12:00")
    assert next_due(Schedule("weekly", (time(6),), "UTC", 0), None, now) == now


def test_a_schedule_reads_well() -> None:
    assert str(daily("02:00", "14:00")) == "daily at 02:00, 14:00 UTC"
    assert str(Schedule("weekly", (time(6),), "Asia/Tokyo", 6)) == "weekly on sunday at 06:00 Asia/Tokyo"
    assert str(Schedule("monthly", (time(6),), "UTC", 1)) == "monthly on day 1 at 06:00 UTC"


PROJECT = """\
project: small
time_zone: Europe/Berlin
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
"""


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('{daily: ["14:00", "2:00"]}', "daily at 02:00, 14:00 Europe/Berlin"),
        ('{daily: "02:00", zone: UTC}', "daily at 02:00 UTC"),
        ('{weekly: {day: Monday, at: "06:00"}}', "weekly on monday at 06:00 Europe/Berlin"),
    ],
)
def test_the_projects_schedule(tmp_path: Path, written: str, expected: str) -> None:
    (tmp_path / "segengine.yml").write_text(f"{PROJECT}schedule: {written}\n")
    assert str(load_settings(tmp_path).schedule) == expected


def test_the_projects_schedule_is_not_monthly(tmp_path: Path) -> None:
    (tmp_path / "segengine.yml").write_text(f'{PROJECT}schedule: {{monthly: {{day: 1, at: "06:00"}}}}\n')
    with pytest.raises(DefinitionError) as wrong:
        load_settings(tmp_path)
    assert [(issue.place.line, issue.code) for issue in wrong.value.issues] == [(5, "SEG233"), (5, "SEG233")]
