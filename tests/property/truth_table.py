"""The truth table of all operators, made by the code that judges: of a value, of another one, of a missing one."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from kernel_runs import KernelResult, KernelRun, run_kernel
from worlds import World, make_world

from segengine.project.operators import OPERATORS
from segengine.project.types import Family

TYPES = {"text": "text", "number": "double", "boolean": "boolean", "date": "date", "timestamp": "timestamp"}
MISSING: dict[str, tuple[Any, ...]] = {"text": (None, ""), "number": (None, float("nan"))}
NOON = datetime(2024, 6, 15, 12, tzinfo=UTC)  # as_of too
FORMS = ("", "not", "or_missing", "not, or_missing")
TITLE = """# What operators say of values

Made by `pytest tests/golden --update-golden` from the operator table and the kernel; as of 2024-06-15T12:00:00Z.
What holds is given for a value for which the example is true, for one for which it is false, and for a missing one
(NULL, NaN and text of length 0 are the same), in this order.

| operator | on | example | true for | false for | condition | not | or_missing | not, or_missing | another type |
|---|---|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Example:
    """An operator's operand, and a value of the attribute for which it is true and one for which it is false."""

    operator: str
    family: str
    operand: Any
    true_for: Any
    false_for: Any


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _times(operator: str, operand: Any, true_for: str, false_for: str) -> Iterator[Example]:
    """Yield the example for a date, and for noon of the same days."""
    yield Example(operator, "date", operand, _day(true_for), _day(false_for))
    noon = "T12:00:00"
    yield Example(operator, "timestamp", operand, _moment(true_for + noon), _moment(false_for + noon))


EXAMPLES = (
    Example("equals", "text", "ab", "ab", "AB"),
    Example("equals", "number", "1.5", 1.5, 2.5),
    Example("any_of", "text", ["a", "b"], "b", "c"),
    Example("any_of", "number", ["1", "2"], 2.0, 3.0),
    Example("begins_with", "text", "a", "ab", "ba"),
    Example("ends_with", "text", "a", "ba", "ab"),
    Example("contains", "text", ".", "a.b", "ab"),
    Example("matches", "text", "a.b", "xa-b", "ab"),
    Example("greater_than", "number", "1", 1.5, 1.0),
    Example("at_least", "number", "1", 1.0, 0.5),
    Example("less_than", "number", "1", 0.5, 1.0),
    Example("at_most", "number", "1", 1.0, 1.5),
    Example("between", "number", ["1", "2"], 2.0, 2.5),
    *_times("between", ["2024-06-01", "2024-06-02"], "2024-06-02", "2024-06-03"),
    *_times("on_day", "2024-06-01", "2024-06-01", "2024-06-02"),
    *_times("after", "2024-06-01", "2024-06-02", "2024-06-01"),
    *_times("before", "2024-06-02", "2024-06-01", "2024-06-02"),
    *_times("on_or_after", "2024-06-02", "2024-06-02", "2024-06-01"),
    *_times("on_or_before", "2024-06-02", "2024-06-02", "2024-06-03"),
    *_times("within_last", "7 days", "2024-06-08", "2024-06-07"),
    *_times("within_next", "7 days", "2024-06-22", "2024-06-15"),
    *_times("to_date", "month", "2024-06-01", "2024-05-31"),
    *_times("anniversary_within_next", "7 days", "1990-06-15", "1990-06-14"),
    *_times("month_of", "6", "1990-06-15", "1990-05-15"),
    *_times("weekday_of", ["saturday", "sunday"], "2024-06-15", "2024-06-14"),
    *_times("day_of_month", {"at_least": "15"}, "1990-06-15", "1990-06-14"),
    *_times("year_of", {"between": ["1990", "1999"]}, "1999-12-31", "2000-01-01"),
    Example("hour_of", "timestamp", "12", _moment("1990-06-15T12:59:59"), _moment("1990-06-15T13:00:00")),
    Example("is_true", "boolean", "true", True, False),
    Example("is_false", "boolean", "true", False, True),
)


def examples() -> list[Example]:
    """Return the examples of the operators there are, in the order of the table.

    Raises:
        LookupError: An operator has no example on a family it fits; `empty`, which has none, is shown apart.
    """
    counted = [(operator.name, family) for operator in OPERATORS for family in operator.families]
    return [_example(name, family) for name, family in counted if name != "empty"]


