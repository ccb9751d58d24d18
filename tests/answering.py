"""Answers of analyses that anybody can check, in place of those of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segengine.kernel.bitmaps import count_members
from segengine.models.run_record import RunRecord
from segengine.operations.model_run import ModelRun
from segengine.project.analysis import Analysis
from segengine.project.measure_names import list_value_attributes
from segengine.store.scores import write_result
from segengine.store.snapshots import SnapshotKey

Counts = dict[str, Any]


@dataclass
class Answers:
    """Stands in for the models: counts the members of each segment, and reads the figures of an activity."""

    act: Callable[[Analysis], None] = lambda analysis: None
    asked: list[str] = field(default_factory=list)

    def __call__(self, run: ModelRun, analysis: Analysis, record: RunRecord) -> None:
        self.asked.append(analysis.id)
        self.act(analysis)
        counts: Counts = {
            each: sum(map(count_members, run.bitmaps(each).values())) for each in analysis.question.segments
        }
        if analysis.figures:
            counts["figures"] = read_figures(run, analysis)
        write_result(run.warehouse, SnapshotKey(run.run_id, analysis.id), analysis.kind, counts)


def read_figures(run: ModelRun, analysis: Analysis) -> list[dict[str, Any]]:
    """Return the figures of every profile, by key."""
    assert analysis.figures
    values = list_value_attributes(analysis.figures, "customers")
    features = run.read_features({each.column.rpartition(".")[2]: each for each in values})
    rows = features.sample(lambda batch: np.ones(batch.num_rows, dtype=bool)).to_pylist()
    return sorted(({key: row[key] for key in row if key != "id_hash"} for row in rows), key=lambda r: r["profile_key"])
