"""The simulated year works, for a few days; what it must find wrong, it finds."""

from __future__ import annotations

from pathlib import Path

from .data import DataSize
from .year import COMPARED, simulate


def test_few_days_with_maintenance(tmp_path: Path) -> None:
    lines: list[str] = []
    maintained: list[object] = []

    year = simulate(tmp_path, DataSize(2_000, 10_000), 6, 7, lines.append, maintained.append)

    assert year.differences == []
    assert len(year.seconds) == 7
    assert len(maintained) == 1, "once a week"
    assert year.compared_counts == 6 * 2, f"on the first day of each {COMPARED} and on the last"
    assert year.file_counts[7] > year.file_counts[1] > 0
    assert year.ratio > 0
