"""Random definitions on random ugly rows: the kernel's members against the reference evaluator's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kernel_runs import KernelRun, differences
from random_worlds import PROJECT, RandomSegments, random_world

from segengine.kernel import scan as scan_module
from segengine.plan import rows as rows_module


def compare_runs(seed: int, segment_count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Compare one random world's segments; return how many there were."""
    choose = random.Random(seed * 1_000 + segment_count)
    if seed % 2:  # several joined batches and pieces a scan, as with millions of rows
        monkeypatch.setattr(scan_module, "_BATCH_ROWS", choose.choice([1, 7, 16]))
        monkeypatch.setattr(scan_module, "_PIECE_ROWS", choose.choice([1, 3]))
    if seed % 4 > 1:  # trees of row sets already for small conditions
        monkeypatch.setattr(rows_module, "MAX_CLAUSES", choose.choice([1, 2, 4]))
    world = random_world(choose, profile_count=12, row_count=40)
    run = KernelRun(world, choose, batch_size=choose.choice([0, 1, 7]))
    stored = {f"old_{number}": set(choose.sample(sorted(run.key_of), number * 3)) for number in range(3)}
    parents = list(stored)
    segments = []
    for number in range(segment_count):
        segments.append(RandomSegments(choose, parents).draw(f"s{number}"))
        parents = [*stored, *(segment["name"] for segment in segments[:10])]
    compared, wrong = differences(folder, PROJECT, run, segments, stored)
    assert not wrong, "\n".join(wrong)
    return compared


@pytest.mark.parametrize("seed", range(8))
def test_many_segments_share_their_scans(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare_runs(seed, 60, tmp_path, monkeypatch) > 30


@pytest.mark.parametrize("seed", range(40))
def test_few_segments_are_right_alone(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_runs(seed, 1 + seed % 3, tmp_path, monkeypatch)
