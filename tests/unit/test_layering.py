"""Imports go one way, and the packages that must be light stay so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the bottom: a package may import its own tier and those below it.
TIERS = (
    {"errors"},
    {"project"},
    {"plan", "kernel"},
    {"models", "engine", "store", "report"},
    {"operations"},
    {"cli", "jobs", "notebooks", "demo"},
)
# `demo` stands beside operations: nothing but the command line may import it, and it reaches for little.
ONLY_FROM = {"demo": {"cli", "jobs", "notebooks", "demo"}}
ALLOWED = {"demo": {"project", "errors", "operations", "demo"}}
# The modules that make up the public face of the package: the API, and `python -m segengine`.
FACES = {"api", "__init__", "__main__"}
FACES_SEE = {"__main__": {"cli"}}

TOO_HEAVY = {
    "project": {"pyspark", "numpy", "pyarrow"},
    "plan": {"pyspark", "numpy", "pyarrow"},
    "kernel": {"pyspark"},
    "errors": {"pyspark", "numpy", "pyarrow"},
}


def list_modules() -> list[Path]:
    folders = (ROOT / "segengine", ROOT / "jobs", ROOT / "notebooks")
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def name_package(file: Path) -> str:
    """Return the layer a file belongs to: the folder below segengine, or jobs, or notebooks."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "segengine" else parts[0]


def list_imports(source: str, file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything imported, also inside functions and for types only."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def find_import_issues(source: str, file: Path) -> list[str]:
    """Return one line for each import that goes the wrong way or is too heavy for its package."""
    ours = name_package(file)
    issues = []
    for line, name in list_imports(source, file):
        parts = name.split(".")
        place = f"{file.relative_to(ROOT)}:{line}: {ours} imports {name}"
        if parts[0] == "segengine" and len(parts) > 1:
            if not may_import(ours, parts[1]):
                issues.append(place)
        elif parts[0] in TOO_HEAVY.get(ours, ()):
            issues.append(place)
    return issues


def may_import(ours: str, theirs: str) -> bool:
    if theirs not in set().union(*TIERS):
        return theirs == "__version__" or ours in FACES | {"cli", "jobs", "notebooks"}
    if ours in FACES:
        return theirs in FACES_SEE.get(ours, {"operations", "plan", "project", "errors"})
    if ours in ALLOWED:
        return theirs in ALLOWED[ours]
    if theirs in ONLY_FROM and ours not in ONLY_FROM[theirs]:
        return False
    return find_tier(theirs) <= find_tier(ours)


def find_tier(package: str) -> int:
    return next(number for number, tier in enumerate(TIERS) if package in tier)


def test_every_package_has_a_tier() -> None:
    packages = {name_package(file) for file in list_modules()} - FACES
    assert packages <= set().union(*TIERS)


@pytest.mark.parametrize("file", list_modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    assert find_import_issues(file.read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("segengine/project/model.py", "from segengine.plan.scans import Scan"),
        ("segengine/project/model.py", "import numpy as np"),
        ("segengine/project/model.py", "def later():\n    from pyspark.sql import functions as F"),
        ("segengine/plan/clauses.py", "if TYPE_CHECKING:\n    import pyarrow as pa"),
        ("segengine/kernel/words.py", "import pyspark.sql.functions"),
        ("segengine/kernel/words.py", "from segengine import engine"),
        ("segengine/engine/session.py", "from segengine.operations.refresh import refresh_segments"),
        ("segengine/engine/session.py", "from ..operations import refresh"),
        ("segengine/errors.py", "from segengine.project import model"),
        ("segengine/operations/refresh.py", "from segengine.cli.main import main"),
        ("segengine/operations/refresh.py", "from segengine.demo import contoso"),
        ("segengine/operations/refresh.py", "import segengine.api"),
        ("segengine/demo/contoso.py", "from segengine.kernel import words"),
        ("segengine/api.py", "from segengine.kernel import words"),
    ],
)
def test_wrong_import_is_found(file: str, source: str) -> None:
    assert len(find_import_issues(source, ROOT / file)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("segengine/kernel/words.py", "import numpy as np\nfrom segengine.errors import coded_failure"),
        ("segengine/cli/main.py", "from segengine.operations import refresh\nfrom segengine.demo import contoso"),
        ("segengine/models/features.py", "from segengine.engine.session import EngineSession"),
        ("segengine/engine/session.py", "from .failures import engine_errors"),
        ("segengine/api.py", "from segengine.operations.refresh import refresh_segments"),
    ],
)
def test_right_import_passes(file: str, source: str) -> None:
    assert find_import_issues(source, ROOT / file) == []


def test_mlflow_is_imported_in_one_place() -> None:
    imports = {file: list_imports(file.read_text(encoding="utf-8"), file) for file in list_modules()}
    importers = [file for file, names in imports.items() if any(name.split(".")[0] == "mlflow" for _, name in names)]
    assert importers == [ROOT / "segengine/models/tracking.py"]
