"""Commands that change applied definitions: the same for segments, measures, suggestions and insights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.definition_commands import show_plan
from segengine.cli.listing import filter_options
from segengine.cli.options import output_option, project_options
from segengine.cli.quick_questions import can_ask
from segengine.errors import ConfigError, SegEngineError
from segengine.project.names import with_article

if TYPE_CHECKING:
    from segengine.operations.definition_plan import DefinitionPlan
    from segengine.project.changes import Change

names_argument = click.argument("names", nargs=-1, metavar="[NAME ...]")


@dataclass(frozen=True)
class Doing:
    """How a change is carried out: in which project, printed how, asked for or not."""

    conf: Path
    environment: str
    engine: str
    output: str
    yes: bool
    dry_run: bool

    def carry_out(self, act: Callable[[bool], DefinitionPlan], *, ask: bool = False) -> None:
        """Plan a change, print it, ask where more than one definition is concerned (or `ask`), and record it.

        Args:
            act: Plans (True) or records (False).
            ask: One definition too is a reason to ask.
        """
        plan = act(True)
        if not plan.has_changes and not self.dry_run and self.output == "table":
            click.echo("nothing to change" if plan.changes else "none has that tag or text")
            return
        if self.dry_run or not plan.has_changes:
            show_plan(plan, self.output)
            return
        concerned = sum(change.record is not None for change in plan.changes)
        if not self.yes and (ask or concerned > 1):
            if not can_ask() or self.output != "table":
                raise click.UsageError(f"{concerned} definition(s) would change; say --yes (or look with --dry-run).")
            show_plan(plan, self.output)
            click.confirm("Do it?", abort=True, err=True)
            act(False)
            click.echo("done")
            return
        show_plan(act(False), self.output)


def doing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--yes`, `--dry-run` and where and how; the command takes them as one `doing`."""

    @wraps(command)
    def with_doing(
        *, conf: Path, environment: str, engine: str, output: str, yes: bool, dry_run: bool, **rest: Any
    ) -> Any:
        return command(doing=Doing(conf, environment, engine, output, yes, dry_run), **rest)

    dry = click.option("--dry-run", is_flag=True, envvar="SEGENGINE_DRY_RUN", help="Only show what would change.")
    sure = click.option("--yes", is_flag=True, help="Do it without asking.")
    return sure(dry(project_options(output_option("table", "json", "yaml", "csv")(with_doing))))


def add_manage_commands(group: click.Group, kind: str) -> None:
    """Add to a group the commands that change definitions of its kind."""
    verbs = {
        "tag": f"Add tags, up to 20 each, to {kind}s",
        "untag": f"Take tags from {kind}s",
        "activate": f"Let {kind}s take part in refreshes again",
        "deactivate": f"Leave {kind}s out of refreshes; what they last had stays",
    }
    if kind in ("segment", "measure"):
        verbs["deactivate"] += ", and feeds others"
    if kind != "measure":
        what = "members" if kind == "segment" else "answers"
        verbs["static"] = f"Freeze the {what} of {kind}s until a refresh names them"
        verbs["dynamic"] = f"Refresh {kind}s with all others again"
    for verb, text in verbs.items():
        group.add_command(_change_command(kind, verb, text))
    group.add_command(_rename_command(kind))
    group.add_command(_duplicate_command(kind))
    group.add_command(_edit_command(kind))
    add_removal(group, kind)


def add_removal(group: click.Group, kind: str) -> None:
    """Add to a group the command that deletes definitions of its kind."""
    group.add_command(_delete_command(kind))


def _change_command(kind: str, verb: str, text: str) -> click.Command:
    """Return the command that makes one of the changes that need nothing but tags."""

    def change_command(doing: Doing, tagging: str = "", **chosen: Any) -> None:
        from segengine.api import Project

        change = _make_change(verb, [tag.strip() for tag in tagging.split(",") if tag.strip()])
        with Project(doing.conf, environment=doing.environment, engine=doing.engine) as project:
            try:
                doing.carry_out(lambda dry_run: project.change(change=change, kind=kind, dry_run=dry_run, **chosen))
            except ConfigError as error:
                if "tag" in verb and chosen["names"] and not error.hint.startswith("Did"):
                    error.hint = f"The tags come first: `{verb} TAG[,TAG...] NAME ...`."
                raise

    command = names_argument(filter_options(doing_options(change_command)))
    if "tag" in verb:
        command = click.argument("tagging", metavar="TAG[,TAG...]")(command)
    return click.command(verb, help=f"{text} (those named, or all that --tag and --search mean).")(command)


def _make_change(verb: str, tags: Sequence[str]) -> Change:
    from segengine.project import changes

    makers: dict[str, Callable[[], Change]] = {
        "tag": lambda: changes.add_tags(*tags),
        "untag": lambda: changes.remove_tags(*tags),
        "activate": changes.activate,
        "deactivate": changes.deactivate,
        "static": lambda: changes.set_type("static"),
        "dynamic": lambda: changes.set_type("dynamic"),
    }
    return makers[verb]()


