"""How a run read its sources: said in words, and done again for what is looked up beside its members."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segengine.engine.sources import Reading, Sources, Versions, can_be_read, cut_off, pin_versions
from segengine.operations.context import OpenProject
from segengine.store.runs import History, Run

_SHOWN_TABLES = 5
_WORDS = {
    Reading.AS_IT_WAS: ("as it was", "as they were"),
    Reading.BY_TIME: ("up to then by its time column", "up to then by their time columns"),
    Reading.AS_IT_IS: ("as it is now", "as they are now"),
}


@dataclass(frozen=True)
class SourceReading:
    """How one table was read; `version` is None where it has none."""

    table: str
    version: int | None
    reading: Reading


def readings_of(sources: Sources) -> tuple[SourceReading, ...]:
    """Return how each table is read."""
    return tuple(SourceReading(name, version, sources.reading(name)) for name, version in sources.versions.items())


def dump_readings(sources: Sources) -> str:
    """Return what is kept with a run as JSON: nothing of a run at the present, which reads all as it is."""
    return json.dumps({} if sources.as_of is None else {name: sources.reading(name) for name in sources.versions})


def load_readings(run: Run) -> tuple[SourceReading, ...]:
    """Return how a published run read its tables."""
    readings = _load(run)
    versions: dict[str, int | None] = json.loads(run.source_versions)
    return tuple(
        SourceReading(table, version, readings.get(table, Reading.AS_IT_IS)) for table, version in versions.items()
    )


def _load(run: Run) -> dict[str, Reading]:
    return {table: Reading(text) for table, text in json.loads(run.source_readings or "{}").items()}


def show_readings(readings: Sequence[SourceReading]) -> str:
    """Return in one line how the tables of a run as of a past instant are read, those of a kind together."""
    parts = []
    for reading, (of_one, of_several) in _WORDS.items():
        alike = [each for each in readings if each.reading is reading]
        names = [
            f"{each.table} (version {each.version})" if reading is Reading.AS_IT_WAS else each.table
            for each in alike[:_SHOWN_TABLES]
        ]
        if len(alike) > _SHOWN_TABLES:
            names.append(f"{len(alike) - _SHOWN_TABLES} more")
        if alike:
            parts.append(f"{', '.join(names)} {of_several if len(alike) > 1 else of_one}")
    return "; ".join(parts)


def reopen_sources(project: OpenProject, run: Run, versions: Versions) -> Sources:
    """Return tables at given versions, those of the run's own versions read as it read them."""
    own, readings = json.loads(run.source_versions), _load(run)
    same = {table for table, version in versions.items() if version is not None and version == own.get(table)}
    as_they_were = frozenset(table for table in same if readings.get(table) is Reading.AS_IT_WAS)
    past = cut_off(run.as_of, run.started_at)
    return Sources(project.session, project.settings, versions, past, as_they_were)


def sources_of_run(project: OpenProject, history: History, run_id: str, tables: Iterable[str]) -> Sources:
    """Return tables as a run read them, and at the newest version where it pinned none or that one is gone.

    Args:
        project: The project.
        history: What is published.
        run_id: The run; '' for the sources as they are now.
        tables: The tables wanted.

    Raises:
        DataContractError: A table does not exist any more.
    """
    session, settings = project.session, project.settings
    run = history.run(run_id)
    pinned: dict[str, int | None] = json.loads(run.source_versions) if run else {}
    versions: dict[str, int | None] = {}
    for table in tables:
        version = pinned.get(table)
        if version is not None and can_be_read(session, settings, table, version):
            versions[table] = version
        else:
            versions |= pin_versions(session, settings, {table})
    return reopen_sources(project, run, versions) if run else Sources(session, settings, versions)
