"""The plan of a refresh: which tables are scanned once for what, and how bitmaps become segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from segengine.plan.formulas import FormulaBuilder, FormulaNode
from segengine.plan.measures import MeasurePlan, MeasurePlanner, StoredValue
from segengine.plan.passes import Passes
from segengine.plan.questions import AccountQuestions, Ask
from segengine.plan.rows import EVERY_ROW, NO_ROWS, Clauses, RowSet, make_row_set
from segengine.plan.scans import Output, RowCount, Scan, SomeRow, SomeRowOf, ValueTest
from segengine.project.attributes import AggregateFunction, Path
from segengine.project.logic import push_not_inward
from segengine.project.measure import Measure
from segengine.project.model import (
    All,
    AnyOf,
    Brackets,
    Condition,
    Everyone,
    Expression,
    InSegment,
    ProfileRule,
    Quantifier,
    RowsRule,
    Rule,
    Segment,
    Step,
)
from segengine.project.outline import OutlineItem, is_counted, outline_segment
from segengine.project.profile_parts import Alternative, split_alternatives, split_common
from segengine.project.project_file import Settings
from segengine.project.relative import anchor_expression
from segengine.project.values import Constant, Ranges, Relative
from segengine.project.walk import rule_expressions, segment_rules

OutlineNodes = tuple[int | None, int | None]


@dataclass(frozen=True)
class AudiencePlan:
    """How the segments and measures of one audience are evaluated, as of one instant (microseconds since 1970 UTC).

    `nodes` is a program over the profiles of a bucket; `members` names the node of each of the `segments`, `results`
    those of each of the `measures`, what is referred to first; `stored` are parents outside of the run, whose current
    snapshots are read, `stored_measures` likewise; `carried` are segments of the profiles' accounts, whose members are
    carried over to them, `carried_values` measures whose values are. A `stored` node counts through `stored`, then
    `carried`.
    `outlines` names, for each line of each segment's outline, the nodes of the line and of the running total up to
    it; None where there is none. `overflow` names the node of the profiles for which an aggregate of a segment or a
    value of a measure has too many digits; `answers` what a definition is made of, (scan, place in `Scan.asked`),
    `asked` the hidden segments and measures of its accounts. `outside`: a plan of the measures that are not evaluated
    but read, for what their values are over no rows. `wave`: which of a run's waves it is of.
    """

    audience: str
    as_of: int
    zone: str
    segments: Mapping[str, Segment]
    measures: Mapping[str, Measure]
    scans: tuple[Scan, ...]
    nodes: tuple[FormulaNode, ...]
    members: Mapping[str, int]
    results: Mapping[str, MeasurePlan]
    stored: tuple[str, ...]
    stored_measures: tuple[str, ...]
    carried: tuple[str, ...]
    carried_values: tuple[str, ...]
    outlines: Mapping[str, tuple[OutlineNodes, ...]]
    overflow: Mapping[str, int]
    answers: Mapping[str, frozenset[tuple[int, int]]]
    asked: Mapping[str, frozenset[str]]
    outside: AudiencePlan | None = None
    wave: int = 0

    @property
    def label(self) -> str:
        """What tells a plan from the others of a run."""
        return f"{self.audience} {self.wave}"

    @property
    def asks_accounts(self) -> bool:
        """Whether anything of the profiles' accounts is carried over to them."""
        return bool(self.carried or self.carried_values)

    @property
    def table_scans(self) -> dict[int, Scan]:
        """The scans over tables by number; the others are over the groups of measures, bucket by bucket."""
        inner = {node.payload for node in self.nodes if node.kind == "scan_groups"}
        return {number: scan for number, scan in enumerate(self.scans) if number not in inner}


@dataclass(frozen=True)
class Around:
    """What lies outside of a plan.

    `settings`: the project; `measures`: all of its measures by id; `as_of`: what relative times are relative to, in
    microseconds since 1970 UTC; `stored`: parents that are not evaluated in this run; `carried`: parents that are
    segments of the profiles' accounts; `ask`: returns what stands for a question to the accounts.
    """

    settings: Settings
    measures: Mapping[str, Measure]
    as_of: int
    stored: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    ask: Ask | None = None


