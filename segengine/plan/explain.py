"""Saying what a refresh would do: scans, clauses, shared parts and order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from segengine.plan.audiences import is_hidden, is_question
from segengine.plan.refresh import AudiencePlan
from segengine.plan.rows import Clause, Common, RowSet, clauses_of
from segengine.plan.scans import Output, Scan, SomeRow, SomeRowOf, ValueTest, asked_clauses
from segengine.project.attributes import Attribute
from segengine.project.measure import Measure
from segengine.project.model import Condition, ProfileRule, Segment
from segengine.project.types import EPOCH_DAY, Family, Ordinal
from segengine.project.values import Ranges, epoch_text
from segengine.project.walk import segment_leaves, segment_rules


@dataclass(frozen=True)
class ScanExplanation:
    """One scan: what is read, what it answers, and how many rules share it."""

    name: str
    table: str
    path: tuple[str, ...]
    look_ups: tuple[str, ...]
    columns: tuple[str, ...]
    limits: tuple[str, ...]
    rule_count: int
    segment_count: int
    clauses: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class AudienceExplanation:
    """The plan of one audience for people: its scans, what is shared, and the order of evaluation.

    `carried` is what is asked of the profiles' accounts, `questions` what other audiences ask of this one.
    """

    audience: str
    scans: tuple[ScanExplanation, ...]
    segment_count: int
    condition_count: int
    distinct_condition_count: int
    formula_count: int
    order: tuple[str, ...]
    stored_parents: tuple[str, ...]
    carried: tuple[str, ...]
    questions: tuple[str, ...]


def explain_audience(plan: AudiencePlan, known: Mapping[str, Segment | Measure]) -> AudienceExplanation:
    """Return what a plan does, in words; `known`: all definitions by id, hidden ones included."""
    own = {identity: each for identity in plan.members if isinstance(each := known[identity], Segment)}
    asked = filter(is_question, (*plan.members, *plan.results))
    judged = [leaf for segment in plan.segments.values() for leaf in segment_leaves(segment.steps)]
    conditions = [leaf for leaf in judged if isinstance(leaf, Condition)]
    return AudienceExplanation(
        audience=plan.audience,
        scans=tuple(_explain_scan(scan, own) for scan in plan.scans),
        segment_count=sum(not is_hidden(segment_id) for segment_id in own),
        condition_count=len(conditions),
        distinct_condition_count=len(set(conditions)),
        formula_count=len(plan.nodes),
        order=tuple(segment.name for segment_id, segment in own.items() if not is_hidden(segment_id)),
        stored_parents=tuple(known[parent].name for parent in plan.stored),
        carried=tuple(_show_carried(known[identity]) for identity in (*plan.carried, *plan.carried_values)),
        questions=tuple(_show_carried(known[identity]) for identity in asked),
    )


def _show_carried(definition: Segment | Measure) -> str:
    return f"{definition.name}, for {definition.description}" if is_hidden(definition.id) else definition.name


def _explain_scan(scan: Scan, segments: Mapping[str, Segment]) -> ScanExplanation:
    rules = [
        (segment_id, rule)
        for segment_id, segment in segments.items()
        for rule in segment_rules(segment.steps)
        if (None if isinstance(rule, ProfileRule) else rule.path) == scan.path
    ]
    clauses = dict.fromkeys(clause for output in scan.outputs for clause in asked_clauses(output))
    return ScanExplanation(
        name=scan.name,
        table=scan.table,
        path=tuple(map(str, scan.path.hops)) if scan.path else (),
        look_ups=tuple(sorted({".".join(hop.name for hop in column.hops) for column in scan.columns if column.hops})),
        columns=tuple(column.name for column in scan.columns),
        limits=tuple(_show_limit(attribute, hull) for attribute, hull in scan.limits),
        rule_count=len(rules),
        segment_count=len({segment_id for segment_id, _ in rules}),
        clauses=tuple(show_clause(clause) for clause in clauses),
        answers=tuple(_show_output(output, scan) for output in scan.outputs),
    )


def _show_limit(attribute: Attribute, hull: Ranges) -> str:
    """Return the rows a scan reads as `low <= attribute < high`; times in UTC, or wall clock where there is no zone."""
    ((low, high),) = hull.spans
    lower = "" if low is None else f"{_show_time(attribute, low)} <= "
    upper = "" if high is None else f" < {_show_time(attribute, high)}"
    return f"{lower}{attribute.name}{upper}"


def _show_time(attribute: Attribute, ordinal: Ordinal) -> str:
    if attribute.type.family is Family.DATE:
        return (EPOCH_DAY + timedelta(days=int(ordinal))).isoformat()
    text = epoch_text(int(ordinal))
    return text if attribute.type.name == "timestamp" else text.removesuffix("Z")


def show_clause(clause: Clause) -> str:
    """Return a clause for people."""
    return " and ".join(sorted(condition.text for condition in clause)) or "any row"


def _show_output(output: Output, scan: Scan) -> str:
    if scan.path is None and isinstance(output, SomeRow):
        return show_clause(output.clause) if output.clause else "any profile"
    if isinstance(output, SomeRow):
        return f"some row: {show_clause(output.clause)}"
    if isinstance(output, SomeRowOf):
        return f"some row: {_show_rows(output.inside)}, but not: {_show_rows(output.outside)}"
    rows = _show_rows(output.rows)
    if isinstance(output, ValueTest):
        return f"{output.condition.text} over rows: {rows}"
    return f"at least {output.at_least} rows: {rows}"


def _show_rows(rows: RowSet) -> str:
    if isinstance(rows, Common):
        return " and ".join(f"({_show_rows(part)})" for part in rows.parts)
    return " or ".join(map(show_clause, clauses_of(rows))) or "no row"
