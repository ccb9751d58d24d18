"""`forget`: a person who asks for it disappears from everything segengine stores, and stays away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from segengine.engine.erasure import erase_from_attached
from segengine.engine.failures import engine_errors
from segengine.engine.sources import Sources, column, pin_versions
from segengine.errors import ConfigError
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.evaluation import Progress
from segengine.operations.maintain import list_written_tables
from segengine.operations.members import member_columns
from segengine.operations.run_log import log_run
from segengine.operations.suppression import check_secret
from segengine.operations.waiting import check_last_run_ended
from segengine.project.catalogue import Catalogue
from segengine.project.dimensions import read_per
from segengine.project.names import SEGMENT_MEMBERS, make_measure_table, make_output_table
from segengine.project.nodes import Plain
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Settings
from segengine.project.usage import User, make_usage_graph
from segengine.store.control import Control
from segengine.store.erasures import Erasure, KeyedHash, append_erasure, read_erasures, read_secret
from segengine.store.profile_keys import erase_profile_key, find_profile_key
from segengine.store.registry import Registry
from segengine.store.run_writing import make_run_id
from segengine.store.runs import FORGOTTEN
from segengine.store.scores import erase_from_results, find_results_saying
from segengine.store.snapshots import erase_values
from segengine.store.upkeep import list_output_tables
from segengine.store.warehouse import make_frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForgetReport:
    """What was done, or with `dry_run` would be.

    `was_known`: whether anything was stored of the person. `tables`: where rows were looked for and deleted.
    `receivers`: who may have copies. `definitions`: the names of those that name the id, which stay as they are.
    `answers`: the names of suggestions, insights and expansions whose models said the id.
    """

    audience: str
    was_known: bool
    in_source: bool
    suppressed: bool
    tables: tuple[str, ...]
    receivers: tuple[User, ...]
    definitions: tuple[str, ...]
    answers: tuple[str, ...]
    dry_run: bool = False


def forget_profile(
    project: OpenProject,
    profile_id: str,
    *,
    audience: str = "",
    suppress: bool = False,
    dry_run: bool = False,
    progress: Progress = logger.info,
) -> ForgetReport:
    """Erase a person: the key, values of measures, rows of output tables; a keyed hash keeps the person out of runs.

    Out of every run as of a time before now; with `suppress` of every run. It is recorded that somebody was forgotten,
    by whom and when, not who. Snapshots keep an anonymous bit. Older versions of tables go with `maintain`. Where it
    is interrupted, doing it again does the rest.

    Args:
        project: The project.
        profile_id: The id as the profile table has it, as exact text.
        audience: Whose profiles; '': the only audience of people.
        suppress: Keep the person out even where a source still has, or has again, a row of it.
        dry_run: Only say what would be done.
        progress: Called with a line for each step.

    Raises:
        ConfigError: There is no such audience, no secret, the last run was killed, or a source has the person still.
        LeaseHeldError: A run is under way.
        RunError: The engine failed.
    """
    audience = _find_audience(project, audience)
    keyed = read_secret(project.settings.suppress_key)
    catalogue, registry = load_registered(project)
    control, warehouse = Control(project.warehouse, "control"), project.warehouse
    if not warehouse.exists(control.table):
        raise ConfigError("Nobody can be forgotten: no refresh has run yet.", "Run `segengine refresh`.")
    _, history = read_state(project)
    erasures = read_erasures(warehouse, {run.run_id for run in history.runs})
    check_secret(keyed, erasures, project.settings.suppress_key)
    in_source = _is_in_source(project, audience, profile_id)
    if in_source and not suppress:
        table = project.settings.audiences[audience].table
        raise ConfigError(
            f'Table "{table}" still has a row of this {audience}: the next refresh would take it in again.',
            "Delete it there first, or say --suppress: it is then left out of every run.",
        )
    of_others = frozenset(_find_measures_of_others(registry, project.settings, audience))
    work = _Forgetting(project, catalogue, audience, profile_id, of_others, progress)
    key = find_profile_key(warehouse, audience, history.run_ids, profile_id)
    report = ForgetReport(
        audience=audience,
        was_known=key is not None,
        in_source=in_source,
        suppressed=suppress,
        tables=tuple(work.tables()),
        receivers=tuple(_find_receivers(catalogue, audience)),
        definitions=tuple(_find_naming(registry, profile_id)),
        answers=tuple(sorted({registry.names[row["id"]] for row in find_results_saying(warehouse, profile_id)})),
        dry_run=dry_run,
    )
    if dry_run:
        return report
    check_last_run_ended(control)
    now = datetime.now(UTC)
    with control.lease(make_run_id(now), []) as lease:
        progress("recording that somebody is forgotten, not who")
        append_erasure(warehouse, lease.work_id, _erasure(keyed, audience, profile_id, now, suppress))
        log_run(project, lease, FORGOTTEN, now)
        control.publish(lease, keep_lease=True)
        lease.check()
        work.erase(key)
    return report


def _erasure(keyed: KeyedHash, audience: str, profile_id: str, now: datetime, suppress: bool) -> Erasure:
    return Erasure(audience, keyed.of(profile_id), keyed.check, now, suppress)


def _find_audience(project: OpenProject, name: str) -> str:
    """Return the audience meant: accounts are no people.

    Raises:
        ConfigError: There is none of that name, several may be meant, or it is one of accounts.
    """
    audiences = project.settings.audiences
    accounts = {each.account.audience for each in audiences.values() if each.account}
    people = [each for each in audiences if each not in accounts]
    if name in people:
        return name
    if name in accounts:
        raise ConfigError(f'Audience "{name}" is of accounts, not of people.', f"Forget one of: {', '.join(people)}.")
    if name:
        raise ConfigError(f'There is no audience "{name}".', did_you_mean(name, people))
    if len(people) != 1:
        raise ConfigError("It is not clear whose profiles are meant.", f"Say --audience {'|'.join(people)}.")
    return people[0]


def _is_in_source(project: OpenProject, audience: str, profile_id: str) -> bool:
    from pyspark.sql import functions as F

    settings = project.settings
    table = settings.tables[settings.audiences[audience].table]
    sources = Sources(project.session, settings, pin_versions(project.session, settings, {table.name}))
    with engine_errors(f'reading table "{table.name}"'):
        ids = sources.read(table.name).select(column(table.stored_name(table.key[0])).cast("string").alias("id"))
        return bool(ids.where(F.col("id") == profile_id).limit(1).count())


def _find_receivers(catalogue: Catalogue, audience: str) -> Iterator[User]:
    """Yield who outside of segengine uses what has members or values of an audience, directly or through others."""
    graph, found = make_usage_graph(catalogue), set()
    for identity, definition in catalogue.evaluated.items():
        if definition.audience == audience:
            users = [*graph.direct(identity), *graph.indirect(identity)]
            found |= {user for user in users if user.kind == "consumer"}
    yield from sorted(found, key=lambda user: user.name)


def _find_naming(registry: Registry, profile_id: str) -> Iterator[str]:
    """Yield the names of definitions of which any version has the id as a value."""
    names = {record.id for record in registry.versions if _has_text(dict(record.fields), profile_id)}
    yield from sorted(registry.names[identity] for identity in names)


def _find_measures_of_others(registry: Registry, settings: Settings, audience: str) -> Iterator[str]:
    """Yield the ids of the measures that never, in any version, were of an audience's profiles."""
    audiences: dict[str, set[str]] = {}
    for record in registry.versions:
        if record.kind == "measure":
            grain = read_per(record.as_definition().fields.get("per"), settings, Problems())
            audiences.setdefault(record.id, set()).add(grain.audience if grain else audience)
    yield from (identity for identity, found in audiences.items() if audience not in found)


