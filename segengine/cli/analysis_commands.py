"""The commands that suggestions and insights share: list, and those that change definitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.listing import Listing, filter_options, listing_options
from segengine.cli.manage_commands import add_manage_commands
from segengine.cli.options import output_option, project_options
from segengine.cli.output import Column, show_due_in, show_time_in

if TYPE_CHECKING:
    from segengine.operations.analyses import AnalysisSummary
    from segengine.project.analysis import AnalysisKind


def add_analysis_commands(group: click.Group, kind: AnalysisKind) -> None:
    """Add to a group the commands that list its kind of definitions, and change them."""
    group.add_command(_list_command(kind))
    add_manage_commands(group, kind)


def _list_command(kind: AnalysisKind) -> click.Command:
    @click.command("list", help=f"List applied {kind}s by name, all or some of them.")
    @filter_options
    @listing_options
    @project_options
    @output_option("table", "json", "yaml", "csv")
    def list_command(
        tags: tuple[str, ...], search: str, listing: Listing, conf: Path, environment: str, engine: str, output: str
    ) -> None:
        from segengine.api import Project
        from segengine.project.find import Filter

        project = Project(conf, environment=environment, engine=engine)
        wanted = Filter(tags, search)
        found = [each for each in project.analyses() if each.analysis.kind == kind]
        rows = [_summary_row(each) for each in found if wanted.accepts(each.record.id, each.record.fields)]
        columns = [
            Column("name", kind),
            *([Column("audience", "audience")] if len(project.settings.audiences) > 1 else []),
            Column("asks", "about"),
            Column("tags", "tags", ", ".join),
            Column("type", "type"),
            *([Column("state", "state")] if any(row["state"] != "active" for row in rows) else []),
            Column("status", "status"),
            Column("as_of", "as of", show_time_in(project.settings.time_zone)),
        ]
        if any(row["next_due"] for row in rows):
            columns.append(Column("next_due", "next due", show_due_in(project.settings.time_zone)))
        if any(row["error"] for row in rows):
            columns.append(Column("error", "why"))
        listing.emit(output, f"{kind}s", rows, columns)

    return list_command


def _summary_row(summary: AnalysisSummary) -> dict[str, Any]:
    analysis, current = summary.analysis, summary.current
    return {
        "id": analysis.id,
        "name": analysis.name,
        "audience": analysis.audience,
        "description": analysis.description,
        "asks": summary.asks,
        "type": analysis.type,
        "state": analysis.state,
        "tags": list(analysis.tags),
        "status": str(summary.status),
        "error": summary.error,
        "snapshot_version": current.snapshot_version if current else None,
        "as_of": current.as_of if current else None,
        "schedule": str(summary.schedule) if summary.schedule else None,
        "next_due": summary.next_due,
        "definition_version": summary.record.version,
        "author": summary.record.author,
        "recorded_at": summary.record.recorded_at,
    }
