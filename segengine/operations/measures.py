"""Looking at measures: the list, one of them, its values; and their tables for other tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.measure_rows import group_columns, group_rows, profile_rows, value_columns
from segengine.errors import ConfigError
from segengine.kernel.measures import with_names
from segengine.kernel.scan import KEY
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.due import find_next_due
from segengine.operations.members import PREVIEW_MEMBERS
from segengine.operations.segments import find_snapshot, find_version, show_status
from segengine.operations.unused import note_use
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_measure
from segengine.project.measure import Measure
from segengine.project.names import is_table_name, make_measure_table, make_output_table
from segengine.project.nodes import Plain
from segengine.project.references import show_references
from segengine.project.schedule import Schedule
from segengine.project.types import AttributeType
from segengine.project.usage import User, make_usage_graph
from segengine.store.control import ControlRow
from segengine.store.profile_keys import read_profile_keys
from segengine.store.registry import DefinitionRecord, Registry
from segengine.store.runs import History, MeasureRun, Status
from segengine.store.snapshots import SnapshotKey, read_contents, read_values, snapshot_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class MeasureSummary:
    """One line of the list: the definition, how its last refresh ended, its current snapshot, and when it is due."""

    measure: Measure
    record: DefinitionRecord
    status: Status
    error: str
    last: MeasureRun | None
    current: MeasureRun | None
    schedule: Schedule | None
    next_due: datetime | None


@dataclass(frozen=True)
class MeasureDetails:
    """Everything about one measure: its summary, definition as text, snapshots oldest first, and where it is used."""

    summary: MeasureSummary
    fields: Plain
    snapshots: tuple[MeasureRun, ...]
    used_by: tuple[User, ...]


@dataclass(frozen=True)
class MeasureValues:
    """Values of a measure: columns for people, the types of those that are dimensions or values, the rows.

    `id_name` is the column of the profiles' ids, '' of a business measure; `row_count`: of how many rows these are all
    or the first; `value_counts`: how many profiles have each value, by column; `snapshot`: whose values they are, None
    where they are of none.
    """

    measure: Measure
    as_of: datetime
    row_count: int
    value_counts: Mapping[str, int]
    snapshot: MeasureRun | None
    id_name: str
    types: Mapping[str, AttributeType]
    rows: Iterator[pa.RecordBatch]


def list_measures(project: OpenProject) -> list[MeasureSummary]:
    """Return a summary of every applied measure, by name."""
    catalogue, registry = load_registered(project)
    control, history = read_state(project)
    found = [_summary(catalogue, registry, measure, control, history) for measure in catalogue.measures.values()]
    return sorted(found, key=lambda summary: summary.measure.name.casefold())


def _summary(
    catalogue: Catalogue, registry: Registry, measure: Measure, control: ControlRow | None, history: History
) -> MeasureSummary:
    last, current = history.measures.last(measure.id), history.measures.current(measure.id)
    return MeasureSummary(
        measure,
        registry.newest[measure.id],
        *show_status(catalogue, measure.id, last, control),
        last,
        current,
        catalogue.settings.schedule_of(measure),
        find_next_due(catalogue, registry, history, measure, datetime.now(UTC)),
    )


def show_measure(project: OpenProject, name: str) -> MeasureDetails:
    """Return everything about one measure.

    Raises:
        ConfigError: There is no such measure.
    """
    catalogue, registry = load_registered(project)
    measure = find_measure(catalogue, name)
    control, history = read_state(project)
    record = registry.newest[measure.id]
    return MeasureDetails(
        summary=_summary(catalogue, registry, measure, control, history),
        fields=show_references(dict(record.fields), registry.names),
        snapshots=tuple(history.measures.snapshots(measure.id)),
        used_by=make_usage_graph(catalogue).direct(measure.id),
    )


def read_totals(project: OpenProject, measure: Measure, snapshots: Sequence[MeasureRun]) -> list[Mapping[str, object]]:
    """Return the values of a business measure without dimensions at each of its snapshots; none of these is thinned."""
    totals: list[Mapping[str, object]] = []
    for run in snapshots:
        found = read_values(project.warehouse, run.snapshot_run_id, measure.id)
        rows = [row for batch in found.values() for row in with_names(measure, batch).to_pylist()]
        totals.append(rows[0] if rows else {})
    return totals


def read_measure_values(
    project: OpenProject,
    name: str,
    *,
    limit: int | None = PREVIEW_MEMBERS,
    snapshot: int | None = None,
    at: datetime | None = None,
) -> MeasureValues:
    """Return the values of a measure, by profile or by its dimensions.

    Args:
        project: The project.
        name: Name or id of the measure.
        limit: At most so many rows; None: all.
        snapshot: Number of a snapshot; None: the current one.
        at: The snapshot that was the newest as of that time.

    Raises:
        ConfigError: There is no such measure or snapshot.
    """
    catalogue, registry = load_registered(project)
    measure = find_measure(catalogue, name)
    _, history = read_state(project)
    run = find_snapshot(history.measures, measure, snapshot, at)
    measure = find_version(catalogue, registry, run)
    if limit is None:
        note_use(project, measure.id, "values")
    rows, types = measure_rows(project, history.run_ids, measure, snapshot_of(run))
    return MeasureValues(
        measure=measure,
        as_of=run.as_of,
        row_count=run.row_count or 0,
        value_counts=value_counts(run),
        snapshot=run,
        id_name=id_column(project, measure),
        types=types,
        rows=collect_values(rows, list(types), measure, limit),
    )


def id_column(project: OpenProject, measure: Measure) -> str:
    """Return the column of the ids of the profiles that a measure has values of, '' of a business measure."""
    return _id_name(project, measure.audience) if measure.per_profile else ""


def _id_name(project: OpenProject, audience: str) -> str:
    return project.settings.tables[project.settings.audiences[audience].table].key[0]


def measure_rows(
    project: OpenProject, run_ids: Sequence[str], measure: Measure, snapshot: SnapshotKey
) -> tuple[DataFrame, dict[str, AttributeType]]:
    """Return the rows of a snapshot, with `profile_id` where they belong to profiles, and the types of `c0`, ...

    `run_ids`: the runs whose profile keys count.
    """
    contents = read_contents(project.warehouse, [snapshot])
    tasks = project.session.parallelism
    if contents is None:
        raise ValueError("a snapshot was asked for")
    if measure.is_attribute:
        rows = profile_rows(contents, {measure.id: snapshot.source}, {measure.id: measure}, tasks)
        types = value_columns({measure.id: measure})
    else:
        rows, types = group_rows(contents, measure, tasks), group_columns(measure)
    if measure.per_profile:
        keys = read_profile_keys(project.warehouse, measure.audience, run_ids)
        rows = rows.join(keys, KEY)
    return rows, types


def collect_values(rows: DataFrame, names: list[str], measure: Measure, limit: int | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows, at least one batch; of business measures in order, of profiles only where they are a part."""
    from pyspark.sql import functions as F

    order = [f"c{place}" for place in range(len(measure.dimensions))]
    if measure.per_profile:
        order = [KEY, *order] if limit is not None else []
    if order:
        rows = rows.orderBy(*order)
    if limit is not None:
        rows = rows.limit(limit)
    ids = ["profile_id"] if measure.per_profile else []
    columns = [F.col(f"c{place}").alias(name) for place, name in enumerate(names)]
    with engine_errors("reading the values of a measure"):
        found = rows.select(*ids, *columns).toArrow()
    yield from found.to_batches() or [pa.RecordBatch.from_pylist([], found.schema)]


