"""Commands on models: what is behind a segment of similar customers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.member_commands import snapshot_row
from segengine.cli.options import output_option, project_options, snapshot_options
from segengine.cli.output import Column, emit_document, print_table, show_count, show_share, show_time_in

if TYPE_CHECKING:
    from segengine.operations.similar import SimilarityDetails


@click.command()
@click.argument("name")
@snapshot_options
@project_options
@output_option("table", "json", "yaml")
def similar(
    name: str, snapshot: int | None, at: str | None, conf: Path, environment: str, engine: str, output: str
) -> None:
    """Show the model behind an expansion: fields, evidence, scores.

    An expansion is a segment of the customers most like the members of another one: `kind: expansion` in a definition
    file; `refresh` finds its members.
    """
    from segengine.api import Project
    from segengine.operations.context import parse_as_of

    project = Project(conf, environment=environment, engine=engine)
    zone = project.settings.time_zone
    details = project.similarity(name, snapshot=snapshot, at=parse_as_of(at, zone) if at else None)
    if output != "table":
        row = {"name": details.segment.name, "source": details.source_name, **snapshot_row(details.snapshot)}
        emit_document(output, {"similarity": {**row, "report": dict(details.report)}})
        return
    _show(details, zone)


def _show(details: SimilarityDetails, zone: str) -> None:
    run, report = details.snapshot, details.report
    when = show_time_in(zone)(run.as_of)
    click.echo(
        f'{details.segment.name}: {show_count(run.member_count)} profiles like the members of "{details.source_name}"'
    )
    click.echo(f"snapshot {run.snapshot_version} as of {when}")
    quality = report["quality"]
    click.echo(
        f"learned from {report['members_used']:,} of {report['members']:,} members and {report['others_used']:,} of "
        f"{report['others']:,} others; held-out members are told from others with an AUC of {quality['auc']:.2f} "
        f"(with 95 % confidence above {quality['auc_bound']:.2f})"
    )
    for warning in report["warnings"]:
        click.echo(f"warning: {warning}")
    drops = {each["field"]: each["auc_drop"] for each in report["importance"]}
    rows = [{**choice, "drop": drops.get(choice["name"])} for choice in report["fields"]]
    rows.sort(key=lambda row: (not row["used"], -(row["drop"] or 0)))
    columns = [
        Column("name", "field"),
        Column("used", "used", lambda used: "yes" if used else "no"),
        Column("auc", "AUC alone", _show_ratio, right=True),
        Column("drop", "AUC lost without it", _show_ratio, right=True),
        Column("reason", "why"),
    ]
    print_table(rows, columns)
    _show_bands(report)
    _show_lists(report)


def _show_bands(report: Mapping[str, Any]) -> None:
    found = report["evidence"] or {"bands": []}
    ratios = {band["band"]: band["ratio"] for band in found["bands"]}
    bands = [{**band, "ratio": ratios.get(band["band"])} for band in report["candidate_bands"]]
    columns = [
        Column("band", "candidates who are"),
        Column("least", "score from", _show_ratio, right=True),
        Column("candidates", "candidates", show_count, right=True),
    ]
    if any(band["ratio"] is not None for band in bands):
        columns.append(Column("ratio", "times as common among members", _show_times, right=True))
    print_table(bands, columns)


def _show_lists(report: Mapping[str, Any]) -> None:
    evidence = report["evidence"]
    if evidence is None:
        click.echo("no evidence: with fields of the source's own rule, finding its members again proves nothing")
        return
    columns = [
        Column("size_share", "the best", show_share, right=True),
        Column("recall", "hold of the hidden members", show_share, right=True),
        Column("lift", "times as many as by chance", _show_times, right=True),
    ]
    click.echo(f"evidence: {evidence['hidden']:,} members hidden among {evidence['others']:,} others, and looked for")
    print_table(evidence["lists"], columns)


def _show_ratio(value: float | None) -> str:
    return "" if value is None else f"{round(value, 2) + 0.0:.2f}"  # + 0.0: there is one zero


def _show_times(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
