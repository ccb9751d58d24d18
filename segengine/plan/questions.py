"""What a plan asks of its profiles' accounts: it is answered there, once an account, and the answers are carried over.

A question that holds for an account or not is the rule of a hidden segment of the accounts; one for a value of an
account's measure is the value of a hidden measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from segengine.plan.formulas import FormulaBuilder
from segengine.plan.passes import Passes
from segengine.project.attributes import Attribute
from segengine.project.model import Condition, RowsRule

Question = RowsRule | Condition | Attribute
"""A rule over rows of the account, a condition on a measure of it, or the value of one."""

Ask = Callable[[Question], str]
"""Returns the id of the hidden segment or measure that stands for a question."""


class AccountQuestions:
    """The questions of one plan, filled as they are asked.

    `segments`: those of the accounts whose members are carried over, asked for by name first, then hidden ones;
    `measures`: the hidden ones whose values are. `asked`: the hidden ones by id of what asked.
    """

    def __init__(self, ask: Ask | None, named: Iterable[str], passes: Passes, formulas: FormulaBuilder) -> None:
        """Begin with the segments that are asked for by name; without `ask` there are no accounts."""
        self.segments = list(named)
        self.measures: list[str] = []
        self.asked: dict[str, set[str]] = {}
        self._ask = ask
        self._passes = passes
        self._formulas = formulas

    def segment(self, question: RowsRule | Condition) -> str:
        """Return the hidden segment whose members are the accounts a question holds for."""
        return self._hidden(question, self.segments)

    def value(self, attribute: Attribute) -> int:
        """Return the node of the value that a measure has for the profiles' accounts."""
        place = self.measures.index(self._hidden(attribute, self.measures))
        return self._formulas.add("carried_value", place, payload=attribute.type)

    def _hidden(self, question: Question, carried: list[str]) -> str:
        if self._ask is None:
            raise LookupError("nobody is there to ask about accounts")
        hidden = self._ask(question)
        if hidden not in carried:
            carried.append(hidden)
        self.asked.setdefault(self._passes.subject, set()).add(hidden)
        return hidden
