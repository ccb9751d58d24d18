"""The plan of a refresh: which tables are scanned once for what, and how bitmaps become segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from segengine.plan.formulas import FormulaBuilder, FormulaNode
from segengine.plan.rows import EVERY_ROW, NO_ROWS, Clauses, RowSet, make_row_set
from segengine.plan.scans import Output, RowCount, Scan, ScanBuilder, SomeRow, SomeRowOf, ValueTest
from segengine.project.logic import push_not_inward
from segengine.project.model import (
    AggregateFunction,
    All,
    AnyOf,
    Brackets,
    Condition,
    Everyone,
    Expression,
    InSegment,
    Path,
    ProfileRule,
    Quantifier,
    RowsRule,
    Rule,
    Segment,
    Settings,
    Step,
)
from segengine.project.outline import OutlineItem, is_counted, outline_segment
from segengine.project.profile_parts import Alternative, split_alternatives, split_common
from segengine.project.relative import anchor_expression
from segengine.project.values import Constant, Ranges, Relative
from segengine.project.walk import rule_expressions, segment_rules

OutlineNodes = tuple[int | None, int | None]
PROFILES = 0  # the profile scan is always the first


@dataclass(frozen=True)
class AudiencePlan:
    """How the segments of one audience are evaluated.

    `nodes` is a program over bitmaps; `members` names the node of each of the `segments`, parents before children;
    `stored` are parents outside of the run, whose current snapshots are read; `carried` are segments of the profiles'
    accounts, whose members are carried over to them. A `stored` node counts through `stored`, then `carried`.
    `outlines` names, for each line of each segment's outline, the nodes of the line and of the running total up to
    it; None where there is none. `outputs` names the outputs (scan, output) a segment is made of, `asked` the hidden
    segments of its accounts.
    """

    audience: str
    segments: Mapping[str, Segment]
    scans: tuple[Scan, ...]
    nodes: tuple[FormulaNode, ...]
    members: Mapping[str, int]
    stored: tuple[str, ...]
    carried: tuple[str, ...]
    outlines: Mapping[str, tuple[OutlineNodes, ...]]
    outputs: Mapping[str, frozenset[tuple[int, int]]]
    asked: Mapping[str, frozenset[str]]


def plan_audience(
    audience: str,
    segments: Mapping[str, Segment],
    stored_parents: Iterable[str],
    settings: Settings,
    as_of: int,
    carried_parents: Iterable[str] = (),
    carried_rules: Mapping[RowsRule, str] = MappingProxyType({}),
) -> AudiencePlan:
    """Return the plan for segments of one audience as of one instant.

    Args:
        audience: Their audience.
        segments: The segments to evaluate by id, parents before children.
        stored_parents: Ids of parents that are not evaluated in this run.
        settings: The project.
        as_of: What relative times are relative to, in microseconds since 1970 UTC.
        carried_parents: Ids of parents that are segments of the profiles' accounts.
        carried_rules: Rules over rows of the accounts, and the carried parents that stand for them.
    """
    stored, carried = tuple(stored_parents), tuple(carried_parents)
    planner = _Planner(audience, (*stored, *carried), carried_rules, settings, as_of)
    members = {segment.id: planner.add_segment(segment) for segment in segments.values()}
    outlines = {segment.id: planner.outline(segment) for segment in segments.values()}
    return AudiencePlan(
        audience=audience,
        segments=dict(segments),
        scans=planner.scans(),
        nodes=planner.formulas.nodes(),
        members=members,
        stored=stored,
        carried=carried,
        outlines=outlines,
        outputs={segment_id: frozenset(found) for segment_id, found in planner.outputs.items()},
        asked={
            segment.id: frozenset(
                carried_rules[rule]
                for rule in segment_rules(segment.steps)
                if isinstance(rule, RowsRule) and rule in carried_rules
            )
            for segment in (segments.values() if carried_rules else ())
        },
    )


class _Planner:
    def __init__(
        self,
        audience: str,
        stored: tuple[str, ...],
        carried_rules: Mapping[RowsRule, str],
        settings: Settings,
        as_of: int,
    ) -> None:
        self._audience = audience
        self._stored = stored
        self._carried_rules = carried_rules
        self._as_of, self._zone = as_of, settings.time_zone
        self._table = settings.audiences[audience].table
        self._builders = [ScanBuilder(audience, self._table, None)]
        self._passes: dict[Path | None, list[int]] = {None: [PROFILES]}  # builders of the passes over a path
        present = self._builders[PROFILES].output(SomeRow(EVERY_ROW))
        self.formulas = FormulaBuilder(FormulaNode("bit", (PROFILES, present)))
        self._members: dict[str, int] = {}
        self._segment_id = ""  # of the segment that is being planned
        self.outputs: dict[str, set[tuple[int, int]]] = {}

    def scans(self) -> tuple[Scan, ...]:
        return tuple(builder.build() for builder in self._builders)

    def add_segment(self, segment: Segment) -> int:
        self._segment_id = segment.id
        node = self.formulas.all((self._steps(segment.steps), self.formulas.EVERYONE))
        self._members[segment.id] = node
        return node

    def outline(self, segment: Segment) -> tuple[OutlineNodes, ...]:
        """Return the nodes of a planned segment's outline; all of them are there already."""
        self._segment_id = segment.id
        return tuple(self._line(item) for item in outline_segment(segment, {}))

    def _line(self, item: OutlineItem) -> OutlineNodes:
        total = self._steps(item.steps) if item.steps else None
        if not is_counted(item):
            return None, total
        if isinstance(item.rule, RowsRule) and item.expression is not None:
            if item.rule in self._carried_rules:
                return None, total
            rule, _ = _split_rule(item.rule)
            rows = self._row_set(rule.among, rule.where)
            return self._aggregates(rule.path, rows, item.expression), total
        if item.rule is not None:
            return self._rule(item.rule), total
        return None if item.expression is None else self._profile(item.expression), total

    def _steps(self, steps: tuple[Step, ...]) -> int:
        result = self.formulas.NOBODY
        for step in steps:
            node = self._rule(step.rule)
            if step.operator == "union":
                result = self.formulas.any((result, node))
            elif step.operator == "intersect":
                result = self.formulas.all((result, node))
            else:
                result = self.formulas.without(result, node)
        return result

    def _rule(self, rule: Rule) -> int:
        if isinstance(rule, Brackets):
            return self._steps(rule.steps)
        if isinstance(rule, ProfileRule):
            return self._profile(push_not_inward(rule.where))
        return self._member(self._carried_rules[rule]) if rule in self._carried_rules else self._rows(rule)

    def _profile(self, expression: Expression) -> int:
        """Return the node of a condition on the profile: one bit per condition, joined on bitmaps."""
        if isinstance(expression, Everyone):
            return self.formulas.EVERYONE
        if isinstance(expression, InSegment):
            return self._member(expression.segment_id)
        if isinstance(expression, All):
            return self.formulas.all([self._profile(item) for item in expression.items])
        if isinstance(expression, AnyOf):
            return self.formulas.any([self._profile(item) for item in expression.items])
        if isinstance(expression, Condition):
            if isinstance(expression.test, Relative):
                return self._profile(self._anchored(expression))
            return self._output(None, SomeRow(frozenset((expression,))))
        return self.formulas.without(self.formulas.EVERYONE, self._profile(expression.item))

    def _anchored(self, expression: Expression) -> Expression:
        return anchor_expression(expression, self._as_of, self._zone)

    def _row_set(self, *expressions: Expression | None) -> RowSet:
        return make_row_set(*(None if part is None else self._anchored(part) for part in expressions))

    def _member(self, segment_id: str) -> int:
        if segment_id in self._members:
            return self._members[segment_id]
        return self.formulas.add("stored", self._stored.index(segment_id))

    def _output(self, path: Path | None, output: Output) -> int:
        """Return the node of an output, in the first pass over the path that has room for it."""
        passes = self._passes.setdefault(path, [])
        number = next((number for number in passes if self._builders[number].has_room(output)), None)
        if number is None:
            number = self._add_pass(path)
        place = self._builders[number].output(output)
        self.outputs.setdefault(self._segment_id, set()).add((number, place))
        return self.formulas.add("bit", number, place)

    def _add_pass(self, path: Path | None) -> int:
        table, is_first = path.over if path else self._table, not self._passes[path]
        self._builders.append(ScanBuilder(self._audience, table, path, is_first))
        self._passes[path].append(len(self._builders) - 1)
        return len(self._builders) - 1

    def _some_row(self, path: Path, rows: RowSet) -> int:
        """Return the profiles with a row in a set: clause by clause where it is an OR of clauses."""
        if isinstance(rows, Clauses):
            return self.formulas.any([self._output(path, SomeRow(clause)) for clause in rows.clauses])
        return self._output(path, SomeRowOf(rows, NO_ROWS))

    def _at_least(self, path: Path, rows: RowSet, count: int) -> int:
        if count <= 0:
            return self.formulas.EVERYONE
        if count == 1:
            return self._some_row(path, rows)
        return self._output(path, RowCount(rows, count))

    def _rows(self, rule: RowsRule) -> int:
        """Return the node of a rule over rows, with the conditions on the profile taken out of it."""
        if rule.quantifier is Quantifier.ANY and rule.aggregates is None:
            parts = rule_expressions(rule)
            alternatives = split_alternatives(All(parts) if parts else None, rule.path)
            if alternatives is not None:
                return self.formulas.any([self._alternative(rule.path, found) for found in alternatives])
        about_rows, on_profile = _split_rule(rule)
        node = self._counted(about_rows)
        profile = self.formulas.all([self._profile(item) for item in on_profile])
        if not holds_for_nothing(rule):
            return self.formulas.all((profile, node))
        return self.formulas.any((node, self.formulas.without(self.formulas.EVERYONE, profile)))

    def _alternative(self, path: Path, alternative: Alternative) -> int:
        some_row = self._some_row(path, self._row_set(alternative.rows))
        return self.formulas.all([some_row, *(self._profile(item) for item in alternative.profile)])

    def _counted(self, rule: RowsRule) -> int:
        """Return the node of a rule whose conditions are all about rows."""
        satisfied = self._row_set(rule.among, rule.where)
        everyone = self.formulas.EVERYONE
        if rule.aggregates is not None:
            return self._aggregates(rule.path, satisfied, push_not_inward(rule.aggregates))
        if rule.quantifier is Quantifier.ALL:
            looked_at = self._row_set(rule.among)
            failed = self._output(rule.path, SomeRowOf(looked_at, satisfied))
            return self.formulas.without(self._some_row(rule.path, looked_at), failed)
        if rule.quantifier is Quantifier.ANY:
            return self._some_row(rule.path, satisfied)
        if rule.quantifier is Quantifier.NONE:
            return self.formulas.without(everyone, self._some_row(rule.path, satisfied))
        at_least = self._at_least(rule.path, satisfied, rule.count)
        if rule.quantifier is Quantifier.AT_LEAST:
            return at_least
        more = self._at_least(rule.path, satisfied, rule.count + 1)
        return self.formulas.without(everyone if rule.quantifier is Quantifier.AT_MOST else at_least, more)

    def _aggregates(self, path: Path, rows: RowSet, expression: Expression) -> int:
        """Return the node of conditions on aggregates: one bit per condition, joined on bitmaps."""
        if isinstance(expression, All):
            return self.formulas.all([self._aggregates(path, rows, item) for item in expression.items])
        if isinstance(expression, AnyOf):
            return self.formulas.any([self._aggregates(path, rows, item) for item in expression.items])
        if not isinstance(expression, Condition):
            raise TypeError(f"{type(expression).__name__} is no condition on an aggregate")
        if isinstance(expression.test, Relative):
            return self._aggregates(path, rows, self._anchored(expression))
        if not passes_for_nothing(expression):
            return self._output(path, ValueTest(rows, expression))
        # A profile without rows is in no bucket of the scan: ask who fails instead.
        opposite = replace(expression, test=expression.test.complement(), missing=not expression.missing)
        return self.formulas.without(self.formulas.EVERYONE, self._output(path, ValueTest(rows, opposite)))


