"""`segments why`: which condition, rule and rows made one profile a member, or kept it out.

The rows of that one profile, or of its account, are read as the snapshot's run read them, and judged by the kernel's
own column indexes and aggregates; only the quantifiers are worked out here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.joins import ScanRows
from segengine.errors import ConfigError
from segengine.kernel.aggregates import ValueReader, make_accumulator, make_groups
from segengine.kernel.columns import OrderedIndex, make_index
from segengine.kernel.ordinals import Ordinals
from segengine.kernel.scan import KEY
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.past_sources import sources_of_run
from segengine.operations.segments import find_snapshot, find_version
from segengine.plan.scans import BUCKET_SIZE, Scan
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_segment
from segengine.project.logic import push_not_inward
from segengine.project.model import (
    All,
    AnyOf,
    Attribute,
    Brackets,
    Condition,
    Everyone,
    Expression,
    InSegment,
    Not,
    Path,
    ProfileRule,
    Quantifier,
    RowsRule,
    Rule,
    Segment,
    Step,
)
from segengine.project.outline import OutlineItem, outline_segment
from segengine.project.paths import find_attribute, row_key
from segengine.project.relative import anchor_expression
from segengine.project.types import EPOCH, EPOCH_DAY, AttributeType, Family, instant_of
from segengine.project.values import Constant, Relative
from segengine.project.walk import expression_leaves, rule_expressions, segment_rules
from segengine.store.profile_keys import read_profile_keys
from segengine.store.runs import History, SegmentRun
from segengine.store.snapshots import read_bitmaps
from segengine.store.warehouse import make_frame

SHOWN_ROWS = 5
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WhyLine:
    """One line of the rules: what it came to for the profile.

    `truth`: "true", "false" or "missing" of what is judged on the profile, None of what is judged on rows. `saw`: the
    value, or how many rows. `total`: whether the rules so far let the profile in, where there are several. `rows`: up
    to five of the rows that decided a rule, by key.
    """

    depth: int
    text: str
    truth: str | None
    saw: str
    total: bool | None
    decided: bool
    rows: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Why:
    """Why a profile is a member or not; `snapshot` None: judged on the sources as they are now."""

    segment: Segment
    profile_id: str
    snapshot: SegmentRun | None
    is_member: bool
    lines: tuple[WhyLine, ...]


def explain_membership(
    project: OpenProject, name: str, profile_id: str, *, snapshot: int | None = None, at: datetime | None = None
) -> Why:
    """Return why a profile is in a segment or not, line by line.

    Args:
        project: The project.
        name: Name or id of the segment.
        profile_id: Id of the profile, as text.
        snapshot: Number of a snapshot; None: the current one, or where there is none the sources as they are now.
        at: The snapshot that was the newest as of that time.

    Raises:
        ConfigError: There is no such segment, snapshot or profile.
        DefinitionError: The definition of that time no longer fits the project.
        RunError: The sources can no longer be read as they were.
    """
    catalogue, registry = load_registered(project)
    _, history = read_state(project)
    segment = find_segment(catalogue, name)
    run: SegmentRun | None = None
    if history.snapshots(segment.id) or snapshot is not None or at is not None:
        run = find_snapshot(history, segment, snapshot, at)
        segment = find_version(catalogue, registry, run)
    reader = _ProfileReader(project, catalogue, history, segment, run, profile_id)
    judge = _Judge(reader)
    lines_of = _Lines(reader, judge, project.settings.time_zone)
    names = {identity: record.name for identity, record in registry.newest.items()}
    deciding = judge.deciding_step(segment.steps)
    lines = [lines_of.line(item, deciding) for item in outline_segment(segment, names)]
    return Why(segment, profile_id, run, judge.steps(segment.steps), tuple(lines))


@dataclass
class _ProfileReader:
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
        tables = {table for scan in scans for table, _ in ScanRows(scan, settings, self.schema).used_columns()}
        run_id = self.run.run_id if self.run else ""
        self._sources = sources_of_run(self.project, self.history, run_id, sorted(tables))
        self._tables: dict[Path | None, pa.Table] = {}
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
                    if isinstance(leaf, Condition):
                        attributes.add(_column_of(leaf))
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
        """Return one attribute of the profile's rows."""
        column = self.rows(path).column(self._scan(path).column_name(attribute))
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)

    def is_member(self, segment_id: str) -> bool:
        """Return whether the profile, or its account, is in the snapshot of another segment that the run used."""
        snapshots = self.history.snapshots(segment_id)
        same_run = [run for run in snapshots if self.run and run.run_id == self.run.run_id]
        numbers = json.loads(self.run.parents) if self.run else {}
        stored = [run for run in snapshots if run.snapshot_version == numbers.get(segment_id)]
        used = (same_run or stored or snapshots[-1:])[:1]
        other = self.catalogue.segments.get(segment_id)
        key = self._profile_key(other.audience if other else self.segment.audience)
        if not used or key is None:
            return False
        bucket, place = divmod(key - 1, BUCKET_SIZE)
        bits = read_bitmaps(self.project.warehouse, used[0].snapshot_run_id, segment_id).get(bucket + 1)
        return bits is not None and bool(bits[place >> 3] >> (place & 7) & 1)

    def _profile_key(self, audience: str) -> int | None:
        from pyspark.sql import functions as F

        owner = self.owner(audience)
        if owner is None:
            return None
        keys = read_profile_keys(self.project.warehouse, audience, self.history.run_ids)
        with engine_errors("reading the key of a profile"):
            row = keys.where(F.col("profile_id") == owner).first()
        return None if row is None else int(row["profile_key"])


