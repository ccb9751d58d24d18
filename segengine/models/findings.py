"""Suggestions as they are kept and offered: what was found, and each group in a line and as a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segengine.models.activity import ActivityGroups
from segengine.models.answers import read_answer
from segengine.models.suggestions import Suggestions


@dataclass(frozen=True)
class Proposal:
    """A group as a segment to be.

    `card`: what it is, in a line. `member_share`: of the profiles that were looked at. `rule`: what stands in the
    definition of a segment with exactly its members, `where` or `rules`, in plain values with references by id; None
    where no rule can say it.
    """

    card: str
    member_count: int
    member_share: float
    rule: Mapping[str, Any] | None


@dataclass(frozen=True)
class Findings:
    """What a suggestion found, and a proposal for each of its suggestions or groups, in their order.

    `of`: the segment (id) whose members were looked at, '' everyone.
    """

    result: Suggestions | ActivityGroups
    proposals: tuple[Proposal, ...]
    of: str = ""


def read_findings(content: Mapping[str, Any]) -> Findings:
    """Return findings from the JSON values they are kept as.

    Raises:
        DataContractError: They are none.
    """
    found: Findings = read_answer(content, Findings, "suggestion")
    return found
