"""Reading source tables: pinned to one version, checked against the lock, as they were at `as_of` or cut off there."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from segengine.engine.failures import engine_errors
from segengine.engine.session import EngineSession
from segengine.engine.source_files import (
    check_spark_reads,
    csv_columns,
    delta_commit_times,
    delta_version,
    engine_type_name,
    has_delta_version,
    is_here,
    is_local,
    list_files,
    parquet_columns,
)
from segengine.engine.statistics import delta_to_read, parquet_to_read
from segengine.errors import DataContractError, SegEngineError
from segengine.project.project_file import Schema, Settings, Table
from segengine.project.types import EPOCH

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Versions = Mapping[str, int | None]  # table -> pinned Delta version; None: cannot be pinned


class Reading(StrEnum):
    """How a run as of a past instant reads a table."""

    AS_IT_WAS = "as_it_was"
    BY_TIME = "by_time_column"
    AS_IT_IS = "as_it_is"


@dataclass(frozen=True)
class Sources:
    """The project's tables as one run reads them.

    `as_of` is None for a run at the present: then nothing is cut off. Else tables are either at the version that was
    the newest then (`as_they_were`), or rows with a time (`at`) later than it are left out.
    """

    session: EngineSession
    settings: Settings
    versions: Versions
    as_of: datetime | None = None
    as_they_were: frozenset[str] = frozenset()
    _frames: dict[str, DataFrame] = field(default_factory=dict, compare=False, repr=False)
    _stored: dict[str, dict[str, str]] = field(default_factory=dict, compare=False, repr=False)

    def read(self, name: str) -> DataFrame:
        """Return a table's rows as stored, at the pinned version, up to `as_of`; the same ones whenever asked."""
        if name not in self._frames:
            table, version = self.settings.tables[name], self.versions.get(name)
            places = self._find_places(table, version) if self.session.kind == "embedded" else None
            rows = _read(self.session, self.settings, table, version, places)
            if self.as_of is not None and self.reading(name) is Reading.BY_TIME:
                rows = rows.where(self._until(table, self.as_of))
            self._frames[name] = rows
        return self._frames[name]

    def stored(self, name: str) -> Mapping[str, str]:
        """Return a table's columns and their stored types, at the pinned version (see `stored_columns`)."""
        if name not in self._stored:
            table, version = self.settings.tables[name], self.versions.get(name)
            self._stored[name] = stored_columns(self.session, self.settings, table, version)
        return self._stored[name]

    def reading(self, name: str) -> Reading:
        """Return how a table is read."""
        if name in self.as_they_were:
            return Reading.AS_IT_WAS
        return Reading.BY_TIME if self.as_of is not None and self.settings.tables[name].at else Reading.AS_IT_IS

    def _find_places(self, table: Table, version: int | None) -> list[str]:
        """Return the paths the embedded engine reads a table at, copies where its statistics would mislead."""
        location = self.settings.table_location(table)
        if not is_here(table, location):
            return [location]
        if table.format == "delta":
            return [location if version is None else delta_to_read(table.name, location, version, self._make_folder)]
        files = list_files(table.name, location, f".{table.format}")
        return parquet_to_read(table.name, files, self._make_folder) if table.format == "parquet" else files

    def _make_folder(self) -> Path:
        """Return a new folder of this user alone, which stays as long as the session, whose frames read from it."""
        folder = tempfile.mkdtemp(prefix="segengine-")
        weakref.finalize(self.session, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _until(self, table: Table, as_of: datetime) -> Column:
        from pyspark.sql import functions as F

        time, stored = self.time_column(table)
        if stored == "date":
            return time <= F.lit(as_of.astimezone(ZoneInfo(self.settings.time_zone)).date())
        if stored == "timestamp":
            return time <= F.lit(as_of)
        return time <= F.lit(as_of.astimezone(self.time_zone(table)).replace(tzinfo=None))

    def time_column(self, table: Table) -> tuple[Column, str]:
        """Return the time column of a table and what it is: a date, a timestamp (an instant), else a local time."""
        name = table.stored_name(table.at)
        stored = self.stored(table.name).get(name, "")
        time = column(name)
        return (time, stored) if stored in ("date", "timestamp") else (time.cast("timestamp_ntz"), "timestamp_ntz")

    def time_zone(self, table: Table) -> ZoneInfo:
        """Return the zone that local times of the time column are in."""
        setting = table.column_setting(table.at)
        return ZoneInfo(setting.zone if setting and setting.zone else self.settings.time_zone)


def cut_off(as_of: datetime, started_at: datetime) -> datetime | None:
    """Return the past instant a run reads its sources as of: its as_of where that lies before its start, else None."""
    return as_of if as_of < started_at else None


def open_sources(
    session: EngineSession, settings: Settings, tables: Iterable[str], as_of: datetime | None = None
) -> Sources:
    """Return tables as one run reads them.

    Args:
        session: The engine.
        settings: The project.
        tables: Their names.
        as_of: A past instant, None: the present. Delta tables are read at the version that was the newest then, if its
            commit and its files are still there; of others, rows later than it by their time column are left out.

    Raises:
        DataContractError: A table does not exist or cannot be read.
    """
    wanted = set(tables)
    past = {name: _version_at(session, settings, name, as_of) for name in sorted(wanted)} if as_of else {}
    then = {name: version for name, version in past.items() if version is not None}
    versions = {**pin_versions(session, settings, wanted - then.keys()), **then}
    return Sources(session, settings, dict(sorted(versions.items())), as_of, frozenset(then))


def column(name: str) -> Column:
    """Return a column of a source by its stored name; `a.b` is field b of struct a."""
    from pyspark.sql import functions as F

    return F.col(".".join(f"`{part}`" for part in name.split(".")))


def pin_versions(session: EngineSession, settings: Settings, tables: Iterator[str] | set[str]) -> dict[str, int | None]:
    """Return the version each table is read at in this run; None where a table has none (Parquet, CSV, a view).

    Raises:
        DataContractError: A table does not exist or cannot be read.
    """
    return {name: _pin(session, settings, settings.tables[name]) for name in sorted(tables)}


def _pin(session: EngineSession, settings: Settings, table: Table) -> int | None:
    location = settings.table_location(table)
    if table.format != "delta":
        if is_local(location):
            files = list_files(table.name, location, f".{table.format}")
            if table.format == "parquet" and session.kind != "embedded":
                check_spark_reads(table.name, files)
        return None
    if is_here(table, location):
        return delta_version(table.name, location)
    if session.kind == "embedded":
        raise DataContractError(
            f'Table "{table.name}": the embedded engine reads files of this machine only.',
            "Use `engine: spark` for catalog tables and remote paths.",
        )
    with engine_errors(f'reading the history of table "{table.name}"'):
        history = session.spark.sql(f"describe history {sql_name(table, location)} limit 1").collect()
        return int(history[0]["version"])


def sql_name(table: Table, location: str) -> str:
    """Return a source as SQL text names it."""
    return quoted(location) if table.is_catalog else f"delta.`{location}`"


def _version_at(session: EngineSession, settings: Settings, name: str, as_of: datetime) -> int | None:
    """Return the version of a table that was the newest at an instant; None where it cannot be read (any more).

    As Delta does it, a commit counts as no older than those before it, whatever its writer's clock said.
    """
    table = settings.tables[name]
    if table.format != "delta":
        return None
    earlier = takewhile(lambda commit: commit[1] <= as_of, sorted(read_commit_times(session, settings, table).items()))
    versions = [version for version, _ in earlier]
    return versions[-1] if versions and can_be_read(session, settings, name, versions[-1]) else None


def read_commit_times(session: EngineSession, settings: Settings, table: Table) -> dict[int, datetime]:
    """Return when each version of a Delta table was written, as far as its history says; none where it has none."""
    location = settings.table_location(table)
    if is_here(table, location):
        return delta_commit_times(location)
    if session.kind == "embedded":
        return {}
    with engine_errors(f'reading the history of table "{table.name}"'):
        history = session.spark.sql(f"describe history {sql_name(table, location)}").select("version", "timestamp")
        return {row["version"]: row["timestamp"].astimezone(UTC) for row in history.toArrow().to_pylist()}


def can_be_read(session: EngineSession, settings: Settings, name: str, version: int) -> bool:
    """Return whether the engine reads a version of a Delta table, and the files it names are still there."""
    table = settings.tables[name]
    location = settings.table_location(table)
    here = is_here(table, location)
    if here and not has_delta_version(location, version):
        return False
    if here and session.kind == "embedded":
        return True
    try:
        with engine_errors(f'reading version {version} of table "{name}"'):
            rows = _read(session, settings, table, version)
            if here:  # Spark may refuse it all the same, where it is older than the table keeps deleted files
                return bool(rows.schema)
            rows.select("_metadata.file_path").distinct().collect()  # opens every file; a count would not
    except SegEngineError:
        return False
    return True


def quoted(name: str) -> str:
    """Return a catalog name with every part in back quotes."""
    return ".".join(f"`{part}`" for part in name.replace("`", "").split("."))


def _read(
    session: EngineSession, settings: Settings, table: Table, version: int | None, places: list[str] | None = None
) -> DataFrame:
    """Return a table's rows; `places`: the paths to read, None: where the project says it is."""
    location = settings.table_location(table)
    reader = session.spark.read
    if version is not None:
        reader = reader.option("versionAsOf", version)
    if table.is_catalog:
        return reader.table(location)
    if table.format == "delta":
        return reader.format("delta").load(*(places or [location]))
    files = places or (list_files(table.name, location, f".{table.format}") if is_local(location) else [location])
    if table.format == "parquet":
        return reader.parquet(*files)
    schema = ", ".join(f"`{name}` string" for name in csv_columns(table.name, files))
    csv = reader.option("header", True).option("escape", '"').option("multiLine", True).schema(schema)
    return csv.csv(files)


def stored_columns(
    session: EngineSession, settings: Settings, table: Table, version: int | None = None
) -> dict[str, str]:
    """Return a source's columns and stored types at a version (None: the newest); fields of structs as `struct.field`.

    Raises:
        DataContractError: The source does not exist or cannot be read.
    """
    location = settings.table_location(table)
    if table.format != "delta" and is_here(table, location):
        files = list_files(table.name, location, f".{table.format}")
        return parquet_columns(table.name, files) if table.format == "parquet" else csv_columns(table.name, files)
    version = _pin(session, settings, table) if version is None else version
    with engine_errors(f'reading the columns of table "{table.name}"'):
        schema = _read(session, settings, table, version).schema
    return dict(_flat_fields(schema))


def _flat_fields(schema: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for part in schema.fields:
        yield prefix + part.name, engine_type_name(part.dataType.simpleString())
        if part.dataType.typeName() == "struct":
            yield from _flat_fields(part.dataType, f"{prefix}{part.name}.")


def check_against_lock(sources: Sources, schema: Schema, used: Mapping[str, set[str]]) -> None:
    """Compare the sources with `schema.lock.yml` for the columns a run uses.

    Args:
        sources: The sources at the versions the run reads: what is checked is what is read.
        schema: The lock's columns (`stored`).
        used: The stored column names used of each table.

    Raises:
        DataContractError: A column is gone or has another type than when the lock was pulled, or was not there yet or
            had another type at the past version that is read; all of them are named.
    """
    changed: list[str] = []
    different: list[str] = []
    for name, wanted in sorted(used.items()):
        found, version = sources.stored(name), sources.versions.get(name)
        locked = schema.stored.get(name, {})
        for source in sorted(wanted):
            expected = locked.get(source, found.get(source))
            if found.get(source) == expected is not None:
                continue
            if name in sources.as_they_were:
                had = f"was {found[source]}" if source in found else "was not there"
                different.append(f'column "{source}" of table "{name}" {had} at version {version}, is {expected} now')
            elif source in found:
                changed.append(f'column "{source}" of table "{name}" is {found[source]} now, {expected} in the lock')
            else:
                changed.append(f'table "{name}" no longer has column "{source}"')
    if changed:
        raise DataContractError(
            f"The sources changed since schema.lock.yml was pulled: {'; '.join([*changed, *different])}.",
            "If that is meant, run `segengine schema pull`, then `segengine validate`.",
        )
    if different and sources.as_of is not None:
        raise DataContractError(
            f"As of {sources.as_of:%Y-%m-%d %H:%M} UTC the sources had other columns: {'; '.join(different)}.",
            "Choose an instant from which on the tables are as they are in schema.lock.yml.",
        )


def instant(microseconds: int) -> datetime:
    """Return microseconds since 1970 as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
