"""The sources as a past run read them, for what is looked up beside its members."""

from __future__ import annotations

import json
from collections.abc import Iterable

from segengine.engine.sources import Sources, can_be_read, cut_off, pin_versions
from segengine.operations.context import OpenProject
from segengine.store.runs import History


def sources_of_run(project: OpenProject, history: History, run_id: str, tables: Iterable[str]) -> Sources:
    """Return tables as a run read them, and at the newest version where it pinned none or that one is gone.

    Args:
        project: The project.
        history: What is published.
        run_id: The run; '' for the sources as they are now.
        tables: The tables wanted.

    Raises:
        DataContractError: A table does not exist any more.
    """
    session, settings = project.session, project.settings
    run = next((run for run in history.runs if run.run_id == run_id), None)
    pinned: dict[str, int | None] = json.loads(run.source_versions) if run else {}
    versions: dict[str, int | None] = {}
    for table in tables:
        version = pinned.get(table)
        if version is not None and can_be_read(session, settings, table, version):
            versions[table] = version
        else:
            versions |= pin_versions(session, settings, {table})
    return Sources(session, settings, versions, cut_off(run.as_of, run.started_at) if run else None)
