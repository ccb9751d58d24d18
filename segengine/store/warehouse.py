"""The project's own Delta tables: where they are, their schemas, how they are created, read and appended to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.session import EngineSession
from segengine.engine.source_files import is_local
from segengine.errors import ConfigError
from segengine.project.project_file import Settings
from segengine.store import folder_tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

_CONTROL = (
    "name string, token bigint, owner string, work_id string, ids string, until timestamp, progress string, "
    "published_id string, last_profile_key string"
)
SCHEMAS = {
    "control": _CONTROL,
    "registry_control": _CONTROL,
    "definitions": (
        "change_id string, previous_change_id string, kind string, id string, version int, name string, "
        "fields string, file_fields string, origin string, author string, recorded_at timestamp, "
        "data_hash string, metadata_hash string, removed boolean"
    ),
    "runs": (
        "run_id string, previous_run_id string, as_of timestamp, purpose string, status string, engine string, "
        "author string, started_at timestamp, finished_at timestamp, source_versions string, source_commits string, "
        "source_readings string, scans string, error string, segengine_version string, snapshot_bytes bigint"
    ),
    "segment_runs": (
        "run_id string, segment_id string, name string, snapshot_version int, snapshot_run_id string, "
        "as_of timestamp, purpose string, status string, profile_count bigint, member_count bigint, "
        "entered_count bigint, left_count bigint, definition_version int, data_hash string, parents_hash string, "
        "parents string, error string, started_at timestamp, finished_at timestamp, outline_counts string"
    ),
    "measure_runs": (
        "run_id string, measure_id string, name string, snapshot_version int, snapshot_run_id string, "
        "as_of timestamp, purpose string, status string, row_count bigint, value_counts string, "
        "definition_version int, data_hash string, parents_hash string, parents string, error string, "
        "started_at timestamp, finished_at timestamp"
    ),
    "analysis_runs": (
        "run_id string, analysis_id string, name string, snapshot_version int, snapshot_run_id string, "
        "as_of timestamp, purpose string, status string, definition_version int, data_hash string, "
        "parents_hash string, parents string, error string, started_at timestamp, finished_at timestamp"
    ),
    "usage": "id string, used_at timestamp, used_for string, author string",
    "thinned_snapshots": "run_id string, snapshot_run_id string, id string",
    "erasures": (
        "run_id string, audience string, profile_hash string, key_check string, erased_at timestamp, suppressed boolean"
    ),
    "profile_keys": "audience string, profile_id string, profile_key bigint, run_id string",
    "similarity_scores": "run_id string, id string, profile_key bigint, score double, candidate_count bigint",
    "model_results": "run_id string, id string, kind string, content string",
    "snapshots": (
        "run_id string, kind string, id string, bucket int, content binary, row_count int, entered_count int, "
        "left_count int, facts string"
    ),
}
# Created when first written; the others by the first run.
ON_DEMAND = frozenset({"analysis_runs", "usage", "thinned_snapshots", "erasures", "similarity_scores", "model_results"})
_FILE_SIZE = ("target_file_size", str(16 << 20))  # the embedded engine keeps a file in memory, twice, until it is full
_NO_STATISTICS = ("delta.dataSkippingNumIndexedCols", "0")
Row = dict[str, Any]


@dataclass(frozen=True)
class Warehouse:
    """Access to the project's own tables over one engine session.

    The engine reads and writes what grows with the number of profiles. A few rows are read and written by deltalake
    where the warehouse is a folder of this machine, by the engine elsewhere.
    """

    session: EngineSession
    location: str
    is_catalog: bool

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        return not self.is_catalog and is_local(self.location)

    def path(self, table: str) -> str:
        """Return a table's path, or its name in the catalog."""
        return f"{self.location}.{table}" if self.is_catalog else f"{self.location}/{table}"

    def output_name(self, table: str) -> str:
        """Return what a table for other tools is called here: it stands beside ours in a catalog, else below them."""
        return table if self.is_catalog else f"output/{table}"

    def sql_name(self, table: str) -> str:
        """Return a table as SQL text names it."""
        if self.is_catalog:
            return ".".join(f"`{part}`" for part in self.path(table).replace("`", "").split("."))
        return f"delta.`{self.path(table).replace('`', '')}`"

    def exists(self, table: str) -> bool:
        """Return whether a table has been created."""
        if self.is_catalog:
            with engine_errors(f"looking for table {table}"):
                return bool(self.session.spark.catalog.tableExists(self.path(table)))
        if self.is_folder:
            log = Path(self.path(table)) / "_delta_log"
            return log.is_dir() and any(log.glob("*.json"))
        try:
            with engine_errors(f"looking for table {table}"):
                return bool(self.session.spark.read.format("delta").load(self.path(table)).schema)
        except Exception:  # noqa: BLE001 - stores differ in how they say "not there"; creating it tells the rest
            return False

    def schema(self, table: str) -> StructType:
        """Return a table's schema; every column may be NULL."""
        return make_schema(SCHEMAS[table])

    def create(self, table: str, rows: Sequence[Row] = ()) -> None:
        """Create a table, with first rows; does nothing where it exists.

        Ids of profiles get no statistics in the Delta log, so that erasing a row erases the id.

        Raises:
            ConfigError: The warehouse cannot be written.
        """
        if self.exists(table):
            return
        self.check_writable()
        properties = dict([_NO_STATISTICS]) if table == "profile_keys" else {}
        with engine_errors(f"creating table {table} in {self.location}"):
            if self._commits_itself:
                rows_to_write = folder_tables.make_table(SCHEMAS[table], rows)
                folder_tables.write_rows(Path(self.path(table)), rows_to_write, properties)
                return
            writer = self._frame(table, rows).write.format("delta").mode("append").options(**properties)
            if self.is_catalog:
                writer.saveAsTable(self.path(table))
            else:
                writer.save(self.path(table))

    def check_writable(self) -> None:
        """Raise where results cannot be written, before any work is done.

        Raises:
            ConfigError: The path is a file, or this user may not write there.
        """
        if self.is_catalog and self.session.kind == "embedded":
            raise ConfigError(
                f"The embedded engine cannot write to the catalog warehouse {self.location}.",
                "Give `warehouse` a path (with a /), or use `engine: spark`.",
            )
        if not self.is_folder:
            return
        probe = Path(self.location) / f".segengine-{uuid.uuid4().hex}"
        try:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"The warehouse {self.location} cannot be written: {error.strerror}.",
                "Check `warehouse` in the project file and the rights on that folder.",
            ) from error

    @cached_property
    def _commits_itself(self) -> bool:
        return self.is_folder and folder_tables.can_commit(Path(self.location))

    def read(self, table: str) -> DataFrame:
        """Return all rows of a table, published or not."""
        reader = self.session.spark.read
        return reader.table(self.path(table)) if self.is_catalog else reader.format("delta").load(self.path(table))

    def fetch(self, table: str, columns: Sequence[str] = (), **equal: str) -> pa.Table:
        """Return rows of a table, published or not, to this process: few, or of few bytes.

        Args:
            table: The table.
            columns: Those wanted; none: all.
            equal: The values that columns must have.
        """
        from pyspark.sql import functions as F

        with engine_errors(f"reading table {table}"):
            if self.is_folder and (stored := folder_tables.open_table(Path(self.path(table)))):
                return folder_tables.read_rows(stored, columns, equal)
            rows = self.read(table)
            for name, value in equal.items():
                rows = rows.where(F.col(name) == value)
            return rows.select(*(columns or "*")).toArrow()

    def append(self, table: str, rows: DataFrame) -> None:
        """Append rows in one commit, cast to the table's full schema in its order."""
        from pyspark.sql import functions as F

        schema = self.schema(table)
        exact = rows.select(*[F.col(field.name).cast(field.dataType).alias(field.name) for field in schema.fields])
        with engine_errors(f"writing to table {table}"):
            writer = exact.write.format("delta").mode("append").option(*_FILE_SIZE)
            if self.is_catalog:
                writer.saveAsTable(self.path(table))
            else:
                writer.save(self.path(table))

    def overwrite(self, table: str, rows: DataFrame) -> None:
        """Write a table for other tools: beside ours in a catalog, under `output/` in a path.

        It gets no statistics in the Delta log: they would be ids.
        Text that Python made has over Connect a type that other readers of Delta refuse ('string collate ...'); a cast
        by name makes it plain.
        """
        from pyspark.sql import functions as F

        with engine_errors(f"writing table {table}"):
            columns = [(F.col(f"`{name}`"), name, type_) for name, type_ in rows.dtypes]
            plain = [(own.cast("string") if type_ == "string" else own).alias(name) for own, name, type_ in columns]
            writer = rows.select(*plain).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
            writer = writer.option(*_NO_STATISTICS)
            if self.is_catalog:
                writer.saveAsTable(self.path(table))
            else:
                writer.save(self.path(self.output_name(table)))

    def append_rows(self, table: str, rows: Sequence[Row]) -> None:
        """Append a few rows given as dicts in one commit; what a dict leaves out is NULL."""
        if not rows:
            return
        with engine_errors(f"writing to table {table}"):
            if self._commits_itself and folder_tables.open_table(Path(self.path(table))):
                folder_tables.write_rows(Path(self.path(table)), folder_tables.make_table(SCHEMAS[table], rows))
                return
        self.append(table, self._frame(table, rows).coalesce(1))

    def _frame(self, table: str, rows: Sequence[Row]) -> DataFrame:
        return make_frame(self.session, SCHEMAS[table], rows)

    def update_one(
        self, table: str, source: Mapping[str, object], source_schema: str, condition: str, changes: dict[str, str]
    ) -> None:
        """Change the one row of a control table where a condition on it holds: one MERGE, without any insert.

        Args:
            table: A table of one row with the column `name`.
            source: The values as one row, `name` among them; values never become SQL text.
            source_schema: Its columns and types.
            condition: SQL over `t` (the table) and `s` (the source row).
            changes: Column -> SQL over `t` and `s`.
        """
        same = "t.name = s.name"
        if self._commits_itself and (stored := folder_tables.open_table(Path(self.path(table)))):
            row = folder_tables.make_table(source_schema, [source])
            folder_tables.merge_rows(stored, row, same, condition, changes)
            return
        rows = make_frame(self.session, source_schema, [source])
        self.update_rows(table, rows, same, changes, f"and {condition}")

    def update_rows(
        self, table: str, rows: DataFrame, same: str, changes: Mapping[str, str], condition: str = ""
    ) -> None:
        """Change the rows of a table that have a row of the source, in one commit.

        Args:
            table: The table.
            rows: The source; at most one row for each of the table.
            same: SQL over `t` (the table) and `s` (the source): which row belongs to which.
            changes: Column -> SQL over `t` and `s`.
            condition: What else must hold, beginning with `and`.
        """
        assignments = ", ".join(f"t.{name} = {value}" for name, value in changes.items())
        self._merge(table, rows, same, f"when matched {condition} then update set {assignments}")

    def delete_rows(self, table: str, rows: DataFrame) -> None:
        """Delete the rows that equal one of `rows` in all of its columns; one commit, none where nothing is deleted.

        Values travel as rows: they are in no text, so the log of the table has none of them.
        """
        same = " and ".join(f"t.`{name}` = s.`{name}`" for name in rows.columns)
        with engine_errors(f"deleting rows of table {table}"):
            self._merge(table, rows, same, "when matched then delete")

    def _merge(self, table: str, rows: DataFrame, condition: str, action: str) -> None:
        view = f"segengine_{uuid.uuid4().hex}"
        rows.createOrReplaceTempView(view)
        try:
            name = self.sql_name(table)
            self.session.spark.sql(f"merge into {name} t using {view} s on {condition} {action}").collect()
        finally:
            self.session.spark.catalog.dropTempView(view)


