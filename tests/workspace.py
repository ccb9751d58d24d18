"""A small project in a folder for tests, and what it has published as seen from outside: by deltalake, not by us."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from segengine.engine.session import EngineSession, activate
from segengine.operations.apply import Side, apply_definitions, plan_definitions
from segengine.operations.backfill import BackfillReport, Every, backfill_definitions
from segengine.operations.context import OpenProject, open_settings
from segengine.operations.definition_plan import DefinitionPlan
from segengine.operations.due import Wanted
from segengine.operations.forget import ForgetReport, forget_profile
from segengine.operations.maintain import MaintainReport, maintain_warehouse
from segengine.operations.measures import read_measure_values
from segengine.operations.members import read_segment_members
from segengine.operations.refresh import RefreshReport, refresh_segments
from segengine.operations.schema import SchemaPull, pull_schema
from segengine.operations.segments import SegmentSummary, list_segments
from segengine.store.warehouse import open_warehouse

BUCKET_BITS = 32_768


@dataclass(frozen=True)
class Workspace:
    """A project's folder and the engine that works on it; tables are written by deltalake."""

    folder: Path
    session: EngineSession

    def on(self, session: EngineSession) -> Workspace:
        """Return the same folder, worked on by another engine."""
        return replace(self, session=session)

    def write_project(self, text: str) -> None:
        (self.folder / "segengine.yml").write_text(text, encoding="utf-8")

    def set_up(self, project: str, tables: Mapping[str, dict[str, Any] | pa.Table], segments: str) -> None:
        """Write a project, its tables and definitions, and pull the schema."""
        self.write_project(project)
        for name, columns in tables.items():
            self.write_table(name, columns)
        self.define(segments)
        self.pull()

    def write_table(self, name: str, columns: dict[str, Any] | pa.Table) -> None:
        """Write data/NAME as Delta, in place of what was there."""
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        write_deltalake(str(self.data / name), table, mode="overwrite", schema_mode="overwrite")

    def append_rows(self, name: str, columns: dict[str, Any] | pa.Table) -> None:
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        write_deltalake(str(self.data / name), table, mode="append")

    def define(self, text: str, file: str = "segments.yml") -> Path:
        path = self.folder / "definitions" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse"

    @contextmanager
    def opened(self) -> Iterator[OpenProject]:
        with activate(self.session):
            settings = open_settings(self.folder)
            yield OpenProject(settings, self.session, open_warehouse(self.session, settings))

    def pull(self) -> SchemaPull:
        with self.opened() as project:
            return pull_schema(self.session, project.settings)

    def plan(self, files: Sequence[Path] = (), *, prune: bool = False, take: Side | None = None) -> DefinitionPlan:
        with self.opened() as project:
            return plan_definitions(project, files, prune=prune, take=take)

    def apply(self, files: Sequence[Path] = (), *, prune: bool = False, take: Side | None = None) -> DefinitionPlan:
        with self.opened() as project:
            return apply_definitions(project, files, prune=prune, take=take)

    def refresh(
        self,
        *names: str,
        progress: Callable[[str], None] = lambda line: None,
        tracking: bool = False,
        **choice: Any,
    ) -> RefreshReport:
        with self.opened() as project:
            wanted = Wanted(
                names, **{key: choice.pop(key) for key in ("kinds", "due", "with_parents") if key in choice}
            )
            return refresh_segments(project, wanted, progress=progress, tracking=tracking, **choice)

    def backfill(
        self,
        names: Sequence[str],
        first: date,
        last: date,
        every: Every,
        progress: Callable[[str], None] = lambda line: None,
    ) -> BackfillReport:
        with self.opened() as project:
            return backfill_definitions(project, names, first, last, every, progress=progress)

    def maintain(self, **choice: Any) -> MaintainReport:
        with self.opened() as project:
            return maintain_warehouse(project, **choice)

    def forget(self, profile_id: str, **choice: Any) -> ForgetReport:
        with self.opened() as project:
            return forget_profile(project, profile_id, **choice)

    def members(self, name: str, **choice: Any) -> list[str]:
        """Return the ids `read_segment_members` gives, in its order."""
        with self.opened() as project:
            found = read_segment_members(project, name, **choice)
            return [str(value) for batch in found.batches for value in batch.to_pylist()]

    def values(self, name: str, **choice: Any) -> list[tuple[Any, ...]]:
        """Return the rows `read_measure_values` gives, sorted by their first columns."""
        with self.opened() as project:
            rows = [
                tuple(row.values())
                for batch in read_measure_values(project, name, **choice).rows
                for row in batch.to_pylist()
            ]
        return sorted(rows, key=lambda row: [(value is None, str(value)) for value in row])

    def listed(self) -> dict[str, SegmentSummary]:
        with self.opened() as project:
            return {summary.segment.id: summary for summary in list_segments(project)}

    def published(self) -> Published:
        return read_published(self.warehouse)

    def copy_to(self, folder: Path) -> Workspace:
        """Return a copy of everything; sources are named by paths relative to the project, so it stands alone."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return replace(self, folder=folder)


@dataclass(frozen=True)
class Published:
    """What counts in a warehouse: runs oldest first, what they say of segments, and who the keys mean."""

    control: dict[str, Any]
    runs: list[dict[str, Any]]
    segment_runs: list[dict[str, Any]]
    snapshots: list[dict[str, Any]]
    keys: dict[str, dict[str, int]]

    @property
    def last_keys(self) -> dict[str, int]:
        return json.loads(self.control["last_profile_key"] or "{}")

    def of(self, segment_id: str) -> list[dict[str, Any]]:
        """Return what each run says of a segment, oldest first."""
        return [row for row in self.segment_runs if row["segment_id"] == segment_id]

    def statuses(self, segment_id: str) -> list[str]:
        return [row["status"] for row in self.of(segment_id)]

    def members_of_run(self, segment_id: str, run_id: str, audience: str = "customer") -> list[str]:
        ids = {key: profile_id for profile_id, key in self.keys.get(audience, {}).items()}
        members: list[str] = []
        for row in self.snapshots:
            if (row["run_id"], row["id"]) == (run_id, segment_id):
                bits = np.unpackbits(np.frombuffer(row["content"], dtype=np.uint8), bitorder="little")
                places = np.flatnonzero(bits) + (row["bucket"] - 1) * BUCKET_BITS + 1
                members += [ids[int(key)] for key in places]
        return sorted(members)

    def members(self, audience: str = "customer", only: Collection[str] | None = None) -> dict[str, list[str]]:
        """Return the members of the current snapshots of all segments, or of some, sorted; all of one audience."""
        current: dict[str, dict[str, Any]] = {}
        for row in self.segment_runs:
            before = current.get(row["segment_id"])
            counts = row["status"] == "Successful" and row["purpose"] != "back-fill"
            if counts and (before is None or before["as_of"] <= row["as_of"]):
                current[row["segment_id"]] = row
        return {
            segment_id: self.members_of_run(segment_id, row["snapshot_run_id"], audience)
            for segment_id, row in current.items()
            if only is None or segment_id in only
        }


def read_published(warehouse: Path) -> Published:
    """Return what a warehouse has published: rows of the runs that the chain back from the control row reaches."""
    (control,) = read_rows(warehouse / "control")
    by_id = {row["run_id"]: row for row in read_rows(warehouse / "runs")}
    chain: list[str] = []
    current = control["published_id"]
    while current:
        chain.append(current)
        current = by_id[current]["previous_run_id"]
    chain.reverse()
    segment_runs = [row for row in read_rows(warehouse / "segment_runs") if row["run_id"] in chain]
    good = {run_id for run_id in chain if by_id[run_id]["status"] == "Successful"}
    keys: dict[str, dict[str, int]] = {}
    for row in read_rows(warehouse / "profile_keys"):
        if row["run_id"] in good:
            given = keys.setdefault(row["audience"], {})
            assert row["profile_id"] not in given, f"{row['profile_id']} has two keys"
            given[row["profile_id"]] = row["profile_key"]
    for audience, given in keys.items():
        assert len({*given.values()}) == len(given), f"a key of audience {audience} is used twice"
    return Published(
        control=control,
        runs=[by_id[run_id] for run_id in chain],
        segment_runs=sorted(segment_runs, key=lambda row: chain.index(row["run_id"])),
        snapshots=[row for row in read_rows(warehouse / "snapshots") if row["kind"] == "segment"],
        keys=keys,
    )


def read_rows(table: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(str(table)).to_pyarrow_table().to_pylist()
    return rows
