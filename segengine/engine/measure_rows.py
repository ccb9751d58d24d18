"""Stored measures as plain rows: one for each profile, or for each group of their dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.joins import BUCKET
from segengine.engine.parts import BatchFunction, binary_values, unpack_rows
from segengine.kernel.arithmetic import stored_type
from segengine.kernel.formulas import values_of_nothing
from segengine.kernel.measures import PRESENT, with_names
from segengine.kernel.scan import KEY
from segengine.plan.audiences import plan_run
from segengine.plan.scans import BUCKET_SIZE
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.measure import Measure
from segengine.project.types import AttributeType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NO_VALUES: Mapping[str, pa.Scalar] = {}
_ENGINE_TYPES = {
    "integer": "bigint",
    "float": "double",
    "double": "double",
    "text": "string",
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp_ntz",
    "date": "date",
    "boolean": "boolean",
}


def engine_type(type_: AttributeType) -> str:
    """Return the engine's name of the type a value is stored as."""
    return f"decimal(38,{type_.scale})" if type_.name == "decimal" else _ENGINE_TYPES[type_.name]


def value_columns(measures: Mapping[str, Measure]) -> dict[str, AttributeType]:
    """Return the columns of measures that are attributes of profiles, and their types."""
    return {measure.column(value): value.type for measure in measures.values() for value in measure.shown_values}


def group_columns(measure: Measure) -> dict[str, AttributeType]:
    """Return the columns of a measure's rows by dimensions, and their types; `profile_key` comes before them."""
    columns = {dimension.name: dimension.type for dimension in measure.dimensions}
    return columns | {value.name: value.type for value in measure.shown_values}


def profile_rows(
    contents: DataFrame,
    sources: Mapping[str, str],
    measures: Mapping[str, Measure],
    tasks: int,
    nothing: Mapping[str, pa.Scalar] = _NO_VALUES,
) -> DataFrame:
    """Return `profile_key` and one column (`c0`, ...) for each of `value_columns`, for every profile there was.

    With several measures, for every profile that one of them knows.

    Args:
        contents: `bucket`, `source`, `content` of the measures' snapshots.
        sources: The `source` of each measure, by id.
        measures: The measures by id.
        tasks: Number of tasks.
        nothing: What stands by column where a measure does not know the profile; elsewhere it is missing.
    """
    types = value_columns(measures)
    absent = {name: pa.scalar(None, stored_type(type_)) for name, type_ in types.items()} | dict(nothing)
    of_source = {sources[identity]: measure for identity, measure in measures.items()}
    schema = pa.schema([(KEY, pa.int64()), *((f"c{i}", stored_type(type_)) for i, type_ in enumerate(types.values()))])

    def spread(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        buckets: dict[int, dict[str, pa.Array]] = {}
        for batch in batches:
            for bucket, source, content in zip(
                batch[0].to_pylist(), batch[1].to_pylist(), binary_values(batch[2]), strict=True
            ):
                if source in of_source:
                    rows = with_names(of_source[source], unpack_rows(content))
                    there = rows.column(PRESENT)
                    found = buckets.setdefault(bucket, {PRESENT: there})
                    found[PRESENT] = pc.or_(found[PRESENT], there)
                    found |= {
                        name: pc.if_else(there, rows.column(name), absent[name]) for name in rows.schema.names[:-1]
                    }
        for bucket, found in buckets.items():
            keys = pa.array(np.arange(BUCKET_SIZE, dtype=np.int64) + (bucket - 1) * BUCKET_SIZE + 1)
            columns = [found[name] if name in found else pa.repeat(absent[name], BUCKET_SIZE) for name in types]
            yield pa.record_batch([keys, *columns], schema=schema).filter(found[PRESENT])

    return _run(contents, spread, [f"c{i} {engine_type(type_)}" for i, type_ in enumerate(types.values())], tasks)


def attribute_rows(
    contents: DataFrame,
    sources: Mapping[str, str],
    measures: Mapping[str, Measure],
    attributes: Sequence[Attribute],
    tasks: int,
    nothing: Mapping[str, pa.Scalar] = _NO_VALUES,
) -> DataFrame:
    """Return `profile_key` and the values of some attributes that are measures, `m0`, `m1`, ..., as `profile_rows`."""
    from pyspark.sql import functions as F

    names = list(value_columns(measures))
    rows = profile_rows(contents, sources, measures, tasks, nothing)
    chosen = [F.col(f"c{names.index(each.column)}").alias(f"m{place}") for place, each in enumerate(attributes)]
    return rows.select(KEY, *chosen)


def find_nothing(audience: str, measures: Iterable[str], catalogue: Catalogue, as_of: int) -> dict[str, pa.RecordBatch]:
    """Return the values that measures have of a profile which is newer than their snapshots, by id.

    Args:
        audience: Whose profiles.
        measures: Ids of measures of these.
        catalogue: The definitions.
        as_of: The instant of the run, in microseconds since 1970 UTC.
    """
    plans = plan_run({identity: catalogue.measures[identity] for identity in measures}, catalogue, as_of)
    return next((values_of_nothing(plan) for plan in plans if plan.audience == audience), {})


def group_rows(contents: DataFrame, measure: Measure, tasks: int) -> DataFrame:
    """Return the rows of a measure by dimensions: `profile_key` (NULL: no profile), `c0`, ... (`group_columns`)."""
    types = group_columns(measure)
    schema = pa.schema([(KEY, pa.int64()), *((f"c{i}", stored_type(type_)) for i, type_ in enumerate(types.values()))])

    def spread(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for content in binary_values(batch[2]):
                rows = with_names(measure, unpack_rows(content))
                keys = rows.column(KEY) if measure.per_profile else pa.nulls(rows.num_rows, pa.int64())
                yield pa.record_batch([keys, *(rows.column(name) for name in types)], schema=schema)

    return _run(contents, spread, [f"c{i} {engine_type(type_)}" for i, type_ in enumerate(types.values())], tasks)


def _run(contents: DataFrame, function: BatchFunction, columns: list[str], tasks: int) -> DataFrame:
    rows = contents.select(BUCKET, "source", "content").repartition(tasks, BUCKET)
    return rows.mapInArrow(function, ", ".join([f"{KEY} bigint", *columns]))
