"""Definitions: conditions, rules, segments and who uses them; frozen, typed, free of files and engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Literal

from segengine.errors import Place
from segengine.project.attributes import Attribute, Path
from segengine.project.nodes import Fields
from segengine.project.schedule import Schedule
from segengine.project.values import Test


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
