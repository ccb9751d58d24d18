"""Random projects and definitions: the engine against two oracles. The oracles live beside the unit tests."""

import sys
from pathlib import Path

_ORACLES = str(Path(__file__).parents[1] / "unit")
if _ORACLES not in sys.path:
    sys.path.append(_ORACLES)
