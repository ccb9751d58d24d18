"""Judge random projects for as long as one likes, and write down every disagreement as a case.

    python -m tests.property.run --projects 500 --segments 200 --seed 1 --engine kernel

Prints a line per project and, for a disagreement, the smallest case found as YAML: with `--keep DIR` also as a file,
ready to be moved to tests/golden/semantics. DuckDB judges beside every engine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from random_definitions import draw_project
from random_measures import draw_measures
from worlds import Case

from segengine.engine.session import open_session

from .cases import GoldenCase, write_case
from .judges import Disagreement, judge_by_duckdb, judge_by_reference
from .lanes import Judge, Tally, compare_case, engine_judge, kernel_judge, only
from .shrink import fails_on, shrink

Engine = Callable[[Path, int], Judge]  # a judge that works in an empty folder, with a seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 where judges disagree."""
    options = parse(arguments)
    total = Tally()
    with open_engine(options.engine) as engine:
        for seed in range(options.seed, options.seed + options.projects):
            case = draw(seed, options.measures, options.segments)
            tally = run_case(case, seed, options.engine, engine, options.keep)
            say(f"seed {seed}: {tally}")
            total.add(tally)
    say(f"total: {total}")
    return 1 if total.disagreements else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; the engine is one that judges what is asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.property.run", description=__doc__)
    parser.add_argument("--projects", type=int, default=10)
    parser.add_argument("--segments", type=int, default=200, help="segments a project")
    parser.add_argument("--measures", type=int, default=0, help="measures a project, which its segments ask for")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first project; the next has the next")
    engine = "what is judged; with measures an engine, embedded unless given, else the kernel alone unless given"
    parser.add_argument("--engine", choices=("kernel", "embedded", "spark"), help=engine)
    parser.add_argument("--keep", type=Path, help="folder for the smallest cases of disagreements")
    options = parser.parse_args(arguments)
    if options.measures and options.engine == "kernel":
        parser.error("the kernel alone has no measures: leave --engine out, or say --engine embedded or spark")
    options.engine = options.engine or ("embedded" if options.measures else "kernel")
    return options


@contextmanager
def open_engine(name: str) -> Iterator[Engine]:
    """Yield what judges: the kernel in this process, or an engine that stays open."""
    with ExitStack() as stack:
        if name == "kernel":
            yield kernel_judge
            return
        preparing = stack.enter_context(open_session("embedded"))
        engine = preparing if name == "embedded" else stack.enter_context(open_session(name))
        yield lambda folder, _: engine_judge(folder, preparing, engine)


def draw(seed: int, measures: int, segments: int) -> Case:
    """Return a random project, with measures or without."""
    return draw_measures(seed, measures, segments) if measures else draw_project(seed, segments)


def run_case(case: Case, seed: int, name: str, engine: Engine, keep: Path | None) -> Tally:
    """Return what came of one project; print and keep its disagreements."""
    with tempfile.TemporaryDirectory() as folder:
        judges = {"duckdb": judge_by_duckdb, name: engine(Path(folder), seed)}
        tally = compare_case(case, judges)
    for disagreement in tally.disagreements:
        text = write_case(smallest(case, disagreement, seed))
        say(f"# {disagreement}\n{text}")
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"seed_{seed}_{disagreement.judge}_{disagreement.name}.yml").write_text(text, encoding="utf-8")
    return tally


def smallest(case: Case, disagreement: Disagreement, seed: int) -> GoldenCase:
    """Return the smallest case found; what only an engine sees differently stays as it is, but for other segments."""
    with tempfile.TemporaryDirectory() as folder:
        judge = judge_by_duckdb if disagreement.judge == "duckdb" else kernel_judge(Path(folder), seed)
        fails = fails_on(disagreement.name, judge, Path(folder))
        case = shrink(case, disagreement.name, fails) if fails(case) else only(case, [disagreement.name])
    about = f"{disagreement.judge} disagreed with the reference (seed {seed})."
    return GoldenCase(about, case, judge_by_reference(case))


if __name__ == "__main__":
    sys.exit(main())
