"""What insights found as rows of plain values: for tables that other tools read, for files, for MLflow."""

from __future__ import annotations

from collections.abc import Mapping

from segengine.models.cells import describe_cell
from segengine.models.differentiators import Difference, Differentiators
from segengine.models.insights import Insight
from segengine.models.overlap import Overlap

DIFFERENTIATORS = (
    "field string, value string, of_count bigint, against_count bigint, of_share double, against_share double, "
    "score double, low double, high double, is_significant boolean, direction string, note string"
)
OVERLAP = "field string, value string, segments string, profile_count bigint, share double"

Row = Mapping[str, object]


def list_rows(result: Insight, zone: str) -> list[Row]:
    """Return what an insight found as rows; values of fields are texts.

    Of differentiators (columns `DIFFERENTIATORS`) a row for each value of each field, those that differ most first.
    Of an overlap (`OVERLAP`) a row for each combination of segments, then the same for each value of each field;
    shares are of the profiles in any of the segments.
    """
    return _list_values(result, zone) if isinstance(result, Differentiators) else _list_combinations(result, zone)


def list_differences(result: Differentiators) -> list[Row]:
    """Return a row for each field."""
    return [_describe(one) for one in result.differences]


def _list_values(result: Differentiators, zone: str) -> list[Row]:
    score_columns = ("score", "low", "high", "is_significant", "direction", "note")
    return [
        {
            "field": one.field,
            "value": describe_cell(cell.cell, one.type, zone),
            "of_count": cell.of_count,
            "against_count": cell.against_count,
            "of_share": cell.of_share,
            "against_share": cell.against_share,
            **{name: getattr(one, name) for name in score_columns},
        }
        for one in result.differences
        for cell in one.cells
    ]


def _describe(one: Difference) -> Row:
    columns = (
        *("field", "score", "low", "high", "p_value", "is_significant", "direction", "shift"),
        *("of_average", "against_average", "note"),
    )
    return {name: getattr(one, name) for name in columns}


def _list_combinations(result: Overlap, zone: str) -> list[Row]:
    names = [" + ".join(one.segments) for one in result.combinations]
    rows: list[Row] = [
        {"field": None, "value": None, "segments": name, "profile_count": one.count, "share": one.share}
        for name, one in zip(names, result.combinations, strict=True)
    ]
    for field in result.fields:
        for value in field.values:
            shown = {"field": field.field, "value": describe_cell(value.cell, field.type, zone)}
            rows += [
                {**shown, "segments": name, "profile_count": count, "share": count / max(value.union_count, 1)}
                for name, count in zip(names, value.counts, strict=True)
            ]
    return rows
