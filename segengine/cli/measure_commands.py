"""Commands on measures: list, show; values and preview are in `measure_values`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.list_command import add_list_command
from segengine.cli.manage_commands import add_manage_commands
from segengine.cli.measure_values import preview_command, snapshot_row, values_command
from segengine.cli.options import output_option, period_option, project_options
from segengine.cli.output import (
    Column,
    emit_document,
    print_table,
    purpose_columns,
    show_count,
    show_due_in,
    show_grain,
    show_time_in,
    show_users,
    show_value,
)
from segengine.cli.periods import Period, within_period

if TYPE_CHECKING:
    from segengine.operations.measures import MeasureDetails, MeasureSummary


@click.group()
def measures() -> None:
    """Look at measures and their values."""


def _show_value_counts(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return show_count(*counts.values())
    return ", ".join(f"{name.rpartition('.')[2]} {count:,}" for name, count in counts.items())


_COUNTS = (
    Column("row_count", "rows", show_count, right=True),
    Column("values", "profiles with a value", _show_value_counts),
)


def _summary_row(summary: MeasureSummary) -> dict[str, Any]:
    from segengine.operations.measures import value_counts

    measure, current = summary.measure, summary.current
    return {
        "id": measure.id,
        "name": measure.name,
        "description": measure.description,
        "per": show_grain(measure),
        "state": measure.state,
        "tags": list(measure.tags),
        "status": str(summary.status),
        "error": summary.error,
        "snapshot_version": current.snapshot_version if current else None,
        "row_count": current.row_count if current else None,
        "values": value_counts(current) if current else {},
        "as_of": current.as_of if current else None,
        "schedule": str(summary.schedule) if summary.schedule else None,
        "next_due": summary.next_due,
        "definition_version": summary.record.version,
        "author": summary.record.author,
        "recorded_at": summary.record.recorded_at,
    }


@measures.command("show")
@click.argument("name")
@period_option
@project_options
@output_option("table", "json", "yaml")
def show_command(name: str, period: Period, conf: Path, environment: str, engine: str, output: str) -> None:
    """Show one measure: definition, status, trend, where it is used."""
    from segengine.api import Project

    with Project(conf, environment=environment, engine=engine) as project:
        details = project.measure(name)
        totals = project.totals(name) if details.summary.measure.is_total else []
        zone = project.settings.time_zone
    shown = within_period(details.snapshots, period)
    details, totals = replace(details, snapshots=tuple(shown)), totals[len(details.snapshots) - len(shown) :]
    snapshots = [snapshot_row(run) for run in details.snapshots]
    for row, values in zip(snapshots, totals, strict=False):
        row["totals"] = dict(values)
    if output != "table":
        content = {**_summary_row(details.summary), "definition": details.fields, "snapshots": snapshots}
        emit_document(output, {"measure": {**content, "used_by": [vars(user) for user in details.used_by]}})
        return
    _show_details(details, snapshots, totals, zone)


def _show_details(
    details: MeasureDetails, snapshots: list[dict[str, Any]], totals: Sequence[Mapping[str, Any]], zone: str
) -> None:
    from segengine.project.nodes import dump_documents
    from segengine.report.charts import draw_lines

    row, show_time = _summary_row(details.summary), show_time_in(zone)
    state = "" if row["state"] == "active" else f"{row['state']}, "
    click.echo(f"{row['name']} ({row['id']}), per {row['per']}, {state}{row['status']}")
    if row["error"]:
        click.echo(f"why: {row['error']}")
    if row["as_of"]:
        click.echo(f"{row['row_count']:,} rows, as of {show_time(row['as_of'])} (snapshot {row['snapshot_version']})")
    click.echo(f"version {row['definition_version']} by {row['author']}, {show_time(row['recorded_at'])}")
    click.echo(
        f"refreshed {row['schedule'] or 'when asked'}; next due: {show_due_in(zone)(row['next_due']) or 'never'}"
    )
    click.echo(f"used by: {show_users(details.used_by) or 'nobody known'}")
    click.echo("\n" + dump_documents([details.fields]).rstrip())
    moments = [run.as_of for run in details.snapshots]
    trends: dict[str, list[float | None]] = {}
    for values in totals:
        for name, value in values.items():
            trends.setdefault(name, []).append(float(value) if _is_number(value) else None)
    for name, trend in trends.items():
        if len(trend) > 1 and all(value is not None for value in trend):
            click.echo("\n" + draw_lines(name, moments, [value or 0.0 for value in trend], zone).rstrip())
    columns = [Column("snapshot_version", "snapshot", right=True), Column("as_of", "as of", show_time)]
    columns += purpose_columns(snapshots)
    if totals:
        columns += [Column(name, name, show_value, right=True) for name in totals[-1]]
        shown = [{**snapshot, **values} for snapshot, values in zip(snapshots, totals, strict=True)]
    else:
        shown = snapshots
        columns += _COUNTS
    if shown:
        click.echo()
        print_table(shown[-10:], columns)


def _is_number(value: Any) -> bool:
    from decimal import Decimal

    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


add_list_command(
    measures,
    "measure",
    lambda project: project.measures(),
    _summary_row,
    about=(Column("per", "per"),),
    counts=_COUNTS,
)
measures.add_command(values_command)
measures.add_command(preview_command)
add_manage_commands(measures, "measure")
