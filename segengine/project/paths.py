"""Finding relationship paths and look-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from segengine.errors import Place
from segengine.project.attributes import Attribute, Hop, Path
from segengine.project.problems import did_you_mean
from segengine.project.project_file import Relationship, Schema, Settings
from segengine.project.types import Family

MAX_HOPS = 20
MAX_LISTED = 5


@dataclass(frozen=True)
class ViaStep:
    """One hop as `via` has it: the name of a relationship, or (`back`) `table.relationship`, against its direction."""

    text: str
    back: bool = False
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Unresolved:
    """A name that leads nowhere: the issue's code, what was wrong (empty: said elsewhere), and a hint.

    `place` is where the wrong part of a path stands, where that is known better than by who asks.
    """

    code: str
    message: str
    hint: str = ""
    place: Place | None = None


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


def find_attribute(settings: Settings, schema: Schema, base: str | Path, name: str) -> Attribute | Unresolved:
    """Return the attribute a dotted name means, seen from a table or from the rows of a path.

    Its first steps may go along the path, also from one to many; all others are look-ups.
    """
    path = Path(base, ()) if isinstance(base, str) else base
    *steps, column = name.split(".")
    if len(steps) > MAX_HOPS:
        return Unresolved("SEG204", f'"{name}" has {len(steps)} hops, at most {MAX_HOPS} are allowed.')
    table = path.over
    hops: tuple[Hop, ...] = ()
    for step in steps:
        hop = _attribute_hop(settings, path, hops, table, step)
        if hop is None:
            message = f'"{name}": table "{table}" has no relationship "{step}".'
            hint = did_you_mean(step, _next_names(settings, path, hops, table))
            return Unresolved("SEG204", message, hint if hops else _hint_at_rows(settings, schema, path, name, hint))
        if isinstance(hop, Unresolved):
            return replace(hop, message=f'"{name}": {hop.message}')
        hops = (*hops, hop)
        table = hop.target
    columns = schema.columns.get(table, {})
    if column not in columns and table not in schema.stored:
        return Unresolved("SEG106", "")  # said once, of the table: nobody knows its columns
    if column not in columns:
        reachable = sorted(set(_reachable_names(settings, schema, path)))
        either = " or ".join(f'"{known}"' for known in reachable if known.endswith(f".{name}"))
        hint = f"Did you mean {either}?" if either else did_you_mean(name, reachable)
        hint = hint if hops else _hint_at_rows(settings, schema, path, name, hint)
        return Unresolved("SEG204", f'"{name}" is no attribute: table "{table}" has no column "{column}".', hint)
    type_ = columns[column]
    if type_.family is Family.UNSUPPORTED:
        return Unresolved("SEG209", f'"{name}" cannot be used: its type is {type_}.', _type_hint(type_.name))
    return Attribute(path.over, hops, column, type_)


def _hint_at_rows(settings: Settings, schema: Schema, path: Path, name: str, hint: str) -> str:
    """Return where an attribute is that is of rows, not of the profile; `hint` where it is not or looks misspelt."""
    if path.hops or hint.startswith("Did you mean"):
        return hint
    table, _, column = name.partition(".")
    with_rows = tables_with_rows_of(settings, path.over)
    rows = [known for known in settings.tables if known in with_rows and known != path.over]
    if column in schema.columns.get(table, {}) and table in rows:
        return f"Its rows are judged by a rule: `over: {table}`, `where: {{{column}: ...}}`."
    having = [known for known in rows if not column and name in schema.columns.get(known, {})]
    if not having:
        return hint
    return f'Table "{having[0]}" has it: its rows are judged by a rule with `over: {having[0]}`.'


def _path_hop(path: Path, hops: tuple[Hop, ...]) -> Hop | None:
    """Return the path's own next hop behind hops that all are the path's."""
    going_on = len(hops) < len(path.hops) and path.hops[: len(hops)] == hops
    return path.hops[len(hops)] if going_on else None


def _attribute_hop(
    settings: Settings, path: Path, hops: tuple[Hop, ...], table: str, name: str
) -> Hop | Unresolved | None:
    own, look_up = _path_hop(path, hops), find_hop(settings, table, name)
    if own is None or own.name != name or own == look_up:
        return look_up
    if look_up is None:
        return own
    message = f'"{name}" means two things seen from table "{table}": {own} of the path, and a relationship.'
    return Unresolved("SEG222", message, "Give the relationship another `name` in the project file.")


def _type_hint(type_name: str) -> str:
    if "without a declared zone" in type_name:
        return "Say its zone in the project file: `columns: {name: {zone: UTC}}`."
    return "Read one of its fields as a column with `from:`, or give it another type in the source."


def _next_names(settings: Settings, path: Path, hops: tuple[Hop, ...], table: str) -> list[str]:
    own = _path_hop(path, hops)
    return [*hop_names(settings, table), *([own.name] if own else [])]


def _reachable_names(settings: Settings, schema: Schema, path: Path) -> Iterator[str]:
    """Yield the attributes of a path's tables, and of the look-ups of its rows."""
    yield from schema.columns.get(path.over, {})
    for name in hop_names(settings, path.over):
        hop = find_hop(settings, path.over, name)
        for column in schema.columns.get(hop.target, {}) if hop else ():
            yield f"{name}.{column}"
    for count, hop in enumerate(path.hops, start=1):
        prefix = ".".join(step.name for step in path.hops[:count])
        for column in schema.columns.get(hop.target, {}):
            yield f"{prefix}.{column}"