def plan_audience(audience: str, definitions: Mapping[str, Segment | Measure], around: Around) -> AudiencePlan:
    """Return the plan for segments and measures of one audience.

    Args:
        audience: Their audience.
        definitions: What to evaluate by id, parents before children.
        around: What lies outside.
    """
    planner = _Planner(audience, definitions, around)
    segments = {key: each for key, each in definitions.items() if isinstance(each, Segment)}
    measures = {key: each for key, each in definitions.items() if isinstance(each, Measure)}
    members: dict[str, int] = {}
    results: dict[str, MeasurePlan] = {}
    for definition in definitions.values():
        if isinstance(definition, Segment):
            members[definition.id] = planner.add_segment(definition)
        else:
            results[definition.id] = planner.add_measure(definition)
    outlines = {segment.id: planner.outline(segment) for segment in segments.values()}
    overflow = planner.overflow()
    return AudiencePlan(
        audience=audience,
        as_of=around.as_of,
        zone=around.settings.time_zone,
        segments=segments,
        measures=measures,
        scans=planner.passes.scans(),
        nodes=planner.formulas.nodes(),
        members=members,
        results=results,
        stored=around.stored,
        stored_measures=planner.stored_measures(),
        carried=tuple(planner.questions.segments),
        carried_values=tuple(planner.questions.measures),
        outlines=outlines,
        overflow=overflow,
        answers=planner.passes.answers(),
        asked={identity: frozenset(found) for identity, found in planner.questions.asked.items()},
    )


