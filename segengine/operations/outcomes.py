"""How the definitions of a run ended: which parents may feed, what failed, what is published of each."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from segengine.operations.evaluation import Evaluation
from segengine.operations.gates import SourceNews, find_gate_problems
from segengine.project.analysis import Analysis, Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.measure import Measure
from segengine.store.control import Lease, died
from segengine.store.registry import Registry
from segengine.store.runs import (
    BACKFILLED,
    DROPPED,
    REFRESHED,
    AnalysisRun,
    AnyRun,
    History,
    MeasureRun,
    SegmentRun,
    Status,
)
from segengine.store.snapshots import MeasureCounts, SegmentCounts, Written

Definitions = Mapping[str, Evaluated]


@dataclass(frozen=True)
class Ended:
    """What a run says of its definitions, by kind, in their order."""

    runs: tuple[AnyRun, ...] = ()

    @property
    def segments(self) -> tuple[SegmentRun, ...]:
        """The segments."""
        return tuple(run for run in self.runs if isinstance(run, SegmentRun))

    @property
    def measures(self) -> tuple[MeasureRun, ...]:
        """The measures."""
        return tuple(run for run in self.runs if isinstance(run, MeasureRun))

    @property
    def analyses(self) -> tuple[AnalysisRun, ...]:
        """The suggestions and insights."""
        return tuple(run for run in self.runs if isinstance(run, AnalysisRun))

    def __add__(self, other: Ended) -> Ended:
        """Return what both say."""
        return Ended((*self.runs, *other.runs))


class Blocked(NamedTuple):
    """How something ended that got no snapshot of its own, and why."""

    status: Status
    error: str


_NOT_ACTIVE = {"inactive": "it is inactive", "draft": "it is a draft"}
_ENDED = {Status.FAILED: "failed", Status.SKIPPED: "was skipped", Status.HELD: "was held back"}


@dataclass(frozen=True)
class Outcomes:
    """Makes the rows a run writes of its definitions.

    Gates judge what would become current, and inactive definitions are left out of refreshes: neither matters to a
    back-fill.
    """

    catalogue: Catalogue
    registry: Registry
    history: History
    lease: Lease
    as_of: datetime
    started_at: datetime
    purpose: str = REFRESHED

    def blocked(self, chosen: Definitions, failures: Mapping[str, str]) -> dict[str, Blocked]:
        """Return what cannot be evaluated: not active, broken, failed by its sources, or a parent must not feed it.

        Args:
            chosen: What was asked for by id, parents first.
            failures: What its sources fail, and why.
        """
        found: dict[str, Blocked] = {}
        for identity, definition in chosen.items():
            if definition.state != "active" and self.purpose == REFRESHED:
                found[identity] = Blocked(Status.SKIPPED, _NOT_ACTIVE[definition.state])
            elif cause := self.catalogue.broken.get(identity) or failures.get(identity):
                found[identity] = Blocked(Status.FAILED, cause)
            elif cause := self._parent_problem(identity, chosen, found):
                found[identity] = Blocked(Status.SKIPPED, cause)
        return found

    def _parent_problem(self, identity: str, chosen: Definitions, blocked: Mapping[str, Blocked]) -> str:
        for parent in self.catalogue.parents(identity):
            shown = show_parent(self.catalogue, parent)
            if parent in blocked:
                return f"{shown} {_ENDED[blocked[parent].status]}: {blocked[parent].error}"
            if parent in chosen:
                continue
            if parent in self._died:
                return f"the last refresh of {shown} ended {Status.FAILED}"
            if problem := stored_parent_problem(self.catalogue, self.history, parent):
                return problem
        return ""

    def after_evaluation(
        self,
        chosen: Definitions,
        blocked: Mapping[str, Blocked],
        unchanged: Collection[str],
        written: Written,
        evaluation: Evaluation,
        news: Mapping[str, SourceNews],
    ) -> Ended:
        """Return the row of everything asked for: evaluated, unchanged, failed by a value, held by a gate, or skipped.

        Args:
            chosen: What was asked for by id, parents first.
            blocked: What cannot be evaluated.
            unchanged: What keeps its snapshot.
            written: What was written.
            evaluation: How it was evaluated.
            news: Of every table that a gate asks something of.
        """
        failed = find_failures_of_values(evaluation) | evaluation.failures
        stopped = dict(blocked)
        versions: dict[str, int] = {}
        runs: list[AnyRun] = []
        for identity in chosen:
            if identity not in stopped and identity in failed:
                stopped[identity] = Blocked(Status.FAILED, failed[identity])
            elif identity not in stopped and (cause := self._parent_problem(identity, chosen, stopped)):
                stopped[identity] = Blocked(Status.SKIPPED, cause)
            if identity in stopped:
                runs.append(self._without_snapshot(identity, *stopped[identity]))
                continue
            if identity in unchanged:
                run = self._unchanged(identity)
            else:
                run = self._successful(identity, written, evaluation, versions)
            versions[identity] = run.snapshot_version
            problems = self._gate_problems(run, chosen, evaluation, news)
            if problems:
                stopped[identity] = Blocked(Status.HELD, problems)
                run = replace(run, status=Status.HELD, snapshot_version=0, error=problems)
            runs.append(run)
        return Ended(tuple(runs))

    def _gate_problems(
        self, run: AnyRun, chosen: Definitions, evaluation: Evaluation, news: Mapping[str, SourceNews]
    ) -> str:
        if not isinstance(run, SegmentRun) or self.purpose == BACKFILLED:
            return ""
        segment = self.catalogue.segments[run.segment_id]
        previous = self.history.segments.preceding(run.segment_id, self.as_of)
        own = {table: news[table] for table in evaluation.gated_tables(segment, chosen)}
        return "; ".join(find_gate_problems(segment.gates, run, previous, own))

    def after_failure(self, chosen: Definitions, blocked: Mapping[str, Blocked], status: Status, error: str) -> Ended:
        """Return the row of everything asked for when the whole run failed or was canceled."""
        ends = {identity: blocked.get(identity, Blocked(status, error)) for identity in chosen}
        return Ended(tuple(self._without_snapshot(identity, *end) for identity, end in ends.items()))

    def abandoned(self, chosen: Definitions) -> Ended:
        """Return Failed rows for what a run asked for whose lease this one took over, as it did not end itself."""
        lost, error = self._died - set(chosen), died(self.lease.before)
        return Ended(tuple(self._without_snapshot(identity, Status.FAILED, error) for identity in sorted(lost)))

    @property
    def _died(self) -> set[str]:
        """What the run whose lease this one took over was evaluating when it ended without saying so."""
        before = self.lease.before
        return set(before.ids) & set(self.catalogue.evaluated) if before.owner else set()

    def _without_snapshot(self, identity: str, status: Status, error: str) -> AnyRun:
        """Return a row for a definition without a new snapshot."""
        definition, hashes = self.catalogue.evaluated[identity], self.catalogue.hashes[identity]
        common: dict[str, Any] = {
            "run_id": self.lease.work_id,
            "name": definition.name,
            "snapshot_version": 0,
            "snapshot_run_id": "",
            "as_of": self.as_of,
            "purpose": self.purpose,
            "status": status,
            "definition_version": self.registry.newest[identity].version,
            "data_hash": hashes.data,
            "parents_hash": hashes.parents,
            "parents": json.dumps(self._parent_versions(identity, {})),
            "error": error,
            "started_at": self.started_at,
            "finished_at": datetime.now(UTC),
        }
        if isinstance(definition, Measure):
            return MeasureRun(measure_id=identity, row_count=None, value_counts="", **common)
        if isinstance(definition, Analysis):
            return AnalysisRun(analysis_id=identity, **common)
        common |= dict.fromkeys(("profile_count", "member_count", "entered_count", "left_count"))
        return SegmentRun(segment_id=identity, **common)

    def _parent_versions(self, identity: str, of_run: Mapping[str, int]) -> dict[str, int]:
        """Return the snapshot version with which each parent feeds: of this run where it is in it, else the current."""
        versions = {}
        for parent in self.catalogue.parents(identity):
            current = self.history.current(parent)
            versions[parent] = of_run.get(parent) or (current.snapshot_version if current else 0)
        return versions

    def _unchanged(self, identity: str) -> AnyRun:
        """Return a row with the snapshot there is: nobody entered or left it since."""
        current = self.history.current(identity)
        if current is None:
            raise LookupError(f"{identity} has no snapshot")
        now = self._without_snapshot(identity, Status.SUCCESSFUL, "")
        run = replace(
            current,
            **{name: getattr(now, name) for name in ("run_id", "name", "as_of", "purpose", "definition_version")},
            started_at=now.started_at,
            finished_at=now.finished_at,
        )
        if isinstance(run, SegmentRun) and current.as_of < self.as_of:
            return replace(run, entered_count=0, left_count=0)
        return run

    def _successful(self, identity: str, written: Written, evaluation: Evaluation, of_run: Mapping[str, int]) -> AnyRun:
        run = self._without_snapshot(identity, Status.SUCCESSFUL, "")
        run = replace(
            run,
            snapshot_version=self.history.trail_of(self.catalogue.evaluated[identity]).last_version(identity) + 1,
            snapshot_run_id=self.lease.work_id,
            parents=json.dumps(self._parent_versions(identity, of_run)),
        )
        if isinstance(run, MeasureRun):
            found = written.measures.get(identity, MeasureCounts())
            return replace(run, row_count=found.row_count, value_counts=json.dumps(found.values))
        if isinstance(run, AnalysisRun):
            return run
        counts = written.segments.get(identity, SegmentCounts())
        return replace(
            run,
            profile_count=evaluation.profile_counts[self.catalogue.segments[identity].audience],
            member_count=counts.member_count,
            entered_count=counts.entered_count,
            left_count=counts.left_count,
            outline_counts=json.dumps(evaluation.outline_counts[identity]),
        )


def find_failures_of_values(evaluation: Evaluation) -> dict[str, str]:
    """Return the evaluated definitions that some value fails, by id, and why."""
    failed = {
        identity: f'{count} value(s) of "{column}" are infinite or out of range'
        for identity, (count, column) in evaluation.invalid_values.items()
    }
    for identity, count in evaluation.overflow_counts.items():
        if identity not in evaluation.catalogue.segments:
            failed[identity] = f"a value has more than 38 digits {count} time(s)"
        else:
            failed[identity] = f"an aggregate has more than 38 digits for {count} profile(s)"
    return failed


def show_parent(catalogue: Catalogue, parent: str) -> str:
    """Return what a message calls a parent."""
    kind = "measure" if parent in catalogue.measures else "parent"
    return f'{kind} "{catalogue.evaluated[parent].name}"'


def stored_parent_problem(catalogue: Catalogue, history: History, parent: str) -> str:
    """Return why a parent's current snapshot must not feed a child, or ''."""
    shown = show_parent(catalogue, parent)
    current, last = history.current(parent), history.last(parent)
    if parent in catalogue.broken:
        return f"{shown} cannot be evaluated: {catalogue.broken[parent]}"
    if current is None or last is None:
        is_draft = catalogue.evaluated[parent].state == "draft"
        return f"{shown} {'is a draft' if is_draft else 'has never been refreshed'}"
    passed_over = last.status is Status.SKIPPED and catalogue.evaluated[parent].state != "active"
    if last.status is not Status.SUCCESSFUL and last.purpose != DROPPED and not passed_over:
        return f"the last refresh of {shown} ended {last.status}"
    hashes = catalogue.hashes[parent]
    if (current.data_hash, current.parents_hash) != (hashes.data, hashes.parents):
        return f"the definition of {shown} changed since its last refresh"
    return ""
