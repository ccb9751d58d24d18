"""What models find in Complete Journey, held against SQL and plain Python: who is counted where, and how much it is.

What a model chooses (cells, cuts, groups, scores) is taken as found; that everybody who belongs there is counted,
nobody else, and every share and average is worked out anew from the rows of DuckDB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from workspace import Workspace, read_rows

from segengine.models.activity import ActivityGroup, ActivityGroups, DimensionLevels
from segengine.models.cells import Cell
from segengine.models.differentiators import Differentiators
from segengine.models.findings import Findings
from segengine.models.groups import Condition
from segengine.models.overlap import Overlap
from segengine.models.suggestions import Suggestions
from segengine.operations.insights import describe_insight
from segengine.operations.similar import describe_similarity
from segengine.operations.suggestions import describe_suggestions
from segengine.project.nodes import Plain, dump_documents
from segengine.project.types import AttributeType

AS_OF = datetime(2018, 2, 1, 4, 59, 59, 999_999, UTC)  # the end of January in New York
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = AttributeType("timestamp")
SHARE = AttributeType("decimal", 38, 8)  # the one decimal among the influences: a quotient of money, six digits more
TARGET = "What foretells the last quarter"
ACTIVITY = "How households shopped this quarter"
OVERLAPPING = {
    "Families with children": "families_with_children",
    "Bulk buyers": "bulk_buyers",
    "Organic shoppers": "organic_shoppers",
}
DEMOGRAPHICS = ("income", "age", "household_size", "kids_count", "home_ownership")
OF_MEASURES = {  # the measure, and the place of the value in the rows of its query
    "Trips.baskets": ("trips", 1),
    "Trips.basket_value": ("trips", 5),
    "Savings.share": ("savings", 5),
    "Private label share.share": ("private_label_share", 3),
    "Campaigns sent": ("campaigns_sent", 1),
    "Nine months.baskets": ("nine_months", 1),
    "Nine months.stores": ("nine_months", 2),
    "Nine months.private_share": ("nine_months", 6),
    "Nine months.coupons": ("nine_months", 7),
    "Last quarter": ("last_quarter", 1),
}
SHOPPED = """
    SELECT household_id, count(*) AS frequency, sum(sales_value) AS monetary, max(transaction_timestamp) AS recency
    FROM transactions
    WHERE CAST(transaction_timestamp AT TIME ZONE 'America/New_York' AS DATE)
          BETWEEN DATE '2018-01-31' - 91 AND DATE '2018-01-31'
    GROUP BY household_id
