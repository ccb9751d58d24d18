"""Customers of whom some love a thing, for reasons that are planted; and segments that know some of these lovers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.models.fields import HASH, KEY, Field
from segengine.models.training import Sample, arrange_sample
from segengine.project.types import AttributeType

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

AS_OF = 1_760_000_000_000_000
TODAY = AS_OF // 86_400_000_000
TIERS = ("High", "Low", "Middle")
CITIES = ("Bend", "Boise", "Fresno", "Reno", "Salem", "Tacoma")
TASTE = ("age", "tier", "spend", "joined_on")
CERTAINTY = 1.6

FIELDS = (
    Field("age", AttributeType("integer")),
    Field("tier", AttributeType("text")),
    Field("spend", AttributeType("decimal", 12, 2)),
    Field("joined_on", AttributeType("date")),
    *(Field(f"number_{i}", AttributeType("double")) for i in range(5)),
    *(Field(f"text_{i}", AttributeType("text")) for i in range(4)),
    Field("subscribed", AttributeType("boolean")),
)


@dataclass(frozen=True)
class Customers:
    """A feature table, and how much each customer is drawn to the thing: what the best of models could know."""

    table: pa.Table
    attraction: Floats
    luck: Floats

    def find_lovers(self, share: float) -> Bools:
        """Return the share of the customers who love it, shape (n,)."""
        love = self.attraction + self.luck
        return love > np.quantile(love, 1 - share)


def draw_customers(seed: int, count: int) -> Customers:
    """Return customers; their hashes, attributes and luck come from streams of their own."""
    hashes, taste, rest, luck = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    age = taste.integers(18, 90, count)
    tier = taste.choice(3, count, p=(0.2, 0.5, 0.3))
    spend = np.rint(np.exp(taste.normal(5, 1, count)) * 100).astype(np.int64)
    days = taste.integers(0, 3_000, count)
    missing = taste.random((count, 2)) < 0.05
    columns = {
        KEY: pa.array(np.arange(1, count + 1)),
        HASH: pa.array(hashes.integers(-(2**63), 2**63 - 1, count)),
        "age": pa.array(age, mask=missing[:, 0]),
        "tier": pa.array(np.array(TIERS)[tier], mask=missing[:, 1]),
        "spend": pa.array(spend),
        "joined_on": pa.array(TODAY - days),
        **{f"number_{i}": pa.array(rest.normal(size=count)) for i in range(5)},
        **{f"text_{i}": pa.array(rest.choice(CITIES, count)) for i in range(4)},
        "subscribed": pa.array(rest.integers(0, 2, count)),
    }
    young = (age < 40) & ~missing[:, 0]
    attraction = (
        1.2 * young
        + np.where(missing[:, 1], 0.0, np.array([1.5, 0.0, 0.6])[tier])
        + 0.9 * (np.log(spend / 100) - 5)
        - days / 1_500
        + 1.2 * (young & (days < 700))
    )
    return Customers(pa.table(columns), CERTAINTY * attraction, luck.logistic(size=count))


def draw_source(customers: Customers, lovers: Bools, seed: int, share: float = 0.6) -> Bools:
    """Return a random share of the lovers, as a segment that knows some of them has."""
    return lovers & (np.random.default_rng((seed, 7)).random(len(lovers)) < share)


def take_sample(table: pa.Table, is_member: Bools) -> Sample:
    """Return all customers as a sample."""
    members = int(is_member.sum())
    return arrange_sample(table, is_member, members, len(is_member) - members)


def measure_lift(ranked_by: npt.NDArray[np.generic], wanted: Bools, share: float) -> float:
    """Return how many times more of the wanted the best share of candidates has than all of them."""
    best = np.argsort(-ranked_by, kind="stable")[: round(len(wanted) * share)]
    return float(wanted[best].mean() / wanted.mean())
