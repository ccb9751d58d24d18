"""What is asked of rows: paths, attributes, aggregates of them, and arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from segengine.project.project_file import Relationship
from segengine.project.types import AttributeType, DatePart


@dataclass(frozen=True)
class Hop:
    """One step along a relationship; `reverse`: from its key to its foreign key."""

    relationship: Relationship
    reverse: bool = False

    @property
    def target(self) -> str:
        """The table this hop arrives at."""
        return self.relationship.from_table if self.reverse else self.relationship.to_table

    @property
    def name(self) -> str:
        """The step as attributes name it: the relationship, in reverse the table it arrives at."""
        return self.relationship.from_table if self.reverse else self.relationship.name

    @property
    def multiplies(self) -> bool:
        """Whether one row may become several: from one to many."""
        return self.reverse and not self.relationship.one_to_one

    def __str__(self) -> str:
        """Return the hop as `via` has it."""
        return f"{{back: {self.relationship.from_table}.{self.relationship.name}}}" if self.multiplies else self.name


@dataclass(frozen=True)
class Path:
    """From the rows of a table to the profile.

    Where a hop leads from one to many, a row is one joined row: its key is that of `over` and of the tables so reached.
    """

    over: str
    hops: tuple[Hop, ...]

    @property
    def name(self) -> str:
        """The path for people: `purchases > customer`; from one to many `purchases > store < customers.home_store`."""
        return self.over + "".join(
            f" < {hop.target}.{hop.relationship.name}" if hop.multiplies else f" > {hop.name}" for hop in self.hops
        )

    @property
    def via(self) -> str:
        """The hops as a rule's `via` has them."""
        return f"[{', '.join(map(str, self.hops))}]"

    @property
    def multiplies(self) -> bool:
        """Whether one row of `over` may become several."""
        return any(hop.multiplies for hop in self.hops)

    @property
    def target(self) -> str:
        """The table at its end: the profiles' own, or that of their accounts; without hops the rows' own."""
        return self.hops[-1].target if self.hops else self.over


@dataclass(frozen=True)
class Attribute:
    """A column seen from the rows of a base table, behind hops to one row each: of their path, or look-ups.

    `aggregate`: instead of the column itself, what an aggregate makes of its values over the rows of a rule. `part`: of
    its dates or times a part only. `type` is what conditions compare with: the aggregate's, or a whole number.
    `measure`: the id of the measure whose value `column` is; the base is then the profiles' table, or (rows of a
    measure with dimensions) the measure itself.
    """

    base: str
    hops: tuple[Hop, ...]
    column: str
    type: AttributeType
    aggregate: Aggregate | None = None
    part: DatePart | None = None
    measure: str = ""

    @property
    def name(self) -> str:
        """The attribute as users write it: `product.category`; `purchased_at month_of`, `sum of total_price`."""
        name = ".".join((*(hop.name for hop in self.hops), self.column))
        name = f"{self.aggregate.function} of {name}" if self.aggregate else name
        return f"{name} {self.part.name}" if self.part else name

    @property
    def whole(self) -> Attribute:
        """The column (or aggregate) this is a part of, or itself."""
        return self if self.part is None else replace(self, type=self.part.of, part=None)


class AggregateFunction(StrEnum):
    """What an aggregate makes of the values of an attribute, missing ones skipped; `count` without one: of the rows."""

    COUNT_UNIQUE = "count_unique"
    SUM = "sum"
    AVERAGE = "average"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"
    ARG_MAX = "arg_max"
    ARG_MIN = "arg_min"


@dataclass(frozen=True)
class Number:
    """A number in an expression, as an unscaled whole number at the scale of its type."""

    unscaled: int
    type: AttributeType


@dataclass(frozen=True)
class AsOf:
    """The instant of the run, in an expression; its type is a timestamp."""

    type: AttributeType


@dataclass(frozen=True)
class ValueOf:
    """Another value of the same measure, in an expression."""

    value: str
    type: AttributeType


ArithmeticOperator = Literal["+", "-", "*", "/"]


@dataclass(frozen=True)
class Arithmetic:
    """Two operands joined: numbers exactly, of dates and times the difference in local days.

    A missing operand gives missing, so does a division by zero. `type` is a decimal of 38 digits, its scale the larger
    one (+ -), the sum (*) or the larger one and six more, rounded half to even (/); days are integers.
    """

    operator: ArithmeticOperator
    left: Operand
    right: Operand
    type: AttributeType


Operand = Attribute | Number | AsOf | ValueOf | Arithmetic


@dataclass(frozen=True)
class Aggregate:
    """A function over an attribute of the rows, or over arithmetic on each of them (None: the rows themselves).

    `by`: what first, last, arg_max and arg_min are ordered by; `key` tells the rows apart where that is equal.
    """

    function: AggregateFunction
    of: Attribute | Arithmetic | None
    by: Attribute | None = None
    key: tuple[Attribute, ...] = ()
