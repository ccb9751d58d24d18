"""Asking on a terminal for what was left out of `quick create`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from segengine.errors import ConfigError, DefinitionError

if TYPE_CHECKING:
    from segengine.project.attributes import Attribute
    from segengine.project.catalogue import Catalogue
    from segengine.project.project_file import Settings
    from segengine.project.quick import Known, QuickSegment

_MOST_LISTED = 60


def can_ask() -> bool:
    """Return whether somebody sits at a terminal."""
    return sys.stdin.isatty()


def ask_for_the_rest(settings: Settings, given: QuickSegment, applied: Catalogue | None = None) -> QuickSegment:
    """Return a quick segment with everything it needs; what is empty is asked for, on stderr.

    Args:
        settings: The project.
        given: What is known of it.
        applied: What is applied, for segments of measures.

    Raises:
        ConfigError: The source has nothing to offer, or the audience is not clear.
        DefinitionError: The project's schema is not known.
    """
    from segengine.project.catalogue import raise_on_errors
    from segengine.project.problems import Problems
    from segengine.project.quick import Known
    from segengine.project.schema_lock import load_schema

    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    return _Questions(Known(settings, schema, applied)).complete(given)


@dataclass(frozen=True)
class _Questions:
    known: Known

    def complete(self, quick: QuickSegment) -> QuickSegment:
        from segengine.project.quick import propose_name

        if not quick.attribute:
            quick = replace(quick, attribute=self._ask_attribute(quick))
        attribute = self._find(quick, quick.attribute)
        if not quick.operator:
            quick = replace(quick, operator=_ask_operator(attribute))
        if not quick.values:
            quick = self._ask_values(quick, attribute)
        if not quick.name:
            proposal = propose_name(attribute.name, quick.operator, quick.values)
            quick = replace(quick, name=_prompt("Name of the segment", default=proposal))
        return quick

    def _find(self, quick: QuickSegment, name: str) -> Attribute:
        from segengine.project.quick import find_attribute_of

        return find_attribute_of(quick.source, name, self.known, quick.audience)

    def _ask_attribute(self, quick: QuickSegment) -> str:
        from segengine.project.quick import list_source

        known = list_source(quick.source, self.known, quick.audience)
        command = "segengine measures list" if quick.source == "measures" else "segengine schema show"
        width = max(map(len, known), default=0)
        for name, attribute in list(known.items())[:_MOST_LISTED]:
            click.echo(f"  {name:{width}}  {attribute.type}", err=True)
        if len(known) > _MOST_LISTED:
            click.echo(f"  and {len(known) - _MOST_LISTED} more: `{command}`", err=True)

        def check(text: str) -> str:
            try:
                self._find(quick, text)
            except ConfigError as error:
                raise click.UsageError(str(error)) from None
            return text

        return _prompt("Field", value_proc=check)

    def _ask_values(self, quick: QuickSegment, attribute: Attribute) -> QuickSegment:
        """Return the segment with values that fit; nothing is asked where the operator needs none."""
        from segengine.operations.quick_segment import draft_segment
        from segengine.project.quick import propose_name

        while True:
            values = _ask_values(quick.operator, attribute)
            name = quick.name or propose_name(attribute.name, quick.operator, values)
            try:
                proposal = replace(quick, values=values, name=name)
                draft_segment(self.known.settings, proposal, applied=self.known.applied)
            except DefinitionError as error:
                if not values or any(issue.code != "SEG207" for issue in error.issues):
                    raise  # not about the values: asking again would not help
                for issue in error.issues:
                    click.echo(f"Error: {issue.message.partition(': ')[2]} {issue.hint}".rstrip(), err=True)
                continue
            return replace(quick, values=values)


def _ask_operator(attribute: Attribute) -> str:
    from segengine.project.operators import operators_for

    fitting = operators_for(attribute.type.family)
    width = max(len(operator.name) for operator in fitting)
    for operator in fitting:
        click.echo(f"  {operator.name:{width}}  {operator.summary}", err=True)
    names = click.Choice([operator.name for operator in fitting])
    return _prompt("Operator", type=names, show_choices=False)


def _ask_values(operator: str, attribute: Attribute) -> tuple[str, ...]:
    from segengine.project.operators import BY_NAME

    argument = BY_NAME[operator].argument if operator in BY_NAME else "one"
    if argument == "flag":
        return ()
    if argument == "boolean":
        return (_prompt("true or false", default="true"),)
    if argument == "pair":
        return _prompt("From"), _prompt("To")
    questions = {
        "span": "How long, for example 20 days",
        "period": "week, month, quarter or year",
        "part": f"Values of {BY_NAME[operator].summary}; several separated by commas" if operator in BY_NAME else "",
    }
    plain = "Values, separated by commas" if operator == "any_of" else f"Value ({attribute.type})"
    return (_prompt(questions.get(argument, plain)),)


def _prompt(text: str, **options: Any) -> str:
    answer: str = click.prompt(text, err=True, **options)
    return answer
