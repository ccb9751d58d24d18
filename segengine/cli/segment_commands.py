"""Commands on segments: list, show, members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.list_command import add_list_command
from segengine.cli.manage_commands import add_manage_commands
from segengine.cli.member_commands import add_member_commands, snapshot_row
from segengine.cli.options import output_option, period_option, project_options, snapshot_options
from segengine.cli.output import (
    MEMBER_COLUMNS,
    Column,
    emit_document,
    make_value_column,
    plain_value,
    print_outline,
    print_table,
    purpose_columns,
    show_count,
    show_due_in,
    show_share,
    show_time_in,
    show_users,
)
from segengine.cli.periods import Period, within_period

if TYPE_CHECKING:
    import pyarrow as pa

    from segengine.operations.segments import CountedOutline, SegmentDetails, SegmentSummary
    from segengine.operations.why import Why
    from segengine.store.runs import SegmentRun

_SHOWN_SNAPSHOTS = 10
_SHOWN_MEMBERS = 100


@click.group()
def segments() -> None:
    """Look at segments and their members, and keep them in order."""


def _summary_row(summary: SegmentSummary) -> dict[str, Any]:
    current = summary.current
    return {
        "id": summary.segment.id,
        "name": summary.segment.name,
        "kind": summary.record.kind,
        "audience": summary.segment.audience,
        "description": summary.segment.description,
        "type": summary.segment.type,
        "state": summary.segment.state,
        "tags": list(summary.segment.tags),
        "output_table": summary.segment.output_table,
        "status": str(summary.status),
        "error": summary.error,
        "snapshot_version": current.snapshot_version if current else None,
        "member_count": current.member_count if current else None,
        "member_share": summary.member_share,
        "entered_count": current.entered_count if current else None,
        "left_count": current.left_count if current else None,
        "as_of": current.as_of if current else None,
        "schedule": str(summary.schedule) if summary.schedule else None,
        "next_due": summary.next_due,
        "held": _held_row(summary.held) if summary.held else None,
        "definition_version": summary.record.version,
        "author": summary.record.author,
        "recorded_at": summary.record.recorded_at,
    }


def _held_row(run: SegmentRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ("as_of", "member_count", "entered_count", "left_count", "run_id")}


@segments.command("show")
@click.argument("name")
@click.option("--counts", is_flag=True, help="The rules as a tree, each with the profiles that satisfy it.")
@click.option(
    "--members",
    "member_limit",
    type=click.IntRange(1),
    is_flag=False,
    flag_value=_SHOWN_MEMBERS,
    metavar="[N]",
    help=f"Also the first members (N of them, else {_SHOWN_MEMBERS}), with the attributes in the rules.",
)
@period_option
@project_options
@output_option("table", "json", "yaml")
def show_command(
    name: str,
    counts: bool,
    member_limit: int | None,
    period: Period,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Show one segment: definition, status, trend of members with who entered and left, where it is used."""
    from segengine.api import Project

    if counts and member_limit is not None:
        raise click.UsageError("--counts shows the rules alone: it goes without --members.")
    with Project(conf, environment=environment, engine=engine) as project:
        if counts:
            _show_counts(project.counts(name), project.settings.time_zone, output)
            return
        details = project.segment(name)
        snapshots = within_period(details.snapshots, period)
        members = None
        if member_limit is not None and details.summary.current:
            members = project.members_with_attributes(name, limit=member_limit)
    if output == "table":
        _show_details(details, snapshots, project.settings.time_zone)
        if member_limit is not None:
            _show_members(details, members)
        return
    content = {
        **_summary_row(details.summary),
        "definition": details.fields,
        "snapshots": [snapshot_row(run) for run in snapshots],
        "used_by": [vars(user) for user in details.used_by],
        "sources": [vars(source) for source in details.sources],
    }
    if members is not None:
        content["members"] = [{key: plain_value(value) for key, value in row.items()} for row in members.to_pylist()]
    emit_document(output, {"segment": content})


def _show_members(details: SegmentDetails, members: pa.Table | None) -> None:
    click.echo()
    if members is None:
        click.echo("no members: it has no snapshot yet")
        return
    rows = members.to_pylist()
    print_table(rows, [make_value_column(name, rows) for name in members.column_names])
    current = details.summary.current
    click.echo(f"the first {members.num_rows:,} of {show_count(current and current.member_count)} members")


def _show_counts(outline: CountedOutline, zone: str, output: str) -> None:
    run = outline.snapshot
    if output != "table":
        lines = [asdict(line) for line in outline.lines]
        emit_document(output, {"segment": {"name": outline.segment.name, **snapshot_row(run), "rules": lines}})
        return
    print_outline(outline.lines)
    when = show_time_in(zone)(run.as_of)
    click.echo(f"{run.member_count:,} of {run.profile_count:,} profiles, snapshot {run.snapshot_version} as of {when}")


