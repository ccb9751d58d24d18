"""The row of a run that evaluates nothing: that it was done, when and by whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from segengine import __version__
from segengine.operations.context import OpenProject, find_author
from segengine.store.control import Lease
from segengine.store.run_writing import append_run
from segengine.store.runs import Run, SegmentRun, Status


def log_run(
    project: OpenProject,
    lease: Lease,
    purpose: str,
    started_at: datetime,
    as_of: datetime | None = None,
    segment_runs: Sequence[SegmentRun] = (),
) -> None:
    """Write the row of a run that evaluates nothing; it counts once the lease's work is published.

    Args:
        project: The project.
        lease: The right to publish it.
        purpose: What the run was for.
        started_at: When it began.
        as_of: The instant it is for; None: when it began.
        segment_runs: What it says of segments.
    """
    run = Run(
        run_id=lease.work_id,
        previous_run_id=lease.before.published_id,
        as_of=as_of or started_at,
        purpose=purpose,
        status=Status.SUCCESSFUL,
        engine=project.session.description,
        author=find_author(),
        started_at=started_at,
        finished_at=datetime.now(UTC),
        source_versions=json.dumps({}),
        source_commits=json.dumps({}),
        source_readings=json.dumps({}),
        scans=json.dumps([]),
        error="",
        segengine_version=__version__,
    )
    append_run(project.warehouse, run, segment_runs)
