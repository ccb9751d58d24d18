"""Commands that take things out of the warehouse: maintain, forget."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.log import ProgressReport
from segengine.cli.options import as_of_option, output_option, project_options
from segengine.cli.output import (
    Column,
    emit_document,
    emit_rows,
    print_table,
    show_bytes,
    show_count,
    show_users,
)
from segengine.cli.quick_questions import can_ask
from segengine.cli.run_commands import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from segengine.operations.forget import ForgetReport
    from segengine.operations.maintain import MaintainReport

_SIZES = ("row_count", "file_count", "byte_count")


def _read_span(context: click.Context, parameter: click.Parameter, text: str) -> timedelta:
    from segengine.project.keep import FOREVER, parse_span

    span = parse_span("0 days" if text.strip() == "0" else text)
    if span is None or span == FOREVER:
        raise click.BadParameter(f"{text!r} is no span of time. Examples: 7 days, 12 hours, 0.", context, parameter)
    return span


@click.command()
@click.option(
    "--retention",
    callback=_read_span,
    default="7 days",
    show_default=True,
    envvar="SEGENGINE_RETENTION",
    metavar="SPAN",
    help="How far back tables stay readable as they were: `12 hours`; 0 only while nobody else works.",
)
@as_of_option
@click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only say what would be done.")
@project_options
@output_option("table", "json", "yaml", "csv")
@click.pass_context
def maintain(
    context: click.Context,
    retention: timedelta,
    as_of: str | None,
    dry_run: bool,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Thin old snapshots by `keep`, remove what no run needs, put small files together.

    `keep: {all: 35 days, weekly: 1 year, monthly: forever}` in segengine.yml says which snapshots keep their members:
    all for a while, then the last of each week, then of each month; without it all do. Counts and trends stay whole.
    What killed runs left and old versions of files go too. Once a day or week, after a refresh; again does no harm.
    --as-of counts the ages of snapshots to that time.

    Exit code 4 where a table could not be seen to; 5 where a run is under way.
    """
    from segengine.api import Project
    from segengine.operations.context import parse_as_of

    instance = Project(conf, environment=environment, engine=engine)
    moment = parse_as_of(as_of, instance.settings.time_zone) if as_of else None
    progress = ProgressReport()
    progress(f"starting engine {instance.settings.engine}")
    report = instance.maintain(retention=retention, as_of=moment, dry_run=dry_run, progress=progress)
    _show(report, output)
    if output == "table" and retention and not dry_run:
        click.echo(f"files that versions of the last {_show_span(retention)} need stay (--retention)")
    if not report.is_complete:
        context.exit(EXIT_SOME_FAILED)


def _show_span(span: timedelta) -> str:
    hours = round(span / timedelta(hours=1))
    return f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours"


def _show(report: MaintainReport, output: str) -> None:
    rows: list[dict[str, Any]] = [
        {
            "table": each.table,
            "swept_rows": each.swept_rows,
            **{f"{name}_before": getattr(each.before, name) for name in _SIZES},
            **{f"{name}_after": getattr(each.after, name, None) for name in _SIZES},
            "problem": each.problem,
        }
        for each in report.tables
    ]
    if output == "csv":
        emit_rows(output, "tables", rows, [])
        return
    if output != "table":
        emit_document(output, _document(report, rows))
        return
    names = [f"{name}_{when}" for when in ("before", "after") for name in _SIZES]
    seen_to = [row for row in rows if row["row_count_after"] is not None] or rows
    total = {name: sum(row[name] or 0 for row in rows) for name in (*names[:3], "swept_rows")}
    total |= {name: None if report.dry_run else sum(row[name] or 0 for row in seen_to) for name in names[3:]}
    columns = [
        Column("table", "table"),
        Column("row_count_before", "rows", show_count, right=True),
        Column("swept_rows", "to remove" if report.dry_run else "removed", show_count, right=True),
        Column("file_count_before", "files", show_count, right=True),
        Column("byte_count_before", "size", show_bytes, right=True),
    ]
    if not report.dry_run:
        columns += [
            Column("row_count_after", "rows after", show_count, right=True),
            Column("file_count_after", "files after", show_count, right=True),
            Column("byte_count_after", "size after", show_bytes, right=True),
        ]
    if not report.is_complete:
        columns.append(Column("problem", "left alone because"))
    print_table([*rows, {"table": "all", **total, "problem": ""}], columns)
    click.echo(_summary(report))


