"""Finding a definition by what a user calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from segengine.errors import ConfigError
from segengine.project.catalogue import Catalogue
from segengine.project.model import Measure, Segment
from segengine.project.problems import did_you_mean

_Found = TypeVar("_Found", Segment, Measure, Segment | Measure)


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


def find_definition(catalogue: Catalogue, name: str) -> Segment | Measure:
    """Return the segment or measure a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    return _find("segment or measure", catalogue.evaluated, name)


def _find(kind: str, definitions: Mapping[str, _Found], name: str) -> _Found:
    for definition in definitions.values():
        if name in (definition.id, definition.name):
            return definition
    known = [text for definition in definitions.values() for text in (definition.id, definition.name)]
    raise ConfigError(f'There is no {kind} "{name}".', did_you_mean(name, known))
