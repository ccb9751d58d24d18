"""Analyses: definitions whose result is an answer to a question about profiles, not members or values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from segengine.errors import Place
from segengine.project.measure import Measure
from segengine.project.model import ModelField, Segment, SegmentType, State
from segengine.project.names import make_output_table
from segengine.project.schedule import Schedule

HIDDEN = "@"
"""How the ids of hidden segments and measures begin: no slug does, so nobody's definition has such an id."""

MOST_OVERLAPPING = 64
"""Segments of one overlap: which of them a profile is in is told by the bits of one word."""

DimensionName = Literal["recency", "frequency", "monetary", "duration"]


@dataclass(frozen=True)
class TargetQuestion:
    """Which groups have another average of a target, or share of one of its values.

    `of`: the segment (id) whose members are looked at, '' everyone.
    """

    target: ModelField
    influences: tuple[ModelField, ...]
    of: str

    @property
    def fields(self) -> tuple[ModelField, ...]:
        """What is looked at of the profiles."""
        return (self.target, *self.influences)

    @property
    def segments(self) -> tuple[str, ...]:
        """The ids of the segments it is about."""
        return (self.of,) if self.of else ()


@dataclass(frozen=True)
class ActivityQuestion:
    """Which groups customers make by how recently, often and much (or long) they did something.

    `figures`: a measure that nothing else sees, of each profile: the value `frequency` and those of the other
    `dimensions` and of what groups are ranked by. `of`: the segment (id) whose members are looked at, '' everyone.
    """

    activity: str
    dimensions: tuple[DimensionName, ...]
    figures: Measure
    of: str

    @property
    def fields(self) -> tuple[ModelField, ...]:
        """What is looked at of the profiles, beside the figures: nothing."""
        return ()

    @property
    def segments(self) -> tuple[str, ...]:
        """The ids of the segments it is about."""
        return (self.of,) if self.of else ()


@dataclass(frozen=True)
class DifferenceQuestion:
    """What tells the members of one segment (id) from those of another, '' from everyone else.

    `is_every_field`: the fields were not chosen, they are all there are but keys.
    """

    of: str
    against: str
    fields: tuple[ModelField, ...]
    is_every_field: bool = False

    @property
    def segments(self) -> tuple[str, ...]:
        """The ids of the segments it is about."""
        return (self.of, self.against) if self.against else (self.of,)


@dataclass(frozen=True)
class OverlapQuestion:
    """Which profiles segments (ids) share, in all and by the values of fields."""

    segments: tuple[str, ...]
    fields: tuple[ModelField, ...]


Question = TargetQuestion | ActivityQuestion | DifferenceQuestion | OverlapQuestion
AnalysisKind = Literal["suggestion", "insight"]


@dataclass(frozen=True)
class Analysis:
    """A suggestion or an insight: a question about the profiles of an audience, answered by each refresh.

    `type`: a static one is answered when a refresh names it. `state`, `exempt_from_deactivation`, `schedule`: as of
    segments.
    """

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    audience: str
    question: Question
    type: SegmentType = "dynamic"
    state: State = "active"
    exempt_from_deactivation: bool = False
    schedule: Schedule | None = None
    place: Place = field(default=Place(), compare=False)

    @property
    def kind(self) -> AnalysisKind:
        """What its definition is called."""
        return "suggestion" if isinstance(self.question, TargetQuestion | ActivityQuestion) else "insight"

    @property
    def output_table(self) -> str:
        """The name of the table that what an insight found is written to."""
        return make_output_table(self.name) or make_output_table(self.id)

    @property
    def figures(self) -> Measure | None:
        """The measure that nothing else sees, where its question is about an activity."""
        return self.question.figures if isinstance(self.question, ActivityQuestion) else None


def owner_of(identity: str) -> str:
    """Return the id of the analysis that has a hidden measure, or of what anybody else's measure is its own id."""
    return identity.removeprefix(HIDDEN)


Evaluated = Segment | Measure | Analysis
"""What a refresh evaluates."""
