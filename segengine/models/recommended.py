"""Which fields similar customers are found by, and why the others are left out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow.compute as pc

from segengine.errors import ConfigError
from segengine.models.fields import Codes, Field, draw_by_hash
from segengine.models.lookups import code_values, explain_share, tell_apart
from segengine.models.shares import show_share
from segengine.models.training import Sample
from segengine.project.problems import did_you_mean
from segengine.project.types import Family

MOST_CATEGORIES: Final = 30
COPY_SHARE: Final = 0.5
GIVES_AWAY_AUC: Final = 0.95
_ID_SHARE = 0.9
_FEWEST_IDS = 1_000
_LEARNING_SHARE = 0.5


class Doubt(StrEnum):
    """What speaks against a field."""

    NONE = ""
    CONSTANT = "constant"
    ID = "id"
    TEXT = "free text"
    RULE = "rule"
    COPY = "copy of the rule"
    GIVES_AWAY = "gives members away"


@dataclass(frozen=True)
class Offer:
    """The fields a model may use.

    Attributes:
        fields: All of them, columns of the feature table.
        rule_fields: Names of those that the source's own rule uses, also through parents and measures.
        key_fields: Names of those that identify something: keys, and columns that refer to keys.
        chosen: Names a user asks for, used whatever speaks against them; None where fields are recommended.
    """

    fields: tuple[Field, ...]
    rule_fields: frozenset[str] = frozenset()
    key_fields: frozenset[str] = frozenset()
    chosen: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FieldChoice:
    """Whether a field is used, and what speaks against it; `auc`: how well it alone tells members from others."""

    name: str
    used: bool
    doubt: Doubt
    reason: str
    auc: float | None

    @property
    def leaks(self) -> bool:
        """Whether a model that uses it only repeats the source's rule."""
        return self.doubt in (Doubt.RULE, Doubt.COPY, Doubt.GIVES_AWAY)


def choose_fields(sample: Sample, offer: Offer, seed_text: str) -> tuple[FieldChoice, ...]:
    """Return a choice for each field that was offered, or for the chosen ones.

    Raises:
        ConfigError: A chosen field is not among those offered, or no field can be used.
    """
    judge = _Judge(sample, offer, seed_text)
    choices = []
    for one in find_asked(offer):
        doubt, reason = judge.find_doubt(one)
        auc = None if doubt is Doubt.CONSTANT else judge.tell_apart(one)
        if not doubt and auc is not None and auc >= GIVES_AWAY_AUC:
            doubt, reason = Doubt.GIVES_AWAY, f"it alone tells members from others almost perfectly (AUC {auc:.2f})"
        used = doubt is not Doubt.CONSTANT and (not doubt or offer.chosen is not None)
        choices.append(FieldChoice(one.name, used, doubt, reason, auc))
    if not any(choice.used for choice in choices):
        listed = "; ".join(f"{choice.name}: {choice.reason}" for choice in choices)
        raise ConfigError(
            f"No field can be used to find similar customers ({listed or 'none is offered'}).",
            "Name fields that say more of customers than the source's rule does.",
        )
    return tuple(choices)


def find_asked(offer: Offer) -> list[Field]:
    """Return the fields to judge: the chosen ones, else all.

    Raises:
        ConfigError: A chosen field is not among those offered.
    """
    by_name = {one.name: one for one in offer.fields}
    if offer.chosen is None:
        return list(offer.fields)
    for name in offer.chosen:
        if name not in by_name:
            raise ConfigError(f'There is no field "{name}" to find similar customers by.', did_you_mean(name, by_name))
    return [by_name[name] for name in dict.fromkeys(offer.chosen)]


class _Judge:
    """Judges fields on a sample; copies of the rule on those of its rows in which members are as common as in all."""

    def __init__(self, sample: Sample, offer: Offer, seed_text: str) -> None:
        self._sample, self._offer = sample, offer
        self._learning = draw_by_hash(sample.hashes, f"{seed_text} look-up") < _LEARNING_SHARE
        weights = sample.weights
        self._even = draw_by_hash(sample.hashes, f"{seed_text} even") < weights / weights.max()
        even_rows = sample.take(self._even)
        rules = (one for one in offer.fields if one.name in offer.rule_fields)
        self._rules = [(one, even_rows.column(one.name)) for one in rules]

    def tell_apart(self, one: Field) -> float:
        """Return how well a field alone tells members from others, 0 to 1, on rows held back."""
        return tell_apart(self._code(one), self._sample.is_member, self._learning)

    def find_doubt(self, one: Field) -> tuple[Doubt, str]:
        """Return what speaks against a field, before it is tried on the members."""
        column = self._sample.rows.column(one.name)
        values, known = pc.count_distinct(column).as_py(), len(column) - column.null_count
        if values + (known < len(column)) <= 1:
            return Doubt.CONSTANT, "every customer has the same value" if known else "no customer has a value"
        if one.name in self._offer.key_fields or _looks_like_id(one, values, known):
            return Doubt.ID, "it names customers or things, and does not say what they are like"
        if one.type.family is Family.TEXT and values > MOST_CATEGORIES:
            return Doubt.TEXT, f"it has {values:,} different texts; categories may have {MOST_CATEGORIES}"
        if one.name in self._offer.rule_fields:
            return Doubt.RULE, "the source's own rule uses it"
        return self._find_copy(one)

    def _find_copy(self, one: Field) -> tuple[Doubt, str]:
        codes, learning = self._code(one)[self._even], self._learning[self._even]
        for rule, column in self._rules:
            share = explain_share(codes, column, rule, learning)
            if share >= COPY_SHARE:
                return Doubt.COPY, f"it tells {show_share(share)} of {rule.name}, which the source's rule uses"
        return Doubt.NONE, ""

    def _code(self, one: Field) -> Codes:
        return code_values(self._sample.rows.column(one.name), one)


def _looks_like_id(one: Field, values: int, known: int) -> bool:
    if one.type.family is Family.TEXT:
        return values > MOST_CATEGORIES and values >= _ID_SHARE * known
    return one.type.name == "integer" and values == known >= _FEWEST_IDS
