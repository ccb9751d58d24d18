"""Shared scans: one per path, whatever the number of rules on it.

A scan yields bitmaps, one per *output*: is there a row of the profile that ..., are there at least n rows that ...
Outputs are numbered as they are asked for, and equal ones are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from segengine.plan.rows import Clause, RowSet, clauses_of
from segengine.project.attributes import Aggregate, AggregateFunction, Attribute, Path
from segengine.project.date_parts import column_ranges
from segengine.project.measure import Dimension
from segengine.project.model import Condition
from segengine.project.types import Family
from segengine.project.values import Ranges, make_ranges
from segengine.project.walk import aggregate_attributes

BUCKET_SIZE = 32_768  # profiles a bucket, one bit each: Spark's own bitmap functions use the same number


@dataclass(frozen=True)
class SomeRow:
    """The profile has a row that satisfies the clause (an empty clause: has a row at all)."""

    clause: Clause


@dataclass(frozen=True)
class SomeRowOf:
    """The profile has a row in one row set and not in another."""

    inside: RowSet
    outside: RowSet


@dataclass(frozen=True)
class RowCount:
    """The profile has at least so many rows in a row set."""

    rows: RowSet
    at_least: int


@dataclass(frozen=True)
class ValueTest:
    """The profile's value of an aggregate over a row set passes a condition that the value of no rows fails."""

    rows: RowSet
    condition: Condition


Output = SomeRow | SomeRowOf | RowCount | ValueTest
Limits = tuple[tuple[Attribute, Ranges], ...]


@dataclass(frozen=True)
class Value:
    """The profile's value of an aggregate over a row set: what measures keep."""

    rows: RowSet
    aggregate: Aggregate


@dataclass(frozen=True)
class Groups:
    """The values of aggregates by dimensions, over the groups that have a row in `rows`.

    Each of the `values` has a row set of its own, within `rows`. Not `per_profile`: over all rows of the table, those
    that reach no profile included; so are they with `orphans`, as those of profile 0.
    """

    rows: RowSet
    dimensions: tuple[Dimension, ...]
    values: tuple[tuple[RowSet, Aggregate], ...]
    per_profile: bool
    orphans: bool = False


Asked = Output | Value | Groups


@dataclass(frozen=True)
class Scan:
    """What one pass over the rows of a path yields.

    `path` is None for the profiles themselves (one row each); a path without hops leads to no profile, its rows count
    for business measures alone. `columns` are the attributes read, each once whatever its parts; a kernel column is
    named by its place (`c0`, `c1`, ...). `outputs` leave as one bit a profile, `values` and `groups` as what measures
    keep. `limits` are ranges outside of which nothing looks at a row, per attribute of the table itself.
    """

    audience: str
    table: str
    path: Path | None
    columns: tuple[Attribute, ...]
    outputs: tuple[Output, ...]
    values: tuple[Value, ...] = ()
    groups: tuple[Groups, ...] = ()
    limits: Limits = ()
    is_first_pass: bool = True

    @property
    def name(self) -> str:
        """The scan for people."""
        return self.path.name if self.path else self.table

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Everything asked of the scan: outputs, then values, then groups."""
        return (*self.outputs, *self.values, *self.groups)

    @property
    def aggregates(self) -> tuple[tuple[RowSet, Aggregate], ...]:
        """Return what is aggregated over which rows of a profile, each once."""
        found = [aggregated(output) for output in self.outputs if isinstance(output, ValueTest)]
        found += [(value.rows, value.aggregate) for value in self.values]
        return tuple(dict.fromkeys(found))

    @property
    def judged(self) -> tuple[Attribute, ...]:
        """The attributes that conditions on rows are about: columns and their parts."""
        return _judged(self.asked)

    def column_name(self, attribute: Attribute) -> str:
        """Return the kernel's name of the column an attribute is read from."""
        return f"c{self.columns.index(attribute.whole)}"


def aggregated(output: ValueTest) -> tuple[RowSet, Aggregate]:
    """Return the rows and the aggregate an output judges."""
    aggregate = output.condition.attribute.aggregate
    if aggregate is None:
        raise TypeError(f"{output.condition.attribute.name} is no aggregate")
    return output.rows, aggregate


def asked_clauses(asked: Asked) -> tuple[Clause, ...]:
    """Return the clauses an output, a value or groups are made of."""
    if isinstance(asked, SomeRow):
        return (asked.clause,)
    if isinstance(asked, SomeRowOf):
        return clauses_of(asked.inside) + clauses_of(asked.outside)
    if isinstance(asked, Groups):
        return tuple(clause for rows in (asked.rows, *(own for own, _ in asked.values)) for clause in clauses_of(rows))
    return clauses_of(asked.rows)


def rows_looked_at(asked: Asked) -> tuple[Clause, ...]:
    """Return clauses one of which every row has to satisfy to make a difference to what is asked."""
    if isinstance(asked, SomeRow):
        return (asked.clause,)
    return clauses_of(asked.inside if isinstance(asked, SomeRowOf) else asked.rows)


