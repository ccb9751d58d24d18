"""The plan of a refresh: which tables are scanned once for what, and how bitmaps become segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from segengine.plan.formulas import FormulaBuilder, FormulaNode
from segengine.plan.rows import EVERY_ROW, NO_ROWS, Clauses, RowSet, make_row_set
from segengine.plan.scans import RowCount, Scan, ScanBuilder, SomeRow, SomeRowOf
from segengine.project.logic import push_not_inward
from segengine.project.model import (
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

PROFILES = 0  # the profile scan is always the first


@dataclass(frozen=True)
class AudiencePlan:
    """How the due segments of one audience are evaluated.

    `nodes` is a program over bitmaps; `members` names the node of each segment, parents before children;
    `stored` are parents outside of the run, whose current snapshots are read.
    """

    audience: str
    scans: tuple[Scan, ...]
    nodes: tuple[FormulaNode, ...]
    members: Mapping[str, int]
    stored: tuple[str, ...]
    row_rule_count: int
    profile_condition_count: int


def plan_audience(
    audience: str, segments: Mapping[str, Segment], stored_parents: Iterable[str], settings: Settings
) -> AudiencePlan:
    """Return the plan for segments of one audience.

    Args:
        audience: Their audience.
        segments: The segments to evaluate by id, parents before children.
        stored_parents: Ids of parents that are not evaluated in this run.
        settings: The project.
    """
    planner = _Planner(audience, tuple(stored_parents), settings)
    members = {segment.id: planner.add_segment(segment) for segment in segments.values()}
    return AudiencePlan(
        audience=audience,
        scans=planner.scans(),
        nodes=planner.formulas.nodes(),
        members=members,
        stored=planner.stored,
        row_rule_count=planner.row_rule_count,
        profile_condition_count=planner.profile_condition_count,
    )


class _Planner:
    def __init__(self, audience: str, stored: tuple[str, ...], settings: Settings) -> None:
        self._audience = audience
        self.stored = stored
        table = settings.audiences[audience].table
        self._builders: dict[Path | None, ScanBuilder] = {None: ScanBuilder(audience, table, None)}
        present = self._builders[None].output(SomeRow(EVERY_ROW))
        self.formulas = FormulaBuilder(FormulaNode("bit", (PROFILES, present)))
        self._members: dict[str, int] = {}
        self.row_rule_count = 0
        self.profile_condition_count = 0

    def scans(self) -> tuple[Scan, ...]:
        return tuple(builder.build() for builder in self._builders.values())

    def add_segment(self, segment: Segment) -> int:
        node = self.formulas.all((self._steps(segment.steps), self.formulas.EVERYONE))
        self._members[segment.id] = node
        return node

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
        self.row_rule_count += 1
        return self._rows(rule)

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
            self.profile_condition_count += 1
            return self._bit(None, frozenset((expression,)))
        return self.formulas.without(self.formulas.EVERYONE, self._profile(expression.item))

    def _member(self, segment_id: str) -> int:
        if segment_id in self._members:
            return self._members[segment_id]
        return self.formulas.add("stored", self.stored.index(segment_id))

    def _builder(self, path: Path | None) -> tuple[int, ScanBuilder]:
        if path not in self._builders and path is not None:
            self._builders[path] = ScanBuilder(self._audience, path.over, path)
        return list(self._builders).index(path), self._builders[path]

    def _bit(self, path: Path | None, clause: frozenset[Condition]) -> int:
        scan, builder = self._builder(path)
        return self.formulas.add("bit", scan, builder.output(SomeRow(clause)))

    def _some_row(self, path: Path, rows: RowSet) -> int:
        """Return the profiles with a row in a set: clause by clause where it is an OR of clauses."""
        if isinstance(rows, Clauses):
            return self.formulas.any([self._bit(path, clause) for clause in rows.clauses])
        scan, builder = self._builder(path)
        return self.formulas.add("bit", scan, builder.output(SomeRowOf(rows, NO_ROWS)))

    def _at_least(self, path: Path, rows: RowSet, count: int) -> int:
        if count <= 0:
            return self.formulas.EVERYONE
        if count == 1:
            return self._some_row(path, rows)
        scan, builder = self._builder(path)
        return self.formulas.add("bit", scan, builder.output(RowCount(rows, count)))

    def _rows(self, rule: RowsRule) -> int:
        satisfied = make_row_set(rule.among, rule.where)
        everyone = self.formulas.EVERYONE
        if rule.quantifier is Quantifier.ALL:
            looked_at = make_row_set(rule.among)
            scan, builder = self._builder(rule.path)
            failed = self.formulas.add("bit", scan, builder.output(SomeRowOf(looked_at, satisfied)))
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
