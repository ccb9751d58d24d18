"""`list`: the same for segments, measures, suggestions and insights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.listing import Listing, filter_options, listing_options
from segengine.cli.options import output_option, project_options
from segengine.cli.output import Column, show_due_in, show_time_in

if TYPE_CHECKING:
    from segengine.api import Project


def add_list_command(
    group: click.Group,
    kind: str,
    list_summaries: Callable[[Project], Sequence[Any]],
    summary_row: Callable[[Any], dict[str, Any]],
    *,
    about: Sequence[Column] = (),
    counts: Sequence[Column] = (),
) -> None:
    """Add to a group the command that lists its kind of definitions.

    Args:
        group: The commands on this kind.
        kind: The kind, and the header of the names.
        list_summaries: Returns what is known of each applied definition, with its `record`.
        summary_row: Makes a row of it.
        about: Columns that say what a definition is about.
        counts: Columns that say what its current snapshot holds.
    """

    @group.command("list", help=f"List applied {kind}s by name, all or some of them.")
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
        zone, several = project.settings.time_zone, len(project.settings.audiences) > 1
        wanted = Filter(tags, search)
        found = [each for each in list_summaries(project) if wanted.accepts(each.record.id, each.record.fields)]
        rows = [summary_row(each) for each in found]
        is_measure = kind == "measure"  # says by `per` whose it is
        next_due = Column("next_due", "next due", show_due_in(zone), optional=True)
        columns = [
            Column("name", kind),
            *([Column("audience", "audience")] if several and not is_measure else []),
            *about,
            Column("tags", "tags", ", ".join, optional=True),
            *([Column("type", "type")] if any(row.get("type", "dynamic") != "dynamic" for row in rows) else []),
            *([Column("state", "state")] if any(row["state"] != "active" for row in rows) else []),
            Column("status", "status"),
            *counts,
            Column("as_of", "as of", show_time_in(zone)),
            *([next_due] if any(row["next_due"] for row in rows) else []),
            *([Column("error", "why")] if any(row["error"] for row in rows) else []),
        ]
        listing.emit(output, f"{kind}s", rows, columns)