def _rename_command(kind: str) -> click.Command:
    def rename_command(name: str, new_name: str, doing: Doing, output_table: str = "") -> None:
        from segengine.api import Project
        from segengine.project.changes import rename
        from segengine.project.names import make_output_table

        with Project(doing.conf, environment=doing.environment, engine=doing.engine) as project:
            if kind == "segment" and not output_table and not doing.yes and can_ask():
                segment, made = project.segment(name).summary.segment, make_output_table(new_name)
                if made and made != segment.output_table:
                    question = f"Rename its output table {segment.output_table} to {made} too?"
                    output_table = made if click.confirm(question, err=True) else ""
            change = rename(new_name, output_table)
            doing.carry_out(lambda dry_run: project.change([name], change, kind=kind, dry_run=dry_run))

    text = f"Give {with_article(kind)} another name; its id, its history and what refers to it stay."
    command: Callable[..., Any] = doing_options(rename_command)
    if kind == "segment":
        text += " So does its output table, unless told (on a terminal it asks); the table of before is left as it is."
        table = click.option("--output-table", default="", metavar="TABLE", help="Its output table from now on.")
        command = table(command)
    for argument in ("new_name", "name"):
        command = click.argument(argument)(command)
    return click.command("rename", help=text)(command)


def _duplicate_command(kind: str) -> click.Command:
    @click.command("duplicate", help=f"Record a copy of {with_article(kind)} under another name.")
    @click.argument("name")
    @click.argument("new_name")
    @doing_options
    def duplicate_command(name: str, new_name: str, doing: Doing) -> None:
        from segengine.api import Project

        with Project(doing.conf, environment=doing.environment, engine=doing.engine) as project:
            doing.carry_out(lambda dry_run: project.duplicate(name, new_name, kind=kind, dry_run=dry_run))

    return duplicate_command


def _delete_command(kind: str) -> click.Command:
    @click.command("delete", help=f"Delete {kind}s; refused where others use them. History and snapshots stay.")
    @names_argument
    @filter_options
    @click.option("--force", is_flag=True, help="Also where others use them: those fail from then on.")
    @doing_options
    def delete_command(names: tuple[str, ...], tags: tuple[str, ...], search: str, force: bool, doing: Doing) -> None:
        from segengine.operations.context import open_project, open_settings
        from segengine.operations.manage import Selection, plan_removal, record_removal, refuse_used
        from segengine.project.find import Filter

        selection = Selection(kind, names, Filter(tags, search))
        with open_project(open_settings(doing.conf, doing.environment, doing.engine)) as project:

            def act(dry_run: bool) -> DefinitionPlan:
                if not dry_run:
                    return record_removal(project, selection, force=force)
                plan = plan_removal(project, selection)
                if not force and not doing.dry_run:
                    refuse_used(plan)
                return plan

            doing.carry_out(act, ask=True)

    return delete_command


def _edit_command(kind: str) -> click.Command:
    @click.command("edit", help=f"Edit {with_article(kind)} in $EDITOR; it is checked and shown before it is recorded.")
    @click.argument("name")
    @doing_options
    def edit_command(name: str, doing: Doing) -> None:
        from segengine.operations.context import open_project, open_settings
        from segengine.operations.get import get_definitions
        from segengine.operations.manage import find_record, plan_edit, read_edited, record_edit
        from segengine.project.nodes import dump_documents
        from segengine.store.registry import read_registry

        settings = open_settings(doing.conf, doing.environment, doing.engine)
        with open_project(settings) as project:
            version = find_record(read_registry(project.warehouse), kind, name)
            text = dump_documents(get_definitions(project, [version.id]))
            with tempfile.NamedTemporaryFile("w", suffix=".yml", prefix=f"{version.id}-", delete=False) as opened:
                opened.write(text)
            file = Path(opened.name)

            def act(dry_run: bool) -> DefinitionPlan:
                return (plan_edit if dry_run else record_edit)(project, version, read_edited(file, settings))

            _edit_until_good(file, text, lambda: doing.carry_out(act, ask=can_ask()))
            file.unlink()

    return edit_command


def _edit_until_good(file: Path, text: str, record: Callable[[], None]) -> None:
    """Edit a file and record it; where it is wrong once more if somebody wants to, else it is kept."""
    while True:
        _open_editor(file, text)
        if file.read_text(encoding="utf-8") == text:
            click.echo("nothing changed")
            return
        try:
            record()
            return
        except (SegEngineError, click.ClickException, click.Abort) as error:
            if can_ask() and isinstance(error, SegEngineError):
                click.echo(str(error), err=True)
                if click.confirm("Edit again?", default=True, err=True):
                    continue
            click.echo(f"kept in {file}", err=True)
            raise


def _open_editor(file: Path, text: str) -> None:
    """Let somebody edit a file; where the editor fails, it goes unless it was changed."""
    try:
        click.edit(filename=str(file))
    except click.ClickException as error:
        if file.read_text(encoding="utf-8") == text:
            file.unlink()
        else:
            click.echo(f"kept in {file}", err=True)
        hint = "Name one in $EDITOR, such as `nano` or `code --wait`."
        raise ConfigError(f"The editor failed: {error.format_message()}.", hint) from error
