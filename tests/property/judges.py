"""Who says who the members are: the reference, DuckDB, the kernel in this process, or a refresh on an engine."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from kernel_runs import EXPECTED_ERRORS, KernelRun, arrow_type, read_segments, run_kernel
from reference_measures import MeasureReference, values_of
from reference_times import to_instant
from reference_values import FailedError
from workspace import Workspace
from worlds import Case, Row, World

from segengine.engine.session import EngineSession
from segengine.errors import DefinitionError, Level
from segengine.operations.context import OpenProject
from segengine.operations.measures import read_measure_values
from segengine.project.nodes import dump_documents
from segengine.store.runs import Status

from .duckdb_oracle import DuckdbOracle
from .rows_of_text import write_computed, write_rows
from .sql_values import NotExpressibleError

Members = dict[str, set[str] | None]  # None: the segment has no result


@dataclass(frozen=True)
class Disagreement:
    """A segment that a judge and the reference see differently."""

    judge: str
    name: str
    found: set[str] | None
    expected: set[str] | None

    def __str__(self) -> str:
        if self.found is None or self.expected is None:
            return f"{self.judge} on {self.name}: {'no result' if self.found is None else 'a result'}"
        too_many, missing = sorted(self.found - self.expected), sorted(self.expected - self.found)
        return f"{self.judge} on {self.name}: too many {too_many}, missing {missing}"


def judge_by_reference(case: Case) -> Members:
    """Return the members of every segment, and the rows of every measure as text."""
    segments, measures = ({one["name"]: one for one in some} for some in (case.segments, case.measures))
    reference = MeasureReference(case.world, segments, case.stored, measures)
    found: Members = {}
    for name, measure in measures.items():
        try:
            found[name] = write_computed(reference.computed(name), values_of(measure))
        except FailedError:
            found[name] = None
    for segment in case.segments:
        try:
            found[segment["name"]] = reference.members(segment["name"])
        except FailedError:
            found[segment["name"]] = None
    return found


def judge_by_duckdb(case: Case) -> Members:
    """Return the members of the segments and the rows of the measures that SQL can express."""
    oracle = DuckdbOracle(case)
    found: Members = {}
    for measure in case.measures:
        try:
            found[measure["name"]] = oracle.rows(measure["name"])
        except NotExpressibleError:
            continue
    for segment in case.segments:
        try:
            found[segment["name"]] = oracle.members(segment["name"])
        except NotExpressibleError:
            continue
    oracle.close()
    return found


def judge_by_kernel(case: Case, folder: Path, seed: int = 0, *, refusals: Collection[str] = EXPECTED_ERRORS) -> Members:
    """Return what the kernel says of the segments that validation lets through.

    Args:
        case: The segments and their world.
        folder: Where the project file may be written.
        seed: How rows are mixed and cut into batches.
        refusals: Codes of errors that a definition may have; another one fails the test.
    """
    choose = random.Random(seed)
    run = KernelRun(case.world, choose, batch_size=choose.choice((0, 1, 7)))
    result = run_kernel(folder, run, case.segments, case.stored)
    assert not (refused := result.refused(refusals)), "\n".join(refused)
    return {**result.members, **dict.fromkeys(result.failed)}


def judge_by_engine(case: Case, workspace: Workspace, engine: EngineSession) -> Members:
    """Return what one refresh says of all segments and measures that validation lets through.

    Args:
        case: The definitions and their world.
        workspace: An empty folder, and the engine that applies the definitions and reads what was found.
        engine: The engine that refreshes.
    """
    write_sources(case.world, workspace)
    parents = [stored_definition(name, ids, case.world) for name, ids in case.stored.items()]
    definitions = sound_definitions([*parents, *case.measures, *case.segments], case.world, workspace.folder)
    if not definitions:
        return {}
    workspace.define(dump_documents(definitions))
    workspace.pull()
    workspace.apply()
    report = workspace.on(engine).refresh(as_of=case.world.as_of)
    members = workspace.published().members()
    found: Members = {
        run.name: set(members[run.segment_id]) if run.status is Status.SUCCESSFUL else None for run in report.segments
    }
    with workspace.opened() as project:
        for measured in report.measures:
            is_good = measured.status is Status.SUCCESSFUL
            found[measured.name] = read_rows_of(measured.name, project, case.world.zone) if is_good else None
    return {name: lines for name, lines in found.items() if name not in case.stored}


def read_rows_of(measure: str, project: OpenProject, zone: str) -> set[str]:
    """Return the stored values of a measure as lines of text."""
    found = read_measure_values(project, measure, limit=None)
    rows = [list(row.values()) for batch in found.rows for row in batch.to_pylist()]
    owned = int(found.measure.per_profile)
    zones = [*[""] * owned, *(type_.zone or zone for type_ in found.types.values())]
    plain = [[plain_stored(value, own) for value, own in zip(row, zones, strict=True)] for row in rows]
    length = owned + len(found.measure.dimensions)
    return write_rows([(row[:length], row[length:]) for row in plain])


def plain_stored(value: Any, zone: str) -> Any:
    """Return a stored value as the reference has it: a wall clock as the instant it means."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return to_instant(value, "timestamp_ntz", zone)
    return value


def write_sources(world: World, workspace: Workspace) -> None:
    """Write a world's project file and its tables."""
    workspace.write_project(dump_documents([dict(world.project)]))
    for table, rows in world.rows.items():
        write_rows_of(world, table, rows, workspace)


def write_rows_of(world: World, table: str, rows: Sequence[Row], workspace: Workspace) -> None:
    """Write one of a world's tables with these rows."""
    types = world.types[table]
    arrays = [pa.array([row[column] for row in rows], arrow_type(type_)) for column, type_ in types.items()]
    workspace.write_table(table, pa.table(arrays, names=list(types)))


def stored_definition(name: str, ids: set[str], world: World) -> dict[str, Any]:
    """Return a definition with certain members; with none, it names an id that nobody has."""
    return {"kind": "segment", "name": name, "where": {world.profile_key: sorted(ids) or ["-987654321"]}}


def sound_definitions(definitions: list[dict[str, Any]], world: World, folder: Path) -> list[dict[str, Any]]:
    """Return the definitions without an error, and without a parent that has one: left alone they have one, too."""
    _, problems = read_segments(folder, world, definitions)
    wrong = {issue.message.split('"')[1] for issue in problems.issues if issue.level is Level.ERROR}
    if not wrong:
        return definitions
    return sound_definitions([own for own in definitions if own["name"] not in wrong], world, folder)


def find_refusals(case: Case, folder: Path) -> list[str]:
    """Return the errors of a case's project and definitions, other than that a random condition cannot hold."""
    parents = [stored_definition(name, ids, case.world) for name, ids in case.stored.items()]
    try:
        _, problems = read_segments(folder, case.world, [*parents, *case.measures, *case.segments])
    except DefinitionError as error:
        return [str(issue) for issue in error.issues]
    allowed = EXPECTED_ERRORS | {"SEG211"}  # not supported yet
    return [str(issue) for issue in problems.issues if issue.level is Level.ERROR and issue.code not in allowed]


def find_disagreements(judge: str, found: Members, expected: Members) -> list[Disagreement]:
    """Return the segments that a judge sees differently from what is expected."""
    return [
        Disagreement(judge, name, members, expected[name])
        for name, members in found.items()
        if members != expected[name]
    ]
