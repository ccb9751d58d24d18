"""The command `backfill`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.log import ProgressReport, set_verbose
from segengine.cli.options import output_option, project_options, verbose_option, wait_option
from segengine.cli.output import MEMBER_COLUMNS, Column, emit_document, emit_rows, print_table, show_count
from segengine.cli.run_commands import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segengine.operations.backfill import BackfillReport, Every, FilledInstant, PlannedInstant

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
@click.option("--from", "first", type=_DAY, required=True, metavar="DAY", help="The first day, as 2026-01-31.")
@click.option("--to", "last", type=_DAY, required=True, metavar="DAY", help="Until this day, itself included.")
@click.option(
    "--every",
    type=click.Choice(["day", "week", "month"]),
    required=True,
    help="How far apart; month: the same day of each month, or its last.",
)
@click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only say what would be evaluated.")
@wait_option
@project_options
@output_option("table", "json", "yaml", "csv")
@verbose_option
@click.pass_context
def backfill(
    context: click.Context,
    names: tuple[str, ...],
    first: datetime,
    last: datetime,
    every: Every,
    dry_run: bool,
    wait: float,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
    verbose: bool,
) -> None:
    """Fill the trend of segments and measures: evaluate them as of the ends of past days.

    The snapshots are marked as back-fills and never become current. Delta tables are read as they were then where their
    history reaches, others up to then by their time columns. What is there already is left out: after an interruption
    the same command goes on.

    Exit code 4 where something failed; what did not is published.
    """
    from segengine.api import Project

    set_verbose(verbose)
    days = (first.date(), last.date(), every)
    project = Project(conf, environment=environment, engine=engine)
    if dry_run:
        _show_plan(project.planned_backfill(names, *days), output)
        return
    progress = ProgressReport()
    progress(f"starting engine {project.settings.engine}")
    with project:
        report = project.backfill(names, *days, wait=timedelta(minutes=wait), progress=progress)
    _show_report(report, output)
    if not report.is_complete:
        context.exit(EXIT_SOME_FAILED)


def _show_plan(planned: Sequence[PlannedInstant], output: str) -> None:
    rows = [
        {
            "day": each.day.isoformat(),
            "as_of": each.as_of,
            "definitions": [definition.name for definition in each.definitions.values()],
            "there": [run.name for run in each.there.values()],
        }
        for each in planned
    ]
    columns = [
        Column("day", "as of the end of"),
        Column("definitions", "would be evaluated, in this order", ", ".join),
        Column("there", "there already", ", ".join),
    ]
    emit_rows(output, "instants", rows, columns)


def _show_report(report: BackfillReport, output: str) -> None:
    rows = [row for instant in report.instants for row in _instant_rows(instant)]
    if output == "csv":
        emit_rows(output, "snapshots", rows, [])
        return
    if output != "table":
        instants = [
            {
                "day": each.day.isoformat(),
                "as_of": each.as_of,
                "run_id": each.run_id,
                "error": each.error,
                "sources": [vars(source) for source in each.sources],
            }
            for each in report.instants
        ]
        seconds = round(report.seconds, 3)
        emit_document(output, {"engine": report.engine, "seconds": seconds, "instants": instants, "snapshots": rows})
        return
    columns = [
        Column("day", "as of the end of"),
        Column("name", "name"),
        Column("status", "status"),
        Column("snapshot_version", "snapshot", right=True),
        *MEMBER_COLUMNS,
    ]
    if any(row["row_count"] is not None for row in rows):
        columns.append(Column("row_count", "rows", show_count, right=True))
    if any(row["error"] for row in rows):
        columns.append(Column("error", "why"))
    print_table(rows, columns)
    made = sum(bool(each.run_id) for each in report.instants)
    there = sum(not each.run_id and not each.error for each in report.instants)
    failed = len(report.instants) - made - there
    counts = [f"{made} instants published"]
    counts += [f"{there} there already"] if there else []
    counts += [f"{failed} failed"] if failed else []
    click.echo(f"{', '.join(counts)}, in {report.seconds:.1f} s ({report.engine})")


def _instant_rows(instant: FilledInstant) -> list[dict[str, Any]]:
    """Return a row for everything that was named, or one for an instant that failed as a whole."""
    names = ("id", "name", "snapshot_version", "member_count", "entered_count", "left_count", "row_count")
    if instant.error:
        none: dict[str, Any] = dict.fromkeys(names)
        return [{"day": instant.day.isoformat(), **none, "status": "Failed", "error": instant.error}]
    rows = []
    for run in instant.runs:
        status = str(run.status) if run.run_id == instant.run_id else "there already"
        found = {name: getattr(run, name, None) for name in names}
        found["snapshot_version"] = run.snapshot_version or None
        rows.append({"day": instant.day.isoformat(), **found, "status": status, "error": run.error})
    return rows
