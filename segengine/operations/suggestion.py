"""Evaluating a suggestion: groups that stand out in a target, or that an activity makes, each with its rule."""

from __future__ import annotations

from segengine.models.answers import dump_answer
from segengine.models.cards import describe_suggestion
from segengine.models.findings import Findings, Proposal
from segengine.models.group_counts import TALLIES
from segengine.models.run_record import RunRecord
from segengine.models.suggestions import Question, confirm_candidates, find_candidates
from segengine.operations.activity_groups import group_by_activity
from segengine.operations.model_run import ModelRun
from segengine.operations.proposed_rules import write_group_rule
from segengine.operations.scope import open_scope
from segengine.operations.suggestion_record import record_groups, record_question, record_suggestions
from segengine.project.analysis import ActivityQuestion, Analysis, TargetQuestion
from segengine.store.scores import write_result
from segengine.store.snapshots import SnapshotKey


def suggest(run: ModelRun, analysis: Analysis, question: TargetQuestion | ActivityQuestion, record: RunRecord) -> None:
    """Write what a suggestion finds under the run's id.

    Args:
        run: The run.
        analysis: The suggestion.
        question: What it asks.
        record: What MLflow is to know is noted there.

    Raises:
        ConfigError: There are too few profiles, the target cannot be one, or nothing can have an influence on it.
        DataContractError: A value is none of its type.
        RunError: The engine failed.
    """
    record_question(record, run, question)
    if isinstance(question, TargetQuestion):
        kind, findings = "suggestion", _suggest_for_target(run, question, record)
    else:
        kind, findings = "activity", group_by_activity(run, analysis, question)
        record_groups(record, findings)
    write_result(run.warehouse, SnapshotKey(run.run_id, analysis.id), kind, dump_answer(findings))


def _suggest_for_target(run: ModelRun, asked: TargetQuestion, record: RunRecord) -> Findings:
    zone = run.catalogue.settings.time_zone
    scope = open_scope(run, asked.of, {field.name: field.asked for field in (asked.target, *asked.influences)})
    question = Question(
        scope.fields[asked.target.name],
        tuple(scope.fields[field.name] for field in asked.influences),
        run.seed_text,
        zone,
    )
    candidates = find_candidates(scope.sample(scope.share), question)
    found = confirm_candidates(candidates, scope.count(candidates.counter.count, TALLIES))
    proposals = tuple(
        Proposal(
            describe_suggestion(one, question),
            one.member_count,
            one.member_share,
            write_group_rule(one.group, question, asked, run.catalogue),
        )
        for one in found.suggestions
    )
    record_suggestions(record, found, question)
    return Findings(found, proposals, asked.of)
