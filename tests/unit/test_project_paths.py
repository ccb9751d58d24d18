"""Paths to the profile and attributes seen from their rows: how names are resolved, and what is joined once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segengine.engine.joins import ScanRows
from segengine.plan.scans import Scan
from segengine.project.attributes import Attribute
from segengine.project.attributes import Path as RelationshipPath
from segengine.project.canonical import hash_definitions
from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.model import RowsRule
from segengine.project.nodes import parse_documents
from segengine.project.paths import Unresolved, ViaStep, find_attribute, find_path, find_paths, row_key
from segengine.project.problems import Problems
from segengine.project.project_file import Schema, Settings
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings

SHOP = Path(__file__).parents[1] / "golden" / "definitions" / "paths"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(SHOP)


@pytest.fixture(scope="module")
def schema(settings: Settings) -> Schema:
    return load_schema(settings, Problems())


def back(text: str) -> ViaStep:
    return ViaStep(text, back=True)


def path_of(settings: Settings, over: str, *via: ViaStep | str) -> RelationshipPath:
    path = find_path(settings, over, "customers", via)
    assert isinstance(path, RelationshipPath)
    return path


def attribute_of(settings: Settings, schema: Schema, path: RelationshipPath, name: str) -> Attribute:
    attribute = find_attribute(settings, schema, path, name)
    assert isinstance(attribute, Attribute)
    assert attribute.name == name
    return attribute


def test_paths_are_named_as_they_are_walked(settings: Settings) -> None:
    neighbours = path_of(settings, "purchases", "store", back("customers.home_store"))
    assert neighbours.name == "purchases > store < customers.home_store"
    assert neighbours.via == "[store, {back: customers.home_store}]"
    assert neighbours.multiplies
    one_to_one = path_of(settings, "purchases", "customer", "fans", "fan")
    assert one_to_one.name == "purchases > customer > fans > fan"
    assert not one_to_one.multiplies
    assert path_of(settings, "purchases", "customer", back("fans.fan"), "fan") == one_to_one


def test_a_joined_rows_key_has_the_tables_reached_from_one_to_many(settings: Settings) -> None:
    assert row_key(settings, path_of(settings, "purchases")) == ["purchase_id"]
    members = path_of(settings, "groups", back("memberships.group"), "member")
    assert row_key(settings, members) == ["group_id", "memberships.group_id", "memberships.member_id"]
    assert row_key(settings, path_of(settings, "purchases", "customer", "fans", "fan")) == ["purchase_id"]


def test_every_chain_that_visits_no_table_twice_is_found(settings: Settings) -> None:
    assert [path.via for path in find_paths(settings, "reviews", "customers")] == ["[author]", "[reader]"]
    assert [path.via for path in find_paths(settings, "fans", "customers")] == ["[club, fans]", "[fan]"]
    assert list(find_paths(settings, "customers", "customers")) == []


def test_many_parallel_paths_are_told_at_once(tmp_path: Path) -> None:
    """Ten tables in a row, three links between neighbours: 59,049 chains, of which a few are listed."""
    shutil.copytree(SHOP, tmp_path / "p")
    tables = "".join(f"  t{number}: {{path: t, key: id}}\n" for number in range(10))
    links = "".join(
        f"  - {{from: t{number}.a{link}, to: t{number + 1}, name: a{link}}}\n"
        for number in range(9)
        for link in range(3)
    )
    file = tmp_path / "p" / "segengine.yml"
    text = file.read_text().replace(
        "relationships:\n", f"{tables}relationships:\n{links}  - t9.customer_id -> customers\n"
    )
    file.write_text(text)
    unresolved = find_path(load_settings(tmp_path / "p"), "t0", "customers")
    assert isinstance(unresolved, Unresolved)
    assert unresolved.message == 'more than 5 paths lead from "t0" to "customers".'
    assert unresolved.hint.count("[") == 5


def test_attributes_go_along_the_path_and_leave_it_by_look_ups(settings: Settings, schema: Schema) -> None:
    path = path_of(settings, "purchases", "store", back("customers.home_store"))
    own = attribute_of(settings, schema, path, "store.customers.state")
    assert own.hops == path.hops
    referrer = attribute_of(settings, schema, path, "store.customers.referred_by.state")
    assert referrer.hops[:2] == path.hops
    assert [hop.target for hop in referrer.hops] == ["stores", "customers", "customers"]
    assert attribute_of(settings, schema, path, "customer.state").hops != own.hops
    for name in ("customers.state", "product.customers.state", "store.customers.customers.state"):
        assert isinstance(find_attribute(settings, schema, path, name), Unresolved)


def test_a_name_that_means_the_path_and_a_relationship_is_an_error(settings: Settings, schema: Schema) -> None:
    path = path_of(settings, "clubs", back("fans.club"), "fan")
    unresolved = find_attribute(settings, schema, path, "fans.level")
    assert isinstance(unresolved, Unresolved)
    assert unresolved.code == "SEG222"
    straight = path_of(settings, "clubs", "fans")
    assert attribute_of(settings, schema, straight, "fans.state").hops == straight.hops


def test_equal_prefixes_of_path_and_look_ups_are_one_join(settings: Settings, schema: Schema) -> None:
    path = path_of(settings, "purchases", "store", back("customers.home_store"))
    names = ("amount", "store.city", "store.customers.state", "store.customers.referred_by.state", "customer.state")
    columns = tuple(attribute_of(settings, schema, path, name) for name in names)
    rows = ScanRows(Scan("customer", "purchases", path, columns, ()), settings, schema)
    read = list(rows.used_columns())
    assert read.count(("stores", "store_id")) == 1
    # The profile at the path's end, who referred them, and the customer of the purchase.
    assert sum(table == "customers" and name == "state" for table, name in read) == 3
    assert rows.unique_keys() == {("stores", ("store_id",)), ("customers", ("customer_id",))}


def test_what_must_be_unique_is_the_one_side_of_each_hop(settings: Settings, schema: Schema) -> None:
    def unique_keys(over: str, *via: ViaStep | str) -> set[tuple[str, tuple[str, ...]]]:
        scan = Scan("customer", over, path_of(settings, over, *via), (), ())
        return ScanRows(scan, settings, schema).unique_keys()

    assert unique_keys("purchases") == set()  # the profiles' own ids are checked as ids
    assert unique_keys("stores", back("customers.home_store")) == {("stores", ("store_id",))}
    assert unique_keys("groups", back("memberships.group"), "member") == {("groups", ("group_id",))}
    one_to_one = unique_keys("purchases", "customer", "fans", "fan")
    assert one_to_one == {("customers", ("customer_id",)), ("fans", ("fan_id",))}


def catalogue_of(settings: Settings, schema: Schema, *rules: str) -> Catalogue:
    problems = Problems()
    text = "---\n".join(f"kind: segment\nname: S{n}\nrules: [{rule}]\n" for n, rule in enumerate(rules))
    documents, _ = parse_documents(text, "a.yml")
    definitions = [found for node in documents if (found := read_definition(node, "a.yml", problems))]
    catalogue = check_definitions(definitions, settings, schema, problems)
    assert not problems.error_count, problems.issues
    return catalogue


def test_the_path_decides_the_hash_however_it_is_written(settings: Settings, schema: Schema) -> None:
    rules = (
        "{over: purchases, via: [store, {back: customers.home_store}]}",
        "{over: purchases, via: [customer]}",
        "{over: purchases}",
        "{over: purchases, via: [customer, fans, fan]}",
        "{over: purchases, via: [customer, {back: fans.fan}, fan]}",
        "{over: customers, via: [referred_by]}",
        "{over: customers, via: [{back: customers.referred_by}]}",
        "{over: customers, via: {back: customers.referred_by}}",
    )
    catalogue = catalogue_of(settings, schema, *rules)
    hashes = hash_definitions(catalogue.segments, dict.fromkeys(catalogue.segments, ()), settings)
    data = [found.data for found in hashes.values()]
    assert data[1] == data[2]
    assert data[3] == data[4]
    assert data[6] == data[7]
    assert len({*data}) == 5


def test_conditions_stand_on_the_rows_of_the_path(settings: Settings, schema: Schema) -> None:
    rule = "{over: groups, via: [{back: memberships.group}, member], where: {memberships.role: host}}"
    (segment,) = catalogue_of(settings, schema, rule).segments.values()
    found = segment.steps[0].rule
    assert isinstance(found, RowsRule)
    assert found.path.name == "groups < memberships.group > member"
