"""Who says who the members are: the reference, DuckDB, the kernel in this process, or a refresh on an engine."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from kernel_runs import EXPECTED_ERRORS, KernelRun, arrow_type, read_segments, run_kernel
from reference_measures import MeasureReference, values_of
from reference_values import FailedError, is_missing
from workspace import Workspace
from worlds import Case, World

from segengine.engine.session import EngineSession
from segengine.errors import DefinitionError, Level
from segengine.project.nodes import dump_documents

from .duckdb_oracle import DuckdbOracle
from .rows_of_text import write_computed
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


def judge_by_engine(
    case: Case, workspace: Workspace, engine: EngineSession, *, spare_nan: bool | None = None
) -> Members:
    """Return what one refresh says of all segments that validation lets through.

    Args:
        case: The segments and their world.
        workspace: An empty folder, and the engine that applies the definitions.
        engine: The engine that refreshes.
        spare_nan: See `write_sources`; on the embedded engine unless given.
    """
    write_sources(case.world, workspace, spare_nan=engine.kind == "embedded" if spare_nan is None else spare_nan)
    parents = [_stored_definition(name, ids, case.world) for name, ids in case.stored.items()]
    segments = _sound([*parents, *case.segments], case.world, workspace.folder)
    if not segments:
        return {}
    workspace.define(dump_documents(segments))
    workspace.pull()
    workspace.apply()
    workspace.on(engine).refresh(as_of=case.world.as_of)
    published = workspace.published()
    members = published.members()
    names = {summary.segment.id: summary.segment.name for summary in workspace.listed().values()}
    return {
        names[row["segment_id"]]: set(members[row["segment_id"]]) if row["status"] == "Successful" else None
        for row in published.segment_runs
        if names[row["segment_id"]] not in case.stored
    }


def write_sources(world: World, workspace: Workspace, *, spare_nan: bool) -> None:
    """Write a world's project file and its tables.

    spare_nan: Write NULL for NaN, both missing, where a column has one value beside it: Sail 0.7 takes that value
    from the file's statistics, which leave NaN out, for the whole column (apache/datafusion#24804).
    """
    workspace.write_project(dump_documents([dict(world.project)]))
    for table, rows in world.rows.items():
        types = world.types[table]
        columns = {column: [row[column] for row in rows] for column in types}
        for column, values in columns.items():
            if spare_nan and len({value for value in values if not is_missing(value)}) == 1:
                columns[column] = [None if is_missing(value) else value for value in values]
        arrays = [pa.array(columns[column], arrow_type(type_)) for column, type_ in types.items()]
        workspace.write_table(table, pa.table(arrays, names=list(types)))


def _stored_definition(name: str, ids: set[str], world: World) -> dict[str, Any]:
    """Return a definition with certain members; with none, it names an id that nobody has."""
    return {"kind": "segment", "name": name, "where": {world.profile_key: sorted(ids) or ["-987654321"]}}


def _sound(segments: list[dict[str, Any]], world: World, folder: Path) -> list[dict[str, Any]]:
    """Return the segments without an error, and without a parent that has one."""
    catalogue, problems = read_segments(folder, world, segments)
    wrong = {issue.message.split('"')[1] for issue in problems.issues if issue.level is Level.ERROR}
    wrong |= {segment["name"] for segment in segments} - {found.name for found in catalogue.segments.values()}
    for key, segment in catalogue.segments.items():
        parents = [catalogue.segments.get(parent) for parent in catalogue.parents(key)]
        if any(parent is None or parent.name in wrong for parent in parents):
            wrong.add(segment.name)
    return [segment for segment in segments if segment["name"] not in wrong]


def find_refusals(case: Case, folder: Path) -> list[str]:
    """Return the errors of a case's project and segments, other than that a random condition cannot hold."""
    parents = [_stored_definition(name, ids, case.world) for name, ids in case.stored.items()]
    try:
        _, problems = read_segments(folder, case.world, [*parents, *case.segments])
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
