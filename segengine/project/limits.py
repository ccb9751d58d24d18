"""How many definitions a project is meant to have."""

from __future__ import annotations

from segengine.errors import Issue, Level, Place
from segengine.project.catalogue import Catalogue
from segengine.project.problems import CODES

MAX_ACTIVE = 1_000
_NEAR = 900
_CODE = "SEG407"


def find_limit_issues(catalogue: Catalogue) -> list[Issue]:
    """Return a warning where the active segments and measures come near the most a project is meant to have."""
    count = sum(definition.state == "active" for definition in catalogue.usable)
    if count < _NEAR:
        return []
    message = f"{count:,} segments and measures are active; a project is meant to have at most {MAX_ACTIVE:,}."
    hint = "Deactivate those nobody uses: `segengine usage` shows who uses what."
    return [Issue(Place("registry"), _CODE, CODES[_CODE], message, hint, Level.WARNING)]
