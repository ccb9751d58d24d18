"""Commands on definitions: validate, plan, apply, get, explain."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from segengine.cli.log import ProgressReport
from segengine.cli.options import as_of_option, output_option, project_options
from segengine.cli.output import (
    Column,
    emit_document,
    emit_rows,
    print_outline,
    print_table,
    show_count,
    show_share,
    show_time_in,
)

if TYPE_CHECKING:
    from segengine.operations.definition_plan import DefinitionPlan
    from segengine.operations.preview import PreviewedSegment
    from segengine.plan.explain import AudienceExplanation

SIGNS = {"created": "+", "changed": "~", "renamed": "~", "removed": "-", "gone from the files": "?", "conflict": "!"}


@click.command()
@project_options
@output_option("table", "json", "yaml", "csv")
@click.pass_context
def validate(context: click.Context, conf: Path, environment: str, engine: str, output: str) -> None:
    """Check every definition file; needs no engine and no data.

    Prints every problem of every file: place, level, code, what was found, what was expected. Exit code 3 where there
    is an error.
    """
    from segengine.operations.validate import validate_project
    from segengine.project.settings import load_settings

    result = validate_project(load_settings(conf, environment))
    if output == "table":
        for issue in result.issues:
            click.echo(str(issue))
        errors = result.error_count
        rest = len(result.issues) - errors
        click.echo(f"{result.definition_count} definition(s): {errors} error(s), {rest} other issue(s)")
    else:
        issues = [issue.as_dict() for issue in result.issues]
        if output == "csv":
            emit_rows(output, "issues", issues, [])
        else:
            counts = {"definition_count": result.definition_count, "error_count": result.error_count}
            emit_document(output, {**counts, "issues": issues})
    if result.error_count:
        context.exit(3)


def _file_arguments(command: Any) -> Any:
    files = click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
    prune = click.option("--prune", is_flag=True, help="Remove applied definitions that are gone from the files.")
    take = click.option(
        "--take", type=click.Choice(["file", "registry"]), help="Who wins where both changed the same field."
    )
    return files(prune(take(command)))


@click.command()
@_file_arguments
@click.option("--counts", is_flag=True, help="Evaluate what would change: members, entering, leaving, each rule.")
@as_of_option
@project_options
@output_option("table", "json", "yaml", "csv")
def plan(
    files: tuple[Path, ...],
    prune: bool,
    take: Literal["file", "registry"] | None,
    counts: bool,
    as_of: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Show what `apply` would change in the registry (FILES: only these)."""
    from segengine.api import Project
    from segengine.operations.context import parse_as_of

    project = Project(conf, environment=environment, engine=engine)
    if not counts:
        show_plan(project.plan(files, prune=prune, take=take), output)
        return
    moment = parse_as_of(as_of, project.settings.time_zone) if as_of else None
    with ProgressReport() as progress:
        result, previews = project.preview(files, prune=prune, take=take, as_of=moment, progress=progress)
    if output != "table":
        emit_rows(output, "counts", [_preview_row(preview) for preview in previews], [])
        return
    show_plan(result, output)
    for preview in previews:
        _show_preview(preview, project.settings.time_zone)


def _preview_row(preview: PreviewedSegment) -> dict[str, Any]:
    return {
        "id": preview.segment.id,
        "name": preview.segment.name,
        "as_of": preview.as_of,
        "member_count": preview.member_count,
        "profile_count": preview.profile_count,
        "member_count_before": preview.before.member_count if preview.before else None,
        "entered_count": preview.entered_count,
        "left_count": preview.left_count,
        "entered": list(preview.entered),
        "left": list(preview.left),
        "rules": [asdict(line) for line in preview.lines],
    }


def _show_preview(preview: PreviewedSegment, zone: str) -> None:
    share = show_share(preview.member_count / preview.profile_count) if preview.profile_count else "0 %"
    before = f", {preview.before.member_count:,} before" if preview.before else ""
    when = show_time_in(zone)(preview.as_of)
    click.echo(f"\n{preview.segment.name}: {preview.member_count:,} members ({share} of all) at {when}{before}")
    for word, count, ids in (
        ("enter", preview.entered_count, preview.entered),
        ("leave", preview.left_count, preview.left),
    ):
        if count:
            rest = ", ..." if count > len(ids) else ""
            click.echo(f"  {count:,} would {word}: {', '.join(ids)}{rest}")
    print_outline(preview.lines)