def column_names(table: str) -> list[str]:
    """Return the columns of one of our own tables, in order."""
    return [column.split()[0] for column in SCHEMAS[table].split(", ")]


def make_schema(columns: str) -> StructType:
    """Return a schema from `name type, ...`, every column nullable, without asking the engine."""
    from pyspark.sql import types as T

    kinds = {
        "string": T.StringType(),
        "int": T.IntegerType(),
        "bigint": T.LongType(),
        "double": T.DoubleType(),
        "boolean": T.BooleanType(),
        "binary": T.BinaryType(),
        "timestamp": T.TimestampType(),
    }
    pairs = [column.split() for column in columns.split(",")]
    return T.StructType([T.StructField(name, kinds[kind], True) for name, kind in pairs])


def make_frame(session: EngineSession, columns: str, rows: Sequence[Mapping[str, object]]) -> DataFrame:
    """Return rows given as dicts as a frame of the given schema."""
    schema = make_schema(columns)
    values = [tuple(row.get(field.name) for field in schema.fields) for row in rows]
    return session.spark.createDataFrame(values, schema)


def open_warehouse(session: EngineSession, settings: Settings) -> Warehouse:
    """Return the project's warehouse over a session."""
    return Warehouse(session, settings.warehouse_location, settings.is_catalog_warehouse)
