"""Commands on runs: refresh, release, drop."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.log import ProgressReport, add_to_summary, set_verbose
from segengine.cli.metrics import metrics_option, metrics_written
from segengine.cli.options import as_of_option, output_option, project_options, verbose_option, wait_option
from segengine.cli.output import (
    Column,
    emit_document,
    emit_rows,
    print_table,
    show_count,
    show_time_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segengine.operations.dry_run import Planned
    from segengine.operations.refresh import RefreshReport
    from segengine.store.runs import SegmentRun

EXIT_SOME_FAILED = 4


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option(
    "--due", is_flag=True, help="Only what is due: by its schedule, or the project's, since it last succeeded."
)
@click.option("--full", is_flag=True, help="Evaluate also what cannot have changed since its last refresh.")
@as_of_option
@click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only say what would be evaluated, and why.")
@wait_option
@click.option("--output-tables", is_flag=True, help="Also write the output tables of segments and measures.")
@click.option("--member-rows", is_flag=True, help="Also write all segments' members as rows of one table.")
@click.option(
    "--tracking/--no-tracking",
    default=True,
    help="Record in MLflow what models do (the project's `mlflow` says where).",
)
@metrics_option
@project_options
@output_option("table", "json", "yaml", "csv")
@verbose_option
@click.pass_context
def refresh(
    context: click.Context,
    names: tuple[str, ...],
    due: bool,
    full: bool,
    as_of: str | None,
    dry_run: bool,
    wait: float,
    output_tables: bool,
    member_rows: bool,
    tracking: bool,
    metrics_file: Path | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
    verbose: bool,
) -> None:
    """Evaluate segments and measures and publish their snapshots, all at once (no NAME: all active ones).

    What cannot have changed since its last refresh keeps its snapshot: nothing that it reads or refers to changed.

    Exit code 4 where one of them failed, was skipped or held back by a gate; the others are published. Metrics are
    written however the run ended.
    """
    from segengine.api import Project
    from segengine.operations.context import parse_as_of
    from segengine.store.runs import Status

    set_verbose(verbose)
    instance = Project(conf, environment=environment, engine=engine)
    moment = parse_as_of(as_of, instance.settings.time_zone) if as_of else None
    if dry_run:
        planned = instance.plan_refresh(names, due=due, full=full, as_of=moment)
        _show_planned(planned, output)
        return
    with ProgressReport() as progress:
        progress(f"starting engine {instance.settings.engine}")
        with instance as project, metrics_written(project, metrics_file):
            report = project.refresh(
                names,
                due=due,
                full=full,
                as_of=moment,
                wait=timedelta(minutes=wait),
                tracking=tracking,
                progress=progress,
            )
            good = report.of(Status.SUCCESSFUL)
            if output_tables:
                progress(f"writing {len(good)} output table(s)")
                project.write_output_tables([run.segment_id for run in good])
                project.write_measure_tables()
            if member_rows:
                progress("writing the members of all segments as rows")
                project.write_member_rows()
        if due and not report.run_id:
            progress("nothing is due")
    _summarise(report)
    _show_report(report, output, instance.settings.time_zone)
    if not report.is_complete:
        context.exit(EXIT_SOME_FAILED)


def _show_planned(planned: Sequence[Planned], output: str) -> None:
    rows = [
        {
            "id": each.definition.id,
            "name": each.definition.name,
            "kind": type(each.definition).__name__.lower(),
            "evaluated": bool(each.reason),
            "reason": each.reason or "it cannot have changed",
        }
        for each in planned
    ]
    columns = [
        Column("name", "in this order"),
        Column("kind", "kind"),
        Column("evaluated", "would be evaluated", lambda evaluated: "yes" if evaluated else "no"),
        Column("reason", "because"),
    ]
    emit_rows(output, "definitions", rows, columns)


def _summarise(report: RefreshReport) -> None:
    """Say of a run in the log what monitoring asks: how many definitions ended how, and what it read."""
    add_to_summary(
        run_id=report.run_id,
        as_of=report.as_of,
        engine=report.engine,
        segments=Counter(str(run.status) for run in report.segments),
        measures=Counter(str(run.status) for run in report.measures),
        row_count=sum(scan.row_count for scan in report.scans),
    )


def _show_report(report: RefreshReport, output: str, zone: str) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": run.segment_id,
            "name": run.name,
            "status": str(run.status),
            "snapshot_version": run.snapshot_version or None,
            "member_count": run.member_count,
            "entered_count": run.entered_count,
            "left_count": run.left_count,
            "error": run.error,
        }
        for run in report.segments
    ]
    measures: list[dict[str, Any]] = [
        {
            "id": run.measure_id,
            "name": run.name,
            "status": str(run.status),
            "snapshot_version": run.snapshot_version or None,
            "row_count": run.row_count,
            "error": run.error,
        }
        for run in report.measures
    ]
    if output != "table":
        if output == "csv":
            emit_rows(output, "segments", rows, [])
            return
        content = {
            "run_id": report.run_id,
            "as_of": report.as_of,
            "engine": report.engine,
            "seconds": round(report.seconds, 3),
            "unchanged_count": report.unchanged_count,
            "profile_count": report.profile_count,
            "scans": [asdict(scan) for scan in report.scans],
            "segments": rows,
            "measures": measures,
        }
        emit_document(output, content)
        return
    if not report.run_id:
        return
    _show_measures(measures)
    columns = [
        Column("name", "segment"),
        Column("status", "status"),
        Column("snapshot_version", "snapshot", right=True),
        Column("member_count", "members", show_count, right=True),
        Column("entered_count", "entered", show_count, right=True),
        Column("left_count", "left", show_count, right=True),
    ]
    if any(row["error"] for row in rows):
        columns.append(Column("error", "why"))
    if rows:
        print_table(sorted(rows, key=lambda row: row["name"].casefold()), columns)
    counts = " and ".join(_show_good(kind, each) for kind, each in (("measures", measures), ("segments", rows)) if each)
    when = f"{show_time_in(zone)(report.as_of)} in {report.seconds:.1f} s"
    click.echo(f"{counts} published as of {when} ({report.run_id}, {report.engine})")
    if report.unchanged_count:
        click.echo(f"{report.unchanged_count} of them cannot have changed and kept their snapshots")
    for scan in report.scans:
        orphans = f", {scan.orphan_count:,} reach no profile" if scan.orphan_count else ""
        click.echo(f"read {scan.name}: {scan.row_count:,} rows{orphans}")


def _show_good(kind: str, rows: list[dict[str, Any]]) -> str:
    good = sum(row["status"] == "Successful" for row in rows)
    return f"{good} of {len(rows)} {kind}"


def _show_measures(rows: list[dict[str, Any]]) -> None:
    columns = [
        Column("name", "measure"),
        Column("status", "status"),
        Column("snapshot_version", "snapshot", right=True),
        Column("row_count", "rows", show_count, right=True),
    ]
    if any(row["error"] for row in rows):
        columns.append(Column("error", "why"))
    if rows:
        print_table(sorted(rows, key=lambda row: row["name"].casefold()), columns)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
@project_options
@output_option("table", "json", "yaml", "csv")
def release(names: tuple[str, ...], conf: Path, environment: str, engine: str, output: str) -> None:
    """Make results that a gate held back current."""
    from segengine.api import Project

    _show_decided(Project(conf, environment=environment, engine=engine).release(names).segments, output)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
@project_options
@output_option("table", "json", "yaml", "csv")
def drop(names: tuple[str, ...], conf: Path, environment: str, engine: str, output: str) -> None:
    """Drop results that a gate held back; the last good snapshots stay."""
    from segengine.api import Project

    _show_decided(Project(conf, environment=environment, engine=engine).drop(names).segments, output)


def _show_decided(runs: Sequence[SegmentRun], output: str) -> None:
    columns = [
        Column("name", "segment"),
        Column("decision", "what"),
        Column("snapshot_version", "snapshot", right=True),
    ]
    columns.append(Column("member_count", "members", show_count, right=True))
    rows = [
        {
            "id": run.segment_id,
            "name": run.name,
            "decision": "released" if run.status == "Successful" else "dropped",
            "snapshot_version": run.snapshot_version or None,
            "member_count": run.member_count,
            "as_of": run.as_of,
        }
        for run in runs
    ]
    emit_rows(output, "segments", rows, columns)
