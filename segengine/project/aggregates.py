"""Aggregates: the types they take and give; over the rows of a rule seen as attributes of the profile."""

from __future__ import annotations

from dataclasses import replace

from segengine.project.attributes import Aggregate, AggregateFunction, Attribute
from segengine.project.measure_names import Base, MeasureNames, find_row_attribute
from segengine.project.paths import Unresolved
from segengine.project.project_file import Schema, Settings
from segengine.project.types import AttributeType, Family

FLOAT_SCALE = 9  # digits after the point at which a float enters sums and averages
QUOTIENT_SCALE = 6  # digits an average has beyond its values
MAX_PRECISION = 38
ZERO_OF_NOTHING = frozenset({AggregateFunction.SUM, AggregateFunction.COUNT, AggregateFunction.COUNT_UNIQUE})

AGGREGATE_SUMMARIES = {
    AggregateFunction.COUNT_UNIQUE: "How many distinct values the rows that satisfy have",
    AggregateFunction.SUM: "The sum over the rows that satisfy; 0 where there is none",
    AggregateFunction.AVERAGE: "The average over the rows that satisfy; missing where there is none",
    AggregateFunction.MIN: "The smallest (earliest) value of the rows that satisfy; missing where there is none",
    AggregateFunction.MAX: "The largest (latest) value of the rows that satisfy; missing where there is none",
}
"""The aggregates that rules know; measures know the others too."""

PICK_SUMMARIES = {
    AggregateFunction.FIRST: "The value of the row that is first by `by`",
    AggregateFunction.LAST: "The value of the row that is last by `by`",
    AggregateFunction.ARG_MAX: "The value of the row with the largest `by`",
    AggregateFunction.ARG_MIN: "The value of the row with the smallest `by`",
}
ORDERED = frozenset({Family.NUMBER, Family.DATE, Family.TIMESTAMP})
_EVERY = frozenset(Family) - {Family.UNSUPPORTED}
_FITTING = {
    **dict.fromkeys(AggregateFunction, _EVERY),
    AggregateFunction.SUM: frozenset({Family.NUMBER}),
    AggregateFunction.AVERAGE: frozenset({Family.NUMBER}),
    AggregateFunction.MIN: ORDERED,
    AggregateFunction.MAX: ORDERED,
}


def find_aggregate(
    settings: Settings,
    schema: Schema,
    base: Base,
    function: AggregateFunction,
    name: str,
    measures: MeasureNames | None = None,
) -> Attribute | Unresolved:
    """Return the aggregate of an attribute seen from a table or a path's rows, with the type of its value."""
    of = find_row_attribute(settings, schema, base, name, measures)
    if isinstance(of, Unresolved):
        return of
    if unfit := find_misfit(function, of.name, of.type):
        return unfit
    return replace(of, type=value_type(function, of.type), aggregate=Aggregate(function, of))


def find_misfit(function: AggregateFunction, name: str, type_: AttributeType) -> Unresolved | None:
    """Return why an aggregate does not take a type, or None where it does."""
    if type_.family in _FITTING[function]:
        return None
    fitting = ", ".join(family for family in Family if family in _FITTING[function])
    message = f"`{function}` does not fit {name} ({type_})."
    return Unresolved("SEG225", message, f"It takes attributes of these types: {fitting}.")


def value_type(function: AggregateFunction, type_: AttributeType) -> AttributeType:
    """Return the type of an aggregate's value.

    Sums are exact at the scale of their values, averages have six digits more; floats enter both as decimals with nine
    digits after the point. Extremes and picked values are values of the attribute itself.
    """
    if function in (AggregateFunction.COUNT, AggregateFunction.COUNT_UNIQUE):
        return AttributeType("integer")
    if function not in (AggregateFunction.SUM, AggregateFunction.AVERAGE):
        return type_
    scale = exact_scale(type_)
    extra = QUOTIENT_SCALE if function is AggregateFunction.AVERAGE else 0
    return AttributeType("decimal", MAX_PRECISION, scale + extra)


def exact_scale(type_: AttributeType) -> int:
    """Return the digits after the point with which a number enters exact arithmetic."""
    return FLOAT_SCALE if type_.name in ("float", "double") else type_.scale
