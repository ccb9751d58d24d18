"""What MLflow gets to see of a suggestion: what was asked, what was found, plots and tables."""

from __future__ import annotations

from functools import partial

from segengine.models.activity import ActivityGroups
from segengine.models.cards import describe_group
from segengine.models.findings import Findings
from segengine.models.plots import Bar, draw_suggestions
from segengine.models.run_record import RunRecord
from segengine.models.suggestions import Question, Suggestions, name_salt
from segengine.operations.model_run import ModelRun
from segengine.project.analysis import ActivityQuestion, TargetQuestion


def record_question(record: RunRecord, run: ModelRun, question: TargetQuestion | ActivityQuestion) -> None:
    """Note what is asked."""
    record.log_parameters(
        {"of": question.of or "everyone", "seed": run.seed_text, "sample_salt": name_salt(run.seed_text)}
    )
    if isinstance(question, TargetQuestion):
        influences = [field.name for field in question.influences]
        record.log_parameters({"target": question.target.name, "influences": influences})
    else:
        record.log_parameters({"activity": question.activity, "dimensions": question.dimensions})


def record_suggestions(record: RunRecord, found: Suggestions, question: Question) -> None:
    """Note which groups stand out in a target, and how sure that is."""
    types = {field.name: field.type for field in question.influences}
    _record_warnings(record, found.warnings)
    counts = {"customers": found.customer_count, "customers_with_target": found.known_count}
    record.log_metrics({**counts, "suggestions": len(found.suggestions)})
    record.log_table("left_out", [{"field": one.field, "reason": one.reason} for one in found.left_out])
    rows = []
    bars: dict[str, tuple[float, list[Bar]]] = {}
    for one in found.suggestions:
        label = describe_group(one.group, types, question.zone)
        expected = one.expected
        outcome = "" if one.outcome is None else str(one.outcome)
        rows.append(
            {
                "outcome": outcome,
                "group": label,
                "members": one.member_count,
                "share": one.member_share,
                "average": one.average,
                "average_of_all": one.average_of_all,
                "expected": expected.value,
                "expected_low": expected.low,
                "expected_high": expected.high,
                "effect": one.effect,
                "q_value": one.q_value,
            }
        )
        bar = Bar(label, expected.value, expected.low, expected.high, f"{one.member_count:,} members")
        bars.setdefault(outcome, (one.average_of_all, []))[1].append(bar)
    record.log_table("suggestions", rows)
    for outcome, (average, drawn) in bars.items():
        what = f"{found.target} is {outcome}" if outcome else found.target
        record.log_figure(f"suggestions {outcome}".strip(), partial(draw_suggestions, drawn, what, average))


def record_groups(record: RunRecord, findings: Findings) -> None:
    """Note which groups an activity makes."""
    found = findings.result
    if not isinstance(found, ActivityGroups):
        return
    _record_warnings(record, found.warnings)
    counts = {"active": found.active_count, "inactive": found.inactive_count, "in_other_groups": found.other_count}
    record.log_metrics({**counts, "groups": len(found.groups)})
    record.log_document("dimensions", {"dimensions": [vars(one) for one in found.dimensions]})
    rows = [
        {
            **{one.dimension: one.level for one in group.levels},
            "members": group.member_count,
            "share": group.share,
            "activity_share": group.activity_share,
            "amount_share": group.amount_share,
        }
        for group in found.groups
    ]
    record.log_table("groups", rows)


def _record_warnings(record: RunRecord, warnings: tuple[str, ...]) -> None:
    if warnings:
        record.log_document("warnings", {"warnings": list(warnings)})
