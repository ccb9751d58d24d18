"""Templates written out: the values they become, and which rows count."""

from __future__ import annotations

from pathlib import Path

import pytest

from segengine.project.attributes import Aggregate
from segengine.project.measure import Measure
from segengine.project.model import Condition
from segengine.project.templates import TEMPLATES
from segengine.project.values import Relative
from segengine.project.walk import measure_leaves, order_values
from tests.unit.measured import catalogue_of, measure_of

CONTOSO = Path(__file__).parents[2] / "conf" / "contoso"
ACTIVITIES = {"membership_duration": "membership", **{name: "loyalty" for name in TEMPLATES if "loyalty" in name}}


def template(name: str, more: str = "") -> Measure:
    activity = ACTIVITIES.get(name, "purchase")
    return measure_of(f"per: customer\ntemplate: {name}\nactivity: {activity}\n{more}", CONTOSO)


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_is_one_value_called_like_the_measure(name: str) -> None:
    for more in ("", "period: {within_last: 12 months}", "where: {customer.state: Texas}", "period: {to_date: year}"):
        measure = template(name, more)
        (value,) = measure.shown_values
        assert (value.name, measure.column(value), measure.is_attribute) == ("M", "M", True)
        assert order_values(measure)[-1] == value
        assert all(helper.name.startswith("@") for helper in measure.values if helper.is_helper)


def test_they_are_twelve() -> None:
    assert len(TEMPLATES) == 12


@pytest.mark.parametrize(
    ("name", "type_", "functions"),
    [
        ("average_transaction_value", "decimal(38,8)", {"M": "average"}),
        ("total_transaction_value", "decimal(38,2)", {"M": "sum"}),
        ("average_daily_revenue", "decimal(38,8)", {"@total": "sum", "@first": "min"}),
        ("transaction_count", "integer", {"M": "count"}),
        ("loyalty_points_balance", "decimal(38,0)", {"@earned": "sum", "@redeemed": "sum"}),
        ("active_lifespan", "integer", {"@last": "max", "@first": "min"}),
        ("membership_duration", "decimal(38,0)", {"@ended": "sum", "@going_on": "sum"}),
        ("time_since_last_purchase", "integer", {"@last": "max"}),
    ],
)
def test_what_they_are_made_of(name: str, type_: str, functions: dict[str, str]) -> None:
    measure = template(name)
    assert str(measure.shown_values[0].type) == type_
    found = {v.name: str(v.source.function) for v in measure.values if isinstance(v.source, Aggregate)}
    assert found == functions


def test_a_period_is_a_condition_on_the_time_of_the_activity() -> None:
    measure = template("transaction_count", "period: {within_last: 12 months}\nwhere: {channel: web}")
    leaves = [leaf for leaf in measure_leaves(measure) if isinstance(leaf, Condition)]
    assert [leaf.attribute.name for leaf in leaves] == ["channel", "purchased_at"]
    assert leaves[1].test == Relative("within_last", 12, "month", False)
    member = template("membership_duration", "period: {after: 2020-01-01}")
    assert {leaf.attribute.name for leaf in measure_leaves(member) if isinstance(leaf, Condition)} == {
        "joined_on",
        "left_on",
    }


def test_what_counts_to_now_takes_no_later_rows() -> None:
    later = "not purchased_at within_next 1000 years"
    texts = [leaf.text for leaf in measure_leaves(template("time_since_last_purchase")) if isinstance(leaf, Condition)]
    assert texts == [later.removeprefix("not ")], "under `not`"
    assert not list(measure_leaves(template("total_transaction_value")))


def test_dimensions_and_the_business_take_templates_too() -> None:
    text = "kind: measure\nname: M\nper: [store.city]\ntemplate: average_transaction_value\nactivity: purchase\n"
    measure = catalogue_of(text, CONTOSO).measures["m"]
    assert ([d.name for d in measure.dimensions], measure.per_profile) == (["store_city"], False)
