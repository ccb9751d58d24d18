"""Looking at source files without an engine: do they exist, which columns and types do they store, which version.

The embedded engine reads a missing path as an empty table and some types not at all, so both are checked here, in
Python, before anything is read.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from segengine.errors import DataContractError
from segengine.project.project_file import Table
from segengine.project.types import EPOCH, parse_type

_ARROW_NAMES = {
    pa.bool_(): "boolean",
    pa.int8(): "integer",
    pa.int16(): "integer",
    pa.int32(): "integer",
    pa.int64(): "integer",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "text",
    pa.large_string(): "text",
    pa.date32(): "date",
}
_SPARK_REFUSES = ("timestamp[ns", "time32[", "time64[", "duration[")


def is_local(location: str) -> bool:
    """Return whether a location is a path of this machine."""
    return "://" not in location


def is_here(table: Table, location: str) -> bool:
    """Return whether a source at a location is files of this machine."""
    return is_local(location) and not table.is_catalog


def list_files(table: str, location: str, suffix: str) -> list[str]:
    """Return the data files of a Parquet or CSV source: the file itself, or all files of a folder and below.

    Raises:
        DataContractError: There is no such path, or no file in it.
    """
    path = Path(location)
    if not path.exists():
        raise missing_path(table, location)
    found = [path] if path.is_file() else sorted(p for p in path.rglob(f"*{suffix}") if _is_data(p, path))
    if not found:
        raise DataContractError(f'Table "{table}": there is no {suffix} file in {location}.')
    return [str(file) for file in found]


def missing_path(table: str, location: str) -> DataContractError:
    """Return the error of a source whose path does not exist."""
    hint = "Check `path` in the project file; relative paths start at its folder."
    return DataContractError(f'Table "{table}": there is nothing at {location}.', hint)


def _is_data(file: Path, folder: Path) -> bool:
    return file.is_file() and not any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)


def delta_version(table: str, location: str) -> int:
    """Return the newest version of a Delta table on this machine.

    Raises:
        DataContractError: There is no Delta table at that path.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if not Path(location).exists():
        raise missing_path(table, location)
    if not (Path(location) / "_delta_log").is_dir():
        raise DataContractError(
            f'Table "{table}": {location} is no Delta table.',
            "Set `format: parquet` or `format: csv` if it is one of those.",
        )
    try:
        version = DeltaTable(location).version()
        newest = Path(location) / "_delta_log" / f"{version:020}.json"
        if newest.exists() and newest.stat().st_size == 0:  # readers take it for a version that changed nothing
            raise ValueError(f"{newest.name} is empty")
        return version
    except (DeltaError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataContractError(f'Table "{table}": the Delta log at {location} cannot be read: {reason}.') from error


def has_delta_version(location: str, version: int) -> bool:
    """Return whether a version of a Delta table on this machine is there with all of its files."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(location, version=version)
        files = table.file_uris()
        if "deletionVectors" in (table.protocol().reader_features or ()):
            pa.table(table.deletion_vectors())  # reads their files
    except (DeltaError, OSError, ValueError):
        return False
    return all(Path(unquote(file)).is_file() for file in files)


def delta_commit_time(location: str, version: int) -> datetime | None:
    """Return when a version of a Delta table on this machine was written; None where its log no longer says."""
    commit = Path(location) / "_delta_log" / f"{version:020d}.json"
    return _commit_time(commit) if commit.is_file() else None


def delta_commit_times(location: str) -> dict[int, datetime]:
    """Return when each version of a Delta table on this machine was written, as far as its log can be read."""
    try:
        commits = (Path(location) / "_delta_log").glob(f"{'[0-9]' * 20}.json")
        return {int(commit.stem): _commit_time(commit) for commit in commits}
    except (OSError, ValueError):
        return {}


def _commit_time(commit: Path) -> datetime:
    """Return when a commit was made: as it says itself, else when its file was written.

    deltalake's `history` numbers the versions wrongly where a commit says nothing of itself, which it need not.
    """
    said: dict[str, int] = {}
    with commit.open(encoding="utf-8") as actions:
        for line in actions:
            if '"commitInfo"' in line:
                said = json.loads(line).get("commitInfo") or said
                break
    milliseconds = said.get("inCommitTimestamp", said.get("timestamp"))
    if milliseconds is None:
        return datetime.fromtimestamp(commit.stat().st_mtime, UTC)
    return EPOCH + timedelta(milliseconds=milliseconds)


def parquet_columns(table: str, files: list[str]) -> dict[str, str]:
    """Return the columns and stored types of Parquet files.

    Raises:
        DataContractError: A file is not Parquet, or two files disagree on a column.
    """
    columns: dict[str, str] = {}
    for file in files:
        try:
            footer = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataContractError(f'Table "{table}": {file} is no readable Parquet file.') from error
        physical = {
            footer.schema.column(i).path: footer.schema.column(i).physical_type for i in range(len(footer.schema))
        }
        for name, type_ in _flat(footer.schema_arrow):
            stored = "timestamp_ntz" if physical.get(name) == "INT96" else arrow_type_name(type_)
            if columns.setdefault(name, stored) != stored:
                raise DataContractError(
                    f'Table "{table}": column "{name}" is {columns[name]} in one file and {stored} in {file}.'
                )
    return columns


def check_spark_reads(table: str, files: list[str]) -> None:
    """Raise where Spark cannot open a file because of a column's type, even if another column is asked for.

    Raises:
        DataContractError: Naming the columns.
    """
    refused = {name: type_ for name, type_ in parquet_columns(table, files).items() if type_.startswith(_SPARK_REFUSES)}
    if refused:
        listed = ", ".join(f'column "{name}" of table "{table}" is {type_}' for name, type_ in refused.items())
        raise DataContractError(
            f"Spark cannot open these Parquet files: {listed}.", "Write timestamps with microseconds."
        )


def csv_columns(table: str, files: list[str]) -> dict[str, str]:
    """Return the columns of CSV files by their headers; all of them are text until the project says more.

    Raises:
        DataContractError: A file has no header, a name twice, or another header than the first.
    """
    headers = {tuple(_header(table, file)) for file in files}
    if len(headers) > 1:
        raise DataContractError(f'Table "{table}": its CSV files have different headers.')
    return {name: "text" for name in headers.pop()}


def _header(table: str, file: str) -> list[str]:
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines), [])
    except UnicodeDecodeError as error:
        raise DataContractError(f'Table "{table}": {file} is not UTF-8 text.') from error
    if not names or "" in names or len(set(names)) < len(names):
        raise DataContractError(f'Table "{table}": the first line of {file} is no header of distinct names.')
    return names


def _flat(schema: pa.Schema | pa.StructType, prefix: str = "") -> list[tuple[str, pa.DataType]]:
    """Return the columns with the fields of structs as `struct.field`."""
    found: list[tuple[str, pa.DataType]] = []
    for field in schema:
        found.append((prefix + field.name, field.type))
        if pa.types.is_struct(field.type):
            found += _flat(field.type, f"{prefix}{field.name}.")
    return found


def arrow_type_name(type_: pa.DataType) -> str:
    """Return the stored type of an Arrow column; types that no engine reads keep Arrow's name."""
    if type_ in _ARROW_NAMES:
        return _ARROW_NAMES[type_]
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if pa.types.is_timestamp(type_) and type_.unit != "ns":
        return "timestamp" if type_.tz else "timestamp_ntz"
    return "struct" if pa.types.is_struct(type_) else str(type_).replace(" ", "")


def engine_type_name(text: str) -> str:
    """Return the stored type of a column as an engine names it (`bigint`, `decimal(12,2)`, `array<string>`)."""
    type_ = parse_type(text)
    return str(type_) if type_ else text.split("<")[0].lower()
