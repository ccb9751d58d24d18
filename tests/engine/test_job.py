"""The job files, one of them run by a real spark-submit with Delta, and the notebooks."""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace

import segengine
from segengine.demo.contoso import write_contoso
from segengine.demo.projects import copy_project
from segengine.engine.launch import spark_settings
from segengine.engine.session import EngineSession

ROOT = Path(__file__).parents[2]


def zip_package(target: Path) -> Path:
    source = Path(segengine.__file__).parent
    with zipfile.ZipFile(target, "w") as archive:
        for file in source.rglob("*.py"):
            archive.write(file, Path("segengine") / file.relative_to(source))
    return target


SHOP = """
project: shop
time_zone: Europe/Berlin
schedule: {daily: ["02:00"]}
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
SEGMENTS = """
kind: segment
name: Romans
where: {city: Rome}
---
kind: segment
name: Written by hand
type: static
where: everyone
"""
BUYERS = """
kind: segment
name: Buyers
rules: [{over: purchases, where: {amount: {at_least: 5}}}]
"""


@pytest.fixture
def shop(embedded_engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, embedded_engine)
    customers = {"customer_id": ["a", "b", "c"], "city": ["Rome", "Rome", "Oslo"]}
    purchases = {"purchase_id": [1, 2, 3], "customer_id": ["a", "c", "d"], "amount": [4, 5, 6]}
    workspace.set_up(SHOP, {"customers": customers, "purchases": purchases}, SEGMENTS)
    workspace.apply()
    return workspace


@pytest.mark.spark
@pytest.mark.usefixtures("spark_engine")  # settles what happens where Java or the jars are missing
def test_spark_submit_refreshes_and_publishes(shop: Workspace, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Applied on the embedded engine, refreshed by a job on Spark, read back on the embedded engine."""
    shop.define(BUYERS, "buyers.yml")
    shop.apply()
    elsewhere = tmp_path_factory.mktemp("job")
    submit = shutil.which("spark-submit", path=str(Path(sys.executable).parent))
    assert submit is not None
    command = [
        submit,
        *("--master", "local[2]", "--packages", "io.delta:delta-spark_2.13:4.4.0"),
        *("--conf", "spark.ui.enabled=false", "--conf", "spark.databricks.delta.snapshotPartitions=1"),
        *("--conf", "spark.sql.shuffle.partitions=2", "--conf", "spark.sql.adaptive.enabled=false"),
        *("--conf", "spark.sql.codegen.wholeStage=false", "--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN"),
        *("--conf", f"spark.jars.excludes={spark_settings(elsewhere)['spark.jars.excludes']}"),
        *("--py-files", str(zip_package(elsewhere / "segengine.zip"))),
        *(str(ROOT / "jobs" / "refresh.py"), "--conf", str(shop.folder), "Romans", "Buyers", "-o", "json"),
    ]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    for name in ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE"):
        environment.pop(name, None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=elsewhere, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"engine": "Spark' in done.stdout
    assert shop.published().members() == {"romans": ["a", "b"], "buyers": ["c"]}
    counts = {key: each.current.member_count for key, each in shop.listed().items() if each.current}
    assert counts == {"romans": 2, "buyers": 1}


def run_job(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run the scheduled job in this process and return its exit code; None: the file ends, as Databricks wants it."""
    monkeypatch.setattr(sys, "argv", ["scheduled_refresh.py", *arguments])
    try:
        runpy.run_path(str(ROOT / "jobs" / "scheduled_refresh.py"), run_name="__main__")
    except SystemExit as stop:
        return stop.code
    return None


def test_the_scheduled_job_refreshes_what_is_due(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = ("--conf", str(shop.folder), "--engine", "embedded")  # instead of the job's: the last one counts
    assert run_job(monkeypatch, *conf) is None
    assert "2 of 2 segments published" in capsys.readouterr().out
    assert run_job(monkeypatch, *conf) is None
    captured = capsys.readouterr()
    assert "nothing is due" in captured.err
    assert captured.out == ""
    assert len(shop.published().runs) == 1
    assert run_job(monkeypatch, "--engine", "embedded", "--conf", str(shop.folder / "nowhere")) == 2
    assert "nowhere" in capsys.readouterr().err


def run_notebook(name: str, folder: Path, session: EngineSession, **parameters: str) -> list[list[tuple[Any, ...]]]:
    """Return what a notebook displays, run as a file with what Databricks gives it: widgets, a session, `display`."""
    shown: list[list[tuple[Any, ...]]] = []
    defaults: dict[str, str] = {}

    class Widgets:
        def text(self, name: str, default: str) -> None:
            defaults[name] = default

        def get(self, name: str) -> str:
            return {**defaults, "folder": str(folder), "environment": "", **parameters}[name]

    class Utilities:
        widgets = Widgets()

    given = {
        "dbutils": Utilities(),
        "spark": session.spark,
        "display": lambda frame: shown.append([tuple(row) for row in frame.collect()]),
    }
    runpy.run_path(str(ROOT / "notebooks" / f"{name}.py"), init_globals=given)
    assert all(defaults.values())
    return shown


def test_the_notebook(shop: Workspace) -> None:
    shown = run_notebook("refresh", shop.folder, shop.session)
    assert [sorted(rows) for rows in shown] == [
        [("Romans", "Successful", 2, ""), ("Written by hand", "Successful", 3, "")]
    ]


def test_the_notebooks_on_models(
    embedded_engine: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On Contoso, whose definitions they name unless told others; the job does the same where nothing has changed."""
    copy_project("contoso", tmp_path)
    write_contoso(tmp_path)
    workspace = Workspace(tmp_path, embedded_engine)
    workspace.pull()
    workspace.apply()

    fields, bands = run_notebook("similar_customers", tmp_path, embedded_engine)
    assert {name for name, used, _ in fields if used} == {"post_code", "Average Store Purchase"}
    assert {band for band, _, _ in bands} >= {"very similar", "similar", "somewhat similar"}
    assert "warning" not in capsys.readouterr().err

    (cards,) = run_notebook("suggestions", tmp_path, embedded_engine, save_as="Best idea")
    number, card, promised = cards[0]
    assert (number, "LifetimeSpend" in card) == (1, True)
    assert f"{promised:,} members" in capsys.readouterr().out
    workspace.refresh("Best idea")
    assert len(workspace.members("Best idea", limit=None)) == promised

    differences, parts = run_notebook("insights", tmp_path, embedded_engine)
    assert [row[0] for row in differences] == ["LifetimeSpend", "reward_points"]
    assert sum(count for _, count, _ in parts) > 0
    assert sum(share for _, _, share in parts) == pytest.approx(1)

    arguments = ["models.py", "--conf", str(tmp_path), "--engine", "embedded"]
    monkeypatch.setattr(sys, "argv", arguments)
    with contextlib.suppress(SystemExit):
        runpy.run_path(str(ROOT / "jobs" / "models.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "What drives lifetime spend" in printed
    assert "Web only" not in printed
