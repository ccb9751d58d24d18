"""`measures values` and `measures preview`: the values of a measure as a table, JSON or CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.log import ProgressReport
from segengine.cli.options import as_of_option, output_option, project_options, snapshot_options
from segengine.cli.output import (
    emit_document,
    make_value_column,
    plain_value,
    print_table,
    show_time_in,
    show_value,
    snapshot_fields,
)

if TYPE_CHECKING:
    from segengine.operations.measures import MeasureValues
    from segengine.store.runs import MeasureRun

_CHART_ROWS = 30
_chart_option = click.option("--chart", is_flag=True, help="Bars of the first value, of measures with few rows.")


@click.command("values")
@click.argument("name")
@_chart_option
@snapshot_options
@project_options
@output_option("table", "json", "csv")
def values_command(
    name: str,
    chart: bool,
    snapshot: int | None,
    at: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Print the values of a measure: the first 100 rows, or all with `-o csv`."""
    from segengine.operations.context import open_project, open_settings, parse_as_of
    from segengine.operations.measures import read_measure_values

    settings = open_settings(conf, environment, engine)
    moment = parse_as_of(at, settings.time_zone) if at else None
    with open_project(settings) as project:
        found = read_measure_values(project, name, limit=_limit(output), snapshot=snapshot, at=moment)
        _emit_values(found, output, chart, settings.time_zone)


@click.command("preview")
@click.argument("name")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_chart_option
@as_of_option
@project_options
@output_option("table", "json", "csv")
def preview_command(
    name: str,
    files: tuple[Path, ...],
    chart: bool,
    as_of: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Work a measure out as the definition files have it (FILES: only these), and print its values.

    Nothing is recorded or published: it shows what `apply` and `refresh` would give. The first 100 rows, or all with
    `-o csv`.
    """
    from segengine.operations.apply import plan_definitions
    from segengine.operations.context import open_project, open_settings, parse_as_of
    from segengine.operations.measure_preview import preview_measure

    settings = open_settings(conf, environment, engine)
    moment = parse_as_of(as_of, settings.time_zone) if as_of else None
    with open_project(settings) as project:
        with ProgressReport() as progress:
            plan = plan_definitions(project, files)
            found = preview_measure(project, plan, name, limit=_limit(output), as_of=moment, progress=progress)
        _emit_values(found, output, chart, settings.time_zone)


def _limit(output: str) -> int | None:
    from segengine.operations.members import PREVIEW_MEMBERS

    return None if output == "csv" else PREVIEW_MEMBERS


def _emit_values(found: MeasureValues, output: str, chart: bool, zone: str) -> None:
    """Print values while the session they are read with is open."""
    names = [*([found.id_name] if found.id_name else []), *found.types]
    if output == "csv":
        _print_csv(found, names)
        return
    rows = [dict(zip(names, row.values(), strict=True)) for batch in found.rows for row in batch.to_pylist()]
    if output == "json":
        shown = [{key: plain_value(value) for key, value in row.items()} for row in rows]
        emit_document(output, {"values": {**_summary(found), "name": found.measure.name, "rows": shown}})
        return
    print_table(rows, [make_value_column(name, rows) for name in names])
    rest = "; all with -o csv" if len(rows) < found.row_count else ""
    what = f"snapshot {found.snapshot.snapshot_version}" if found.snapshot else "not published,"
    click.echo(
        f'{len(rows):,} of {found.row_count:,} rows of "{found.measure.name}", {what} as of '
        f"{show_time_in(zone)(found.as_of)}{rest}"
    )
    if chart:
        _show_bars(rows, names, {key for key, type_ in found.types.items() if type_.family == "number"})


def _print_csv(found: MeasureValues, names: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for batch in found.rows:
        columns = ([show_value(value) for value in column.to_pylist()] for column in batch.columns)
        writer.writerows(zip(*columns, strict=True))


def _summary(found: MeasureValues) -> dict[str, Any]:
    """Return what is said of the rows: whose snapshot they are, or (of none) when and how many."""
    if found.snapshot:
        return snapshot_row(found.snapshot)
    return {"as_of": found.as_of, "row_count": found.row_count, "values": dict(found.value_counts)}


def snapshot_row(run: MeasureRun) -> dict[str, Any]:
    """Return what JSON says of a snapshot."""
    from segengine.operations.measures import value_counts

    return {**snapshot_fields(run, "row_count"), "values": value_counts(run)}


def _show_bars(rows: list[dict[str, Any]], names: Sequence[str], numbers: set[str]) -> None:
    from segengine.report.charts import draw_bars

    value = next((name for name in names if name in numbers), None)
    if value is None or not rows or len(rows) > _CHART_ROWS:
        click.echo(f"no chart: it takes a number, and at most {_CHART_ROWS} rows")
        return
    labels = [" ".join(show_value(row[name]) or "missing" for name in names if name not in numbers) for row in rows]
    click.echo("\n" + draw_bars(value, labels, [float(row[value] or 0) for row in rows]).rstrip())
