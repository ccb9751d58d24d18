"""How fresh a source is: whether it has rows, and of when the newest is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from segengine.engine.failures import engine_errors
from segengine.engine.source_files import delta_commit_time, is_here, list_files
from segengine.engine.sources import Sources, read_commit_times

if TYPE_CHECKING:
    from segengine.project.project_file import Table


def find_newest(sources: Sources, name: str) -> tuple[bool, datetime | None]:
    """Return whether a table is empty as a run reads it, and of when its newest row is.

    That is the greatest value of its time column (of a day its end); without one, when the table was last written.
    None: there is no such value.

    Raises:
        RunError: The engine failed.
    """
    from pyspark.sql import functions as F

    table, rows = sources.settings.tables[name], sources.read(name)
    with engine_errors(f'looking for the newest row of table "{name}"'):
        if not table.at:
            return rows.limit(1).count() == 0, _written_at(sources, table)
        time, _ = sources.time_column(table)
        (row,) = rows.agg(F.count(F.lit(1)).alias("n"), F.max(time).alias("newest")).toArrow().to_pylist()
    return row["n"] == 0, _as_instant(row["newest"], sources.time_zone(table))


def _as_instant(value: date | None, zone: ZoneInfo) -> datetime | None:
    """Return a stored time as an instant, of a day its end."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value + timedelta(days=1), time(), zone).astimezone(UTC)
    return None


def _written_at(sources: Sources, table: Table) -> datetime | None:
    """Return when the version of a table that is read was written."""
    location, version = sources.settings.table_location(table), sources.versions.get(table.name)
    if is_here(table, location):
        if version is not None:
            return delta_commit_time(location, version)
        files = list_files(table.name, location, f".{table.format}")
        return max(datetime.fromtimestamp(Path(file).stat().st_mtime, UTC) for file in files)
    if version is None:
        return None
    return read_commit_times(sources.session, sources.settings, table).get(version)
