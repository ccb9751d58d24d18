"""Commands on the members of a segment: who is in it, who entered and left."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.options import output_option, project_options, snapshot_options
from segengine.cli.output import (
    Column,
    emit_document,
    make_value_column,
    plain_value,
    print_table,
    show_count,
    show_time_in,
    show_value,
    snapshot_fields,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from segengine.operations.members import Members
    from segengine.operations.membership_changes import MembershipChanges
    from segengine.store.runs import SegmentRun


def add_member_commands(group: click.Group) -> None:
    """Add the commands to the group of segments."""
    group.add_command(members_command)
    group.add_command(changes_command)


_attributes_option = click.option(
    "--attributes",
    default=None,
    metavar="A,B,...",
    help="Attributes and measures as rules write them, '' for none (tables and changes: those in the rules).",
)
_file_option = click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
_all_option = click.option("--all", "everybody", is_flag=True, help="All of them (CSV and Parquet: unless limited).")
_limit_option = click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")


def _find_limit(limit: int | None, everybody: bool, output: str) -> int | None:
    from segengine.operations.members import PREVIEW_MEMBERS

    if limit is not None and everybody:
        raise click.UsageError("--all goes without --limit.")
    return limit or (None if everybody or output in ("csv", "parquet") else PREVIEW_MEMBERS)


def _names(attributes: str | None) -> tuple[str, ...] | None:
    return None if attributes is None else tuple(name.strip() for name in attributes.split(",") if name.strip())


@click.command("members")
@click.argument("name")
@snapshot_options
@click.option("--held", is_flag=True, help="Of the result that a gate holds back, before it is released.")
@_attributes_option
@_limit_option
@_all_option
@_file_option
@project_options
@output_option("table", "json", "csv", "parquet")
def members_command(
    name: str,
    snapshot: int | None,
    at: str | None,
    held: bool,
    attributes: str | None,
    limit: int | None,
    everybody: bool,
    file: Path | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Print the members of a segment: the first 100, or all, of the current or any other snapshot.

    Beside the ids of profiles that belong to accounts (of contacts) stand those of their accounts.
    """
    from segengine.operations.context import open_project, open_settings, parse_as_of
    from segengine.operations.members import read_segment_members

    _check_file(output, file)
    if held and (snapshot is not None or at is not None):
        raise click.UsageError("--held is no snapshot yet: it goes without --snapshot and --at.")
    settings = open_settings(conf, environment, engine)
    moment = parse_as_of(at, settings.time_zone) if at else None
    limit = _find_limit(limit, everybody, output)
    wanted = _names(attributes) if attributes is not None or output == "table" else ()
    with open_project(settings) as project:
        members = read_segment_members(
            project, name, limit=limit, snapshot=snapshot, at=moment, held=held, attributes=wanted
        )
        run = members.snapshot
        if output in ("csv", "parquet"):
            _write(output, file, members.columns, members.rows)
            return
        rows = [row for batch in members.rows for row in batch.to_pylist()]
    if output == "json":
        shown: dict[str, Any] = {**snapshot_row(run), "name": members.segment.name}
        if held:
            shown |= {"snapshot_version": None, "held": run.error}
        shown["members"] = [row["profile_id"] for row in rows]
        if members.account_name:
            shown["accounts"] = [row["account_id"] for row in rows]
        if members.attributes:
            shown["attributes"] = [{key: plain_value(row[key]) for key in members.attributes} for row in rows]
        emit_document(output, {"members": shown})
        return
    _print_members(members, rows, settings.time_zone)


