"""All definitions of a project together: resolved, checked against each other, in order of dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from segengine.errors import DefinitionError, Issue
from segengine.project import analyses, expansions
from segengine.project.analyses import resolve_analysis
from segengine.project.analysis import Analysis, Evaluated
from segengine.project.canonical import Hashes, hash_definitions
from segengine.project.checks import find_logic_issues, find_measure_logic_issues
from segengine.project.consumers import resolve_consumer
from segengine.project.context import Context, definition_audience
from segengine.project.definitions import ANALYSIS_KINDS, SEGMENT_KINDS, load_definitions
from segengine.project.measure import Measure
from segengine.project.measure_names import MeasureNames
from segengine.project.measures import resolve_measure
from segengine.project.model import Consumer, Definition, Segment
from segengine.project.names import with_article
from segengine.project.output_tables import find_output_table_issues
from segengine.project.path_issues import find_measure_path_issues, find_path_issues
from segengine.project.problems import Problems
from segengine.project.project_file import Schema, Settings
from segengine.project.resolve import resolve_segment
from segengine.project.schema_lock import load_schema
from segengine.project.walk import definition_parents


@dataclass(frozen=True)
class Catalogue:
    """The good definitions by id, parents before children, beside what they came from.

    `broken`: of applied definitions those that cannot be evaluated any more, and why.
    `order` is one order of all that is evaluated, parents first; nothing depends on analyses and consumers.
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
    analyses: Mapping[str, Analysis] = field(default_factory=dict)

    @cached_property
    def evaluated(self) -> dict[str, Evaluated]:
        """What a refresh evaluates by id, parents before children."""
        return {identity: self.find(identity) for identity in self.order}

    @property
    def usable(self) -> list[Segment | Measure]:
        """What others can use: the segments and measures."""
        return [*self.segments.values(), *self.measures.values()]

    @cached_property
    def stored_measures(self) -> dict[str, Measure]:
        """The measures whose values are stored by id: those defined, and those that analyses have for themselves."""
        own = (analysis.figures for analysis in self.analyses.values())
        return {**self.measures, **{measure.id: measure for measure in own if measure}}

    @cached_property
    def measure_names(self) -> MeasureNames:
        """The good measures by what definitions call them."""
        names = MeasureNames(self.definitions[identity] for identity in self.measures)
        names.read_with(lambda definition: self.measures[definition.id])
        return names

    def find(self, identity: str) -> Evaluated:
        """Return the segment, measure or analysis of an id."""
        if identity in self.analyses:
            return self.analyses[identity]
        return self.segments[identity] if identity in self.segments else self.measures[identity]

    def parents(self, identity: str) -> tuple[str, ...]:
        """Return the ids of the segments and measures a definition refers to, sorted."""
        return self._parents[identity]

    @cached_property
    def _parents(self) -> dict[str, tuple[str, ...]]:
        return {identity: definition_parents(definition) for identity, definition in self.evaluated.items()}

    @cached_property
    def hashes(self) -> dict[str, Hashes]:
        """The hashes of all that is evaluated."""
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
    found, consumers = _resolve(unique, context, problems)
    segments = {key: each for key, each in found.items() if isinstance(each, Segment)}
    measures = {key: each for key, each in found.items() if isinstance(each, Measure)}
    find_output_table_issues(found.values(), settings.audiences, problems)
    for segment in segments.values():
        find_logic_issues(segment, settings.time_zone, problems)
        find_path_issues(segment, settings, problems)
    for measure in measures.values():
        find_measure_logic_issues(measure, settings.time_zone, problems)
        find_measure_path_issues(measure, settings, problems)
    problems.subject = ""
    found = {key: _with_every_field(each, settings, schema, found) for key, each in found.items()}
    order = tuple(_order(found, problems))
    ordered = [found[identity] for identity in order]
    return Catalogue(
        settings=settings,
        schema=schema,
        segments={each.id: each for each in ordered if isinstance(each, Segment)},
        definitions={definition.id: definition for definition in unique},
        issues=tuple(problems.issues),
        measures={each.id: each for each in ordered if isinstance(each, Measure)},
        order=order,
        consumers=consumers,
        analyses={each.id: each for each in ordered if isinstance(each, Analysis)},
    )


def _resolve(
    definitions: Sequence[Definition], context: Context, problems: Problems
) -> tuple[dict[str, Evaluated], dict[str, Consumer]]:
    """Return what is evaluated and the consumers by id, as they stand; those with errors are left out."""
    found: dict[str, Evaluated] = {}
    consumers: dict[str, Consumer] = {}
    used = [definition for definition in definitions if definition.kind in (*SEGMENT_KINDS, "measure")]
    called = {name: definition.id for definition in used for name in (definition.name, definition.id)}
    for definition in definitions:
        if definition.kind == "consumer":
            if consumer := resolve_consumer(definition, called, problems):
                consumers[definition.id] = consumer
        elif each := _resolve_one(definition, context, problems):
            found[definition.id] = each
    return found, consumers


def _resolve_one(definition: Definition, context: Context, problems: Problems) -> Evaluated | None:
    if definition.kind == "measure":
        return context.measures.resolve(definition)
    if definition.kind in ANALYSIS_KINDS:
        return resolve_analysis(definition, context, problems)
    return resolve_segment(definition, context, problems)


def _with_every_field(
    definition: Evaluated, settings: Settings, schema: Schema, found: Mapping[str, Evaluated]
) -> Evaluated:
    """Return a definition whose fields were left out with all there are for it."""
    if isinstance(definition, Segment):
        return expansions.with_every_field(definition, settings, schema, found)
    if isinstance(definition, Analysis):
        return analyses.with_every_field(definition, settings, schema, found)
    return definition


def resolve_version(
    definition: Definition, others: Sequence[Definition], settings: Settings, schema: Schema
) -> Evaluated:
    """Return one definition resolved beside the others' names: an earlier version of one of them, say.

    Raises:
        DefinitionError: It no longer fits the project.
    """
    problems = Problems()
    context = _context_of(definition, others, settings, schema, problems)
    found = _resolve_one(definition, context, problems)
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
            who = (
                f"two {definition.kind}s are" if other.kind == definition.kind else f"{with_article(other.kind)} too is"
            )
            problems.add(place, "SEG401", f'{who} named "{definition.name}".', "Rename one of them.")
    by_id = {definition.id: definition for definition in definitions}
    for name, definition in names.items():
        other = by_id.get(name, definition)
        if other is not definition:
            problems.subject = ""
            message = f'"{name}" is the name of one {definition.kind} and the id of another.'
            if other.kind != definition.kind:
                message = (
                    f'"{name}" is the name of {with_article(definition.kind)} and the id of {with_article(other.kind)}.'
                )
            problems.add(definition.place, "SEG401", message)


def _order(found: Mapping[str, Evaluated], problems: Problems) -> list[str]:
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
