"""Finding relationship paths and look-ups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from segengine.project.model import Attribute, Hop, Path, Schema, Settings
from segengine.project.problems import did_you_mean
from segengine.project.types import Family

MAX_HOPS = 20


@dataclass(frozen=True)
class Unresolved:
    """A name that leads nowhere: the issue's code, what was wrong (empty: said elsewhere), and a hint."""

    code: str
    message: str
    hint: str = ""


def find_hop(settings: Settings, table: str, name: str) -> Hop | None:
    """Return the step from a table that a name means: a relationship, or a one-to-one table by its own name."""
    for link in settings.relationships:
        if link.from_table == table and link.name == name:
            return Hop(link)
    for link in settings.relationships:
        if link.one_to_one and link.to_table == table and link.from_table == name:
            return Hop(link, reverse=True)
    return None


def hop_names(settings: Settings, table: str) -> list[str]:
    """Return the names `find_hop` knows at a table."""
    links = [link.name for link in settings.relationships_from(table)]
    return links + [link.from_table for link in settings.relationships if link.one_to_one and link.to_table == table]


def find_attribute(settings: Settings, schema: Schema, base: str, name: str) -> Attribute | Unresolved:
    """Return the attribute a dotted name means, seen from a table."""
    *steps, column = name.split(".")
    table = base
    if len(steps) > MAX_HOPS:
        return Unresolved("SEG204", f'"{name}" has {len(steps)} hops, at most {MAX_HOPS} are allowed.')
    for step in steps:
        hop = find_hop(settings, table, step)
        if hop is None:
            known = hop_names(settings, table)
            message = f'"{name}": table "{table}" has no relationship "{step}".'
            return Unresolved("SEG204", message, did_you_mean(step, known))
        table = hop.target
    columns = schema.columns.get(table, {})
    if column not in columns and table not in schema.stored:
        return Unresolved("SEG106", "")  # said once, of the table: nobody knows its columns
    if column not in columns:
        hint = did_you_mean(name, _reachable_names(settings, schema, base))
        return Unresolved("SEG204", f'"{name}" is no attribute: table "{table}" has no column "{column}".', hint)
    type_ = columns[column]
    if type_.family is Family.UNSUPPORTED:
        return Unresolved(
            "SEG209", f'"{name}" cannot be used in a condition: its type is {type_}.', _type_hint(type_.name)
        )
    return Attribute(base, tuple(steps), column, type_)


def _type_hint(type_name: str) -> str:
    if "without a declared zone" in type_name:
        return "Say its zone in the project file: `columns: {name: {zone: UTC}}`."
    return "Read one of its fields as a column with `from:`, or give it another type in the source."


def _reachable_names(settings: Settings, schema: Schema, base: str) -> Iterator[str]:
    yield from schema.columns.get(base, {})
    for name in hop_names(settings, base):
        hop = find_hop(settings, base, name)
        for column in schema.columns.get(hop.target, {}) if hop else ():
            yield f"{name}.{column}"


def attribute_hops(settings: Settings, attribute: Attribute) -> list[Hop]:
    """Return the steps of an attribute that `find_attribute` resolved."""
    hops: list[Hop] = []
    table = attribute.base
    for step in attribute.hops:
        hop = find_hop(settings, table, step)
        if hop is None:
            raise LookupError(f"{attribute.name} no longer resolves")
        hops.append(hop)
        table = hop.target
    return hops


def find_path(settings: Settings, over: str, profile_table: str, via: tuple[str, ...]) -> Path | Unresolved:
    """Return the path from a table's rows to the profile: the named one, or the only one."""
    if over not in settings.tables:
        return Unresolved("SEG103", f'there is no table "{over}".', did_you_mean(over, settings.tables))
    if via:
        return _named_path(settings, over, profile_table, via)
    paths = find_paths(settings, over, profile_table)
    if not paths:
        hint = "Add a relationship to the project file, or judge another table."
        return Unresolved("SEG221", f'no chain of relationships leads from "{over}" to "{profile_table}".', hint)
    if len(paths) > 1:
        ways = "; ".join("[" + ", ".join(hop.relationship.name for hop in path.hops) + "]" for path in paths[:5])
        message = f'{len(paths)} paths lead from "{over}" to "{profile_table}".'
        return Unresolved("SEG222", message, f"Name one with `via`: {ways}.")
    return paths[0]


def find_paths(settings: Settings, over: str, profile_table: str) -> list[Path]:
    """Return every chain of many-to-one hops from a table to the profile that visits no table twice."""
    return list(_paths(settings, over, profile_table, (), frozenset({over})))


def _paths(
    settings: Settings, over: str, profile_table: str, hops: tuple[Hop, ...], seen: frozenset[str]
) -> Iterator[Path]:
    table = hops[-1].target if hops else over
    if table == profile_table and hops:
        yield Path(over, hops)
        return
    if len(hops) >= MAX_HOPS:
        return
    for link in settings.relationships_from(table):
        if link.to_table not in seen:
            yield from _paths(settings, over, profile_table, (*hops, Hop(link)), seen | {link.to_table})


def _named_path(settings: Settings, over: str, profile_table: str, via: tuple[str, ...]) -> Path | Unresolved:
    hops: list[Hop] = []
    table = over
    for name in via:
        link = next((link for link in settings.relationships_from(table) if link.name == name), None)
        if link is None:
            known = [link.name for link in settings.relationships_from(table)]
            return Unresolved("SEG221", f'table "{table}" has no relationship "{name}".', did_you_mean(name, known))
        hops.append(Hop(link))
        table = link.to_table
    if table != profile_table:
        return Unresolved("SEG221", f'the path {list(via)} ends at table "{table}", not at "{profile_table}".')
    if len(hops) > MAX_HOPS:
        return Unresolved("SEG221", f"the path has {len(hops)} hops, at most {MAX_HOPS} are allowed.")
    return Path(over, tuple(hops))
