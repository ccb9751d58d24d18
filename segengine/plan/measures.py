"""Measures in a plan: values of profiles from scans and from each other, groups by dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from segengine.plan.formulas import FormulaBuilder
from segengine.plan.passes import Passes
from segengine.plan.rows import ALL_ROWS, Combined, RowSet
from segengine.plan.scans import Groups, Value
from segengine.project.aggregates import ZERO_OF_NOTHING
from segengine.project.attributes import Aggregate, AggregateFunction, Attribute, Operand, Path, ValueOf
from segengine.project.measure import Measure, MeasureValue
from segengine.project.model import All, AnyOf, Condition, Expression, Not
from segengine.project.profile_parts import split_common
from segengine.project.types import AttributeType, Family
from segengine.project.walk import aggregated_values, operand_leaves, order_values


@dataclass(frozen=True)
class StoredValue:
    """A value of a measure outside of the run; `column` is what the stored values call it."""

    measure_id: str
    column: str
    type: AttributeType


@dataclass(frozen=True)
class Computation:
    """An expression and its leaves, in the order of the nodes that hold their values."""

    operand: Operand
    leaves: tuple[Attribute | ValueOf, ...]


@dataclass(frozen=True)
class Orphans:
    """Whether rows that reach no profile count for a measure, and for each of its aggregated values."""

    count: bool
    values: tuple[bool, ...]


@dataclass(frozen=True)
class MeasurePlan:
    """Where the results of a measure are.

    `values`: the node of each value by its column (attributes of profiles); `groups`: of the finished groups, by
    dimensions; `states`: where the states of a business measure leave: (scan, groups), or a node where the profile
    decides which rows count.
    """

    values: Mapping[str, int]
    groups: int | None = None
    states: tuple[int, int] | int | None = None


class MeasurePlanner:
    """Adds measures to the formulas of one audience."""

    def __init__(
        self,
        known: Mapping[str, Measure],
        passes: Passes,
        formulas: FormulaBuilder,
        row_set: Callable[..., RowSet],
        on_profile: Callable[[Expression], int],
        of_account: Callable[[Attribute], int],
    ) -> None:
        """Prepare.

        Args:
            known: Every measure of the project by id.
            passes: The scans.
            formulas: The nodes.
            row_set: Makes the row set of conditions, relative times anchored.
            on_profile: Returns the node of a condition on the profile.
            of_account: Returns the node of a measure's value for the profile's account.
        """
        self._known = known
        self._passes = passes
        self._formulas = formulas
        self._row_set = row_set
        self._on_profile = on_profile
        self._of_account = of_account
        self._planned: dict[str, MeasurePlan] = {}
        self._rows_of: dict[str, int] = {}  # the scan over the groups of a measure

    def add(self, measure: Measure) -> MeasurePlan:
        """Return where the results of a measure are; what it refers to is planned or stored."""
        plan = self._attribute(measure) if measure.is_attribute else self._grouped(measure)
        self._planned[measure.id] = plan
        return plan

    def value_node(self, attribute: Attribute) -> int:
        """Return the node of a measure's value: of the profile, of this run or stored, or of the profile's account."""
        if attribute.hops:
            return self._of_account(attribute)
        planned = self._planned.get(attribute.measure)
        if planned is not None:
            return planned.values[attribute.column]
        stored = StoredValue(attribute.measure, attribute.column, attribute.whole.type)
        return self._formulas.add("stored_value", payload=stored)

    def _attribute(self, measure: Measure) -> MeasurePlan:
        nodes: dict[str, int] = {}
        for value in order_values(measure):
            nodes[value.name] = self._value(measure, value, nodes)
        return MeasurePlan({measure.column(value): nodes[value.name] for value in measure.shown_values})

    def _value(self, measure: Measure, value: MeasureValue, others: Mapping[str, int]) -> int:
        if isinstance(value.source, Aggregate):
            node = self._aggregate(measure, value, value.source)
        else:
            node = self._computed(value.source, others)
        if value.if_missing is not None:
            node = self._formulas.add("if_missing", node, payload=(value.if_missing, value.type))
        return node

    def _aggregate(self, measure: Measure, value: MeasureValue, aggregate: Aggregate) -> int:
        path = self._path(measure)
        rows, profile = self._split(measure, path, value.where)
        scan, place = self._passes.value(path, Value(rows, aggregate))
        self._after_groups(measure, scan)
        node = self._formulas.add("value", scan, place, payload=(value.type, aggregate.function in ZERO_OF_NOTHING))
        if profile == self._formulas.EVERYONE:
            return node
        return self._formulas.add("only", node, profile, payload=aggregate.function in ZERO_OF_NOTHING)

    def _computed(self, operand: Operand, others: Mapping[str, int]) -> int:
        leaves = tuple(dict.fromkeys(operand_leaves(operand)))
        nodes = [others[leaf.value] if isinstance(leaf, ValueOf) else self._leaf(leaf) for leaf in leaves]
        if leaves == (operand,):  # of any type: text is no number to compute with
            return nodes[0]
        return self._formulas.add("compute", *nodes, payload=Computation(operand, leaves))

    def _leaf(self, attribute: Attribute) -> int:
        if attribute.measure:
            return self.value_node(attribute)
        # The profiles' own column: one row each, so that the smallest value is the value, and so is the first.
        aggregate = Aggregate(AggregateFunction.MIN, attribute)
        if attribute.type.family is Family.TEXT:
            aggregate = Aggregate(AggregateFunction.FIRST, attribute, by=attribute)
        scan, place = self._passes.value(None, Value(ALL_ROWS, aggregate))
        return self._formulas.add("value", scan, place, payload=(attribute.type, False))

    def _grouped(self, measure: Measure) -> MeasurePlan:
        path = self._path(measure)
        rows, profile = self._split(measure, path)
        parts = [self._split(measure, path, value.where) for value in aggregated_values(measure)]
        aggregates = [value.source for value in aggregated_values(measure) if isinstance(value.source, Aggregate)]
        masks = [mask for _, mask in parts]
        if measure.per_profile:
            wanted = tuple((own, aggregate) for (own, _), aggregate in zip(parts, aggregates, strict=True))
            scan, place = self._passes.groups(path, Groups(rows, measure.dimensions, wanted, per_profile=True))
            self._after_groups(measure, scan)
            return MeasurePlan({}, groups=self._formulas.add("groups", scan, place, profile, *masks, payload=measure))
        return MeasurePlan({}, states=self._business(measure, path, rows, profile, parts, aggregates))

    def _business(
        self,
        measure: Measure,
        path: Path,
        rows: RowSet,
        profile: int,
        parts: Sequence[tuple[RowSet, int]],
        aggregates: Sequence[Aggregate],
    ) -> tuple[int, int] | int:
        masks = [mask for _, mask in parts]
        of_rows = None if self._is_of_profiles(measure) else path
        orphans = self._orphans(measure, path)
        takes_all = self._is_of_profiles(measure) or all((orphans.count, *orphans.values))
        if {profile, *masks} == {self._formulas.EVERYONE} and takes_all and not measure.over:
            wanted = tuple((own, aggregate) for (own, _), aggregate in zip(parts, aggregates, strict=True))
            return self._passes.groups(of_rows, Groups(rows, measure.dimensions, wanted, per_profile=False))
        # Values whose rows other profiles decide, or other rows of none, have states of their own.
        deciders = list(zip(masks, orphans.values, strict=True))
        kinds = list(dict.fromkeys(deciders))
        wanted = tuple(
            (_apart(own, kinds.index(decider)), aggregate)
            for (own, _), decider, aggregate in zip(parts, deciders, aggregates, strict=True)
        )
        groups = Groups(rows, measure.dimensions, wanted, per_profile=True, orphans=orphans.count)
        scan, place = self._passes.groups(of_rows, groups)
        self._after_groups(measure, scan)
        return self._formulas.add("states", scan, place, profile, *masks, payload=orphans)

    def _orphans(self, measure: Measure, path: Path) -> Orphans:
        """Return which rows that reach no profile count: those whose conditions hold where all about it is missing."""
        own = [value.where for value in aggregated_values(measure)]
        if measure.over or self._is_of_profiles(measure):
            return Orphans(False, (False,) * len(own))
        found = [split_common(part, path).profile for part in (measure.where, *own)]
        counts, *masks = (all(holds_for_nobody(item) for item in items) for items in found)
        return Orphans(counts, tuple(counts and mask for mask in masks))

    def _path(self, measure: Measure) -> Path:
        """Return the path of a measure's rows; without hops where they are of no profile, or profiles themselves."""
        if measure.over:
            return Path(measure.over, ())
        if measure.path is None:
            raise ValueError(f"measure {measure.id} has no rows")
        if measure.per_profile or measure.path.hops or self._is_of_profiles(measure):
            return measure.path
        return self._passes.path_of_rows(measure.path.over)

    def _is_of_profiles(self, measure: Measure) -> bool:
        """Return whether the rows of a business measure are the profiles, which are read anyway."""
        return not measure.per_profile and measure.path == Path(self._passes.profile_table, ())

    def _after_groups(self, measure: Measure, scan: int) -> None:
        """See to it that the groups of another measure are scanned before what is asked of that scan."""
        if not measure.over:
            return
        planned = self._planned.get(measure.over)
        groups = planned.groups if planned else None
        if groups is None:
            groups = self._formulas.add("stored_groups", payload=self._known[measure.over])
        self._formulas.add("scan_groups", groups, payload=scan)

    def _split(self, measure: Measure, path: Path, where: Expression | None = None) -> tuple[RowSet, int]:
        """Return the rows that a measure's conditions and those of one value leave, and the node of the profiles."""
        parts = [split_common(part, None if measure.over else path) for part in (measure.where, where)]
        rows = self._row_set(*(part.rows for part in parts))
        profile = self._formulas.all([self._on_profile(item) for part in parts for item in part.profile])
        return rows, profile


def _apart(rows: RowSet, times: int) -> RowSet:
    """Return the same rows as a row set of its own."""
    for _ in range(times):
        rows = Combined((rows,))
    return rows


def holds_for_nobody(expression: Expression) -> bool:
    """Return whether a condition on the profile holds for a row that reaches none."""
    if isinstance(expression, All | AnyOf):
        found = [holds_for_nobody(item) for item in expression.items]
        return all(found) if isinstance(expression, All) else any(found)
    if isinstance(expression, Not):
        return not holds_for_nobody(expression.item)
    return isinstance(expression, Condition) and expression.missing
