"""All definitions of a project together: resolved, checked against each other, in order of dependency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from segengine.errors import DefinitionError, Issue
from segengine.project.canonical import Hashes, hash_definitions
from segengine.project.checks import find_logic_issues, find_measure_logic_issues
from segengine.project.consumers import resolve_consumer
from segengine.project.context import Context, definition_audience
from segengine.project.definitions import SEGMENT_KINDS, load_definitions
from segengine.project.expansions import with_every_field
from segengine.project.measure_names import MeasureNames
from segengine.project.measures import resolve_measure
from segengine.project.model import Consumer, Definition, Measure, Schema, Segment, Settings
from segengine.project.names import SEGMENT_MEMBERS, make_measure_table, make_output_table
from segengine.project.path_issues import find_measure_path_issues, find_path_issues
from segengine.project.problems import Problems
from segengine.project.resolve import resolve_segment
from segengine.project.schema_lock import load_schema
from segengine.project.walk import definition_parents


@dataclass(frozen=True)
class Catalogue:
    """The good segments and measures by id, parents before children, beside the definitions they came from.

    `broken`: of applied definitions those that cannot be evaluated any more, and why.
    `order` is one order of both kinds, parents first; nothing depends on consumers.
    """

    settings: Settings
    schema: Schema
    segments: Mapping[str, Segment]
    definitions: Mapping[str, Definition]
    issues: tuple[Issue, ...] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def evaluated(self) -> dict[str, Segment | Measure]:
        """The segments and measures by id, parents before children."""
        return {identity: self.find(identity) for identity in self.order}

    @cached_property
    def measure_names(self) -> MeasureNames:
        """The good measures by what definitions call them."""
        names = MeasureNames(self.definitions[identity] for identity in self.measures)
        names.read_with(lambda definition: self.measures[definition.id])
        return names

    def find(self, identity: str) -> Segment | Measure:
        """Return the segment or measure of an id."""
        return self.segments[identity] if identity in self.segments else self.measures[identity]

    def parents(self, identity: str) -> tuple[str, ...]:
        """Return the ids of the segments and measures a definition refers to, sorted."""
        return self._parents[identity]

    @cached_property
    def _parents(self) -> dict[str, tuple[str, ...]]:
        return {identity: definition_parents(definition) for identity, definition in self.evaluated.items()}

    @cached_property
    def hashes(self) -> dict[str, Hashes]:
        """The hashes of every segment and measure."""
        return hash_definitions(self.evaluated, self._parents, self.settings)


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
    _find_shared_names(unique, problems)
    context = _make_context(unique, settings, schema, problems)
    segments: dict[str, Segment] = {}
    measures: dict[str, Measure] = {}
    consumers: dict[str, Consumer] = {}
    evaluated = [definition for definition in unique if definition.kind != "consumer"]
    called = {name: definition.id for definition in evaluated for name in (definition.name, definition.id)}
    for definition in unique:
        if definition.kind == "consumer":
            if consumer := resolve_consumer(definition, called, problems):
                consumers[definition.id] = consumer
        elif definition.kind == "measure":
            if measure := context.measures.resolve(definition):
                measures[definition.id] = measure
        elif segment := resolve_segment(definition, context, problems):
            segments[definition.id] = segment
    _find_output_table_issues(segments, measures, settings.audiences, problems)
    for segment in segments.values():
        find_logic_issues(segment, settings.time_zone, problems)
        find_path_issues(segment, settings, problems)
    for measure in measures.values():
        find_measure_logic_issues(measure, settings.time_zone, problems)
        find_measure_path_issues(measure, settings, problems)
    problems.subject = ""
    found = {d.id: segments.get(d.id) or measures[d.id] for d in unique if d.id in segments or d.id in measures}
    segments = {key: with_every_field(each, settings, schema, found) for key, each in segments.items()}
    found |= segments
    order = tuple(_order(found, problems))
    return Catalogue(
        settings,
        schema,
        {identity: segments[identity] for identity in order if identity in segments},
        {definition.id: definition for definition in unique},
        tuple(problems.issues),
        {identity: measures[identity] for identity in order if identity in measures},
        order,
        consumers,
    )


def resolve_version(
    definition: Definition, others: Sequence[Definition], settings: Settings, schema: Schema
) -> Segment | Measure:
    """Return one definition resolved beside the others' names: an earlier version of one of them, say.

    Raises:
        DefinitionError: It no longer fits the project.
    """
    problems = Problems()
    context = _context_of(definition, others, settings, schema, problems)
    is_measure = definition.kind == "measure"
    found = context.measures.resolve(definition) if is_measure else resolve_segment(definition, context, problems)
    if found is None:
        raise DefinitionError(problems.issues)
    return found


def _context_of(
    definition: Definition, others: Sequence[Definition], settings: Settings, schema: Schema, problems: Problems
) -> Context:
    known = [definition, *(other for other in others if other.id != definition.id)]
    return _make_context(known, settings, schema, problems)


def _make_context(definitions: Sequence[Definition], settings: Settings, schema: Schema, problems: Problems) -> Context:
    segments = [definition for definition in definitions if definition.kind in SEGMENT_KINDS]
    expansions = frozenset(definition.id for definition in segments if definition.kind == "expansion")
    ids = {definition.name: definition.id for definition in reversed(segments)}
    ids |= {definition.id: definition.id for definition in segments}
    audiences = {definition.id: definition_audience(definition, settings) for definition in segments}
    measures = MeasureNames(definitions)
    context = Context(settings, schema, ids, audiences, measures, expansions=expansions)
    measures.read_with(lambda definition: resolve_measure(definition, context, problems))
    return context


def _find_duplicates(definitions: Sequence[Definition], problems: Problems) -> list[Definition]:
    """Return the definitions whose id is theirs alone so far; report the others."""
    seen: dict[str, Definition] = {}
    for definition in definitions:
        first = seen.setdefault(definition.id, definition)
        if first is not definition:
            problems.subject = f'{definition.kind} "{definition.name}"'
            message = f'the id "{definition.id}" is already that of {_called(first, definition)} ({first.place}).'
            problems.add(definition.place, "SEG401", message, "Give one of them its own with `id:`.")
    return list(seen.values())


def _called(first: Definition, definition: Definition) -> str:
    return f'"{first.name}"' if first.kind == definition.kind else f'{first.kind} "{first.name}"'


def _find_shared_names(definitions: Sequence[Definition], problems: Problems) -> None:
    """Report names that mean two definitions, of whatever kind."""
    names: dict[str, Definition] = {}
    for definition in definitions:
        other = names.setdefault(definition.name, definition)
        if other is not definition:
            problems.subject = f'{definition.kind} "{definition.name}"'
            place = definition.fields.key_place("name")
            who = f"two {definition.kind}s are" if other.kind == definition.kind else f"a {other.kind} too is"
            problems.add(place, "SEG401", f'{who} named "{definition.name}".', "Rename one of them.")
    by_id = {definition.id: definition for definition in definitions}
    for name, definition in names.items():
        other = by_id.get(name, definition)
        if other is not definition:
            problems.subject = ""
            message = f'"{name}" is the name of one {definition.kind} and the id of another.'
            if other.kind != definition.kind:
                message = f'"{name}" is the name of a {definition.kind} and the id of a {other.kind}.'
            problems.add(definition.place, "SEG401", message)


def _find_output_table_issues(
    segments: Mapping[str, Segment], measures: Mapping[str, Measure], audiences: Iterable[str], problems: Problems
) -> None:
    others = {SEGMENT_MEMBERS: "all segments' members as rows"}
    others |= {make_measure_table(audience).lower(): f'the measures of audience "{audience}"' for audience in audiences}
    tables = [measure for measure in measures.values() if not measure.is_attribute]
    others |= {make_output_table(measure.name).lower(): f'measure "{measure.name}"' for measure in tables}
    seen: dict[str, Segment] = {}
    for segment in segments.values():
        if other := others.get(segment.output_table.lower()):
            problems.subject = f'segment "{segment.name}"'
            message = f'the output table "{segment.output_table}" is already that of {other}.'
            problems.add(segment.place, "SEG402", message, "Give the segment another with `output_table:`.")
        first = seen.setdefault(segment.output_table.lower(), segment)
        if first is not segment:
            problems.subject = f'segment "{segment.name}"'
            message = f'the output table "{segment.output_table}" is already that of "{first.name}" ({first.place}).'
            problems.add(segment.place, "SEG402", message, "Give one of them its own with `output_table:`.")


def _order(found: Mapping[str, Segment | Measure], problems: Problems) -> list[str]:
    """Return the ids, parents first and otherwise as written; report cycles."""
    graph = {identity: [p for p in definition_parents(one) if p in found] for identity, one in found.items()}
    while True:
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            ring = error.args[1]
            names = " -> ".join(f'"{found[identity].name}"' for identity in reversed(ring))
            place = found[ring[0]].place
            who, what = "segments", "`in_segment` conditions"
            if not all(isinstance(found[identity], Segment) for identity in ring):
                who, what = "segments and measures", "references"
            message = f"{who} refer to each other in a circle: {names}."
            problems.add(place, "SEG404", message, f"Remove one of these {what}.")
            child, parent = ring[1], ring[0]
            graph[child] = [other for other in graph[child] if other != parent]  # to find the other circles


def raise_on_errors(problems: Problems) -> None:
    """Raise everything found if any of it is an error.

    Raises:
        DefinitionError: With all issues.
    """
    if problems.error_count:
        raise DefinitionError(problems.issues)
