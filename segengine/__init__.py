"""segengine: batch customer segmentation on Spark.

`segengine.Project` is the Python API; the command `segengine` does the same from a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segengine.api import Project

__all__ = ["Project", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the API when it is first asked for: `import segengine` alone stays cheap."""
    if name == "Project":
        from segengine.api import Project

        return Project
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
