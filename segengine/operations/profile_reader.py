"""What a segment asks of one profile: its own row, its rows on each path, the segments it is in.

Everything is read once, and as the snapshot's run read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.joins import ScanRows, columns_by_table
from segengine.errors import ConfigError
from segengine.kernel.arithmetic import stored_type
from segengine.kernel.measures import with_names
from segengine.kernel.scan import KEY
from segengine.operations.context import OpenProject
from segengine.operations.past_sources import sources_of_run
from segengine.plan.scans import BUCKET_SIZE, Scan
from segengine.project.attributes import Attribute, Path
from segengine.project.catalogue import Catalogue
from segengine.project.model import Condition, RowsRule, Segment
from segengine.project.paths import find_attribute, row_key
from segengine.project.types import instant_of
from segengine.project.walk import expression_leaves, rule_expressions, segment_rules
from segengine.store.profile_keys import read_profile_keys
from segengine.store.runs import DefinitionRun, History, SegmentRun, Trail
from segengine.store.snapshots import read_bitmaps, read_values
from segengine.store.warehouse import make_frame


@dataclass
class ProfileReader:
    """Reads what a segment asks of one profile: its own row, its rows on each path, the segments it is in.

    Rows that lead to its account are those of the account, and so are the account's segments.
    """

    project: OpenProject
    catalogue: Catalogue
    history: History
    segment: Segment
    run: SegmentRun | None
    profile_id: str

    def __post_init__(self) -> None:
        settings, self.schema = self.project.settings, self.catalogue.schema
        self.as_of = instant_of(self.run.as_of if self.run else datetime.now(UTC))
        self._profile_table = settings.audiences[self.segment.audience].table
        self._accounts = settings.account_of(self.segment.audience)
        self._wanted = self._wanted_attributes()
        scans = [self._scan(path) for path in self._wanted]
        tables = sorted(columns_by_table(ScanRows(scan, settings, self.schema) for scan in scans))
        run_id = self.run.snapshot_run_id if self.run else ""
        self._sources = sources_of_run(self.project, self.history, run_id, tables)
        self._tables: dict[Path | None, pa.Table] = {}
        self._memberships: dict[str, bool] = {}
        if not self.rows(None).num_rows:
            known = f'in table "{self._profile_table}"'
            raise ConfigError(f'There is no profile "{self.profile_id}" {known}.', "Ids are compared as exact text.")

    def _wanted_attributes(self) -> dict[Path | None, set[Attribute]]:
        wanted: dict[Path | None, set[Attribute]] = {None: {*self.key_attributes(None), *self._account_key()}}
        for rule in segment_rules(self.segment.steps):
            path = rule.path if isinstance(rule, RowsRule) else None
            attributes = wanted.setdefault(path, set(self.key_attributes(path)))
            for expression in rule_expressions(rule):
                for leaf in expression_leaves(expression):
                    if isinstance(leaf, Condition) and not leaf.attribute.measure:
                        attributes.add(column_of(leaf))
        return wanted

    def key_attributes(self, path: Path | None) -> list[Attribute]:
        """Return the attributes that name a row of a path."""
        settings, base = self.project.settings, path or self._profile_table
        names = row_key(settings, path) if path else settings.tables[self._profile_table].key
        found = [find_attribute(settings, self.schema, base, name) for name in names]
        return [attribute for attribute in found if isinstance(attribute, Attribute)]

    def _account_key(self) -> list[Attribute]:
        """Return the id of the profile's account as a look-up: missing where there is no such account."""
        link = self.project.settings.audiences[self.segment.audience].account
        if link is None or self._accounts is None:
            return []
        name = f"{link.relationship.name}.{self.project.settings.tables[self._accounts.table].key[0]}"
        found = find_attribute(self.project.settings, self.schema, self._profile_table, name)
        return [found] if isinstance(found, Attribute) else []

    def owner(self, audience: str) -> str | None:
        """Return the id of the profile, or of its account where that is the audience; None where it has none."""
        if self._accounts is None or audience != self._accounts.name:
            return self.profile_id
        ids = [self.column(None, attribute)[0].as_py() for attribute in self._account_key()]
        return str(ids[0]) if ids and ids[0] not in (None, "") else None

    def judged(self, path: Path | None) -> str:
        """Return the audience on which the rows of a path are judged."""
        is_account = self._accounts is not None and path is not None and path.target == self._accounts.table
        return self._accounts.name if self._accounts and is_account else self.segment.audience

    def _scan(self, path: Path | None) -> Scan:
        columns = tuple(sorted(self._wanted[path], key=lambda attribute: attribute.name))
        return Scan(self.segment.audience, path.over if path else self._profile_table, path, columns, ())

    def rows(self, path: Path | None) -> pa.Table:
        """Return the profile's rows on a path (None: its own row), or its account's."""
        if path not in self._tables:
            owner = self.owner(self.judged(path))
            key = [{"profile_id": owner, "profile_key": 1}] if owner is not None else []
            keys = make_frame(self.project.session, "profile_id string, profile_key bigint", key)
            scan = self._scan(path)
            frame = ScanRows(scan, self.project.settings, self.schema).rows_of(self._sources, keys)
            with engine_errors(f"reading the rows of {scan.name} for one profile"):
                found = frame.drop(KEY).toArrow()
            self._tables[path] = found.combine_chunks()
        return self._tables[path]

    def column(self, path: Path | None, attribute: Attribute) -> pa.Array:
        """Return one attribute of the profile's rows; of a measure the same value for all of them."""
        if attribute.measure:
            value = self._measured(attribute)
            return pa.repeat(value, self.rows(path).num_rows)
        column = self.rows(path).column(self._scan(path).column_name(attribute))
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)

    def is_member(self, segment_id: str) -> bool:
        """Return whether the profile, or its account, is in the snapshot of another segment that the run used."""
        if segment_id not in self._memberships:
            self._memberships[segment_id] = self._read_membership(segment_id)
        return self._memberships[segment_id]

    def _read_membership(self, segment_id: str) -> bool:
        used = self._used(self.history.segments, segment_id)
        other = self.catalogue.segments.get(segment_id)
        key = self._profile_key(other.audience if other else self.segment.audience)
        if used is None or key is None:
            return False
        bucket, place = divmod(key - 1, BUCKET_SIZE)
        bits = read_bitmaps(self.project.warehouse, used.snapshot_run_id, segment_id).get(bucket + 1)
        return bits is not None and bool(bits[place >> 3] >> (place & 7) & 1)

    def _used(self, trail: Trail[DefinitionRun], parent: str) -> DefinitionRun | None:
        """Return the snapshot of a parent that fed the run, else the current one."""
        numbers = json.loads(self.run.parents) if self.run else {}
        stored = [run for run in trail.snapshots(parent) if run.snapshot_version == numbers.get(parent)]
        used = next(iter(stored), trail.current(parent))
        if used is not None and not trail.is_kept(used):
            message = f'Snapshot {used.snapshot_version} of "{used.name}", which the run used, is no longer kept.'
            raise ConfigError(message, "Ask about a newer snapshot.")
        return used

    def _measured(self, attribute: Attribute) -> pa.Scalar:
        """Return the value of a measure of the profile, or of its account, that the run used."""
        nothing = pa.scalar(None, stored_type(attribute.whole.type))
        measure = self.catalogue.measures.get(attribute.measure)
        if cause := self.catalogue.broken.get(attribute.measure):
            raise ConfigError(
                f'Measure "{attribute.column}" cannot be evaluated: {cause}', "Change it, or the segment."
            )
        used = self._used(self.history.measures, attribute.measure)
        key = self._profile_key(measure.audience) if measure else None
        if used is None or key is None:
            return nothing
        bucket, place = divmod(key - 1, BUCKET_SIZE)
        values = read_values(self.project.warehouse, used.snapshot_run_id, attribute.measure).get(bucket + 1)
        if values is None or measure is None:
            return nothing
        return with_names(measure, values).column(attribute.column)[place]

    def _profile_key(self, audience: str) -> int | None:
        from pyspark.sql import functions as F

        owner = self.owner(audience)
        if owner is None:
            return None
        keys = read_profile_keys(self.project.warehouse, audience, self.history.run_ids)
        with engine_errors("reading the key of a profile"):
            row = keys.where(F.col("profile_id") == owner).first()
        return None if row is None else int(row["profile_key"])


def column_of(condition: Condition) -> Attribute:
    """Return the column that a condition's value is taken or worked out from."""
    aggregate = condition.attribute.aggregate
    if aggregate is None:
        return condition.attribute.whole
    if not isinstance(aggregate.of, Attribute):
        raise TypeError("a rule judges aggregates of attributes; measures alone have others")
    return aggregate.of