def find_path(
    settings: Settings, over: str, profile_table: str, via: Sequence[ViaStep | str] = ()
) -> Path | Unresolved:
    """Return the path from a table's rows to the profile: the named one, or the only one.

    Args:
        settings: The project.
        over: The table whose rows are judged.
        profile_table: Where the path ends.
        via: Its hops; none: exactly one chain of many-to-one hops must visit no table twice.
    """
    if over not in settings.tables:
        return Unresolved("SEG103", f'there is no table "{over}".', did_you_mean(over, settings.tables))
    if via:
        return _named_path(settings, over, profile_table, via)
    paths = list(islice(find_paths(settings, over, profile_table), MAX_LISTED + 1))
    if not paths:
        message = f'no chain of many-to-one relationships leads from "{over}" to "{profile_table}".'
        return Unresolved("SEG221", message, _way_hint(settings, over, profile_table))
    if len(paths) > 1:
        ways = "; ".join(path.via for path in paths[:MAX_LISTED])
        count = f"more than {MAX_LISTED}" if len(paths) > MAX_LISTED else str(len(paths))
        message = f'{count} paths lead from "{over}" to "{profile_table}".'
        return Unresolved("SEG222", message, f"Name one with `via`: {ways}.")
    return paths[0]


def find_paths(settings: Settings, over: str, profile_table: str, avoiding: str = "") -> Iterator[Path]:
    """Yield every chain of many-to-one hops from a table to the profile that visits no table twice, and one never."""
    reaching = _tables_reaching(settings, profile_table)

    def extend(hops: tuple[Hop, ...], seen: frozenset[str]) -> Iterator[Path]:
        table = hops[-1].target if hops else over
        if table == profile_table:
            yield from [Path(over, hops)] if hops else []
            return
        for link in settings.relationships_from(table) if len(hops) < MAX_HOPS else ():
            if link.to_table in reaching and link.to_table not in seen:
                yield from extend((*hops, Hop(link)), seen | {link.to_table})

    return iter(()) if over == avoiding else extend((), frozenset({over, avoiding}))


def _tables_reaching(settings: Settings, target: str) -> set[str]:
    """Return the tables from which many-to-one hops lead to a table, itself included."""
    reaching, added = {target}, {target}
    while added:
        added = {link.from_table for link in settings.relationships if link.to_table in added} - reaching
        reaching |= added
    return reaching


def row_key(settings: Settings, path: Path) -> list[str]:
    """Return the attributes that tell a path's rows apart: the key of `over`, and of each table reached by `back`."""
    key = list(settings.tables[path.over].key)
    for count, hop in enumerate(path.hops, start=1):
        if hop.multiplies:
            prefix = ".".join(step.name for step in path.hops[:count])
            key += [f"{prefix}.{column}" for column in settings.tables[hop.target].key]
    return key


def tables_with_rows_of(settings: Settings, profile_table: str) -> set[str]:
    """Return the tables from whose rows some path leads to the profile, named or not."""
    found: set[str] = set()
    added = {profile_table}
    while added:
        added = {hop.target for table in added for hop in _hops_from(settings, table)} - found
        found |= added
    return found


def _hops_from(settings: Settings, table: str) -> list[Hop]:
    """Return every step from a table, those to one row first."""
    back = [Hop(link, reverse=True) for link in _links_to(settings, table)]
    return [*(Hop(link) for link in settings.relationships_from(table)), *sorted(back, key=lambda hop: hop.multiplies)]


