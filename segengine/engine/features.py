"""The table of features that models look at: attributes, measures and memberships of profiles (see `models.fields`).

The engine joins and nothing else; what a value is compared as, the kernel says, as it does for rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.failures import engine_errors
from segengine.engine.joins import BUCKET, ScanRows
from segengine.engine.measure_rows import attribute_rows
from segengine.engine.parts import BatchFunction
from segengine.engine.sources import Sources
from segengine.errors import DATA_CONTRACT, coded_failure
from segengine.kernel.bitmaps import bitmap_keys
from segengine.kernel.date_parts import to_instants
from segengine.kernel.ordinals import BadValueError, read_ordinals, text_values
from segengine.models.fields import HASH, KEY, Field
from segengine.plan.scans import Scan
from segengine.project.attributes import Attribute
from segengine.project.measure import Measure
from segengine.project.project_file import Schema, Settings
from segengine.project.types import AttributeType, Family

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Asked = Attribute | str
BOOLEAN, TEXT = AttributeType("boolean"), AttributeType("text")
MOST_KEPT = 100_000
"""Of so many profiles the features are read once and kept in this process, whatever is asked of them."""

_ENGINE_TYPES = {
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.string(): "string",
    pa.decimal128(38, 0): "decimal(38,0)",
}


@dataclass(frozen=True)
class FeatureSources:
    """Where the features of an audience's profiles come from.

    `keys`: `profile_id`, `profile_key` of the profiles that count. `contents`: `bucket`, `source`, `content` of the
    snapshots of measures and segments, None where no field asks for one; `snapshots`: the `source` of each, by id.
    `nothing`: of each measure the values, by column, of a profile that its snapshot does not have.
    `profile_count`: how many profiles count.
    """

    audience: str
    tables: Sources
    schema: Schema
    keys: DataFrame
    contents: DataFrame | None
    snapshots: Mapping[str, str]
    measures: Mapping[str, Measure]
    nothing: Mapping[str, pa.RecordBatch]
    tasks: int
    profile_count: int


@dataclass(frozen=True)
class Features:
    """A table of features in the engine.

    `rows`: `profile_key`, `id_hash` and a column `c0`, `c1`, ... for each of the `fields`; functions over it get
    batches whose columns are named as the fields are. `is_kept`: they are few enough to be read once and kept here.
    """

    rows: DataFrame
    fields: tuple[Field, ...]
    is_kept: bool = False

    @property
    def names(self) -> list[str]:
        """The columns as functions see them."""
        return [KEY, HASH, *(field.name for field in self.fields)]

    def map_batches(self, function: BatchFunction, schema: str) -> DataFrame:
        """Return what a function makes of the batches; it may see them in any order and size."""
        names = self.names

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return function(pa.RecordBatch.from_arrays(batch.columns, names) for batch in batches if batch.num_rows)

        return self.rows.mapInArrow(run, schema)

    def gather(self, function: BatchFunction, schema: pa.Schema) -> pa.Table:
        """Return what a function makes of the batches, brought here; it may see them in any order and size."""
        if self.is_kept:
            return pa.Table.from_batches(function(iter(self._kept.to_batches())), schema)
        shown = ", ".join(f"`{field.name}` {_ENGINE_TYPES[field.type]}" for field in schema)
        return pa.Table.from_arrays(self.map_batches(function, shown).toArrow().columns, schema=schema)

    def sample(self, choose: Callable[[pa.RecordBatch], npt.NDArray[np.bool_]]) -> pa.Table:
        """Return the rows that a function chooses, by hash and key: the same in every run and on every engine."""
        if self.is_kept:
            chosen = [batch.filter(pa.array(choose(batch))) for batch in self._kept.to_batches()]
            return pa.Table.from_batches(chosen, self._kept.schema).combine_chunks()
        columns = [KEY, HASH, *(f"c{place}" for place in range(len(self.fields)))]

        def keep(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield batch.filter(pa.array(choose(batch))).rename_columns(columns)

        return self._bring(self.map_batches(keep, _schema_of(self.fields)))

    @cached_property
    def _kept(self) -> pa.Table:
        return self._bring(self.rows)

    def _bring(self, rows: DataFrame) -> pa.Table:
        with engine_errors("reading the features of profiles"):
            found = rows.toArrow()
        return found.rename_columns(self.names).sort_by([(HASH, "ascending"), (KEY, "ascending")]).combine_chunks()


def read_features(asked: Mapping[str, Asked], sources: FeatureSources, *, lenient: bool = False) -> Features:
    """Return the features of every profile that counts.

    Args:
        asked: An attribute of the profiles, a measure's value, or the id of a segment, by the name of its field. A
            profile that is newer than a measure's snapshot has the value of nothing, as rules see it.
        sources: Where they come from.
        lenient: Values that are infinite or beyond 18 digits are missing.

    Raises:
        DataContractError: While the rows are read: a value is none of its type, or (not `lenient`) such a number.
    """
    from pyspark.sql import functions as F

    plain = list(dict.fromkeys(each for each in asked.values() if isinstance(each, Attribute) and not each.measure))
    measured = list(dict.fromkeys(each for each in asked.values() if isinstance(each, Attribute) and each.measure))
    segments = list(dict.fromkeys(each for each in asked.values() if isinstance(each, str)))
    rows = _plain_rows(sources, plain)
    if measured:
        measures = {each.measure: sources.measures[each.measure] for each in measured}
        absent = {name: each.column(name)[0] for each in sources.nothing.values() for name in each.schema.names}
        values = attribute_rows(_contents(sources), sources.snapshots, measures, measured, sources.tasks, absent)
        rows = rows.join(values.withColumn("measured", F.lit(True)), KEY, "left")
    if segments:
        rows = rows.join(_membership_rows(sources, segments), KEY, "left")
    columns: dict[Asked, Column] = {each: F.col(f"a{place}") for place, each in enumerate(plain)}
    columns |= {each: F.col(f"m{place}") for place, each in enumerate(measured)}
    columns |= {each: F.coalesce(F.col(f"s{place}"), F.lit(False)) for place, each in enumerate(segments)}
    fields = tuple(Field(name, BOOLEAN if isinstance(each, str) else each.type) for name, each in asked.items())
    known = F.col("measured") if measured else F.lit(True)
    chosen = rows.select(KEY, HASH, *[columns[each] for each in asked.values()], known.alias("measured"))
    nothing = [_value_of_nothing(each, sources) for each in asked.values()]
    convert = _make_converter(fields, nothing, sources.tables.settings.time_zone, lenient)
    return Features(chosen.mapInArrow(convert, _schema_of(fields)), fields, sources.profile_count <= MOST_KEPT)


def feature_scan(audience: str, attributes: Sequence[Attribute], settings: Settings) -> Scan:
    """Return the scan that reads the id of every profile (`c0`) and some of its attributes, each once."""
    table = settings.tables[settings.audiences[audience].table]
    key = Attribute(table.name, (), table.key[0], TEXT)
    return Scan(audience, table.name, None, tuple(dict.fromkeys((key, *attributes))), ())


def _plain_rows(sources: FeatureSources, attributes: Sequence[Attribute]) -> DataFrame:
    """Return `profile_key`, `id_hash`, and the attributes as stored: `a0`, `a1`, ..."""
    from pyspark.sql import functions as F

    scan = feature_scan(sources.audience, attributes, sources.tables.settings)
    rows = ScanRows(scan, sources.tables.settings, sources.schema).frame(sources.tables, sources.keys)
    names = {attribute: f"c{place}" for place, attribute in enumerate(scan.columns)}
    hashed = F.xxhash64(F.col("c0").cast("string")).alias(HASH)
    return rows.select(KEY, hashed, *[F.col(names[each]).alias(f"a{place}") for place, each in enumerate(attributes)])


def _value_of_nothing(asked: Asked, sources: FeatureSources) -> pa.Scalar | None:
    """Return what a profile that a measure does not know has of it; None of what is no measure's."""
    if isinstance(asked, str) or asked.measure not in sources.nothing:
        return None
    return sources.nothing[asked.measure].column(asked.column)[0]