def _example(operator: str, family: Family) -> Example:
    fitting = [one for one in EXAMPLES if (one.operator, one.family) == (operator, family.value)]
    if not fitting:
        raise LookupError(f"give {operator} on {family.value} an example")
    return fitting[0]


def make_truth_table(folder: Path) -> str:
    """Return the table as Markdown."""
    shown = examples()
    world = _world(shown)
    segments = [
        {"kind": "segment", "name": f"{place} {form}", "where": {one.family: _condition(one, form)}}
        for place, one in enumerate(shown)
        for form in FORMS
    ]
    segments += [
        {"kind": "segment", "name": f"{family} empty {wanted}", "where": {family: {"empty": wanted}}}
        for family in TYPES
        for wanted in ("true", "false")
    ]
    strangers = [_stranger(place, one) for place, one in enumerate(shown)]
    result = run_kernel(folder, KernelRun(world, random.Random(0), 0), [*segments, *strangers], {})
    lines = [_line(place, one, result) for place, one in enumerate(shown)]
    return TITLE + "".join(lines) + "".join(_empty_line(family, result) for family in TYPES)


def _world(shown: list[Example]) -> World:
    """Return a profile for each value: `0 true`, `0 false` of the first example, `text there`, `text missing 0`."""
    nothing = dict.fromkeys(TYPES)
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(shown):
        rows.append({**nothing, "id": f"{place} true", one.family: one.true_for})
        rows.append({**nothing, "id": f"{place} false", one.family: one.false_for})
    for family in TYPES:
        there = next(one.true_for for one in shown if one.family == family)
        rows.append({**nothing, "id": f"{family} there", family: there})
        for place, value in enumerate(MISSING.get(family, (None,))):
            rows.append({**nothing, "id": f"{family} missing {place}", family: value})
    tables = {"profiles": {"path": "data/profiles", "key": "id"}}
    project = {"project": "truth", "tables": tables, "audiences": {"customer": {"table": "profiles"}}}
    return make_world(project, {"profiles": {"id": "text", **TYPES}}, {"profiles": rows}, NOON)


def _condition(one: Example, form: str) -> dict[str, Any]:
    wanted: dict[str, Any] = {one.operator: one.operand}
    if form.startswith("not"):
        wanted = {"not": wanted}
    return {**wanted, "or_missing": "true"} if form.endswith("or_missing") else wanted


def _stranger(place: int, one: Example) -> dict[str, Any]:
    """Return a definition with the operator on an attribute it does not fit."""
    fitting = {family.value for operator in OPERATORS if operator.name == one.operator for family in operator.families}
    family = next(name for name in TYPES if name not in fitting)
    return {"kind": "segment", "name": f"stranger {place}", "where": {family: {one.operator: one.operand}}}


def _line(place: int, one: Example, result: KernelResult) -> str:
    ids = (f"{place} true", f"{place} false")
    shown = [", ".join(_holds(result.members[f"{place} {form}"], ids, one.family)) for form in FORMS]
    refused = {issue.code for issue in result.issues if f'"stranger {place}"' in issue.message}
    cells = [one.operator, one.family, f"`{_flow(one.operand)}`", _value(one.true_for), _value(one.false_for), *shown]
    return f"| {' | '.join([*cells, ', '.join(sorted(refused))])} |\n"


def _empty_line(family: str, result: KernelResult) -> str:
    """Return the line of `empty`, which is true of a missing value and false of any other."""
    cells = []
    for wanted in ("true", "false"):
        there, missing = _holds(result.members[f"{family} empty {wanted}"], (f"{family} there",), family)
        cells.append(f"{wanted}: {missing} if missing, else {there}")
    return f"| empty | {family} | `true`, `false` | missing | any value | {'; '.join(cells)} | | | | |\n"


def _holds(members: Collection[str], ids: Collection[str], family: str) -> list[str]:
    """Return whether profiles are members, and then whether those with a missing value are, all alike."""
    (missing,) = {f"{family} missing {place}" in members for place in range(len(MISSING.get(family, (None,))))}
    return ["yes" if truth else "no" for truth in (*(one in members for one in ids), missing)]


def _flow(operand: Any) -> str:
    if isinstance(operand, list):
        return f"[{', '.join(operand)}]"
    if isinstance(operand, dict):
        return "{" + ", ".join(f"{key}: {_flow(value)}" for key, value in operand.items()) + "}"
    return str(operand)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, date) else str(value)
