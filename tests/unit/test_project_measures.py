"""Measures as they are read: rows, dimensions, values, and how they are called in conditions."""

from __future__ import annotations

import pytest

from segengine.project.attributes import Aggregate, Attribute
from segengine.project.catalogue import Catalogue, resolve_version
from segengine.project.find import find_measure
from segengine.project.model import Condition, InSegment, ProfileRule, RowsRule
from segengine.project.profile_parts import split_alternatives, split_common
from segengine.project.settings import load_settings
from segengine.project.walk import (
    definition_parents,
    measure_attributes,
    measure_leaves,
    order_values,
    segment_rules,
    tables_read,
)
from tests.unit.measured import SHOP, TRADE, catalogue_of, errors_of, measure_of, read_catalogue

SPEND = "---\nkind: measure\nname: Spend\nper: customer\nover: purchases\nvalue: {sum: amount}\n"
MONTHS = """---
kind: measure
name: Months
per: [customer, {month: purchased_at}]
over: purchases
value: {sum: amount}
"""


def value_types(fields: str) -> dict[str, str]:
    return {value.name: str(value.type) for value in measure_of(fields).values}


def test_types_of_values() -> None:
    fields = """
per: customer
over: purchases
values:
  rows: {count: rows}
  there: {count: channel}
  unique: {count_unique: channel}
  sum: {sum: amount}
  average: {average: amount}
  weight: {sum: product.weight}
  least: {min: product.weight}
  day: {max: delivered_on}
  first: {first: channel, by: purchased_at}
  dearest: {arg_max: product.category, by: amount}
  product: {max: "amount * 2.5"}
  days: {average: "delivered_on - purchased_at"}
  ratio: {expression: sum / rows}
"""
    assert value_types(fields) == {
        "rows": "integer",
        "there": "integer",
        "unique": "integer",
        "sum": "decimal(38,2)",
        "average": "decimal(38,8)",
        "weight": "decimal(38,9)",
        "least": "float",
        "day": "date",
        "first": "text",
        "dearest": "text",
        "product": "decimal(38,3)",
        "days": "decimal(38,6)",
        "ratio": "decimal(38,8)",
    }


def test_a_pick_knows_what_tells_rows_apart() -> None:
    measure = measure_of("per: customer\nover: purchases\nvalue: {last: channel, by: purchased_at}")
    source = measure.values[0].source
    assert isinstance(source, Aggregate)
    assert source.by is not None
    assert (source.by.name, [attribute.name for attribute in source.key]) == ("purchased_at", ["purchase_id"])
    groups = measure_of("per: customer\nover: Months\nvalue: {last: Months, by: month}", others=MONTHS)
    source = groups.values[0].source
    assert isinstance(source, Aggregate)
    assert [attribute.name for attribute in source.key] == ["month"]
    business = measure_of("per: business\nover: Months\nvalue: {last: Months, by: month}", others=MONTHS)
    source = business.values[0].source
    assert isinstance(source, Aggregate)
    assert [attribute.name for attribute in source.key] == ["month"]


def test_dimensions_are_called_by_their_attribute_or_their_period() -> None:
    measure = measure_of(
        """
per:
  - customer
  - store.city
  - {month: purchased_at}
  - {month_of: purchased_at}
  - {day: purchased_at}
  - {day: delivered_on}
  - {week: delivered_on, as: delivered}
over: purchases
value: {count: rows}
"""
    )
    assert [(d.name, str(d.type), d.period) for d in measure.dimensions] == [
        ("store_city", "text", None),
        ("month", "date", "month"),
        ("month_of", "integer", None),
        ("day_purchased_at", "date", "day"),
        ("day_delivered_on", "date", "day"),
        ("delivered", "date", "week"),
    ]
    assert measure.dimensions[2].attribute.part is not None
    assert measure.dimensions[2].attribute.part.zone == "Europe/Berlin"


def test_the_only_audience_is_also_called_customer() -> None:
    assert measure_of("per: customer\nvalue: {expression: '1'}").audience == "customer"
    trade = measure_of("per: account\nover: orders\nvalue: {sum: amount}", TRADE)
    assert (trade.audience, trade.per_profile, trade.is_attribute) == ("account", True, True)
    assert errors_of("per: customer\nover: orders\nvalue: {sum: amount}", TRADE)


def test_a_business_measure_takes_every_row_unless_it_asks_about_the_profile() -> None:
    measure = measure_of("per: business\nover: purchases\nwhere: {customer.state: Texas}\nvalue: {sum: amount}")
    assert measure.path is not None
    assert (measure.path.hops, measure.per_profile) == ((), False)
    asking = "per: [channel]\nover: purchases\nwhere: {Spend: {at_least: 3}}\nvalue: {sum: amount}"
    asked = measure_of(asking, others=SPEND)
    assert asked.path is not None
    assert [hop.name for hop in asked.path.hops] == ["customer"]
    of_value = "per: business\nover: purchases\nvalue: {count: rows, where: {Spend: {at_least: 3}}}"
    assert measure_of(of_value, others=SPEND).path == asked.path
    profiles = measure_of("per: [state]\nover: customers\nwhere: {Spend: 3}\nvalue: {count: rows}", others=SPEND)
    assert profiles.path is not None
    assert profiles.path.hops == ()
    assert split_common(profiles.where, profiles.path).rows is None


