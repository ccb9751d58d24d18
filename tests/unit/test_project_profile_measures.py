"""Measures as sources of quick segments: which names mean which value of which profiles."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from segengine.cli.quick_questions import ask_for_the_rest
from segengine.demo.projects import copy_project
from segengine.errors import ConfigError
from segengine.project.catalogue import Catalogue, load_catalogue
from segengine.project.profile_measures import find_profile_measure, list_profile_measures, names_measure
from segengine.project.quick import Known, QuickSegment, list_source, write_fields
from segengine.project.settings import load_settings

DEFINITIONS = """
{kind: measure, name: Order count, per: account, over: orders, value: {count: rows}}
---
{kind: measure, name: Rating, per: contact, over: tickets, values: {worst: {min: rating}, count: {count: rows}}}
---
{kind: measure, name: Orders by month, per: [account, {month: ordered_at}], over: orders, value: {count: rows}}
---
{kind: measure, name: All orders, per: business, over: orders, value: {count: rows}}
"""


@pytest.fixture
def harbor(tmp_path: Path) -> Catalogue:
    copy_project("harbor_supply", tmp_path)
    for file in (tmp_path / "definitions").iterdir():
        file.unlink()
    (tmp_path / "definitions" / "measures.yml").write_text(DEFINITIONS)
    return load_catalogue(load_settings(tmp_path))


def known(catalogue: Catalogue) -> Known:
    return Known(catalogue.settings, catalogue.schema, catalogue)


def test_values_of_profiles_are_listed(harbor: Catalogue) -> None:
    names = {name: (attribute.base, str(attribute.type)) for name, attribute in list_profile_measures(harbor).items()}
    assert names == {
        "Order count": ("accounts", "integer"),
        "Rating.worst": ("contacts", "integer"),
        "Rating.count": ("contacts", "integer"),
    }
    assert list(list_source("measures", known(harbor), "account")) == ["Order count"]


@pytest.mark.parametrize(
    ("name", "audience", "found"),
    [
        ("Order count", "", ("account", "Order count")),
        ("Rating.worst", "", ("contact", "Rating.worst")),
        ("account.Order count", "", ("contact", "account.Order count")),
        ("account.Order count", "contact", ("contact", "account.Order count")),
    ],
)
def test_the_audience_of_a_name(harbor: Catalogue, name: str, audience: str, found: tuple[str, str]) -> None:
    owner, attribute = find_profile_measure(harbor, name, audience)
    assert (owner, attribute.name) == found
    fields = write_fields(QuickSegment("measures", name, "at_least", ("3",), "A", audience), known(harbor))
    assert (fields["audience"], fields["where"]) == (owner, {name: {"at_least": "3"}})


@pytest.mark.parametrize(
    ("name", "audience", "message"),
    [
        ("Order cuont", "", 'There is no measure "Order cuont". Did you mean "Order count"?'),
        ("Rating", "", 'Measure "Rating" has several values. Name one: Rating.worst, Rating.count.'),
        ("Rating.count", "customer", 'There is no audience "customer".'),
        (
            "Order count",
            "contact",
            '"Order count" is a measure of audience "account", not of "contact".',
        ),
        ("role.Order count", "", '"role.Order count" leads to no measure. Write `Order count`.'),
        (
            "Orders by month",
            "",
            '"Orders by month" has a value for each month: a profile has more than one. '
            "`segengine measures values orders_by_month` prints its values.",
        ),
        ("All orders", "contact", '"All orders" is a business measure: a profile has no value of it. `segengine meas'),
    ],
)
def test_names_that_mean_no_value(harbor: Catalogue, name: str, audience: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_profile_measure(harbor, name, audience)
    assert str(caught.value).startswith(message)


def test_attributes_are_no_measures(harbor: Catalogue) -> None:
    assert (names_measure(harbor, "role"), names_measure(harbor, "Rating.worst")) == (False, True)
    with pytest.raises(ConfigError, match='"role" is an attribute of the profiles, no measure. Use --from profiles.'):
        write_fields(QuickSegment("measures", "role", "equals", ("x",), "A"), known(harbor))


def test_measures_are_asked_for(
    harbor: Catalogue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ("Rating", "Rating.worst", "contains", "at_most", "few", "2", "")
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    found = ask_for_the_rest(harbor.settings, QuickSegment("measures", "", "", (), ""), harbor)
    assert found == QuickSegment("measures", "Rating.worst", "at_most", ("2",), "Rating worst at most 2")
    asked = capsys.readouterr().err
    assert asked.startswith("  Order count   integer\n  Rating.worst  integer\n  Rating.count  integer\n")
    assert 'Error: Measure "Rating" has several values.' in asked
    assert "begins_with" not in asked, "only operators that fit"
    assert "Error: Rating.worst (integer)" in asked
