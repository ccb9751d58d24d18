"""Making a case smaller while it still fails: definitions, rows, columns and tables, greedily."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from reference_values import id_text
from worlds import Case, Row, World, make_world

from .judges import find_refusals, judge_by_reference
from .lanes import Judge, only

Fails = Callable[[Case], bool]
KEPT = ("kind", "name")


def fails_on(name: str, judge: Judge, folder: Path) -> Fails:
    """Return whether a judge and the reference disagree on one definition of a case that can be validated.

    What cannot be judged does not fail: a case cut too far is no case.
    """

    def fails(case: Case) -> bool:
        try:
            expected, found = judge_by_reference(case)[name], judge(case)
        except Exception:  # noqa: BLE001 - whatever a broken case breaks
            return False
        return name in found and found[name] != expected and not find_refusals(case, folder)

    return fails


def shrink(case: Case, name: str, fails: Fails, rounds: int = 20) -> Case:
    """Return a case that still fails, and of which no part that is tried can be left out.

    Args:
        case: A case that fails.
        name: The segment or measure it fails on.
        fails: Whether a case fails.
        rounds: How often all reductions are tried at most.
    """
    for reduction in (_only_segment, _parents_as_stored):
        candidate = reduction(case, name)
        case = candidate if fails(candidate) else case
    for _ in range(rounds):
        before = case
        for reductions in (partial(_smaller_definitions, name), _fewer_rows, _smaller_projects, _fewer_values):
            case = _take(case, reductions, fails)
        if case == before:
            break
    return case


def _take(case: Case, reductions: Callable[[Case], Iterator[Case]], fails: Fails) -> Case:
    """Return the case after every reduction that keeps it failing, one upon the other."""
    taken = True
    while taken:
        taken = False
        for candidate in reductions(case):
            if fails(candidate):
                case, taken = candidate, True
                break
    return case


def _only_segment(case: Case, name: str) -> Case:
    return only(case, [name])


def _parents_as_stored(case: Case, name: str) -> Case:
    """Return the segment alone with the measures it needs, segments among its parents given by their members."""
    members = judge_by_reference(case)
    parents = [segment["name"] for segment in case.segments if segment["name"] != name]
    known = {parent: ids for parent in parents if (ids := members[parent]) is not None}
    segments = [segment for segment in case.segments if segment["name"] == name]
    return only(replace(case, segments=segments, stored={**case.stored, **known}), [name])


# Definitions


def _smaller_definitions(name: str, case: Case) -> Iterator[Case]:
    every = [*case.measures, *case.segments]
    for place, definition in enumerate(every):
        for smaller in _smaller(definition):
            if isinstance(smaller, dict) and _is_still(definition, smaller):
                fewer = [*every[:place], smaller, *every[place + 1 :]]
                segments, measures = ([one for one in fewer if one["kind"] == kind] for kind in ("segment", "measure"))
                yield only(replace(case, segments=segments, measures=measures), [name])


def _is_still(definition: dict[str, Any], smaller: dict[str, Any]) -> bool:
    """Return whether a part of a definition is one of the same kind and name, a measure with values."""
    if [smaller.get(key) for key in KEPT] != [definition[key] for key in KEPT]:
        return False
    return definition["kind"] != "measure" or "value" in smaller or bool(smaller.get("values"))


def _smaller(value: Any) -> Iterator[Any]:
    """Yield a value with a part left out, or in its place a part of it, the largest cuts first."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _parts(part)
        for key in value:
            if len(value) > 1:
                yield {other: part for other, part in value.items() if other != key}
        for key, part in value.items():
            for smaller in _smaller(part):
                yield {**value, key: smaller}
    elif isinstance(value, list):
        for place in range(len(value)):
            if len(value) > 1:
                yield _without_first(value) if place == 0 else value[:place] + value[place + 1 :]
        for place, part in enumerate(value):
            for smaller in _smaller(part):
                yield [*value[:place], smaller, *value[place + 1 :]]


def _parts(value: Any) -> Iterator[Any]:
    """Yield the mappings that can stand in place of what they are in."""
    if isinstance(value, dict):
        yield value
    for part in value if isinstance(value, list) else ():
        yield part
        yield from part.values() if isinstance(part, dict) and len(part) == 1 else ()


def _without_first(value: list[Any]) -> list[Any]:
    """Return a list without its first item; a rule that comes first has no set operator."""
    second = value[1]
    if isinstance(second, dict) and set(second) <= {"union", "intersect", "except"}:
        (second,) = second.values()
    return [second, *value[2:]]


# Rows and values


def _fewer_rows(case: Case) -> Iterator[Case]:
    for table, rows in case.world.rows.items():
        size = len(rows)
        while size > 0:
            for start in range(0, len(rows), size):
                yield _with_rows(case, table, [*rows[:start], *rows[start + size :]])
            size //= 2


def _fewer_values(case: Case) -> Iterator[Case]:
    for table, rows in case.world.rows.items():
        for place, row in enumerate(rows):
            for column, value in row.items():
                if value is not None and column not in case.world.keys[table]:
                    yield _with_rows(case, table, [*rows[:place], {**row, column: None}, *rows[place + 1 :]])


def _with_rows(case: Case, table: str, rows: Sequence[Row]) -> Case:
    world = replace(case.world, rows={**case.world.rows, table: rows})
    there = {id_text(row[world.profile_key]) for row in world.rows[world.profile_table]}
    return replace(case, world=world, stored={name: ids & there for name, ids in case.stored.items()})


# The project


def _smaller_projects(case: Case) -> Iterator[Case]:
    world = case.world
    for table in world.rows:
        if table != world.profile_table:
            yield replace(case, world=_without_table(world, table))
    for place in range(len(world.project.get("relationships", []))):
        links = world.project["relationships"]
        project = {**world.project, "relationships": [*links[:place], *links[place + 1 :]]}
        yield replace(case, world=_remade(world, project, _columns(world)))
    for table, types in world.types.items():
        for column in types:
            if column not in world.keys[table]:
                kept = {name: type_ for name, type_ in _columns(world)[table].items() if name != column}
                yield replace(case, world=_remade(world, world.project, {**_columns(world), table: kept}))
    if world.zone != "UTC":
        yield replace(case, world=_remade(world, {**world.project, "time_zone": "UTC"}, _columns(world)))


def _columns(world: World) -> dict[str, dict[str, str]]:
    return {table: {name: type_.split()[0] for name, type_ in own.items()} for table, own in world.types.items()}


def _without_table(world: World, table: str) -> World:
    links = [link for link in world.project.get("relationships", []) if not _touches(link, table)]
    tables = {name: settings for name, settings in world.project["tables"].items() if name != table}
    columns = {name: own for name, own in _columns(world).items() if name != table}
    return _remade(world, {**world.project, "tables": tables, "relationships": links}, columns)


def _touches(link: Mapping[str, str], table: str) -> bool:
    return link["to"] == table or link["from"].startswith(f"{table}.")


def _remade(world: World, project: Mapping[str, Any], columns: Mapping[str, Mapping[str, str]]) -> World:
    """Return the world of a smaller project; links over columns that are gone are left to fail."""
    tables: dict[str, Any] = {}
    for name, settings in project["tables"].items():
        own = {column: said for column, said in settings.get("columns", {}).items() if column in columns[name]}
        tables[name] = {key: value for key, value in settings.items() if key != "columns"}
        if own:
            tables[name]["columns"] = own
    rows = {
        table: [{column: row[column] for column in own} for row in world.rows[table]] for table, own in columns.items()
    }
    return make_world({**project, "tables": tables}, columns, rows, world.as_of)