@click.command()
@_file_arguments
@click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only show what would change (as `plan`).")
@project_options
@output_option("table", "json", "yaml", "csv")
def apply(
    files: tuple[Path, ...],
    prune: bool,
    take: Literal["file", "registry"] | None,
    dry_run: bool,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Record the definition files in the registry: what is there is what runs (FILES: only these)."""
    from segengine.api import Project

    project = Project(conf, environment=environment, engine=engine)
    act = project.plan if dry_run else project.apply
    show_plan(act(files, prune=prune, take=take), output)


def show_plan(result: DefinitionPlan, output: str) -> None:
    """Print what a plan changes, or changed: one line each, or rows for programs."""
    rows: list[dict[str, Any]] = [
        {
            "action": str(change.action),
            "kind": change.kind,
            "id": change.id,
            "name": change.name,
            "fields": list(change.fields),
            "note": change.note,
        }
        for change in result.changes
    ]
    if output != "table":
        emit_rows(output, "changes", rows, [])
        return
    for issue in result.issues:
        click.echo(str(issue), err=True)
    for row in rows:
        if row["action"] == "unchanged":
            continue
        shown = f" ({', '.join(row['fields'])})" if row["fields"] and row["action"] != "created" else ""
        note = f"; {row['note']}" if row["note"] else ""
        click.echo(f'{SIGNS[row["action"]]} {row["kind"]} {row["id"]} "{row["name"]}" {row["action"]}{shown}{note}')
    counts = Counter(row["action"] for row in rows)
    ordered = [f"{counts[action]} {action}" for action in (*SIGNS, "unchanged") if counts[action]]
    summary = ", ".join(ordered) or "nothing to do"
    click.echo(f"{'applied' if result.applied else 'plan'}: {summary}")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@project_options
@output_option("yaml", "json")
def get(names: tuple[str, ...], conf: Path, environment: str, engine: str, output: str) -> None:
    """Print applied definitions as the YAML that `apply` takes."""
    from segengine.api import Project
    from segengine.project.nodes import dump_documents

    definitions = Project(conf, environment=environment, engine=engine).get(names)
    if output == "yaml":
        click.echo(dump_documents(definitions), nl=False)
    else:
        emit_document(output, {"definitions": definitions})


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@as_of_option
@project_options
@output_option("table", "json", "yaml")
def explain(names: tuple[str, ...], as_of: str | None, conf: Path, environment: str, engine: str, output: str) -> None:
    """Show what a refresh of the definition files reads: scans, clauses, shared parts, order. Starts no engine.

    As if nothing was ever refreshed: what of it would be kept, because it cannot have changed, is told by
    `segengine refresh --dry-run`, which looks at the sources and the last runs.
    """
    from segengine.operations.context import parse_as_of
    from segengine.operations.explain import explain_refresh
    from segengine.project.settings import load_settings

    settings = load_settings(conf, environment)
    moment = parse_as_of(as_of, settings.time_zone) if as_of else None
    explanations = explain_refresh(settings, names, moment)
    if output != "table":
        emit_document(output, {"audiences": [asdict(explanation) for explanation in explanations]})
        return
    for explanation in explanations:
        _show_explanation(explanation)


def _show_explanation(explanation: AudienceExplanation) -> None:
    click.echo(
        f"audience {explanation.audience}: {explanation.segment_count} segments, {len(explanation.scans)} scans, "
        f"{explanation.distinct_condition_count} distinct conditions of {explanation.condition_count}, "
        f"{explanation.formula_count} formula steps"
    )
    rows = [
        {
            "scan": scan.name,
            "look_ups": ", ".join(scan.look_ups),
            "columns": ", ".join(scan.columns),
            "rules": scan.rule_count,
            "segments": scan.segment_count,
            "clauses": len(scan.clauses),
            "limits": "; ".join(scan.limits),
        }
        for scan in explanation.scans
    ]
    columns = [
        Column("scan", "scan (read once)"),
        Column("look_ups", "look-ups"),
        Column("columns", "columns read"),
        Column("rules", "rules", show_count, right=True),
        Column("segments", "segments", show_count, right=True),
        Column("clauses", "clauses", show_count, right=True),
        Column("limits", "only rows"),
    ]
    print_table(rows, columns)
    for scan in explanation.scans:
        if scan.answers:
            click.echo("\n".join((f"\n{scan.name}:", *(f"  {answer}" for answer in scan.answers))))
    carried = {"judged here for other audiences": explanation.questions, "carried over": explanation.carried}
    for title, lines in carried.items():
        if lines:
            click.echo("\n".join((f"\n{title}:", *(f"  {line}" for line in lines))))
    if explanation.order:
        click.echo(f"\norder: {', '.join(explanation.order)}")
    if explanation.stored_parents:
        click.echo(f"parents read from their current snapshots: {', '.join(explanation.stored_parents)}")
