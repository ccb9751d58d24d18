"""Shared scans: one per path, whatever the number of rules on it.

A scan yields bitmaps, one per *output*: is there a row of the profile that ..., are there at least n rows that ...
Outputs are numbered as they are asked for, and equal ones are one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from segengine.plan.rows import Clause, RowSet, clauses_of
from segengine.project.date_parts import column_ranges
from segengine.project.model import Aggregate, AggregateFunction, Attribute, Condition, Path
from segengine.project.types import Family
from segengine.project.values import Ranges, make_ranges

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
class Scan:
    """What one pass over the rows of a path yields.

    `path` is None for the profiles themselves (one row each). `columns` are the attributes read, each once whatever its
    parts; a kernel column is named by its place (`c0`, `c1`, ...). `limits` are ranges outside of which no output looks
    at a row, per attribute of the table itself.
    """

    audience: str
    table: str
    path: Path | None
    columns: tuple[Attribute, ...]
    outputs: tuple[Output, ...]
    limits: Limits = ()
    is_first_pass: bool = True

    @property
    def name(self) -> str:
        """The scan for people."""
        return self.path.name if self.path else self.table

    @property
    def aggregates(self) -> tuple[tuple[RowSet, Aggregate], ...]:
        """Return what is aggregated over which rows, each once."""
        found = [aggregated(output) for output in self.outputs if isinstance(output, ValueTest)]
        return tuple(dict.fromkeys(found))

    @property
    def judged(self) -> tuple[Attribute, ...]:
        """The attributes that conditions on rows are about: columns and their parts."""
        return _judged(self.outputs)

    def column_name(self, attribute: Attribute) -> str:
        """Return the kernel's name of the column an attribute is read from."""
        return f"c{self.columns.index(attribute.whole)}"


def aggregated(output: ValueTest) -> tuple[RowSet, Aggregate]:
    """Return the rows and the aggregate an output judges."""
    aggregate = output.condition.attribute.aggregate
    if aggregate is None:
        raise TypeError(f"{output.condition.attribute.name} is no aggregate")
    return output.rows, aggregate


def output_row_sets(output: Output) -> tuple[Clause, ...]:
    """Return the clauses an output is made of."""
    if isinstance(output, SomeRow):
        return (output.clause,)
    if isinstance(output, SomeRowOf):
        return clauses_of(output.inside) + clauses_of(output.outside)
    return clauses_of(output.rows)


def rows_looked_at(output: Output) -> tuple[Clause, ...]:
    """Return clauses one of which every row has to satisfy to make a difference to an output."""
    if isinstance(output, SomeRow):
        return (output.clause,)
    return clauses_of(output.inside if isinstance(output, SomeRowOf) else output.rows)


# What an aggregate keeps of one profile, in bytes; of distinct values, what a handful of them takes.
_STATE_BYTES = {
    AggregateFunction.SUM: 8,
    AggregateFunction.AVERAGE: 16,
    AggregateFunction.MIN: 9,
    AggregateFunction.MAX: 9,
    AggregateFunction.COUNT_UNIQUE: 64,
}
LIVE_BUCKETS = 5  # buckets whose state one task is taken to hold at a time
MAX_STATE_BYTES = 512 << 20  # of a task; a scan with more is read in several passes


@dataclass
class ScanBuilder:
    """Collects the outputs asked of one pass over the rows of a path."""

    audience: str
    table: str
    path: Path | None
    is_first_pass: bool = True
    _outputs: dict[Output, int] = field(default_factory=dict)
    _aggregates: set[tuple[RowSet, Aggregate]] = field(default_factory=set)

    def has_room(self, output: Output) -> bool:
        """Return whether an output is there already, or its state fits beside the others'."""
        if output in self._outputs or not isinstance(output, ValueTest) or not self._aggregates:
            return True
        functions = [aggregate.function for _, aggregate in self._aggregates | {aggregated(output)}]
        return sum(_STATE_BYTES[f] for f in functions) * BUCKET_SIZE * LIVE_BUCKETS <= MAX_STATE_BYTES

    def output(self, output: Output) -> int:
        """Return the number of an output, the same for equal ones."""
        if isinstance(output, ValueTest):
            self._aggregates.add(aggregated(output))
        return self._outputs.setdefault(output, len(self._outputs))

    def build(self) -> Scan:
        """Return the finished scan."""
        outputs = tuple(self._outputs)
        whole = {attribute.whole for attribute in _judged(outputs)}
        whole |= {aggregate.of for _, aggregate in self._aggregates}
        columns = tuple(sorted(whole, key=lambda attribute: attribute.name))
        limits = limits_of(outputs, columns)
        return Scan(self.audience, self.table, self.path, columns, outputs, limits, self.is_first_pass)


def _judged(outputs: tuple[Output, ...]) -> tuple[Attribute, ...]:
    attributes = {c.attribute for output in outputs for clause in output_row_sets(output) for c in clause}
    return tuple(sorted(attributes, key=lambda attribute: attribute.name))


def limits_of(outputs: tuple[Output, ...], columns: tuple[Attribute, ...]) -> Limits:
    """Return the hull of what the outputs look at, for each time column of the table itself that bounds all of them.

    Times only: they are what tables are laid out by, so that an engine can skip files.
    """
    clauses = [clause for output in outputs for clause in rows_looked_at(output)]
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
