"""Options of listings: which rows, in which order, which columns, which page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

import click

from segengine.cli.output import Column, emit_rows
from segengine.project.problems import did_you_mean

Command = TypeVar("Command", bound=Callable[..., Any])
Row = Mapping[str, Any]


def filter_options(command: Command) -> Command:
    """Add `--tag` and `--search`: which definitions are meant."""
    tags = click.option(
        "--tag", "tags", multiple=True, metavar="TAG", help="Only those with this tag; repeat it: with all."
    )
    search = click.option(
        "--search", default="", metavar="TEXT", help="Only those with TEXT in name, id or description."
    )
    return tags(search(command))


@dataclass(frozen=True)
class Listing:
    """How rows are listed; '' and 0: as they come, all of them. `where`: what columns have to be, as COLUMN=VALUE."""

    where: tuple[str, ...] = ()
    sort: str = ""
    columns: str = ""
    limit: int = 0
    offset: int = 0

    def emit(self, output: str, name: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Print the page of rows in the chosen order and columns; on stderr how many there are beside it.

        Raises:
            click.UsageError: There is no such column.
        """
        known = list(rows[0]) if rows else []
        by_header = {column.header: column.key for column in columns}
        for condition in self.where:
            rows = _choose(rows, condition, known, by_header)
        if rows and self.sort:
            key = _find_key(self.sort.lstrip("-"), known, by_header)
            rows = sort_rows(rows, key, descending=self.sort.startswith("-"))
        page = rows[self.offset : self.offset + self.limit if self.limit else None]
        if self.columns:
            chosen = [_find_key(name.strip(), known, by_header) for name in self.columns.split(",")] if rows else []
            by_key = {column.key: column for column in columns}
            columns = [
                replace(by_key.get(key) or Column(key, key.replace("_", " "), _show), optional=False) for key in chosen
            ]
            page = [{key: row[key] for key in chosen} for row in page]
        if page or output != "table":
            emit_rows(output, name, page, columns)
        elif not rows:
            click.echo(" with ".join([f"no {name}", *self.where]))
        if len(page) < len(rows):
            following = self.offset + len(page)
            more = f"; more with --offset {following}" if page and following < len(rows) else ""
            click.echo(f"{len(page)} of {len(rows)} {name}{more}", err=True)


def listing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--where`, `--sort`, `--columns`, `--limit`, `--offset`; the command takes them as one `listing`."""

    @wraps(command)
    def with_listing(*, where: tuple[str, ...], sort: str, columns: str, limit: int, offset: int, **rest: Any) -> Any:
        return command(listing=Listing(where, sort, columns, limit, offset), **rest)

    options = (
        click.option(
            "--where",
            multiple=True,
            metavar="COLUMN=VALUE",
            help="Only rows with this value in a column, as in status=failed; repeat it: with all.",
        ),
        click.option(
            "--sort",
            default="",
            metavar="COLUMN",
            help="By this column, as the table or -o json calls it; -COLUMN: the largest first.",
        ),
        click.option(
            "--columns", default="", metavar="A,B,...", help="Only these columns, as the table or -o json calls them."
        ),
        click.option("--limit", type=click.IntRange(0), default=0, help="At most so many rows (0: all)."),
        click.option("--offset", type=click.IntRange(0), default=0, help="Leave so many rows out first."),
    )
    decorated: Callable[..., Any] = with_listing
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _choose(rows: Sequence[Row], condition: str, known: Sequence[str], by_header: Mapping[str, str]) -> Sequence[Row]:
    """Return the rows with a value in a column, without regard to case; of a list of values, with it among them."""
    name, equals, value = condition.partition("=")
    if not equals:
        raise click.UsageError(f'--where "{condition}": expected COLUMN=VALUE, as in status=failed.')
    key = _find_key(name.strip(), known, by_header) if rows else ""
    return [row for row in rows if value.strip().casefold() in map(str.casefold, _texts(row[key]))]


def _texts(value: Any) -> list[str]:
    return [_show(each) for each in value] if isinstance(value, list | tuple) else [_show(value)]


def sort_rows(rows: Sequence[Row], key: str, *, descending: bool = False) -> list[Row]:
    """Return rows by one of their values: text without regard to case, nothing always last."""
    there = [row for row in rows if row[key] not in (None, "", [], {})]
    missing = [row for row in rows if row[key] in (None, "", [], {})]
    return [*sorted(there, key=lambda row: _sortable(row[key]), reverse=descending), *missing]


def _sortable(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    return str(value).casefold() if isinstance(value, list | dict) else value


def _find_key(name: str, known: Sequence[str], by_header: Mapping[str, str]) -> str:
    """Return the column of a name, which may also be its header in the table."""
    key = name if name in known else by_header.get(name, name)
    if key not in known:
        near = did_you_mean(name, [*known, *by_header])
        hint = near if near.startswith("Did") else f"Known: {', '.join(known)}."
        raise click.UsageError(f'There is no column "{name}". {hint}')
    return key


def _show(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
