"""Printing the project's tables, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.output import Column, print_table

if TYPE_CHECKING:
    from segengine.operations.describe_tables import ColumnView, TableView
    from segengine.project.ways import Way

_LONGEST_SAMPLE = 24


def table_document(view: TableView) -> dict[str, Any]:
    """Return a table as plain values."""
    return {
        "table": view.name,
        "audiences": list(view.audiences),
        "key": list(view.key),
        "prediction": view.is_prediction,
        "relationships": dict(view.relationships),
        "ways": [{**vars(way), "example": way.name(_example(view))} for way in view.ways],
        "columns": [
            {
                "name": column.name,
                "in_rules": _written(view, column),
                "type": str(column.type),
                "label": column.label,
                "usable": column.usable,
                "samples": list(column.samples),
            }
            for column in view.columns
        ],
    }


def column_lines(view: TableView) -> list[dict[str, Any]]:
    """Return a table's columns as lines."""
    over = view.ways[0].over if view.ways else ""
    return [
        {
            "table": view.name,
            "column": column.name,
            "in_rules": _written(view, column),
            "over": over,
            "type": str(column.type),
            "label": column.label,
            "samples": list(column.samples),
        }
        for column in view.columns
    ]


def show_table(view: TableView, several_audiences: bool) -> None:
    """Print a table: what it is, what its columns are called in rules, and the columns."""
    click.echo(f"{view.name}: {_describe(view)}")
    for line in _naming(view, several_audiences):
        click.echo(f"  {line}")
    if view.relationships:
        links = ", ".join(f"{name} -> {table}" for name, table in view.relationships.items())
        click.echo(f"  looks up: {links}")
    rows = [
        {
            "name": _written(view, column) or column.name,
            "type": str(column.type) if column.usable else f"{column.type}: not for rules",
            "label": column.label,
            "samples": ", ".join(map(_shorten, column.samples)),
        }
        for column in view.columns
    ]
    columns = [Column("name", "in rules"), Column("type", "type")]
    if any(row["label"] for row in rows):
        columns.append(Column("label", "label"))
    if any(row["samples"] for row in rows):
        columns.append(Column("samples", "for example"))
    print_table(rows, columns)


def operator_document(views: Sequence[TableView]) -> dict[str, list[str]]:
    """Return the operators that fit the columns of tables, by what the columns are: text, number, ..."""
    from segengine.project.operators import operators_for
    from segengine.project.types import Family

    there = {column.type.family for view in views for column in view.columns}
    families = [family for family in Family if family in there and family is not Family.UNSUPPORTED]
    return {str(family): [operator.name for operator in operators_for(family)] for family in families}


def show_operators(views: Sequence[TableView]) -> None:
    """Print which operators fit the columns of tables."""
    kinds = {"number": "number (integer, decimal, float, double)"}
    rows = [
        {"type": kinds.get(family, family), "names": ", ".join(names)}
        for family, names in operator_document(views).items()
    ]
    print_table(rows, [Column("type", "type"), Column("names", "operators")])


def _describe(view: TableView) -> str:
    key = ", ".join(view.key)
    if view.audiences:
        return f"the profiles of audience {', '.join(view.audiences)}, one row for each {key}"
    if view.is_prediction:
        return f"predictions, one row for each {key}"
    return f"one row for each {key}"


def _naming(view: TableView, several_audiences: bool) -> list[str]:
    """Return how rules name a column of the table, with one for example: on the profile, then over rows."""
    if not view.ways:
        return ["no relationship leads from here to a profile, or from a profile here"]
    example = _example(view)
    names = [_of(way, way.name(example), several_audiences) for way in view.ways if not way.over]
    lines = [f"on the profile: {', '.join(dict.fromkeys(names))}"] if names else []
    rows = [way for way in view.ways if way.over]
    audiences: dict[str, list[str]] = {}
    for audience in dict.fromkeys(way.audience for way in rows if not way.prefix):
        vias = [way.via for way in rows if not way.prefix and way.audience == audience]
        audiences.setdefault(f", via: {' or '.join(vias)}" if vias[0] else "", []).append(audience)
    for via, named in audiences.items():
        whose = f" ({', '.join(named)})" if several_audiences else ""
        lines.append(f"on rows: {example} with over: {view.name}{via}{whose}")
    overs: dict[str, list[str]] = {}
    for way in rows:
        if way.prefix and way.over not in overs.setdefault(way.prefix, []):
            overs[way.prefix].append(way.over)
    looked_up = [f"{prefix}{example} with over: {' or '.join(tables)}" for prefix, tables in overs.items()]
    return [*lines, *([f"on rows: {'; '.join(looked_up)}"] if looked_up else [])]


def _of(way: Way, text: str, several_audiences: bool) -> str:
    return f"{text} ({way.audience})" if several_audiences else text


def _example(view: TableView) -> str:
    """Return a column to show names with: the first that rules can use and that is no key."""
    keys = {*view.key, *(f"{name}_id" for name in view.relationships)}
    usable = [column.name for column in view.columns if column.usable]
    return next((name for name in usable if name not in keys), usable[0] if usable else "COLUMN")


def _written(view: TableView, column: ColumnView) -> str:
    """Return a column as the shortest rule writes it; '' where none can."""
    return view.ways[0].name(column.name) if view.ways and column.usable else ""


def _shorten(value: str) -> str:
    shown = " ".join(value.split())
    return shown if len(shown) <= _LONGEST_SAMPLE else shown[: _LONGEST_SAMPLE - 3].rstrip() + "..."