class _Judge:
    """Judges rules and conditions for one profile."""

    def __init__(self, reader: _ProfileReader) -> None:
        self._reader = reader

    def steps(self, steps: tuple[Step, ...]) -> bool:
        """Return whether steps, in their order, let the profile in."""
        inside = False
        for step in steps:
            inside = _join(step, inside, self.rule(step.rule))
        return inside

    def deciding_step(self, steps: tuple[Step, ...]) -> Step:
        """Return the last step that changed whether the profile is in; the first where none did."""
        inside, deciding = False, steps[0]
        for step in steps:
            following = _join(step, inside, self.rule(step.rule))
            if following != inside:
                deciding = step
            inside = following
        return deciding

    def rule(self, rule: Rule) -> bool:
        """Return whether a rule holds."""
        if isinstance(rule, Brackets):
            return self.steps(rule.steps)
        if isinstance(rule, ProfileRule):
            return bool(self.mask(push_not_inward(rule.where), None).all())
        if self._reader.owner(self._reader.judged(rule.path)) is None:
            return False
        if rule.aggregates is not None:
            return self.aggregates(push_not_inward(rule.aggregates), rule)
        looked_at, satisfied = self.row_masks(rule)
        count = int(satisfied.sum())
        if rule.quantifier is Quantifier.ALL:
            return count > 0 and count == int(looked_at.sum())
        if rule.quantifier is Quantifier.ANY:
            return count > 0
        if rule.quantifier is Quantifier.NONE:
            return count == 0
        if rule.quantifier is Quantifier.EXACTLY:
            return count == rule.count
        return count >= rule.count if rule.quantifier is Quantifier.AT_LEAST else count <= rule.count

    def row_masks(self, rule: RowsRule) -> tuple[Mask, Mask]:
        """Return which of the profile's rows are looked at, and which of these satisfy."""
        everything = np.ones(self._reader.rows(rule.path).num_rows, dtype=bool)
        among, where = (
            everything if part is None else self.mask(push_not_inward(part), rule.path)
            for part in (rule.among, rule.where)
        )
        return among, among & where

    def mask(self, expression: Expression, path: Path | None) -> Mask:
        """Return on which of the profile's rows (None: its own) an expression holds."""
        count = self._reader.rows(path).num_rows
        if isinstance(expression, All | AnyOf):
            join = np.logical_and if isinstance(expression, All) else np.logical_or
            joined: Mask = join.reduce([self.mask(item, path) for item in expression.items])
            return joined
        if isinstance(expression, Not):
            return ~self.mask(expression.item, path)
        if isinstance(expression, Everyone):
            return np.ones(count, dtype=bool)
        if isinstance(expression, InSegment):
            return np.full(count, self._reader.is_member(expression.segment_id))
        if isinstance(expression.test, Relative):
            return self.mask(self._anchored(expression), path)
        index = make_index(expression.attribute, [frozenset((expression,))])
        codes = index.codes(self._reader.column(path, expression.attribute))
        holds: Mask = index.table[codes][:, 0] & np.uint64(1) == 1
        return holds

    def _anchored(self, expression: Expression) -> Expression:
        return anchor_expression(expression, self._reader.as_of, self._reader.project.settings.time_zone)

    def aggregates(self, expression: Expression, rule: RowsRule) -> bool:
        """Return whether conditions on aggregates hold."""
        if isinstance(expression, All | AnyOf):
            found = [self.aggregates(item, rule) for item in expression.items]
            return all(found) if isinstance(expression, All) else any(found)
        if not isinstance(expression, Condition):
            raise TypeError(f"{type(expression).__name__} is no condition on an aggregate")
        if isinstance(expression.test, Relative):
            return self.aggregates(self._anchored(expression), rule)
        index = OrderedIndex(expression.attribute, [frozenset((expression,))])
        code = index.ordinal_codes(self.aggregate(expression.attribute, rule))[0]
        return bool(index.table[code, 0] & np.uint64(1))

    def aggregate(self, attribute: Attribute, rule: RowsRule) -> Ordinals:
        """Return the value of an aggregate over the rows that satisfy a rule, as one ordinal."""
        if attribute.aggregate is None:
            raise TypeError(f"{attribute.name} is no aggregate")
        accumulator = make_accumulator(attribute.aggregate)
        accumulator.grow(1)
        reader = ValueReader(attribute.aggregate.of, attribute.aggregate.function)
        values = reader.read(self._reader.column(rule.path, attribute.aggregate.of))
        chosen = self.row_masks(rule)[1] & (True if values.there is None else values.there)
        if chosen.any():
            data = values.data[chosen]
            accumulator.add(data, make_groups(np.zeros(len(data), dtype=np.int64)))
        return accumulator.result(slice(0, 1))


