"""`suggest show` and `suggest save`: what a suggestion found, and a group of it as an ordinary segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from segengine.errors import ConfigError, Place
from segengine.models.activity import ActivityGroups
from segengine.models.findings import Findings, Proposal, read_findings
from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.quick_segment import Draft, draft_fields
from segengine.operations.segments import find_snapshot
from segengine.project.analysis import Analysis
from segengine.project.catalogue import Catalogue
from segengine.project.find import find_analysis
from segengine.project.nodes import Plain
from segengine.project.references import show_references
from segengine.store.runs import AnalysisRun
from segengine.store.scores import read_result
from segengine.store.snapshots import snapshot_of

PLACE = Place("suggest save")


@dataclass(frozen=True)
class SuggestionDetails:
    """A snapshot of a suggestion, and what it found; rules call segments and measures by the names they have now.

    `of_name`: the segment whose members were looked at, '' everyone.
    """

    suggestion: Analysis
    snapshot: AnalysisRun
    findings: Findings
    of_name: str


@dataclass(frozen=True)
class SavedAs:
    """What a group is saved as; `output_table`, `id` '': made from the name. `file`: written there as well."""

    name: str
    output_table: str = ""
    id: str = ""
    file: Path | None = None


def describe_suggestions(
    project: OpenProject, name: str, *, snapshot: int | None = None, at: datetime | None = None
) -> SuggestionDetails:
    """Return what a suggestion found.

    Raises:
        ConfigError: There is no such suggestion or snapshot.
        DataContractError: It was written by another version.
    """
    return _describe(project, name, snapshot, at)[0]


def _describe(
    project: OpenProject, name: str, snapshot: int | None, at: datetime | None
) -> tuple[SuggestionDetails, Catalogue]:
    """Return what a suggestion found, and everything that is applied."""
    catalogue, registry = load_registered(project)
    suggestion = find_analysis(catalogue, name, "suggestion")
    _, history = read_state(project)
    run = find_snapshot(history.analyses, suggestion, snapshot, at)
    findings = read_findings(read_result(project.warehouse, snapshot_of(run)))
    proposals = tuple(_with_names(one, registry.names) for one in findings.proposals)
    of_name = registry.names.get(findings.of, findings.of)
    return SuggestionDetails(suggestion, run, replace(findings, proposals=proposals), of_name), catalogue


def _with_names(proposal: Proposal, names: Mapping[str, str]) -> Proposal:
    rule = show_references(dict(proposal.rule), names) if proposal.rule is not None else None
    return replace(proposal, rule=rule if isinstance(rule, dict) else None)


def draft_proposal(
    project: OpenProject,
    name: str,
    number: int,
    saved_as: SavedAs,
    *,
    snapshot: int | None = None,
    at: datetime | None = None,
) -> Draft:
    """Return a group that a suggestion found as the checked definition of a segment.

    Args:
        project: The project.
        name: Name or id of the suggestion.
        number: Which of its groups, from 1 on, as `suggest show` numbers them.
        saved_as: What the segment is called, and where it is written.
        snapshot: Number of a snapshot of the suggestion; None: the current one.
        at: The snapshot that was the newest as of that time.

    Raises:
        ConfigError: There is no such suggestion, snapshot or group, or no rule can say who is in it.
        DefinitionError: The issues a file with the definition would have.
    """
    details, applied = _describe(project, name, snapshot, at)
    proposal = _choose(details, number)
    audience = details.suggestion.audience
    optional = {
        "id": saved_as.id,
        "audience": audience if len(project.settings.audiences) > 1 else "",
        "output_table": saved_as.output_table,
    }
    description = f'{proposal.card}; of "{details.of_name}"' if details.of_name else proposal.card
    fields: dict[str, Plain] = {"kind": "segment", "name": saved_as.name, "description": description}
    fields |= {field: text for field, text in optional.items() if text}
    fields |= proposal.rule or {}
    return draft_fields(project.settings, fields, PLACE, saved_as.file, applied)


def _choose(details: SuggestionDetails, number: int) -> Proposal:
    subject = f'"{details.suggestion.name}"'
    proposals = details.findings.proposals
    if not proposals:
        raise ConfigError(f"{subject} suggests nothing.", f"`segengine suggest show {details.suggestion.id}` says why.")
    if not 1 <= number <= len(proposals):
        known = f"1 to {len(proposals)}" if len(proposals) > 1 else "1"
        raise ConfigError(f"{subject} has no suggestion {number}.", f"Known: {known}.")
    chosen = proposals[number - 1]
    if chosen.rule is None:
        raise _no_rule(details, number)
    return chosen


def _no_rule(details: SuggestionDetails, number: int) -> ConfigError:
    """Return why a group has no rule."""
    result = details.findings.result
    levels = result.groups[number - 1].levels if isinstance(result, ActivityGroups) else ()
    subject = f'who is in suggestion {number} of "{details.suggestion.name}"'
    if any(level.dimension == "duration" for level in levels):
        hint = (
            "Make a measure with `template: membership_duration`, and `segengine quick create --from measures` of it."
        )
        return ConfigError(f"No rule can say {subject}: rules do not add up durations.", hint)
    hint = "Give it a `period` of days or times, such as `within_last: 12 months`."
    return ConfigError(f"No rule of days and times can say {subject}, because of its period.", hint)
