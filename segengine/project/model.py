"""The model of a project and its segments: frozen, typed, free of files and engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, ClassVar, Literal

from segengine.errors import Place
from segengine.project.keep import Keep
from segengine.project.nodes import Fields
from segengine.project.schedule import Schedule
from segengine.project.tracking import NO_TRACKING_SETTINGS, Tracking
from segengine.project.types import AttributeType, DatePart
from segengine.project.values import Test

if TYPE_CHECKING:
    from segengine.project.analysis import Evaluated

TableFormat = Literal["delta", "parquet", "csv"]


@dataclass(frozen=True)
class ColumnSetting:
    """What the project says of a column where the stored one is not what is meant."""

    name: str
    type: AttributeType | None = None
    source: str = ""
    label: str = ""
    zone: str = ""
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Table:
    """A source table. `location` is a path, or a catalog name where `is_catalog`."""

    name: str
    location: str
    is_catalog: bool
    format: TableFormat
    key: tuple[str, ...]
    at: str
    columns: tuple[ColumnSetting, ...]
    prediction: bool = False
    place: Place = field(default=Place(), compare=False)

    def column_setting(self, name: str) -> ColumnSetting | None:
        """Return what the project says of a column, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def stored_name(self, name: str) -> str:
        """Return the stored name of a column the project may have renamed."""
        setting = self.column_setting(name)
        return setting.source if setting and setting.source else name


@dataclass(frozen=True)
class Relationship:
    """A many-to-one (or one-to-one) link from foreign key columns to a table's key."""

    name: str
    from_table: str
    from_columns: tuple[str, ...]
    to_table: str
    one_to_one: bool = False
    place: Place = field(default=Place(), compare=False)

    def __hash__(self) -> int:
        """Return a hash of what tells a project's relationships apart: attributes are hashed often, with their hops."""
        return hash((self.from_table, self.name))


@dataclass(frozen=True)
class AccountLink:
    """The audience a profile's account is of, and the relationship that leads from the profile to it."""

    audience: str
    relationship: Relationship


@dataclass(frozen=True)
class Audience:
    """A kind of profile and its table; `account` is there where its profiles belong to those of another audience."""

    name: str
    table: str
    account: AccountLink | None = None
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Activity:
    """What the rows of a table say that somebody did: the columns that templates of measures ask for, '' where none.

    `at`: when it happened; `start`, `end`: from when to when it lasted; `amount`: what it was worth; `earned`,
    `redeemed`: loyalty points.
    """

    name: str
    table: str
    at: str = ""
    amount: str = ""
    start: str = ""
    end: str = ""
    earned: str = ""
    redeemed: str = ""
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Settings:
    """The project file after its environment's overlay."""

    project: str
    root: FilePath
    time_zone: str
    warehouse: str
    definitions: str
    engine: str
    tables: Mapping[str, Table]
    relationships: tuple[Relationship, ...]
    audiences: Mapping[str, Audience]
    environment: str = ""
    activities: Mapping[str, Activity] = field(default_factory=dict)
    schedule: Schedule | None = None
    keep: Keep | None = None
    suppress_key: str = ""
    tracking: Tracking = NO_TRACKING_SETTINGS

    def relationships_from(self, table: str) -> list[Relationship]:
        """Return the many-to-one links that start at a table."""
        return [link for link in self.relationships if link.from_table == table]

    def account_of(self, audience: str) -> Audience | None:
        """Return the audience of the accounts that an audience's profiles belong to, or None."""
        link = self.audiences[audience].account
        return self.audiences[link.audience] if link else None

    @property
    def is_catalog_warehouse(self) -> bool:
        """Whether results go to `catalog.schema` rather than to a path."""
        return "/" not in self.warehouse and "\\" not in self.warehouse and "." in self.warehouse

    @property
    def warehouse_location(self) -> str:
        """The warehouse as the engine needs it: an absolute path, a URL or `catalog.schema`."""
        if self.is_catalog_warehouse or "://" in self.warehouse:
            return self.warehouse.rstrip("/")
        return str((self.root / self.warehouse).resolve())

    def schedule_of(self, definition: Evaluated) -> Schedule | None:
        """Return when a definition is to be refreshed: its own schedule, or the project's; None: when asked."""
        return None if definition.type == "static" else definition.schedule or self.schedule

    def table_location(self, table: Table) -> str:
        """A table's location as the engine needs it: an absolute path, a URL or a catalog name."""
        if table.is_catalog or "://" in table.location:
            return table.location
        return str((self.root / table.location).resolve())


