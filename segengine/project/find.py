"""Finding a segment by what a user calls it."""

from __future__ import annotations

from segengine.errors import ConfigError
from segengine.project.catalogue import Catalogue
from segengine.project.model import Segment
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
