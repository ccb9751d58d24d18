"""Evaluating insights: what tells the members of a segment from others, and which profiles segments share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.features import Features
from segengine.engine.parts import BatchFunction
from segengine.errors import ConfigError, RunError
from segengine.models.answers import dump_answer
from segengine.models.cells import PARTS, CellCounter, FieldCounts, choose_cells, merge_counts, tally_counts
from segengine.models.differentiators import Differentiators, find_differentiators
from segengine.models.fields import HASH, KEY, draw_by_hash
from segengine.models.insights import Insight
from segengine.models.memberships import gather_memberships
from segengine.models.overlap import (
    CombinationGroups,
    Overlap,
    count_combinations,
    describe_overlap,
    list_combinations,
)
from segengine.models.run_record import RunRecord
from segengine.models.sides import SideGroups, Sides, plan_sides
from segengine.operations.insight_record import record_differentiators, record_overlap
from segengine.operations.model_run import ModelRun
from segengine.project.analysis import Analysis, DifferenceQuestion, OverlapQuestion
from segengine.project.model import ModelField
from segengine.store.scores import write_result
from segengine.store.snapshots import SnapshotKey

MOST_SAMPLED = 100_000  # profiles that cells are chosen by
EVERYONE_ELSE = "everyone else"


class Groups(Protocol):
    """Numbers profiles by the set they are in, from 1; 0 for none."""

    @property
    def group_count(self) -> int:
        """How many sets there are."""
        ...

    def assign(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.integer]:
        """Return the set of each profile, shape (n,)."""
        ...


def find_insight(
    run: ModelRun, analysis: Analysis, question: DifferenceQuestion | OverlapQuestion, record: RunRecord
) -> None:
    """Write what an insight finds under the run's id.

    Args:
        run: The run it is part of.
        analysis: The insight.
        question: What it asks.
        record: What MLflow is to know is noted there.

    Raises:
        ConfigError: The question cannot be asked of these segments.
        DataContractError: A value of a field is none of its type.
        RunError: A segment is empty, or the engine failed.
    """
    result: Insight
    if isinstance(question, DifferenceQuestion):
        kind, result = "differentiators", _compare(run, question)
        record_differentiators(record, run, question, result)
    else:
        kind, result = "overlap", _overlap(run, question)
        record_overlap(record, run, question, result)
    write_result(run.warehouse, SnapshotKey(run.run_id, analysis.id), kind, dump_answer(result))


def _compare(run: ModelRun, question: DifferenceQuestion) -> Differentiators:
    memberships = gather_memberships([run.bitmaps(identity) for identity in question.segments])
    sides = _plan_sides(run, question, memberships.count_pairs())
    features = _read_fields(run, question.fields)
    counts = _count_by_cells(
        features,
        SideGroups(memberships, sides),
        sides.of_count + sides.against_count,
        min(sides.of_count, sides.against_count),
        run.seed_text,
    )
    of_count, against_count = counts[0].rows.sum(axis=1).tolist()  # without who is gone since the snapshots
    present = replace(sides, of_count=of_count, against_count=against_count)
    return find_differentiators(counts, present, run.seed_text)


def _plan_sides(run: ModelRun, question: DifferenceQuestion, pairs: npt.NDArray[np.int64]) -> Sides:
    segments = run.catalogue.segments
    of, of_count = segments[question.of].name, int(pairs[0, 0])
    if question.against:
        return plan_sides(of, segments[question.against].name, of_count, int(pairs[1, 1]), int(pairs[0, 1]))
    profile_count = run.count_profiles()
    if of_count and of_count >= profile_count:
        raise RunError(f'Everyone is in "{of}": there is nobody else to compare with.', "Compare with another segment.")
    return plan_sides(of, EVERYONE_ELSE, of_count, profile_count - of_count, 0)


def _overlap(run: ModelRun, question: OverlapQuestion) -> Overlap:
    names = [run.catalogue.segments[identity].name for identity in question.segments]
    memberships = gather_memberships([run.bitmaps(identity) for identity in question.segments])
    counts = count_combinations(memberships)
    union_count = int(counts.counts.sum())
    if not question.fields or not union_count:
        return describe_overlap(names, memberships, counts)
    groups = CombinationGroups(memberships, list_combinations(counts, len(names)))
    features = _read_fields(run, question.fields)
    by_value = _count_by_cells(features, groups, union_count, None, run.seed_text)
    return describe_overlap(names, memberships, counts, by_value)


def _read_fields(run: ModelRun, fields: Sequence[ModelField]) -> Features:
    if not fields:
        raise ConfigError("There is no field to compare by.", "Name some with `fields`.")
    return run.read_features({field.name: field.asked for field in fields})


def _count_by_cells(
    features: Features, groups: Groups, profile_count: int, smaller_count: int | None, seed_text: str
) -> tuple[FieldCounts, ...]:
    """Return the counts of each field by cells and groups, of all profiles that are in a group.

    Args:
        features: The fields.
        groups: Which profiles count, and for what.
        profile_count: How many these are.
        smaller_count: See `choose_cells`.
        seed_text: What the sample that cells are chosen by is drawn from.
    """

    def is_sampled(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        drawn = draw_by_hash(np.asarray(batch.column(HASH)), f"{seed_text} cells") < MOST_SAMPLED / profile_count
        return np.logical_and(drawn, groups.assign(np.asarray(batch.column(KEY))) > 0)

    cells = choose_cells(features.sample(is_sampled), features.fields, smaller_count)
    with engine_errors("counting the values of fields"):
        found = features.gather(_make_counter(CellCounter(cells), groups), PARTS)
    return tally_counts(found.to_batches(), cells, groups.group_count)


def _make_counter(counter: CellCounter, groups: Groups) -> BatchFunction:
    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        parts = (counter.count(batch, groups.assign(np.asarray(batch.column(KEY)))) for batch in batches)
        yield merge_counts(parts)

    return count
