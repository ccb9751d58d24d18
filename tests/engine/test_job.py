"""The job file, run by a real spark-submit with Delta."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import segengine
from segengine import Project
from segengine.demo.contoso import write_contoso
from segengine.demo.projects import copy_project

ROOT = Path(__file__).parents[2]


def zip_package(target: Path) -> Path:
    source = Path(segengine.__file__).parent
    with zipfile.ZipFile(target, "w") as archive:
        for file in source.rglob("*.py"):
            archive.write(file, Path("segengine") / file.relative_to(source))
    return target


@pytest.mark.spark
@pytest.mark.usefixtures("spark_engine")  # settles what happens where Java or the jars are missing
def test_spark_submit_refreshes_and_publishes(tmp_path: Path) -> None:
    """Applied on the embedded engine, refreshed by a job on Spark, read back on the embedded engine."""
    folder = tmp_path / "contoso"
    copy_project("contoso", folder)
    write_contoso(folder)
    with Project(folder) as project:
        project.pull_schema()
        project.apply()

    submit = shutil.which("spark-submit", path=str(Path(sys.executable).parent))
    assert submit is not None
    command = [
        submit,
        *("--master", "local[2]", "--packages", "io.delta:delta-spark_2.13:4.4.0"),
        *("--conf", "spark.ui.enabled=false", "--conf", "spark.databricks.delta.snapshotPartitions=1"),
        *("--conf", "spark.sql.shuffle.partitions=2", "--conf", "spark.sql.adaptive.enabled=false"),
        *("--conf", "spark.sql.codegen.wholeStage=false", "--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN"),
        *("--py-files", str(zip_package(tmp_path / "segengine.zip"))),
        *(str(ROOT / "jobs" / "refresh.py"), "--conf", str(folder), "everyone", "web_only", "-o", "json"),
    ]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    for name in ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE"):
        environment.pop(name, None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"engine": "Spark' in done.stdout
    counts = {s.segment.id: s.current.member_count for s in Project(folder).segments() if s.current is not None}
    assert counts == {"everyone": 5000, "web_only": 1410}