def _split_rule(rule: RowsRule) -> tuple[RowsRule, tuple[Expression, ...]]:
    """Return a rule without its conditions on the profile, and these."""
    among, where = split_common(rule.among, rule.path), split_common(rule.where, rule.path)
    return replace(rule, among=among.rows, where=where.rows), (*among.profile, *where.profile)


def holds_for_nothing(rule: RowsRule) -> bool:
    """Return the value of a rule where the profile makes sure that no row satisfies it, or none is looked at."""
    if rule.aggregates is not None:
        return _aggregates_of_nothing(push_not_inward(rule.aggregates))
    if rule.quantifier in (Quantifier.NONE, Quantifier.AT_MOST):
        return True
    return rule.quantifier in (Quantifier.AT_LEAST, Quantifier.EXACTLY) and rule.count == 0


def _aggregates_of_nothing(expression: Expression) -> bool:
    if isinstance(expression, All):
        return all(_aggregates_of_nothing(item) for item in expression.items)
    if isinstance(expression, AnyOf):
        return any(_aggregates_of_nothing(item) for item in expression.items)
    return isinstance(expression, Condition) and passes_for_nothing(expression)


def passes_for_nothing(condition: Condition) -> bool:
    """Return whether the aggregate of no values passes: 0 of sums and counts, missing of all others."""
    aggregate = condition.attribute.aggregate
    if aggregate is None or aggregate.function not in (AggregateFunction.SUM, AggregateFunction.COUNT_UNIQUE):
        return condition.missing
    test = condition.test
    return test.accepts_all if isinstance(test, Constant) else isinstance(test, Ranges) and test.accepts(0)
