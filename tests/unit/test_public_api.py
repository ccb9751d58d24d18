"""Only what every engine has, also over Spark Connect, and nothing whose result depends on the engine or the clock."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ATTRIBUTES = {"rdd", "sparkContext", "_jvm", "_jdf", "_sc", "_jsc", "_jsparkSession", "foreachPartition"}
MODULES = {"delta.tables", "pyspark.rdd", "pyspark.context", "pyspark.core"}
NAMES = {
    "pyspark": {"SparkContext", "RDD", "Accumulator", "Broadcast"},
    "delta": {"DeltaTable"},
}
# On `pyspark.sql.functions`: other values on each engine, run or day.
FUNCTIONS = {
    "approx_count_distinct",
    "avg",
    "any_value",
    "curdate",
    "current_date",
    "current_timestamp",
    "first",
    "first_value",
    "input_file_name",
    "last",
    "last_value",
    "localtimestamp",
    "max_by",
    "mean",
    "min_by",
    "monotonically_increasing_id",
    "now",
    "percentile",
    "percentile_approx",
    "rand",
    "randn",
    "rlike",
    "round",
    "shuffle",
    "uuid",
    "weekday",
}
FUNCTION_MODULES = {"F", "functions"}
SESSION_FILE = Path("segengine/engine/session.py")


def list_sources() -> list[Path]:
    folders = (ROOT / "segengine", ROOT / "jobs", ROOT / "notebooks")
    return sorted(file for folder in folders for suffix in ("py", "ipynb") for file in folder.rglob(f"*.{suffix}"))


def read_source(file: Path) -> str:
    """Return a module's text, or the code cells of a notebook without their magic lines."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def find_api_issues(source: str, file: Path) -> list[str]:
    """Return one line for each use of what is not public, not on Connect, or not the same everywhere."""
    issues = []
    for node in ast.walk(ast.parse(source)):
        found = find_forbidden(node) or find_session_start(node, file)
        if found:
            issues.append(f"{file}:{getattr(node, 'lineno', 0)}: {found}")
    return issues


def find_forbidden(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        if node.attr in ATTRIBUTES:
            return f".{node.attr}"
        if isinstance(node.value, ast.Name) and node.value.id in FUNCTION_MODULES and node.attr in FUNCTIONS:
            return f"{node.value.id}.{node.attr}"
    if isinstance(node, ast.Import):
        return ", ".join(alias.name for alias in node.names if is_in(alias.name, MODULES))
    if isinstance(node, ast.ImportFrom) and node.module:
        if is_in(node.module, MODULES):
            return node.module
        names = {alias.name for alias in node.names}
        banned = FUNCTIONS if node.module == "pyspark.sql.functions" else NAMES.get(node.module, set())
        submodules = {name for name in names if f"{node.module}.{name}" in MODULES}
        return ", ".join(sorted(names & banned | submodules))
    return ""


def is_in(module: str, modules: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in modules)


def find_session_start(node: ast.AST, file: Path) -> str:
    """Only one module may build sessions; all others are given one."""
    if file != SESSION_FILE and isinstance(node, ast.Attribute) and node.attr in {"builder", "getActiveSession"}:
        if isinstance(node.value, ast.Name) and node.value.id == "SparkSession":
            return f"SparkSession.{node.attr}"
    return ""


@pytest.mark.parametrize("file", list_sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_only_public_api_is_used(file: Path) -> None:
    assert find_api_issues(read_source(file), file.relative_to(ROOT)) == []


@pytest.mark.parametrize(
    "source",
    [
        "frame.rdd.map(len)",
        "spark.sparkContext.defaultParallelism",
        "frame._jdf.queryExecution()",
        "spark._jvm",
        "spark._sc",
        "spark._jsc",
        "from delta.tables import DeltaTable",
        "import delta.tables",
        "from delta import DeltaTable",
        "from delta import tables",
        "from pyspark import SparkContext",
        "F.rand(7)",
        "F.current_date()",
        "functions.uuid()",
        "from pyspark.sql.functions import col, current_timestamp",
        "def start():\n    return SparkSession.builder.getOrCreate()",
    ],
)
def test_forbidden_use_is_found(source: str) -> None:
    assert len(find_api_issues(source, Path("segengine/store/tables.py"))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from pyspark.sql import SparkSession, functions as F",
        "F.max('bucket')",
        "round(1.5)",
        "random.rand",
        "spark.read.format('delta').load(path)",
        "from deltalake import DeltaTable",
    ],
)
def test_public_use_passes(source: str) -> None:
    assert find_api_issues(source, Path("segengine/store/tables.py")) == []


def test_notebook_cells_are_read(tmp_path: Path) -> None:
    notebook = tmp_path / "bad.ipynb"
    cells = [
        {"cell_type": "markdown", "source": ["not code: F.rand("]},
        {"cell_type": "code", "source": ["%pip install segengine\n", "frame.rdd\n"]},
    ]
    notebook.write_text(json.dumps({"cells": cells}))
    assert find_api_issues(read_source(notebook), Path("notebooks/bad.ipynb")) == ["notebooks/bad.ipynb:1: .rdd"]
