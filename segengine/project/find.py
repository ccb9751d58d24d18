"""Finding definitions by what a user calls them, or by their tags and text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from segengine.errors import ConfigError
from segengine.project.analysis import Analysis, AnalysisKind, Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.changes import tags_of
from segengine.project.measure import Measure
from segengine.project.model import Segment
from segengine.project.nodes import Plain
from segengine.project.problems import did_you_mean

_LISTED_BY = {
    "segment": "segments list",
    "measure": "measures list",
    "suggestion": "suggest list",
    "insight": "insights list",
    "consumer": "consumers list",
}
_Found = TypeVar("_Found", Segment, Measure, Analysis, Evaluated)


@dataclass(frozen=True)
class Filter:
    """Lets definitions through that have all the tags, and the text in name, id or description; case is ignored."""

    tags: tuple[str, ...] = ()
    search: str = ""

    def __bool__(self) -> bool:
        """Return whether it keeps anything back."""
        return bool(self.tags or self.search)

    def accepts(self, identity: str, fields: Mapping[str, Plain]) -> bool:
        """Return whether a definition passes, given its id and its fields."""
        own = {tag.casefold() for tag in tags_of(fields)}
        texts = (identity, str(fields.get("name")), str(fields.get("description") or ""))
        wanted = self.search.casefold()
        return own >= {tag.casefold() for tag in self.tags} and any(wanted in text.casefold() for text in texts)


def find_segment(catalogue: Catalogue, name: str) -> Segment:
    """Return the segment a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    return _find("segment", catalogue.segments, name)


def find_measure(catalogue: Catalogue, name: str) -> Measure:
    """Return the measure a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    return _find("measure", catalogue.measures, name)


def find_analysis(catalogue: Catalogue, name: str, kind: AnalysisKind) -> Analysis:
    """Return the suggestion, or the insight, a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    return _find(kind, {key: each for key, each in catalogue.analyses.items() if each.kind == kind}, name)


def find_definition(catalogue: Catalogue, name: str) -> Evaluated:
    """Return what is evaluated under a name or an id.

    Raises:
        ConfigError: There is none.
    """
    return _find("definition", catalogue.evaluated, name)


def _find(kind: str, definitions: Mapping[str, _Found], name: str) -> _Found:
    for definition in definitions.values():
        if name in (definition.id, definition.name):
            return definition
    known = [text for definition in definitions.values() for text in (definition.id, definition.name)]
    raise ConfigError(f'There is no {kind} "{name}".', suggest_name(kind, name, known))


def suggest_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the hint beside an unknown name: the nearest one, or the command that lists what there is."""
    return did_you_mean(name, known) or f"`segengine {_LISTED_BY.get(kind, 'get')}` shows what there is."
