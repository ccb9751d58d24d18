"""The command `status`: how the project stands, for people, monitoring and Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.metrics import metrics_option, metrics_written
from segengine.cli.options import output_option, project_options
from segengine.cli.output import (
    Column,
    emit_document,
    emit_rows,
    print_table,
    show_bytes,
    show_count,
    show_share,
    show_time_in,
)

if TYPE_CHECKING:
    from segengine.operations.costs import RunCosts
    from segengine.operations.status import ProjectStatus, RunSummary
    from segengine.store.sizes import WarehouseSize


@click.command()
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many runs to show.")
@click.option("--costs", is_flag=True, help="Also each definition's share of the rows the newest run read.")
@metrics_option
@project_options
@output_option("table", "json", "yaml", "csv")
def status(
    limit: int, costs: bool, metrics_file: Path | None, conf: Path, environment: str, engine: str, output: str
) -> None:
    """Show whether a run is under way, what is due, how the last runs ended, what they read and wrote.

    The share of a segment or measure is an estimate: the rows of each scan, divided equally among those that ask
    something of it. "for it alone" are the rows that nobody else asks anything of.
    """
    from segengine.api import Project

    with Project(conf, environment=environment, engine=engine) as project, metrics_written(project, metrics_file):
        state = project.status(limit)
        found = project.costs() if costs else None
    rows = [_run_row(summary) for summary in state.runs]
    if output == "csv":
        emit_rows(output, "runs", rows if found is None else _cost_rows(found), [])
    elif output != "table":
        document = {**_document(state), "runs": rows}
        emit_document(output, document if found is None else {**document, "costs": _cost_document(found)})
    else:
        _show_status(state, rows, project.settings.time_zone)
        if found is not None:
            _show_costs(found)


def _run_row(summary: RunSummary) -> dict[str, Any]:
    from segengine.operations.past_sources import load_readings

    run = summary.run
    return {
        "run_id": run.run_id,
        "purpose": run.purpose,
        "status": str(run.status),
        "as_of": run.as_of,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "seconds": run.seconds,
        "segments": dict(summary.status_counts),
        "row_count": run.row_count,
        "orphan_count": summary.orphan_count,
        "snapshot_bytes": run.snapshot_bytes,
        "scans": [dict(scan) for scan in summary.scans],
        "sources": [vars(source) for source in load_readings(run)],
        "engine": run.engine,
        "author": run.author,
        "error": run.error,
    }


def _document(state: ProjectStatus) -> dict[str, Any]:
    names = ("owner", "work_id", "until", "progress")
    lease = {**{name: getattr(state, name) for name in names}, "ids": list(state.refreshing)}
    success = state.last_success
    return {
        "lease": lease if state.owner else None,
        "died": state.died or None,
        "due_count": state.due_count,
        "next_due": state.next_due,
        "last_success": {"run_id": success.run_id, "as_of": success.as_of, "finished_at": success.finished_at}
        if success
        else None,
        "warehouse": {
            "byte_count": state.size.byte_count,
            "disk_bytes": state.size.disk_bytes,
            "tables": {name: vars(size) for name, size in state.size.tables.items()},
        },
    }


def _show_status(state: ProjectStatus, rows: list[dict[str, Any]], zone: str) -> None:
    held = f"{state.work_id} is under way ({state.owner}), {len(state.refreshing)} definitions"
    held += f": {state.progress}" if state.progress else ""
    click.echo(held if state.owner else "no run is under way")
    if state.died:
        click.echo(f"{state.died} (was it killed?): what it refreshed shows as Failed until it is refreshed again")
    following = show_time_in(zone)(state.next_due)
    click.echo(f"due now: {state.due_count} definitions; next due: {following or 'nothing by a schedule'}")
    if state.last_success:
        click.echo(f"last success: {show_time_in(zone)(state.last_success.finished_at)}")
    if state.size.tables:
        click.echo(_show_size(state.size))
    _show_runs(rows, zone)


def _show_size(size: WarehouseSize) -> str:
    snapshots = size.tables.get("snapshots")
    parts = f"warehouse: {show_bytes(size.byte_count)} in {len(size.tables)} tables"
    if snapshots:
        parts += f", {show_bytes(snapshots.byte_count)} of it snapshots"
    return parts + (f"; {show_bytes(size.disk_bytes)} on disk" if size.disk_bytes is not None else "")


def _show_runs(rows: list[dict[str, Any]], zone: str) -> None:
    show_time = show_time_in(zone)
    columns = [
        Column("started_at", "started", show_time),
        Column("as_of", "as of", show_time),
        Column("ended", "definitions"),
        Column("seconds", "seconds", lambda value: f"{value:.1f}", right=True),
        Column("row_count", "rows read", show_count, right=True),
        Column("orphan_count", "orphans", show_count, right=True, optional=True),
        Column("snapshot_bytes", "written", show_bytes, right=True, optional=True),
        Column("run_id", "run"),
    ]
    if any(row["error"] for row in rows):
        columns.append(Column("error", "why"))
    if rows:
        print_table([{**row, "ended": _show_ended(row)} for row in rows], columns)
    else:
        click.echo("no run yet; start one with `segengine refresh`")


def _show_ended(row: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in row["segments"].items()) or row["status"]
    return counts if row["purpose"] == "refresh" else f"{row['purpose']}: {counts}"


def _cost_rows(found: RunCosts) -> list[dict[str, Any]]:
    return [
        {
            "id": each.definition.id,
            "name": each.definition.name,
            "kind": each.definition.kind,
            "row_share": each.cost.share,
            "own_row_count": each.cost.own_row_count,
            "scans": list(each.cost.scans),
        }
        for each in found.costs
    ]


def _cost_document(found: RunCosts) -> dict[str, Any]:
    return {"run_id": found.run.run_id if found.run else None, "definitions": _cost_rows(found)}


def _show_costs(found: RunCosts) -> None:
    if found.run is None:
        return
    click.echo(f"\nwhose are the {show_count(found.run.row_count)} rows that {found.run.run_id} read")
    columns = [
        Column("name", "definition"),
        Column("kind", "kind"),
        Column("row_share", "share", show_share, right=True),
        Column("own_row_count", "for it alone", show_count, right=True),
        Column("scans", "reads", ", ".join),
    ]
    print_table(_cost_rows(found), columns)
