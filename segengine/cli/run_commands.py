"""Commands on runs: refresh, release, drop."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segengine.cli.log import ProgressReport, set_verbose
from segengine.cli.metrics import metrics_option, metrics_written
from segengine.cli.options import as_of_option, output_option, project_options, verbose_option, wait_option
from segengine.cli.output import Column, emit_rows, show_count
from segengine.cli.refresh_report import show_report, summarise_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segengine.operations.dry_run import Planned
    from segengine.store.runs import SegmentRun

EXIT_SOME_FAILED = 4


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option(
    "--due", is_flag=True, help="Only what is due: by its schedule, or the project's, since it last succeeded."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Only one kind of definitions: segment, expansion, measure, suggestion or insight; may be repeated.",
)
@click.option("--with-parents", is_flag=True, help="Also all that these refer to, as far as active and dynamic.")
@click.option("--full", is_flag=True, help="Evaluate also what cannot have changed since its last refresh.")
@as_of_option
@click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only say what would be evaluated, and why.")
@wait_option
@click.option("--output-tables", is_flag=True, help="Also write the output tables of segments, measures and insights.")
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
    kinds: tuple[str, ...],
    with_parents: bool,
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
    """Evaluate what is defined and publish the results, all at once (no NAME: all that is active).

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
        planned = instance.plan_refresh(names, kinds=kinds, due=due, with_parents=with_parents, full=full, as_of=moment)
        _show_planned(planned, output)
        return
    with ProgressReport() as progress:
        progress(f"starting engine {instance.settings.engine}")
        with instance as project, metrics_written(project, metrics_file):
            report = project.refresh(
                names,
                kinds=kinds,
                due=due,
                with_parents=with_parents,
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
                project.write_insight_tables()
            if member_rows:
                progress("writing the members of all segments as rows")
                project.write_member_rows()
        if not report.run_id:
            progress("nothing is due" if due else "there is nothing to refresh")
    summarise_report(report)
    show_report(report, output, instance.settings.time_zone)
    if not report.is_complete:
        context.exit(EXIT_SOME_FAILED)


def _show_planned(planned: Sequence[Planned], output: str) -> None:
    rows = [
        {
            "id": each.definition.id,
            "name": each.definition.name,
            "kind": each.definition.kind,
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
