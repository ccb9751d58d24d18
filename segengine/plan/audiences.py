"""The plans of a run over all its audiences: accounts before those whose profiles belong to them.

What a contact segment asks of the rows of its account is judged on the account, once, whatever the number of its
contacts: the rule is that of a hidden segment of the account's audience, which is carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from segengine.plan.refresh import AudiencePlan, plan_audience
from segengine.project.model import RowsRule, Segment, Settings, Step
from segengine.project.walk import find_parents, segment_rules

_HIDDEN = "@"  # no slug begins with it: nobody's segment has such an id


def is_hidden(segment_id: str) -> bool:
    """Return whether an id is that of a hidden segment: evaluated and stored like others, shown to nobody."""
    return segment_id.startswith(_HIDDEN)


def plan_run(
    due: Mapping[str, Segment], known: Mapping[str, Segment], settings: Settings, as_of: int
) -> list[AudiencePlan]:
    """Return the plan of each audience that has something to evaluate, accounts first.

    Args:
        due: The segments to evaluate by id, parents before children.
        known: All segments of the project by id.
        settings: The project.
        as_of: What relative times are relative to, in microseconds since 1970 UTC.
    """
    questions = _Questions(settings)
    planned: dict[str, dict[str, Segment]] = {audience: {} for audience in settings.audiences}
    for segment in due.values():
        planned[segment.audience][segment.id] = segment
        questions.ask(segment)
    for hidden in questions.hidden():
        planned[hidden.audience][hidden.id] = hidden
    accounts_first = sorted(planned, key=lambda audience: settings.audiences[audience].account is not None)
    found = [audience for audience in accounts_first if planned[audience]]
    return [_plan(audience, planned[audience], known, questions, as_of) for audience in found]


def _plan(
    audience: str, segments: Mapping[str, Segment], known: Mapping[str, Segment], questions: _Questions, as_of: int
) -> AudiencePlan:
    parents = {parent for segment in segments.values() for parent in find_parents(segment.steps)} - set(segments)
    carried = {parent for parent in parents if known[parent].audience != audience}
    if carried and questions.settings.account_of(audience) is None:
        raise LookupError(f"segments of {audience}, which has no account, ask for {', '.join(sorted(carried))}")
    rules = questions.of(audience)
    stored, hidden = sorted(parents - carried), sorted({*carried, *rules.values()})
    return plan_audience(audience, segments, stored, questions.settings, as_of, hidden, rules)


@dataclass
class _Questions:
    """What segments ask of the rows of their accounts; equal questions are one."""

    settings: Settings
    _found: dict[tuple[str, RowsRule], str] = field(default_factory=dict)
    _asked_by: dict[str, list[str]] = field(default_factory=dict)
    _rules: dict[str, dict[RowsRule, str]] = field(default_factory=dict)

    def ask(self, segment: Segment) -> None:
        """Note the rules of a segment that are over rows of its account."""
        accounts = self.settings.account_of(segment.audience)
        for rule in segment_rules(segment.steps):
            if accounts and isinstance(rule, RowsRule) and rule.path.target == accounts.table:
                hidden = self._found.setdefault((accounts.name, rule), f"{_HIDDEN}{len(self._found) + 1}")
                self._rules.setdefault(segment.audience, {})[rule] = hidden
                self._asked_by.setdefault(hidden, []).append(segment.name)

    def of(self, audience: str) -> dict[RowsRule, str]:
        """Return the hidden segments that stand for rules of an audience's segments."""
        return self._rules.get(audience, {})

    def hidden(self) -> list[Segment]:
        """Return the hidden segments; the description says whose question it is."""
        return [
            Segment(
                id=hidden,
                name=f"a rule over {rule.path.name}",
                description=", ".join(dict.fromkeys(self._asked_by[hidden])),
                tags=(),
                audience=account,
                type="dynamic",
                output_table="",
                steps=(Step("union", rule),),
                attach=(),
                attach_limit=0,
                place=rule.place,
            )
            for (account, rule), hidden in self._found.items()
        ]