def _links_to(settings: Settings, table: str) -> list[Relationship]:
    return [link for link in settings.relationships if link.to_table == table]


def _shortest_way(settings: Settings, start: str, profile_table: str) -> Path | None:
    """Return a shortest path by any hops, or None."""
    ways: list[tuple[Hop, ...]] = [()]
    seen: set[str] = set()
    for hops in ways:  # grows while it is walked: breadth first
        for hop in _hops_from(settings, hops[-1].target if hops else start):
            if hop.target == profile_table:
                return Path(start, (*hops, hop))
            if hop.target not in seen and len(hops) + 1 < MAX_HOPS:
                seen.add(hop.target)
                ways.append((*hops, hop))
    return None


def _way_hint(settings: Settings, over: str, profile_table: str) -> str:
    if over == profile_table:
        return "These are the profiles themselves: leave `over` out, or name a path with `via`."
    way = _shortest_way(settings, over, profile_table)
    if way is None:
        return "Add a relationship to the project file, or judge another table."
    named = f"with `via`: {way.via}{', from one to many: rows then multiply' if way.multiplies else ''}."
    back = [hop for hop in way.hops if hop.multiplies]
    if not back or tuple(back) != way.hops[: len(back)]:
        return f"Name one {named}"
    look_up = ".".join(hop.relationship.name for hop in reversed(back))
    return f"Its columns are look-ups: `over: {back[-1].target}` with `{look_up}.COLUMN`. Else name a path {named}"


def _named_path(settings: Settings, over: str, profile_table: str, via: Sequence[ViaStep | str]) -> Path | Unresolved:
    steps = [ViaStep(step) if isinstance(step, str) else step for step in via]
    if len(steps) > MAX_HOPS:
        message = f"the path has {len(steps)} hops, at most {MAX_HOPS} are allowed."
        return Unresolved("SEG221", message, place=steps[MAX_HOPS].place)
    path = Path(over, ())
    for step in steps:
        table = path.hops[-1].target if path.hops else over
        hop = _back_hop(settings, table, step.text) if step.back else _via_hop(settings, table, step.text)
        if isinstance(hop, Unresolved):
            return replace(hop, place=step.place)
        path = Path(over, (*path.hops, hop))
    table = path.hops[-1].target
    if table == profile_table:
        return path
    way = _shortest_way(settings, table, profile_table)
    hint = f"From there it goes on with {way.via}." if way else ""
    message = f'the path {path.via} ends at table "{table}", not at "{profile_table}".'
    return Unresolved("SEG221", message, hint, steps[-1].place)


def _via_hop(settings: Settings, table: str, name: str) -> Hop | Unresolved:
    """Return the hop a plain name in `via` means."""
    hop = find_hop(settings, table, name)
    if hop is not None:
        return hop
    message = f'table "{table}" has no relationship "{name}".'
    for link in _links_to(settings, table):
        if name in (link.from_table, link.name, f"{link.from_table}.{link.name}"):
            return Unresolved("SEG221", message, f"From one to many it is `{Hop(link, reverse=True)}`.")
    return Unresolved("SEG221", message, did_you_mean(name, hop_names(settings, table)))


def _back_hop(settings: Settings, table: str, text: str) -> Hop | Unresolved:
    """Return the hop that `{back: table.relationship}` means."""
    start, _, name = text.partition(".")
    arriving = [f"{link.from_table}.{link.name}" for link in _links_to(settings, table)]
    if start not in settings.tables:
        hint = did_you_mean(text, arriving) or did_you_mean(start, settings.tables)
        return Unresolved("SEG103", f'`back: {text}`: there is no table "{start}".', hint)
    link = next((link for link in settings.relationships_from(start) if link.name == name), None)
    if link is None:
        message = f'`back: {text}`: table "{start}" has no relationship "{name}".'
        return Unresolved("SEG221", message, did_you_mean(text, arriving))
    if link.to_table == table:
        return Hop(link, reverse=True)
    message = f'`back: {text}` starts at table "{link.to_table}"; the path stands at "{table}".'
    if start == table:
        hint = f"With the relationship's direction it is `{name}`."
    else:
        hint = did_you_mean(text, arriving) or f'No relationship arrives at "{table}".'
    return Unresolved("SEG221", message, hint)
