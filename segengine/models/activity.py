"""Groups of customers by their activity: High, Medium and Low in recency, frequency, and money or duration.

Two passes over the customers: one counts the stretches that cuts are chosen from, one the groups that the cuts make.
What is between needs counts and a sample alone, and a group is a rule on the dimensions' values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.errors import ConfigError
from segengine.models.cells import FieldCells, FieldCounts
from segengine.models.fields import Bins, Field, fill_ordinals
from segengine.models.levels import Dimension, Level, Levels, choose_candidates, choose_cuts, rank_correlation
from segengine.models.sums import average
from segengine.project.types import AttributeType, Ordinal

LEAST_SHARE, LEAST_MEMBERS, MOST_GROUPS = 0.02, 50, 12
ALIKE = 0.8  # a rank correlation from which on two dimensions say the same
INACTIVE = 1  # the group of customers without activity

_WHOLE = Bins(())


@dataclass(frozen=True)
class Activity:
    """The columns of a feature table that say what customers did in a period.

    `count`: how many activities; nothing or 0 is no activity. `amount`: what they were worth, where that is known.
    """

    dimensions: tuple[Dimension, ...]
    count: Field
    amount: Field | None = None

    def find_active(self, features: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Return 1 for each profile with activity and 0 for the others, shape (n,)."""
        return (fill_ordinals(features.column(self.count.name)) > 0).astype(np.int64)

    def choose_candidates(self, sample: pa.Table) -> tuple[FieldCells, ...]:
        """Return the cells of each dimension that are to be counted for those with activity.

        Args:
            sample: Rows of the feature table, drawn from all or from those with activity, if these are few.
        """
        active = self.take_active(sample)
        return tuple(choose_candidates(active.column(one.field.name), one.field) for one in self.dimensions)

    def take_active(self, sample: pa.Table) -> pa.Table:
        """Return the rows of a table with activity."""
        return sample.filter(pc.greater(sample.column(self.count.name), 0))


