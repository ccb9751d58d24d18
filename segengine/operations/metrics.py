"""Metrics for Prometheus: a text file, as node_exporter's textfile collector reads it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from segengine.errors import ConfigError
from segengine.operations.context import OpenProject, read_state
from segengine.operations.segments import show_status
from segengine.operations.status import ProjectStatus, make_status, read_definitions
from segengine.project.catalogue import Catalogue
from segengine.project.definitions import ANALYSIS_KINDS
from segengine.store.control import ControlRow
from segengine.store.runs import REFRESHED, History, Status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_KINDS = ("segment", "measure", *ANALYSIS_KINDS)


def check_metrics_file(file: Path) -> None:
    """Raise where metrics could not be written, before any work is done for them.

    Raises:
        ConfigError: The library is missing, the name is wrong, or the folder is not there or not to be written to.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "Metrics need the library prometheus_client, which is not installed.",
            "Run `pip install 'segengine[metrics]'`.",
        ) from error
    if file.suffix != ".prom":
        raise ConfigError(
            f"Metrics cannot be written to {file}: the collector reads files whose names end with .prom.",
            f"Name it {file.with_suffix('.prom').name}.",
        )
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise ConfigError(
            f"Metrics cannot be written to {file}: there is no folder {file.parent} that this user may write to.",
            "Create it, and name it in node_exporter's --collector.textfile.directory.",
        )


def write_metrics(project: OpenProject, file: Path) -> None:
    """Write how the project stands as metrics; the file appears whole or not at all.

    Times are seconds since 1970 UTC: the age of a result is `time() - ...` where it is asked for, and goes on growing
    where nothing is written any more. What is not known (yet) is left out.

    Raises:
        ConfigError: The library is missing, or the file cannot be written.
    """
    check_metrics_file(file)
    from prometheus_client import write_to_textfile

    metrics = collect_metrics(project)
    try:
        write_to_textfile(str(file), metrics)
    except OSError as error:
        raise ConfigError(f"Metrics cannot be written to {file}: {error.strerror}.") from error


def collect_metrics(project: OpenProject) -> CollectorRegistry:
    """Return how the project, its last refresh and each segment stand, labelled with the project's name."""
    from prometheus_client import CollectorRegistry

    metrics = _Metrics(CollectorRegistry(), project.settings.project)
    definitions = read_definitions(project)
    control, history = read_state(project)
    _add_runs(metrics, make_status(project, definitions, control, history, limit=1), history)
    if definitions:
        _add_definitions(metrics, definitions[0], control, history)
    return metrics.registry


class _Metrics:
    def __init__(self, registry: CollectorRegistry, project: str) -> None:
        self.registry = registry
        self._project = project

    def add(self, name: str, text: str, value: float | datetime | None) -> None:
        self.add_by(name, text, (), {(): value})

    def add_by(
        self, name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float | datetime | None]
    ) -> None:
        """Add a gauge with a value for each combination of labels; values that are not known are left out."""
        from prometheus_client import Gauge

        gauge = Gauge(f"segengine_{name}", text, ("project", *labels), registry=self.registry)
        for label_values, value in values.items():
            if value is not None:
                seconds = value.timestamp() if isinstance(value, datetime) else value
                gauge.labels(self._project, *label_values).set(seconds)


def _add_runs(metrics: _Metrics, status: ProjectStatus, history: History) -> None:
    refreshes = [run for run in history.runs if run.purpose == REFRESHED]
    success, last = status.last_success, refreshes[-1] if refreshes else None
    metrics.add(
        "last_success_timestamp_seconds",
        "When the newest refresh that ended well was published.",
        success.finished_at if success else None,
    )
    metrics.add("last_run_timestamp_seconds", "When the newest refresh ended.", last.finished_at if last else None)
    metrics.add(
        "last_run_success",
        "1 where the newest refresh ended well, with definitions that failed or not.",
        float(last.status is Status.SUCCESSFUL) if last else None,
    )
    metrics.add("last_run_duration_seconds", "How long the newest refresh took.", last.seconds if last else None)
    metrics.add("last_run_rows_read", "Rows the newest refresh read from sources.", last.row_count if last else None)
    metrics.add(
        "last_run_snapshot_bytes", "Bytes of snapshots the newest refresh wrote.", last.snapshot_bytes if last else None
    )
    metrics.add("due_definitions", "Segments, measures, suggestions and insights that are due now.", status.due_count)
    metrics.add("run_under_way", "1 while a run holds the project's lease.", float(bool(status.owner)))
    metrics.add("warehouse_bytes", "Bytes of the newest versions of the project's tables.", status.size.byte_count)
    metrics.add("warehouse_disk_bytes", "Bytes on disk, with files of earlier versions.", status.size.disk_bytes)


def _add_definitions(metrics: _Metrics, catalogue: Catalogue, control: ControlRow | None, history: History) -> None:
    counts: Counter[tuple[str, ...]] = Counter({(kind, str(status)): 0 for kind in _KINDS for status in Status})
    for identity, definition in catalogue.evaluated.items():
        status, _ = show_status(catalogue, identity, history.last(identity), control)
        counts[definition.kind, str(status)] += 1
    metrics.add_by(
        "definitions", "Segments, measures, suggestions and insights by how they stand.", ("kind", "status"), counts
    )
    found = {(identity,): history.segments.current(identity) for identity in catalogue.segments}
    current = {labels: run for labels, run in found.items() if run is not None}
    metrics.add_by(
        "segment_members",
        "Members in the current snapshot.",
        ("segment",),
        {labels: run.member_count for labels, run in current.items()},
    )
    metrics.add_by(
        "segment_as_of_timestamp_seconds",
        "The instant the current snapshot is as of.",
        ("segment",),
        {labels: run.as_of for labels, run in current.items()},
    )
    metrics.add_by(
        "segment_last_success_timestamp_seconds",
        "When the current snapshot was published.",
        ("segment",),
        {labels: run.finished_at for labels, run in current.items()},
    )
