"""Run segengine and its opponents on the same data, one after the other, and print them side by side.

    python -m tests.benchmarks.run --profiles 1000000 --rows 10000000 --segments 100 1000

Each contender runs in a process of its own. A ratio is its seconds over those of segengine's embedded engine (else of
the first engine) in the same run: seconds depend on the machine, ratios much less. On a machine that does other work
too, processor seconds (CPU s: of all threads and processes) tell more than seconds on the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from .contestant import refresh_twice
from .data import DataSize, make_data
from .draws import make_segments
from .measure import Measured, describe_machine, run_measured
from .opponents import OPPONENTS, connect_duckdb
from .segments import BenchmarkSegment, write_project

LATER = ("second refresh", "nothing changed", "member rows")  # phases after the one that counts
SAMPLE = 20  # segments whose whole member sets are compared


@dataclass
class Entry:
    """One line of the report: a contender at a number of segments."""

    contender: str
    segment_count: int
    measured: Measured
    differences: list[str] = field(default_factory=list)
    compared_counts: int = 0
    compared_sets: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 where a contender failed or found other members, else 0."""
    options = _parse(arguments)
    options.data.mkdir(parents=True, exist_ok=True)
    size = DataSize(options.profiles, options.rows, options.seed)
    data = make_data(options.data, size, _tell)
    machine = describe_machine()
    entries: list[Entry] = []
    for count in options.segments:
        with tempfile.TemporaryDirectory(prefix="run-", dir=options.data) as folder:
            segments = make_segments(count, options.quantified)
            entries += _run_all(options, data, segments, Path(folder))
    print_report(entries, size, options.quantified, machine)
    if options.json:
        options.json.write_text(json.dumps(_report(entries, options, machine), indent=2) + "\n", encoding="utf-8")
    return 1 if any(entry.measured.error or entry.differences for entry in entries) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.run", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--segments", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument(
        "--quantified", type=float, default=0.33, help="share of row rules that count or aggregate rows"
    )
    parser.add_argument("--member-rows", action="store_true", help="also write every member id as a row")
    parser.add_argument("--seed", type=int, default=DataSize().seed)
    parser.add_argument("--engines", nargs="*", default=["embedded"], choices=["embedded", "spark"])
    parser.add_argument("--opponents", nargs="*", default=["duckdb-ids", "duckdb-counts"], choices=sorted(OPPONENTS))
    cache = Path(tempfile.gettempdir()) / "segengine-benchmarks"
    parser.add_argument("--data", type=Path, default=cache, help="where generated data are kept")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args(arguments)
    options.data = options.data.resolve()
    return options


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _run_all(options: argparse.Namespace, data: Path, segments: list[BenchmarkSegment], folder: Path) -> list[Entry]:
    sample = _sample(segments)
    entries = []
    projects = {}
    for engine in options.engines:
        _tell(f"segengine on {engine}, {len(segments)} segments")
        definitions = [segment.definition() for segment in segments]
        projects[engine] = write_project(folder / engine, data, definitions, engine)
        names = [segment.id for segment in sample]
        measured = run_measured(refresh_twice, projects[engine], engine, names, options.member_rows)
        entries.append(Entry(f"segengine {engine}", len(segments), measured))
    for opponent in options.opponents:
        _tell(f"{opponent}, {len(segments)} segments")
        results = folder / opponent
        results.mkdir()
        measured = run_measured(OPPONENTS[opponent], data, segments, results)
        entries.append(Entry(opponent, len(segments), measured))
        shutil.rmtree(results)
    _compare(entries, projects, data, sample)
    return entries


