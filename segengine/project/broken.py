"""Applied definitions that no longer fit the project: a parent, table or column is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from segengine.errors import DefinitionError, Issue, Level
from segengine.project.analysis import Analysis, OverlapQuestion, Question, TargetQuestion
from segengine.project.catalogue import Catalogue
from segengine.project.changes import tags_of
from segengine.project.context import definition_audience
from segengine.project.definitions import ANALYSIS_KINDS, SEGMENT_KINDS, read_exemption, read_state
from segengine.project.measure import Measure
from segengine.project.model import Definition, InSegment, ModelField, Segment, SegmentType
from segengine.project.names import make_output_table
from segengine.project.nodes import Plain, to_plain
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.references import refers_to

_NO_QUESTIONS: Mapping[str, Question] = {
    "suggestion": TargetQuestion(ModelField("", InSegment("")), (), ""),
    "insight": OverlapQuestion((), ()),
}


def keep_broken(
    catalogue: Catalogue, issues: Sequence[Issue], deleted: Mapping[str, str] = MappingProxyType({})
) -> Catalogue:
    """Return the catalogue with its broken definitions among the others: without rules or values, never evaluated.

    Args:
        catalogue: What was checked: only the good ones are resolved.
        issues: What was found. Those of a definition tell why it is broken.
        deleted: What messages call the definitions that were deleted, by id: their id alone says little to people.

    Raises:
        DefinitionError: An error is of no single definition.
    """
    errors = [issue for issue in issues if issue.level is Level.ERROR]
    by_file = {definition.place.file: definition.id for definition in catalogue.definitions.values()}
    if any(error.place.file not in by_file for error in errors):
        raise DefinitionError(errors)
    resolved = {*catalogue.order, *catalogue.consumers}
    causes = {
        identity: "what it refers to has errors" for identity in catalogue.definitions if identity not in resolved
    }
    for error in reversed(errors):  # the first of each counts
        causes[by_file[error.place.file]] = error.message.partition(": ")[2] or error.message
    causes |= {
        identity: f"it uses {' and '.join(gone)}, which {'was' if len(gone) == 1 else 'were'} deleted."
        for identity in causes
        if (gone := _find_deleted(catalogue.definitions[identity], deleted))
    }
    missing = [catalogue.definitions[identity] for identity in causes if identity not in resolved]
    segments = {d.id: _segment(d, catalogue.settings) for d in missing if d.kind in SEGMENT_KINDS}
    measures = {d.id: _measure(d, catalogue.settings) for d in missing if d.kind == "measure"}
    analyses = {d.id: _analysis(d, catalogue.settings) for d in missing if d.kind in ANALYSIS_KINDS}
    return replace(
        catalogue,
        segments={**segments, **catalogue.segments},
        measures={**measures, **catalogue.measures},
        analyses={**analyses, **catalogue.analyses},
        order=(*measures, *segments, *analyses, *catalogue.order),
        broken={
            identity: cause for identity, cause in causes.items() if catalogue.definitions[identity].kind != "consumer"
        },
    )


def _find_deleted(definition: Definition, deleted: Mapping[str, str]) -> list[str]:
    """Return what messages call the deleted definitions that a definition refers to."""
    fields = to_plain(definition.fields)
    return [shown for identity, shown in deleted.items() if refers_to(fields, identity)]


def _segment(definition: Definition, settings: Settings) -> Segment:
    written = _written(definition)
    return Segment(
        **_common(definition, settings),
        type=_type(written),
        output_table=str(written.get("output_table") or make_output_table(definition.name)),
        steps=(),
        attach=(),
        attach_limit=0,
    )


def _measure(definition: Definition, settings: Settings) -> Measure:
    return Measure(
        **_common(definition, settings), per_profile=True, dimensions=(), path=None, over="", where=None, values=()
    )


def _analysis(definition: Definition, settings: Settings) -> Analysis:
    question, type_ = _NO_QUESTIONS[definition.kind], _type(_written(definition))
    return Analysis(**_common(definition, settings), type=type_, question=question)


def _type(written: Mapping[str, Plain]) -> SegmentType:
    return "static" if written.get("type") == "static" else "dynamic"


def _common(definition: Definition, settings: Settings) -> dict[str, Any]:
    """Return what is told of every definition without its rules."""
    written = _written(definition)
    return {
        "id": definition.id,
        "name": definition.name,
        "description": str(written.get("description") or ""),
        "tags": tags_of(written),
        "audience": _audience(definition, settings),
        "state": read_state(definition.fields, Problems()),
        "exempt_from_deactivation": read_exemption(definition.fields, Problems()),
        "place": definition.place,
    }


def _written(definition: Definition) -> Mapping[str, Plain]:
    fields = to_plain(definition.fields)
    return fields if isinstance(fields, dict) else {}


def _audience(definition: Definition, settings: Settings) -> str:
    named = definition_audience(definition, settings)
    return named if named in settings.audiences else next(iter(settings.audiences))
