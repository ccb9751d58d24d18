"""Whose the rows are that a run reads: which definitions ask something of which scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segengine.plan.audiences import is_hidden, is_question
from segengine.plan.refresh import AudiencePlan
from segengine.project.analysis import owner_of


@dataclass(frozen=True)
class RowCost:
    """What one definition makes a run read.

    `share`: 0 to 1, of all rows; `own_row_count`: the rows that are read for it alone; `scans`: what it asks of.
    """

    share: float
    own_row_count: int
    scans: tuple[str, ...]


def find_scan_users(plans: Sequence[AudiencePlan]) -> dict[str, frozenset[str]]:
    """Return the definitions that ask something of each scan over a table, by the scan's name.

    What a rule asks of the profiles' account counts for the definition whose rule it is, the figures of an analysis
    for the analysis. A scan nobody asks anything of
    (it only says which profiles there are) has all definitions of its audience as users.
    """
    results = [identity for plan in plans for identity in plan.results if not is_question(identity)]
    asked_by = {identity: {owner_of(identity)} for identity in results}
    for plan in plans:
        for identity, hidden in plan.asked.items():
            for each in hidden:
                asked_by.setdefault(each, set()).add(identity)
    users: dict[str, frozenset[str]] = {}
    for plan in plans:
        everybody = (*plan.members, *plan.results)
        asking: dict[int, set[str]] = {}
        for identity in everybody:
            for number, _ in plan.answers.get(identity, ()):
                asking.setdefault(number, set()).update(asked_by.get(identity, {identity}))
        shown = {each for identity in everybody for each in asked_by.get(identity, {identity})}
        for number, scan in plan.table_scans.items():
            found = {each for each in asking.get(number, shown) if not is_hidden(each)}
            users[scan.name] = users.get(scan.name, frozenset()) | found
    return users


def divide_rows(row_counts: Mapping[str, int], users: Mapping[str, frozenset[str]]) -> dict[str, RowCost]:
    """Return the cost of each definition: the rows of each scan, divided equally among its users.

    Args:
        row_counts: Rows read, by the scan's name; those of a scan without users are nobody's.
        users: The definitions that ask something of each scan.
    """
    total = sum(row_counts.values())
    names = sorted(set().union(*users.values()))
    scans_of = {each: tuple(scan for scan in sorted(row_counts) if each in users.get(scan, ())) for each in names}
    return {
        each: RowCost(
            share=sum(row_counts[scan] / len(users[scan]) for scan in scans) / total if total else 0.0,
            own_row_count=sum(row_counts[scan] for scan in scans if len(users[scan]) == 1),
            scans=scans,
        )
        for each, scans in scans_of.items()
    }
