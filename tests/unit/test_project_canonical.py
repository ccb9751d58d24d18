"""Hashes of what a segment means, names made of names, and paths."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segengine.errors import ConfigError
from segengine.project.attributes import Attribute
from segengine.project.attributes import Path as RelationshipPath
from segengine.project.canonical import Hashes, hash_definitions
from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.find import find_segment, suggest_name
from segengine.project.names import is_slug, is_table_name, make_output_table, make_slug
from segengine.project.nodes import parse_documents
from segengine.project.paths import Unresolved, find_attribute, find_path
from segengine.project.problems import Problems, did_you_mean
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings

GOOD = Path(__file__).parents[1] / "golden" / "definitions" / "good"


def catalogue_of(text: str, folder: Path = GOOD) -> Catalogue:
    settings, problems = load_settings(folder), Problems()
    documents, issues = parse_documents(text, "a.yml")
    definitions = [found for node in documents if (found := read_definition(node, "a.yml", problems))]
    catalogue = check_definitions(definitions, settings, load_schema(settings, problems), problems)
    assert not [str(issue) for issue in [*issues, *problems.issues] if issue.level == "error"]
    return catalogue


def hashes_of(text: str, folder: Path = GOOD) -> dict[str, Hashes]:
    catalogue = catalogue_of(text, folder)
    parents = {key: catalogue.parents(key) for key in catalogue.segments}
    return hash_definitions(catalogue.segments, parents, catalogue.settings)


def data_hash(where: str, folder: Path = GOOD) -> str:
    return hashes_of(f"kind: segment\nname: A\nwhere: {where}\n", folder)["a"].data


def rule_hash(rule: str) -> str:
    return hashes_of(f"kind: segment\nname: A\nrules: [{rule}]\n")["a"].data


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("{all: [{state: Ohio}, {visits: 3}]}", "{all: [{visits: 3}, {state: Ohio}]}"),
        ("{any: [{state: Ohio}, {visits: 3}]}", "{any: [{visits: 3}, {state: Ohio}, {visits: 3}]}"),
        ("{state: [Ohio, Texas]}", "{state: {any_of: [Texas, Ohio, Texas]}}"),
        ("{state: Ohio}", "{state: {equals: Ohio}}"),
        ("{state: Ohio}", "{all: [{any: [{state: Ohio}]}]}"),
        (
            "{all: [{state: Ohio}, {all: [{visits: 3}, {income: 1}]}]}",
            "{all: [{state: Ohio}, {visits: 3}, {income: 1}]}",
        ),
        ("{income: 1.5}", "{income: {between: [1.50, 15e-1]}}"),
        ("{visits: {at_least: 3}}", "{visits: {greater_than: 2}}"),
        ("{visits: {at_least: 3}}", "{not: {visits: {less_than: 3}}}"),
        ("{subscriber: true}", "{subscriber: {not: false}}"),
        ("{score: 0}", "{score: -0.0}"),
        ("{born: {after: 2023-12-31}}", "{born: {on_or_after: 2024-01-01}}"),
        ("{state: {equals: OHIO, ignore_case: true}}", "{state: {equals: ohio, ignore_case: true}}"),
        ("{not: {all: [{state: Ohio}, {visits: 1}]}}", "{any: [{visits: {not: 1}}, {state: {not: Ohio}}]}"),
        ("{born: {within_last: 2 weeks}}", "{born: {within_last: 14 days}}"),
        ("{born: {within_last: 1 year}}", "{born: {within_last: 12 months}}"),
        ("{joined_at: {within_last: 1 day, rolling: true}}", "{joined_at: {within_last: 24 hours}}"),
        ("{not: {joined_at: {to_date: week}}}", "{joined_at: {not: {to_date: week}}}"),
        ("{born: {month_of: december}}", "{born: {month_of: [12]}}"),
        ("{born: {weekday_of: {not: sunday}}}", "{not: {born: {weekday_of: 7}}}"),
    ],
)
def test_definitions_that_mean_the_same_have_one_hash(left: str, right: str) -> None:
    assert data_hash(left) == data_hash(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("{state: Ohio}", "{state: ohio}"),
        ("{state: Ohio}", "{state: {equals: Ohio, ignore_case: true}}"),
        ("{state: Ohio}", "{state: {not: Ohio}}"),
        ("{state: {not: Ohio}}", "{state: {not: Ohio, or_missing: true}}"),
        ("{state: Ohio}", "{name: Ohio}"),
        ("{state: Ohio}", "{referred_by.state: Ohio}"),
        ("{all: [{state: Ohio}, {visits: 3}]}", "{any: [{state: Ohio}, {visits: 3}]}"),
        ("{state: {empty: true}}", "{state: {empty: false}}"),
        ("{score: 0.1}", "{score: 0.2}"),
        ("{income: 99999999999999999999}", "{income: 99999999999999999998}"),
        ("{born: {within_last: 2 weeks}}", "{born: {within_next: 2 weeks}}"),
        ("{born: {within_last: 2 weeks}}", "{born: {not: {within_last: 2 weeks}}}"),
        ("{born: {within_last: 30 days}}", "{born: {within_last: 1 month}}"),
        ("{joined_at: {within_last: 1 day}}", "{joined_at: {within_last: 1 day, rolling: true}}"),
        ("{joined_at: {within_last: 1 month}}", "{joined_at: {within_last: 1 month, rolling: true}}"),
        ("{born: {to_date: week}}", "{born: {to_date: month}}"),
        ("{born: {month_of: 3}}", "{born: {day_of_month: 3}}"),
        ("{born: {month_of: {empty: true}}}", "{born: {empty: true}}"),
    ],
)
def test_definitions_that_mean_something_else_have_another(left: str, right: str) -> None:
    assert data_hash(left) != data_hash(right)


def test_rules_over_rows() -> None:
    base = rule_hash("{over: purchases, where: {channel: web}}")
    assert rule_hash("{over: purchases, rows: any, via: [customer], where: {channel: web}}") == base
    others = [
        "{over: purchases, rows: all, where: {channel: web}}",
        "{over: purchases, rows: {at_least: 1}, where: {channel: web}}",
        "{over: purchases, among: {channel: web}}",
        "{over: purchases}",
        "{over: purchases, where: {channel: web}}, {union: {over: purchases}}",
        "{over: purchases, where: {channel: web}}, {except: {over: purchases}}",
    ]
    assert len({base, *map(rule_hash, others)}) == len(others) + 1


def test_names_change_the_metadata_alone_and_parents_their_childrens() -> None:
    text = "kind: segment\nname: A\nwhere: {visits: 3}\n---\nkind: segment\nname: B\nwhere: {in_segment: A}\n---\n"
    text += "kind: segment\nname: C\nwhere: {in_segment: B}\n"
    before = hashes_of(text)
    renamed = hashes_of(
        text.replace("name: A", "name: X\nid: a\noutput_table: A").replace("in_segment: A", "in_segment: X")
    )
    assert renamed["a"].data == before["a"].data
    assert renamed["a"].metadata != before["a"].metadata
    assert renamed["b"] == before["b"]
    changed = hashes_of(text.replace("visits: 3", "visits: 4"))
    assert changed["a"].data != before["a"].data
    assert (changed["b"].data, changed["b"].metadata) == (before["b"].data, before["b"].metadata)
    assert changed["b"].parents != before["b"].parents
    assert changed["c"].parents != before["c"].parents


def test_the_projects_zone_keys_and_places_count(tmp_path: Path) -> None:
    shutil.copytree(GOOD, tmp_path / "p")
    file = tmp_path / "p" / "segengine.yml"
    original = file.read_text()
    before = data_hash("{state: Ohio}")
    assert data_hash("{state: Ohio}", tmp_path / "p") == before
    for old, new in [("Europe/Berlin", "Europe/Paris"), ("data/customers", "data/clients")]:
        file.write_text(original.replace(old, new))
        assert data_hash("{state: Ohio}", tmp_path / "p") != before
    file.write_text(original.replace("name: home_store", "name: local_store"))
    assert data_hash("{local_store.city: Bonn}", tmp_path / "p") == data_hash("{home_store.city: Bonn}")


def test_stored_names_of_keys_and_links_count_and_whether_a_hop_multiplies(tmp_path: Path) -> None:
    shutil.copytree(GOOD, tmp_path / "p")
    file = tmp_path / "p" / "segengine.yml"
    original = file.read_text()

    def rule_hash_of(text: str) -> str:
        file.write_text(text)
        segment = "kind: segment\nname: A\nrules: [{over: customers, via: [{back: customers.referred_by}]}]\n"
        return hashes_of(segment, tmp_path / "p")["a"].data

    before = rule_hash_of(original)
    key, link = "{from: address.city}\n", "to: customers, name: referred_by"
    changes = [
        (key, f"{key}      customer_id: {{from: state}}\n"),
        (key, f"{key}      referred_by_id: {{from: state}}\n"),
        (link, f"{link}, one_to_one: true"),
    ]
    hashes = {rule_hash_of(original.replace(old, new)) for old, new in changes}
    assert len(hashes | {before}) == 4


@pytest.mark.parametrize(
    ("name", "table", "slug"),
    [
        ("Customers from California", "CustomersFromCalifornia", "customers_from_california"),
        ("  low_score - 50% ", "LowScore50", "low_score_50"),
        ("2024 buyers", "S2024Buyers", "2024_buyers"),
        ("Café Zürich", "CafZRich", "cafe_zurich"),
        ("VIP", "VIP", "vip"),
        ("日本", "", ""),
        ("!!!", "", ""),
        ("ﬁne", "Ne", "fine"),
    ],
)
def test_names_made_of_names(name: str, table: str, slug: str) -> None:
    assert make_output_table(name) == table
    assert make_slug(name) == slug
    assert not slug or is_slug(slug)
    assert not table or is_table_name(table)


def test_what_can_be_an_id_or_a_table() -> None:
    assert [text for text in ("a", "1a", "a_b", "_a", "A", "a-b", "", "a\n", "ä") if is_slug(text)] == [
        "a",
        "1a",
        "a_b",
    ]
    assert [text for text in ("A", "aB_1", "1a", "_a", "a.b", "", "A\n", "Ä") if is_table_name(text)] == ["A", "aB_1"]


def test_paths_and_look_ups() -> None:
    settings = load_settings(GOOD)
    schema = load_schema(settings, Problems())
    path = find_path(settings, "purchases", "customers", ())
    assert isinstance(path, RelationshipPath)
    assert path.name == "purchases > customer"
    twice = find_path(settings, "customers", "customers", ("referred_by", "referred_by"))
    assert isinstance(twice, RelationshipPath)
    assert len(twice.hops) == 2
    for over, via, code in [("reviews", (), "SEG222"), ("suppliers", (), "SEG221"), ("nothing", (), "SEG103")]:
        unresolved = find_path(settings, over, "customers", via)
        assert isinstance(unresolved, Unresolved)
        assert unresolved.code == code
    found = find_attribute(settings, schema, "customers", "referred_by.churn.score")
    assert isinstance(found, Attribute)
    assert [hop.target for hop in found.hops] == ["customers", "churn"]
    assert [hop.reverse for hop in found.hops] == [False, True]


def test_paths_and_look_ups_have_at_most_twenty_hops() -> None:
    settings = load_settings(GOOD)
    schema = load_schema(settings, Problems())
    assert isinstance(find_path(settings, "customers", "customers", ("referred_by",) * 20), RelationshipPath)
    assert isinstance(find_path(settings, "customers", "customers", ("referred_by",) * 21), Unresolved)
    assert isinstance(find_attribute(settings, schema, "customers", "referred_by." * 20 + "name"), Attribute)
    assert isinstance(find_attribute(settings, schema, "customers", "referred_by." * 21 + "name"), Unresolved)


def test_parents_stand_before_their_children() -> None:
    text = "\n---\n".join(
        f"kind: segment\nname: {name}\nwhere: {where}"
        for name, where in [
            ("C", "{in_segment: B}"),
            ("B", "{not: {in_segment: A}}"),
            ("A", "everyone"),
            ("D", "everyone"),
        ]
    )
    order = list(catalogue_of(text).segments)
    assert order.index("a") < order.index("b") < order.index("c")
    assert find_segment(catalogue_of(text), "C").id == "c"
    with pytest.raises(ConfigError, match="no segment"):
        find_segment(catalogue_of(text), "E")


def test_did_you_mean() -> None:
    assert did_you_mean("Stat", ["state", "city"]) == 'Did you mean "state"?'
    assert did_you_mean("zzz", ["state", "city"]) == "Known: city, state."
    assert did_you_mean("zzz", [f"c{number}" for number in range(20)]) == ""
    assert did_you_mean("zzz", []) == ""


def test_an_unknown_name_has_a_hint() -> None:
    known = [f"segment_{number}" for number in range(20)]
    assert suggest_name("segment", "segmnt_7", known) == 'Did you mean "segment_7"?'
    assert suggest_name("segment", "vip", known) == "`segengine segments list` shows what there is."
    assert suggest_name("definition", "vip", known) == "`segengine get` shows what there is."