def _has_text(value: Plain, text: str) -> bool:
    if isinstance(value, dict):
        return any(_has_text(each, text) for each in (*value.keys(), *value.values()))
    return any(_has_text(each, text) for each in value) if isinstance(value, list) else value == text


@dataclass(frozen=True)
class _Forgetting:
    project: OpenProject
    catalogue: Catalogue
    audience: str
    profile_id: str
    measures_of_others: frozenset[str]
    progress: Progress

    @property
    def _id_name(self) -> str:
        return member_columns(self.project.settings, self.audience)["profile_id"]

    def tables(self) -> list[str]:
        """Return the tables for other tools that have rows of profiles of the audience."""
        others = {each for each in self.project.settings.audiences if each != self.audience}
        of_others = {self.project.warehouse.output_name(name) for each in others for name in self._tables_of(each)}
        return [table for table in self._written() if table not in of_others and self._id_column(table)]

    def _written(self) -> list[str]:
        names = list_written_tables(self.project.settings, self.catalogue)
        earlier = [make_output_table(each.name) for each in self.catalogue.measures.values()]
        return list_output_tables(self.project.warehouse, [*names, *earlier])

    def _tables_of(self, audience: str) -> list[str]:
        segments = [each.output_table for each in self.catalogue.segments.values() if each.audience == audience]
        measures = [each for each in self.catalogue.measures.values() if each.per_profile and each.audience == audience]
        groups = [make_output_table(each.name) for each in measures if not each.is_attribute]
        return [*segments, *groups, make_measure_table(audience)]

    def _types(self, table: str) -> dict[str, str]:
        warehouse = self.project.warehouse
        with engine_errors(f"reading table {table}"):
            return dict(warehouse.read(table).dtypes)

    def _id_column(self, table: str) -> str:
        """Return the column of a table that has ids of profiles, or ''."""
        own = table == self.project.warehouse.output_name(SEGMENT_MEMBERS)
        wanted = "profile_id" if own else self._id_name
        return wanted if wanted in self._types(table) else ""

    def erase(self, key: int | None) -> None:
        """Delete what is stored of the person; the key goes last, so that an interrupted erasure can be repeated."""
        warehouse, own = self.project.warehouse, set(self.tables())
        for table in self._written():
            self.progress(f"erasing from table {table}")
            if table in own:
                self._erase_rows(table)
            self._erase_texts(table)
        self.progress("erasing from the values of measures")
        erase_values(warehouse, key, self.profile_id, self.measures_of_others)
        self.progress("erasing from what models said")
        erase_from_results(warehouse, find_results_saying(warehouse, self.profile_id), self.profile_id)
        self.progress("erasing the key")
        erase_profile_key(warehouse, self.audience, self.profile_id)

    def _erase_rows(self, table: str) -> None:
        """Delete the rows of a table whose profile is the person; of all segments' members those of the audience."""
        warehouse, session = self.project.warehouse, self.project.session
        if table == warehouse.output_name(SEGMENT_MEMBERS):
            own = [each.id for each in self.catalogue.segments.values() if each.audience == self.audience]
            rows = [{"segment_id": each, "profile_id": self.profile_id} for each in own]
            warehouse.delete_rows(table, make_frame(session, "segment_id string, profile_id string", rows))
            return
        row = make_frame(session, "id string", [{"id": self.profile_id}])
        warehouse.delete_rows(table, row.withColumnRenamed("id", self._id_column(table)))

    def _erase_texts(self, table: str) -> None:
        """Empty what says the id in rows of others: values of measures, dimensions, and attached rows."""
        warehouse, settings = self.project.warehouse, self.project.settings
        ids = {name for audience in settings.audiences for name in member_columns(settings, audience).values()}
        texts = [name for name, type_ in self._types(table).items() if type_ == "string"]
        row = make_frame(self.project.session, "id string", [{"id": self.profile_id}])
        for name in texts:
            if name not in {*ids, "profile_id", "segment_id"}:
                changes = {f"`{name}`": "cast(null as string)"}
                with engine_errors(f"writing table {table}"):
                    warehouse.update_rows(table, row, f"t.`{name}` = s.id", changes)
        self._erase_attached(table, [name for name in texts if name in ids])

    def _erase_attached(self, table: str, keys: list[str]) -> None:
        rows = self.project.warehouse.read(table)
        same = " and ".join(f"t.`{key}` <=> s.`{key}`" for key in keys)
        with engine_errors(f"writing table {table}"):
            for name in [name for name, type_ in rows.dtypes if type_.startswith("array<struct<")]:
                attached = rows.select(*[f"`{each}`" for each in (*keys, name)])
                changed = attached.mapInArrow(erase_from_attached(self.profile_id), attached.schema)
                self.project.warehouse.update_rows(table, changed, same, {f"`{name}`": f"s.`{name}`"})
