"""Customers like a segment's members: fields chosen, models fitted and judged, and what readers should know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from segengine.errors import RunError
from segengine.models.calibration import STEPS, Platt, fit_platt, lower_bound, measure_auc
from segengine.models.evidence import Evidence, find_hidden
from segengine.models.explanation import Importance, rank_fields
from segengine.models.matrix import Matrix, learn_coding
from segengine.models.recommended import FieldChoice, Offer, choose_fields
from segengine.models.scoring import SimilarityModel
from segengine.models.selection import LEAST_SCORE
from segengine.models.shares import show_share
from segengine.models.training import Sample, fit_folds

LEAST_BOUND: Final = 0.55
SUSPICIOUS_AUC: Final = 0.98
LEAST_REACHING: Final = 0.01


@dataclass(frozen=True)
class Quality:
    """How well held-out members are told from the others.

    `auc` is above `auc_bound` with a confidence of 95 %; `reaching`: the share of the others that score `LEAST_SCORE`
    or more.
    """

    auc: float
    auc_bound: float
    reaching: float


@dataclass(frozen=True)
class SimilarityReport:
    """What a reader should know of a model; `evidence` is None where the fields give the members away."""

    fields: tuple[FieldChoice, ...]
    members: int
    others: int
    members_used: int
    others_used: int
    quality: Quality
    platt: Platt
    importance: tuple[Importance, ...]
    evidence: Evidence | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Similarity:
    """A model of similar customers, and the report on it."""

    model: SimilarityModel
    report: SimilarityReport


def learn_similarity(sample: Sample, offer: Offer, as_of: int, seed_text: str) -> Similarity:
    """Return a model that scores customers by their likeness to the source's members.

    Args:
        sample: Members and others.
        offer: The fields.
        as_of: The instant that dates lie before, in microseconds since 1970 UTC.
        seed_text: What all draws depend on: the hash of the definition.

    Raises:
        ConfigError: No field can be used, or one that was chosen is not there.
        RunError: The fields say nothing about the source.
    """
    choices = choose_fields(sample, offer, seed_text)
    model, matrix = fit_model(sample, offer, choices, as_of, seed_text)
    quality = judge_model(model, sample, matrix)
    check_quality(quality, choices)
    leaks = any(choice.leaks for choice in choices if choice.used)
    doubts = () if offer.chosen is None else warn_of_chosen(choices)
    members_used = int(np.count_nonzero(sample.is_member))
    report = SimilarityReport(
        fields=choices,
        members=sample.member_total,
        others=sample.other_total,
        members_used=members_used,
        others_used=len(sample.is_member) - members_used,
        quality=quality,
        platt=model.platt,
        importance=rank_fields(model, sample, matrix, seed_text),
        evidence=None if leaks else find_hidden(sample, matrix, model.coding.is_text, seed_text),
        warnings=(*doubts, *warn_of_leak(quality)),
    )
    return Similarity(model, report)


def fit_model(
    sample: Sample, offer: Offer, choices: tuple[FieldChoice, ...], as_of: int, seed_text: str
) -> tuple[SimilarityModel, Matrix]:
    """Return the model of the fields in use, and the sample's matrix."""
    used = {choice.name for choice in choices if choice.used}
    fields = [one for one in offer.fields if one.name in used]
    coding = learn_coding(sample.rows, fields, as_of)
    matrix = coding.encode(sample.rows)
    folds = fit_folds(matrix, coding.is_text, sample.is_member, sample.hashes, seed_text)
    platt = fit_platt(folds.rate(matrix, sample.hashes), sample.is_member)
    return SimilarityModel(coding, folds, platt), matrix


def judge_model(model: SimilarityModel, sample: Sample, matrix: Matrix) -> Quality:
    """Return how well a model tells the sample's members from its others, each held out from what rates it."""
    log_odds = model.folds.rate(matrix, sample.hashes)
    auc = measure_auc(log_odds, sample.is_member)
    members = int(np.count_nonzero(sample.is_member))
    others = model.platt.score(log_odds)[~sample.is_member]
    reaching = float(np.mean(others >= LEAST_SCORE * STEPS))
    return Quality(auc, lower_bound(auc, members, len(others)), reaching)


def check_quality(quality: Quality, choices: tuple[FieldChoice, ...]) -> None:
    """Refuse a model that tells members from others hardly better than chance.

    Raises:
        RunError: It does not.
    """
    if quality.auc_bound > LEAST_BOUND:
        return
    names = ", ".join(choice.name for choice in choices if choice.used)
    raise RunError(
        f"These fields say nothing about the source's members: {names} (AUC {quality.auc:.2f}, with 95 % confidence "
        f"above {quality.auc_bound:.2f}; it must be above {LEAST_BOUND}).",
        "Choose other fields, or a source whose members have more in common.",
    )


def warn_of_chosen(choices: tuple[FieldChoice, ...]) -> tuple[str, ...]:
    """Return a sentence for each field that was asked for though something speaks against it."""
    doubted = (choice for choice in choices if choice.doubt)
    return tuple(
        f"{choice.name} is {'used as asked, but' if choice.used else 'left out:'} {choice.reason}."
        for choice in doubted
    )


def warn_of_leak(quality: Quality) -> tuple[str, ...]:
    """Return what suggests that a model repeats the source's rule instead of finding customers like its members."""
    warnings = []
    if quality.auc >= SUSPICIOUS_AUC:
        warnings.append(
            f"Members are told from others almost perfectly (AUC {quality.auc:.3f}): the fields probably repeat the "
            "source's rule, and the scores then say who nearly meets it, not who is similar."
        )
    if quality.reaching < LEAST_REACHING:
        warnings.append(f"Only {show_share(quality.reaching)} of the other customers score {LEAST_SCORE} or more.")
    return tuple(warnings)
