"""What is said of a run's tasks, and by them: rows read, counts of rules, numbers and values that are errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segengine.plan.audiences import is_hidden, is_question
from segengine.plan.refresh import AudiencePlan

OutlineCounts = list[list[int | None]]  # for each line of an outline: its profiles, and the running total's
NodeCounts = Counter[tuple[str, int]]  # by label of the plan and its node


@dataclass(frozen=True)
class ScanFacts:
    """What a scan read: rows, and how many of them reach no profile."""

    name: str
    row_count: int
    orphan_count: int


def sum_nodes(tasks: Iterable[Mapping[str, Any]]) -> NodeCounts:
    """Return the counts of profiles over all tasks."""
    counts: NodeCounts = Counter()
    for task in tasks:
        for node, count in zip(task["nodes"], task["counts"], strict=True):
            counts[task["plan"], node] += count
    return counts


def count_outlines(plans: Sequence[AudiencePlan], counts: NodeCounts) -> dict[str, OutlineCounts]:
    """Return the counts of every segment's outline."""
    return {
        segment_id: [[None if node is None else counts[plan.label, node] for node in line] for line in lines]
        for plan in plans
        for segment_id, lines in plan.outlines.items()
    }


def find_overflow(plans: Sequence[AudiencePlan], counts: NodeCounts) -> dict[str, int]:
    """Return what asks for numbers with too many digits, and for how many profiles; accounts first."""
    found: dict[str, int] = {}
    for plan in plans:
        for identity in (*plan.members, *plan.results):
            own = counts[plan.label, plan.overflow[identity]] if identity in plan.overflow else 0
            asked = [found.get(hidden, 0) for hidden in plan.asked.get(identity, ())]
            if most := max([own, *asked]):
                found[identity] = most
    return found


def find_invalid(plans: Sequence[AudiencePlan], tasks: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, str]]:
    """Return the definitions in whose way values are errors: of the worst column, how many and its name."""
    counts: Counter[tuple[str, int, int, str]] = Counter()
    for task in tasks:
        for scan, place, column_name, count in task["invalid"]:
            counts[task["plan"], scan, place, column_name] += count
    found: dict[str, tuple[int, str]] = {}
    for plan in plans if counts else ():
        of_answer: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for (label, scan, place, column_name), count in counts.items():
            if label == plan.label:
                of_answer.setdefault((scan, place), []).append((count, column_name))
        for identity in (*plan.members, *plan.results):
            own = [worst for answer in plan.answers.get(identity, ()) for worst in of_answer.get(answer, ())]
            asked = [found[hidden] for hidden in plan.asked.get(identity, ()) if hidden in found]
            if own or asked:
                found[identity] = max([*own, *asked])
    return found


def sum_scans(tasks: Iterable[Mapping[str, Any]]) -> list[ScanFacts]:
    """Return the facts of each scan over all of its tasks."""
    sums: dict[str, ScanFacts] = {}
    for task in tasks:
        name = task["scan"]
        so_far = sums.get(name, ScanFacts(name, 0, 0))
        sums[name] = ScanFacts(name, so_far.row_count + task["rows"], so_far.orphan_count + task["orphans"])
    return list(sums.values())


def show_evaluated(plan: AudiencePlan) -> str:
    """Return how many definitions a plan evaluates, in words."""
    rules = sum(map(is_hidden, plan.members))
    hidden, values = sum(map(is_hidden, plan.results)), sum(map(is_question, plan.results))
    counts = {
        "measure(s)": len(plan.results) - hidden,
        "segment(s)": len(plan.members) - rules,
        "rule(s) for other audiences": rules,
        "value(s) for other audiences": values,
        "activity(s) for suggestions": hidden - values,
    }
    return " and ".join(f"{count} {what}" for what, count in counts.items() if count)