def test_rows_that_belong_to_nobody_cannot_be_asked_about() -> None:
    found = errors_of("per: business\nover: suppliers\nwhere: {Spend: 3}\nvalue: {count: rows}", others=SPEND)
    assert 'a row of "suppliers" is of no profile' in found[0]
    others = "---\nkind: segment\nname: S\nwhere: everyone\n"
    found = errors_of("per: business\nover: reviews\nwhere: {in_segment: S}\nvalue: {count: rows}", others=others)
    assert "2 paths lead" in found[0]
    contacts = "---\nkind: segment\nname: S\naudience: contact\nwhere: everyone\n"
    fields = "per: business\nover: tickets\nwhere: {in_segment: S}\nvalue: {count: rows}"
    assert "Name the `audience`" in errors_of(fields, TRADE, contacts)[0]


def test_names_in_expressions() -> None:
    fields = """
per: customer
over: purchases
values:
  amount: {sum: amount}
  income: {expression: "amount + visits + Spend + churn.score"}
"""
    measure = measure_of(fields, others=SPEND)
    assert [value.name for value in order_values(measure)] == ["amount", "income"]
    circle = errors_of("per: customer\nvalues: {income: {expression: 'income + 1'}}")
    assert "circle" in circle[0]


def test_values_are_ordered_by_what_they_are_made_of() -> None:
    fields = "per: customer\nvalues: {a: {expression: b + c}, b: {expression: c + 1}, c: {expression: '1'}}"
    assert [value.name for value in order_values(measure_of(fields))] == ["c", "b", "a"]


def condition(catalogue: Catalogue, rule: int = 0) -> Condition:
    (segment,) = catalogue.segments.values()
    found = list(segment_rules(segment.steps))[rule]
    where = found.where
    assert isinstance(where, Condition)
    return where


def test_a_measure_is_an_attribute_of_the_profile() -> None:
    several = "kind: measure\nname: Two\nper: customer\nover: purchases\nvalues: {a: {sum: amount}, b: {count: rows}}\n"
    catalogue = catalogue_of(f"{several}---\nkind: segment\nname: S\nwhere: {{Two.b: {{at_least: 3}}}}\n{SPEND}")
    attribute = condition(catalogue).attribute
    assert (attribute.base, attribute.hops, attribute.column, attribute.measure) == ("customers", (), "Two.b", "two")
    assert str(attribute.type) == "integer"
    assert catalogue.parents("s") == ("two",)
    assert catalogue.order.index("two") < catalogue.order.index("s")


@pytest.mark.parametrize("name", ["Spend", "customer.Spend", "'@spend'", "customer.@spend"])
def test_from_rows_it_is_seen_at_the_end_of_the_path(name: str) -> None:
    rule = f"rules: [{{over: purchases, where: {{{name}: {{at_least: 3}}}}}}]"
    catalogue = catalogue_of(f"kind: segment\nname: S\n{rule}\n{SPEND}")
    (segment,) = catalogue.segments.values()
    (found,) = segment_rules(segment.steps)
    assert isinstance(found, RowsRule)
    attribute = condition(catalogue).attribute
    assert (attribute.base, attribute.name, attribute.measure) == ("purchases", "customer.Spend", "spend")
    taken = split_common(found.where, found.path).profile[0]
    assert isinstance(taken, Condition)
    assert (taken.attribute.base, taken.attribute.hops, taken.attribute.measure) == ("customers", (), "spend")
    alternatives = split_alternatives(found.where, found.path)
    assert alternatives is not None
    assert [alternative.rows for alternative in alternatives] == [None]


def test_contacts_see_the_measures_of_their_account() -> None:
    text = """
kind: measure
name: Revenue
per: account
over: orders
value: {sum: amount}
---
kind: segment
name: S
audience: contact
where: {company.Revenue: {at_least: 1000}}
"""
    catalogue = catalogue_of(text, TRADE)
    attribute = condition(catalogue).attribute
    assert [hop.name for hop in attribute.hops] == ["company"]
    assert (attribute.base, attribute.column, attribute.measure) == ("contacts", "Revenue", "revenue")
    _, errors = read_catalogue(text.replace("company.Revenue", "Revenue"), TRADE)
    assert "Of its account it is `company.Revenue`" in errors[0]
    _, errors = read_catalogue(text.replace("per: account", "per: contact"), TRADE)
    assert "Make it `per: account`" in errors[0]
    rule = text.replace("where: {company.Revenue", "rules: [{over: orders, where: {Revenue") + "]"
    segment = catalogue_of(rule.replace("}}\n]", "}}}]"), TRADE).segments["s"]
    (found,) = segment_rules(segment.steps)
    assert isinstance(found.where, Condition)
    assert found.where.attribute.measure == "revenue"