def _show_details(details: SegmentDetails, snapshots: Sequence[SegmentRun], zone: str) -> None:
    from segengine.operations.past_sources import show_readings
    from segengine.project.nodes import dump_documents
    from segengine.report.charts import draw_trend

    row, show_time = _summary_row(details.summary), show_time_in(zone)
    state = "" if row["state"] == "active" else f"{row['state']}, "
    click.echo(f"{row['name']} ({row['id']}), {row['type']}, {state}{row['status']}")
    if row["error"]:
        click.echo(f"why: {row['error']}")
    if (held := details.summary.held) is not None:
        what = f"{held.member_count:,} members, {held.entered_count:,} entered, {held.left_count:,} left"
        decide = f"`segengine release {row['id']}` or `segengine drop {row['id']}`"
        click.echo(f"held back: {what}, as of {show_time(held.as_of)}; {decide}")
    if row["member_count"] is not None:
        change = f"{row['entered_count']:,} entered, {row['left_count']:,} left"
        click.echo(
            f"{row['member_count']:,} members ({show_share(row['member_share'])} of all), {change}, "
            f"as of {show_time(row['as_of'])} (snapshot {row['snapshot_version']})"
        )
    if details.sources:
        click.echo(f"its run read {show_readings(details.sources)}")
    click.echo(
        f"version {row['definition_version']} by {row['author']}, {show_time(row['recorded_at'])}; "
        f"audience {row['audience']}, output table {row['output_table']}"
    )
    click.echo(
        f"refreshed {row['schedule'] or 'when asked'}; next due: {show_due_in(zone)(row['next_due']) or 'never'}"
    )
    click.echo(f"used by: {show_users(details.used_by) or 'nobody known'}")
    click.echo("\n" + dump_documents([details.fields]).rstrip())
    if len(snapshots) > 1:
        click.echo("\n" + draw_trend("Members", snapshots, zone).rstrip())
    if snapshots:
        shown = [snapshot_row(run) for run in snapshots[-_SHOWN_SNAPSHOTS:]]
        columns = [
            Column("snapshot_version", "snapshot", right=True),
            Column("as_of", "as of", show_time),
            *purpose_columns(shown),
            *MEMBER_COLUMNS,
        ]
        click.echo()
        print_table(shown, columns)


@segments.command("why")
@click.argument("name")
@click.argument("profile_id")
@snapshot_options
@project_options
@output_option("table", "json", "yaml")
def why_command(
    name: str,
    profile_id: str,
    snapshot: int | None,
    at: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Say why a profile is in a segment or not: conditions, values and rows."""
    from segengine.api import Project
    from segengine.operations.context import parse_as_of

    project = Project(conf, environment=environment, engine=engine)
    zone = project.settings.time_zone
    why = project.why(name, profile_id, snapshot=snapshot, at=parse_as_of(at, zone) if at else None)
    if output != "table":
        lines = [asdict(line) for line in why.lines]
        shown = {"segment": why.segment.name, "profile_id": profile_id, "is_member": why.is_member, "rules": lines}
        emit_document(output, {"why": {**shown, **(snapshot_row(why.snapshot) if why.snapshot else {})}})
        return
    _show_why(why, zone)


def _show_why(why: Why, zone: str) -> None:
    run = why.snapshot
    shown = show_time_in(zone)(run.as_of) if run else ""
    when = f"snapshot {run.snapshot_version} as of {shown}" if run else "on the sources as they are now"
    click.echo(f'{why.profile_id} is {"a" if why.is_member else "no"} member of "{why.segment.name}" ({when})')
    several = any(line.total is not None for line in why.lines)
    rows = [
        {
            "rule": "  " * line.depth + line.text + ("  <- decided" if line.decided and several else ""),
            "truth": line.truth,
            "saw": line.saw,
            "total": {True: "in", False: "out", None: ""}[line.total],
        }
        for line in why.lines
    ]
    columns = [Column("rule", "rule"), Column("truth", "holds"), Column("saw", "saw")]
    if several:
        columns.append(Column("total", "so far"))
    print_table(rows, columns)
    for line in why.lines:
        if line.rows:
            click.echo(f"{line.text}: the first of the rows that decided, by key")
            print_table(line.rows, [Column(name, name) for name in line.rows[0]])


add_list_command(
    segments,
    "segment",
    lambda project: project.segments(),
    _summary_row,
    counts=(
        Column("member_count", "members", show_count, right=True),
        Column("member_share", "of all", show_share, right=True, optional=True),
        Column("entered_count", "entered", show_count, right=True, optional=True),
        Column("left_count", "left", show_count, right=True, optional=True),
    ),
)
add_member_commands(segments)
add_manage_commands(segments, "segment")
