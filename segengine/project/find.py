"""Finding a segment or a measure by what a user calls it."""

from __future__ import annotations

from segengine.errors import ConfigError
from segengine.project.catalogue import Catalogue
from segengine.project.model import Measure, Segment
from segengine.project.problems import did_you_mean


def find_segment(catalogue: Catalogue, name: str) -> Segment:
    """Return the segment a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    for segment in catalogue.segments.values():
        if name in (segment.id, segment.name):
            return segment
    known = [text for segment in catalogue.segments.values() for text in (segment.id, segment.name)]
    raise ConfigError(f'There is no segment "{name}".', did_you_mean(name, known))


def find_measure(catalogue: Catalogue, name: str) -> Measure:
    """Return the measure a name or an id means.

    Raises:
        ConfigError: There is none.
    """
    for measure in catalogue.measures.values():
        if name in (measure.id, measure.name):
            return measure
    known = [text for measure in catalogue.measures.values() for text in (measure.id, measure.name)]
    raise ConfigError(f'There is no measure "{name}".', did_you_mean(name, known))