def _sample(segments: list[BenchmarkSegment]) -> list[BenchmarkSegment]:
    return segments[:: max(1, len(segments) // SAMPLE)][:SAMPLE]


def _compare(entries: list[Entry], projects: dict[str, Path], data: Path, sample: list[BenchmarkSegment]) -> None:
    """Compare everybody's counts with DuckDB's, and segengine's members of the sample with DuckDB's, id by id."""
    trusted = [e for e in entries if e.contender in ("duckdb-ids", "duckdb-counts") and not e.measured.error]
    reference = trusted[0] if trusted else None
    for entry in entries:
        counts = entry.measured.outcome.counts
        expected = reference.measured.outcome.counts if reference and reference is not entry else {}
        for segment_id in counts.keys() & expected.keys():
            entry.compared_counts += 1
            if counts[segment_id] != expected[segment_id]:
                entry.differences.append(f"{segment_id}: {counts[segment_id]} members, not {expected[segment_id]}")
    connection = connect_duckdb(data)
    for segment in sample:
        ids = connection.sql(segment.sql()).to_arrow_table()["customer_id"].sort()
        for entry in entries:
            engine = entry.contender.removeprefix("segengine ")
            if engine not in projects or entry.measured.error:
                continue
            found = pq.read_table(projects[engine] / f"{segment.id}.parquet")["customer_id"].sort()
            entry.compared_sets += 1
            if found.to_pylist() != ids.to_pylist():
                entry.differences.append(f"{segment.id}: other members than DuckDB's")


def entropy_bytes(counts: dict[str, int], profiles: int) -> float:
    """Return the bytes below which no code can store such members: H(p) / 8 a profile, summed over segments."""
    total = 0.0
    for count in counts.values():
        share = count / profiles
        if 0 < share < 1:
            total -= profiles * (share * math.log2(share) + (1 - share) * math.log2(1 - share)) / 8
    return total


def print_report(entries: list[Entry], size: DataSize, quantified: float, machine: dict[str, object]) -> None:
    """Print the table, what was compared and what the figures depend on."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    title = f"{size.profiles:,} profiles, {size.rows:,} rows, {quantified:.0%} of row rules quantified or aggregated"
    table = Table(title=title)
    table.add_column("contender")
    for column in ("segments", "seconds", "ratio", "CPU s", "CPU ratio", "peak MiB", "start", "apply", *LATER):
        table.add_column(column, justify="right")
    for entry in entries:
        table.add_row(*_cells(entry, _base_entry(entries, entry.segment_count)))
    console.print(table)
    for entry in entries:
        for text in (entry.measured.outcome.note, entry.measured.error):
            if text:
                console.print(f"{entry.contender}, {entry.segment_count} segments: {text}")
        _print_equality(console, entry)
        if entry.measured.outcome.snapshot_bytes:
            _print_size(console, entry, size.profiles)
    for key, value in machine.items():
        console.print(f"{key}: {value}", highlight=False)


def _cells(entry: Entry, base: Entry | None) -> list[str]:
    seconds, phases = entry.measured.seconds, entry.measured.phases
    used = entry.measured.processor_seconds
    others = [phases.seconds.get(name) for name in ("start", "apply", *LATER)]
    return [
        entry.contender,
        f"{entry.segment_count:,}",
        "failed" if seconds is None else f"{seconds:.2f}",
        _ratio(seconds, base and base.measured.seconds),
        f"{used:.1f}" if used is not None else "",
        _ratio(used, base and base.measured.processor_seconds),
        f"{entry.measured.peak_bytes / 2**20:,.0f}",
        *("" if value is None else f"{value:.2f}" for value in others),
    ]


def _ratio(value: float | None, base: float | None) -> str:
    return f"{value / base:.2f}" if value and base else ""


def _print_size(console: Console, entry: Entry, profiles: int) -> None:
    stored, counts = entry.measured.outcome.snapshot_bytes, entry.measured.outcome.counts
    bound = entropy_bytes(counts, profiles)
    console.print(
        f"{entry.contender}, {entry.segment_count} segments: snapshots {stored / 2**20:.1f} MiB for "
        f"{sum(counts.values()):,} members, {stored / bound:.2f} times the entropy bound of {bound / 2**20:.1f} MiB"
    )


def _print_equality(console: Console, entry: Entry) -> None:
    if entry.compared_counts or entry.compared_sets:
        result = f"{len(entry.differences)} DIFFERENT {entry.differences[:5]}" if entry.differences else "all equal"
        console.print(
            f"{entry.contender}, {entry.segment_count} segments: {entry.compared_counts} counts and "
            f"{entry.compared_sets} member sets compared with DuckDB: {result}"
        )


def _base_entry(entries: list[Entry], count: int) -> Entry | None:
    own = [entry for entry in entries if entry.segment_count == count and entry.contender.startswith("segengine")]
    return own[0] if own else None


def _report(entries: list[Entry], options: argparse.Namespace, machine: dict[str, object]) -> dict[str, object]:
    return {
        "schema_version": 1,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "machine": machine,
        "entries": [_entry(entry, options.profiles, _base_entry(entries, entry.segment_count)) for entry in entries],
    }


def _entry(entry: Entry, profiles: int, base: Entry | None) -> dict[str, object]:
    measured = entry.measured
    seconds, base_seconds = measured.seconds, base.measured.seconds if base else None
    return {
        "contender": entry.contender,
        "segments": entry.segment_count,
        "seconds": seconds,
        "ratio": seconds / base_seconds if seconds and base_seconds else None,
        "processor_seconds": measured.processor_seconds,
        "phase_seconds": measured.phases.seconds,
        "phase_processor_seconds": measured.phases.processor_seconds,
        "peak_bytes": measured.peak_bytes,
        "members": sum(measured.outcome.counts.values()),
        "snapshot_bytes": measured.outcome.snapshot_bytes,
        "entropy_bytes": entropy_bytes(measured.outcome.counts, profiles),
        "compared_counts": entry.compared_counts,
        "compared_sets": entry.compared_sets,
        "differences": entry.differences,
        "note": measured.outcome.note,
        "error": measured.error,
    }


if __name__ == "__main__":
    sys.exit(main())
