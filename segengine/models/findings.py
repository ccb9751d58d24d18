"""Suggestions as they are kept and offered: what was found, and each group in a line and as a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segengine.models.activity import ActivityGroups
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
    """What a suggestion found, and a proposal for each of its suggestions or groups, in their order."""

    result: Suggestions | ActivityGroups
    proposals: tuple[Proposal, ...]


def dump_findings(findings: Findings) -> dict[str, Any]:
    """Return findings as JSON values."""
    from pydantic import TypeAdapter

    found: dict[str, Any] = TypeAdapter(Findings).dump_python(findings, mode="json")
    return found


def read_findings(content: Mapping[str, Any]) -> Findings:
    """Return findings from the JSON values that `dump_findings` made of them."""
    from pydantic import TypeAdapter

    return TypeAdapter(Findings).validate_python(content)
