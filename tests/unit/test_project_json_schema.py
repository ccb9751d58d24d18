"""The JSON Schema takes what the loader takes and refuses what editors should mark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from segengine.project.catalogue import check_definitions
from segengine.project.definitions import load_definitions
from segengine.project.json_schema import make_json_schema
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "tests" / "golden" / "definitions" / "good"


class EditorLoader(yaml.SafeLoader):
    """Reads YAML as editors do: with numbers and booleans, but days stay text."""


EditorLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def documents(file: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.load_all(file.read_text(encoding="utf-8"), EditorLoader)  # noqa: S506 - a safe loader


def validator(schema: Any) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def schema_of(settings: Settings) -> Any:
    problems = Problems()
    lock = load_schema(settings, problems)
    catalogue = check_definitions(load_definitions(settings, problems), settings, lock, problems)
    return make_json_schema(settings, lock, catalogue.measures.values())


@pytest.fixture(scope="module")
def shop() -> jsonschema.Draft202012Validator:
    return validator(schema_of(load_settings(SHOP)))


@pytest.fixture(scope="module")
def generic() -> jsonschema.Draft202012Validator:
    return validator(make_json_schema(None, None))


@pytest.mark.parametrize("file", sorted(ROOT.glob("conf/*/definitions/*.yml")), ids=lambda file: file.stem)
def test_demo_definitions_are_valid(file: Path, generic: jsonschema.Draft202012Validator) -> None:
    settings = load_settings(file.parents[1])
    own = validator(schema_of(settings))
    for document in documents(file):
        generic.validate(document)
        own.validate(document)


@pytest.mark.parametrize("file", sorted((SHOP / "definitions").rglob("*.y*ml")), ids=lambda file: file.stem)
def test_the_good_project_is_valid(file: Path, shop: jsonschema.Draft202012Validator) -> None:
    for document in documents(file):
        shop.validate(document)


WRONG_EVERYWHERE = [
    "{kind: segment, name: A}",
    "{kind: segment, where: everyone}",
    "{kind: segmant, name: A, where: everyone}",
    "{kind: segment, name: A, where: everybody}",
    "{kind: segment, name: A, where: everyone, rules: [{where: everyone}]}",
    "{kind: segment, name: A, where: everyone, colour: red}",
    "{kind: segment, name: A, where: everyone, type: sometimes}",
    "{kind: segment, name: A, where: everyone, id: Upper Case}",
    "{kind: segment, name: A, where: {}}",
    "{kind: segment, name: A, where: {all: []}}",
    "{kind: segment, name: A, where: {all: [{state: Texas, visits: 1}]}}",
    "{kind: segment, name: A, where: {state: null}}",
    "{kind: segment, name: A, where: {state: {begin_with: T}}}",
    "{kind: segment, name: A, where: {state: {or_missing: true}}}",
    "{kind: segment, name: A, rules: []}",
    "{kind: segment, name: A, rules: [{union: {where: everyone}}]}",
    "{kind: segment, name: A, rules: [{where: everyone}, {where: everyone}]}",
    "{kind: segment, name: A, rules: [{rows: all, where: everyone}]}",
    "{kind: segment, name: A, rules: [{over: purchases, rows: some}]}",
    "{kind: segment, name: A, rules: [{over: purchases, rows: {at_least: -1}}]}",
    "{kind: segment, name: A, rules: [{over: purchases, where: everyone}]}",
    "{kind: segment, name: A, rules: [{over: purchases, rows: all, sum: {amount: 5}}]}",
    "{kind: segment, name: A, rules: [{over: purchases, sum: {}}]}",
    "{kind: segment, name: A, rules: [{rules: [{where: everyone}], where: everyone}]}",
    "{kind: segment, name: A, rules: [{over: purchases, via: [{back: store}]}]}",
    "{kind: segment, name: A, rules: [{over: purchases, via: [{back: customers.home_store, forth: x}]}]}",
    "{kind: segment, name: A, rules: [{over: purchases, via: []}]}",
    "{kind: segment, name: A, where: everyone, attach: []}",
    "{kind: segment, name: A, where: everyone, attach: [amount]}",
    "{kind: segment, name: A, where: everyone, attach: {over: purchases}}",
    "{kind: segment, name: A, where: everyone, attach: {over: purchases, columns: [amount], as: bought}}",
    "{kind: segment, name: A, where: everyone, attach_limit: 5}",
    "{kind: segment, name: A, where: everyone, attach: purchases.amount, attach_limit: 0}",
    "{kind: measure, name: A, per: customer, over: purchases}",
    "{kind: measure, name: A, over: purchases, value: {sum: amount}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {total: amount}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {sum: amount, average: amount}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {sum: [amount]}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {last: channel}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {sum: amount, by: channel}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {expression: '1', where: {channel: web}}}",
    "{kind: measure, name: A, per: customer, over: purchases, value: {sum: amount}, values: {b: {sum: amount}}}",
    "{kind: measure, name: A, per: customer, over: purchases, values: {}}",
    "{kind: measure, name: A, per: customer, where: {channel: web}, value: {expression: '1'}}",
    "{kind: measure, name: A, per: customer, over: purchases, type: dynamic, value: {sum: amount}}",
    "{kind: measure, name: A, per: [], over: purchases, value: {sum: amount}}",
    "{kind: measure, name: A, per: [{fortnight: purchased_at}], over: purchases, value: {sum: amount}}",
    "{kind: measure, name: A, per: customer, template: revenue, activity: purchase}",
    "{kind: measure, name: A, per: customer, template: transaction_count}",
    "{kind: measure, name: A, per: customer, template: transaction_count, activity: purchase, over: purchases}",
    "{kind: measure, name: A, per: customer, over: purchases, activity: purchase, value: {sum: amount}}",
    "{kind: suggestion, name: A}",
    "{kind: suggestion, name: A, improve: income}",
    "{kind: suggestion, name: A, improve: income, influences: []}",
    "{kind: suggestion, name: A, improve: income, influences: [state], activity: purchase}",
    "{kind: suggestion, name: A, improve: income, influences: [state], dimensions: [recency]}",
    "{kind: suggestion, name: A, activity: purchase, influences: [state]}",
    "{kind: suggestion, name: A, activity: purchase, dimensions: [regency]}",
    "{kind: suggestion, name: A, activity: purchase, type: expansion}",
    "{kind: insight, name: A}",
    "{kind: insight, name: A, differentiators: {against: B}}",
    "{kind: insight, name: A, differentiators: B}",
    "{kind: insight, name: A, overlap: [B]}",
    "{kind: insight, name: A, overlap: [B, C], differentiators: {of: B}}",
    "{kind: insight, name: A, overlap: [B, C], output_table: D}",
]
WRONG_IN_THE_SHOP = [
    "{kind: segment, name: A, audience: shop, where: everyone}",
    "{kind: segment, name: A, where: {stat: Texas}}",
    "{kind: segment, name: A, where: {home_store.town: Berlin}}",
    "{kind: segment, name: A, where: {tags: vip}}",
    "{kind: segment, name: A, where: {state: {at_least: 3}}}",
    "{kind: segment, name: A, where: {visits: many}}",
    "{kind: segment, name: A, where: {visits: {between: [1, 2, 3]}}}",
    "{kind: segment, name: A, where: {visits: {equals: 3, ignore_case: true}}}",
    "{kind: segment, name: A, where: {subscriber: 1}}",
    "{kind: segment, name: A, where: {subscriber: {is_true: false}}}",
    "{kind: segment, name: A, where: {born: 01.02.2024}}",
    "{kind: segment, name: A, where: {born: [2024-01-01]}}",
    "{kind: segment, name: A, where: {born: {within_last: 3 hours}}}",
    "{kind: segment, name: A, where: {born: {within_last: 3}}}",
    "{kind: segment, name: A, where: {born: {within_last: 3 days, rolling: true}}}",
    "{kind: segment, name: A, where: {born: {hour_of: 3}}}",
    "{kind: segment, name: A, where: {born: {month_of: 13}}}",
    "{kind: segment, name: A, where: {born: {month_of: januar}}}",
    "{kind: segment, name: A, where: {born: {month_of: {begins_with: j}}}}",
    "{kind: segment, name: A, where: {joined_at: {to_date: decade}}}",
    "{kind: segment, name: A, where: {joined_at: {after: 2024-01-01, rolling: true}}}",
    "{kind: segment, name: A, where: {joined_at: {anniversary_within_next: 3 hours}}}",
    "{kind: segment, name: A, where: {visits: {within_last: 3 days}}}",
    "{kind: segment, name: A, where: {amount: 3}}",
    "{kind: segment, name: A, rules: [{over: suppliers, where: {country: x}}]}",
    "{kind: segment, name: A, rules: [{over: purchases, where: {state: Texas}}]}",
    "{kind: segment, name: A, rules: [{over: reviews, via: [autor], where: {stars: 1}}]}",
    "{kind: segment, name: A, rules: [{over: purchases, via: [store, {back: customers.home_shop}]}]}",
    "{kind: segment, name: A, where: everyone, attach: {over: purchase, columns: amount}}",
    "{kind: segment, name: A, where: {Lifetime: 3}}",
    "{kind: segment, name: A, where: {Lifetime spend: {begins_with: a}}}",
    "{kind: segment, name: A, where: {Spend by month: 3}}",
    "{kind: measure, name: A, per: custmer, over: purchases, value: {sum: amount}}",
    "{kind: measure, name: A, per: customer, over: purchases, where: {state: Texas}, value: {sum: amount}}",
    "{kind: measure, name: A, per: customer, over: purchases, values: {b: {count: rows, where: {chanel: web}}}}",
    "{kind: measure, name: A, per: customer, template: transaction_count, activity: sale}",
    "{kind: suggestion, name: A, activity: sale}",
]


@pytest.mark.parametrize("text", WRONG_EVERYWHERE)
def test_wrong_forms_are_refused_everywhere(
    text: str, generic: jsonschema.Draft202012Validator, shop: jsonschema.Draft202012Validator
) -> None:
    document = yaml.load(text, EditorLoader)  # noqa: S506 - a safe loader
    assert not generic.is_valid(document)
    assert not shop.is_valid(document)


@pytest.mark.parametrize("text", WRONG_IN_THE_SHOP)
def test_a_projects_own_names_and_types_are_known(text: str, shop: jsonschema.Draft202012Validator) -> None:
    assert not shop.is_valid(yaml.load(text, EditorLoader))  # noqa: S506 - a safe loader


def test_longer_look_ups_than_are_listed_are_taken(shop: jsonschema.Draft202012Validator) -> None:
    where = {"referred_by.referred_by.home_store.city": "Berlin"}
    shop.validate({"kind": "segment", "name": "A", "where": where})


def test_paths_from_one_to_many_are_taken(
    shop: jsonschema.Draft202012Validator, generic: jsonschema.Draft202012Validator
) -> None:
    for rule in (
        "{over: purchases, via: [store, {back: customers.home_store}], where: {store.customers.state: Texas}}",
        "{over: stores, via: {back: customers.home_store}}",
        "{over: customers, via: [referred_by], where: {referred_by.state: Texas}}",
        "{over: purchases, via: [customer, churn, customer]}",
    ):
        document = yaml.load(f"{{kind: segment, name: A, rules: [{rule}]}}", EditorLoader)  # noqa: S506 - a safe loader
        shop.validate(document)
        generic.validate(document)


def test_measures_are_taken(shop: jsonschema.Draft202012Validator, generic: jsonschema.Draft202012Validator) -> None:
    for text in (
        "{kind: segment, name: A, where: {Lifetime spend: {at_least: 3}}}",
        "{kind: segment, name: A, where: {Web and store.share: {empty: true}}}",
        "{kind: segment, name: A, rules: [{over: purchases, where: {Lifetime spend: 3}}]}",
        "{kind: segment, name: A, rules: [{over: purchases, where: {customer.Lifetime spend: 3}}]}",
        "{kind: measure, name: A, per: [channel], over: purchases, value: {count: rows}}",
        "{kind: measure, name: A, per: [{week: purchased_at, as: w}, channel], over: purchases, value: {count: rows}}",
        "{kind: measure, name: A, per: business, over: suppliers, where: {country: DE}, value: {count: rows}}",
        "{kind: measure, name: A, per: customer, over: Spend by month, where: {spend: 3}, value: {max: spend}}",
        "{kind: measure, name: A, per: customer, value: {expression: '1 + income', if_missing: 0}}",
        "{kind: measure, name: A, per: customer, over: reviews, via: author, value: {arg_min: stars, by: stars}}",
        "{kind: measure, name: A, per: customer, template: active_lifespan, activity: purchase, where: {channel: web}}",
    ):
        document = yaml.load(text, EditorLoader)  # noqa: S506 - a safe loader
        shop.validate(document)
        generic.validate(document)


def test_what_can_be_attached(shop: jsonschema.Draft202012Validator, generic: jsonschema.Draft202012Validator) -> None:
    for attach in (
        "purchases.amount",
        "[purchases.amount, purchases.product.category], attach_limit: 50",
        "[{over: reviews, via: [author], columns: [stars, reader.state], name: written}], attach_limit: '50'",
        "{over: purchases, via: [store, {back: customers.home_store}], columns: amount}",
    ):
        text = f"{{kind: segment, name: A, where: everyone, attach: {attach}}}"
        document = yaml.load(text, EditorLoader)  # noqa: S506 - a safe loader
        shop.validate(document)
        generic.validate(document)


def test_labels_and_operators_are_explained(shop: jsonschema.Draft202012Validator) -> None:
    schema: Any = shop.schema
    assert schema["$defs"]["profile_condition"]["properties"]["income"]["description"] == "decimal(12,2)"
    operators = schema["$defs"]["number_value"]["anyOf"][2]["properties"]
    assert operators["at_least"]["description"] == "is greater or equal"
