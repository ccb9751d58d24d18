"""Sources whose files' statistics would mislead an engine are read as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from segengine.engine.session import EngineSession
from segengine.engine.sources import Sources, pin_versions
from segengine.project.settings import PROJECT_FILE, load_settings

NAN = float("nan")
LONG = Decimal("123456789012345.678")
ROWS = pa.table(
    {
        "id": ["1", "2", "3"],
        "nan": [NAN, 2.0, NAN],
        "narrow": pa.array([1.5, 1.5, NAN], pa.float32()),
        "decimal": pa.array([LONG] * 3, pa.decimal128(18, 3)),
        "part": ["a", "b", "b"],
        "day": pa.array([1, 1, 2], pa.date32()),
    }
)
EXPECTED = [
    ("1", "nan", "1.5", LONG, "a"),
    ("2", "2.0", "1.5", LONG, "b"),
    ("3", "nan", "nan", LONG, "b"),
]


@pytest.fixture
def read(engine: EngineSession, tmp_path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Return the function that reads `data` as a run does, at a version and in a format."""

    def read_rows(format_: str = "delta", version: int | None = None) -> list[tuple[Any, ...]]:
        project = f"""
            project: test
            tables: {{rows: {{path: data, format: {format_}, key: id}}}}
            audiences: {{customer: {{table: rows}}}}
        """
        (tmp_path / PROJECT_FILE).write_text(project, encoding="utf-8")
        settings = load_settings(tmp_path)
        versions = pin_versions(engine, settings, {"rows"})
        sources = Sources(engine, settings, versions if version is None else {"rows": version})
        assert sources.read("rows").where("day > date'2000-01-01'").count() == 0
        found = sources.read("rows").orderBy("id").toArrow().to_pylist()
        return [(row["id"], str(row["nan"]), str(row["narrow"]), row["decimal"], row["part"]) for row in found]

    return read_rows


@pytest.mark.parametrize("partitions", [[], ["part"]])
def test_a_delta_table_with_one_value_a_file(
    read: Callable[..., list[tuple[Any, ...]]], tmp_path: Path, partitions: list[str]
) -> None:
    write_deltalake(tmp_path / "data", ROWS, partition_by=partitions)
    assert read() == EXPECTED


def test_a_version_behind_a_checkpoint(read: Callable[..., list[tuple[Any, ...]]], tmp_path: Path) -> None:
    for place in range(3):
        write_deltalake(tmp_path / "data", ROWS.slice(place, 1), mode="append")
    write_deltalake(tmp_path / "data", ROWS, mode="overwrite")
    table = DeltaTable(tmp_path / "data")
    table.create_checkpoint()
    write_deltalake(tmp_path / "data", ROWS.slice(0, 1), mode="append")
    write_deltalake(tmp_path / "data", ROWS.slice(0, 1), mode="overwrite")
    for file in (tmp_path / "data/_delta_log").glob("0000000000000000000[0-2].json"):
        file.unlink()
    assert read(version=3) == EXPECTED
    assert read(version=4) == [EXPECTED[0], *EXPECTED]
    assert read() == EXPECTED[:1]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parquet_files_with_one_value(read: Callable[..., list[tuple[Any, ...]]], tmp_path: Path, size: int) -> None:
    (tmp_path / "data").mkdir()
    for start in range(0, 3, size):
        pq.write_table(ROWS.slice(start, size), tmp_path / f"data/{start}.parquet")
    assert read("parquet") == EXPECTED


def test_a_source_that_misleads_nobody_is_read_where_it_is(embedded_engine: EngineSession, tmp_path: Path) -> None:
    sound = {"id": ["1", "2"], "nan": [2.0, 3.0], "decimal": pa.array([Decimal("0.10")] * 2, pa.decimal128(12, 2))}
    write_deltalake(tmp_path / "delta", pa.table(sound))
    (tmp_path / "parquet").mkdir()
    pq.write_table(ROWS.select(["id", "decimal"]), tmp_path / "parquet/1.parquet")
    project = """
        project: test
        tables: {delta: {key: id, path: delta}, parquet: {key: id, path: parquet, format: parquet}}
        audiences: {customer: {table: delta}}
    """
    (tmp_path / PROJECT_FILE).write_text(project, encoding="utf-8")
    settings = load_settings(tmp_path)
    sources = Sources(embedded_engine, settings, pin_versions(embedded_engine, settings, {"delta", "parquet"}))
    assert sources._find_places(settings.tables["delta"], 0) == [str(tmp_path / "delta")]
    assert sources._find_places(settings.tables["parquet"], None) == [str(tmp_path / "parquet/1.parquet")]


def test_bounds_of_days_are_kept(embedded_engine: EngineSession, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "data", ROWS)
    project = "project: test\ntables: {data: {key: id, path: data}}\naudiences: {customer: {table: data}}\n"
    (tmp_path / PROJECT_FILE).write_text(project, encoding="utf-8")
    settings = load_settings(tmp_path)
    (copy,) = Sources(embedded_engine, settings, {"data": 0})._find_places(settings.tables["data"], 0)
    lines = (Path(copy) / "_delta_log/00000000000000000000.json").read_text().splitlines()
    (statistics,) = (json.loads(line["add"]["stats"]) for line in map(json.loads, lines) if "add" in line)
    assert statistics["minValues"] == {"id": "1", "part": "a", "day": "1970-01-02"}
    assert statistics["numRecords"] == 3
