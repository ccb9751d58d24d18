"""Commands on the registry: history, usage, consumers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.definition_commands import show_plan
from segengine.cli.listing import Listing, listing_options
from segengine.cli.manage_commands import add_removal
from segengine.cli.options import output_option, project_options
from segengine.cli.output import Column, emit_document, show_time_in, show_users

if TYPE_CHECKING:
    from segengine.api import Project
    from segengine.operations.history import DefinitionVersion


@click.command()
@click.argument("name")
@project_options
@output_option("table", "json", "yaml")
def history(name: str, conf: Path, environment: str, engine: str, output: str) -> None:
    """Show the versions of a definition: who recorded what, when, and the lines that changed (- before, + after)."""
    from segengine.api import Project

    project = Project(conf, environment=environment, engine=engine)
    versions = project.history(name)
    if output != "table":
        emit_document(output, {"versions": [_version_row(version) for version in versions]})
        return
    show_time = show_time_in(project.settings.time_zone)
    for version in versions:
        record = version.record
        click.echo(f"version {record.version}, {show_time(record.recorded_at)} by {record.author} ({record.origin})")
        if record.removed:
            click.echo("  deleted")
        else:
            click.echo("\n".join(f"  {line}" for line in version.difference) or "  the file says now what was here")


def _version_row(version: DefinitionVersion) -> dict[str, Any]:
    record = version.record
    return {
        "version": record.version,
        "name": record.name,
        "recorded_at": record.recorded_at,
        "author": record.author,
        "origin": record.origin,
        "removed": record.removed,
        "changes": [vars(change) for change in version.changes],
    }


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option("--unused", is_flag=True, help="Only active ones that nobody uses, and when they are deactivated for it.")
@listing_options
@project_options
@output_option("table", "json", "yaml", "csv")
def usage(
    names: tuple[str, ...], unused: bool, listing: Listing, conf: Path, environment: str, engine: str, output: str
) -> None:
    """Show who uses segments and measures: other definitions and registered consumers, directly or through others.

    What nobody uses for more than 45 days is deactivated before a refresh of everything, and tagged AutoDeactivated,
    unless it is `exempt_from_deactivation`. Uses are: a new version, an active definition or a registered consumer that
    names it, and taking all its members, changes or values.
    """
    from segengine.api import Project

    project = Project(conf, environment=environment, engine=engine)
    if unused:
        _list_unused(project, names, listing, output)
        return
    found = project.usage(names)
    rows = [
        {
            "name": each.name,
            "kind": each.kind,
            "id": each.id,
            "output_table": each.output_table,
            "used_by": [vars(user) for user in each.direct],
            "indirectly_used_by": [vars(user) for user in each.indirect],
        }
        for each in found
    ]
    columns = [
        Column("name", "definition"),
        Column("kind", "kind"),
        Column("output_table", "output table"),
        Column("used_by", "used by", _show_users),
        Column("indirectly_used_by", "and through them", _show_users),
    ]
    listing.emit(output, "definitions", rows, columns)


def _list_unused(project: Project, names: tuple[str, ...], listing: Listing, output: str) -> None:
    found = [each for each in project.unused() if not names or {each.id, each.name} & {*names}]
    rows = [
        {"name": use.name, "id": use.id, "used_at": use.used_at, "deactivated_at": use.deactivated_at()}
        for use in found
    ]
    show_time = show_time_in(project.settings.time_zone)
    columns = [
        Column("name", "definition"),
        Column("used_at", "last used", show_time),
        Column("deactivated_at", "is deactivated", show_time),
    ]
    listing.emit(output, "definitions", rows, columns)


def _show_users(users: list[dict[str, Any]]) -> str:
    from segengine.project.usage import User

    return show_users([User(**user) for user in users])


@click.group()
def consumers() -> None:
    """Register who uses segments and measures outside of segengine, to be named before something changes."""


@consumers.command("list")
@listing_options
@project_options
@output_option("table", "json", "yaml", "csv")
def list_command(listing: Listing, conf: Path, environment: str, engine: str, output: str) -> None:
    """List the registered outside consumers."""
    from segengine.api import Project

    found = Project(conf, environment=environment, engine=engine).consumers()
    rows = [
        {
            "id": consumer.id,
            "name": consumer.name,
            "description": consumer.description,
            "tags": list(consumer.tags),
            "uses": list(uses),
            "link": consumer.link,
        }
        for consumer, uses in found
    ]
    columns = [
        Column("name", "consumer"),
        Column("uses", "uses", ", ".join),
        Column("link", "link"),
        Column("description", "description"),
    ]
    listing.emit(output, "consumers", rows, columns)


@consumers.command("add")
@click.argument("name")
@click.option("--uses", multiple=True, required=True, metavar="NAME", help="A segment or measure it uses; repeat it.")
@click.option("--link", default="", help="Where it, or who answers for it, is found.")
@click.option("--description", default="", help="What for.")
@project_options
@output_option("table", "json", "yaml", "csv")
def add_command(
    name: str,
    uses: tuple[str, ...],
    link: str,
    description: str,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Register an outside consumer; a definition file can have `kind: consumer` too."""
    from segengine.api import Project

    project = Project(conf, environment=environment, engine=engine)
    show_plan(project.register_consumer(name, uses, link=link, description=description), output)


add_removal(consumers, "consumer")