@dataclass(frozen=True)
class Grouping:
    """How customers are grouped: by the dimensions that part them."""

    activity: Activity
    levels: tuple[Levels, ...]
    warnings: tuple[str, ...]

    @property
    def group_count(self) -> int:
        """How many groups there can be: that of no activity, and each combination of levels."""
        return INACTIVE + len(list(self.codes()))

    @property
    def summed(self) -> tuple[FieldCells, ...]:
        """What is counted of each group: the number of activities first, the amount, then the dimensions."""
        own = self.activity
        fields = [own.count, *([own.amount] if own.amount else []), *(one.dimension.field for one in self.levels)]
        return tuple(FieldCells(field, _WHOLE) for field in fields)

    def codes(self) -> product[tuple[int, ...]]:
        """Return the level codes of the groups of those with activity, in the order of groups."""
        return product(*(range(len(one.names)) for one in self.levels))

    def assign(self, features: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Return the group of each profile, shape (n,): `INACTIVE`, or a number beyond it."""
        groups = np.zeros(features.num_rows, dtype=np.int64)
        for one in self.levels:
            groups = groups * len(one.names) + one.coding.encode(features.column(one.dimension.field.name))
        return np.where(self.activity.find_active(features) > 0, groups + INACTIVE + 1, INACTIVE)


def check_dimensions(dimensions: Sequence[Dimension]) -> None:
    """Refuse dimensions that cannot make groups.

    Raises:
        ConfigError: There is none, one stands twice, or one has no order.
    """
    if not dimensions:
        raise ConfigError("Groups by activity need a dimension.", "Name recency, frequency, monetary or duration.")
    names = [one.name for one in dimensions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f'The dimension "{twice[0]}" stands twice.', "Name each dimension once.")
    for one in dimensions:
        if not one.field.is_ordered:
            what = f'{one.name} is {one.field.type} ("{one.field.name}")'
            raise ConfigError(f"The dimension {what}, expected a number, a date or a time.")


def cut_levels(activity: Activity, counts: Sequence[FieldCounts], sample: pa.Table) -> Grouping:
    """Return the grouping by the levels of each dimension.

    Args:
        activity: What customers did.
        counts: Of each dimension, the counts of its candidates over all customers with activity, as one group.
        sample: Rows of the feature table, for what dimensions have in common.
    """
    levels, warnings = [], []
    for dimension, one in zip(activity.dimensions, counts, strict=True):
        present = one.rows[0, :-1]
        cuts = choose_cuts(one.cells.limits, present) if present.any() else ()
        if cuts:
            levels.append(Levels(dimension, cuts))
        elif one.rows.any():
            why = "everybody looked at has the same value" if present.any() else "nobody with activity has a value"
            warnings.append(f"{dimension.name.capitalize()} is left out: {why}.")
    if not any(one.rows.any() for one in counts):
        warnings.append("Nobody has any activity in the period.")
    warnings += _find_alike([one.dimension for one in levels], activity.take_active(sample))
    return Grouping(activity, tuple(levels), tuple(warnings))


def _find_alike(dimensions: Sequence[Dimension], active: pa.Table) -> list[str]:
    warnings = []
    for one, other in combinations(dimensions, 2):
        columns = active.select([one.field.name, other.field.name]).drop_null()
        ranked = rank_correlation(*(np.asarray(column) for column in columns.columns)) if columns.num_rows else 0.0
        if abs(ranked) >= ALIKE:
            spare = one if other.name == "monetary" else other
            both = f"{one.name.capitalize()} and {other.name} rank customers alike (correlation {abs(ranked):.2f})"
            warnings.append(f"{both}: {spare.name} adds little, think of leaving it out.")
    return warnings


@dataclass(frozen=True)
class GroupLevel:
    """A group's level in a dimension, the values in `(above, at_most]` (None: open; both: missing), their average."""

    dimension: str
    field: str
    type: AttributeType
    level: Level
    above: Ordinal | None
    at_most: Ordinal | None
    average: float | None


@dataclass(frozen=True)
class ActivityGroup:
    """Customers with activity and the same levels: `share` of those with activity, and of what all these did.

    As a rule: the count of activities is above 0, and each level's value within its bounds.
    """

    levels: tuple[GroupLevel, ...]
    member_count: int
    share: float
    activity_share: float
    amount_share: float | None


@dataclass(frozen=True)
class DimensionLevels:
    """The levels of a dimension over all customers with activity, by ascending values, with their shares of these."""

    dimension: str
    field: str
    type: AttributeType
    is_reversed: bool
    cuts: tuple[Ordinal, ...]
    shares: tuple[tuple[Level, float], ...]


@dataclass(frozen=True)
class ActivityGroups:
    """The groups, those with the largest share of money (or else activity) first.

    `other_count`: customers with activity in groups too small to list, or beyond the 12 listed; `inactive_count`:
    customers whose `count_field` is 0 or missing.
    """

    dimensions: tuple[DimensionLevels, ...]
    groups: tuple[ActivityGroup, ...]
    count_field: str
    active_count: int
    inactive_count: int
    other_count: int
    ranked_by: Literal["amount", "activity"]
    warnings: tuple[str, ...]


def describe_groups(grouping: Grouping, counts: Sequence[FieldCounts]) -> ActivityGroups:
    """Return the groups of customers.

    Args:
        grouping: How they are grouped.
        counts: The counts of `grouping.summed` over all customers by group.
    """
    sizes = counts[0].rows.sum(axis=1).tolist()
    active_count = sum(sizes[INACTIVE:])
    has_amount, warnings = grouping.activity.amount is not None, list(grouping.warnings)
    if has_amount and active_count and sum(counts[1].totals) <= 0:
        has_amount = False
        warnings.append("The amounts do not add up to more than 0: groups are ranked by activity.")
    found = [
        _describe_group(grouping, counts, place, codes, has_amount)
        for place, codes in enumerate(grouping.codes(), start=INACTIVE)
        if sizes[place] and grouping.levels
    ]
    large = [one for one in found if one.member_count >= LEAST_MEMBERS and one.share >= LEAST_SHARE]
    large.sort(key=lambda one: -(one.activity_share if one.amount_share is None else one.amount_share))
    groups = tuple(large[:MOST_GROUPS])
    if grouping.levels and active_count and not groups:
        few = f"No group has {LEAST_MEMBERS} members and {LEAST_SHARE * 100:.0f} % of those with activity"
        warnings.append(f"{few}: choose fewer dimensions.")
    return ActivityGroups(
        dimensions=tuple(_describe_levels(grouping, place, sizes) for place in range(len(grouping.levels))),
        groups=groups,
        count_field=grouping.activity.count.name,
        active_count=active_count,
        inactive_count=sizes[INACTIVE - 1],
        other_count=active_count - sum(one.member_count for one in groups),
        ranked_by="amount" if has_amount else "activity",
        warnings=tuple(warnings),
    )


def _describe_group(
    grouping: Grouping, counts: Sequence[FieldCounts], place: int, codes: tuple[int, ...], has_amount: bool
) -> ActivityGroup:
    size, active_count = int(counts[0].rows[place].sum()), int(counts[0].rows[INACTIVE:].sum())
    levels = []
    for one, code, own in zip(grouping.levels, codes, counts[-len(codes) :], strict=True):
        field, mean = one.dimension.field, average(own.totals[place], int(own.rows[place, 0]), own.cells.field.type)
        levels.append(GroupLevel(one.dimension.name, field.name, field.type, one.names[code], *one.bounds(code), mean))
    return ActivityGroup(
        levels=tuple(levels),
        member_count=size,
        share=size / active_count,
        activity_share=counts[0].totals[place] / sum(counts[0].totals),
        amount_share=counts[1].totals[place] / sum(counts[1].totals) if has_amount else None,
    )


def _describe_levels(grouping: Grouping, place: int, sizes: Sequence[int]) -> DimensionLevels:
    one = grouping.levels[place]
    members = [0] * len(one.names)
    for codes, size in zip(grouping.codes(), sizes[INACTIVE:], strict=True):
        members[codes[place]] += size
    total = sum(members) or 1
    shares = [(name, count / total) for name, count in zip(one.names, members, strict=True)]
    known = shares[:-1] if not members[-1] else shares
    field, name = one.dimension.field, one.dimension.name
    return DimensionLevels(name, field.name, field.type, one.dimension.is_reversed, one.cuts, tuple(known))
