"""What cannot have changed since its last refresh: it keeps its snapshot and is not evaluated again.

That is so where nothing that decides its members, values or answer is another: its definition and those it refers to,
this version of segengine, the snapshots of its parents, the commits of the sources it reads, the people kept out; and
where nothing in it depends on the instant of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

from segengine import __version__
from segengine.engine.commits import Pinned, pin_commits
from segengine.engine.sources import cut_off
from segengine.operations.context import OpenProject
from segengine.project.analysis import Evaluated
from segengine.project.catalogue import Catalogue
from segengine.project.walk import depends_on_as_of, tables_read
from segengine.store.runs import FORGOTTEN, AnyRun, History, Status


def pin_present(
    project: OpenProject,
    catalogue: Catalogue,
    definitions: Iterable[Evaluated],
    as_of: datetime,
    started_at: datetime,
) -> dict[str, Pinned]:
    """Return the sources as a run at the present reads them, with their commits; nothing for one of a past time."""
    if cut_off(as_of, started_at) is not None:
        return {}
    tables = {table for each in definitions for table in tables_read(each, catalogue.settings)}
    return pin_commits(project.session, project.settings, tables)


@dataclass(frozen=True)
class Comparison:
    """Compares what a run at the present would find with what was published; `pinned`: the sources as they are."""

    catalogue: Catalogue
    history: History
    pinned: Mapping[str, Pinned]
    as_of: datetime

    def find_reasons(self, definitions: Mapping[str, Evaluated]) -> dict[str, str]:
        """Return why each definition (given parents first) has to be evaluated, '' where it cannot have changed."""
        reasons: dict[str, str] = {}
        for identity, definition in definitions.items():
            reasons[identity] = self._of_snapshot(identity) or self._of_data(definition, reasons)
        return reasons

    def _of_snapshot(self, identity: str) -> str:
        current, last = self.history.current(identity), self.history.last(identity)
        if current is None or last is None:
            return "it has no snapshot"
        if last.status is not Status.SUCCESSFUL:
            return f"its last refresh ended {last.status}"
        hashes = self.catalogue.hashes[identity]
        if current.data_hash != hashes.data:
            return "its definition changed"
        if current.parents_hash != hashes.parents:
            return "a definition it refers to changed"
        if current.as_of > self.as_of:
            return "its snapshot is of a later time"
        return ""

    def _of_data(self, definition: Evaluated, reasons: Mapping[str, str]) -> str:
        current = self.history.current(definition.id)
        if current is None:
            raise LookupError(f"{definition.id} has no snapshot")
        if depends_on_as_of(definition):
            return "it depends on the time of the refresh"
        if cause := self._parent_reason(current, reasons):
            return cause
        run = self.history.run(current.run_id)
        if run is None:
            raise LookupError(f"{current.run_id} is not published")
        if run.segengine_version != __version__:
            return f"it was evaluated by segengine {run.segengine_version}"
        if self._last_forgetting > self._order[run.run_id]:
            return "somebody was forgotten since"
        if cut_off(run.as_of, run.started_at) is not None:
            return "its snapshot is of a past time"
        commits = _parse_commits(run.source_commits)
        for table in sorted(tables_read(definition, self.catalogue.settings)):
            pinned = self.pinned.get(table, Pinned(None, ""))
            if not pinned.commit or not commits.get(table):
                return f'table "{table}" does not tell whether it changed'
            if pinned.commit != commits[table]:
                return f'table "{table}" changed'
        return ""

    def _parent_reason(self, current: AnyRun, reasons: Mapping[str, str]) -> str:
        fed: dict[str, int] = json.loads(current.parents)
        for parent in self.catalogue.parents(current.id):
            stored = self.history.current(parent)
            if reasons.get(parent):
                return f'"{self.catalogue.evaluated[parent].name}" is evaluated, to which it refers'
            if stored is None or stored.snapshot_version != fed.get(parent):
                return f'"{self.catalogue.evaluated[parent].name}", to which it refers, has another snapshot'
        return ""

    @cached_property
    def _order(self) -> dict[str, int]:
        return {run.run_id: place for place, run in enumerate(self.history.runs)}

    @cached_property
    def _last_forgetting(self) -> int:
        return max((place for place, run in enumerate(self.history.runs) if run.purpose == FORGOTTEN), default=-1)


@lru_cache(maxsize=64)
def _parse_commits(text: str) -> Mapping[str, str]:
    """Return the commits a run noted; most definitions have their snapshots from one of a few runs."""
    commits: dict[str, str] = json.loads(text)
    return commits