@dataclass(frozen=True)
class Schema:
    """The columns and types of every table, from `schema.lock.yml` and the project file."""

    columns: Mapping[str, Mapping[str, AttributeType]]
    stored: Mapping[str, Mapping[str, str]]


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


@dataclass(frozen=True)
class Condition:
    """One attribute judged: the values accepted, and whether a missing value passes.

    `about_missing`: the condition is `empty`, whose negation flips both; every other one is false on missing.
    """

    attribute: Attribute
    test: Test
    missing: bool = False
    about_missing: bool = False
    place: Place = field(default=Place(), compare=False)
    text: str = field(default="", compare=False)

    def negated(self) -> Condition:
        """Return the condition `not` makes of this one."""
        missing = (not self.missing) if self.about_missing else False
        text = self.text.removeprefix("not ") if self.text.startswith("not ") else f"not {self.text}"
        return Condition(self.attribute, self.test.complement(), missing, self.about_missing, self.place, text)


@dataclass(frozen=True)
class All:
    """Every item holds."""

    items: tuple[Expression, ...]
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class AnyOf:
    """At least one item holds."""

    items: tuple[Expression, ...]
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Not:
    """The item does not hold; moves inward to the conditions (`Condition.negated`)."""

    item: Expression
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class InSegment:
    """The profile is a member of another segment; true or false, never missing."""

    segment_id: str
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Everyone:
    """Every profile."""

    place: Place = field(default=Place(), compare=False)


Expression = Condition | All | AnyOf | Not | InSegment | Everyone


class Quantifier(StrEnum):
    """How many rows must satisfy a rule over rows."""

    ANY = "any"
    ALL = "all"
    NONE = "none"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EXACTLY = "exactly"


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
class ProfileRule:
    """Conditions on the profile itself."""

    where: Expression
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class RowsRule:
    """Conditions on the rows of one path; `among` None: all rows, `where` None: every row satisfies.

    `aggregates`: instead of the quantifier, conditions on aggregates over the rows that satisfy.
    """

    path: Path
    quantifier: Quantifier
    count: int
    among: Expression | None
    where: Expression | None
    aggregates: Expression | None = None
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Brackets:
    """A bracketed list of steps."""

    steps: tuple[Step, ...]
    place: Place = field(default=Place(), compare=False)


Rule = ProfileRule | RowsRule | Brackets
SetOperator = Literal["union", "intersect", "except"]


@dataclass(frozen=True)
class Step:
    """One rule and how it joins what stands before it (the first: `union` with nobody)."""

    operator: SetOperator
    rule: Rule


@dataclass(frozen=True)
class Definition:
    """A definition as written: its fields as text with places."""

    kind: str
    id: str
    name: str
    fields: Fields
    origin: str

    @property
    def place(self) -> Place:
        """Where the definition begins."""
        return self.fields.place


@dataclass(frozen=True)
class Attachment:
    """Attributes of the rows of one path in a segment's output table: a column of structs.

    `key` tells a member's rows apart and orders them; the other `attributes` follow it.
    """

    name: str
    path: Path
    key: tuple[Attribute, ...]
    attributes: tuple[Attribute, ...]
    place: Place = field(default=Place(), compare=False)

    @property
    def truncated_name(self) -> str:
        """The column that says whether a member has more rows than the limit."""
        return f"{self.name}_truncated"

    @property
    def fields(self) -> tuple[tuple[str, Attribute], ...]:
        """The structs' fields, key first, each attribute once: `product.category` is field `product_category`."""
        attributes = dict.fromkeys((*self.key, *self.attributes))
        return tuple((attribute.name.replace(".", "_"), attribute) for attribute in attributes)


@dataclass(frozen=True)
class ModelField:
    """What a model looks at, by the name it was given: an attribute of the profiles, or membership in a segment."""

    name: str
    source: Attribute | InSegment

    @property
    def asked(self) -> Attribute | str:
        """What is asked of each profile: the attribute's value, or whether it is in the segment of that id."""
        return self.source.segment_id if isinstance(self.source, InSegment) else self.source

    @property
    def parent(self) -> str:
        """The id of the measure or segment it is taken from, '' of an attribute."""
        return self.source.segment_id if isinstance(self.source, InSegment) else self.source.measure


