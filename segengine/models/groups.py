"""Groups of customers that a rule can say: one or more conditions on fields, all of which hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.models.fields import fill_ordinals
from segengine.models.thresholds import last_day
from segengine.project.literals import show_literal
from segengine.project.nodes import Plain
from segengine.project.types import AttributeType, Family, Ordinal

Operator = Literal["equals", "not_equals", "at_most", "greater_than", "empty", "not_empty"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A condition on a field, as rules mean it: false where the value is missing, but for `empty`.

    `value`: text, or the ordinal that rules compare; None for `empty` and `not_empty`.
    """

    field: str
    operator: Operator
    value: str | Ordinal | None = None

    @property
    def when_known(self) -> Condition | None:
        """What is left of a condition on a value without the value: `not empty`; None of `empty` and that itself."""
        return None if self.operator in ("empty", "not_empty") else Condition(self.field, "not_empty")

    def holds(self, column: pa.Array) -> Mask:
        """Return where the condition holds in its field's column of a feature table, shape (n,)."""
        missing: Mask = np.asarray(column.is_null())
        if self.operator == "empty":
            return missing
        if self.operator == "not_empty":
            return ~missing
        if self.operator in ("equals", "not_equals"):
            same = pc.equal(column, pa.scalar(self.value, column.type)).fill_null(self.operator == "not_equals")
            return np.asarray(same) ^ (self.operator == "not_equals")
        limit = 0 if self.value is None else self.value
        at_most: Mask = fill_ordinals(column) <= np.asarray(limit)
        return (at_most ^ (self.operator == "greater_than")) & ~missing


Group = tuple[Condition, ...]


def find_members(group: Group, columns: pa.RecordBatch | pa.Table) -> Mask:
    """Return which rows of a feature table a group has, shape (n,); one without conditions has them all."""
    members: Mask = np.ones(columns.num_rows, dtype=bool)
    for condition in group:
        column = columns[condition.field]
        members &= condition.holds(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return members


def write_rule(group: Group, types: Mapping[str, AttributeType], zone: str) -> Plain:
    """Return what stands behind `where` in a segment that has exactly the members of a group.

    Args:
        group: At least one condition.
        types: The type of each field, by its name.
        zone: The project's time zone.
    """
    conditions: list[Plain] = [{one.field: write_operators(one, types[one.field], zone)} for one in group]
    return conditions[0] if len(conditions) == 1 else {"all": conditions}


def write_operators(condition: Condition, type_: AttributeType, zone: str) -> dict[str, Plain]:
    """Return what stands behind the field of a condition in a rule."""
    if condition.operator in ("empty", "not_empty"):
        return {"empty": "true" if condition.operator == "empty" else "false"}
    literal = show_value(condition, type_, zone)
    if type_.family is Family.BOOLEAN:
        return {"is_true" if literal == "true" else "is_false": "true"}
    if condition.operator == "not_equals":
        return {"not": {"equals": literal}}
    if type_.family in (Family.DATE, Family.TIMESTAMP):
        return {"on_or_before" if condition.operator == "at_most" else "after": literal}
    return {condition.operator: literal}


def show_value(condition: Condition, type_: AttributeType, zone: str) -> str:
    """Return the literal of a condition's value; a day for a time that is the end of one."""
    if condition.value is None or isinstance(condition.value, str):
        return condition.value or ""
    if type_.family is Family.TIMESTAMP and (day := last_day(int(condition.value), zone)):
        return day.isoformat()
    return show_literal(condition.value, type_, zone)
