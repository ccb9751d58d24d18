"""What sets a segment apart, and how eight segments overlap, beside DuckDB that counts the same.

    python -m tests.benchmarks.insights --profiles 1000000 --fields 20
    python -m tests.benchmarks.insights --profiles 10000000 --fields 2

Differentiators: the values of numbers, texts and booleans of the members of one segment against everyone else's; with
the score of each field, its interval and whether it is more than chance, which DuckDB does not do. Overlap: every
combination of eight segments from their stored members, which DuckDB evaluates anew. Each of ours is a whole refresh of
the insight until it is published. The counts of a text's values and of all combinations are compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import yaml
from deltalake import write_deltalake

from segengine.engine.machine import count_cores
from segengine.models.differentiators import Differentiators
from segengine.models.insights import Insight
from segengine.operations.apply import apply_definitions
from segengine.operations.context import OpenProject, open_project, open_settings
from segengine.operations.due import Wanted
from segengine.operations.insights import describe_insight
from segengine.operations.refresh import refresh_segments
from segengine.operations.schema import pull_schema

from .data import parquet_files
from .measure import Measured, Outcome, Phases, describe_machine, run_measured

SEGMENTS = 8
WORDS = (5, 50, 2_000)  # how many values texts have, in turn
_PART_ROWS = 1_000_000
_PROJECT = {
    "project": "insights",
    "time_zone": "UTC",
    "engine": "embedded",
    "tables": {"customers": {"path": "data/customers", "key": "customer_id"}},
    "audiences": {"customer": {"table": "customers"}},
}


def draw_customers(profiles: int, fields: int, seed: int = 9) -> Iterator[pa.Table]:
    """Yield customers with fields in turn text, number, whole number and boolean, and `rank`, which segments ask."""
    rng = np.random.default_rng(seed)
    for start in range(0, profiles, _PART_ROWS):
        count = min(_PART_ROWS, profiles - start)
        rank = rng.random(count)
        columns = {"customer_id": np.char.mod("C%09d", np.arange(start, start + count)), "rank": rank}
        for place in range(fields):
            columns[f"f{place}"] = _draw_field(place, rank, rng)
        yield pa.table(columns)


def _draw_field(place: int, rank: np.ndarray, rng: np.random.Generator) -> object:
    count = len(rank)
    match place % 4:
        case 0:
            words = np.char.mod("word %d", np.arange(WORDS[place // 4 % len(WORDS)]))
            return words[np.floor(len(words) * rng.random(count) ** 2).astype(np.int64)]
        case 1:
            return rng.normal(50, 20, count) + (10 * rank if place % 3 else 0)
        case 2:
            return pa.array(rng.poisson(4, count), mask=rng.random(count) < 0.1)
        case _:
            return rng.random(count) < 0.3 + 0.2 * rank


def define(fields: int) -> list[dict[str, object]]:
    """Return eight segments, each of a tenth to half of the profiles, and the two insights."""
    segments: list[dict[str, object]] = [
        {"kind": "segment", "name": f"s{place}", "where": {"all": [{"rank": {"between": list(_bounds(place))}}]}}
        for place in range(SEGMENTS)
    ]
    names = [f"f{place}" for place in range(fields)]
    apart = {"kind": "insight", "name": "apart", "differentiators": {"of": "s0"}, "fields": names}
    overlap = {"kind": "insight", "name": "overlap", "overlap": [f"s{place}" for place in range(SEGMENTS)]}
    return [*segments, apart, overlap]


def _bounds(place: int) -> tuple[float, float]:
    return place / 16, place / 16 + 0.1 + 0.05 * place


def find_insights(folder: Path, phases: Phases) -> Outcome:
    """Refresh the segments, then each insight."""
    settings = open_settings(folder)
    with open_project(settings) as project:
        pull_schema(project.session, settings)
        apply_definitions(project)
        with phases.measured("segments"):
            refresh_segments(project, Wanted([f"s{place}" for place in range(SEGMENTS)]))
        with phases.measured("apart"):
            apart = _refresh(project, "apart")
        with phases.measured("overlap"):
            overlap = _refresh(project, "overlap")
    counts = _count_words(apart)
    if not isinstance(overlap, Differentiators):
        counts |= {" ".join(one.segments): one.count for one in overlap.combinations if one.count}
    return Outcome(counts=counts)


def _refresh(project: OpenProject, name: str) -> Insight:
    report = refresh_segments(project, Wanted([name]), tracking=False)
    if not report.is_complete:
        raise AssertionError(f"{name} failed")
    return describe_insight(project, name).insight


def _count_words(insight: Insight) -> dict[str, int]:
    if not isinstance(insight, Differentiators):
        raise TypeError(insight)
    (words,) = (one for one in insight.differences if one.field == "f0")
    found = {}
    for cell in words.cells:
        found |= {f"{cell.cell.value} of": cell.of_count, f"{cell.cell.value} against": cell.against_count}
    return found


def query_insights(data: Path, fields: int, phases: Phases) -> Outcome:
    """DuckDB: quantiles and counts of each field in one query each, and the combinations in one; both cores."""
    connection = duckdb.connect(config={"threads": count_cores(), "preserve_insertion_order": False})
    files = ", ".join(f"'{file}'" for file in parquet_files(data, "customers"))
    connection.execute(f"create view customers as select * from read_parquet([{files}])")
    bits = [f"rank between {low} and {high}" for low, high in map(_bounds, range(SEGMENTS))]
    counts: dict[str, int] = {}
    with phases.measured("apart"):
        for place in range(fields):
            rows = connection.execute(_count_values(place, bits[0])).fetchall()
            if place == 0:
                counts |= {f"{word} {'of' if inside else 'against'}": count for word, inside, count in rows}
    with phases.measured("overlap"):
        columns = ", ".join(bits)
        for *inside, count in connection.execute(f"select {columns}, count(*) from customers group by all").fetchall():
            if any(inside):
                counts[" ".join(f"s{place}" for place, one in enumerate(inside) if one)] = count
    return Outcome(counts=counts)


def _count_values(place: int, inside: str) -> str:
    """Return the query for the counts of a field's values, or of 20 bins of a number, on both sides."""
    if place % 4 in (0, 3):
        return f"select f{place}, {inside} as inside, count(*) from customers group by all"
    shares = ", ".join(str(step / 20) for step in range(1, 20))
    return (
        f"with limits as (select quantile_disc(f{place}, [{shares}]) as l from customers) "
        f"select len(list_filter(l, lambda x: x < f{place})) as bin, {inside} as inside, count(*), sum(f{place}) "
        "from customers, limits group by all"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 where somebody failed or found other counts, else 0."""
    options = _parse(arguments)
    machine = describe_machine()
    options.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="insights-", dir=options.data) as name:
        folder = Path(name)
        for part in draw_customers(options.profiles, options.fields):
            write_deltalake(str(folder / "data" / "customers"), part, mode="append")
        (folder / "segengine.yml").write_text(yaml.safe_dump(_PROJECT))
        (folder / "definitions").mkdir()
        (folder / "definitions" / "all.yml").write_text(yaml.safe_dump_all(define(options.fields), sort_keys=False))
        ours = run_measured(find_insights, folder)
        theirs = run_measured(query_insights, folder / "data", options.fields)
    return _report(options, ours, theirs, machine)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.insights")
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--fields", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()), help="where generated data go")
    return parser.parse_args(arguments)


def _report(options: argparse.Namespace, ours: Measured, theirs: Measured, machine: dict[str, object]) -> int:
    for name, measured in (("segengine", ours), ("duckdb", theirs)):
        phases = [
            f"{phase} {seconds:.2f} s (CPU {measured.phases.processor_seconds[phase]:.2f})"
            for phase, seconds in measured.phases.seconds.items()
        ]
        print(f"{name}: {', '.join(phases)}; peak {measured.peak_bytes >> 20:,} MiB {measured.error}")
    same = ours.outcome.counts == theirs.outcome.counts and bool(ours.outcome.counts)
    print(
        f"{options.profiles:,} profiles, {options.fields} fields; {len(ours.outcome.counts)} counts compared: ", end=""
    )
    print("all equal" if same else "DIFFERENT")
    print(f"{machine['processor']}, {count_cores()} cores, load before {machine['load_before']}")
    return 0 if same and not (ours.error or theirs.error) else 1


if __name__ == "__main__":
    sys.exit(main())