def _join(step: Step, inside: bool, holds: bool) -> bool:
    if step.operator == "union":
        return inside or holds
    return inside and (holds if step.operator == "intersect" else not holds)


class _Lines:
    """Makes the lines of the answer."""

    def __init__(self, reader: _ProfileReader, judge: _Judge, zone: str) -> None:
        self._reader, self._judge, self._zone = reader, judge, zone

    def line(self, item: OutlineItem, deciding: Step) -> WhyLine:
        total = self._judge.steps(item.steps) if item.steps else None
        decided = item.depth == 0 and item.rule is deciding.rule and (not item.steps or item.steps[-1] is deciding)
        line = WhyLine(item.depth, item.text, None, "", total, decided)
        if isinstance(item.rule, RowsRule):
            return self._rows_line(line, item.rule, item.expression)
        if item.rule is not None and not isinstance(item.rule, ProfileRule):
            return replace(line, truth=_truth(self._judge.rule(item.rule)))
        if item.expression is None:
            return line
        return self._profile_line(line, item.expression)

    def _profile_line(self, line: WhyLine, expression: Expression) -> WhyLine:
        holds = bool(self._judge.mask(expression, None).all())
        if not isinstance(expression, Condition):
            return replace(line, truth=_truth(holds))
        value = self._reader.column(None, expression.attribute)
        missing = bool(self._judge.mask(_missing(expression.attribute.whole), None).all())
        truth = "missing" if missing and not holds and not expression.about_missing else _truth(holds)
        return replace(line, truth=truth, saw="missing" if missing else self._show(value[0]))

    def _rows_line(self, line: WhyLine, rule: RowsRule, expression: Expression | None) -> WhyLine:
        judged = self._reader.judged(rule.path)
        if self._reader.owner(judged) is None:
            return replace(line, truth=None if expression else "false", saw=f"no {judged}")
        if expression is None:
            return self._rule_line(line, rule)
        leaves = list(expression_leaves(expression))
        if all(isinstance(leaf, Condition) and leaf.attribute.aggregate for leaf in leaves):
            holds = _truth(self._judge.aggregates(expression, rule))
            if not isinstance(expression, Condition):
                return replace(line, truth=holds)
            value = show_ordinal(
                self._judge.aggregate(expression.attribute, rule), expression.attribute.whole.type, self._zone
            )
            return replace(line, truth=holds, saw=value)
        mask = self._judge.mask(expression, rule.path)
        return replace(line, saw=f"{int(mask.sum())} of {len(mask)} rows")

    def _rule_line(self, line: WhyLine, rule: RowsRule) -> WhyLine:
        holds = self._judge.rule(rule)
        looked_at, satisfied = self._judge.row_masks(rule)
        saw = f"{int(satisfied.sum())} of {int(looked_at.sum())} rows"
        deciding = looked_at & ~satisfied if rule.quantifier is Quantifier.ALL and not holds else satisfied
        return replace(line, truth=_truth(holds), saw=saw, rows=self._shown_rows(rule, deciding))

    def _shown_rows(self, rule: RowsRule, mask: Mask) -> tuple[Mapping[str, Any], ...]:
        """Return the first rows of a mask in the order of their keys: keys first, then what conditions look at."""
        keys = self._reader.key_attributes(rule.path)
        used = [
            _column_of(leaf)
            for expression in rule_expressions(rule)
            for leaf in expression_leaves(expression)
            if isinstance(leaf, Condition)
        ]
        attributes = list(dict.fromkeys([*keys, *used]))
        columns = [self._reader.column(rule.path, attribute).to_pylist() for attribute in attributes]
        rows = [row for row, shown in zip(zip(*columns, strict=True), mask, strict=True) if shown]
        rows.sort(key=lambda row: [(value is None, value) for value in row[: len(keys)]])
        names = [attribute.name for attribute in attributes]
        return tuple(dict(zip(names, map(self._show, row), strict=True)) for row in rows[:SHOWN_ROWS])

    def _show(self, value: Any) -> str:
        plain = value.as_py() if isinstance(value, pa.Scalar) else value
        if isinstance(plain, datetime) and plain.tzinfo is not None:
            return _local(plain, self._zone)
        return "missing" if plain is None or plain == "" else str(plain)


def _column_of(condition: Condition) -> Attribute:
    """Return the column that a condition's value is taken or worked out from."""
    aggregate = condition.attribute.aggregate
    return aggregate.of if aggregate else condition.attribute.whole


def _local(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).isoformat(sep=" ")


def _truth(holds: bool) -> str:
    return "true" if holds else "false"


def _missing(attribute: Attribute) -> Condition:
    return Condition(attribute, Constant(False), missing=True, about_missing=True)


def show_ordinal(values: Ordinals, type_: AttributeType, zone: str) -> str:
    """Return the first of some ordinals as text; instants as local time."""
    if values.missing is not None and values.missing[0]:
        return "missing"
    value = values.large.get(0, values.values[0].item())
    if type_.family is Family.DATE:
        return (EPOCH_DAY + timedelta(days=value)).isoformat()
    if type_.family is Family.TIMESTAMP:
        moment = EPOCH + timedelta(microseconds=value)
        return moment.replace(tzinfo=None).isoformat(sep=" ") if type_.name == "timestamp_ntz" else _local(moment, zone)
    if type_.name == "decimal":
        text = f"{Decimal(value).scaleb(-type_.scale):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)