def _value_columns(headers: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [replace(make_value_column(key, rows), header=header) for key, header in headers.items()]


def _print_members(members: Members, rows: Sequence[Mapping[str, Any]], zone: str) -> None:
    run = members.snapshot
    print_table(rows, _value_columns(members.columns, rows))
    count = run.member_count or 0
    shown = f'{len(rows):,} of {count:,} members of "{members.segment.name}"'
    what = f"held back ({run.error})," if run.status == "Held" else f"snapshot {run.snapshot_version}"
    more = "; all with --all or -o csv" if len(rows) < count else ""
    click.echo(f"{shown}, {what} as of {show_time_in(zone)(run.as_of)}{more}")


@click.command("changes")
@click.argument("name")
@click.option("--from", "start", default="", metavar="T", help="The earlier snapshot: its number, a time or a day.")
@click.option("--to", "end", default="", metavar="T", help="The later one (default: the current one).")
@_attributes_option
@_limit_option
@_all_option
@_file_option
@project_options
@output_option("table", "json", "csv", "parquet")
def changes_command(
    name: str,
    start: str,
    end: str,
    attributes: str | None,
    limit: int | None,
    everybody: bool,
    file: Path | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Print who entered and who left a segment between two snapshots (default: the newest two).

    The first 100 of each, or all; with the profiles' attributes as they were read for the later snapshot.
    """
    from segengine.operations.context import open_project, open_settings
    from segengine.operations.membership_changes import read_membership_changes

    _check_file(output, file)
    settings = open_settings(conf, environment, engine)
    limit = _find_limit(limit, everybody, output)
    with open_project(settings) as project:
        changes = read_membership_changes(
            project, name, start=start, end=end, limit=limit, attributes=_names(attributes)
        )
        if output in ("csv", "parquet"):
            _write(output, file, changes.columns, changes.rows)
            return
        rows = [row for batch in changes.rows for row in batch.to_pylist()]
    if output == "json":
        emit_document(output, {"changes": _changes_document(changes, rows)})
        return
    if rows:
        print_table(rows, _value_columns(changes.columns, rows))
    show_time = show_time_in(settings.time_zone)
    before, after = changes.before, changes.after
    since = f"snapshot {before.snapshot_version} ({show_time(before.as_of)})" if before else "nobody"
    counts = f"{show_count(changes.entered_count)} entered, {show_count(changes.left_count)} left"
    rest = "; all with --all or -o csv" if len(rows) < changes.entered_count + changes.left_count else ""
    until = f"snapshot {after.snapshot_version} ({show_time(after.as_of)})"
    click.echo(f'"{changes.segment.name}", from {since} to {until}: {counts}{rest}')


def _changes_document(changes: MembershipChanges, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "name": changes.segment.name,
        "from": snapshot_row(changes.before) if changes.before else None,
        "to": snapshot_row(changes.after),
        "entered_count": changes.entered_count,
        "left_count": changes.left_count,
        "rows": [{key: plain_value(value) for key, value in row.items()} for row in rows],
    }


def snapshot_row(run: SegmentRun) -> dict[str, Any]:
    """Return a snapshot as plain values."""
    return snapshot_fields(run, "member_count", "entered_count", "left_count")


def _check_file(output: str, file: Path | None) -> None:
    """Refuse a file where there is nothing to write to it or no folder for it, and Parquet without one."""
    if file is not None and output not in ("csv", "parquet"):
        raise click.UsageError("--file goes with -o csv or -o parquet.")
    if file is None and output == "parquet":
        raise click.UsageError("-o parquet needs --file FILE.")
    if file is not None and not file.parent.is_dir():
        raise click.UsageError(f"--file {file}: there is no folder {file.parent}.")


def _write(output: str, file: Path | None, columns: Mapping[str, str], rows: Iterator[pa.RecordBatch]) -> None:
    """Write all rows; a file appears whole or not at all."""
    if file is None:
        _write_csv(sys.stdout, columns, rows)
        return
    part = file.with_name(f".{file.name}.part")
    try:
        if output == "csv":
            with part.open("w", encoding="utf-8", newline="") as text:
                _write_csv(text, columns, rows)
        else:
            _write_parquet(part, columns, rows)
        part.replace(file)
    except OSError as error:
        raise click.FileError(str(file), error.strerror or str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def _write_csv(text: Any, columns: Mapping[str, str], rows: Iterator[pa.RecordBatch]) -> None:
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns.values())
    for batch in rows:
        values = ([show_value(value) for value in column.to_pylist()] for column in batch.columns)
        writer.writerows(zip(*values, strict=True))


def _write_parquet(file: Path, columns: Mapping[str, str], rows: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(columns.values())
    first = next(rows, None)
    schema = pa.schema([(name, pa.string()) for name in names]) if first is None else first.rename_columns(names).schema
    with ExitStack() as stack:
        writer = stack.enter_context(pq.ParquetWriter(file, schema))
        for batch in [] if first is None else [first, *rows]:
            writer.write_batch(batch.rename_columns(names).cast(schema))
