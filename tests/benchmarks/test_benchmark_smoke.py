"""The benchmark itself works, at a size where its figures say nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import insights, measures
from .run import main

SMALL = ["--profiles", "5000", "--rows", "30000", "--quantified", "0.5"]


@pytest.mark.benchmark
@pytest.mark.parametrize("engines", [["embedded"], pytest.param(["embedded", "spark"], marks=pytest.mark.spark)])
def test_benchmark_compares_everybody(engines: list[str], tmp_path: Path) -> None:
    opponents = ["duckdb-ids", "duckdb-counts", "duckdb-wide", *(["spark-ids"] if "spark" in engines else [])]
    file = tmp_path / "figures.json"
    counts = ["5"] if "spark" in engines else ["10", "25"]
    arguments = [*SMALL, "--segments", *counts, "--engines", *engines, "--opponents", *opponents]
    assert main([*arguments, "--data", str(tmp_path), "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert len(report["entries"]) == len(counts) * (len(engines) + len(opponents))
    assert all(entry["seconds"] > 0 and entry["peak_bytes"] > 0 for entry in report["entries"])
    refreshed = [entry for entry in report["entries"] if entry["contender"].startswith("segengine")]
    assert all(entry["compared_counts"] == entry["segments"] for entry in refreshed)
    assert all(entry["compared_sets"] > 0 and entry["snapshot_bytes"] > 0 for entry in refreshed)


def test_measures_are_compared(tmp_path: Path) -> None:
    size = ["--profiles", "3000", "--rows", "20000", "--measures", "12", "--rounds", "2"]
    assert measures.main([*size, "--data", str(tmp_path)]) == 0


def test_insights_are_compared(tmp_path: Path) -> None:
    assert insights.main(["--profiles", "5000", "--fields", "4", "--data", str(tmp_path)]) == 0
