"""The simulated year works, for a few days; what it must find wrong, it finds."""

from __future__ import annotations

from pathlib import Path

from .data import DataSize
from .year import COMPARED, simulate


def test_few_days_with_maintenance(tmp_path: Path) -> None:
    lines: list[str] = []

    year = simulate(tmp_path, DataSize(2_000, 10_000), 6, 7, lines.append)

    assert year.differences == []
    assert len(year.seconds) == 7
    assert year.compared_counts == 6 * 2, f"on the first day of each {COMPARED} and on the last"
    before, after = year.file_counts[7]
    assert before > after > 0
    assert year.ratio > 0
