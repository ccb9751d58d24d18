"""The plans of a run over all its audiences: accounts before those whose profiles belong to them.

What contacts ask of the rows or the measures of their account is answered by the account, once, whatever the number of
its contacts: a rule by a hidden segment of the account's audience, a value by a hidden measure, which are carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from segengine.plan.questions import Ask, Question
from segengine.plan.refresh import Around, AudiencePlan, opposite, plan_audience
from segengine.project.analysis import HIDDEN, Analysis, Evaluated
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.measure import Measure, MeasureValue
from segengine.project.model import Condition, ProfileRule, RowsRule, Segment, Step
from segengine.project.project_file import Settings
from segengine.project.walk import definition_parents


def is_hidden(identity: str) -> bool:
    """Return whether an id is that of a hidden segment or measure: evaluated and stored as others, shown to nobody."""
    return identity.startswith(HIDDEN)


def is_question(identity: str) -> bool:
    """Return whether an id is that of a hidden definition that answers another audience: slugs have no points."""
    return is_hidden(identity) and "." in identity


def split_waves(due: Mapping[str, Evaluated]) -> list[dict[str, Evaluated]]:
    """Return what is to be evaluated in waves: what an expansion feeds, directly or not, comes in a later one.

    Of each wave the rules and values are evaluated first, then what models evaluate.

    Args:
        due: What to evaluate by id, parents before children.
    """
    place: dict[str, int] = {}
    for identity, definition in due.items():
        parents = [parent for parent in definition_parents(definition) if parent in due]
        place[identity] = max((place[parent] + is_modelled(due[parent]) for parent in parents), default=0)
    waves: list[dict[str, Evaluated]] = [{} for _ in range(max(place.values(), default=-1) + 1)]
    for identity, definition in due.items():
        waves[place[identity]][identity] = definition
    return waves


def is_modelled(definition: Evaluated) -> bool:
    """Return whether a definition is evaluated by a model, not by rules."""
    if isinstance(definition, Segment):
        return definition.expansion is not None
    return isinstance(definition, Analysis)


def _planned_part(definition: Evaluated) -> Segment | Measure | None:
    """Return what of a definition is evaluated by rules: all, nothing, or of an analysis its figures."""
    if isinstance(definition, Analysis):
        return definition.figures
    return None if is_modelled(definition) else definition


def plan_run(due: Mapping[str, Evaluated], catalogue: Catalogue, as_of: int, wave: int = 0) -> list[AudiencePlan]:
    """Return the plan of each audience that has rules or values to evaluate, accounts first.

    Args:
        due: What to evaluate by id, parents before children; what models evaluate is left out, but figures for them.
        catalogue: All definitions of the project.
        as_of: What relative times are relative to, in microseconds since 1970 UTC.
        wave: The number of the wave that `due` is.
    """
    settings = catalogue.settings
    planned: dict[str, dict[str, Segment | Measure]] = {audience: {} for audience in settings.audiences}
    for definition in due.values():
        if part := _planned_part(definition):
            planned[part.audience][part.id] = part
    questions = _Questions(settings, wave)
    plans: list[AudiencePlan] = []
    # Planned accounts last: what the others ask of them is then known. Evaluated first.
    for audience in sorted(reversed(planned), key=lambda audience: settings.audiences[audience].account is None):
        definitions = {**planned[audience], **{hidden.id: hidden for hidden in questions.of(audience)}}
        if definitions:
            plans.append(replace(_plan(audience, definitions, catalogue, questions, as_of), wave=wave))
    return plans[::-1]


def _plan(
    audience: str,
    definitions: Mapping[str, Segment | Measure],
    catalogue: Catalogue,
    questions: _Questions,
    as_of: int,
) -> AudiencePlan:
    parents = {parent for definition in definitions.values() for parent in definition_parents(definition)}
    segments = {parent for parent in parents - set(definitions) if parent in catalogue.segments}
    carried = {parent for parent in segments if catalogue.segments[parent].audience != audience}
    accounts = catalogue.settings.account_of(audience)
    if carried and accounts is None:
        raise LookupError(f"segments of {audience}, which has no account, ask for {', '.join(sorted(carried))}")
    around = Around(
        settings=catalogue.settings,
        measures=catalogue.measures,
        as_of=as_of,
        stored=tuple(sorted(segments - carried)),
        carried=tuple(sorted(carried)),
        ask=(lambda question: questions.ask(accounts.name, question)) if accounts else None,
    )
    plan = plan_audience(audience, definitions, around)
    asked = {identity: definitions[identity].name for identity in plan.asked}
    questions.note(plan.asked, asked)
    return replace(plan, outside=_plan_outside(plan, catalogue, around)) if plan.stored_measures else plan


def _plan_outside(plan: AudiencePlan, catalogue: Catalogue, around: Around) -> AudiencePlan:
    """Return a plan of the measures a plan reads, and of all they are made of."""
    wanted = set(plan.stored_measures)
    for identity in reversed(catalogue.order):
        if identity in wanted:
            wanted |= set(catalogue.parents(identity)) & set(catalogue.measures)
    measures = {identity: measure for identity, measure in catalogue.measures.items() if identity in wanted}
    parents = {parent for measure in measures.values() for parent in definition_parents(measure)}
    segments = parents & set(catalogue.segments)
    stored = tuple(sorted(segments | set(around.stored)))
    # Nobody's account says nothing: what those measures would ask of accounts need not be answered.
    ask: Ask | None = (lambda question: HIDDEN) if around.ask else None
    return plan_audience(plan.audience, measures, replace(around, stored=stored, ask=ask))


@dataclass
class _Questions:
    """What segments and measures ask of their accounts; equal questions are one."""

    settings: Settings
    wave: int
    _found: dict[tuple[str, Question], str] = field(default_factory=dict)
    _asked_by: dict[str, list[str]] = field(default_factory=dict)

    def ask(self, account: str, question: Question) -> str:
        """Return the id of the hidden segment or measure of an account audience that stands for a question."""
        return self._found.setdefault((account, question), f"{HIDDEN}{self.wave}.{len(self._found) + 1}")

    def note(self, asked: Mapping[str, frozenset[str]], names: Mapping[str, str]) -> None:
        """Keep who asked, by name; `asked`: the hidden definitions by id of the one that asks."""
        for identity, hidden in asked.items():
            for each in hidden:
                self._asked_by.setdefault(each, []).append(names[identity])

    def of(self, account: str) -> list[Segment | Measure]:
        """Return the hidden definitions of an audience; the description says whose question it is."""
        return [
            _answer(question, hidden, account, ", ".join(dict.fromkeys(self._asked_by.get(hidden, []))))
            for (of_account, question), hidden in self._found.items()
            if of_account == account
        ]


def _answer(question: Question, hidden: str, account: str, askers: str) -> Segment | Measure:
    """Return what answers a question: a segment of accounts it holds for, or a measure with the value of each."""
    if isinstance(question, Attribute):
        return Measure(
            id=hidden,
            name=f"the value of {question.column}",
            description=askers,
            tags=(),
            audience=account,
            per_profile=True,
            dimensions=(),
            path=None,
            over="",
            where=None,
            values=(MeasureValue(question.column, question.type, _of_account(question)),),
        )
    return Segment(
        id=hidden,
        name=f"a rule over {question.path.name}" if isinstance(question, RowsRule) else question.text,
        description=askers,
        tags=(),
        audience=account,
        type="dynamic",
        output_table="",
        steps=(Step("union", _rule(question)),),
        attach=(),
        attach_limit=0,
        place=question.place,
    )


def _rule(question: RowsRule | Condition) -> RowsRule | ProfileRule:
    """Return the rule judged on the account; of a condition that missing values pass, who fails it.

    Without an account the measure is missing, and such a profile gets no bit: it neither passes nor fails.
    """
    if isinstance(question, RowsRule):
        return question
    own = replace(question, attribute=_of_account(question.attribute))
    return ProfileRule(opposite(own) if question.missing else own, question.place)


def _of_account(attribute: Attribute) -> Attribute:
    """Return an attribute of the profiles' accounts as one seen from the accounts themselves."""
    return replace(attribute, base=attribute.hops[-1].target, hops=())
