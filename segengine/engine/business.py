"""The rows of business measures, from what all tasks of an evaluation left of them.

Distinct values are counted first, a share of them at a time; then all that is known of a measure meets in one task.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.joins import BUCKET
from segengine.engine.parts import binary_column, binary_values, pack_rows, unpack_narrowed, unpack_rows
from segengine.engine.results import RESULTS, business_groups, business_row
from segengine.engine.session import EngineSession
from segengine.kernel.distinct import SHARES, count_pairs, counts_distinct, put_counts
from segengine.kernel.groups import finish_states
from segengine.kernel.measures import total_of_nothing
from segengine.plan.refresh import AudiencePlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FOUND = "id string, content binary, is_counts boolean"


def merge_business(states: DataFrame, pairs: DataFrame, plan: AudiencePlan, session: EngineSession) -> DataFrame:
    """Return the rows of business measures, as `RESULTS`.

    Args:
        states: `id`, `content`: what `evaluate_plan` left of them.
        pairs: `bucket`, `content`: the distinct values it left of them, by share.
        plan: The plan.
        session: The engine.
    """
    from pyspark.sql import functions as F

    found = states.select("id", "content", F.lit(False).alias("is_counts"))
    business = [measure_id for measure_id, result in plan.results.items() if result.states is not None]
    if any(counts_distinct(business_groups(plan, measure_id)) for measure_id in business):
        # A task for each share bounds what one holds. On the embedded engine all live at once: one for each core.
        tasks = session.parallelism if session.kind == "embedded" else SHARES
        shares = pairs.select(BUCKET, "content").repartition(tasks, BUCKET)
        found = found.unionByName(shares.mapInArrow(partial(_count, tuple(plan.measures)), _FOUND))
    return found.repartition(session.parallelism, "id").mapInArrow(partial(_merge, plan), RESULTS)


def _count(measures: tuple[str, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    shares: dict[int, list[pa.Buffer]] = {}
    for batch in batches:
        for share, content in zip(batch.column(0).to_pylist(), binary_values(batch.column(1)), strict=True):
            shares.setdefault(share, []).append(content)
    while shares:
        _, contents = shares.popitem()
        counts = count_pairs(unpack_narrowed(content) for content in contents)
        for place in counts.column("measure").unique().to_pylist():
            own = binary_column([pack_rows(counts.filter(pc.equal(counts.column("measure"), place)))])
            yield pa.record_batch([[measures[place]], own, [True]], names=["id", "content", "is_counts"])


def _merge(plan: AudiencePlan, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    states: dict[str, list[pa.RecordBatch]] = {}
    counts: dict[str, list[pa.RecordBatch]] = {}
    for batch in batches:
        names = zip(batch.column(0).to_pylist(), batch.column(2).to_pylist(), strict=True)
        for (measure_id, is_counts), content in zip(names, binary_values(batch.column(1)), strict=True):
            (counts if is_counts else states).setdefault(measure_id, []).append(unpack_rows(content))
    for measure_id, found in states.items():
        groups, measure = business_groups(plan, measure_id), plan.measures[measure_id]
        finished = finish_states(groups, *found)
        if counts_distinct(groups):
            finished = put_counts(groups, finished, counts.get(measure_id, []))
        if measure.is_total and not finished.num_rows:
            finished = total_of_nothing(measure)
        yield business_row(plan, measure_id, finished)
