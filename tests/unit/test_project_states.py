"""Whether definitions take part in refreshes: `state`, `exempt_from_deactivation`, and the tag of the rule."""

from __future__ import annotations

import pytest

from segengine.project.catalogue import Catalogue
from tests.unit.measured import catalogue_of, read_catalogue

SEGMENT = "kind: segment\nname: All\nwhere: everyone\n"
MEASURE = "kind: measure\nname: Spend\nper: customer\nover: purchases\nvalue: {sum: amount}\n"
TEMPLATE = "kind: measure\nname: Baskets\nper: customer\ntemplate: transaction_count\nactivity: purchase\n"


def state_of(catalogue: Catalogue) -> tuple[str, bool]:
    (definition,) = catalogue.evaluated.values()
    return definition.state, definition.exempt_from_deactivation


@pytest.mark.parametrize("text", [SEGMENT, MEASURE, TEMPLATE])
def test_active_unless_said_otherwise(text: str) -> None:
    plain = catalogue_of(text)
    assert state_of(plain) == ("active", False)
    inactive = catalogue_of(f"{text}state: inactive\nexempt_from_deactivation: true\n")
    assert state_of(inactive) == ("inactive", True)
    draft = catalogue_of(f"{text}state: draft\n")
    assert state_of(draft) == ("draft", False)
    (identity,) = plain.order
    assert plain.hashes[identity].data == inactive.hashes[identity].data == draft.hashes[identity].data
    assert plain.hashes[identity].metadata != inactive.hashes[identity].metadata


def errors(text: str) -> list[str]:
    return [message.partition(": ")[2].strip() for message in read_catalogue(text)[1]]


def test_other_words_are_errors() -> None:
    assert errors(f"{SEGMENT}state: asleep\n") == [
        'segment "All": state is "asleep", expected one of active, inactive, draft. Known: active, draft, inactive.'
    ]
    assert errors(f"{SEGMENT}exempt_from_deactivation: always\n") == [
        'segment "All": exempt_from_deactivation is always, expected true or false.'
    ]


def test_the_tag_of_the_rule_is_beside_the_twenty() -> None:
    tags = ", ".join(f"t{number}" for number in range(20))
    assert errors(f"{SEGMENT}tags: [{tags}, AutoDeactivated]\n") == []
    assert errors(f"{SEGMENT}tags: [{tags}, one_more]\n") == ['segment "All": 21 tags, at most 20 are allowed.']


def test_a_tag_that_looks_like_several_is_an_error() -> None:
    assert errors(f"{SEGMENT}tags: summer, fun\n") == [
        'segment "All": the tag "summer, fun" has a comma. Write a list: tags: [summer, fun].'
    ]
