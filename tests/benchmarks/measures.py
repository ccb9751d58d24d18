"""Measures with different filters over the same rows, beside DuckDB with one query a measure.

    python -m tests.benchmarks.measures --profiles 500000 --rows 10000000 --measures 100

Sums, counts and averages per customer, each of the rows of one or two conditions. Both read the same Delta tables'
files with both cores and end with the values of every measure on disk. segengine's time is a whole refresh until it is
published: profile keys given, values of all customers stored, those without such rows among them, averages divided and
rounded. DuckDB writes one Parquet file a measure (snappy, its default) with the customers that have rows, averages as
their exact parts. Afterwards the values of a sample are compared. Both run in turns, each time in a new process and
folder, and the ratio is that of the medians; on a machine with other work that of processor seconds says more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median

from segengine.engine.machine import count_cores
from segengine.operations.apply import apply_definitions
from segengine.operations.context import open_project, open_settings
from segengine.operations.measures import read_measure_values
from segengine.operations.refresh import refresh_segments
from segengine.operations.schema import pull_schema

from .data import CHANNELS, DataSize, make_data
from .measure import Measured, Outcome, Phases, describe_machine, run_measured
from .opponents import connect_duckdb
from .segments import write_project

SAMPLE = 10
FUNCTIONS = {
    "sum": "sum(total_price)",
    "count": "count(total_price)",
    "average": "sum(total_price), count(total_price)",
}


@dataclass(frozen=True)
class BenchmarkMeasure:
    """A function over the purchases of a customer, and which of them count: as YAML and as SQL."""

    name: str
    function: str
    where: dict[str, object]
    condition: str

    def definition(self) -> dict[str, object]:
        """Return the measure as segengine reads it."""
        value = {self.function: "total_price"}
        where = {"all": [{column: wanted} for column, wanted in self.where.items()]}
        common = {"kind": "measure", "name": self.name, "per": "customer", "over": "purchases"}
        return {**common, "where": where, "value": value}

    def sql(self) -> str:
        """Return the query; an average as its exact parts."""
        selected = FUNCTIONS[self.function]
        return f"select customer_id, {selected} from purchases where {self.condition} group by customer_id"


def draw_measures(count: int, seed: int) -> list[BenchmarkMeasure]:
    """Return measures with different filters, the same for the same numbers."""
    choose = Random(seed)
    channels = [channel for channel in CHANNELS if channel]
    found = []
    for number in range(count):
        low, channel = choose.randrange(100, 50_000), choose.choice(channels)
        price, quantity = Decimal(low) / 100, choose.randrange(1, 4)
        where: dict[str, object] = {"total_price": {"at_least": str(price)}}
        condition = f"total_price >= {price}"
        if choose.random() < 0.5:
            where["channel"], condition = channel, f"{condition} and channel = '{channel}'"
        else:
            where["quantity"] = {"at_least": str(quantity)}
            condition = f"{condition} and quantity >= {quantity}"
        found.append(BenchmarkMeasure(f"m{number}", choose.choice(sorted(FUNCTIONS)), where, condition))
    return found


def refresh_measures(folder: Path, sample: Sequence[str], phases: Phases) -> Outcome:
    """Refresh a project's measures; the values of the sample are counted and summed up."""
    settings = open_settings(folder)
    with phases.measured("start"):
        opened = open_project(settings)
        project = opened.__enter__()
    try:
        with phases.measured("apply"):
            pull_schema(project.session, settings)
            apply_definitions(project)
        with phases.measured("run"):
            report = refresh_segments(project)
        if not report.is_complete:
            raise AssertionError("some measure ended otherwise")
        checks = {}
        for name in sample:
            batches = list(read_measure_values(project, name, limit=None).rows)
            values = [value for batch in batches for value in batch.column(1).to_pylist() if value]
            checks[name] = len(values)
            checks[f"{name} total"] = int(sum(values) * 100)
    finally:
        opened.__exit__(None, None, None)
    return Outcome(counts=checks)


def query_measures(data: Path, measures: Sequence[BenchmarkMeasure], folder: Path, phases: Phases) -> Outcome:
    """DuckDB, one query a measure that writes Parquet; both cores."""
    connection = connect_duckdb(data)
    with phases.measured("run"):
        for measure in measures:
            connection.execute(f"copy ({measure.sql()}) to '{folder / measure.name}.parquet' (format parquet)")
    checks = {}
    for measure in measures[:SAMPLE]:
        if measure.function != "average":
            query = f"select count(*), sum(v) * 100 from (select #2 as v from ({measure.sql()}) where #2 <> 0)"
            count, total = connection.execute(query).fetchone() or (0, 0)
            checks[measure.name] = int(count)
            checks[f"{measure.name} total"] = int(total or 0)
    return Outcome(counts=checks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 where somebody failed or found other values, else 0."""
    options = _parse(arguments)
    options.data.mkdir(parents=True, exist_ok=True)
    data = make_data(options.data, DataSize(options.profiles, options.rows), _tell)
    measures = draw_measures(options.measures, seed=3)
    machine = describe_machine()
    rounds = [_run_both(options.data, data, measures) for _ in range(options.rounds)]
    return _report(options, rounds, machine)


def _run_both(scratch: Path, data: Path, measures: Sequence[BenchmarkMeasure]) -> tuple[Measured, Measured]:
    definitions = [measure.definition() for measure in measures]
    checked = [measure.name for measure in measures[:SAMPLE] if measure.function != "average"]
    with tempfile.TemporaryDirectory(prefix="measures-", dir=scratch) as folder:
        project = write_project(Path(folder) / "project", data, definitions, "embedded")
        ours = run_measured(refresh_measures, project, checked)
        results = Path(folder) / "duckdb"
        results.mkdir()
        return ours, run_measured(query_measures, data, measures, results)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.measures")
    parser.add_argument("--profiles", type=int, default=500_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--measures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    cache = Path(tempfile.gettempdir()) / "segengine-benchmarks"
    parser.add_argument("--data", type=Path, default=cache, help="where generated data are kept")
    options = parser.parse_args(arguments)
    options.data = options.data.resolve()
    return options


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(
    options: argparse.Namespace, rounds: Sequence[tuple[Measured, Measured]], machine: dict[str, object]
) -> int:
    for name, runs in zip(("segengine", "duckdb"), zip(*rounds, strict=True), strict=True):
        for measured in runs:
            phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in measured.phases.seconds.items())
            used, peak = measured.processor_seconds or 0, measured.peak_bytes >> 20
            print(f"{name}: {phases} s; CPU {used:.1f} s; peak {peak:,} MiB {measured.error}")
    failed = any(measured.error for both in rounds for measured in both)
    if not failed:
        times = _ratio([(theirs.seconds or 0, ours.seconds or 0) for ours, theirs in rounds])
        cpu = _ratio([(theirs.processor_seconds or 0, ours.processor_seconds or 0) for ours, theirs in rounds])
        print(f"{options.measures} measures over {options.rows:,} rows: {times:.1f} times, in CPU {cpu:.1f} times")
    wanted = rounds[0][0].outcome.counts
    same = bool(wanted) and all(measured.outcome.counts == wanted for both in rounds for measured in both)
    print(f"{len(wanted)} figures of a sample compared: {'all equal' if same else 'DIFFERENT'}")
    print(f"{machine['processor']}, {count_cores()} cores, load before {machine['load_before']}")
    return 0 if same and not failed else 1


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the ratio of the medians."""
    one, other = (median(values) for values in zip(*pairs, strict=True))
    return one / other if other else 0.0


if __name__ == "__main__":
    sys.exit(main())
