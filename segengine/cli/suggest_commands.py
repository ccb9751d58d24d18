"""Commands on suggestions: the groups that stand out in a target, or that an activity makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.drafts import draft_document, show_draft, show_end
from segengine.cli.options import as_of_option, output_option, project_options, snapshot_options
from segengine.cli.output import emit_document, show_time_in, snapshot_fields
from segengine.cli.quick_questions import can_ask

if TYPE_CHECKING:
    from segengine.operations.suggestions import SuggestionDetails


@click.group()
def suggest() -> None:
    """Groups of customers worth a segment, found by a refresh.

    A suggestion is a definition. With `improve` it looks for groups in which a target (LifetimeSpend, satisfaction) is
    higher or lower than in general; with `activity` it groups customers by how recently, often and much they did
    something. `segengine refresh` finds the groups, each with a rule of its own.
    """


@suggest.command("show")
@click.argument("name")
@snapshot_options
@project_options
@output_option("table", "json", "yaml")
def show_command(
    name: str, snapshot: int | None, at: str | None, conf: Path, environment: str, engine: str, output: str
) -> None:
    """Show the groups that suggestion NAME found, numbered.

    Each with the average in the group against that of all, its members, and what to expect of it: the average among
    customers the group was not found on, with its interval. Below them what was left out and why. JSON and YAML have
    the rule of each group too.

    \b
    Examples:
      segengine suggest show "What drives lifetime spend"
      segengine suggest show "Purchase activity" --at 2026-06-30 -o json
    """  # noqa: D301 - click wants the character, to keep the lines of a paragraph
    from segengine.api import Project
    from segengine.operations.context import parse_as_of

    project = Project(conf, environment=environment, engine=engine)
    zone = project.settings.time_zone
    details = project.suggestions(name, snapshot=snapshot, at=parse_as_of(at, zone) if at else None)
    if output == "table":
        _show(details, zone)
    else:
        emit_document(output, {"suggestions": _document(details)})


def _show(details: SuggestionDetails, zone: str) -> None:
    from segengine.models.suggestions import Suggestions
    from segengine.report.activity import draw_activity
    from segengine.report.suggestions import draw_suggestions

    run, result = details.snapshot, details.findings.result
    when = show_time_in(zone)(run.as_of)
    of = f', of "{details.of_name}"' if details.of_name else ""
    click.echo(f"{details.suggestion.name}{of}: snapshot {run.snapshot_version} as of {when}")
    if isinstance(result, Suggestions):
        text = draw_suggestions(result, [one.card for one in details.findings.proposals])
    else:
        text = draw_activity(result, zone)
    click.echo(text, nl=False)
    if details.findings.proposals:
        click.echo(f'save one: segengine suggest save {details.suggestion.id} NUMBER --name "..."', err=True)


def _document(details: SuggestionDetails) -> dict[str, Any]:
    from segengine.models.answers import dump_answer

    found = dump_answer(details.findings)
    return {"name": details.suggestion.name, **snapshot_fields(details.snapshot), **found}


@suggest.command("save")
@click.argument("name")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--name", "saved_name", required=True, help="What the segment is called.")
@click.option("--id", "identity", default="", metavar="ID", help="Its id (default: made from the name).")
@click.option("--output-table", default="", metavar="TABLE", help="Its output table (default: made from the name).")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Write the YAML to this file too.")
@click.option("--yes", is_flag=True, help="Save it without asking.")
@snapshot_options
@as_of_option
@project_options
@output_option("table", "json", "yaml")
def save_command(
    name: str,
    number: int,
    saved_name: str,
    identity: str,
    output_table: str,
    file: Path | None,
    yes: bool,
    snapshot: int | None,
    at: str | None,
    as_of: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Save group NUMBER of suggestion NAME as a segment.

    It becomes an ordinary dynamic segment with exactly the members that were promised, as long as the customers stay
    as they are: limits and, of an activity, the days of its period are written out. Its size is counted before
    anything is recorded; --as-of counts as of an earlier day. Then it asks, unless there is --yes; where nobody can be
    asked, it only shows. The segment is evaluated by the next refresh.

    \b
    Examples:
      segengine suggest save "What drives lifetime spend" 1 --name "High earners" --yes
      segengine suggest save "Purchase activity" 2 --name "Best buyers" --file definitions/best.yml
    """  # noqa: D301 - click wants the character, to keep the lines of a paragraph
    from segengine.operations.context import open_project, open_settings, parse_as_of
    from segengine.operations.quick_segment import count_draft, record_draft
    from segengine.operations.suggestions import SavedAs, draft_proposal

    settings = open_settings(conf, environment, engine)
    zone = settings.time_zone
    asking = output == "table" and not yes and can_ask()
    saved_as = SavedAs(saved_name, output_table, identity, file)
    with open_project(settings) as project:
        found_at = parse_as_of(at, zone) if at else None
        draft = draft_proposal(project, name, number, saved_as, snapshot=snapshot, at=found_at)
        counted = count_draft(project, draft, as_of=parse_as_of(as_of, zone) if as_of else None)
        if output == "table":
            show_draft(counted, settings)
        if asking:
            click.confirm("Create it?", abort=True, err=True)
        if created := yes or asking:
            record_draft(project, draft)
    if output == "table":
        show_end(counted, created, conf)
    else:
        emit_document(output, {"segment": draft_document(counted, created)})
