"""All definitions of a project together: resolved, checked against each other, in order of dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from segengine.errors import DefinitionError, Issue
from segengine.project.canonical import Hashes, hash_segments
from segengine.project.checks import find_logic_issues
from segengine.project.definitions import load_definitions
from segengine.project.model import Definition, Schema, Segment, Settings
from segengine.project.path_issues import find_path_issues
from segengine.project.problems import Problems
from segengine.project.resolve import Context, resolve_segment, segment_audience
from segengine.project.schema_lock import load_schema
from segengine.project.walk import find_parents


@dataclass(frozen=True)
class Catalogue:
    """The good segments by id, parents before children, beside the definitions they came from."""

    settings: Settings
    schema: Schema
    segments: Mapping[str, Segment]
    definitions: Mapping[str, Definition]
    issues: tuple[Issue, ...] = ()

    def parents(self, segment_id: str) -> tuple[str, ...]:
        """Return the ids of the segments this one refers to, sorted."""
        return find_parents(self.segments[segment_id].steps)

    @cached_property
    def hashes(self) -> dict[str, Hashes]:
        """The hashes of every segment."""
        parents = {segment_id: self.parents(segment_id) for segment_id in self.segments}
        return hash_segments(self.segments, parents, self.settings)


def load_catalogue(settings: Settings) -> Catalogue:
    """Return the project's definition files, read and checked.

    Raises:
        DefinitionError: Some definition has an error; all issues of all files are listed.
    """
    problems = Problems()
    schema = load_schema(settings, problems)
    definitions = load_definitions(settings, problems)
    catalogue = check_definitions(definitions, settings, schema, problems)
    if problems.error_count:
        raise DefinitionError(problems.issues)
    return catalogue


def check_definitions(
    definitions: Sequence[Definition], settings: Settings, schema: Schema, problems: Problems
) -> Catalogue:
    """Return the definitions resolved and in order of dependency; report every problem on the way."""
    unique = _find_duplicates(definitions, problems)
    context = Context(settings, schema, _segment_ids(unique, problems), _audiences(unique, settings))
    segments = {
        definition.id: segment for definition in unique if (segment := resolve_segment(definition, context, problems))
    }
    _find_output_table_issues(segments, problems)
    for segment in segments.values():
        find_logic_issues(segment, settings.time_zone, problems)
        find_path_issues(segment, settings, problems)
    problems.subject = ""
    order = _order(segments, problems)
    ordered = {segment_id: segments[segment_id] for segment_id in order}
    by_id = {definition.id: definition for definition in unique}
    return Catalogue(settings, schema, ordered, by_id, tuple(problems.issues))


def resolve_version(
    definition: Definition, others: Sequence[Definition], settings: Settings, schema: Schema
) -> Segment:
    """Return one definition resolved beside the others' names: an earlier version of one of them, say.

    Raises:
        DefinitionError: It no longer fits the project.
    """
    problems = Problems()
    known = [definition, *(other for other in others if other.id != definition.id)]
    context = Context(settings, schema, _segment_ids(known, problems), _audiences(known, settings))
    segment = resolve_segment(definition, context, problems)
    if segment is None:
        raise DefinitionError(problems.issues)
    return segment


def _find_duplicates(definitions: Sequence[Definition], problems: Problems) -> list[Definition]:
    """Return the definitions whose id is theirs alone so far; report the others."""
    seen: dict[str, Definition] = {}
    for definition in definitions:
        first = seen.setdefault(definition.id, definition)
        if first is not definition:
            problems.subject = f'segment "{definition.name}"'
            message = f'the id "{definition.id}" is already that of "{first.name}" ({first.place}).'
            problems.add(definition.place, "SEG401", message, "Give one of them its own with `id:`.")
    return list(seen.values())


def _segment_ids(definitions: Sequence[Definition], problems: Problems) -> dict[str, str]:
    """Return the id each name and each id means; a name meaning two segments is an error."""
    names: dict[str, str] = {}
    for definition in definitions:
        other = names.setdefault(definition.name, definition.id)
        if other != definition.id:
            problems.subject = f'segment "{definition.name}"'
            place = definition.fields.key_place("name")
            problems.add(place, "SEG401", f'two segments are named "{definition.name}".', "Rename one of them.")
    ids = {definition.id: definition.id for definition in definitions}
    for name, identity in names.items():
        if ids.get(name, identity) != identity:
            problems.subject = ""
            place = next(d.place for d in definitions if d.id == identity)
            problems.add(place, "SEG401", f'"{name}" is the name of one segment and the id of another.')
    return {**names, **ids}


def _audiences(definitions: Sequence[Definition], settings: Settings) -> dict[str, str]:
    return {definition.id: segment_audience(definition, settings) for definition in definitions}


def _find_output_table_issues(segments: Mapping[str, Segment], problems: Problems) -> None:
    seen: dict[str, Segment] = {}
    for segment in segments.values():
        first = seen.setdefault(segment.output_table.lower(), segment)
        if first is not segment:
            problems.subject = f'segment "{segment.name}"'
            message = f'the output table "{segment.output_table}" is already that of "{first.name}" ({first.place}).'
            problems.add(segment.place, "SEG402", message, "Give one of them its own with `output_table:`.")


def _order(segments: Mapping[str, Segment], problems: Problems) -> list[str]:
    """Return the ids, parents first and otherwise as written; report cycles."""
    graph = {identity: [p for p in find_parents(s.steps) if p in segments] for identity, s in segments.items()}
    while True:
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            ring = error.args[1]
            names = " -> ".join(f'"{segments[identity].name}"' for identity in reversed(ring))
            place = segments[ring[0]].place
            hint = "Remove one of these `in_segment` conditions."
            problems.add(place, "SEG404", f"segments refer to each other in a circle: {names}.", hint)
            child, parent = ring[1], ring[0]
            graph[child] = [other for other in graph[child] if other != parent]  # to find the other circles


def raise_on_errors(problems: Problems) -> None:
    """Raise everything found if any of it is an error.

    Raises:
        DefinitionError: With all issues.
    """
    if problems.error_count:
        raise DefinitionError(problems.issues)
