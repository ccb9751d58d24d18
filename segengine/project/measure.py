"""A measure: the values that profiles, or the business, have beside their attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from segengine.errors import Place
from segengine.project.attributes import Aggregate, Attribute, Operand, Path
from segengine.project.model import Expression, SegmentType, State
from segengine.project.schedule import Schedule
from segengine.project.types import AttributeType

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