OF_ACCOUNTS = """---
kind: measure
name: Revenue
per: account
over: orders
values: {total: {sum: amount}, orders: {count: rows}}
---
{kind: measure, name: Account text, per: account, value: {expression: account_id}}
---
{kind: measure, name: Orders by amount, per: [account, amount], over: orders, value: {count: rows}}
"""


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("company.Revenue.total / company.Revenue.orders", "decimal(38,6)"),
        ("tickets - company.@revenue.total", "decimal(38,0)"),
        ("company.`Account text`", "text"),
        ("company.employees + company.Revenue.orders", "decimal(38,0)"),
    ],
)
def test_expressions_of_contacts_name_measures_of_the_account(expression: str, type_: str) -> None:
    fields = "per: contact\nover: tickets\nvia: contact\n"
    fields += f"values: {{tickets: {{count: rows}}, made: {{expression: '{expression}'}}}}"
    measure = measure_of(fields, TRADE, OF_ACCOUNTS)
    assert str(measure.values[1].type) == type_
    named = {attribute.measure for attribute in measure_attributes(measure)} - {""}
    assert set(definition_parents(measure)) == named != set()
    assert tables_read(measure, load_settings(TRADE)) == {"contacts", "accounts", "tickets"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("per: contact\nvalue: {expression: company.Revenue}", "has several values. Name one: Revenue.total"),
        ("per: contact\nvalue: {expression: company.Revenue.totl}", 'Did you mean "total"?'),
        ("per: contact\nvalue: {expression: company.Revenues}", '"company.Revenues"'),
        ("per: contact\nvalue: {expression: Revenue.total}", "Of its account it is `company.Revenue`"),
        ("per: contact\nvalue: {expression: company.`Orders by amount`}", "has more than one"),
        ("per: contact\nvalue: {expression: company.`Account text` * 2}", '"*" does not fit company.`Account text`'),
        ("per: contact\nvalue: {expression: company.Revenue.total, if_missing: much}", "if_missing is 'much'"),
        ("per: account\nvalue: {expression: company.Revenue.total}", '"company.Revenue.total"'),
        (
            "per: [contact, contact.role]\nover: tickets\nvia: contact\nvalue: {expression: company.Revenue.total}",
            "no value of",
        ),
        ("per: contact\nover: tickets\nvia: contact\nvalue: {sum: contact.company.Revenue.total}", "is a measure"),
    ],
)
def test_what_expressions_of_contacts_cannot_name(fields: str, message: str) -> None:
    found = errors_of(fields, TRADE, OF_ACCOUNTS)
    assert len(found) == 1, found
    assert message in found[0]


def test_the_groups_of_a_measure_are_rows() -> None:
    fields = """
per: customer
over: Months
where:
  all:
    - Months: {at_least: 5}
    - month: {within_last: 1 year}
    - Spend: {at_least: 10}
    - customer.state: Texas
    - in_segment: S
value: {average: Months}
"""
    segment = "---\nkind: segment\nname: S\nwhere: everyone\n"
    measure = measure_of(fields, others=MONTHS + SPEND + segment)
    assert (measure.path, measure.over, measure.audience) == (None, "months", "customer")
    attributes = [leaf.attribute for leaf in measure_leaves(measure) if isinstance(leaf, Condition)]
    assert [(a.base, a.column, a.measure) for a in attributes] == [
        ("months", "Months", "months"),
        ("months", "month", "months"),
        ("customers", "Spend", "spend"),
        ("customers", "state", ""),
    ]
    split = split_common(measure.where, None)
    assert [isinstance(item, InSegment) for item in split.profile] == [False, False, True]
    source = measure.values[0].source
    assert isinstance(source, Aggregate)
    assert isinstance(source.of, Attribute)
    assert (source.of.base, str(measure.values[0].type)) == ("months", "decimal(38,8)")


def test_a_name_of_rows_and_of_a_measure_is_refused_where_both_could_be_meant() -> None:
    other = "---\nkind: measure\nname: amount\nper: customer\nover: purchases\nvalue: {sum: amount}\n"
    rule = "kind: segment\nname: S\nrules: [{over: purchases, where: {amount: 3}}]\n"
    _, errors = read_catalogue(rule + other)
    assert len(errors) == 1
    assert "means two things" in errors[0]
    assert read_catalogue("kind: segment\nname: S\nwhere: {amount: 3}\n" + other)[1] == []


