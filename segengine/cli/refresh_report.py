"""How a refresh ended, for people, for programs and in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.log import add_to_summary
from segengine.cli.output import MEMBER_COLUMNS, Column, emit_document, emit_rows, print_table, show_count, show_time_in

if TYPE_CHECKING:
    from segengine.operations.refresh import RefreshReport
    from segengine.store.runs import AnyRun

Rows = list[dict[str, Any]]
_MEASURE_COLUMNS = (Column("row_count", "rows", show_count, right=True),)


def summarise_report(report: RefreshReport) -> None:
    """Say of a run in the log what monitoring asks: how many definitions ended how, and what it read."""
    add_to_summary(
        run_id=report.run_id,
        as_of=report.as_of,
        engine=report.engine,
        segments=Counter(str(run.status) for run in report.segments),
        measures=Counter(str(run.status) for run in report.measures),
        analyses=Counter(str(run.status) for run in report.analyses),
        row_count=sum(scan.row_count for scan in report.scans),
    )


def show_report(report: RefreshReport, output: str, zone: str) -> None:
    """Print how a refresh ended: a table of each kind of definitions, or one document; as CSV the segments."""
    segments, measures = _rows(report.segments, MEMBER_COLUMNS), _rows(report.measures, _MEASURE_COLUMNS)
    analyses = _rows(report.analyses, ())
    if output == "csv":
        emit_rows(output, "segments", segments, [])
    elif output != "table":
        content = {
            "run_id": report.run_id,
            "as_of": report.as_of,
            "engine": report.engine,
            "seconds": round(report.seconds, 3),
            "unchanged_count": report.unchanged_count,
            "profile_count": report.profile_count,
            "scans": [asdict(scan) for scan in report.scans],
            "segments": segments,
            "measures": measures,
            "analyses": analyses,
        }
        emit_document(output, content)
    elif report.run_id:
        _print("measure", measures, _MEASURE_COLUMNS)
        _print("segment", segments, MEMBER_COLUMNS)
        _print("suggestion or insight", analyses, ())
        parts = {"measures": measures, "segments": segments, "suggestions and insights": analyses}
        _print_summary(report, ", ".join(_show_good(kind, rows) for kind, rows in parts.items() if rows), zone)
        if any(row["status"] == "Held" for row in segments):
            click.echo("held back: `segengine release NAME` makes a result current, `segengine drop NAME` does not")


def _rows(runs: Sequence[AnyRun], columns: Sequence[Column]) -> Rows:
    return [
        {
            "id": run.id,
            "name": run.name,
            "status": str(run.status),
            "snapshot_version": run.snapshot_version or None,
            **{column.key: getattr(run, column.key) for column in columns},
            "error": run.error,
        }
        for run in runs
    ]


def _print(kind: str, rows: Rows, further: Sequence[Column]) -> None:
    columns = [Column("name", kind), Column("status", "status"), Column("snapshot_version", "snapshot", right=True)]
    columns += further
    if any(row["error"] for row in rows):
        columns.append(Column("error", "why"))
    if rows:
        print_table(sorted(rows, key=lambda row: row["name"].casefold()), columns)


def _show_good(kind: str, rows: Rows) -> str:
    good = sum(row["status"] == "Successful" for row in rows)
    return f"{good} of {len(rows)} {kind}"


def _print_summary(report: RefreshReport, counts: str, zone: str) -> None:
    when = f"{show_time_in(zone)(report.as_of)} in {report.seconds:.1f} s"
    click.echo(f"{counts} published as of {when} ({report.run_id}, {report.engine})")
    if report.unchanged_count:
        click.echo(f"of them kept, because nothing behind them changed: {report.unchanged_count}")
    for scan in report.scans:
        orphans = f", {scan.orphan_count:,} reach no profile" if scan.orphan_count else ""
        click.echo(f"read {scan.name}: {scan.row_count:,} rows{orphans}")
