"""References by id: what is stored, and that it is read and shown as what was meant."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from segengine.errors import Place
from segengine.project.catalogue import check_definitions
from segengine.project.definitions import read_definition
from segengine.project.nodes import Plain, from_plain, parse_documents, to_plain
from segengine.project.problems import Problems
from segengine.project.project_file import Schema
from segengine.project.references import show_references, store_references
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from tests.unit.measured import SHOP

MEASURES = {"Total spend": "spend", "Months": "months_1", "LTV": "ltv", "amount": "amount"}
SEGMENTS = {"Rich": "rich"}
SCHEMA = load_schema(load_settings(SHOP), Problems())


def stored(text: str, schema: Schema = SCHEMA) -> Any:
    plain: Plain = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - text only
    found = store_references(plain, SEGMENTS, MEASURES, schema)
    names = {identity: name for name, identity in {**SEGMENTS, **MEASURES}.items()}
    assert show_references(found, names) == plain
    return found


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("{in_segment: Rich}", "{in_segment: rich}"),
        ("{all: [{not: {in_segment: Rich}}]}", "{all: [{not: {in_segment: rich}}]}"),
        ("{Total spend: 3}", "{'@spend': 3}"),
        ("{Total spend.web: 3}", "{'@spend.web': 3}"),
        ("{company.LTV: 3}", "{company.@ltv: 3}"),
        ("{company.LTV.Total spend: 3}", "{company.@ltv.Total spend: 3}"),
        ("{state: Total spend}", "{state: Total spend}"),
        ("{name: {not: LTV}}", "{name: {not: LTV}}"),
        ("{amount: 3}", "{amount: 3}"),
        ("{state: {any_of: [LTV]}}", "{state: {any_of: [LTV]}}"),
        ("everyone", "everyone"),
    ],
)
def test_conditions(written: str, kept: str) -> None:
    expected = yaml.load(kept, yaml.BaseLoader)  # noqa: S506 - text only
    assert stored(f"kind: segment\nname: LTV\nwhere: {written}")["where"] == expected
    rule = f"{{over: purchases, among: {written}, where: {written}}}"
    nested = f"kind: segment\nrules: [{rule}, {{union: {rule}}}, {{except: {{rules: [{rule}]}}}}]"
    found = stored(nested)["rules"]
    for own in (found[0], found[1]["union"], found[2]["except"]["rules"][0]):
        assert (own["among"], own["where"]) == (expected, expected)
    values = f"kind: measure\nwhere: {written}\nvalues: {{LTV: {{sum: amount, where: {written}}}}}"
    assert stored(values)["values"] == {"LTV": {"sum": "amount", "where": expected}}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("LTV + 1", "@ltv + 1"),
        ("`Total spend` / company.LTV", "@spend / company.@ltv"),
        ("`Total spend`.`on web`*2", "@spend.`on web`*2"),
        ("own - LTV", "own - @ltv"),
        ("amount * state", "amount * state"),
        ("LTV +", "@ltv +"),
        ("LTV $", "LTV $"),
    ],
)
def test_expressions(written: str, kept: str) -> None:
    found = stored(f"kind: measure\nname: M\nvalues: {{own: {{sum: LTV}}, b: {{expression: '{written}'}}}}")
    assert found["values"] == {"own": {"sum": "LTV"}, "b": {"expression": kept}}


def test_values_of_the_measure_come_first() -> None:
    found = stored("kind: measure\nname: M\nvalues: {LTV: {count: rows}, b: {expression: LTV + 1}}")
    assert found["values"]["b"] == {"expression": "LTV + 1"}
    assert stored("kind: measure\nname: LTV\nvalue: {expression: LTV + 1}")["value"] == {"expression": "LTV + 1"}


def test_the_value_of_groups_that_is_called_like_the_measure() -> None:
    values = "{a: {average: Months}, b: {sum: '`Months` * 2'}, c: {last: Months, by: month}}"
    text = f"kind: measure\nname: M\nover: Months\nvalues: {values}"
    found = store_references(yaml.load(text, yaml.BaseLoader), SEGMENTS, MEASURES, SCHEMA)  # noqa: S506
    assert isinstance(found, dict)
    assert found["over"] == "@months_1"
    assert found["values"] == {
        "a": {"average": "@months_1"},
        "b": {"sum": "@months_1 * 2"},
        "c": {"last": "@months_1", "by": "month"},
    }
    assert isinstance(shown := show_references(found, {"months_1": "By month"}), dict)
    assert shown["over"] == "By month"
    assert shown["values"] == {
        "a": {"average": "By month"},
        "b": {"sum": "`By month` * 2"},
        "c": {"last": "By month", "by": "month"},
    }


def test_what_is_stored_means_the_same_after_a_rename() -> None:
    settings = load_settings(SHOP)
    text = (SHOP / "definitions" / "measures.yml").read_text(encoding="utf-8")
    documents, _ = parse_documents(text, "a.yml")
    definitions = [found for node in documents if (found := read_definition(node, "a.yml", Problems()))]
    segments = {d.name: d.id for d in definitions if d.kind == "segment"}
    measures = {d.name: d.id for d in definitions if d.kind == "measure"}
    before = check_definitions(definitions, settings, SCHEMA, Problems())
    renamed = []
    for definition in definitions:
        plain = store_references(to_plain(definition.fields), segments, measures, SCHEMA)
        assert isinstance(plain, dict)
        again = {**plain, "name": f"{definition.name}, renamed", "id": definition.id}
        found = read_definition(from_plain(again, Place("b.yml")), "b.yml", Problems())
        assert found is not None
        renamed.append(found)
    problems = Problems()
    after = check_definitions(renamed, settings, SCHEMA, problems)
    assert not problems.issues
    assert after.order == before.order
    changed = {key for key in before.order if before.hashes[key].data != after.hashes[key].data}
    assert changed == {"average_month"}, "its rows have a column that is called like another measure"
