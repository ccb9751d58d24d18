"""`backfill`: snapshots of past instants for the trend of a definition, never current.

Every instant is a run of its own, published by itself: what is done stays done, and the same command goes on with the
rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from segengine.errors import ConfigError, DataContractError, LeaseHeldError, RunError
from segengine.operations.context import OpenProject, load_registered, parse_as_of, read_state
from segengine.operations.evaluation import Evaluation, Progress
from segengine.operations.outcomes import Outcomes
from segengine.operations.past_sources import SourceReading, readings_of, show_readings
from segengine.operations.refresh import LeasedRun, create_tables
from segengine.operations.waiting import check_last_run_ended, wait_for_lease
from segengine.project.analysis import Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_definition
from segengine.project.names import with_article
from segengine.project.relative import add_months
from segengine.store.registry import Registry
from segengine.store.run_writing import make_run_id
from segengine.store.runs import BACKFILLED, AnyRun, History, Status, read_history

logger = logging.getLogger(__name__)

Every = Literal["day", "week", "month"]


@dataclass(frozen=True)
class PlannedInstant:
    """One instant of a back-fill: the end of a local day.

    `there`: the snapshots as of that instant that what was named has already, of its present definition.
    `definitions`: what is to be evaluated by id, parents first: the others, and what they need.
    """

    day: date
    as_of: datetime
    there: Mapping[str, AnyRun]
    definitions: Mapping[str, Evaluated]


@dataclass(frozen=True)
class FilledInstant:
    """How one instant ended.

    `runs`: of what was named, what the run (`run_id`) says of it, or the snapshot that was there already. `error`: why
    the run failed as a whole, ''; then it says nothing.
    """

    day: date
    as_of: datetime
    run_id: str
    runs: tuple[AnyRun, ...]
    sources: tuple[SourceReading, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class BackfillReport:
    """How a back-fill ended, oldest instant first."""

    instants: tuple[FilledInstant, ...]
    engine: str
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether everything that was named now has a snapshot as of every instant."""
        runs = [run for instant in self.instants for run in instant.runs]
        return not any(each.error for each in self.instants) and all(run.status is Status.SUCCESSFUL for run in runs)


def plan_backfill(
    project: OpenProject, names: Sequence[str], first: date, last: date, every: Every
) -> tuple[PlannedInstant, ...]:
    """Return the instants of a back-fill and what is to be evaluated as of each; writes nothing.

    Args:
        project: The project.
        names: Names or ids of segments and measures.
        first: The first day.
        last: Until when, itself included; it has ended.
        every: From the first day on every day, every 7 days, or the same day of every month (its last, where that is
            shorter).

    Raises:
        ConfigError: A name is unknown or its definition is broken, or the days are not in the past or in order.
    """
    backfill = _Backfill.prepare(project, names)
    days = list_days(first, last, every, project.settings.time_zone)
    _, history = read_state(project)
    return tuple(backfill.plan(history, day) for day in days)


