"""Groups by activity as rules: everybody has a row, counts between bounds, levels of aggregates."""

from __future__ import annotations

from segengine.models.activity import ActivityGroup, GroupLevel
from segengine.models.activity_rules import ActivityRows, write_activity_rules
from segengine.models.cards import describe_activity_group
from segengine.project.nodes import Plain
from segengine.project.types import AttributeType, Ordinal, parse_instant

ZONE = "Europe/Berlin"
INTEGER, MONEY, TIME = AttributeType("integer"), AttributeType("decimal", 38, 2), AttributeType("timestamp")
LAST_OF_MAY = parse_instant("2026-06-01 00:00", ZONE) - 1
PERIOD: Plain = {"at": {"on_or_after": "2026-01-01"}}
ROWS = ActivityRows(
    {"over": "purchases", "where": PERIOD}, "count", {"latest": ("max", "at"), "total": ("sum", "price")}
)
OF_PERIOD: dict[str, Plain] = {"over": "purchases", "where": PERIOD}


def level(field: str, type_: AttributeType, above: Ordinal | None = None, at_most: Ordinal | None = None) -> GroupLevel:
    return GroupLevel("any", field, type_, "Medium", above, at_most, None)


def write(*levels: GroupLevel) -> list[Plain] | None:
    return write_activity_rules(ActivityGroup(levels, 100, 0.1, 0.1, None), ROWS, ZONE)


def test_who_did_something_has_a_row_of_the_period() -> None:
    """The sum of nothing is 0: without it, those who did nothing would be among those who spent little."""
    assert write(level("total", MONEY, at_most=1050)) == [
        OF_PERIOD,
        {"intersect": {**OF_PERIOD, "sum": {"price": {"at_most": "10.5"}}}},
    ]


def test_counts_lie_between_two_bounds() -> None:
    assert write(level("count", INTEGER, at_most=2)) == [
        OF_PERIOD,
        {"intersect": {**OF_PERIOD, "rows": {"at_most": "2"}}},
    ]
    assert write(level("count", INTEGER, above=7)) == [{**OF_PERIOD, "rows": {"at_least": "8"}}]
    assert write(level("count", INTEGER, above=2, at_most=7)) == [
        {**OF_PERIOD, "rows": {"at_least": "3"}},
        {"intersect": {**OF_PERIOD, "rows": {"at_most": "7"}}},
    ]


def test_levels_of_aggregates_share_a_rule() -> None:
    found = write(
        level("latest", TIME, above=LAST_OF_MAY), level("total", MONEY, 1050, 2000), level("count", INTEGER, 1)
    )
    assert found == [
        {**OF_PERIOD, "rows": {"at_least": "2"}},
        {
            "intersect": {
                **OF_PERIOD,
                "max": {"at": {"after": "2026-05-31"}},
                "sum": {"price": {"greater_than": "10.5", "at_most": "20"}},
            }
        },
    ]


def test_what_is_not_known_is_empty() -> None:
    assert write(level("latest", TIME)) == [OF_PERIOD, {"intersect": {**OF_PERIOD, "max": {"at": {"empty": "true"}}}}]


def test_what_is_no_aggregate_has_no_rule() -> None:
    assert write(level("total", MONEY, 1050), level("duration", INTEGER, 30)) is None


def test_a_card_says_who_they_are() -> None:
    levels = (
        GroupLevel("recency", "latest", TIME, "High", LAST_OF_MAY, None, None),
        GroupLevel("frequency", "count", INTEGER, "Medium", 2, 7, 4.5),
        GroupLevel("monetary", "total", MONEY, "Unknown", None, None, None),
    )
    assert describe_activity_group(ActivityGroup(levels, 1_585, 0.12, 0.2, 0.081), "Purchases", ZONE) == (
        "Purchases: recency High (above 2026-05-31), frequency Medium (3 to 7), monetary Unknown (missing); "
        "1,585 members, 12 % of those with activity, 8.1 % of the money"
    )
    found = describe_activity_group(ActivityGroup(levels[1:2], 585, 0.12, 0.2, None), "Visits", ZONE)
    assert found.endswith("585 members, 12 % of those with activity, 20 % of the activity")
