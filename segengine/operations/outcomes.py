"""How the segments of a run ended: which parents may feed, what failed, what is published of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from segengine.operations.evaluation import Evaluation, OutlineCounts
from segengine.project.catalogue import Catalogue
from segengine.project.model import Segment
from segengine.store.control import Lease
from segengine.store.registry import Registry
from segengine.store.runs import History, SegmentRun, Status
from segengine.store.snapshots import SegmentCounts


@dataclass(frozen=True)
class Outcomes:
    """Makes the rows a run writes of its segments."""

    catalogue: Catalogue
    registry: Registry
    history: History
    lease: Lease
    as_of: datetime
    started_at: datetime

    def skip_causes(self, chosen: Mapping[str, Segment]) -> dict[str, str]:
        """Return why a segment cannot be evaluated: a parent outside of the run that must not feed it."""
        causes: dict[str, str] = {}
        for segment_id in chosen:
            for parent in self.catalogue.parents(segment_id):
                cause = (
                    causes.get(parent)
                    if parent in chosen
                    else stored_parent_problem(self.catalogue, self.history, parent)
                )
                if cause:
                    name = self.catalogue.segments[parent].name
                    causes[segment_id] = f'parent "{name}" was skipped: {cause}' if parent in chosen else cause
                    break
        return causes

    def after_evaluation(
        self,
        chosen: Mapping[str, Segment],
        causes: Mapping[str, str],
        counts: Mapping[str, SegmentCounts],
        evaluation: Evaluation,
    ) -> list[SegmentRun]:
        """Return the row of every segment asked for: evaluated, failed by a column, or skipped with the cause."""
        failed = {
            segment_id: f'{count} value(s) of "{column}" are infinite or out of range'
            for segment_id, (count, column) in evaluation.invalid_values.items()
        }
        for segment_id, count in evaluation.overflow_counts.items():
            failed[segment_id] = f"an aggregate has more than 38 digits for {count} profile(s)"
        outcomes: list[SegmentRun] = []
        for segment_id in chosen:
            parent = next((p for p in self.catalogue.parents(segment_id) if p in failed), None)
            if segment_id in causes:
                outcomes.append(self.without_snapshot(segment_id, Status.SKIPPED, causes[segment_id]))
            elif segment_id in failed:
                outcomes.append(self.without_snapshot(segment_id, Status.FAILED, failed[segment_id]))
            elif parent is not None:
                failed[segment_id] = f'parent "{self.catalogue.segments[parent].name}" failed'
                outcomes.append(self.without_snapshot(segment_id, Status.SKIPPED, failed[segment_id]))
            else:
                profiles = evaluation.profile_counts[self.catalogue.segments[segment_id].audience]
                lines = evaluation.outline_counts[segment_id]
                outcomes.append(self._successful(segment_id, counts[segment_id], profiles, lines))
        return outcomes

    def after_failure(
        self, chosen: Mapping[str, Segment], causes: Mapping[str, str], status: Status, error: str
    ) -> list[SegmentRun]:
        """Return the row of every segment asked for when the whole run failed or was canceled."""
        return [
            self.without_snapshot(segment_id, Status.SKIPPED, causes[segment_id])
            if segment_id in causes
            else self.without_snapshot(segment_id, status, error)
            for segment_id in chosen
        ]

    def abandoned(self, chosen: Mapping[str, Segment]) -> list[SegmentRun]:
        """Return Failed rows for segments of a run whose lease this one took over, as it did not end itself."""
        before = self.lease.before
        lost = [segment_id for segment_id in before.ids if segment_id not in chosen] if before.owner else []
        error = f"{before.work_id} ended without saying so"
        return [self.without_snapshot(i, Status.FAILED, error) for i in lost if i in self.catalogue.segments]

    def without_snapshot(self, segment_id: str, status: Status, error: str) -> SegmentRun:
        """Return a row for a segment without a new snapshot."""
        segment = self.catalogue.segments[segment_id]
        hashes = self.catalogue.hashes[segment_id]
        record = self.registry.newest[segment_id]
        return SegmentRun(
            run_id=self.lease.work_id,
            segment_id=segment_id,
            name=segment.name,
            snapshot_version=0,
            snapshot_run_id="",
            as_of=self.as_of,
            purpose="refresh",
            status=status,
            profile_count=None,
            member_count=None,
            entered_count=None,
            left_count=None,
            definition_version=record.version,
            data_hash=hashes.data,
            parents_hash=hashes.parents,
            parents=json.dumps(self._parent_versions(segment_id)),
            error=error,
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
        )

    def _parent_versions(self, segment_id: str) -> dict[str, int]:
        """Return the snapshot version of each parent that lies outside of this run."""
        versions = {}
        for parent in self.catalogue.parents(segment_id):
            current = self.history.current(parent)
            versions[parent] = current.snapshot_version if current else 0
        return versions

    def _successful(
        self, segment_id: str, counts: SegmentCounts, profile_count: int, lines: OutlineCounts
    ) -> SegmentRun:
        versions = [run.snapshot_version for run in self.history.snapshots(segment_id)]
        return replace(
            self.without_snapshot(segment_id, Status.SUCCESSFUL, ""),
            snapshot_version=max(versions, default=0) + 1,
            snapshot_run_id=self.lease.work_id,
            profile_count=profile_count,
            member_count=counts.member_count,
            entered_count=counts.entered_count,
            left_count=counts.left_count,
            outline_counts=json.dumps(lines),
        )


def stored_parent_problem(catalogue: Catalogue, history: History, parent: str) -> str:
    """Return why a parent's current snapshot must not feed a child, or ''."""
    name = catalogue.segments[parent].name
    current, last = history.current(parent), history.last(parent)
    if current is None or last is None:
        return f'parent "{name}" has never been refreshed'
    if last.status is not Status.SUCCESSFUL:
        return f'the last refresh of parent "{name}" ended {last.status}'
    hashes = catalogue.hashes[parent]
    if (current.data_hash, current.parents_hash) != (hashes.data, hashes.parents):
        return f'the definition of parent "{name}" changed since its last refresh'
    return ""
