"""Who uses a definition: segments, measures and registered outside consumers."""

from __future__ import annotations

from segengine.project.find import Filter
from segengine.project.nodes import to_plain
from segengine.project.references import show_references, store_references
from segengine.project.usage import make_usage_graph
from tests.unit.measured import catalogue_of, read_catalogue

DEFINITIONS = """
kind: measure
name: Spend
per: customer
over: purchases
value: {sum: amount}
---
kind: segment
name: Spenders
where: {Spend: {at_least: 100}}
---
kind: segment
name: Best
where: {all: [{in_segment: Spenders}, {Spend: {at_least: 500}}]}
---
kind: consumer
name: Campaign tool
uses: [Best, spenders]
link: https://campaigns.example.org
---
kind: consumer
name: Board report
tags: finance
uses: Spend
"""


def test_direct_and_indirect_users() -> None:
    graph = make_usage_graph(catalogue_of(DEFINITIONS))

    assert [str(user) for user in graph.direct("spend")] == [
        'segment "Best"',
        'consumer "Board report"',
        'segment "Spenders"',
    ]
    assert [str(user) for user in graph.indirect("spend")] == ['consumer "Campaign tool"']
    assert [(user.name, user.link) for user in graph.direct("best")] == [
        ("Campaign tool", "https://campaigns.example.org")
    ]
    assert graph.direct("campaign_tool") == graph.indirect("best") == ()
    assert [user.name for user in graph.without(["best"]).direct("spend")] == ["Board report", "Spenders"]


def test_mistakes_of_consumers() -> None:
    _, errors = read_catalogue(
        f"{DEFINITIONS}---\nkind: consumer\nname: A\nuses: [Bst, Campaign tool]\n"
        "---\nkind: consumer\nname: B\nuse: Best\n---\nkind: consumer\nname: Best\nuses: Spend\n"
    )
    assert [error for error in errors if "SEG401" not in error] == [
        'SEG403: consumer "A": there is no segment or measure "Bst". Did you mean "Best"?',
        'SEG403: consumer "A": there is no segment or measure "Campaign tool". '
        "Known: Best, Spend, Spenders, best, spend, spenders.",
        'SEG201: consumer "B": a consumer has no field "use". Did you mean "uses"?',
    ]
    assert any("SEG401" in error and '"best"' in error for error in errors)


def test_consumers_keep_ids() -> None:
    catalogue = catalogue_of(DEFINITIONS)
    fields = to_plain(catalogue.definitions["campaign_tool"].fields)
    kept = store_references(fields, {"Best": "best"}, {"Spend": "spend"}, catalogue.schema)
    assert isinstance(kept, dict)
    assert kept["uses"] == ["best", "spenders"]
    assert show_references(kept, {"best": "Very best", "spenders": "Spenders"}) == {
        **kept,
        "uses": ["Very best", "Spenders"],
    }


def test_filters_ignore_case_and_want_every_tag() -> None:
    fields = {"name": "Café guests", "description": "Sit down", "tags": ["Loyal", "web"]}
    assert Filter().accepts("cafe_guests", fields)
    assert not Filter()
    assert Filter(("loyal", "WEB"), "CAFÉ").accepts("cafe_guests", fields)
    assert Filter(search="sit").accepts("cafe_guests", fields)
    assert Filter(search="cafe_").accepts("cafe_guests", fields)
    assert not Filter(("loyal", "store")).accepts("cafe_guests", fields)
    assert not Filter(("loyal",), "tea").accepts("cafe_guests", fields)
