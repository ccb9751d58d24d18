"""Looking at analyses: the list of suggestions and insights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from segengine.operations.context import OpenProject, load_registered, read_state
from segengine.operations.due import find_next_due
from segengine.operations.segments import show_status
from segengine.project.analysis import ActivityQuestion, Analysis, DifferenceQuestion, Question, TargetQuestion
from segengine.project.schedule import Schedule
from segengine.store.registry import DefinitionRecord
from segengine.store.runs import AnalysisRun, Status


@dataclass(frozen=True)
class AnalysisSummary:
    """One line of the list: the definition, how its last refresh ended, its current answer, and when it is due.

    `asks`: its question in words. `next_due`: in the past since when it is due; None where it is refreshed only when
    asked.
    """

    analysis: Analysis
    asks: str
    record: DefinitionRecord
    status: Status
    error: str
    last: AnalysisRun | None
    current: AnalysisRun | None
    schedule: Schedule | None
    next_due: datetime | None


def list_analyses(project: OpenProject) -> list[AnalysisSummary]:
    """Return a summary of every applied suggestion and insight, by name."""
    catalogue, registry = load_registered(project)
    control, history = read_state(project)
    now = datetime.now(UTC)
    found = []
    for analysis in catalogue.analyses.values():
        last = history.analyses.last(analysis.id)
        asks = "" if analysis.id in catalogue.broken else show_question(analysis.question, registry.names)
        found.append(
            AnalysisSummary(
                analysis,
                asks,
                registry.newest[analysis.id],
                *show_status(catalogue, analysis.id, last, control),
                last,
                history.analyses.current(analysis.id),
                catalogue.settings.schedule_of(analysis),
                find_next_due(catalogue, registry, history, analysis, now),
            )
        )
    return sorted(found, key=lambda summary: summary.analysis.name.casefold())


def show_question(question: Question, names: Mapping[str, str]) -> str:
    """Return a question in words; `names`: of segments by id."""
    if isinstance(question, TargetQuestion):
        return f"improve {question.target.name}"
    if isinstance(question, ActivityQuestion):
        return f"activity {question.activity}"
    segments = [f'"{names[identity]}"' for identity in question.segments]
    if isinstance(question, DifferenceQuestion):
        return " against ".join([*segments, *([] if question.against else ["everyone else"])])
    return f"overlap of {', '.join(segments)}"
