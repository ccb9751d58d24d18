"""Suggestions as a marketer reads them."""

from __future__ import annotations

from collections.abc import Mapping

from segengine.models.activity import ActivityGroup, GroupLevel
from segengine.models.cells import Cell, describe_cell
from segengine.models.groups import Condition, Group, show_value
from segengine.models.intervals import CONFIDENCE
from segengine.models.shares import show_share
from segengine.models.suggestions import Question, Suggestion
from segengine.project.types import AttributeType, Family

_WORDS = {"equals": "", "not_equals": "not ", "at_most": "at most ", "greater_than": "above "}
_WORDS_OF_TIME = {"at_most": "up to ", "greater_than": "after "}


def describe_suggestion(suggestion: Suggestion, question: Question) -> str:
    """Return a suggestion in a line.

    `LifetimeSpend is 20 % above average (1,043 against 870): Income above 97,000 and Loyalty Tier High; 585 members,
    12 %; expect 1,031 (968 to 1,094)`.
    """
    expected = suggestion.expected
    show = _show_number if suggestion.outcome is None else show_share
    types = {field.name: field.type for field in question.influences}
    return (
        f"{_describe_difference(suggestion, question)}: {describe_group(suggestion.group, types, question.zone)}; "
        f"{suggestion.member_count:,} members, {show_share(suggestion.member_share)}; "
        f"expect {show(expected.value)} ({show(expected.low)} to {show(expected.high)}, {show_share(CONFIDENCE)} sure)"
    )


def _describe_difference(suggestion: Suggestion, question: Question) -> str:
    name, here, everywhere = label(question.target.name), suggestion.average, suggestion.average_of_all
    if suggestion.outcome is not None:
        is_truth = question.target.type.family is Family.BOOLEAN
        outcome = "true" if is_truth else str(suggestion.outcome)
        return f"{name} is {outcome} for {show_share(here)} against {show_share(everywhere)}"
    side = "above" if here > everywhere else "below"
    averages = f"({_show_number(here)} against {_show_number(everywhere)})"
    if everywhere <= 0 or here < 0:  # a percentage would mean nothing
        return f"{name} is {side} average {averages}"
    return f"{name} is {show_share(abs(here / everywhere - 1))} {side} average {averages}"


def describe_activity_group(group: ActivityGroup, activity: str, zone: str) -> str:
    """Return a group by activity in a line.

    `Purchases: recency High (above 2024-05-31), frequency Low (up to 3); 585 members, 12 % of those with activity, 8 %
    of the money`.

    Args:
        group: Its levels.
        activity: What it is called.
        zone: The project's time zone.
    """
    levels = ", ".join(f"{one.dimension} {one.level} ({_describe_level(one, zone)})" for one in group.levels)
    is_money = group.amount_share is not None
    done = show_share(group.amount_share if group.amount_share is not None else group.activity_share)
    return (
        f"{activity}: {levels}; {group.member_count:,} members, {show_share(group.share)} of those with activity, "
        f"{done} of the {'money' if is_money else 'activity'}"
    )


def _describe_level(level: GroupLevel, zone: str) -> str:
    is_missing = level.above is None and level.at_most is None
    cell = Cell("missing") if is_missing else Cell("range", above=level.above, at_most=level.at_most)
    return describe_cell(cell, level.type, zone)


def describe_group(group: Group, types: Mapping[str, AttributeType], zone: str) -> str:
    """Return the conditions of a group in words: `Income above 97,000 and Loyalty Tier High`.

    Args:
        group: Its conditions.
        types: The type of each field, by its name.
        zone: The project's time zone.
    """
    return " and ".join(_describe(condition, types[condition.field], zone) for condition in group)


def _describe(condition: Condition, type_: AttributeType, zone: str) -> str:
    name = label(condition.field)
    if condition.operator in ("empty", "not_empty"):
        return f"{name} {'not known' if condition.operator == 'empty' else 'known'}"
    literal = show_value(condition, type_, zone)
    if type_.family is Family.BOOLEAN:
        return f"{name} {'yes' if literal == 'true' else 'no'}"
    if type_.family is Family.NUMBER:
        return f"{name} {_WORDS[condition.operator]}{_group_digits(literal)}"
    words = _WORDS if type_.family is Family.TEXT else _WORDS_OF_TIME
    return f"{name} {words[condition.operator]}{literal}"


def label(name: str) -> str:
    """Return a field's name as a title: `Loyalty Tier` of `loyalty_tier`; names that have capitals stay as they are."""
    if name != name.lower():
        return name
    return " ".join(word.capitalize() for word in name.replace(".", " ").replace("_", " ").split())


def _group_digits(literal: str) -> str:
    """Return the literal of a number with commas between thousands; all its digits stay."""
    sign, digits = ("-", literal[1:]) if literal.startswith("-") else ("", literal)
    whole, point, rest = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{rest}" if whole.isdigit() else literal


def _show_number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"
