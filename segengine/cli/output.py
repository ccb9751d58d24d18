"""Printing results: tables for people, JSON, YAML and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from segengine.cli.layout import fit_columns, measure_cells
from segengine.report.lines import show_share as show_known_share

if TYPE_CHECKING:
    from segengine.operations.segments import OutlineLine
    from segengine.project.measure import Measure
    from segengine.project.usage import User
    from segengine.store.runs import AnyRun

SCHEMA_VERSION = 1
_PIPE_WIDTH = 200
_EDGES = 2


@dataclass(frozen=True)
class Column:
    """One column of a listing: its key in the rows, its header, and how a value is shown in a table.

    `optional`: it is left out where a terminal is too narrow for all columns.
    """

    key: str
    header: str
    show: Callable[[Any], str] = lambda value: "" if value is None else str(value)
    right: bool = False
    optional: bool = False


def emit_rows(output: str, name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    """Print rows in the chosen format; JSON and YAML hold every key under `name`, a table the columns."""
    if output == "table":
        print_table(rows, columns)
    elif output == "csv":
        emit_csv([dict(row) for row in rows])
    else:
        emit_document(output, {name: list(rows)})


def emit_document(output: str, document: Mapping[str, Any]) -> None:
    """Print a JSON or YAML document with its schema version."""
    content = {"schema_version": SCHEMA_VERSION, **document}
    text = json.dumps(content, default=_plain, indent=2, ensure_ascii=False)
    if output == "yaml":
        import yaml

        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True).rstrip()
    click.echo(text)


def emit_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV with a header; nested values as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0].keys())
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    click.echo(text.getvalue(), nl=False)


def _cell(value: Any) -> Any:
    return json.dumps(value, default=_plain) if isinstance(value, list | dict | tuple) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal | date):
        return show_value(value)
    return str(value) if isinstance(value, Path) else value


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    """Print rows as a table that fits the terminal; a pipe gets full width and no colour."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if is_terminal else _PIPE_WIDTH, highlight=False)
    texts = [[column.header, *(column.show(row.get(column.key)) for row in rows)] for column in columns]
    cells = [
        measure_cells(text, optional=is_terminal and column.optional)
        for text, column in zip(texts, columns, strict=True)
    ]
    layout = fit_columns(cells, console.width - _EDGES)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, layout.gap - 2, 0, 1))
    for place, width in layout.widths.items():
        column = columns[place]
        table.add_column(column.header, justify="right" if column.right else "left", overflow="fold", width=width)
    for number in range(1, len(rows) + 1):
        table.add_row(*[Text(texts[place][number]) for place in layout.widths])
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
    left_out = [column.header for place, column in enumerate(columns) if place not in layout.widths]
    if left_out:
        click.echo(f"no room for {', '.join(left_out)}: a wider terminal or -o json has them", err=True)


def print_outline(lines: Sequence[OutlineLine]) -> None:
    """Print rules as a tree, with the profiles that satisfy each line and what the rules so far leave."""
    rows = [{"rule": "  " * line.depth + line.text, "count": line.count, "total": line.total} for line in lines]
    columns = [Column("rule", "rule"), Column("count", "profiles", show_count, right=True)]
    if any(line.total is not None for line in lines):
        columns.append(Column("total", "running total", show_count, right=True))
    print_table(rows, columns)


def show_count(value: Any) -> str:
    """Return a number with separators, nothing for None."""
    return "" if value is None else f"{value:,}"


MEMBER_COLUMNS = (
    Column("member_count", "members", show_count, right=True),
    Column("entered_count", "entered", show_count, right=True),
    Column("left_count", "left", show_count, right=True),
)


def show_bytes(value: Any) -> str:
    """Return a number of bytes with its unit (1 kB are 1,000), nothing for None."""
    from rich.filesize import decimal

    return "" if value is None else decimal(value)


def show_value(value: Any) -> str:
    """Return a stored value for people and for CSV: decimals without trailing zeros, times in ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value).lower() if isinstance(value, bool) else str(value)


def make_value_column(name: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    """Return the column of stored values for people: numbers at the right, with as many digits after the point each."""
    values = [row[name] for row in rows if row[name] is not None]
    if not values or any(isinstance(value, bool) or not isinstance(value, int | float | Decimal) for value in values):
        return Column(name, name, show_value)
    return Column(name, name, show_numbers(values), right=True)


def show_numbers(values: Iterable[Any]) -> Callable[[Any], str]:
    """Return a function that shows a column's numbers for people: as many digits after the point each, at most 4.

    Where one of them would be 0 so, all have every digit. Whole numbers have no separators: they may be years.
    """
    exact = [Decimal(str(value)) for value in values if value is not None]
    if any(not value.is_finite() or 0 < abs(value) < Decimal("0.001") for value in exact):
        return show_value
    digits = min(4, max((-int(value.as_tuple().exponent) for value in exact), default=0))
    if digits <= 0:
        return show_value
    return lambda value: "" if value is None else f"{Decimal(str(value)):,.{digits}f}"


def plain_value(value: Any) -> Any:
    """Return a stored value for JSON: what JSON has not as the text that CSV has."""
    return value if value is None or isinstance(value, bool | int | float | str) else show_value(value)


def show_grain(measure: Measure) -> str:
    """Return what a measure has values for: the profiles' audience and its dimensions, or the business."""
    names = [*([measure.audience] if measure.per_profile else []), *(each.name for each in measure.dimensions)]
    return ", ".join(names) or "business"


def snapshot_fields(run: AnyRun, *counts: str) -> dict[str, Any]:
    """Return what documents say of a snapshot: which it is, its counts, and where it comes from."""
    names = ("snapshot_version", "as_of", "purpose", *counts, "run_id", "definition_version")
    return {name: getattr(run, name) for name in names}


def purpose_columns(snapshots: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the column that marks back-fills, where there are any."""
    is_filled = any(row["purpose"] == "back-fill" for row in snapshots)
    return [Column("purpose", "made by")] if is_filled else []


def show_users(users: Sequence[User]) -> str:
    """Return who uses a definition, with their kinds and where outside ones are found."""
    return ", ".join(f"{user.name} ({user.kind}{f', {user.link}' if user.link else ''})" for user in users)


def show_share(value: Any) -> str:
    """Return a share of 0 to 1 as per cent, nothing for None."""
    return "" if value is None else show_known_share(value)


def show_due_in(zone: str) -> Callable[[Any], str]:
    """Return a function that shows from when on something is due: `now` where that has come."""
    show_time = show_time_in(zone)
    return lambda value: "now" if value is not None and value <= datetime.now(UTC) else show_time(value)


def show_time_in(zone: str) -> Callable[[Any], str]:
    """Return a function that shows an instant in a zone, to the minute."""
    here = ZoneInfo(zone)
    return lambda value: "" if value is None else f"{value.astimezone(here):%Y-%m-%d %H:%M}"
