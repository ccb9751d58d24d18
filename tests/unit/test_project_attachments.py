"""`attach` as it is read: columns of the output table, fields of their structs, and what it is for the hashes."""

from __future__ import annotations

from pathlib import Path

from segengine.project.canonical import Hashes, hash_definitions
from segengine.project.catalogue import check_definitions
from segengine.project.definitions import read_definition
from segengine.project.model import Segment
from segengine.project.nodes import parse_documents
from segengine.project.problems import Problems
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings

SHOP = Path(__file__).parents[1] / "golden" / "definitions" / "paths"


def read(attach: str, where: str = "everyone") -> tuple[Segment, Hashes]:
    settings, problems = load_settings(SHOP), Problems()
    text = f"kind: segment\nname: A\nwhere: {where}\n{attach}\n"
    documents, _ = parse_documents(text, "a.yml")
    definitions = [found for node in documents if (found := read_definition(node, "a.yml", problems))]
    catalogue = check_definitions(definitions, settings, load_schema(settings, problems), problems)
    assert not problems.error_count, problems.issues
    (segment,) = catalogue.segments.values()
    return segment, hash_definitions(catalogue.segments, {"a": ()}, settings)["a"]


def fields(attach: str) -> dict[str, list[str]]:
    return {item.name: [name for name, _ in item.fields] for item in read(f"attach: {attach}")[0].attach}


def test_each_path_is_a_column_and_its_key_stands_first() -> None:
    assert fields("purchases.amount") == {"purchases": ["purchase_id", "amount"]}
    several = "[purchases.product.category, purchases.purchase_id, purchases.amount, purchases.amount]"
    assert fields(several) == {"purchases": ["purchase_id", "product_category", "amount"]}
    own_names = (
        "[{over: reviews, via: author, columns: stars}, {over: reviews, via: reader, columns: stars, name: read}]"
    )
    assert fields(own_names) == {"reviews": ["review_id", "stars"], "read": ["review_id", "stars"]}


def test_a_table_by_its_only_path_and_by_that_path_named_is_one_column() -> None:
    both = "[purchases.amount, {over: purchases, via: [customer], columns: [channel, store.city]}]"
    assert fields(both) == {"purchases": ["purchase_id", "amount", "channel", "store_city"]}


def test_a_joined_rows_key_leaves_the_profile_out() -> None:
    groups = "{over: groups, via: [{back: memberships.group}, member], columns: [city]}"
    assert fields(groups) == {"groups": ["group_id", "memberships_group_id", "memberships_member_id", "city"]}
    neighbours = "{over: purchases, via: [store, {back: customers.home_store}], columns: [amount]}"
    assert fields(neighbours) == {"purchases": ["purchase_id", "amount"]}


def test_attaching_changes_the_metadata_alone() -> None:
    segment, plain = read("")
    assert (segment.attach, segment.attach_limit) == ((), 1_000)
    _, attached = read("attach: purchases.amount")
    _, limited = read("attach: purchases.amount\nattach_limit: 5")
    _, other = read("attach: purchases.channel")
    assert {attached.data, limited.data, other.data} == {plain.data}
    assert len({plain.metadata, attached.metadata, limited.metadata, other.metadata}) == 4
    _, same = read("attach: [{over: purchases, via: [customer], columns: [amount]}]\nattach_limit: 1000")
    assert same.metadata == attached.metadata
