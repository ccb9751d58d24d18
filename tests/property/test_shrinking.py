"""A disagreement becomes a small case that can be kept as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_definitions import draw_project
from worlds import Case

from .cases import GoldenCase, read_case, write_case
from .judges import Members, judge_by_reference
from .lanes import kernel_judge
from .run import main
from .shrink import fails_on, shrink


def write_and_read(golden: GoldenCase, folder: Path) -> GoldenCase:
    path = folder / "case.yml"
    path.write_text(write_case(golden), encoding="utf-8")
    return read_case(path)


@pytest.mark.parametrize("seed", range(3))
def test_a_written_case_is_read_back_as_it_was(seed: int, tmp_path: Path) -> None:
    case = draw_project(seed, 20)
    members = judge_by_reference(case)
    again = write_and_read(GoldenCase("All of it.", case, members), tmp_path)
    assert again.case.world.links == case.world.links
    assert again.case.world.types == case.world.types
    assert repr(again.case.world.rows) == repr(case.world.rows)  # NaN equals no NaN
    assert again.case.segments == case.segments
    assert again.members == members


def judge_who_forgets(case: Case) -> Members:
    """Leave out the members that a rule over rows counts at least two rows of."""
    found = judge_by_reference(case)
    for segment in case.segments:
        if "rows: {at_least: 2}" in repr(segment).replace("'", ""):
            found[segment["name"]] = set()
    return found


def test_shrinking_leaves_what_the_failure_needs(tmp_path: Path) -> None:
    case, name = next(
        (case, segment["name"])
        for seed in range(20)
        for case in [draw_project(seed, 40)]
        for segment in case.segments
        if fails_on(segment["name"], judge_who_forgets, tmp_path)(case)
    )
    small = shrink(case, name, fails_on(name, judge_who_forgets, tmp_path))
    (segment,) = small.segments
    assert len(repr(segment)) < 250, segment
    assert sum(len(rows) for rows in small.world.rows.values()) <= 6
    assert len(small.world.rows[small.world.profile_table]) == 1
    golden = write_and_read(GoldenCase("Small.", small, judge_by_reference(small)), tmp_path)
    assert judge_by_reference(golden.case) == golden.members
    assert kernel_judge(tmp_path, seed=0)(golden.case) == golden.members


def test_the_command_prints_a_line_a_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--projects", "2", "--segments", "5", "--seed", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["seed 7", "seed 8", "total"]
