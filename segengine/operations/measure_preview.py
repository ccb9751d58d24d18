"""`measures preview`: the values a measure would have, worked out now and published nowhere."""

from __future__ import annotations

import logging
from datetime import datetime

from segengine.errors import ConfigError, RunError
from segengine.operations.context import OpenProject
from segengine.operations.definition_plan import DefinitionPlan
from segengine.operations.evaluation import Evaluation, Progress
from segengine.operations.measures import MeasureValues, collect_values, id_column, measure_rows
from segengine.operations.members import PREVIEW_MEMBERS
from segengine.operations.outcomes import find_failures_of_values
from segengine.operations.preview import evaluate_unpublished
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_measure
from segengine.project.measure import Measure
from segengine.project.walk import find_behind
from segengine.store.snapshots import MeasureCounts, SnapshotKey

logger = logging.getLogger(__name__)


def preview_measure(
    project: OpenProject,
    plan: DefinitionPlan,
    name: str,
    *,
    limit: int | None = PREVIEW_MEMBERS,
    as_of: datetime | None = None,
    progress: Progress = logger.info,
) -> MeasureValues:
    """Return the values a measure would have after `apply` and a refresh; nothing is recorded or published.

    Other measures and segments that it is made of feed it from their snapshots where a refresh would take these, else
    they are evaluated too.

    Args:
        project: The project.
        plan: What `apply` would change; the measure may be one it leaves as it is.
        name: Name or id of the measure.
        limit: At most so many rows; None: all.
        as_of: The instant that counts; None: now. For an earlier one sources are read as `refresh` reads them.
        progress: Called with a line for each phase.

    Raises:
        ConfigError: There is no such measure, or something it is made of cannot be evaluated any more.
        DataContractError: A source is not as the project says.
        RunError: The engine failed, or a value is out of range.
    """
    catalogue = plan.catalogue
    measure = find_measure(catalogue, name)
    _check_unbroken(catalogue, measure)
    evaluation, written = evaluate_unpublished(project, catalogue, [measure.id], as_of, progress)
    _check_values(evaluation, measure)
    counts = written.measures.get(measure.id, MeasureCounts())
    run_ids = [*evaluation.history.run_ids, evaluation.run_id]
    rows, types = measure_rows(project, run_ids, measure, SnapshotKey(evaluation.run_id, measure.id))
    return MeasureValues(
        measure=measure,
        as_of=evaluation.as_of,
        row_count=counts.row_count,
        value_counts=counts.values,
        snapshot=None,
        id_name=id_column(project, measure),
        types=types,
        rows=collect_values(rows, list(types), measure, limit),
    )


def _with_parents(catalogue: Catalogue, measure: Measure) -> list[str]:
    """Return the ids of a measure and of all it is made of, parents first: the first that fails is the cause."""
    behind = set(find_behind(catalogue.evaluated, measure.id))
    return [identity for identity in catalogue.evaluated if identity in behind]


def _check_unbroken(catalogue: Catalogue, measure: Measure) -> None:
    for identity in _with_parents(catalogue, measure):
        if identity in catalogue.broken:
            raise ConfigError(f"{_show(catalogue, identity)} cannot be evaluated: {catalogue.broken[identity]}")


def _check_values(evaluation: Evaluation, measure: Measure) -> None:
    """Check that no value fails the measure, or what was evaluated because it is made of that."""
    failures = find_failures_of_values(evaluation) | evaluation.failures
    for identity in _with_parents(evaluation.catalogue, measure):
        if identity in failures:
            raise RunError(f"{_show(evaluation.catalogue, identity)} fails: {failures[identity].rstrip('.')}.")


def _show(catalogue: Catalogue, identity: str) -> str:
    kind = "Measure" if identity in catalogue.measures else "Segment"
    return f'{kind} "{catalogue.evaluated[identity].name}"'