# What an aggregate keeps of one profile, in bytes; of distinct values, what a handful of them takes.
_STATE_BYTES = {
    AggregateFunction.COUNT: 8,
    AggregateFunction.SUM: 8,
    AggregateFunction.AVERAGE: 16,
    AggregateFunction.MIN: 9,
    AggregateFunction.MAX: 9,
    AggregateFunction.COUNT_UNIQUE: 64,
    AggregateFunction.FIRST: 64,
    AggregateFunction.LAST: 64,
    AggregateFunction.ARG_MAX: 64,
    AggregateFunction.ARG_MIN: 64,
}
LIVE_BUCKETS = 5  # buckets whose state one task is taken to hold at a time
MAX_STATE_BYTES = 512 << 20  # of a task; a scan with more is read in several passes


@dataclass
class ScanBuilder:
    """Collects what is asked of one pass over the rows of a path."""

    audience: str
    table: str
    path: Path | None
    is_first_pass: bool = True
    _outputs: dict[Output, int] = field(default_factory=dict)
    _values: dict[Value, int] = field(default_factory=dict)
    _groups: dict[Groups, int] = field(default_factory=dict)
    _aggregates: set[tuple[RowSet, Aggregate]] = field(default_factory=set)

    def has_room(self, asked: Asked) -> bool:
        """Return whether something is there already, or its state fits beside the others'.

        The groups of a profile are taken to be as many as one: what they take is not known before they are read.
        """
        wanted = set(aggregates_of(asked))
        if not self._aggregates or wanted <= self._aggregates:
            return True
        functions = [aggregate.function for _, aggregate in self._aggregates | wanted]
        return sum(_STATE_BYTES[f] for f in functions) * BUCKET_SIZE * LIVE_BUCKETS <= MAX_STATE_BYTES

    def output(self, output: Output) -> int:
        """Return the number of an output, the same for equal ones."""
        self._aggregates |= aggregates_of(output)
        return self._outputs.setdefault(output, len(self._outputs))

    def value(self, value: Value) -> int:
        """Return the number of a value, the same for equal ones."""
        self._aggregates |= aggregates_of(value)
        return self._values.setdefault(value, len(self._values))

    def groups(self, groups: Groups) -> int:
        """Return the number of groups, the same for equal ones."""
        self._aggregates |= aggregates_of(groups)
        return self._groups.setdefault(groups, len(self._groups))

    def build(self) -> Scan:
        """Return the finished scan."""
        outputs, values, groups = tuple(self._outputs), tuple(self._values), tuple(self._groups)
        asked = (*outputs, *values, *groups)
        read = {attribute.whole for attribute in _judged(asked)}
        read |= {attribute.whole for _, aggregate in self._aggregates for attribute in aggregate_attributes(aggregate)}
        read |= {dimension.attribute.whole for each in groups for dimension in each.dimensions}
        columns = tuple(sorted(read, key=lambda attribute: attribute.name))
        limits = limits_of(asked, columns)
        return Scan(self.audience, self.table, self.path, columns, outputs, values, groups, limits, self.is_first_pass)


def aggregates_of(asked: Asked) -> frozenset[tuple[RowSet, Aggregate]]:
    """Return what is aggregated for an output, a value or groups, over which rows."""
    if isinstance(asked, ValueTest):
        return frozenset((aggregated(asked),))
    if isinstance(asked, Value):
        return frozenset(((asked.rows, asked.aggregate),))
    return frozenset(asked.values) if isinstance(asked, Groups) else frozenset()


def _judged(asked: Iterable[Asked]) -> tuple[Attribute, ...]:
    attributes = {condition.attribute for each in asked for clause in asked_clauses(each) for condition in clause}
    return tuple(sorted(attributes, key=lambda attribute: attribute.name))


def limits_of(asked: Iterable[Asked], columns: tuple[Attribute, ...]) -> Limits:
    """Return the hull of the rows looked at, for each time column of the table itself that bounds all of them.

    Times only: they are what tables are laid out by, so that an engine can skip files.
    """
    clauses = [clause for each in asked for clause in rows_looked_at(each)]
    own = [column for column in columns if not column.hops and column.type.family in (Family.DATE, Family.TIMESTAMP)]
    hulls = [(attribute, _hull([_accepted(clause, attribute) for clause in clauses])) for attribute in own]
    return tuple((attribute, hull) for attribute, hull in hulls if hull is not None)


def _accepted(clause: Clause, attribute: Attribute) -> Ranges:
    """Return the ranges a clause leaves to a column; everything where it may be missing."""
    accepted = Ranges(((None, None),))
    for condition in clause:
        if condition.attribute.whole == attribute and isinstance(condition.test, Ranges) and not condition.missing:
            accepted = accepted.intersection(column_ranges(condition.attribute, condition.test))
    return accepted


def _hull(accepted: list[Ranges]) -> Ranges | None:
    spans = make_ranges(tuple(span for ranges in accepted for span in ranges.spans)).spans
    if not spans or (spans[0][0] is None and spans[-1][1] is None):
        return None
    return Ranges(((spans[0][0], spans[-1][1]),))
