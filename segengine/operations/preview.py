"""`plan --counts`: the members unsaved definitions would have, and who would enter and leave.

Evaluated like a refresh, under the id of a run that is never published: nobody else sees what it writes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from segengine.engine.failures import engine_errors
from segengine.kernel.bitmaps import bitmap_keys, subtract_bitmaps
from segengine.operations.context import OpenProject, read_state
from segengine.operations.definition_plan import DefinitionPlan
from segengine.operations.evaluation import Evaluation, Progress
from segengine.operations.outcomes import stored_parent_problem
from segengine.operations.refresh import create_tables
from segengine.operations.segments import OutlineLine, make_outline
from segengine.project.analysis import Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.model import Segment
from segengine.store.profile_keys import read_profile_keys
from segengine.store.run_writing import make_run_id
from segengine.store.runs import History, SegmentRun
from segengine.store.snapshots import SegmentCounts, Written, read_bitmaps

logger = logging.getLogger(__name__)

SHOWN_IDS = 5
MAX_COMPARED = 50  # segments of which the profiles that enter and leave are named


@dataclass(frozen=True)
class PreviewedSegment:
    """What a definition would give now, at `as_of`.

    `entered_count`, `left_count`: against the newest snapshot, None where there is none; `entered`, `left`: up to five
    ids of each.
    """

    segment: Segment
    as_of: datetime
    member_count: int
    profile_count: int
    before: SegmentRun | None
    entered_count: int | None
    left_count: int | None
    entered: tuple[str, ...]
    left: tuple[str, ...]
    lines: tuple[OutlineLine, ...]


def preview_plan(
    project: OpenProject, plan: DefinitionPlan, *, as_of: datetime | None = None, progress: Progress = logger.info
) -> list[PreviewedSegment]:
    """Return the counts of every definition whose members a plan would change, those of its children included.

    Args:
        project: The project.
        plan: What `apply` would change.
        as_of: The instant that counts; None: now. For an earlier one sources are read as `refresh` reads them.
        progress: Called with a line for each phase.

    Raises:
        DataContractError: A source is not as the project says.
        RunError: The engine failed.
    """
    catalogue, wanted = plan.catalogue, _affected(plan)
    if not wanted:
        return []
    evaluation, written = evaluate_unpublished(project, catalogue, wanted, as_of, progress)
    counts, history = written.segments, evaluation.history
    following = evaluation.compared_before or evaluation.as_of
    names = {identity: definition.name for identity, definition in catalogue.evaluated.items()}
    found = []
    for place, segment_id in enumerate(wanted):
        before = history.segments.preceding(segment_id, following)
        entered, left = _changes(evaluation, segment_id, before) if place < MAX_COMPARED else ((), ())
        segment = catalogue.segments[segment_id]
        found.append(
            PreviewedSegment(
                segment=segment,
                as_of=evaluation.as_of,
                member_count=counts.get(segment_id, SegmentCounts()).member_count,
                profile_count=evaluation.profile_counts[segment.audience],
                before=before,
                entered_count=counts.get(segment_id, SegmentCounts()).entered_count if before else None,
                left_count=counts.get(segment_id, SegmentCounts()).left_count if before else None,
                entered=entered,
                left=left,
                lines=make_outline(segment, names, evaluation.outline_counts[segment_id]),
            )
        )
    return found


def evaluate_unpublished(
    project: OpenProject, catalogue: Catalogue, wanted: Sequence[str], as_of: datetime | None, progress: Progress
) -> tuple[Evaluation, Written]:
    """Evaluate definitions of a catalogue, and return what was written under the id of a run that nobody publishes.

    Parents that a refresh could not take from their snapshots are evaluated with them.

    Args:
        project: The project.
        catalogue: All definitions as they would be.
        wanted: The ids of those to evaluate.
        as_of: The instant that counts; None: now.
        progress: Called with a line for each phase.

    Raises:
        DataContractError: A source is not as the project says.
        RunError: The engine failed.
    """
    create_tables(project)
    control, history = read_state(project)
    now = datetime.now(UTC)
    instant = as_of or now
    evaluation = Evaluation(
        project=project,
        catalogue=catalogue,
        history=history,
        run_id=make_run_id(now),
        as_of=instant,
        started_at=now,
        # A snapshot of the same instant is what a change is compared with.
        compared_before=instant + timedelta(microseconds=1),
        last_keys=dict(control.last_profile_key) if control else {},
        progress=progress,
    )
    due = _with_stale_parents(catalogue, history, wanted)
    evaluation.check_sources(due)
    return evaluation, evaluation.evaluate(due)


def _affected(plan: DefinitionPlan) -> list[str]:
    """Return the segments whose members a plan may change, parents before children; nothing is known of broken ones."""
    catalogue = plan.catalogue
    changed, broken = set(plan.changes_of_members), set(catalogue.broken)
    for identity in catalogue.evaluated:
        parents = set(catalogue.parents(identity))
        changed |= {identity} if changed & parents else set()
        broken |= {identity} if broken & parents else set()
    return [segment_id for segment_id in catalogue.segments if segment_id in changed - broken]


def _with_stale_parents(catalogue: Catalogue, history: History, wanted: Sequence[str]) -> dict[str, Evaluated]:
    """Return what to evaluate: the wanted segments, and parents whose snapshots must not feed them."""
    needed = set(wanted)
    for identity in reversed(list(catalogue.evaluated)):
        if identity in needed:
            needed |= {p for p in catalogue.parents(identity) if stored_parent_problem(catalogue, history, p)}
    return {identity: definition for identity, definition in catalogue.evaluated.items() if identity in needed}


def _changes(
    evaluation: Evaluation, segment_id: str, before: SegmentRun | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return some ids of the profiles that would enter and leave."""
    if before is None:
        return (), ()
    warehouse = evaluation.project.warehouse
    old = read_bitmaps(warehouse, before.snapshot_run_id, segment_id)
    new = read_bitmaps(warehouse, evaluation.run_id, segment_id)
    audience = evaluation.catalogue.segments[segment_id].audience
    return _some_ids(evaluation, audience, new, old), _some_ids(evaluation, audience, old, new)


def _some_ids(
    evaluation: Evaluation, audience: str, inside: Mapping[int, bytes], outside: Mapping[int, bytes]
) -> tuple[str, ...]:
    """Return the first ids in one snapshot and not in another, by profile key."""
    from pyspark.sql import functions as F

    keys: list[int] = []
    for bucket, bits in sorted(subtract_bitmaps(inside, outside).items()):
        keys += bitmap_keys(bits, bucket)[: SHOWN_IDS - len(keys)].tolist()
        if len(keys) == SHOWN_IDS:
            break
    if not keys:
        return ()
    run_ids = [*evaluation.history.run_ids, evaluation.run_id]
    known = read_profile_keys(evaluation.project.warehouse, audience, run_ids)
    with engine_errors("reading the ids of profiles"):
        rows = known.where(F.col("profile_key").isin(keys)).toArrow().sort_by("profile_key")
    return tuple(rows.column("profile_id").to_pylist())
