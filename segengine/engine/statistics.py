"""Sources as the embedded engine can read them where files' statistics would mislead it.

Sail 0.7 takes a column whose smallest and largest value in a file are equal for that one value, in all rows without
NULL. But statistics leave NaN out (apache/datafusion#24804), and in a Delta log decimals are floats: the 18 digits of
123456789012345.678 come back as 123456789012345.690. Reading without statistics at all would help with Parquet alone,
and joins would no longer keep the smaller side in memory. So the sources are looked at, and what misleads is left out
of a copy: of the Delta log (its data stay where they are), or of the Parquet file, where there is a NaN in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segengine.engine.source_files import missing_path
from segengine.errors import DataContractError

_LOG = "_delta_log"
_EXACT_DIGITS = 15  # of a decimal that survives being written as a float


def delta_to_read(table: str, location: str, version: int, make_folder: Callable[[], Path]) -> str:
    """Return where a version of a Delta table can be read: its location, or a copy of its log beside links to its data.

    Args:
        table: The table's name.
        location: Its path on this machine.
        version: The version that will be read.
        make_folder: Makes the folder of a copy, which must stay as long as anybody reads.

    Raises:
        DataContractError: The copy cannot be made.
    """
    if not _log_misleads(location, version):
        return location
    source = Path(location)
    try:
        folder = make_folder()
        (folder / _LOG).mkdir()
        for entry in source.iterdir():
            if entry.name != _LOG:
                (folder / entry.name).symlink_to(entry.resolve(), entry.is_dir())
        for file in (source / _LOG).rglob("*"):
            _copy_of_log(file, folder / _LOG / file.relative_to(source / _LOG))
    except OSError as error:
        if not source.exists():
            raise missing_path(table, location) from error
        reason = f"its statistics would mislead the embedded engine, and its log cannot be copied: {error}"
        raise DataContractError(f'Table "{table}": {reason}.', "Refresh with `engine: spark`.") from error
    return str(folder)


def _log_misleads(location: str, version: int) -> bool:
    """Return whether a file's smallest and largest value of a column are equal, and need not be all of its values."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        actions = pa.table(DeltaTable(location, version=version).get_add_actions(flatten=True))
    except (DeltaError, OSError, ValueError):
        return True  # a feature of the table that deltalake does not know: what it cannot read need not be right
    for name in actions.column_names:
        least = actions[name]
        is_long = pa.types.is_decimal(least.type) and least.type.precision > _EXACT_DIGITS
        if not name.startswith("min.") or not (is_long or pa.types.is_floating(least.type)):
            continue
        if pc.any(pc.equal(least, actions[f"max.{name.removeprefix('min.')}"])).as_py():
            return True
    return False


def _copy_of_log(file: Path, target: Path) -> None:
    """Copy a file of a Delta log without the bounds of numbers in its statistics."""
    if file.is_dir():
        target.mkdir(exist_ok=True)
        return
    target.parent.mkdir(exist_ok=True)
    if file.suffix == ".json":
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        for line in lines:
            if line.get("add", {}).get("stats"):
                line["add"]["stats"] = _without_numbers(line["add"]["stats"])
        target.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    elif file.suffix == ".parquet":
        pq.write_table(_checkpoint_without_numbers(pq.read_table(file)), target)
    elif file.name == "_last_checkpoint":
        shutil.copyfile(file, target)


def _checkpoint_without_numbers(actions: pa.Table) -> pa.Table:
    place = actions.schema.get_field_index("add")
    if place < 0:
        return actions
    adds = actions.column(place).combine_chunks()
    parts = {field.name: adds.field(field.name) for field in adds.type if field.name != "stats_parsed"}
    if "stats" in parts:
        texts = [_without_numbers(text) if text else text for text in parts["stats"].to_pylist()]
        parts["stats"] = pa.array(texts, parts["stats"].type)
    fields = [adds.type.field(name) for name in parts]
    made = pa.StructArray.from_arrays(list(parts.values()), fields=fields, mask=adds.is_null())
    return actions.set_column(place, pa.field("add", made.type), made)


def _without_numbers(statistics: str) -> str:
    """Return the statistics of a file with bounds of text, dates and times alone."""
    found = json.loads(statistics)
    for bounds in ("minValues", "maxValues"):
        if bounds in found:
            found[bounds] = _texts(found[bounds])
    return json.dumps(found)


def _texts(bounds: dict[str, Any]) -> dict[str, Any]:
    kept = {name: _texts(value) if isinstance(value, dict) else value for name, value in bounds.items()}
    return {name: value for name, value in kept.items() if isinstance(value, dict | str)}


def parquet_to_read(table: str, files: list[str], make_folder: Callable[[], Path]) -> list[str]:
    """Return the files to read: the given ones, or copies of those whose statistics mislead, without statistics.

    Args:
        table: The table's name.
        files: Its Parquet files.
        make_folder: Makes the folder of copies, which must stay as long as anybody reads.

    Raises:
        DataContractError: A copy cannot be made, or a file is not readable.
    """
    found: list[str] = []
    try:
        for name in files:
            with pq.ParquetFile(name) as file:
                columns = list(_columns_of_one_value(file.metadata))
                if not columns or not _has_nan(file, columns):
                    found.append(name)
                    continue
                found.append(str(make_folder() / Path(name).name))
                _copy_without_statistics(file, found[-1])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataContractError(f'Table "{table}": a Parquet file cannot be read or copied: {error}.') from error
    return found


def _columns_of_one_value(metadata: pq.FileMetaData) -> Iterator[str]:
    """Yield the paths of the columns of floats whose statistics name one value for the whole file."""
    for place in range(metadata.num_columns):
        column = metadata.schema.column(place)
        if column.physical_type not in ("FLOAT", "DOUBLE"):
            continue
        groups = [metadata.row_group(number).column(place).statistics for number in range(metadata.num_row_groups)]
        bounds = {bound for group in groups if group and group.has_min_max for bound in (group.min, group.max)}
        if len(bounds) == 1:
            yield column.path


def _has_nan(file: pq.ParquetFile, columns: list[str]) -> bool:
    for batch in file.iter_batches(columns=columns):
        arrays = list(batch.columns)
        for array in arrays:  # grows while it is walked: a struct's fields follow it
            if pa.types.is_struct(array.type):
                arrays += array.flatten()
            elif pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
                return True
    return False


def _copy_without_statistics(file: pq.ParquetFile, target: str) -> None:
    physical = {file.schema.column(place).physical_type for place in range(len(file.schema))}
    old_times = "INT96" in physical  # what these mean depends on how they are stored
    with pq.ParquetWriter(
        target, file.schema_arrow, write_statistics=False, use_deprecated_int96_timestamps=old_times
    ) as copy:
        for batch in file.iter_batches():
            copy.write_batch(batch)