class _Planner:
    def __init__(self, audience: str, definitions: Mapping[str, Segment | Measure], around: Around) -> None:
        table = around.settings.audiences[audience].table
        self._around = around
        self._zone = around.settings.time_zone
        accounts = around.settings.account_of(audience)
        self._account_table = accounts.table if accounts else ""
        self.passes = Passes(audience, table, _paths(definitions.values()))
        self.formulas = FormulaBuilder(FormulaNode("bit", self.passes.output(None, SomeRow(EVERY_ROW))))
        self.questions = AccountQuestions(around.ask, around.carried, self.passes, self.formulas)
        self._measures = MeasurePlanner(
            around.measures, self.passes, self.formulas, self._row_set, self._profile, self.questions.value
        )
        self._members: dict[str, int] = {}
        self._overflow: dict[str, set[int]] = {}

    def add_segment(self, segment: Segment) -> int:
        self.passes.subject = segment.id
        node = self.formulas.all((self._steps(segment.steps), self.formulas.EVERYONE))
        self._members[segment.id] = node
        return node

    def add_measure(self, measure: Measure) -> MeasurePlan:
        self.passes.subject = measure.id
        result = self._measures.add(measure)
        for node in result.values.values():
            self._note_overflow(self.formulas.add("value_overflow", node))
        return result

    def stored_measures(self) -> tuple[str, ...]:
        """Return the measures outside of the run that some node reads."""
        read = [node.payload for node in self.formulas.nodes() if node.kind in ("stored_value", "stored_groups")]
        ids = {each.measure_id if isinstance(each, StoredValue) else each.id for each in read}
        return tuple(sorted(ids))

    def overflow(self) -> dict[str, int]:
        """Return the nodes of the profiles whose numbers have too many digits, by id of what asks for them."""
        return {
            identity: self.formulas.all((self.formulas.any(found), self.formulas.EVERYONE))
            for identity, found in self._overflow.items()
        }

    def _note_overflow(self, node: int) -> None:
        self._overflow.setdefault(self.passes.subject, set()).add(node)

    def outline(self, segment: Segment) -> tuple[OutlineNodes, ...]:
        """Return the nodes of a planned segment's outline; all of them are there already."""
        self.passes.subject = segment.id
        return tuple(self._line(item) for item in outline_segment(segment, {}))

    def _line(self, item: OutlineItem) -> OutlineNodes:
        total = self._steps(item.steps) if item.steps else None
        if not is_counted(item):
            return None, total
        if isinstance(item.rule, RowsRule) and item.expression is not None:
            if self._is_of_account(item.rule):
                return None, total
            rule, _ = _split_rule(item.rule)
            rows = self._row_set(rule.among, rule.where)
            return self._aggregates(rule.path, rows, item.expression, self.formulas.NOBODY), total
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
        return self._member(self.questions.segment(rule)) if self._is_of_account(rule) else self._rows(rule)

    def _is_of_account(self, rule: RowsRule) -> bool:
        return rule.path.target == self._account_table

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
            if expression.attribute.measure and expression.attribute.hops:
                asked = self._member(self.questions.segment(expression))
                return self.formulas.without(self.formulas.EVERYONE, asked) if expression.missing else asked
            if isinstance(expression.test, Relative):
                return self._profile(self._anchored(expression))
            if expression.attribute.measure:
                value = self._measures.value_node(expression.attribute)
                return self.formulas.add("test", value, payload=expression)
            return self._output(None, SomeRow(frozenset((expression,))))
        return self.formulas.without(self.formulas.EVERYONE, self._profile(expression.item))

    def _anchored(self, expression: Expression) -> Expression:
        return anchor_expression(expression, self._around.as_of, self._zone)

    def _row_set(self, *expressions: Expression | None) -> RowSet:
        return make_row_set(*(None if part is None else self._anchored(part) for part in expressions))

    def _member(self, segment_id: str) -> int:
        if segment_id in self._members:
            return self._members[segment_id]
        return self.formulas.add("stored", (*self._around.stored, *self.questions.segments).index(segment_id))

    def _output(self, path: Path | None, output: Output) -> int:
        """Return the node of an output."""
        return self.formulas.add("bit", *self.passes.output(path, output))

    def _value_test(self, path: Path, test: ValueTest, profile: int) -> int:
        """Return the node of a condition on an aggregate; digits matter for the profiles that `profile` leaves."""
        scan, place = self.passes.output(path, test)
        self._note_overflow(self.formulas.all((profile, self.formulas.add("overflow", scan, place))))
        return self.formulas.add("bit", scan, place)

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
        profile = self.formulas.all([self._profile(item) for item in on_profile])
        node = self._counted(about_rows, profile)
        if not holds_for_nothing(rule):
            return self.formulas.all((profile, node))
        return self.formulas.any((node, self.formulas.without(self.formulas.EVERYONE, profile)))

    def _alternative(self, path: Path, alternative: Alternative) -> int:
        some_row = self._some_row(path, self._row_set(alternative.rows))
        return self.formulas.all([some_row, *(self._profile(item) for item in alternative.profile)])

    def _counted(self, rule: RowsRule, profile: int) -> int:
        """Return the node of a rule whose conditions are all about rows; what comes of it counts within `profile`."""
        satisfied = self._row_set(rule.among, rule.where)
        everyone = self.formulas.EVERYONE
        if rule.aggregates is not None:
            return self._aggregates(rule.path, satisfied, push_not_inward(rule.aggregates), profile)
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

    def _aggregates(self, path: Path, rows: RowSet, expression: Expression, profile: int) -> int:
        """Return the node of conditions on aggregates: one bit per condition, joined on bitmaps."""
        if isinstance(expression, All):
            return self.formulas.all([self._aggregates(path, rows, item, profile) for item in expression.items])
        if isinstance(expression, AnyOf):
            return self.formulas.any([self._aggregates(path, rows, item, profile) for item in expression.items])
        if not isinstance(expression, Condition):
            raise TypeError(f"{type(expression).__name__} is no condition on an aggregate")
        if isinstance(expression.test, Relative):
            return self._aggregates(path, rows, self._anchored(expression), profile)
        if not passes_for_nothing(expression):
            return self._value_test(path, ValueTest(rows, expression), profile)
        # A profile without rows is in no bucket of the scan: ask who fails instead.
        failing = self._value_test(path, ValueTest(rows, opposite(expression)), profile)
        return self.formulas.without(self.formulas.EVERYONE, failing)


def opposite(condition: Condition) -> Condition:
    """Return the condition that exactly the others pass, missing values included."""
    return replace(condition, test=condition.test.complement(), missing=not condition.missing)


def _paths(definitions: Iterable[Segment | Measure]) -> Iterator[Path]:
    for definition in definitions:
        if isinstance(definition, Segment):
            rules = segment_rules(definition.steps)
            yield from (rule.path for rule in rules if isinstance(rule, RowsRule))
        elif definition.path is not None:
            yield definition.path


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