def _document(report: MaintainReport, rows: list[dict[str, Any]]) -> dict[str, Any]:
    thinned = [
        {
            "id": each.id,
            "name": each.name,
            "kept": [run.snapshot_version for run in each.kept],
            "thinned": [run.snapshot_version for run in each.thinned],
        }
        for each in report.thinned
    ]
    return {"dry_run": report.dry_run, "seconds": round(report.seconds, 3), "thinned": thinned, "tables": rows}


def _summary(report: MaintainReport) -> str:
    if not report.thinned:
        left = sum(each.swept_rows for each in report.tables)
        what = (
            f", {left:,} row(s) of runs that did not end {'would go' if report.dry_run else 'are gone'}" if left else ""
        )
        return f"no snapshot {'would be' if report.dry_run else 'was'} thinned{what} ({report.seconds:.1f} s)"
    thinned = f"{report.thinned_count:,} snapshot(s) of {len(report.thinned):,} definition(s)"
    kept = sum(len(each.kept) for each in report.thinned)
    verb = "would keep only counts" if report.dry_run else "keep only counts now"
    return f"{thinned} {verb}, {kept:,} stay ({report.seconds:.1f} s)"


@click.command()
@click.argument("profile_id", metavar="CUSTOMER_ID")
@click.option("--audience", default="", metavar="NAME", help="Whose profiles, where the project has several audiences.")
@click.option(
    "--suppress", is_flag=True, help="Keep the person out of every run, even where a source has (again) a row of it."
)
@click.option("--yes", is_flag=True, help="Do it without asking; what is erased does not come back.")
@click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only say what would be done.")
@project_options
@output_option("table", "json", "yaml")
def forget(
    profile_id: str,
    audience: str,
    suppress: bool,
    yes: bool,
    dry_run: bool,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Erase a person who asks for it from everything segengine stores, and keep the person out of runs.

    Delete the person in the sources first, or say --suppress. Needs `suppress_key: ENV_NAME` in segengine.yml: with the
    secret in that variable the id is hashed, and the hash keeps the person out of runs as of a time before now (with
    --suppress: of all runs). Snapshots keep an anonymous bit; that somebody was forgotten is recorded, not who. Older
    versions of tables still have the person until `segengine maintain` removes them.
    """
    from segengine.api import Project

    with Project(conf, environment=environment, engine=engine) as project:
        told = project.forget(profile_id, audience=audience, suppress=suppress, dry_run=True)
        if not dry_run and not yes:
            if not can_ask():
                raise click.UsageError("What is erased does not come back; say --yes (or look with --dry-run).")
            click.confirm(f"Forget this {told.audience} for good?", abort=True, err=True)
        if not dry_run:
            progress = ProgressReport()
            told = project.forget(profile_id, audience=told.audience, suppress=suppress, progress=progress)
    if output != "table":
        emit_document(output, {"forgotten": asdict(told)})
        return
    _show_forgotten(told)


def _show_forgotten(report: ForgetReport) -> None:
    from segengine.store.scores import ERASED

    verb = "would be" if report.dry_run else "is"
    if report.was_known:
        places = ["its key", "its values of measures", *report.tables]
        click.echo(f"the {report.audience} {verb} erased: {', '.join(places)}")
    else:
        click.echo(f"no {report.audience} of this id was ever in a run: is it spelled as in the source?")
    runs = "every run" if report.suppressed else "every run as of a time before now"
    click.echo(f"kept out of {runs}{' once it is done' if report.dry_run else ''}")
    if report.receivers:
        click.echo(f"may have copies, to be told: {show_users(report.receivers)}")
    if report.definitions:
        click.echo(f"definitions that name the id, or did, stay as they are: {', '.join(report.definitions)}")
    if report.answers:
        say = "would say" if report.dry_run else "say"
        click.echo(
            f"answers that said the id {say} {ERASED} now, but not what MLflow has of them: {', '.join(report.answers)}"
        )
    if not report.dry_run:
        click.echo("older versions of tables have the person until `segengine maintain` removes them, after 7 days;")
        click.echo("`segengine maintain --retention 0` removes them now")
