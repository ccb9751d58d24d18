"""`quick profile`: how the values of one attribute or measure are distributed over the profiles, as rules see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from segengine.engine.joins import ScanRows, columns_by_table
from segengine.engine.sources import check_against_lock, cut_off, open_sources
from segengine.engine.uniqueness import check_keys
from segengine.engine.value_counts import COUNT, VALUE, read_text_counts, read_value_counts
from segengine.errors import ConfigError, DataContractError
from segengine.kernel.frequencies import Frequencies, TextFrequencies, count_ordinals, count_texts
from segengine.kernel.ordinals import BadValueError
from segengine.operations.context import OpenProject, load_registered
from segengine.operations.measured_values import count_measured
from segengine.plan.scans import Scan
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue, raise_on_errors
from segengine.project.literals import show_literal
from segengine.project.problems import Problems
from segengine.project.profile_attributes import find_profile_attribute
from segengine.project.profile_measures import find_profile_measure, names_measure, suggest_measure
from segengine.project.project_file import Schema, Settings, Table
from segengine.project.schema_lock import load_schema
from segengine.project.types import AttributeType, Family, Ordinal
from segengine.report.histogram import Spread, choose_edges

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SHOWN_VALUES = 10
PERCENTILES = {"min": 0, "5": 5, "25": 25, "50": 50, "75": 75, "95": 95, "max": 100}


@dataclass(frozen=True)
class ValueCount:
    """A value as rules write it, and how many profiles have it; `share` is of all profiles, 0 to 1."""

    value: str
    count: int
    share: float


@dataclass(frozen=True)
class StretchCount:
    """How many profiles have a value from `start` to below `end` (None: open); `share` is of all profiles."""

    label: str
    start: str | None
    end: str | None
    count: int
    share: float


@dataclass(frozen=True)
class AttributeProfile:
    """How the values of an attribute are distributed over the profiles of an audience.

    `invalid_count`: profiles whose value no rule takes (infinite, out of range). `values`: the most frequent ones, none
    where more than ten occur once each; of numbers, dates and times all of them in their order where they are ten or
    fewer, else none. `percentiles`: of numbers, dates and times, each a value that occurs: the smallest that so many
    per cent of the values do not exceed. `stretches`: their histogram, where there are more values than `values` shows.
    `as_of`, `snapshot_version`: of a measure, of which its stored values are; of attributes None.
    """

    attribute: Attribute
    label: str
    audience: str
    profile_count: int
    missing_count: int
    invalid_count: int
    distinct_count: int
    values: tuple[ValueCount, ...]
    percentiles: Mapping[str, str]
    stretches: tuple[StretchCount, ...]
    as_of: datetime | None = None
    snapshot_version: int | None = None

    @property
    def name(self) -> str:
        """The attribute as rules write it."""
        return self.attribute.name

    @property
    def type(self) -> AttributeType:
        """The attribute's type."""
        return self.attribute.type

    @property
    def missing_share(self) -> float:
        """The share of profiles without a value, 0 to 1; 0 without profiles."""
        return _share(self.missing_count, self.profile_count)


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0


def profile_attribute(
    project: OpenProject, name: str, *, audience: str = "", as_of: datetime | None = None
) -> AttributeProfile:
    """Return the distribution of an attribute's or a measure's values over the profiles, exactly.

    Args:
        project: The project.
        name: As rules on the profile write it: `state`, `home_store.city`, `churn.score`, `Lifetime spend`.
        audience: Whose profiles; '': the only audience, or the only one that has the attribute.
        as_of: The instant that counts; None: now. For an earlier one sources are read as `refresh` reads them; of a
            measure it chooses the snapshot that was the newest then.

    Raises:
        ConfigError: There is no such attribute or measure, several audiences have one, or the measure has no values
            by profile yet.
        DataContractError: A source is not as the project says.
        RunError: The engine failed.
    """
    settings = project.settings
    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    try:
        chosen, attribute = find_profile_attribute(settings, schema, name, audience)
    except ConfigError as error:
        return _profile_measure(project, _find_among_measures(project, name, error), name, audience, as_of)
    doing = f"counting the values of {attribute.name}"
    rows = _read(project, schema, chosen, attribute, as_of)
    if attribute.type.family is Family.TEXT:
        if _stored_type(settings, schema, attribute) == "text":
            texts = read_text_counts(rows, SHOWN_VALUES, doing)
        else:
            found = read_value_counts(rows, doing)
            texts = count_texts(*_columns(found), SHOWN_VALUES)
        return _text_profile(settings, chosen, attribute, texts)
    found = read_value_counts(rows, doing)
    try:
        ordered = count_ordinals(*_columns(found), attribute.type, settings.time_zone)
    except BadValueError as error:
        message = f'{error.count} distinct value(s) of "{attribute.name}" cannot be read as {attribute.type}.'
        hint = "Correct the source, or declare another type in the project file."
        raise DataContractError(message, hint) from None
    return _ordered_profile(settings, chosen, attribute, ordered)


def _find_among_measures(project: OpenProject, name: str, reason: ConfigError) -> Catalogue:
    """Return the applied definitions, where a name that is no attribute is that of a measure.

    The registry is only read here: attributes need none.

    Raises:
        ConfigError: It is not: the reason why it is no attribute, with the measure that is nearly called so.
    """
    try:
        applied, _ = load_registered(project)
    except ConfigError:  # nothing is applied yet
        raise reason from None
    if names_measure(applied, name):
        return applied
    raise suggest_measure(applied, name, reason) from None