def write_measure_tables(project: OpenProject) -> list[str]:
    """Write the current values of all measures as tables for other tools, and return the tables' names.

    One table an audience (`Customer_Measure`) has a row for every profile and a column for each value of the measures
    that are attributes; every other measure has a table of its own. Written after publication from what is published:
    they may lag behind, never lead.

    Raises:
        RunError: The engine failed.
    """
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    good = [identity for identity in catalogue.measures if identity not in catalogue.broken]
    by_name = sorted(good, key=lambda identity: catalogue.measures[identity].name.casefold())
    current = {identity: run for identity in by_name if (run := history.measures.current(identity))}
    written: list[str] = []
    for audience in project.settings.audiences:
        own = {
            identity: measure
            for identity in current
            if (measure := catalogue.measures[identity]).is_attribute and measure.audience == audience
        }
        if own:
            written.append(_write_attributes(project, history, audience, own, current))
    for identity, run in current.items():
        measure = catalogue.measures[identity]
        if not measure.is_attribute:
            written.append(_write_groups(project, history, measure, run))
    return written


def _write_attributes(
    project: OpenProject,
    history: History,
    audience: str,
    measures: Mapping[str, Measure],
    current: Mapping[str, MeasureRun],
) -> str:
    from pyspark.sql import functions as F

    snapshots = {identity: snapshot_of(current[identity]) for identity in measures}
    contents = read_contents(project.warehouse, list(snapshots.values()))
    if contents is None:
        raise ValueError("there are snapshots")
    sources = {identity: snapshot.source for identity, snapshot in snapshots.items()}
    values = profile_rows(contents, sources, measures, project.session.parallelism)
    keys = read_profile_keys(project.warehouse, audience, history.run_ids)
    names = table_columns(list(value_columns(measures)))
    columns = [F.col(f"c{place}").alias(name) for place, name in enumerate(names)]
    rows = keys.join(values, KEY).select(F.col("profile_id").alias(_id_name(project, audience)), *columns)
    table = make_measure_table(audience)
    project.warehouse.overwrite(table, rows)
    return table


def _write_groups(project: OpenProject, history: History, measure: Measure, run: MeasureRun) -> str:
    from pyspark.sql import functions as F

    rows, types = measure_rows(project, history.run_ids, measure, snapshot_of(run))
    ids = [F.col("profile_id").alias(_id_name(project, measure.audience))] if measure.per_profile else []
    columns = [F.col(f"c{place}").alias(name) for place, name in enumerate(table_columns(list(types)))]
    table = make_output_table(measure.name)
    project.warehouse.overwrite(table, rows.select(*ids, *columns))
    return table


def table_columns(names: Sequence[str]) -> list[str]:
    """Return the names that values have as columns of a table: letters, digits and _.

    Raises:
        ConfigError: Two of them would be the same.
    """
    found = ["_".join(map(_plain_name, name.split("."))) for name in names]
    for name, column in zip(names, found, strict=True):
        if [other.lower() for other in found].count(column.lower()) > 1:
            message = f'Several values would be column "{column}" of one table, "{name}" among them.'
            raise ConfigError(message, "Rename one of them.")
    return found


def _plain_name(name: str) -> str:
    return name if is_table_name(name) else make_output_table(name)


def value_counts(run: MeasureRun) -> dict[str, int]:
    """Return how many profiles have each value of a measure, by column."""
    counts: dict[str, int] = json.loads(run.value_counts) if run.value_counts else {}
    return counts
