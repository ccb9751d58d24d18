"""A warehouse as it is on the disk, read by deltalake: what the checker of a store looks at."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from deltalake import DeltaTable

BUCKET_BITS = 32_768

Row = dict[str, Any]
Keys = npt.NDArray[np.int64]


TRAILS = ("segment", "measure", "analysis")


@dataclass(frozen=True)
class Store:
    """A warehouse as it is on the disk. `chain`: the published runs, oldest first."""

    folder: Path
    _tables: dict[str, list[Row]] = field(default_factory=dict)

    def exists(self, table: str) -> bool:
        return table in self._tables or any((self.folder / table / "_delta_log").glob("*.json"))

    def derived(self) -> list[str]:
        """Return the tables for other tools."""
        return sorted(f"output/{path.name}" for path in (self.folder / "output").glob("*") if path.is_dir())

    def read(self, table: str) -> list[Row]:
        """Return all rows, published or not."""
        if table not in self._tables:
            there = self.exists(table)
            self._tables[table] = DeltaTable(str(self.folder / table)).to_pyarrow_table().to_pylist() if there else []
        return self._tables[table]

    def walk(self, control: str, table: str, own: str, previous: str) -> list[str]:
        """Return the ids from the first published one to the newest; stops where a row is missing or met again."""
        before = {row[own]: row[previous] for row in self.read(table)}
        chain: list[str] = []
        current = self.read(control)[0]["published_id"] if self.exists(control) else ""
        while current and current not in chain:
            chain.append(current)
            current = before.get(current, "")
        return chain[::-1]

    @cached_property
    def control(self) -> Row:
        return self.read("control")[0]

    @cached_property
    def last_keys(self) -> dict[str, int]:
        return dict(json.loads(self.control["last_profile_key"] or "{}"))

    @cached_property
    def chain(self) -> list[str]:
        return self.walk("control", "runs", "run_id", "previous_run_id")

    @cached_property
    def runs(self) -> dict[str, Row]:
        rows = {row["run_id"]: row for row in self.read("runs")}
        return {run_id: rows[run_id] for run_id in self.chain}

    @cached_property
    def definitions(self) -> list[Row]:
        chain = self.walk("registry_control", "definitions", "change_id", "previous_change_id")
        order = {change_id: place for place, change_id in enumerate(chain)}
        rows = [row for row in self.read("definitions") if row["change_id"] in order]
        return sorted(rows, key=lambda row: order[row["change_id"]])

    @cached_property
    def audiences(self) -> dict[str, str]:
        """The audience of each segment and measure."""
        usual = next(iter(self.last_keys)) if len(self.last_keys) == 1 else "customer"
        return {row["id"]: json.loads(row["fields"] or "{}").get("audience", usual) for row in self.definitions}

    @cached_property
    def trails(self) -> dict[str, list[Row]]:
        """What the published runs say of segments, of measures and of analyses, oldest first."""
        return {trail: self._read_trail(trail) for trail in TRAILS}

    def _read_trail(self, trail: str) -> list[Row]:
        rows = [row for row in self.read(f"{trail}_runs") if row["run_id"] in self.runs]
        rows.sort(key=lambda row: self.places[row["run_id"]])
        return [{**row, "id": row[f"{trail}_id"]} for row in rows]

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each published run in the chain."""
        return {run_id: place for place, run_id in enumerate(self.chain)}

    @cached_property
    def successful(self) -> dict[str, dict[str, list[Row]]]:
        """By trail the rows with a snapshot, by definition, oldest first."""
        found: dict[str, dict[str, list[Row]]] = {}
        for trail, rows in self.trails.items():
            of_trail = found.setdefault(trail, {})
            for row in rows:
                if row["status"] == "Successful":
                    of_trail.setdefault(row["id"], []).append(row)
        return found

    @cached_property
    def contents(self) -> dict[tuple[str, str, str], list[Row]]:
        """What was written, by kind, run and definition."""
        found: dict[tuple[str, str, str], list[Row]] = {}
        for row in self.read("snapshots"):
            found.setdefault((row["kind"], row["run_id"], row["id"]), []).append(row)
        return found

    @cached_property
    def _members(self) -> dict[tuple[str, str], Keys]:
        return {}

    def members(self, run_id: str, segment_id: str) -> Keys:
        """Return the profile keys in a snapshot of a segment."""
        if (run_id, segment_id) not in self._members:
            rows = sorted(self.contents.get(("segment", run_id, segment_id), []), key=lambda row: int(row["bucket"]))
            keys = [bitmap_keys(row["content"], row["bucket"]) for row in rows if row["content"]]
            self._members[run_id, segment_id] = np.concatenate(keys) if keys else np.empty(0, np.int64)
        return self._members[run_id, segment_id]

    @cached_property
    def given(self) -> dict[str, list[Row]]:
        """The keys that count, by audience: those of successful published runs."""
        found: dict[str, list[Row]] = {}
        for row in self.read("profile_keys"):
            if row["run_id"] in self.runs and self.runs[row["run_id"]]["status"] == "Successful":
                found.setdefault(row["audience"], []).append(row)
        return found

    @cached_property
    def ids(self) -> defaultdict[str, dict[int, str]]:
        """By audience the id of each profile key."""
        found: defaultdict[str, dict[int, str]] = defaultdict(dict)
        for audience, rows in self.given.items():
            found[audience] = {row["profile_key"]: row["profile_id"] for row in rows}
        return found


def bitmap_keys(bitmap: bytes, bucket: int) -> Keys:
    """Return the profile keys whose bits are set: those of bucket 1 are 1 to 32,768."""
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.int64) + (bucket - 1) * BUCKET_BITS + 1
