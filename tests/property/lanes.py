"""One random project, judged by all: how many definitions tell profiles apart, and where the judges disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from random_definitions import draw_project
from reference_expressions import names_in, parse_arithmetic
from reference_measures import columns_of
from workspace import Workspace
from worlds import Case

from segengine.engine.session import EngineSession

from .judges import Disagreement, Members, find_disagreements, judge_by_engine, judge_by_kernel, judge_by_reference
from .rows_of_text import tells_apart

Judge = Callable[[Case], Members]


@dataclass
class Tally:
    """What came of some segments and measures.

    `telling`: members by the reference that are neither nobody nor everyone, values that are not all the same.
    `judged`: by judge, how many it judged; the others it could not express or refused.
    """

    segments: int = 0
    measures: int = 0
    telling: int = 0
    failed: int = 0
    judged: dict[str, int] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Count what came of others too."""
        self.segments += other.segments
        self.measures += other.measures
        self.telling += other.telling
        self.failed += other.failed
        self.seconds += other.seconds
        self.disagreements += other.disagreements
        for judge, count in other.judged.items():
            self.judged[judge] = self.judged.get(judge, 0) + count

    def __str__(self) -> str:
        judged = ", ".join(f"{judge} {count}" for judge, count in self.judged.items())
        share = self.telling / max(1, self.segments + self.measures)
        measures = f"{self.measures} measures, " if self.measures else ""
        return (
            f"{self.segments} segments, {measures}{share:.0%} telling, {self.failed} failed, judged by {judged}, "
            f"{len(self.disagreements)} disagreements, {self.seconds:.1f} s"
        )


def compare_project(seed: int, segment_count: int, judges: Mapping[str, Judge]) -> Tally:
    """Return how judges see the segments of one random project, against the reference."""
    return compare_case(draw_project(seed, segment_count), judges)


def compare_case(case: Case, judges: Mapping[str, Judge]) -> Tally:
    """Return how judges see the segments and measures of a case, against the reference."""
    started = time.monotonic()
    expected = judge_by_reference(case)
    everyone = len(case.world.rows[case.world.profile_table])
    members, rows = ([expected[one["name"]] or set() for one in some] for some in (case.segments, case.measures))
    tally = Tally(
        segments=len(case.segments),
        measures=len(case.measures),
        telling=sum(0 < len(ids) < everyone for ids in members) + sum(map(tells_apart, rows)),
        failed=sum(members is None for members in expected.values()),
    )
    for name, judge in judges.items():
        found = judge(case)
        tally.judged[name] = len(found)
        tally.disagreements += find_disagreements(name, found, expected)
    tally.seconds = time.monotonic() - started
    return tally


def kernel_judge(folder: Path, seed: int) -> Judge:
    """Return the kernel as a judge."""
    return lambda case: judge_by_kernel(case, folder, seed)


def engine_judge(folder: Path, preparing: EngineSession, engine: EngineSession) -> Judge:
    """Return an engine as a judge: one refresh of a project written to an empty folder."""
    return lambda case: judge_by_engine(case, Workspace(folder, preparing), engine)


def only(case: Case, names: Iterable[str]) -> Case:
    """Return a case with some of its definitions and all their parents."""
    by_name = {definition["name"]: definition for definition in (*case.measures, *case.segments)}
    meant = {column: measure["name"] for measure in case.measures for column in columns_of(measure)}
    meant |= {name: name for name in (*by_name, *case.stored)}
    needed: set[str] = set()
    waiting = [name for name in names if name in by_name]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [meant[parent] for parent in parents_of(by_name.get(name)) if parent in meant]
    return replace(
        case,
        segments=[segment for segment in case.segments if segment["name"] in needed],
        measures=[measure for measure in case.measures if measure["name"] in needed],
        stored={name: ids for name, ids in case.stored.items() if name in needed},
    )


def parents_of(part: Any) -> Sequence[str]:
    """Return the segments a definition, or a part of it, refers to, and all that could be names of measures."""
    if isinstance(part, list):
        return [name for item in part for name in parents_of(item)]
    if isinstance(part, dict):
        own = [part[key] for key in ("in_segment", "over") if isinstance(part.get(key), str)]
        own += names_in(parse_arithmetic(part["expression"])) if "expression" in part else []
        conditions = [key for key in part if key not in ("value", "values")]
        return own + conditions + [name for value in part.values() for name in parents_of(value)]
    return []
