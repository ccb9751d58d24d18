"""Random changes of data and definitions: a refresh that keeps what cannot have changed, against one of everything.

Two copies of a random project go through the same changes. One is refreshed as users do, the other in full: they must
publish the same statuses, members, entered and left, and values of measures. `-m long` takes more projects.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from random_measures import draw_measures
from workspace import Workspace
from worlds import Row

from segengine.engine.session import EngineSession
from segengine.errors import DefinitionError
from segengine.operations.refresh import RefreshReport
from segengine.project.nodes import dump_documents
from segengine.store.runs import Status

from .judges import read_rows_of, sound_definitions, stored_definition, write_rows_of, write_sources

FIRST_DAY = datetime(2100, 1, 1, tzinfo=UTC)  # later than now: every refresh is one of the present


@dataclass(frozen=True)
class Size:
    """How many definitions there are, and how many refreshes."""

    measures: int
    segments: int
    steps: int


SMALL, LARGE = Size(2, 6, 4), Size(5, 20, 5)


class Pair:
    """The same project twice: `kept` as users refresh it, `full` with everything evaluated."""

    def __init__(self, seed: int, engine: EngineSession, folder: Path, size: Size) -> None:
        self.choose = random.Random(f"changes {seed}")
        case = draw_measures(seed, size.measures, size.segments)
        self.world = case.world
        self.kept, self.full = (Workspace(folder / name, engine) for name in ("kept", "full"))
        for workspace in (self.kept, self.full):
            workspace.folder.mkdir()
            write_sources(self.world, workspace)
        parents = [stored_definition(name, ids, self.world) for name, ids in case.stored.items()]
        self.definitions = sound_definitions([*parents, *case.measures, *case.segments], self.world, folder)
        self.define(self.definitions)
        self.kept.pull()
        shutil.copy(self.kept.folder / "schema.lock.yml", self.full.folder)
        self.apply()

    def define(self, definitions: list[dict[str, Any]]) -> None:
        for workspace in (self.kept, self.full):
            workspace.define(dump_documents(definitions))

    def apply(self) -> None:
        for workspace in (self.kept, self.full):
            workspace.apply()

    def change(self) -> None:
        """Change nothing, a table, or a definition."""
        kinds = (self._rewrite, self._make_anew, self._exchange)
        for change in self.choose.choices(kinds, k=self.choose.choice((0, 1, 1, 2))):
            change()

    def _rewrite(self) -> None:
        name = self.choose.choice(list(self.world.rows))
        self._write(name, self._changed(name))

    def _make_anew(self) -> None:
        """Replace a table by another one, whose versions count from 0 again."""
        name = self.choose.choice(list(self.world.rows))
        for workspace in (self.kept, self.full):
            shutil.rmtree(workspace.data / name)
        self._write(name, self._changed(name))

    def _changed(self, name: str) -> list[Row]:
        """Return a part of a table's rows, some with the values of others; keys stay as they are."""
        rows = list(self.world.rows[name])
        left = self.choose.sample(rows, self.choose.randint(len(rows) // 2, len(rows)))
        keys = self.world.keys[name]
        values = [self.choose.choice((row, self.choose.choice(rows))) for row in left]
        return [{**value, **{key: row[key] for key in keys}} for row, value in zip(left, values, strict=True)]

    def _write(self, name: str, rows: list[Row]) -> None:
        for workspace in (self.kept, self.full):
            write_rows_of(self.world, name, rows, workspace)

    def _exchange(self) -> None:
        """Let two segments exchange their rules, where that makes no circle."""
        segments = [place for place, one in enumerate(self.definitions) if one["kind"] == "segment"]
        first, second = self.choose.sample(segments, 2)
        changed = list(self.definitions)
        changed[first] = {**self.definitions[second], "name": self.definitions[first]["name"]}
        changed[second] = {**self.definitions[first], "name": self.definitions[second]["name"]}
        self.define(changed)
        try:
            self.apply()
        except DefinitionError:
            self.define(self.definitions)
        else:
            self.definitions = changed

    def refresh(self, step: int) -> RefreshReport:
        """Refresh both, everything or some, and compare what they published."""
        names = [one["name"] for one in self.definitions]
        some = self.choose.sample(names, len(names) // 2) if self.choose.random() < 0.3 else []
        as_of = FIRST_DAY + timedelta(step)
        report = self.kept.refresh(*some, as_of=as_of)
        expected = self.full.refresh(*some, as_of=as_of, full=True)
        assert facts(report) == facts(expected)
        assert self.kept.published().members() == self.full.published().members()
        return report

    def compare_values(self, report: RefreshReport) -> None:
        """Compare the current values of the measures of a refresh."""
        with self.kept.opened() as kept, self.full.opened() as full:
            for measured in report.measures:
                if measured.status is Status.SUCCESSFUL:
                    found = [read_rows_of(measured.name, each, self.world.zone) for each in (kept, full)]
                    assert found[0] == found[1], measured.name


def facts(report: RefreshReport) -> dict[str, tuple[Any, ...]]:
    """Return what must be the same however it was found."""
    found: dict[str, tuple[Any, ...]] = {
        run.id: (run.status, run.error, run.profile_count, run.member_count, run.entered_count, run.left_count)
        for run in report.segments
    }
    return found | {run.id: (run.status, run.error, run.row_count, run.value_counts) for run in report.measures}


def compare_steps(seed: int, engine: EngineSession, folder: Path, size: Size) -> tuple[int, int]:
    """Return how many definitions kept their snapshot over all steps, and how many were evaluated."""
    pair = Pair(seed, engine, folder, size)
    kept_count = evaluated_count = 0
    report = pair.refresh(0)
    for step in range(1, size.steps):
        pair.change()
        report = pair.refresh(step)
        kept_count += report.unchanged_count
        evaluated_count += len(report.segments) + len(report.measures) - report.unchanged_count
    pair.compare_values(report)
    return kept_count, evaluated_count


def test_what_is_kept_is_what_would_be_found(embedded_engine: EngineSession, tmp_path: Path) -> None:
    kept_count, evaluated_count = compare_steps(1, embedded_engine, tmp_path, SMALL)
    assert kept_count > 5
    assert evaluated_count > 5


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(100, 140))
def test_so_it_is_in_many_projects(seed: int, engine: EngineSession, tmp_path: Path) -> None:
    compare_steps(seed, engine, tmp_path, LARGE)