def backfill_definitions(
    project: OpenProject,
    names: Sequence[str],
    first: date,
    last: date,
    every: Every,
    *,
    wait: timedelta = timedelta(0),
    progress: Progress = logger.info,
) -> BackfillReport:
    """Evaluate segments and measures as of past instants, and publish each instant by itself.

    The snapshots are marked as back-fills: they are part of the trend and can be looked at, are never current, feed
    nothing and are judged by no gate. Segments and measures that are asked for are evaluated as of the same instants,
    never taken from what is current. An instant that fails is left out, and said.

    Args:
        project: The project.
        names: Names or ids of segments and measures.
        first: The first day.
        last: Until when, as `plan_backfill` takes it.
        every: How far apart.
        wait: How long to wait, at each instant, for another run to end.
        progress: Called with a line for each instant.

    Raises:
        ConfigError: As `plan_backfill`; or a run was killed, and no refresh has said so yet.
        LeaseHeldError: Another run is under way, and did not end in time; what is done stays.
        DataContractError: No instant could be evaluated: a source is not as the project says.
        RunError: No instant could be evaluated: the engine failed.
    """
    clock = time.perf_counter()
    backfill = _Backfill.prepare(project, names)
    days = list_days(first, last, every, project.settings.time_zone)
    create_tables(project)
    _, history = read_state(project)
    planned = [backfill.plan(history, day) for day in days]
    progress(_what_is_planned(backfill, planned))
    ended: list[FilledInstant] = []
    errors: list[DataContractError | RunError] = []
    try:
        for place, each in enumerate(planned, start=1):
            try:
                filled = backfill.fill(each, wait, progress) if each.definitions else backfill.left_out(each)
            except (DataContractError, RunError) as error:
                errors.append(error)
                filled = FilledInstant(each.day, each.as_of, "", (), error=error.message)
            ended.append(filled)
            progress(f"{each.day} ({place} of {len(planned)}): {_what_happened(filled)}")
    except (KeyboardInterrupt, LeaseHeldError):
        progress(f"{len(ended)} of {len(planned)} instants are done; the same command goes on with the rest")
        raise
    if len(errors) == len(planned):
        raise errors[0]
    return BackfillReport(tuple(ended), project.session.description, time.perf_counter() - clock)


def list_days(first: date, last: date, every: Every, zone: str) -> list[date]:
    """Return the days of a back-fill, oldest first.

    Raises:
        ConfigError: The last day is before the first, or has not ended in that zone.
    """
    if last < first:
        raise ConfigError(f"The last day, {last}, is before the first, {first}.", "Exchange them.")
    if parse_as_of(last.isoformat(), zone) >= datetime.now(UTC):
        raise ConfigError(
            f"{last} has not ended in {zone} yet.", "Back-fills are of the past: yesterday at the latest."
        )
    days: list[date] = []
    while (day := _day_number(first, len(days), every)) <= last:
        days.append(day)
    return days


def _day_number(first: date, number: int, every: Every) -> date:
    if every == "month":
        return add_months(first, number) or date.max
    return first + timedelta(days=number * (7 if every == "week" else 1))


