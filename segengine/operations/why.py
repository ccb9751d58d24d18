"""`segments why`: which condition, rule and rows made one profile a member, or kept it out.

The rows of that one profile, or of its account, are read as the snapshot's run read them, and judged by the kernel's
own column indexes and aggregates; only the quantifiers are worked out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.errors import ConfigError
from segengine.kernel.aggregates import ValueReader, add_rows, make_accumulator, readings
from segengine.kernel.columns import OrderedIndex, make_index
from segengine.kernel.ordinals import Ordinals
from segengine.kernel.values import Columns, Values, make_groups
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.profile_reader import ProfileReader, column_of
from segengine.operations.segments import find_snapshot, find_version
from segengine.project.attributes import Aggregate, AggregateFunction, Attribute, Path
from segengine.project.find import find_segment
from segengine.project.logic import push_not_inward
from segengine.project.model import (
    All,
    AnyOf,
    Brackets,
    Condition,
    Everyone,
    Expression,
    InSegment,
    Not,
    ProfileRule,
    Quantifier,
    RowsRule,
    Rule,
    Segment,
    Step,
)
from segengine.project.outline import OutlineItem, outline_segment
from segengine.project.relative import anchor_expression
from segengine.project.types import EPOCH, EPOCH_DAY, AttributeType, Family
from segengine.project.values import Constant, Relative
from segengine.project.walk import expression_leaves, rule_expressions
from segengine.store.profile_keys import find_profile_key
from segengine.store.runs import SegmentRun

SHOWN_ROWS = 5
EXTREMES = (AggregateFunction.MIN, AggregateFunction.MAX)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WhyLine:
    """One line of the rules: what it came to for the profile.

    `truth`: "true", "false" or "missing" of what is judged on the profile, None of what is judged on rows. `saw`: the
    value, or how many rows. `total`: whether the rules so far let the profile in, where there are several. `rows`: up
    to five of the rows that decided a rule, by key; of a smallest or largest value those that have it.
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
    if history.segments.current(segment.id) or snapshot is not None or at is not None:
        run = find_snapshot(history.segments, segment, snapshot, at)
        segment = find_version(catalogue, registry, run)
    elif segment.id in catalogue.broken:
        message = f'Segment "{segment.name}" cannot be evaluated: {catalogue.broken[segment.id]}'
        raise ConfigError(message, f"Change it: `segengine segments edit {segment.id}`.")
    if segment.expansion:
        message = f'Segment "{segment.name}" has no rules: a model finds its members.'
        raise ConfigError(message, f"`segengine similar {segment.id}` shows what it leans on.")
    reader = ProfileReader(project, catalogue, history, segment, run, profile_id)
    if run and find_profile_key(project.warehouse, segment.audience, history.run_ids, profile_id) is None:
        message = f"No run has had this {segment.audience}: it is newer than the last one, or was forgotten."
        raise ConfigError(message, "If it is new, run `segengine refresh`.")
    judge = _Judge(reader)
    lines_of = _Lines(reader, judge, project.settings.time_zone)
    deciding = judge.deciding_step(segment.steps)
    lines = [lines_of.line(item, deciding) for item in outline_segment(segment, registry.names)]
    return Why(segment, profile_id, run, judge.steps(segment.steps), tuple(lines))


class _Judge:
    """Judges rules and conditions for one profile."""

    def __init__(self, reader: ProfileReader) -> None:
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
        values, rows = self._aggregated(attribute.aggregate, rule)
        if len(rows):
            groups = make_groups(np.zeros(len(rows), dtype=np.int64))
            add_rows(accumulator, values, [reading.needed for reading in readings(attribute.aggregate)], rows, groups)
        return accumulator.result(slice(0, 1))

    def _aggregated(self, aggregate: Aggregate, rule: RowsRule) -> tuple[list[Values], npt.NDArray[np.intp]]:
        """Return what an aggregate reads of the profile's rows, and which of them satisfy."""
        columns = Columns(lambda column: self._reader.column(rule.path, column))
        values = [ValueReader(reading.of, reading.form).read(columns) for reading in readings(aggregate)]
        return values, np.flatnonzero(self.row_masks(rule)[1])

    def extreme_rows(self, attribute: Attribute, rule: RowsRule) -> Mask | None:
        """Return the rows with the smallest or largest value, or None of an aggregate that all rows make."""
        if attribute.aggregate is None or attribute.aggregate.function not in EXTREMES:
            return None
        (values,), rows = self._aggregated(attribute.aggregate, rule)
        extreme: Mask = np.zeros(self._reader.rows(rule.path).num_rows, dtype=bool)
        if values.there is not None:
            rows = rows[values.there[rows]]
        if len(rows):
            found = self.aggregate(attribute, rule)
            extreme[rows] = values.at(rows) == found.large.get(0, found.values[0])
        return extreme


def _join(step: Step, inside: bool, holds: bool) -> bool:
    if step.operator == "union":
        return inside or holds
    return inside and (holds if step.operator == "intersect" else not holds)


class _Lines:
    """Makes the lines of the answer."""

    def __init__(self, reader: ProfileReader, judge: _Judge, zone: str) -> None:
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
            extreme = self._judge.extreme_rows(expression.attribute, rule)
            rows = () if extreme is None else self._shown_rows(rule, extreme)
            return replace(line, truth=holds, saw=value, rows=rows)
        mask = self._judge.mask(expression, rule.path)
        return replace(line, saw=f"{int(mask.sum())} of {len(mask)} rows")

    def _rule_line(self, line: WhyLine, rule: RowsRule) -> WhyLine:
        holds = self._judge.rule(rule)
        looked_at, satisfied = self._judge.row_masks(rule)
        saw = f"{int(satisfied.sum())} of {int(looked_at.sum())} rows"
        if _asks_for_extremes_alone(rule):
            return replace(line, truth=_truth(holds), saw=saw)  # the lines of these name their rows
        deciding = looked_at & ~satisfied if rule.quantifier is Quantifier.ALL and not holds else satisfied
        return replace(line, truth=_truth(holds), saw=saw, rows=self._shown_rows(rule, deciding))

    def _shown_rows(self, rule: RowsRule, mask: Mask) -> tuple[Mapping[str, Any], ...]:
        """Return the first rows of a mask in the order of their keys: keys first, then what conditions look at."""
        keys = self._reader.key_attributes(rule.path)
        used = [
            column_of(leaf)
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


def _asks_for_extremes_alone(rule: RowsRule) -> bool:
    leaves = list(expression_leaves(rule.aggregates)) if rule.aggregates is not None else []
    aggregates = [leaf.attribute.aggregate for leaf in leaves if isinstance(leaf, Condition)]
    return bool(aggregates) and all(found is not None and found.function in EXTREMES for found in aggregates)


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
