"""Quick segments: look at one attribute, and make a segment of one condition on it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segengine.cli.drafts import draft_document, show_draft, show_end
from segengine.cli.options import as_of_option, output_option, project_options
from segengine.cli.output import Column, emit_csv, emit_document, print_table, show_count, show_share, show_time_in
from segengine.cli.quick_questions import ask_for_the_rest, can_ask

if TYPE_CHECKING:
    from segengine.operations.profile_attribute import AttributeProfile
    from segengine.project.quick import Source

_BAR_WIDTH = 30
SOURCE_NAMES = ("profiles", "predictions", "measures")

audience_option = click.option(
    "--audience", default="", metavar="NAME", help="Whose profiles, where several audiences have the attribute."
)


@click.group()
def quick() -> None:
    """Look at one attribute, and make a segment of one condition on it."""


@quick.command("profile")
@click.argument("attribute")
@audience_option
@as_of_option
@project_options
@output_option("table", "json", "yaml", "csv")
def profile_command(
    attribute: str, audience: str, as_of: str | None, conf: Path, environment: str, engine: str, output: str
) -> None:
    """Show how the values of ATTRIBUTE are distributed over the profiles.

    ATTRIBUTE is written as in rules on the profile: a column (state), one of a table looked up (home_store.city), one
    of a prediction table (churn.score), a measure ("Lifetime spend", Buying.average). `segengine schema show` and
    `segengine measures list` list them. Of a measure the stored values are shown, for the profiles of that refresh;
    --as-of chooses an earlier one.

    Of text and booleans the ten most frequent values are shown, of numbers, dates and times percentiles and a
    histogram. A percentile is a value that occurs: the smallest that so many per cent of the values do not exceed.
    Values are written as rules take them, missing ones (NULL, NaN, empty text) are counted apart, and shares are of all
    profiles.

    \b
    Examples:
      segengine quick profile state
      segengine quick profile home_store.city -o json
      segengine quick profile role --audience contact
      segengine quick profile "Lifetime spend"
    """  # noqa: D301 - click wants the character, to keep the lines of a paragraph
    from segengine.api import Project
    from segengine.operations.context import parse_as_of

    project = Project(conf, environment=environment, engine=engine)
    moment = parse_as_of(as_of, project.settings.time_zone) if as_of else None
    found = project.profile(attribute, audience=audience, as_of=moment)
    if output == "table":
        _show_profile(found, project.settings.time_zone)
    elif output == "csv":
        emit_csv(_profile_lines(found))
    else:
        emit_document(output, {"profile": _profile_document(found)})


def _profile_document(found: AttributeProfile) -> dict[str, Any]:
    return {
        "attribute": found.name,
        "label": found.label,
        "type": str(found.type),
        "audience": found.audience,
        "as_of": found.as_of,
        "snapshot_version": found.snapshot_version,
        "profile_count": found.profile_count,
        "missing_count": found.missing_count,
        "missing_share": found.missing_share,
        "invalid_count": found.invalid_count,
        "distinct_count": found.distinct_count,
        "values": [vars(value) for value in found.values],
        "percentiles": dict(found.percentiles),
        "histogram": [
            {"from": part.start, "to_below": part.end, "count": part.count, "share": part.share}
            for part in found.stretches
        ],
    }


def _profile_lines(found: AttributeProfile) -> list[dict[str, Any]]:
    """Return everything as lines of one form."""

    def line(what: str, value: str | None, below: str | None, count: int | None, share: float | None) -> dict[str, Any]:
        return {"what": what, "value": value, "to_below": below, "count": count, "share": share}

    return [
        line("profiles", None, None, found.profile_count, None),
        line("missing", None, None, found.missing_count, found.missing_share),
        line("distinct values", None, None, found.distinct_count, None),
        *(line("value", value.value, None, value.count, value.share) for value in found.values),
        *(line(f"percentile {name}", value, None, None, None) for name, value in found.percentiles.items()),
        *(line("histogram", part.start, part.end, part.count, part.share) for part in found.stretches),
    ]


def _show_profile(found: AttributeProfile, zone: str) -> None:
    label = f' "{found.label}"' if found.label else ""
    when = f", as of {show_time_in(zone)(found.as_of)} (snapshot {found.snapshot_version})" if found.as_of else ""
    count = f"{found.profile_count:,} profiles of audience {found.audience}"
    click.echo(f"{found.name}{label}: {found.type}, of {count}{when}")
    missing = f"{found.missing_count:,} missing ({show_share(found.missing_share)})"
    click.echo(f"{missing}, {found.distinct_count:,} distinct value{'s' if found.distinct_count != 1 else ''}")
    if found.invalid_count:
        click.echo(f"{found.invalid_count:,} infinite or out of range: segments that use {found.name} fail")
    if found.percentiles:
        names = {"min": "least", "50": "50 % (median)", "max": "greatest"}
        columns = [Column(name, names.get(name, f"{name} %"), right=True) for name in found.percentiles]
        print_table([dict(found.percentiles)], columns)
    counted: list[tuple[str, int, float]] = [(value.value, value.count, value.share) for value in found.values]
    counted = counted or [(part.label, part.count, part.share) for part in found.stretches]
    if counted:
        most = max(count for _, count, _ in counted)
        rows = [
            {"value": value, "count": count, "share": share, "bar": _bar(count, most)}
            for value, count, share in counted
        ]
        columns = [
            Column("value", "value"),
            Column("count", "profiles", show_count, right=True),
            Column("share", "of all", show_share, right=True),
            Column("bar", ""),
        ]
        print_table(rows, columns)
    rest = found.distinct_count - len(found.values)
    if found.values and rest:
        others = found.profile_count - found.missing_count - found.invalid_count - sum(count for _, count, _ in counted)
        click.echo(f"and {rest:,} more value{'s' if rest != 1 else ''} of {others:,} profiles")
    elif rest and not found.percentiles:
        click.echo("no value occurs twice")


def _bar(count: int, most: int) -> str:
    from segengine.report.charts import draw_bar

    return draw_bar(count / most if most else 0.0, _BAR_WIDTH)


@quick.command("create", context_settings={"ignore_unknown_options": True})
@click.argument("field", default="", metavar="[FIELD]")
@click.argument("operator", default="", metavar="[OPERATOR]")
@click.argument("values", nargs=-1, metavar="[VALUE ...]")
@click.option(
    "--from",
    "source",
    type=click.Choice(SOURCE_NAMES),
    default="profiles",
    show_default=True,
    help="Where FIELD comes from.",
)
@click.option("--name", default="", help="What the segment is called.")
@audience_option
@click.option("--id", "identity", default="", metavar="ID", help="Its id (default: made from the name).")
@click.option("--output-table", default="", metavar="TABLE", help="Its output table (default: made from the name).")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Write the YAML to this file too.")
@click.option("--yes", is_flag=True, help="Create it without asking.")
@as_of_option
@project_options
@output_option("table", "json", "yaml")
def create_command(
    field: str,
    operator: str,
    values: tuple[str, ...],
    source: Source,
    name: str,
    audience: str,
    identity: str,
    output_table: str,
    file: Path | None,
    yes: bool,
    as_of: str | None,
    conf: Path,
    environment: str,
    engine: str,
    output: str,
) -> None:
    """Make a segment of one condition: FIELD OPERATOR VALUE.

    Its exact size is counted before anything is recorded; --as-of counts as of an earlier day. Then it asks, unless
    there is --yes; where nobody can be asked, it only shows. On a terminal it asks for what is left out.

    FIELD is an attribute as rules on the profile write it, with --from predictions a column of a prediction table, with
    --from measures the name of an applied measure (of several values: Name.value).
    OPERATOR is any that `segengine schema show` has for its type: equals, any_of (values separated by commas), between
    (two values), greater_than, on_or_after, within_last, is_true, empty ... The segment is evaluated by the next
    refresh.

    \b
    Examples:
      segengine quick create state equals California --name Californians
      segengine quick create state any_of California,Nevada --name "West" --yes
      segengine quick create income between 50000 80000 --name "Middle income" --file definitions/quick.yml
      segengine quick create customer_since within_last "20 days" --name Newcomers
      segengine quick create --from predictions churn.score at_least 0.8 --name "At risk"
      segengine quick create --from measures "Lifetime spend" at_least 1000 --name "Big spenders"
    """  # noqa: D301 - click wants the character, to keep the lines of a paragraph
    from segengine.operations.context import open_project, open_settings, parse_as_of
    from segengine.operations.quick_segment import count_draft, draft_segment, load_measures, record_draft
    from segengine.project.quick import QuickSegment

    _refuse_options(values)
    settings = open_settings(conf, environment, engine)
    moment = parse_as_of(as_of, settings.time_zone) if as_of else None
    asking = output == "table" and not yes and can_ask()
    wanted = QuickSegment(source, field, operator, values, name, audience, output_table, identity)
    given = {"FIELD": field, "OPERATOR": operator, "--name": name}
    if not asking and not all(given.values()):
        raise click.UsageError(f"Missing: {', '.join(what for what, value in given.items() if not value)}.")
    with ExitStack() as stack:
        # The names of attributes are in files; those of measures in the registry, which takes an engine to read.
        opened = stack.enter_context(open_project(settings)) if source == "measures" else None
        applied = load_measures(opened) if opened else None
        if asking:
            wanted = ask_for_the_rest(settings, wanted, applied)
        draft = draft_segment(settings, wanted, file, applied)
        project = opened or stack.enter_context(open_project(settings))
        counted = count_draft(project, draft, as_of=moment)
        if output == "table":
            single = wanted.values[0] if wanted.operator == "equals" and wanted.values else ""
            show_draft(counted, settings, single)
        if asking:
            click.confirm("Create it?", abort=True, err=True)
        created = yes or asking
        if created:
            record_draft(project, draft)
    if output == "table":
        show_end(counted, created, conf)
    else:
        emit_document(output, {"segment": draft_document(counted, created)})


def _refuse_options(values: tuple[str, ...]) -> None:
    """Refuse a misspelt option, which click takes for a value: negative numbers have to be let through."""
    for value in values:
        if value.startswith("--") or (value.startswith("-") and not re.match(r"-[.\d]", value)):
            raise click.NoSuchOption(value)
