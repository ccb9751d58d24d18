"""The plans of a run over all its audiences: accounts before those whose profiles belong to them.

What a contact segment asks of the rows or the measures of its account is judged on the account, once, whatever the
number of its contacts: the rule is that of a hidden segment of the account's audience, which is carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from segengine.plan.refresh import Around, AudiencePlan, opposite, plan_audience
from segengine.project.catalogue import Catalogue
from segengine.project.model import Condition, Measure, ProfileRule, RowsRule, Segment, Settings, Step
from segengine.project.walk import find_segments, profile_conditions, segment_rules

_HIDDEN = "@"  # no slug begins with it: nobody's segment has such an id


def is_hidden(segment_id: str) -> bool:
    """Return whether an id is that of a hidden segment: evaluated and stored like others, shown to nobody."""
    return segment_id.startswith(_HIDDEN)


def plan_run(due: Mapping[str, Segment | Measure], catalogue: Catalogue, as_of: int) -> list[AudiencePlan]:
    """Return the plan of each audience that has something to evaluate, accounts first.

    Args:
        due: The segments and measures to evaluate by id, parents before children.
        catalogue: All definitions of the project.
        as_of: What relative times are relative to, in microseconds since 1970 UTC.
    """
    settings = catalogue.settings
    questions = _Questions(settings)
    planned: dict[str, dict[str, Segment | Measure]] = {audience: {} for audience in settings.audiences}
    for definition in due.values():
        planned[definition.audience][definition.id] = definition
        questions.ask(definition)
    for hidden in questions.hidden():
        planned[hidden.audience][hidden.id] = hidden
    accounts_first = sorted(planned, key=lambda audience: settings.audiences[audience].account is not None)
    found = [audience for audience in accounts_first if planned[audience]]
    return [_plan(audience, planned[audience], catalogue, questions, as_of) for audience in found]


def _plan(
    audience: str,
    definitions: Mapping[str, Segment | Measure],
    catalogue: Catalogue,
    questions: _Questions,
    as_of: int,
) -> AudiencePlan:
    parents = {parent for definition in definitions.values() for parent in find_segments(definition)} - set(definitions)
    carried = {parent for parent in parents if catalogue.segments[parent].audience != audience}
    if carried and questions.settings.account_of(audience) is None:
        raise LookupError(f"segments of {audience}, which has no account, ask for {', '.join(sorted(carried))}")
    asked = questions.of(audience)
    around = Around(
        settings=questions.settings,
        measures=catalogue.measures,
        as_of=as_of,
        stored=tuple(sorted(parents - carried)),
        carried=tuple(sorted({*carried, *asked.values()})),
        rules={question: hidden for question, hidden in asked.items() if isinstance(question, RowsRule)},
        conditions={question: hidden for question, hidden in asked.items() if isinstance(question, Condition)},
    )
    plan = plan_audience(audience, definitions, around)
    return replace(plan, outside=_plan_outside(plan, catalogue, around)) if plan.stored_measures else plan


def _plan_outside(plan: AudiencePlan, catalogue: Catalogue, around: Around) -> AudiencePlan:
    """Return a plan of the measures a plan reads, and of all they are made of."""
    wanted = set(plan.stored_measures)
    for identity in reversed(catalogue.order):
        if identity in wanted:
            wanted |= set(catalogue.parents(identity)) & set(catalogue.measures)
    measures = {identity: measure for identity, measure in catalogue.measures.items() if identity in wanted}
    segments = {parent for measure in measures.values() for parent in find_segments(measure)}
    return plan_audience(plan.audience, measures, replace(around, stored=tuple(sorted(segments | set(around.stored)))))


_Question = RowsRule | Condition  # a rule over rows of the account, a condition on a measure of it


@dataclass
class _Questions:
    """What segments and measures ask of their accounts; equal questions are one."""

    settings: Settings
    _found: dict[tuple[str, _Question], str] = field(default_factory=dict)
    _asked_by: dict[str, list[str]] = field(default_factory=dict)
    _of: dict[str, dict[_Question, str]] = field(default_factory=dict)

    def ask(self, definition: Segment | Measure) -> None:
        """Note the rules of a definition that are over rows of its account, its conditions on measures of it."""
        accounts = self.settings.account_of(definition.audience)
        if accounts is None:
            return
        for rule in segment_rules(definition.steps) if isinstance(definition, Segment) else ():
            if isinstance(rule, RowsRule) and rule.path.target == accounts.table:
                self._note(definition, accounts.name, rule)
        for condition in profile_conditions(definition):
            if condition.attribute.measure and condition.attribute.hops:
                self._note(definition, accounts.name, condition)

    def _note(self, definition: Segment | Measure, account: str, question: _Question) -> None:
        hidden = self._found.setdefault((account, question), f"{_HIDDEN}{len(self._found) + 1}")
        self._of.setdefault(definition.audience, {})[question] = hidden
        self._asked_by.setdefault(hidden, []).append(definition.name)

    def of(self, audience: str) -> dict[_Question, str]:
        """Return the hidden segments that stand for the questions of an audience's definitions."""
        return self._of.get(audience, {})

    def hidden(self) -> list[Segment]:
        """Return the hidden segments; the description says whose question it is."""
        return [
            Segment(
                id=hidden,
                name=_name(question),
                description=", ".join(dict.fromkeys(self._asked_by[hidden])),
                tags=(),
                audience=account,
                type="dynamic",
                output_table="",
                steps=(Step("union", _rule(question)),),
                attach=(),
                attach_limit=0,
                place=question.place,
            )
            for (account, question), hidden in self._found.items()
        ]


def _name(question: _Question) -> str:
    return f"a rule over {question.path.name}" if isinstance(question, RowsRule) else question.text


def _rule(question: _Question) -> RowsRule | ProfileRule:
    """Return the rule judged on the account: of a condition those who fail it, as nobody fails without an account."""
    if isinstance(question, RowsRule):
        return question
    own = replace(question.attribute, base=question.attribute.hops[-1].target, hops=())
    return ProfileRule(opposite(replace(question, attribute=own)), question.place)
