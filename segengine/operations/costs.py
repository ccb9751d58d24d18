"""`status --costs`: which definitions made the newest run read which rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.plan.audiences import plan_run
from segengine.plan.costs import RowCost, divide_rows, find_scan_users
from segengine.project.analysis import Evaluated
from segengine.project.types import instant_of
from segengine.store.runs import Run


@dataclass(frozen=True)
class DefinitionCost:
    """One definition and what it made a run read."""

    definition: Evaluated
    cost: RowCost


@dataclass(frozen=True)
class RunCosts:
    """The definitions a run evaluated, the dearest first. `run`: None where none has read anything yet."""

    run: Run | None
    costs: tuple[DefinitionCost, ...] = ()


def read_costs(project: OpenProject) -> RunCosts:
    """Return what each definition made the newest run read that read anything.

    An estimate: the rows of each scan, divided equally among the definitions that ask something of it (each asks as the
    present definitions do). Rows are what a run's time grows with; how long a condition takes on them is not measured.

    Raises:
        ConfigError: Nothing has been applied yet.
    """
    catalogue, _ = load_registered(project)
    _, history = read_state(project)
    run = next((run for run in reversed(history.runs) if json.loads(run.scans)), None)
    if run is None:
        return RunCosts(None)
    ended = (each for trail in history.trails for each in trail.runs.of_run(run.run_id))
    evaluated = {each.id for each in ended if each.snapshot_run_id == run.run_id} - set(catalogue.broken)
    due = {identity: each for identity, each in catalogue.evaluated.items() if identity in evaluated}
    users = find_scan_users(plan_run(due, catalogue, instant_of(run.as_of)))
    rows = {scan["name"]: int(scan["row_count"]) for scan in json.loads(run.scans)}
    costs = [DefinitionCost(due[identity], cost) for identity, cost in divide_rows(rows, users).items()]
    return RunCosts(run, tuple(sorted(costs, key=lambda each: (-each.cost.share, each.definition.name.casefold()))))
