"""Printing segments that commands make, before and after they are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.output import show_share, show_time_in

if TYPE_CHECKING:
    from segengine.operations.quick_segment import CountedDraft
    from segengine.project.project_file import Settings


def show_draft(counted: CountedDraft, settings: Settings, value: str = "") -> None:
    """Print the definition and its size; `value`: the one given to `equals`, else ''."""
    from segengine.project.nodes import dump_documents

    for issue in counted.issues:
        click.echo(str(issue), err=True)
    click.echo(dump_documents([counted.draft.fields]))
    preview = counted.preview
    when = show_time_in(settings.time_zone)(preview.as_of)
    size = f"{preview.member_count:,} of {preview.profile_count:,} profiles ({show_share(counted.member_share)})"
    click.echo(f"{size} as of {when}; output table {preview.segment.output_table}")
    if "," in value and not preview.member_count:
        click.echo(f'note: "{value}" is one value; for several write any_of', err=True)


def show_end(counted: CountedDraft, created: bool, conf: Path) -> None:
    """Print whether it was recorded, and what comes next."""
    if not created:
        click.echo("not created: say --yes")
        return
    segment, file = counted.draft.segment, counted.draft.file
    click.echo(f'created segment {segment.id} "{segment.name}"{f", written to {file}" if file else ""}')
    where = "" if conf == Path() else f" --conf {conf}"
    click.echo(f"next: segengine refresh {segment.id}{where}", err=True)


def draft_document(counted: CountedDraft, created: bool) -> dict[str, Any]:
    """Return the same as values, for programs."""
    preview, segment = counted.preview, counted.draft.segment
    return {
        "id": segment.id,
        "name": segment.name,
        "audience": segment.audience,
        "output_table": segment.output_table,
        "definition": counted.draft.fields,
        "as_of": preview.as_of,
        "member_count": preview.member_count,
        "profile_count": preview.profile_count,
        "member_share": counted.member_share,
        "issues": [issue.as_dict() for issue in counted.issues],
        "created": created,
        "file": counted.draft.file,
    }
