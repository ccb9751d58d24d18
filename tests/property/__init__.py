"""Random projects and definitions: the engine against two oracles. The oracles live beside the unit tests."""

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path += [str(folder) for folder in (_TESTS, _TESTS / "unit") if str(folder) not in sys.path]
