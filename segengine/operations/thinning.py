"""Which snapshots are no longer kept, and which content anything published still needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from segengine.project.keep import Keep, choose_kept
from segengine.store.runs import BACKFILLED, AnyRun, History

Reference = tuple[str, str]  # snapshot_run_id, id


@dataclass(frozen=True)
class ThinnedDefinition:
    """What `keep` leaves of one definition: the runs whose snapshots stay, and those whose content goes."""

    id: str
    name: str
    kept: tuple[AnyRun, ...]
    thinned: tuple[AnyRun, ...]


def plan_thinning(
    history: History, keep: Keep | None, now: datetime, zone: str, untouched: Iterable[str] = ()
) -> list[ThinnedDefinition]:
    """Return the definitions of which snapshots go, by id.

    Never the current snapshot, a result that waits for its release, or a parent's that one of those kept was evaluated
    with: `why` reads it.

    Args:
        history: What is published.
        keep: What is kept; None: everything.
        now: The instant ages are counted to.
        zone: The time zone of weeks and months.
        untouched: Ids of which everything is kept.
    """
    if keep is None:
        return []
    stored = _Stored(history)
    wanted = {
        identity: runs if identity in untouched else _choose(runs, keep, now, zone)
        for identity, runs in stored.by_id.items()
    }
    needed = {_reference(run) for run in stored.with_parents([run for runs in wanted.values() for run in runs])}
    needed |= {_reference(run) for run in _held(history)}
    found = []
    for identity, runs in sorted(stored.by_id.items()):
        snapshots = {_reference(run): run for run in runs}  # runs in which nothing had changed share one
        kept = tuple(run for reference, run in snapshots.items() if reference in needed)
        thinned = tuple(run for reference, run in snapshots.items() if reference not in needed)
        if thinned:
            found.append(ThinnedDefinition(identity, runs[-1].name, kept, thinned))
    return found


def find_needed(history: History) -> set[Reference]:
    """Return the snapshots whose content something published can still ask for."""
    needed = {_reference(run) for runs in _Stored(history).by_id.values() for run in runs}
    return needed | {_reference(run) for run in _held(history)}


def _reference(run: AnyRun) -> Reference:
    return run.snapshot_run_id, run.id


def _choose(runs: list[AnyRun], keep: Keep, now: datetime, zone: str) -> list[AnyRun]:
    refreshed = [place for place, run in enumerate(runs) if run.purpose != BACKFILLED]
    chosen = choose_kept([run.as_of for run in runs], keep, now, zone) | {len(runs) - 1, *refreshed[-1:]}
    return [run for place, run in enumerate(runs) if place in chosen]


def _held(history: History) -> Iterator[AnyRun]:
    for trail in history.trails:
        for identity in trail.ids:
            held = trail.held(identity)
            if held is not None:
                yield held


class _Stored:
    """The runs with a snapshot that is kept, by definition and as_of."""

    def __init__(self, history: History) -> None:
        self.by_id: dict[str, list[AnyRun]] = {}
        for trail in history.trails:
            for identity in trail.ids:
                runs = [run for run in trail.snapshots(identity) if trail.is_kept(run)]
                if runs:
                    self.by_id[identity] = list(runs)
        everything = [run for runs in self.by_id.values() for run in runs]
        self._of_version = {(run.id, run.snapshot_version): run for run in everything}

    def with_parents(self, runs: list[AnyRun]) -> list[AnyRun]:
        """Return runs and, of each, the parents' runs it was evaluated with."""
        found = {(run.id, run.run_id): run for run in runs}
        waiting = list(runs)
        while waiting:
            run = waiting.pop()
            for parent, version in json.loads(run.parents or "{}").items():
                used = self._of_version.get((parent, version))
                if used is not None and (used.id, used.run_id) not in found:
                    found[used.id, used.run_id] = used
                    waiting.append(used)
        return list(found.values())