def _membership_rows(sources: FeatureSources, segments: Sequence[str]) -> DataFrame:
    """Return `profile_key` and whether the profile is in each segment, `s0`, `s1`, ...; who is in none has no row."""
    places = {sources.snapshots[identity]: place for place, identity in enumerate(segments)}

    def spread(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        buckets: dict[int, dict[int, bytes]] = {}
        for batch in batches:
            for bucket, source, content in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if source in places:
                    buckets.setdefault(bucket, {})[places[source]] = content
        for bucket, found in buckets.items():
            keys = {place: bitmap_keys(content, bucket) for place, content in found.items()}
            everyone = np.unique(np.concatenate(list(keys.values())))
            inside = [np.isin(everyone, keys.get(place, [])) for place in range(len(segments))]
            yield pa.RecordBatch.from_arrays(
                [pa.array(everyone), *map(pa.array, inside)], [KEY, *(f"s{place}" for place in range(len(segments)))]
            )

    columns = "".join(f", s{place} boolean" for place in range(len(segments)))
    rows = _contents(sources).select(BUCKET, "source", "content").repartition(sources.tasks, BUCKET)
    return rows.mapInArrow(spread, f"{KEY} bigint{columns}")


def _contents(sources: FeatureSources) -> DataFrame:
    if sources.contents is None:
        raise LookupError("a field asks for a snapshot, and there is none")
    return sources.contents


def _make_converter(
    fields: Sequence[Field], nothing: Sequence[pa.Scalar | None], zone: str, lenient: bool
) -> BatchFunction:
    """Return the function that makes columns as stored what models see; the last says whether a measure knows them."""

    def convert(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            *stored, measured = batch.columns[2:]
            values = [_fill_unmeasured(*pair, measured) for pair in zip(stored, nothing, strict=True)]
            pairs = zip(values, fields, strict=True)
            columns = [_convert(column, field, zone, lenient) for column, field in pairs]
            names = [KEY, HASH, *(f"c{place}" for place in range(len(fields)))]
            yield pa.RecordBatch.from_arrays([*batch.columns[:2], *columns], names)

    return convert


def _fill_unmeasured(column: pa.Array, nothing: pa.Scalar | None, measured: pa.Array) -> pa.Array:
    """Return a column with the value of nothing where no measure knows the profile."""
    if nothing is None or not nothing.is_valid or not measured.null_count:
        return column
    return pc.if_else(measured.fill_null(False), column, nothing.cast(column.type))


def _convert(column: pa.Array, field: Field, zone: str, lenient: bool) -> pa.Array:
    """Return a column as the contract of features has it."""
    if field.type.family is Family.TEXT:
        texts = text_values(column)
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    try:
        ordinals = read_ordinals(column, field.type)
    except BadValueError as error:
        message = f'{error.count} value(s) of "{field.name}" cannot be read as {field.type}.'
        raise coded_failure(DATA_CONTRACT, message) from None
    bad = [*ordinals.large, *(() if ordinals.invalid is None else ordinals.invalid)]
    if bad and not lenient:
        message = f'{len(bad)} value(s) of "{field.name}" are infinite or have more than 18 digits.'
        raise coded_failure(DATA_CONTRACT, message, "Leave the field out, or correct the source.")
    values = ordinals.values
    if field.type.name == "timestamp_ntz":
        values = to_instants(values.astype(np.int64, copy=False), field.type.zone or zone)
    missing = np.zeros(len(values), dtype=bool) if ordinals.missing is None else ordinals.missing
    missing[bad] = True
    return pa.array(values, mask=missing)


def _schema_of(fields: Sequence[Field]) -> str:
    columns = "".join(f", c{place} {_engine_type(field.type)}" for place, field in enumerate(fields))
    return f"{KEY} bigint, {HASH} bigint{columns}"


def _engine_type(type_: AttributeType) -> str:
    if type_.family is Family.TEXT:
        return "string"
    return "double" if type_.name in ("float", "double") else "bigint"