"""


@dataclass(frozen=True)
class Households:
    """All households: values by field and household, members by segment, what those who shopped in 91 days did."""

    values: Mapping[str, Mapping[str, Any]]
    segments: Mapping[str, Collection[str]]
    shopped: Mapping[str, Mapping[str, Any]]

    @property
    def ids(self) -> set[str]:
        return set(self.values["income"])

    def take(self, field: str, ids: Iterable[str]) -> list[Any]:
        """Return the values that some of them have, missing ones left out."""
        return [value for each in ids if (value := self.values[field][each]) is not None]


def read_households(
    data: Path, segments: Mapping[str, Collection[str]], measures: Mapping[str, list[tuple[Any, ...]]]
) -> Households:
    """Return what is known of the households; `segments`, `measures`: what the hand-written SQL finds."""
    with duckdb.connect() as database:
        for name in ("households", "transactions"):
            database.register(name, DeltaTable(str(data / name)).to_pyarrow_table())
        asked = database.sql(f"SELECT household_id, {', '.join(DEMOGRAPHICS)} FROM households").fetchall()
        shopped = database.sql(SHOPPED).to_arrow_table().to_pylist()
    values = {name: {row[0]: row[place] for row in asked} for place, name in enumerate(DEMOGRAPHICS, start=1)}
    values |= {name: {row[0]: row[place] for row in measures[own]} for name, (own, place) in OF_MEASURES.items()}
    return Households(values, segments, {row["household_id"]: row for row in shopped})


def check_models(workspace: Workspace, households: Households) -> None:
    """Hold all that models found in a refreshed project against what is known of the households."""
    check_overlap(workspace, households)
    check_differences(workspace, households)
    check_expansion(workspace, households)
    groups = [*check_suggestions(workspace, households), *check_activity(workspace, households)]
    if workspace.session.kind == "embedded":  # that a rule has the same members on every engine, other tests show
        check_saved(workspace, groups)


def ordinal(value: Any, type_: AttributeType) -> Any:
    """Return a value as limits and conditions have it: of a decimal its digits, of an instant its microseconds."""
    if isinstance(value, Decimal):
        digits = value.scaleb(type_.scale or 0)
        assert digits == int(digits)
        return int(digits)
    if isinstance(value, datetime):
        return (value - EPOCH) // (datetime.resolution)
    return value


def mean(values: Collection[Any]) -> float:
    """Return the average of numbers, or of instants as microseconds since 1970."""
    return float(sum(ordinal(each, TIME) if isinstance(each, datetime) else each for each in values) / len(values))


def is_between(value: Any, above: Any, at_most: Any) -> bool:
    return (above is None or value > above) and (at_most is None or value <= at_most)


def is_in(value: Any, cell: Cell, type_: AttributeType, shown: Collection[Any]) -> bool:
    """Return whether a value is in a cell; `shown`: the values that have a cell of their own."""
    if value is None or cell.kind == "missing":
        return value is None and cell.kind == "missing"
    if cell.kind in ("value", "others"):
        return value == cell.value if cell.kind == "value" else value not in shown
    return is_between(ordinal(value, type_), cell.above, cell.at_most)


def check_overlap(workspace: Workspace, households: Households) -> None:
    with workspace.opened() as project:
        found = describe_insight(project, "Families, bulk and organic").insight
    assert isinstance(found, Overlap)
    owners = {name: set(households.segments[own]) for name, own in OVERLAPPING.items()}
    union = set().union(*owners.values())
    inside = {each: tuple(name for name, own in owners.items() if each in own) for each in union}
    whole = Counter(inside.values())
    assert {one.segments: one.count for one in found.combinations if one.count} == whole
    assert {one.segments: one.share for one in found.combinations if one.count} == {
        names: count / len(union) for names, count in whole.items()
    }
    assert (found.union_count, found.shared_count) == (len(union), whole[tuple(OVERLAPPING)])
    assert {(one.segment, one.count, one.only_count) for one in found.segments} == {
        (name, len(own), whole[(name,)]) for name, own in owners.items()
    }
    assert {(one.segments, one.count) for one in found.pairs} == {
        (pair, len(owners[pair[0]] & owners[pair[1]])) for pair in (one.segments for one in found.pairs)
    }
    (income,) = found.fields
    shown = [value.cell.value for value in income.values if value.cell.kind == "value"]
    for value in income.values:
        own = Counter(
            names
            for each, names in inside.items()
            if is_in(households.values["income"][each], value.cell, income.type, shown)
        )
        assert (value.union_count, value.shared_count) == (own.total(), own[tuple(OVERLAPPING)])
        assert value.counts == tuple(own[one.segments] for one in found.combinations)
    assert sum(value.union_count for value in income.values) == len(union)


def check_differences(workspace: Workspace, households: Households) -> None:
    with workspace.opened() as project:
        found = describe_insight(project, "Coupon users against all others").insight
    assert isinstance(found, Differentiators)
    users = set(households.segments["coupon_users"])
    sides = (users, households.ids - users)
    assert (found.sides.of_count, found.sides.against_count) == tuple(map(len, sides))
    assert len(found.differences) == 8
    for one in found.differences:
        values = households.values[one.field]
        shown = [cell.cell.value for cell in one.cells if cell.cell.kind == "value"]
        for cell in one.cells:
            counts = [sum(is_in(values[each], cell.cell, one.type, shown) for each in side) for side in sides]
            assert [cell.of_count, cell.against_count] == counts, (one.field, cell)
            assert [cell.of_share, cell.against_share] == [
                count / len(side) for count, side in zip(counts, sides, strict=True)
            ]
        assert sum(cell.of_count + cell.against_count for cell in one.cells) == len(values)
        if one.of_average is not None:
            averages = [mean(households.take(one.field, side)) for side in sides]
            assert [one.of_average, one.against_average] == pytest.approx(averages)


def check_expansion(workspace: Workspace, households: Households) -> None:
    published = workspace.published()
    users = set(households.segments["coupon_users"])
    ids = {key: profile_id for profile_id, key in published.keys["household"].items()}
    rows = [row for row in read_rows(workspace.warehouse / "similarity_scores") if row["id"] == "like_coupon_users"]
    scores = {ids[row["profile_key"]]: row["score"] for row in rows if row["profile_key"] is not None}
    assert not users & set(scores)
    assert sum(row["candidate_count"] for row in rows) == len(households.ids - users)
    assert {row["candidate_count"] for row in rows if row["profile_key"] is not None} == {1}
    best = sorted((-score, each) for each, score in scores.items() if score >= 0.55)
    (members,) = published.members("household", ["like_coupon_users"]).values()
    assert members == sorted(each for _, each in best[: len(households.ids) // 10])
    assert len(members) > 100
    with workspace.opened() as project:
        report = describe_similarity(project, "Like coupon users").report
    names = {"very similar": 0.85, "similar": 0.7, "somewhat similar": 0.55, "not similar": 0.0}
    counts: Counter[str] = Counter()
    for row in rows:
        counts[next(name for name, least in names.items() if row["score"] >= least)] += row["candidate_count"]
    assert {band["band"]: band["candidates"] for band in report["candidate_bands"]} == {n: counts[n] for n in names}


def holds(condition: Condition, value: Any, type_: AttributeType) -> bool:
    """Return whether a condition of a suggestion holds for a value: for a missing one only `empty` does."""
    if value is None or condition.operator in ("empty", "not_empty"):
        return (value is None) == (condition.operator == "empty")
    own = ordinal(value, type_)
    judged: dict[str, Callable[[], bool]] = {
        "equals": lambda: own == condition.value,
        "not_equals": lambda: own != condition.value,
        "at_most": lambda: own <= condition.value,
        "greater_than": lambda: own > condition.value,
    }
    return judged[condition.operator]()


@dataclass(frozen=True)
class Group:
    """A group that a model found: who is in it by hand, and the rule that it is saved as."""

    members: set[str]
    rule: Mapping[str, Plain]


def find_suggestions(workspace: Workspace, name: str) -> Findings:
    with workspace.opened() as project:
        return describe_suggestions(project, name).findings


def check_suggestions(workspace: Workspace, households: Households) -> list[Group]:
    findings = find_suggestions(workspace, TARGET)
    found, spent = findings.result, households.values["Last quarter"]
    assert isinstance(found, Suggestions)
    assert (found.customer_count, found.known_count) == (len(spent), len(spent))
    assert len(found.suggestions) > 1
    groups = []
    for one, proposal in zip(found.suggestions, findings.proposals, strict=True):
        members = {
            each
            for each in households.ids
            if all(holds(part, households.values[part.field][each], SHARE) for part in one.group)
        }
        assert (one.member_count, one.known_count, proposal.member_count) == (len(members),) * 3, proposal.card
        assert one.member_share == len(members) / len(spent)
        assert one.average == pytest.approx(mean([spent[each] for each in members]))
        assert one.average_of_all == pytest.approx(mean([*spent.values()]))
        assert (one.effect > 0) == (one.average > one.average_of_all)
        assert proposal.rule is not None
        groups.append(Group(members, proposal.rule))
    return groups


def check_activity(workspace: Workspace, households: Households) -> list[Group]:
    findings = find_suggestions(workspace, ACTIVITY)
    found, shopped = findings.result, households.shopped
    assert isinstance(found, ActivityGroups)
    assert (found.active_count, found.inactive_count) == (len(shopped), len(households.ids) - len(shopped))
    assert {one.dimension for one in found.dimensions} == {"recency", "frequency", "monetary"}
    for dimension in found.dimensions:
        check_levels(dimension, shopped)
    assert found.other_count == len(shopped) - sum(one.member_count for one in found.groups)
    assert len(found.groups) > 5
    groups = []
    for one, proposal in zip(found.groups, findings.proposals, strict=True):
        assert proposal.rule is not None
        groups.append(Group(check_group(one, shopped), proposal.rule))
    return groups


def check_levels(found: DimensionLevels, shopped: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold the shares of levels against counts, and that no level of what hardly repeats is far from a third."""
    values = [ordinal(row[found.dimension], found.type) for row in shopped.values()]
    ends = (None, *found.cuts, None)
    counts = [sum(is_between(each, *bounds) for each in values) for bounds in zip(ends, ends[1:], strict=False)]
    assert [share for _, share in found.shares] == [count / len(values) for count in counts]
    if found.dimension == "monetary":
        assert all(0.3 <= share <= 0.37 for _, share in found.shares)