def _profile_measure(
    project: OpenProject, applied: Catalogue, name: str, audience: str, as_of: datetime | None
) -> AttributeProfile:
    settings = project.settings
    chosen, attribute = find_profile_measure(applied, name, audience)
    if attribute.hops:
        message = f'"{name}" is a value of the profiles\' {attribute.hops[-1].name}.'
        raise ConfigError(message, f"Look at its own: `segengine quick profile '{attribute.column}'`.")
    found = count_measured(project, applied.measures[attribute.measure], attribute, as_of)
    if attribute.type.family is Family.TEXT:
        texts = count_texts(found.values, found.counts, SHOWN_VALUES)
        profile = _text_profile(settings, chosen, attribute, texts)
    else:
        ordered = count_ordinals(found.values, found.counts, attribute.type, settings.time_zone)
        profile = _ordered_profile(settings, chosen, attribute, ordered)
    run = found.snapshot
    return replace(profile, as_of=run.as_of, snapshot_version=run.snapshot_version)


def _read(
    project: OpenProject, schema: Schema, audience: str, attribute: Attribute, as_of: datetime | None
) -> DataFrame:
    """Return the attribute's stored values as column `value`, one row a profile."""
    settings, session = project.settings, project.session
    scan = ScanRows(Scan(audience, settings.audiences[audience].table, None, (attribute,), ()), settings, schema)
    used = columns_by_table([scan])
    sources = open_sources(session, settings, used, cut_off(as_of, datetime.now(UTC)) if as_of else None)
    check_against_lock(sources, schema, used)
    check_keys(sources, scan.unique_keys())
    return scan.values(sources).toDF(VALUE)


def _stored_type(settings: Settings, schema: Schema, attribute: Attribute) -> str:
    table = _table(settings, attribute)
    return schema.stored.get(table.name, {}).get(table.stored_name(attribute.column), "")


def _columns(found: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return the values and their counts of a table in one chunk, which may be none."""
    empty = not found.num_rows
    values = pa.array([], found.schema.field(VALUE).type) if empty else found.column(VALUE).chunk(0)
    return values, found.column(COUNT).to_numpy()


def _text_profile(settings: Settings, audience: str, attribute: Attribute, texts: TextFrequencies) -> AttributeProfile:
    total = texts.present_count + texts.missing_count
    all_differ = texts.distinct_count > SHOWN_VALUES and texts.distinct_count == texts.present_count
    shown = () if all_differ else texts.values
    return AttributeProfile(
        attribute=attribute,
        label=_label(settings, attribute),
        audience=audience,
        profile_count=total,
        missing_count=texts.missing_count,
        invalid_count=0,
        distinct_count=texts.distinct_count,
        values=tuple(ValueCount(value, count, _share(count, total)) for value, count in shown),
        percentiles={},
        stretches=(),
    )


def _ordered_profile(settings: Settings, audience: str, attribute: Attribute, found: Frequencies) -> AttributeProfile:
    type_, zone = attribute.type, settings.time_zone
    total = found.present_count + found.missing_count + found.invalid_count
    pairs = (
        list(zip(found.values.tolist(), found.counts.tolist(), strict=True))
        if len(found.values) <= SHOWN_VALUES
        else []
    )
    if type_.family is Family.BOOLEAN:
        pairs.sort(key=lambda pair: -pair[1])
    percentiles: dict[str, Ordinal] = {}
    if len(found.values) and type_.family is not Family.BOOLEAN:
        percentiles = {name: found.percentile(per_cent) for name, per_cent in PERCENTILES.items()}
    return AttributeProfile(
        attribute=attribute,
        label=_label(settings, attribute),
        audience=audience,
        profile_count=total,
        missing_count=found.missing_count,
        invalid_count=found.invalid_count,
        distinct_count=len(found.values),
        values=tuple(ValueCount(show_literal(value, type_, zone), n, _share(n, total)) for value, n in pairs),
        percentiles={name: show_literal(value, type_, zone) for name, value in percentiles.items()},
        stretches=_stretches(found, type_, zone, percentiles, total) if percentiles and not pairs else (),
    )


def _stretches(
    found: Frequencies, type_: AttributeType, zone: str, percentiles: Mapping[str, Ordinal], total: int
) -> tuple[StretchCount, ...]:
    spread = Spread(percentiles["min"], percentiles["5"], percentiles["95"], percentiles["max"])
    edges = choose_edges(spread, type_, zone)
    shown = [None if end is None else show_literal(end, type_, zone) for end in edges.ends]
    counts = found.count_between(edges.ends)
    return tuple(
        StretchCount(label, start, end, count, _share(count, total))
        for label, start, end, count in zip(edges.labels, shown, shown[1:], counts, strict=False)
    )


def _label(settings: Settings, attribute: Attribute) -> str:
    if attribute.measure:
        return ""
    setting = _table(settings, attribute).column_setting(attribute.column)
    return setting.label if setting else ""


def _table(settings: Settings, attribute: Attribute) -> Table:
    return settings.tables[attribute.hops[-1].target if attribute.hops else attribute.base]
