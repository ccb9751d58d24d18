"""Fields chosen and left out: each doubt planted, honest fields kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tastes import FIELDS, draw_customers, take_sample

from segengine.errors import ConfigError
from segengine.models.fields import Field
from segengine.models.recommended import Doubt, FieldChoice, Offer, choose_fields
from segengine.models.training import Sample, SampleDraw, arrange_sample
from segengine.project.types import AttributeType

TEXT, INTEGER, DOUBLE = AttributeType("text"), AttributeType("integer"), AttributeType("double")
CUSTOMERS = draw_customers(5, 6_000)
AGE = CUSTOMERS.table["age"].to_numpy()
YOUNG = np.nan_to_num(AGE, nan=99) < 30
DRAW = np.random.default_rng(55)
NOISE = DRAW.normal(size=len(AGE))

PLANTED = {
    "email": (TEXT, pa.array([f"{i}@example.com" for i in range(len(AGE))])),
    "remark": (TEXT, pa.array([f"text {i}" for i in DRAW.integers(0, 800, len(AGE))])),
    "number": (INTEGER, pa.array(DRAW.permutation(10**6)[: len(AGE)])),
    "store": (INTEGER, pa.array(DRAW.integers(1, 9, len(AGE)))),
    "country": (TEXT, pa.array(["US"] * len(AGE))),
    "empty": (DOUBLE, pa.array([None] * len(AGE), pa.float64())),
    "birth_year": (INTEGER, pc.subtract(2025, CUSTOMERS.table["age"])),
    "generation": (TEXT, pa.array(np.where(AGE < 30, "Z", np.where(AGE < 45, "Y", np.where(AGE < 60, "X", "B"))))),
    "fitness": (DOUBLE, pa.array(np.where(np.isnan(AGE), 0.0, -AGE) + 40 * NOISE)),
    "voucher": (TEXT, pa.array(np.where(YOUNG ^ (DRAW.random(len(AGE)) < 0.01), "given", None))),
}
TABLE = CUSTOMERS.table
for name, (_, column) in PLANTED.items():
    TABLE = TABLE.append_column(name, column)
OFFER = Offer(
    (*FIELDS, *(Field(name, type_) for name, (type_, _) in PLANTED.items())),
    rule_fields=frozenset({"age"}),
    key_fields=frozenset({"store"}),
)
DOUBTS = {
    "age": Doubt.RULE,
    "email": Doubt.ID,
    "remark": Doubt.TEXT,
    "number": Doubt.ID,
    "store": Doubt.ID,
    "country": Doubt.CONSTANT,
    "empty": Doubt.CONSTANT,
    "birth_year": Doubt.COPY,
    "generation": Doubt.COPY,
    "voucher": Doubt.GIVES_AWAY,
}


def choose(offer: Offer, sample: Sample | None = None) -> dict[str, FieldChoice]:
    sample = sample or take_sample(TABLE, YOUNG)
    return {choice.name: choice for choice in choose_fields(sample, offer, "fields")}


def test_every_planted_doubt_is_found_and_no_honest_field_is_lost() -> None:
    choices = choose(OFFER)
    assert {name: choice.doubt for name, choice in choices.items() if choice.doubt} == DOUBTS
    assert {name for name, choice in choices.items() if not choice.used} == set(DOUBTS)
    assert all(choice.reason for choice in choices.values() if choice.doubt)


def test_a_sample_full_of_members_judges_copies_as_all_customers_would() -> None:
    hashes = TABLE["id_hash"].to_numpy()
    kept = YOUNG | (hashes % 10 == 0)
    sample = arrange_sample(TABLE.filter(pa.array(kept)), YOUNG[kept], int(YOUNG.sum()), int((~YOUNG).sum()))
    choices = choose(OFFER, sample)
    assert choices["generation"].doubt is Doubt.COPY
    assert not choices["fitness"].doubt


def test_a_copy_of_text_in_the_rule_is_found() -> None:
    source = np.asarray(TABLE["tier"].to_pylist(), object) == "High"
    tier = np.asarray(TABLE["tier"].to_pylist(), object)
    level = np.where(DRAW.random(len(tier)) < 0.1, "High", np.where(tier == None, "Low", tier))  # noqa: E711
    table = TABLE.append_column("level", pa.array(level.tolist(), pa.string()))
    offer = replace(OFFER, fields=(*FIELDS, Field("level", TEXT)), rule_fields=frozenset({"tier"}))
    choices = choose(offer, take_sample(table, source))
    assert {name for name, choice in choices.items() if choice.doubt} == {"tier", "level"}
    assert "tier" in choices["level"].reason


def test_chosen_fields_are_used_and_the_doubt_is_kept() -> None:
    choices = choose(replace(OFFER, chosen=("age", "remark", "spend")))
    assert [(choice.name, choice.used, choice.leaks) for choice in choices.values()] == [
        ("age", True, True),
        ("remark", True, False),
        ("spend", True, False),
    ]


def test_a_chosen_field_without_differences_is_left_out() -> None:
    choices = choose(replace(OFFER, chosen=("spend", "empty")))
    assert not choices["empty"].used
    assert choices["empty"].reason == "no customer has a value"


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='no field "spent"') as refused:
        choose(replace(OFFER, chosen=("spent",)))
    assert refused.value.hint == 'Did you mean "spend"?'


def test_no_usable_field_is_refused_with_the_reasons() -> None:
    with pytest.raises(ConfigError, match="age: the source's own rule uses it; country: every customer"):
        choose(replace(OFFER, fields=tuple(one for one in OFFER.fields if one.name in ("age", "country"))))
    with pytest.raises(ConfigError, match="none is offered"):
        choose(Offer(()))


def test_the_draw_takes_about_as_many_as_a_model_needs() -> None:
    hashes = np.random.default_rng(8).integers(-(2**63), 2**63 - 1, 400_000)
    is_member = np.arange(len(hashes)) < 100_000
    taken = SampleDraw(100_000, 300_000, "seed").choose(hashes, is_member)
    assert taken[is_member].sum() == pytest.approx(30_000, rel=0.03)
    assert taken[~is_member].sum() == pytest.approx(100_000, rel=0.03)
    assert SampleDraw(20, 90, "seed").choose(hashes[:110], is_member[:110]).all()