@dataclass(frozen=True)
class _Backfill:
    """What was named, evaluated as of one instant after the other by the definitions there were at the start."""

    project: OpenProject
    catalogue: Catalogue
    registry: Registry
    wanted: tuple[str, ...]

    @staticmethod
    def prepare(project: OpenProject, names: Sequence[str]) -> _Backfill:
        catalogue, registry = load_registered(project)
        wanted = tuple(dict.fromkeys(find_definition(catalogue, name).id for name in names))
        if not wanted:
            raise ConfigError("Nothing is named to back-fill.", "Name segments or measures.")
        for analysis in (catalogue.analyses[identity] for identity in wanted if identity in catalogue.analyses):
            message = f'A back-fill is of segments and measures: "{analysis.name}" is {with_article(analysis.kind)}.'
            raise ConfigError(message, "Its answer is about the present: `segengine refresh` renews it.")
        backfill = _Backfill(project, catalogue, registry, wanted)
        for identity in backfill.needed_for(wanted):
            if cause := catalogue.broken.get(identity):
                name = catalogue.evaluated[identity].name
                raise ConfigError(f'"{name}" cannot be evaluated: {cause.rstrip(".")}.', "Change it first.")
        return backfill

    def needed_for(self, ids: Sequence[str], history: History | None = None) -> dict[str, Evaluated]:
        """Return what is evaluated for some ids, parents first; what has a snapshot in the history is left out."""
        needed = {identity for identity in ids if not self._found(history, identity)}
        for identity in reversed(self.catalogue.evaluated):
            if identity in needed:
                needed |= {parent for parent in self.catalogue.parents(identity) if not self._can_feed(history, parent)}
        return {identity: each for identity, each in self.catalogue.evaluated.items() if identity in needed}

    def _found(self, history: History | None, identity: str) -> AnyRun | None:
        """Return the snapshot as of the instant a history is seen at, where it is of the present definition."""
        run, hashes = history.current(identity) if history else None, self.catalogue.hashes[identity]
        return run if run and (run.data_hash, run.parents_hash) == (hashes.data, hashes.parents) else None

    def _can_feed(self, history: History | None, identity: str) -> bool:
        run = self._found(history, identity)
        return run is not None and history is not None and history.segments.is_kept(run)

    def plan(self, history: History, day: date) -> PlannedInstant:
        """Return what is to be evaluated as of the end of a day."""
        as_of = parse_as_of(day.isoformat(), self.project.settings.time_zone)
        seen = history.seen_at(as_of)
        there = {identity: run for identity in self.wanted if (run := self._found(seen, identity))}
        return PlannedInstant(day, as_of, there, self.needed_for(self.wanted, seen))

    def left_out(self, planned: PlannedInstant) -> FilledInstant:
        """Return how an instant ended where all was there already."""
        return FilledInstant(planned.day, planned.as_of, "", tuple(planned.there.values()))

    def fill(self, planned: PlannedInstant, wait: timedelta, progress: Progress) -> FilledInstant:
        """Evaluate what is missing as of an instant, and publish it.

        Raises:
            ConfigError: A run was killed, and no refresh has said so yet.
            LeaseHeldError: Another run is under way, and did not end in time.
            DataContractError: A source is not as the project says.
            RunError: The engine failed, or the run lost its lease.
        """
        return wait_for_lease(self.project, wait, progress, lambda: self._fill_now(planned.day))

    def _fill_now(self, day: date) -> FilledInstant:
        control = create_tables(self.project)
        check_last_run_ended(control)
        started_at = datetime.now(UTC)
        run_id = make_run_id(started_at)
        with control.lease(run_id, []) as lease:
            history = read_history(self.project.warehouse, lease.before)
            planned = self.plan(history, day)  # another back-fill may have been faster
            if not planned.definitions:
                return self.left_out(planned)

            def note(line: str) -> None:
                lease.check()
                lease.progress = f"back-fill of {day}: {line}"
                logger.info("%s", lease.progress)

            seen = history.seen_at(planned.as_of)
            evaluation = Evaluation(
                project=self.project,
                catalogue=self.catalogue,
                history=seen,
                run_id=run_id,
                as_of=planned.as_of,
                started_at=started_at,
                last_keys=dict(lease.before.last_profile_key),
                progress=note,
            )
            outcomes = Outcomes(self.catalogue, self.registry, seen, lease, planned.as_of, started_at, BACKFILLED)
            run = LeasedRun(self.project, control, lease, evaluation, outcomes, {}, full=True)
            report = run.execute(planned.definitions)
            known = {each.id: each for each in report.runs} | dict(planned.there)
            runs = tuple(known[identity] for identity in self.wanted)
            sources = readings_of(run.evaluation.sources())
            return FilledInstant(day, planned.as_of, report.run_id, runs, sources)


def _what_is_planned(backfill: _Backfill, planned: Sequence[PlannedInstant]) -> str:
    there = sum(not each.definitions for each in planned)
    line = f"{len(planned)} instants, the ends of {planned[0].day} to {planned[-1].day}"
    line += f", {there} of them there already" if there else ""
    evaluated = {key: each.name for instant in planned for key, each in instant.definitions.items()}
    if parents := [f'"{name}"' for key, name in evaluated.items() if key not in backfill.wanted]:
        line += f"; {', '.join(parents)}, on which others depend, as of the same instants"
    return line


def _what_happened(filled: FilledInstant) -> str:
    if filled.error:
        return f"failed: {filled.error}"
    if not filled.run_id:
        return "there already"
    made = [run for run in filled.runs if run.run_id == filled.run_id]
    bad = [f'"{run.name}" {run.status}: {run.error}' for run in made if run.status is not Status.SUCCESSFUL]
    read = f"read {show_readings(filled.sources)}"
    return "; ".join([f"{len(made) - len(bad)} of {len(made)} published", *bad, read])
