"""Random segments have the members that DuckDB finds: a small benchmark without a clock."""

from __future__ import annotations

from pathlib import Path

from segengine.engine.session import EngineSession
from segengine.operations.apply import apply_definitions
from segengine.operations.context import open_project, open_settings
from segengine.operations.refresh import refresh_segments
from segengine.operations.schema import pull_schema

from .contestant import read_member_ids, refresh_counts
from .data import DataSize, make_data
from .draws import make_segments
from .opponents import connect_duckdb
from .segments import write_project

SIZE = DataSize(profiles=20_000, rows=100_000, orphan_share=0.02)


def test_random_segments_have_the_members_duckdb_finds(embedded_engine: EngineSession, tmp_path: Path) -> None:
    data = make_data(tmp_path, SIZE)
    segments = make_segments(60, quantified=0.5)
    folder = write_project(tmp_path / "project", data, [each.definition() for each in segments], "embedded")
    with open_project(open_settings(folder), spark=embedded_engine.spark) as project:
        pull_schema(project.session, project.settings)
        apply_definitions(project)
        counts = refresh_counts(refresh_segments(project))
        found = read_member_ids(project, [segment.id for segment in segments])
    connection = connect_duckdb(data, known_customers_only=True)
    wrong = {}
    for segment in segments:
        expected = {row[0] for row in connection.execute(segment.sql()).fetchall()}
        members = set(found[segment.id].to_pylist())
        if members != expected or counts[segment.id] != len(expected):
            wrong[segment.id] = (segment.definition(), sorted(members ^ expected)[:3])
    assert wrong == {}
    assert sum(0 < count < SIZE.profiles for count in counts.values()) > len(segments) * 0.8
