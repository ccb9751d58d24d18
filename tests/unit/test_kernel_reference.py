"""Random definitions on random ugly rows: the kernel's members against the reference evaluator's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kernel_runs import EXPECTED_ERRORS, KernelRun, run_kernel
from random_definitions import draw_project
from reference import Reference

from segengine.kernel import matching as matching_module
from segengine.kernel import scan as scan_module
from segengine.plan import rows as rows_module
from segengine.project.nodes import dump_documents


def compare_runs(seed: int, segment_count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Compare one random project's segments; return how many there were."""
    choose = random.Random(seed * 1_000 + segment_count)
    if seed % 2:  # several joined batches and pieces a scan, as with millions of rows
        monkeypatch.setattr(scan_module, "_BATCH_ROWS", choose.choice([1, 7, 16]))
        monkeypatch.setattr(scan_module, "_PIECE_ROWS", choose.choice([1, 3]))
    monkeypatch.setattr(matching_module, "_MOST_KINDS", choose.choice([1, 10, 1 << 12]))
    if seed % 4 > 1:  # trees of row sets already for small conditions
        monkeypatch.setattr(rows_module, "MAX_CLAUSES", choose.choice([1, 2, 4]))
    drawn = draw_project(seed, segment_count)
    run = KernelRun(drawn.world, choose, batch_size=choose.choice([0, 1, 7]))
    result = run_kernel(folder, run, drawn.segments, drawn.stored)
    assert not result.refused(EXPECTED_ERRORS)
    reference = Reference(drawn.world, {segment["name"]: segment for segment in drawn.segments}, drawn.stored)
    for segment in drawn.segments:
        name = segment["name"]
        if name in result.members:
            assert result.members[name] == reference.members(name), dump_documents([segment])
    return len(result.members)


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 8))])
def test_many_segments_share_their_scans(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare_runs(seed, 60, tmp_path, monkeypatch) > 40


@pytest.mark.parametrize("seed", range(40))
def test_few_segments_are_right_alone(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_runs(seed, 1 + seed % 3, tmp_path, monkeypatch)