@dataclass(frozen=True)
class Expansion:
    """How a segment of similar customers is found: those most like the members of `source` (a segment's id).

    `fields`: what they are compared by; `is_recommended`: all there is, of which the model takes what tells something.
    `candidates`: the segment they are chosen from, '' everyone. `size`: at most so many, to 1 as a share of the
    audience. `minimum_score`: 0.4 to 1.
    """

    source: str
    fields: tuple[ModelField, ...]
    is_recommended: bool
    candidates: str
    size: Decimal
    include_source: bool
    minimum_score: Decimal


SegmentType = Literal["dynamic", "static"]
State = Literal["active", "inactive", "draft"]


@dataclass(frozen=True)
class Gates:
    """What a result has to be to become current at once; else it is held back.

    Shares are of the members of the snapshot compared with: without one, or with an empty one, they ask for nothing.
    """

    change_at_most: Decimal | None = None
    churn_at_most: Decimal | None = None
    not_empty: bool = False
    at_least: int = 0
    sources_not_empty: bool = False
    sources_not_older_than: timedelta | None = None


NO_GATES = Gates()


@dataclass(frozen=True)
class Segment:
    """A segment whose names are resolved and whose values are typed.

    Its members are those its `steps` find, or (it has none then) its `expansion`. `state`: only active ones are
    refreshed. `exempt_from_deactivation`: stays active however long nobody uses it. `schedule` None: the project's.
    """

    kind: ClassVar[str] = "segment"

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    audience: str
    type: SegmentType
    output_table: str
    steps: tuple[Step, ...]
    attach: tuple[Attachment, ...]
    attach_limit: int
    state: State = "active"
    exempt_from_deactivation: bool = False
    gates: Gates = NO_GATES
    schedule: Schedule | None = None
    expansion: Expansion | None = None
    place: Place = field(default=Place(), compare=False)


DimensionPeriod = Literal["day", "week", "month", "quarter", "year"]


@dataclass(frozen=True)
class Dimension:
    """What the values of a measure are told apart by; of a date or time its part, or the first day of its `period`.

    A missing value is one of its own. `type` is the type of what is stored: of a period a date.
    """

    name: str
    attribute: Attribute
    type: AttributeType
    period: DimensionPeriod | None = None


@dataclass(frozen=True)
class MeasureValue:
    """One value of a measure: an aggregate over its rows, or an expression over other values.

    `where`: of the measure's rows those that count for this value. `if_missing`: what stands for a missing value, of
    the value's type; applied last. `is_helper`: other values are worked out from it, nothing else sees it (templates).
    """

    name: str
    type: AttributeType
    source: Aggregate | Operand
    where: Expression | None = None
    if_missing: str | None = None
    is_helper: bool = False
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Measure:
    """A measure whose names are resolved.

    `audience`: whose profiles it has values for, or (a business measure: not `per_profile`) whose conditions its rows
    may be filtered by. `dimensions`: by what else its values are told apart. Its rows are those of `path` (of a
    business measure: all rows of its table), or the groups of another measure of the profile, `over`; without either
    all values are expressions. `state`, `exempt_from_deactivation`, `schedule`: as of segments.
    """

    kind: ClassVar[str] = "measure"
    type: ClassVar[SegmentType] = "dynamic"

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    audience: str
    per_profile: bool
    dimensions: tuple[Dimension, ...]
    path: Path | None
    over: str
    where: Expression | None
    values: tuple[MeasureValue, ...]
    state: State = "active"
    exempt_from_deactivation: bool = False
    schedule: Schedule | None = None
    place: Place = field(default=Place(), compare=False)

    @property
    def is_attribute(self) -> bool:
        """Whether it gives every profile one value for each of its names: attributes like those of the table."""
        return self.per_profile and not self.dimensions

    @property
    def is_total(self) -> bool:
        """Whether it has one row alone: a business measure without dimensions."""
        return not self.per_profile and not self.dimensions

    @property
    def shown_values(self) -> tuple[MeasureValue, ...]:
        """The values that are kept: all but helpers."""
        return tuple(value for value in self.values if not value.is_helper)

    def column(self, value: MeasureValue) -> str:
        """Return what conditions call one of its values: the measure's name, of several `name.value`."""
        return self.name if len(self.shown_values) == 1 else f"{self.name}.{value.name}"


@dataclass(frozen=True)
class Consumer:
    """Somebody outside who uses segments or measures (`uses`: their ids); `link`: where to find them, '' unknown."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    uses: tuple[str, ...]
    link: str
    place: Place = field(default=Place(), compare=False)