def test_an_earlier_version_is_read_beside_the_others() -> None:
    catalogue = catalogue_of("kind: measure\nname: M\nper: customer\nvalue: {expression: Spend * 2}\n" + SPEND)
    definition, others = catalogue.definitions["m"], list(catalogue.definitions.values())
    assert resolve_version(definition, others, catalogue.settings, catalogue.schema) == catalogue.measures["m"]
    assert find_measure(catalogue, "M") == find_measure(catalogue, "m") == catalogue.measures["m"]


def data_hash(fields: str, name: str = "M", others: str = SPEND) -> str:
    return catalogue_of(f"kind: measure\nname: {name}\nid: m\n{fields}\n{others}").hashes["m"].data


def test_names_change_no_data_hash_and_all_else_does() -> None:
    fields = "per: customer\nover: purchases\nwhere: {all: [{channel: web}, {Spend: 3}]}\nvalue: {sum: amount}"
    one = data_hash(fields)
    assert one == data_hash(fields, "Other name")
    assert one == data_hash(fields.replace("[{channel: web}, {Spend: 3}]", "[{'@spend': 3}, {channel: [web]}]"))
    renamed = SPEND.replace("name: Spend", "name: Total\nid: spend")
    assert one == data_hash(fields.replace("Spend", "Total"), others=renamed)
    for old, new in (
        ("web", "store"),
        ("sum: amount", "average: amount"),
        ("{sum: amount}", "{sum: amount, where: {channel: web}}"),
        ("{sum: amount}", "{max: amount, if_missing: 0}"),
        ("{sum: amount}", "{sum: 'amount * 2'}"),
        ("per: customer", "per: business"),
        ("per: customer", "per: [customer, channel]"),
        ("per: customer", "per: [customer, {month: purchased_at}]"),
        ("Spend: 3", "Spend: 4"),
    ):
        assert data_hash(fields.replace(old, new)) != one, new
    template = "per: customer\ntemplate: active_lifespan\nactivity: purchase"
    assert data_hash(template) == data_hash(template, "Other name")


def test_a_parent_that_changes_changes_the_parents_hash() -> None:
    text = "kind: segment\nname: S\nwhere: {M: 3}\n---\nkind: measure\nname: M\nper: customer\n"
    text += "value: {expression: Spend * 2}\n"
    before, after = catalogue_of(text + SPEND), catalogue_of(text + SPEND.replace("sum", "max"))
    assert before.hashes["m"].data != after.hashes["m"].data, "its type is another"
    assert before.hashes["s"].parents != after.hashes["s"].parents
    filtered = catalogue_of(text + SPEND.replace("over", "where: {channel: web}\nover"))
    assert before.hashes["m"].data == filtered.hashes["m"].data
    assert before.hashes["m"].parents != filtered.hashes["m"].parents
    assert before.hashes["s"].parents != filtered.hashes["s"].parents


def test_profile_rules_on_measures_are_ordinary_conditions() -> None:
    catalogue = catalogue_of(
        f"kind: segment\nname: S\nwhere: {{Spend: {{at_least: 3, or_missing: true}}}}\n{SPEND}", SHOP
    )
    (rule,) = segment_rules(catalogue.segments["s"].steps)
    assert isinstance(rule, ProfileRule)


def chain(count: int, last: str) -> str:
    """Return measures, each of which is made of the next."""
    fields = [f"kind: measure\nname: M{n}\nper: customer\nvalue: {{expression: M{n + 1} + 1}}\n" for n in range(count)]
    return "---\n".join([*fields, f"kind: measure\nname: M{count}\nper: customer\nvalue: {{expression: '{last}'}}\n"])


def test_long_chains_are_read_and_long_circles_reported() -> None:
    catalogue = catalogue_of(chain(300, "visits"))
    assert catalogue.order == tuple(f"m{n}" for n in range(300, -1, -1))
    definition = catalogue.definitions["m0"]
    others = list(catalogue.definitions.values())
    assert resolve_version(definition, others, catalogue.settings, catalogue.schema).id == "m0"
    _, errors = read_catalogue(chain(300, "M0"))
    assert "in a circle" in errors[0]
    values = ", ".join(f"v{n}: {{expression: v{n + 1} + 1}}" for n in range(300))
    assert len(measure_of(f"per: customer\nvalues: {{{values}, v300: {{expression: '1'}}}}").values) == 301
    found = errors_of(f"per: customer\nvalues: {{{values}, v300: {{expression: v0 + 1}}}}")
    assert "in a circle" in found[0]


def test_a_gate_on_a_measure_says_where_gates_go() -> None:
    (error,) = errors_of("per: customer\nover: purchases\nvalue: {sum: amount}\npublish_if: {not_empty: true}")
    assert 'a measure has no field "publish_if". Results of segments alone are held back' in error
