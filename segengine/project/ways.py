"""How rules name the columns of a table: on the profile, and on the rows of tables that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from segengine.project.attributes import Path
from segengine.project.audiences import find_rows_path
from segengine.project.paths import MAX_LISTED, find_hop, find_paths, hop_names
from segengine.project.project_file import Settings


@dataclass(frozen=True)
class Way:
    """What stands before a column in a rule on the profiles of an audience.

    `over`: the table whose rows the rule judges, '' for the profile itself; `via`: the path it has to name, '' where
    there is only one.
    """

    audience: str
    over: str
    via: str
    prefix: str

    def name(self, column: str) -> str:
        """Return a column as the rule writes it."""
        return f"{self.prefix}{column}"


def find_ways(settings: Settings) -> dict[str, list[Way]]:
    """Return the ways to every table, by table: on the profile first, short names before long ones.

    Ways that lead to a table by more hops than another from the same rows are left out, but for a table that looks up
    itself; so are paths from one to many and those from profiles to profiles, which a rule spells out.
    """
    found: dict[str, list[Way]] = {table: [] for table in settings.tables}
    for name, audience in settings.audiences.items():
        for prefix, table in _look_ups(settings, audience.table):
            found[table].append(Way(name, "", "", prefix))
    for name in settings.audiences:
        for path, via in _row_paths(settings, name):
            for prefix, table in _look_ups(settings, path.over):
                found[table].append(Way(name, path.over, via, prefix))
    return {
        table: sorted(ways, key=lambda way: (bool(way.over), way.prefix.count("."))) for table, ways in found.items()
    }


def _look_ups(settings: Settings, base: str) -> Iterator[tuple[str, str]]:
    """Yield (prefix, table) of the tables whose columns rules over a table's rows may name, itself first."""
    level, seen = [("", base)], {base}
    yield "", base
    is_first = True
    while level:
        following: list[tuple[str, str]] = []
        reached: set[str] = set()
        for prefix, table in level:
            for name in hop_names(settings, table):
                hop = find_hop(settings, table, name)
                if hop is not None and (hop.target not in seen or is_first):
                    yield f"{prefix}{name}.", hop.target
                    following += [(f"{prefix}{name}.", hop.target)] if hop.target not in seen else []
                    reached.add(hop.target)
        seen |= reached
        level, is_first = following, False


def _row_paths(settings: Settings, audience: str) -> Iterator[tuple[Path, str]]:
    """Yield the paths from tables of rows to the profiles of an audience (or their accounts), and what `via` names."""
    profiles, accounts = settings.audiences[audience].table, settings.account_of(audience)
    for table in settings.tables:
        if table == profiles:
            continue
        path = find_rows_path(settings, audience, table, ())
        if isinstance(path, Path):
            yield path, ""
            continue
        targets = [profiles, *([accounts.table] if accounts else [])]
        ways = (way for target in targets for way in find_paths(settings, table, target))
        for way in islice(ways, MAX_LISTED):
            yield way, way.via
