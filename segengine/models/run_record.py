"""What the execution of a model leaves behind, in memory until it is over; `tracking` then writes it.

So a server that goes away in the middle cannot keep half of it: the whole goes elsewhere. What is never written
(`--no-tracking`, mlflow not installed) costs nothing, as plots are drawn and files made only then.
No ids of customers are among it, or `forget` could not keep its promise.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.csv

from segengine import __version__
from segengine.errors import InternalError, SegEngineError
from segengine.models.fields import HASH, KEY
from segengine.models.similarity_pyfunc import SavedScorer, Scorer, make_example
from segengine.project.project_file import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Status = Literal["FINISHED", "FAILED", "KILLED"]
Value = str | int | float | bool | None
_IN_NAMES = re.compile(r"[^\w. -]+")


@dataclass(frozen=True)
class Subject:
    """What is executed: a definition, and the data it looks at.

    `run_id`: of the refresh, as `status` shows it. `snapshot_version`: what is published of it; None: nothing yet.
    `table_versions`: of every source, a number, or what stands for it where a source cannot be pinned.
    """

    kind: str
    definition_id: str
    name: str
    definition_hash: str
    engine: str
    run_id: str = ""
    snapshot_version: int | None = None
    table_versions: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Where a run was recorded, '' where nowhere, and what went wrong with that, '' where nothing did.

    `model_uri`: what `mlflow.pyfunc.load_model` takes, where a model was logged.
    """

    uri: str = ""
    experiment: str = ""
    run_id: str = ""
    model_uri: str = ""
    warning: str = ""


@dataclass
class RunRecord:
    """One run: what is logged, when it was, and how it ended. Times are milliseconds since 1970."""

    name: str
    id_columns: frozenset[str]
    tags: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    files: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    model: SavedScorer | None = None
    children: list[RunRecord] = field(default_factory=list)
    started_at: int = 0
    ended_at: int = 0
    status: Status = "FINISHED"
    outcome: Outcome = Outcome()

    def log_parameters(self, values: Mapping[str, Value | Sequence[Value]]) -> None:
        """Keep what went in: sizes of samples, seeds, salts, options; a later value replaces an earlier one."""
        for key, value in values.items():
            if isinstance(value, Sequence) and not isinstance(value, str):
                value = ", ".join(map(str, value))
            self.parameters[_clean(key)] = str(value)

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Keep what came out, as numbers; what could not be measured (None) is left out."""
        self.metrics += [(_clean(key), float(value), step) for key, value in values.items() if value is not None]

    def log_table(self, name: str, rows: pa.Table | Iterable[Mapping[str, object]]) -> None:
        """Keep a table without nested columns, as CSV."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
        self._check_no_ids(name, table.column_names)
        self.files[f"{_clean(name)}.csv"] = partial(pyarrow.csv.write_csv, table)

    def log_document(self, name: str, value: object) -> None:
        """Keep plain values, or a dataclass of such, as JSON."""
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        self._check_no_ids(name, _find_keys(plain))
        text = json.dumps(plain, indent=2, default=str, ensure_ascii=False).encode()
        self.files[f"{_clean(name)}.json"] = lambda path: path.write_bytes(text)

    def log_figure(self, name: str, draw: Callable[[], Figure]) -> None:
        """Keep a plot as PNG; `draw` is called when it is written: `partial(plots.draw_lift, ...)`."""
        self.files[f"{_clean(name)}.png"] = lambda path: draw().savefig(path)

    def log_model(self, scorer: Scorer, features: pa.Table) -> None:
        """Keep a model that scores feature tables; `features`: rows with the columns it takes, for an example."""
        columns = [name for name in features.column_names if name != KEY]
        self.model = SavedScorer(scorer, make_example(features.select(columns)))

    @contextmanager
    def nested(self, name: str) -> Iterator[RunRecord]:
        """Yield a run below this one, such as that of one fold."""
        child = RunRecord(name, self.id_columns)
        self.children.append(child)
        with child.timed():
            yield child

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Note when it begins, when it ends and how."""
        self.started_at = _now()
        try:
            yield
        except BaseException as error:
            self.status = "FAILED" if isinstance(error, Exception) else "KILLED"
            kind = type(error).__name__
            # What others say may quote data.
            self.tags["segengine.error"] = f"{kind}: {error}" if isinstance(error, SegEngineError) else kind
            raise
        finally:
            self.ended_at = _now()

    def _check_no_ids(self, name: str, columns: Iterable[str]) -> None:
        found = self.id_columns.intersection(columns)
        if found:
            raise InternalError(f'"{name}" is to be logged with ids of customers: {", ".join(sorted(found))}.')


def make_record(settings: Settings, subject: Subject) -> RunRecord:
    """Return an empty record of an execution, with all that says what it is of."""
    profiles = [settings.tables[audience.table] for audience in settings.audiences.values()]
    ids = {KEY, HASH, "profile_id", *(column for table in profiles for column in table.key)}
    tags = {
        "project": settings.project,
        "environment": settings.environment,
        "kind": subject.kind,
        "definition_id": subject.definition_id,
        "definition_name": subject.name,
        "definition_hash": subject.definition_hash,
        "run_id": subject.run_id,
        "snapshot_version": "" if subject.snapshot_version is None else str(subject.snapshot_version),
        "engine": subject.engine,
        "version": __version__,
    }
    record = RunRecord(subject.name, frozenset(ids))
    record.tags = {f"segengine.{key}": value for key, value in tags.items() if value}
    record.log_parameters({f"table_version.{table}": each for table, each in subject.table_versions.items()})
    return record


def _clean(name: str) -> str:
    """Return a name that MLflow takes for a parameter, a metric or a file; attributes may be named otherwise."""
    return _IN_NAMES.sub("_", name).strip(". ")[:200] or "_"


def _find_keys(value: object) -> Iterator[str]:
    """Yield the keys of all mappings in a value."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _find_keys(item)


def _now() -> int:
    return time.time_ns() // 1_000_000
