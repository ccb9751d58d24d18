"""Suggestions from end to end: what they say, what they leave out and why, and that nothing but the data matters."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
from planted_groups import CHURNED, FIELDS, MONEY, SPEND, Planted, add_target, make_customers
from suggesting import finds, suggest

from segengine.errors import ConfigError
from segengine.models.cards import describe_group, describe_suggestion, label
from segengine.models.fields import HASH, Field, draw_by_hash
from segengine.models.groups import Condition, find_members
from segengine.models.intervals import Interval
from segengine.models.suggestions import (
    Question,
    Suggestion,
    choose_share,
    confirm_candidates,
    find_candidates,
    name_salt,
)
from segengine.project.types import AttributeType

HIGH = Condition("loyalty_tier", "equals", "High")
RICH = Condition("income", "greater_than", 60_000)
TEXT = AttributeType("text")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    customers, _ = make_customers(501, 5_000)
    return add_target(customers, (Planted((HIGH, RICH), 0.8),), "gamma", 501)


def add(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.append_column(name, pa.array(values))


def test_a_suggestion_has_the_size_and_the_averages_of_its_group(table: pa.Table) -> None:
    spend = table[SPEND.name].to_pylist()
    unknown = [None if place % 9 == 0 else value for place, value in enumerate(spend)]
    partly = table.set_column(table.num_columns - 1, SPEND.name, pa.array(unknown, pa.int64()))
    found = suggest(partly, SPEND, FIELDS, "seed")
    assert finds(found, (HIGH, RICH), partly)
    assert (found.customer_count, found.known_count) == (5_000, sum(value is not None for value in unknown))
    for one in found.suggestions:
        members = find_members(one.group, partly)
        values = [value for value, member in zip(unknown, members, strict=True) if member and value is not None]
        known = [value for value in unknown if value is not None]
        assert (one.member_count, one.member_share) == (members.sum(), members.sum() / 5_000)
        assert one.known_count == len(values)
        assert one.average == pytest.approx(sum(values) / len(values) / 100)
        assert one.average_of_all == pytest.approx(sum(known) / len(known) / 100)
        assert one.expected.low < one.expected.value < one.expected.high


def test_the_same_data_in_another_order_have_the_same_suggestions(table: pa.Table) -> None:
    turned = table.take(pa.array(np.random.default_rng(3).permutation(5_000)))
    candidates = find_candidates(table, question := Question(SPEND, FIELDS, "seed"))
    others = find_candidates(turned, question)
    assert others == candidates
    counted = [candidates.counter.count(batch) for batch in table.to_batches()]
    parts = [others.counter.count(batch) for batch in turned.combine_chunks().to_batches(max_chunksize=700)]
    assert confirm_candidates(others, parts) == confirm_candidates(candidates, counted)


def test_a_sample_by_hash_is_all_that_is_searched(table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segengine.models.suggestions.SAMPLE_ROWS", 1_000)
    drawn = draw_by_hash(np.asarray(table[HASH]), name_salt("seed")) < 1.3 * choose_share(5_000)
    question = Question(SPEND, FIELDS, "seed")
    assert find_candidates(table.filter(pa.array(drawn)), question) == find_candidates(table, question)
    assert choose_share(100) == choose_share(0) == 1.0


def test_results_are_plain_values(table: pa.Table) -> None:
    found = suggest(table, SPEND, FIELDS, "seed")
    assert json.loads(json.dumps(asdict(found)))["suggestions"][0]["group"][0]["field"]


def test_copies_of_the_target_are_left_out_and_honest_fields_are_not(table: pa.Table) -> None:
    spend = np.asarray(table[SPEND.name])
    noise = np.random.default_rng(5).normal(size=5_000)
    copies = {
        "times_100": spend * 100,
        "log_spend": np.log(spend + 1.0),
        "decile": np.searchsorted(np.quantile(spend, np.linspace(0.1, 0.9, 9)), spend).astype(str),
        "noisy": spend + 0.1 * spend.std() * noise,
    }
    doubtful = {"half": spend + 0.5 * spend.std() * noise}
    types = {"times_100": MONEY, "decile": TEXT}
    wide = table
    for name, values in (copies | doubtful).items():
        wide = add(wide, name, values)
    fields = [Field(name, types.get(name, AttributeType("double"))) for name in (*copies, *doubtful)]
    found = suggest(wide, SPEND, [*FIELDS, *fields, SPEND], "seed")
    assert {one.field for one in found.left_out} == {*copies, SPEND.name}
    assert [warning for warning in found.warnings if '"half"' in warning]
    assert found.suggestions


def test_copies_of_a_boolean_are_left_out(table: pa.Table) -> None:
    random = np.random.default_rng(6)
    wide = add_target(table, (), "boolean", 9)
    truth = np.asarray(wide[CHURNED.name]).astype(bool)
    wide = add(wide, "flipped", np.where(random.random(5_000) < 0.02, ~truth, truth).astype(np.int64))
    wide = add(wide, "reason", np.where(truth & (random.random(5_000) < 0.3), "cancelled", "none"))
    fields = [Field("flipped", AttributeType("boolean")), Field("reason", TEXT)]
    found = suggest(wide, CHURNED, [*FIELDS, *fields], "seed")
    assert {one.field for one in found.left_out} == {"flipped", "reason"}


def test_fields_that_make_up_the_target_are_warned_of(table: pa.Table) -> None:
    orders = np.random.default_rng(3).poisson(4, 5_000) + 1
    wide = add(add(table, "orders", orders), "average", np.asarray(table[SPEND.name]) / orders)
    fields = [Field("orders", AttributeType("integer")), Field("average", AttributeType("double"))]
    assert any("Together" in warning for warning in suggest(wide, SPEND, [*FIELDS, *fields], "s").warnings)
    assert not any("Together" in warning for warning in suggest(table, SPEND, FIELDS, "s").warnings)


def test_classes_are_each_compared_with_the_rest(table: pa.Table) -> None:
    random = np.random.default_rng(8)
    lift = 0.35 * find_members((HIGH, RICH), table)
    rank = random.random(5_000) - lift
    answers = np.select([rank < 0.3, rank < 0.7], ["good", "fair"], "poor")
    answers[:20] = "none"
    found = suggest(add(table, "satisfaction", answers), Field("satisfaction", TEXT), FIELDS, "seed")
    assert {one.outcome for one in found.suggestions} >= {"good"}
    good = next(one for one in found.suggestions if one.outcome == "good")
    members = find_members(good.group, table)
    assert good.average == pytest.approx((answers[members] == "good").mean())
    assert 0 < good.expected.low < good.expected.high < 1
    assert any("none" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("target", "fields", "message"),
    [
        (Field("nothing", MONEY), FIELDS, "missing everywhere"),
        (Field("constant", MONEY), FIELDS, "the same value"),
        (Field("id", TEXT), FIELDS, "values: suggestions take text of at most 10"),
        (SPEND, (SPEND, Field("id", TEXT), Field("constant", MONEY)), "the target itself; id looks like an id"),
        (SPEND, (), "none is given"),
    ],
)
def test_bad_input_has_a_clear_message(table: pa.Table, target: Field, fields: tuple[Field, ...], message: str) -> None:
    wide = add(add(table, "constant", [5] * 5_000), "id", [f"c{number}" for number in range(5_000)])
    wide = wide.append_column("nothing", pa.nulls(5_000, pa.int64()))
    with pytest.raises(ConfigError, match=message) as raised:
        find_candidates(wide, Question(target, fields, "seed"))
    assert raised.value.hint


def test_few_customers_have_no_suggestions_and_a_warning(table: pa.Table) -> None:
    found = suggest(table.slice(0, 90), SPEND, FIELDS, "seed")
    assert found.suggestions == ()
    assert "too few" in found.warnings[0]


CARD = Suggestion(None, (RICH, HIGH), 585, 0.117, 580, 1_043.4, 870.2, Interval(1_031, 968, 1_094), 0.3, 0.001)
QUESTION = Question(SPEND, (*FIELDS, Field("born", AttributeType("date")), Field("shop.size", MONEY)), "seed")


@pytest.mark.parametrize(
    ("suggestion", "question", "words"),
    [
        (
            CARD,
            QUESTION,
            "LifetimeSpend is 20 % above average (1,043 against 870): Income above 60,000 and Loyalty Tier High; "
            "585 members, 12 %; expect 1,031 (968 to 1,094, 95 % sure)",
        ),
        (
            replace(CARD, average=-3.5, average_of_all=2.25),
            QUESTION,
            "LifetimeSpend is below average (-3.5 against 2.25): ",
        ),
        (replace(CARD, average=0.4, average_of_all=0.0), QUESTION, "LifetimeSpend is above average (0.4 against 0): "),
        (
            replace(CARD, outcome=1, average=0.45, average_of_all=0.264, expected=Interval(0.44, 0.385, 0.5)),
            replace(QUESTION, target=CHURNED),
            "Churned is true for 45 % against 26 %: Income above 60,000 and Loyalty Tier High; "
            "585 members, 12 %; expect 44 % (38 % to 50 %, 95 % sure)",
        ),
        (
            replace(CARD, outcome="good", average=0.05, average_of_all=0.082),
            replace(QUESTION, target=Field("satisfaction", TEXT)),
            "Satisfaction is good for 5 % against 8.2 %: ",
        ),
    ],
)
def test_a_card_is_in_plain_words(suggestion: Suggestion, question: Question, words: str) -> None:
    assert describe_suggestion(suggestion, question).startswith(words)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("state", "not_equals", "New York"), "State not New York"),
        (Condition("email_subscriber", "equals", 0), "Email Subscriber no"),
        (Condition("income", "empty"), "Income not known"),
        (Condition("channel", "not_empty"), "Channel known"),
        (Condition("born", "at_most", 4_017), "Born up to 1980-12-31"),
        (Condition("born", "greater_than", 4_017), "Born after 1980-12-31"),
        (Condition("shop.size", "at_most", -1_234_550), "Shop Size at most -12,345.5"),
    ],
)
def test_conditions_are_in_plain_words(condition: Condition, words: str) -> None:
    assert describe_group((condition,), {field.name: field.type for field in QUESTION.influences}, "UTC") == words


def test_names_with_capitals_stay() -> None:
    assert (label("LifetimeSpend"), label("Average Web Purchase")) == ("LifetimeSpend", "Average Web Purchase")
