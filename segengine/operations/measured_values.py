"""The stored values of a measure, counted over the profiles that were there when it was evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.errors import ConfigError
from segengine.kernel.arithmetic import stored_type
from segengine.kernel.measures import PRESENT
from segengine.operations.context import OpenProject, read_state
from segengine.operations.segments import find_snapshot
from segengine.project.attributes import Attribute
from segengine.project.measure import Measure
from segengine.store.runs import MeasureRun
from segengine.store.snapshots import read_values


@dataclass(frozen=True)
class MeasuredCounts:
    """The distinct values of a measure in a snapshot, NULL among them, and the number of profiles of each, (n,)."""

    values: pa.Array
    counts: npt.NDArray[np.int64]
    snapshot: MeasureRun


def count_measured(
    project: OpenProject, measure: Measure, attribute: Attribute, at: datetime | None = None
) -> MeasuredCounts:
    """Return how often each value of a measure occurs among the profiles of a snapshot.

    Args:
        project: The project.
        measure: A measure of one value per profile.
        attribute: Which of its values.
        at: The snapshot that was the newest as of that time; None: the current one.

    Raises:
        ConfigError: There is no such snapshot, or it is of a definition without that value.
    """
    _, history = read_state(project)
    run = find_snapshot(history.measures, measure, at=at)
    wanted = stored_type(attribute.type)
    pieces: list[pa.Array] = []
    for rows in read_values(project.warehouse, run.snapshot_run_id, measure.id).values():
        place = [measure.column(value) for value in measure.shown_values].index(attribute.column)
        if rows.num_columns != len(measure.shown_values) + 1 or rows.schema.field(place).type != wanted:
            message = f'The values of "{attribute.column}" are of an earlier definition.'
            raise ConfigError(message, f"Run `segengine refresh {measure.id}`.")
        pieces.append(rows.column(place).filter(rows.column(PRESENT)))
    counted = pa.chunked_array(pieces, type=wanted).value_counts()
    return MeasuredCounts(counted.field("values"), counted.field("counts").to_numpy(), run)
