"""Refresh every day of a year with growing data, and see what becomes of the warehouse and of the time it takes.

    python -m tests.benchmarks.year --days 365 --segments 40

One process, the embedded engine, maintained every seven days without retention, as the days pass in seconds. Customers
and purchases arrive day by day. On some days all counts are compared with
DuckDB's on the same files; at the end the trend must add up (members = those of the day before + entered - left), the
store must hold, and the refresh after a year is compared with one of the same data in a new warehouse.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checker of stores lies beside this package

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from store_checker import find_violations

from segengine.operations.apply import apply_definitions
from segengine.operations.context import OpenProject, open_project, open_settings, read_state
from segengine.operations.maintain import maintain_warehouse
from segengine.operations.refresh import refresh_segments
from segengine.operations.schema import pull_schema

from .contestant import refresh_counts
from .data import TABLES, DataSize, make_data
from .draws import make_segments
from .opponents import connect_duckdb
from .segments import BenchmarkSegment, write_project

FIRST_DAY = date(2025, 1, 1)
GROWING = {"customers": "customer_since", "purchases": "purchased_at"}
COMPARED = 30  # days between two comparisons with DuckDB


@dataclass
class Year:
    """What came of it: seconds of each day, what was wrong; by day of maintenance files before and after, and bytes."""

    seconds: list[float] = field(default_factory=list)
    file_counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    warehouse_bytes: dict[int, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    compared_counts: int = 0
    last_seconds: float = 0.0
    new_seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """The time of a refresh after the year over that in a new warehouse, of the same data."""
        return self.last_seconds / self.new_seconds


def simulate(
    folder: Path, size: DataSize, segment_count: int, days: int, say: Callable[[str], None], *, maintained: bool = True
) -> Year:
    """Let days pass in a folder."""
    source, data, year = make_data(folder, size, say), folder / "arrived", Year()
    segments = make_segments(segment_count)
    definitions = [segment.definition() for segment in segments]
    arrivals = Arrivals(source, data)
    arrivals.until(FIRST_DAY)
    settings = open_settings(write_project(folder / "project", data, definitions, "embedded"))
    with open_project(settings) as project:
        pull_schema(project.session, settings)
        apply_definitions(project)
        for day in range(days):
            arrivals.until(FIRST_DAY + timedelta(days=day + 1))
            started = time.perf_counter()
            report = refresh_segments(project)
            year.seconds.append(time.perf_counter() - started)
            if day % COMPARED == 0 or day == days - 1:
                say(f"day {day + 1}: {year.seconds[-1]:.2f} s")
                compare(year, day + 1, refresh_counts(report), segments, data)
            if maintained and (day % 7 == 6 or day == days - 1):
                before = count_files(folder / "project" / "warehouse")
                maintain_warehouse(project, retention=timedelta(0))
                year.file_counts[day + 1] = before, count_files(folder / "project" / "warehouse")
                year.warehouse_bytes[day + 1] = count_bytes(folder / "project" / "warehouse")
        check_trend(year, project)
        year.last_seconds = time_full_refresh(project)
    year.differences += find_violations(folder / "project" / "warehouse", thinned=maintained)
    settings = open_settings(write_project(folder / "new", data, definitions, "embedded"))
    with open_project(settings) as project:
        pull_schema(project.session, settings)
        apply_definitions(project)
        refresh_segments(project)
        year.new_seconds = time_full_refresh(project)
    return year


@dataclass
class Arrivals:
    """Copies what has arrived by a day from generated data to growing Delta tables."""

    source: Path
    data: Path
    so_far: date = date.min

    def until(self, day: date) -> None:
        """Let all rows of before a day arrive that have not."""
        for table in TABLES:
            rows = DeltaTable(str(self.source / table)).to_pyarrow_table() if table in self._due() else None
            if rows is None:
                continue
            if table in GROWING:
                days = pc.cast(rows[GROWING[table]], pa.date32())
                rows = rows.filter(pc.and_(pc.less(days, day), pc.greater_equal(days, self.so_far)))
            if rows.num_rows or self.so_far == date.min:
                write_deltalake(str(self.data / table), rows, mode="append")
        self.so_far = day

    def _due(self) -> Sequence[str]:
        return TABLES if self.so_far == date.min else [*GROWING]


def count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def count_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def compare(year: Year, day: int, counts: dict[str, int], segments: Sequence[BenchmarkSegment], data: Path) -> None:
    """Compare the members of a day with DuckDB's on the same files."""
    connection = connect_duckdb(data, known_customers_only=True)  # some buy before they are known
    for segment in segments:
        (expected,) = connection.sql(f"select count(*) from ({segment.sql()}) as found").fetchall()[0]
        year.compared_counts += 1
        if counts[segment.id] != expected:
            year.differences.append(f"day {day}, {segment.id}: {counts[segment.id]} members, not {expected}")


def check_trend(year: Year, project: OpenProject) -> None:
    """Verify that members are those of the day before, with who entered and without who left."""
    _, history = read_state(project)
    members: dict[str, int] = {}
    for run in history.segments.runs:
        now = members.get(run.segment_id, 0) + (run.entered_count or 0) - (run.left_count or 0)
        if run.member_count != now:
            year.differences.append(f"{run.run_id}, {run.segment_id}: {run.member_count} members, the trend says {now}")
        members[run.segment_id] = run.member_count or 0


def time_full_refresh(project: OpenProject) -> float:
    """Return the seconds of the fastest of three: others use the machine too."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        refresh_segments(project, full=True)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.year",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--segments", type=int, default=40)
    parser.add_argument("--profiles", type=int, default=20_000, help="customers by the end of all data")
    parser.add_argument("--rows", type=int, default=200_000, help="purchases by the end of all data")
    parser.add_argument("--no-maintenance", dest="maintained", action="store_false", help="let files heap up")
    options = parser.parse_args(arguments)

    def say(line: str) -> None:
        print(line, flush=True)

    with tempfile.TemporaryDirectory(prefix="year-") as folder:
        size = DataSize(options.profiles, options.rows)
        year = simulate(Path(folder), size, options.segments, options.days, say, maintained=options.maintained)
    say(f"{options.days} refreshes of {options.segments} segments in {sum(year.seconds):.1f} s")
    say(f"the first took {year.seconds[0]:.2f} s, the last {year.seconds[-1]:.2f} s")
    say(
        f"of everything at the end: {year.last_seconds:.2f} s, in a new warehouse {year.new_seconds:.2f} s, "
        f"{year.ratio:.2f} times"
    )
    for day, (before, after) in list(year.file_counts.items())[-1:]:
        most = max(count for count, _ in year.file_counts.values())
        size = f"{after:,}, of {year.warehouse_bytes[day] / 1e6:.1f} MB"
        say(f"files in the warehouse: at most {most:,}; on day {day} {before:,}, after maintenance {size}")
    say(f"{year.compared_counts} counts compared with DuckDB: {year.differences[:5] or 'all equal'}")
    return 1 if year.differences else 0


if __name__ == "__main__":
    sys.exit(main())
