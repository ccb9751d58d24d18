"""What is kept of an execution before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from segengine.errors import InternalError, RunError
from segengine.models.run_record import RunRecord, Subject, make_record
from segengine.project.settings import load_settings

PROJECT = """
project: tracked
tables: {customers: {path: data/customers, key: customer_no}}
audiences: {customer: {table: customers}}
"""


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    (tmp_path / "segengine.yml").write_text(PROJECT)
    subject = Subject("expansion", "summer", "Summer", "abc", "embedded", table_versions={"customers": 7})
    return make_record(load_settings(tmp_path), subject)


def written(record: RunRecord, name: str, folder: Path) -> str:
    record.files[name](folder / name)
    return (folder / name).read_text(encoding="utf-8")


def test_a_record_says_what_it_is_of(record: RunRecord) -> None:
    assert record.name == "Summer"
    assert record.tags["segengine.definition_id"] == "summer"
    assert record.tags["segengine.engine"] == "embedded"
    assert "segengine.snapshot_version" not in record.tags
    assert record.parameters == {"table_version.customers": "7"}


def test_parameters_are_text(record: RunRecord) -> None:
    record.log_parameters({"fields": ["income", "state"], "salt": "fold", "depth": 3, "depth ": None})
    assert record.parameters["fields"] == "income, state"
    assert record.parameters["salt"] == "fold"
    assert record.parameters["depth"] == "None"


def test_names_are_those_mlflow_takes(record: RunRecord) -> None:
    record.log_metrics({"lift: Größe (€)/m²": 2, "../x": 1, "": 0.5, "unknown": None})
    assert [name for name, _, _ in record.metrics] == ["lift_ Größe _m²", "_x", "_"]


def test_a_table_is_csv(record: RunRecord, tmp_path: Path) -> None:
    record.log_table("cells", [{"cell": 'a "b"', "share": 0.1}, {"cell": None, "share": 1 / 3}])
    assert written(record, "cells.csv", tmp_path) == '"cell","share"\n"a ""b""",0.1\n,0.3333333333333333\n'


def test_a_document_is_json(record: RunRecord, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Found:
        text: str
        limits: tuple[int, ...]

    record.log_document("found", Found("ä", (1, 2)))
    assert json.loads(written(record, "found.json", tmp_path)) == {"text": "ä", "limits": [1, 2]}


@pytest.mark.parametrize("column", ["profile_key", "id_hash", "profile_id", "customer_no"])
@pytest.mark.parametrize(
    "log",
    [
        lambda record, column: record.log_table("scores", pa.table({column: [1], "score": [0.5]})),
        lambda record, column: record.log_table("scores", [{column: 1}]),
        lambda record, column: record.log_document("scores", {"best": [{"score": 1, column: 1}]}),
    ],
)
def test_ids_of_customers_are_refused(record: RunRecord, log: Callable[[RunRecord, str], None], column: str) -> None:
    with pytest.raises(InternalError, match=f"ids of customers: {column}"):
        log(record, column)
    assert not record.files


def test_a_failure_is_kept_without_what_others_quote(record: RunRecord) -> None:
    with pytest.raises(KeyError), record.nested("fold 1"):
        raise KeyError("Ann Smith")
    with pytest.raises(RunError), record.nested("fold 2"):
        raise RunError("These fields say nothing about the source.")
    with record.nested("fold 3"):
        pass
    assert [child.status for child in record.children] == ["FAILED", "FAILED", "FINISHED"]
    assert record.children[0].tags == {"segengine.error": "KeyError"}
    assert record.children[1].tags == {"segengine.error": "RunError: These fields say nothing about the source."}
    assert record.children[2].ended_at >= record.children[2].started_at > 0


def test_an_interrupted_run_is_told_apart(record: RunRecord) -> None:
    with pytest.raises(KeyboardInterrupt), record.timed():
        raise KeyboardInterrupt
    assert record.status == "KILLED"
