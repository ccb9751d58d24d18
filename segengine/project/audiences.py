"""Audiences: which table their profiles are in, and which profiles belong to accounts of another audience.

An audience with an `account` reaches it by one relationship. What its segments ask of the account's rows without
naming a way is judged on the account and carried over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from segengine.project.attributes import Path
from segengine.project.nodes import Fields, Node
from segengine.project.paths import MAX_LISTED, Unresolved, ViaStep, find_path, find_paths
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import AccountLink, Audience, Relationship, Settings, Table

AUDIENCE_FIELDS = ("table", "account", "via")


def read_audiences(
    node: Node | None, tables: Mapping[str, Table], relationships: tuple[Relationship, ...], problems: Problems
) -> dict[str, Audience]:
    """Return the audiences of a project file by name."""
    if node is not None and not isinstance(node, Fields):
        problems.wrong_form(node, "audiences", "a mapping of names to tables")
        return {}
    written: dict[str, Fields] = {}
    audiences: dict[str, Audience] = {}
    for key, value in node.entries if node else ():
        name = key.text or ""
        fields = problems.fields(value, f'audience "{name}"', AUDIENCE_FIELDS, "SEG101")
        table = problems.text(fields.get("table"), "table") if fields else None
        if fields is None or table is None:
            problems.add(key.place, "SEG101", f'audience "{name}" names no table.')
        elif table not in tables:
            problems.add(key.place, "SEG103", f'there is no table "{table}".', did_you_mean(table, tables))
        elif len(tables[table].key) != 1:
            problems.add(key.place, "SEG102", f'profile table "{table}" needs a key of one column.')
        else:
            written[name], audiences[name] = fields, Audience(name, table, None, key.place)
    named = node.keys() if node else []
    links = {
        name: _read_account(audiences, name, fields, named, relationships, problems) for name, fields in written.items()
    }
    for name, link in links.items():
        if link and links.get(link.audience):
            message = f'audience "{name}": its account "{link.audience}" has an account itself.'
            problems.add(
                written[name].key_place("account"), "SEG102", message, "Only one of the two can have `account`."
            )
    return {name: replace(audience, account=links[name]) for name, audience in audiences.items()}


def _read_account(
    audiences: Mapping[str, Audience],
    name: str,
    fields: Fields,
    named: list[str],
    relationships: tuple[Relationship, ...],
    problems: Problems,
) -> AccountLink | None:
    """Return how the profiles of an audience reach their accounts, or None where they have none."""
    subject, table = f'audience "{name}"', audiences[name].table
    account = problems.text(fields.get("account"), f"{subject}: account")
    via = problems.text(fields.get("via"), f"{subject}: via")
    if account is None:
        if fields.get("via") is not None and fields.get("account") is None:
            problems.add(fields.key_place("via"), "SEG101", f"{subject}: `via` needs `account` beside it.")
        return None
    place = fields.key_place("account")
    if account not in audiences:
        if account not in named:  # else its own error is reported
            others = [other for other in audiences if other != name]
            problems.add(
                place, "SEG102", f'{subject}: there is no audience "{account}".', did_you_mean(account, others)
            )
        return None
    target = audiences[account].table
    if target == table:
        hint = "Name the audience of the accounts, which have a table of their own."
        problems.add(place, "SEG102", f'{subject}: its account "{account}" is of the same table, "{table}".', hint)
        return None
    links = [link for link in relationships if (link.from_table, link.to_table) == (table, target)]
    names = [link.name for link in links]
    way = f'from table "{table}" to table "{target}"'
    if not links:
        hint = f"Add one: `- {table}.COLUMN -> {target}`."
        problems.add(place, "SEG104", f"{subject}: no relationship leads {way}.", hint)
    elif via is not None and via not in names:
        message = f'{subject}: no relationship "{via}" leads {way}.'
        problems.add(fields.key_place("via"), "SEG104", message, did_you_mean(via, names))
    elif via is None and len(links) > 1:
        hint = f"Name one with `via`: {', '.join(names)}."
        problems.add(place, "SEG104", f"{subject}: {len(links)} relationships lead {way}.", hint)
    else:
        return AccountLink(account, links[0 if via is None else names.index(via)])
    return None


def find_rows_path(settings: Settings, audience: str, over: str, via: Sequence[ViaStep]) -> Path | Unresolved:
    """Return the path from a table's rows to the profiles of an audience, or to their accounts.

    Without `via` a way to the accounts that leads through the profiles themselves does not count: such rows are the
    profiles' own.
    """
    profiles, accounts = settings.audiences[audience], settings.account_of(audience)
    direct = find_path(settings, over, profiles.table, via)
    if accounts is None or over not in settings.tables:
        return direct
    if via:
        return _named_path(settings, over, accounts, via, direct)
    own = list(islice(find_paths(settings, over, profiles.table), MAX_LISTED + 1))
    carried = list(islice(find_paths(settings, over, accounts.table, avoiding=profiles.table), MAX_LISTED + 1))
    if len(own) + len(carried) == 1:
        return [*own, *carried][0]
    if not own and not carried:
        return _no_path(over, profiles, accounts, list(islice(find_paths(settings, over, accounts.table), MAX_LISTED)))
    ways = [f"{path.via} for rows of the {audience}" for path in own]
    ways += [f"{path.via} for rows of the {accounts.name}" for path in carried]
    message = f'{len(ways)} paths lead from "{over}" to "{profiles.table}" or "{accounts.table}".'
    return Unresolved("SEG222", message, f"Name one with `via`: {'; '.join(ways[:MAX_LISTED])}.")


def _no_path(over: str, profiles: Audience, accounts: Audience, through_profiles: list[Path]) -> Unresolved:
    message = f'no chain of relationships leads from "{over}" to "{profiles.table}" or "{accounts.table}".'
    if over == accounts.table and profiles.account:
        look_up = profiles.account.relationship.name
        hint = f"Attributes of the {accounts.name} are look-ups: `where: {{{look_up}.COLUMN: ...}}`."
    elif through_profiles:
        ways = "; ".join(f"`via: {path.via}`" for path in through_profiles)
        hint = f"For all rows of the {accounts.name} name the way: {ways}."
    else:
        hint = "Add a relationship to the project file, or judge another table."
    return Unresolved("SEG221", message, hint)


def _named_path(
    settings: Settings, over: str, accounts: Audience, via: Sequence[ViaStep], direct: Path | Unresolved
) -> Path | Unresolved:
    """Return a named path, which may end at the profiles (`direct`) or at their accounts."""
    if isinstance(direct, Path):
        return direct
    path = find_path(settings, over, accounts.table, via)
    if isinstance(path, Path):
        return path
    ends_elsewhere = path.message != direct.message
    hint = f'It may also end at table "{accounts.table}", for rows of the {accounts.name}.'
    return replace(direct, hint=hint) if ends_elsewhere else direct
