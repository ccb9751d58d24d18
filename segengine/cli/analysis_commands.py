"""The commands that suggestions and insights share: list, and those that change definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segengine.cli.list_command import add_list_command
from segengine.cli.manage_commands import add_manage_commands
from segengine.cli.output import Column

if TYPE_CHECKING:
    from segengine.operations.analyses import AnalysisSummary
    from segengine.project.analysis import AnalysisKind


def add_analysis_commands(group: click.Group, kind: AnalysisKind) -> None:
    """Add to a group the commands that list its kind of definitions, and change them."""
    add_list_command(
        group,
        kind,
        lambda project: [each for each in project.analyses() if each.analysis.kind == kind],
        _summary_row,
        about=(Column("asks", "about"),),
    )
    add_manage_commands(group, kind)


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
