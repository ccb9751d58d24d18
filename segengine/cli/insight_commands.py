"""Commands on insights: what sets the members of a segment apart, and which profiles segments share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segengine.cli.options import output_option, project_options, snapshot_options
from segengine.cli.output import emit_csv, emit_document, show_time_in, snapshot_fields
from segengine.errors import ConfigError

if TYPE_CHECKING:
    from segengine.models.insights import Insight
    from segengine.operations.insights import InsightDetails


@click.group()
def insights() -> None:
    """Look at insights: what sets segments apart, what they share."""


@insights.command("show")
@click.argument("name")
@click.option("--field", "fields", multiple=True, metavar="FIELD", help="Only this field, by its values (repeatable).")
@snapshot_options
@project_options
@output_option("table", "json", "yaml", "csv")
def show_command(
    name: str,
    fields: tuple[str, ...],
    snapshot: int | None,
    at: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Show what an insight found.

    Differentiators: the fields in which the members of one segment differ from those of another or from everyone else,
    those that differ most first: from 0, no difference, to 1, no value in common, with its 95 % interval. Overlap: the
    profiles in every combination of segments, also by the values of fields. CSV has the rows of the output table.
    """
    from segengine.api import Project
    from segengine.models.answers import dump_answer
    from segengine.models.insight_rows import list_rows
    from segengine.operations.context import parse_as_of

    project = Project(conf, environment=environment, engine=engine)
    zone = project.settings.time_zone
    details = project.insight(name, snapshot=snapshot, at=parse_as_of(at, zone) if at else None)
    insight = _choose(details, fields) if fields else details.insight
    if output == "csv":
        emit_csv(list_rows(insight, zone))
    elif output == "table":
        _show(details, insight, zone, by_values=bool(fields))
    else:
        row = {"id": details.analysis.id, "name": details.analysis.name, **snapshot_fields(details.snapshot)}
        emit_document(output, {"insight": {**row, "result": dump_answer(insight)}})


def _choose(details: InsightDetails, names: Sequence[str]) -> Insight:
    """Return an insight with some of its fields alone.

    Raises:
        ConfigError: It has not all of them.
    """
    from segengine.models.overlap import Overlap
    from segengine.project.problems import did_you_mean

    insight = details.insight
    known = insight.fields if isinstance(insight, Overlap) else insight.differences
    by_name = {each.field: each for each in known}
    for name in names:
        if name not in by_name:
            message = f'Insight "{details.analysis.name}" has no field "{name}".'
            raise ConfigError(message, did_you_mean(name, by_name))
    if isinstance(insight, Overlap):
        return replace(insight, fields=tuple(each for each in insight.fields if each.field in names))
    return replace(insight, differences=tuple(each for each in insight.differences if each.field in names))


def _show(details: InsightDetails, insight: Insight, zone: str, *, by_values: bool) -> None:
    from segengine.models.overlap import Overlap
    from segengine.report.differentiators import draw_difference, draw_differentiators
    from segengine.report.overlap import draw_overlap

    run = details.snapshot
    click.echo(f"{details.analysis.name}: snapshot {run.snapshot_version} as of {show_time_in(zone)(run.as_of)}")
    if isinstance(insight, Overlap):
        click.echo(draw_overlap(insight, zone), nl=False)
    elif by_values:
        drawn = [draw_difference(each, insight.sides, zone) for each in insight.differences]
        click.echo("\n".join(drawn), nl=False)
    else:
        click.echo(draw_differentiators(insight, zone), nl=False)
