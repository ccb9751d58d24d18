"""Commands that need no engine do not pay for one: `--help` must not import Spark or a model library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("pyspark", "pysail", "mlflow", "pandas", "sklearn", "matplotlib")


def list_heavy_imports(module: str) -> list[str]:
    code = (
        f"import importlib, json, sys; importlib.import_module({module!r}); "
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.parametrize(
    "module",
    [
        "segengine.cli.main",
        "segengine.engine.session",
        "segengine.engine.failures",
        "segengine.models.plots",
        "segengine.models.tracking",
    ],
)
def test_module_is_light(module: str) -> None:
    assert list_heavy_imports(module) == []


def test_heavy_import_is_found() -> None:
    assert "pandas" in list_heavy_imports("pandas")
