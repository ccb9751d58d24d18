"""The hand-written SQL of the demo projects: what each segment and measure means, in DuckDB's words."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Queries:
    """One query for each segment and measure of a project, by id; `of_accounts`: segments whose ids are accounts'."""

    segments: dict[str, str]
    measures: dict[str, str]
    of_accounts: frozenset[str]


def read_queries(project: str) -> Queries:
    """Return the queries of a project: tests/golden/PROJECT_sql.py, and those of its measures beside it."""
    files: list[dict[str, Any]] = [runpy.run_path(str(file)) for file in sorted(GOLDEN.glob(f"{project}*_sql.py"))]
    return Queries(
        {segment: query for file in files for segment, query in file["SQL"].items()},
        {measure: query for file in files for measure, query in file.get("MEASURES", {}).items()},
        frozenset(segment for file in files for segment in file.get("ACCOUNTS", ())),
    )


def add_measures(connection: duckdb.DuckDBPyConnection, queries: Queries) -> None:
    """Make a table `measure_ID` of each measure, which those after it and the segments ask."""
    connection.execute(runpy.run_path(str(GOLDEN / "exact_sql.py"))["MACROS"])
    for measure, query in queries.measures.items():
        connection.execute(f"CREATE TABLE measure_{measure} AS {query}")