def check_group(found: ActivityGroup, shopped: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Hold a group's figures against those of its members, who are returned."""
    members = {
        each
        for each, row in shopped.items()
        if all(is_between(ordinal(row[one.dimension], one.type), one.above, one.at_most) for one in found.levels)
    }
    assert found.member_count == len(members)
    assert found.share == pytest.approx(len(members) / len(shopped))
    for dimension, share in (("frequency", found.activity_share), ("monetary", found.amount_share)):
        whole = sum(row[dimension] for row in shopped.values())
        assert share == pytest.approx(float(sum(shopped[each][dimension] for each in members) / whole))
    averages = [mean([shopped[each][one.dimension] for each in members]) for one in found.levels]
    assert [one.average for one in found.levels] == pytest.approx(averages)
    return members


def check_saved(workspace: Workspace, groups: Iterable[Group]) -> None:
    """Hold the members of segments made of groups against those that the groups were found to have."""
    expected = {f"saved_{number}": group for number, group in enumerate(groups)}
    documents: list[Plain] = [{"kind": "segment", "name": name, **group.rule} for name, group in expected.items()]
    workspace.define(dump_documents(documents), "saved.yml")
    workspace.apply()
    workspace.refresh(*expected, as_of=AS_OF)
    members = workspace.published().members("household", expected)
    assert {name: set(own) for name, own in members.items()} == {name: own.members for name, own in expected.items()}
