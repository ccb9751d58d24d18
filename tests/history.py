"""Delta tables with a past: versions written at given times."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

Row = dict[str, Any]


def write_versions(table: Path, versions: Sequence[Sequence[Row]], written_at: Sequence[datetime]) -> None:
    """Write a table anew for each version, as if at those times."""
    for rows in versions:
        write_deltalake(str(table), pa.Table.from_pylist(list(rows)), mode="overwrite", schema_mode="overwrite")
    date_commits(table, written_at)


def date_commits(table: Path, written_at: Sequence[datetime]) -> None:
    """Let the commits of a table say that they are of given times, and their files too: Spark asks these."""
    for version, moment in enumerate(written_at):
        file = table / "_delta_log" / f"{version:020d}.json"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] = int(moment.timestamp() * 1000)
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        os.utime(file, (moment.timestamp(), moment.timestamp()))
