"""`similar`: what a reader should know of the model behind an expansion's snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segengine.errors import ConfigError
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.segments import find_snapshot
from segengine.project.find import find_segment
from segengine.project.model import Segment
from segengine.store.runs import SegmentRun
from segengine.store.scores import read_result
from segengine.store.snapshots import snapshot_of


@dataclass(frozen=True)
class SimilarityDetails:
    """A snapshot of an expansion, and what its model says (`report`: JSON values, see `models.similarity`).

    `source_name`: the segment whose members were the example.
    """

    segment: Segment
    source_name: str
    snapshot: SegmentRun
    report: Mapping[str, Any]


def describe_similarity(
    project: OpenProject, name: str, *, snapshot: int | None = None, at: datetime | None = None
) -> SimilarityDetails:
    """Return what there is to know of the model that found an expansion's members.

    Raises:
        ConfigError: There is no such expansion or snapshot.
    """
    catalogue, registry = load_registered(project)
    segment = find_segment(catalogue, name)
    if segment.expansion is None:
        message = f'Segment "{segment.name}" is found by its rules, not by a model.'
        raise ConfigError(message, "Define an expansion of it: `kind: expansion`, `source: ...`.")
    _, history = read_state(project)
    run = find_snapshot(history.segments, segment, snapshot, at)
    source = registry.names.get(segment.expansion.source, segment.expansion.source)
    return SimilarityDetails(segment, source, run, read_result(project.warehouse, snapshot_of(run)))
