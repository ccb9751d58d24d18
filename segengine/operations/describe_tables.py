"""`schema show`: the tables and columns that rules can be about, what they are called there, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.sources import Sources, column, pin_versions, stored_columns
from segengine.errors import ConfigError
from segengine.kernel.frequencies import count_ordinals, count_texts
from segengine.kernel.ordinals import BadValueError
from segengine.operations.context import OpenProject
from segengine.project.catalogue import raise_on_errors
from segengine.project.literals import show_literal
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Schema, Settings, Table
from segengine.project.schema_lock import load_schema
from segengine.project.types import AttributeType, Family
from segengine.project.ways import Way, find_ways

SHOWN_SAMPLES = 3
_ROWS_LOOKED_AT = 1_000


@dataclass(frozen=True)
class ColumnView:
    """A column: its type as rules see it, its label, and some values as rules write them."""

    name: str
    type: AttributeType
    label: str
    samples: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether rules may name it."""
        return self.type.family is not Family.UNSUPPORTED


@dataclass(frozen=True)
class TableView:
    """A table: whose profiles it has, its key, where its foreign keys lead, and how rules name its columns.

    `audiences`: those whose profiles these are. `relationships`: name -> table, of the foreign keys it has.
    `ways`: on the profile first.
    """

    name: str
    audiences: tuple[str, ...]
    key: tuple[str, ...]
    is_prediction: bool
    relationships: Mapping[str, str]
    ways: tuple[Way, ...]
    columns: tuple[ColumnView, ...]


def describe_tables(settings: Settings, names: Sequence[str] = ()) -> list[TableView]:
    """Return the project's tables (all, or the named ones) as the project file and the lock have them; reads no source.

    Raises:
        ConfigError: There is no such table.
        DefinitionError: There is no lock, or it does not fit the project file.
    """
    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    for name in names:
        if name not in settings.tables:
            raise ConfigError(f'There is no table "{name}".', did_you_mean(name, settings.tables))
    ways = find_ways(settings)
    chosen = names or _in_order(settings, ways)
    return [_view(settings, schema, settings.tables[name], ways[name]) for name in chosen]


def _in_order(settings: Settings, ways: Mapping[str, Sequence[Way]]) -> list[str]:
    """Return the tables: profiles, what belongs to a profile, rows, look-ups of rows, the rest."""

    def rank(name: str) -> int:
        if any(audience.table == name for audience in settings.audiences.values()):
            return 0
        own = [way for way in ways[name] if not way.over or not way.prefix]
        return 1 if own and not own[0].over else 2 if own else 3 if ways[name] else 4

    return sorted(settings.tables, key=rank)


def _view(settings: Settings, schema: Schema, table: Table, ways: Sequence[Way]) -> TableView:
    columns = []
    for name, type_ in schema.columns.get(table.name, {}).items():
        setting = table.column_setting(name)
        columns.append(ColumnView(name, type_, setting.label if setting else ""))
    stored = [table.stored_name(view.name) for view in columns]
    places = {name: place for place, name in enumerate(schema.stored.get(table.name, {}))}
    columns = [view for _, view in sorted(zip(stored, columns, strict=True), key=lambda pair: places.get(pair[0], 0))]
    return TableView(
        name=table.name,
        audiences=tuple(name for name, audience in settings.audiences.items() if audience.table == table.name),
        key=table.key,
        is_prediction=table.prediction,
        relationships={link.name: link.to_table for link in settings.relationships_from(table.name)},
        ways=tuple(ways),
        columns=tuple(columns),
    )


def read_samples(project: OpenProject, views: Sequence[TableView]) -> list[TableView]:
    """Return tables with up to three values of each column: the most frequent of the first rows that come.

    Cost: one read of a thousand rows a table. A column that is gone from its source, or has values that are not of its
    type, has no samples.

    Raises:
        DataContractError: A table does not exist or cannot be read.
    """
    settings, session = project.settings, project.session
    versions = pin_versions(session, settings, {view.name for view in views})
    sources = Sources(session, settings, versions)
    return [_with_samples(sources, view) for view in views]


def _with_samples(sources: Sources, view: TableView) -> TableView:
    settings, table = sources.settings, sources.settings.tables[view.name]
    found = stored_columns(sources.session, settings, table, sources.versions.get(view.name))
    wanted = {c.name: table.stored_name(c.name) for c in view.columns if c.usable}
    wanted = {name: stored for name, stored in wanted.items() if stored in found}
    if not wanted:
        return view
    parts = [column(stored).alias(f"c{place}") for place, stored in enumerate(wanted.values())]
    with engine_errors(f'reading some rows of table "{view.name}"'):
        rows = sources.read(view.name).select(*parts).limit(_ROWS_LOOKED_AT).toArrow().combine_chunks()
    values = {name: rows.column(place) for place, name in enumerate(wanted)}
    columns = [
        replace(c, samples=_samples(values[c.name], c.type, settings.time_zone)) if c.name in values else c
        for c in view.columns
    ]
    return replace(view, columns=tuple(columns))


def _samples(values: pa.ChunkedArray, type_: AttributeType, zone: str) -> tuple[str, ...]:
    array = values.chunk(0) if values.num_chunks else pa.array([], values.type)
    once = np.ones(len(array), dtype=np.int64)
    if type_.family is Family.TEXT:
        return tuple(value for value, _ in count_texts(array, once, SHOWN_SAMPLES).values)
    try:
        found = count_ordinals(array, once, type_, zone)
    except BadValueError:
        return ()
    most = np.argsort(-found.counts, kind="stable")[:SHOWN_SAMPLES]
    return tuple(show_literal(value, type_, zone) for value in found.values[np.sort(most)].tolist())
