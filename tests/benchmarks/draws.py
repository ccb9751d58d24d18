"""Random segments, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from .data import CATEGORIES, CHANNELS, OCCUPATIONS, PRODUCT_COUNT, STATES
from .segments import COMPARISONS, Aggregate, BenchmarkSegment, Group, Joiner, Quantifier, Rule, Spec


def make_segments(count: int, quantified: float = 0.33, seed: int = 11) -> list[BenchmarkSegment]:
    """Return random segments; the first n of a larger number are the same n.

    Args:
        count: How many.
        quantified: The share of rules on rows that count or aggregate instead of asking for "any row", in 0..1.
        seed: Of the draw.
    """
    return [_Draw(random.Random(f"{seed}/{place}"), quantified).segment(f"s{place:04}") for place in range(count)]


class _Draw:
    def __init__(self, source: random.Random, quantified: float) -> None:
        self._random = source
        self._quantified = quantified

    def segment(self, identity: str) -> BenchmarkSegment:
        rules: list[tuple[Joiner, Rule]] = [("union", self._rule())]
        joiners: tuple[Joiner, ...] = ("intersect", "union", "except")
        while self._random.random() < 0.5 and len(rules) < 4:
            rules.append((self._random.choice(joiners), self._rule()))
        return BenchmarkSegment(identity, tuple(rules))

    def _rule(self) -> Rule:
        pick = self._random
        if pick.random() < 0.45:
            return Rule(self._group(self._profile_spec))
        where = self._group(self._row_spec)
        if pick.random() >= self._quantified:
            return Rule(where, "any")
        quantifiers: tuple[Quantifier, ...] = (
            "none",
            "all",
            "at_least",
            "at_most",
            "exactly",
            "aggregate",
            "aggregate",
        )
        quantifier = pick.choice(quantifiers)
        timeless = tuple(spec for spec in where.specs if spec.column != "purchased_at")
        among = Group("all", (self._period(),)) if timeless and (quantifier == "all" or pick.random() < 0.3) else None
        if among is not None:  # two periods on one row would often exclude each other, which is refused
            where = Group(where.join, timeless)
        if quantifier == "all":
            where = Group("any", (*where.specs, self._price_at_most()))
        if quantifier == "aggregate":
            return Rule(where, quantifier, 0, among, self._aggregate())
        return Rule(where, quantifier, pick.randint(1, 4) + (quantifier == "at_least"), among)

    def _aggregate(self) -> Aggregate:
        pick = self._random
        return pick.choice(
            (
                Aggregate("sum", "total_price", pick.randint(1, 30) * 50),
                Aggregate("average", "total_price", pick.randint(2, 40) * 10),
                Aggregate("max", "quantity", pick.randint(2, 4)),
                Aggregate("count_unique", "product_id", pick.randint(2, 5)),
            )
        )

    def _group(self, draw: Callable[[], Spec]) -> Group:
        pick = self._random
        columns: dict[str, Spec] = {}
        for _ in range(pick.randint(1, 3)):
            spec = draw()
            columns.setdefault(spec.column, spec)
        return Group("any" if pick.random() < 0.15 else "all", tuple(columns.values()))

    def _profile_spec(self) -> Spec:
        pick = self._random
        draws = (
            lambda: self._text("state", STATES, 3),
            lambda: self._text("occupation", OCCUPATIONS, 3),
            lambda: self._text("loyalty_tier", ("High", "Medium", "Low"), 2),
            lambda: Spec("email_subscriber", pick.choice(("is_true", "is_false")), (), pick.random() < 0.2),
            lambda: self._number("income", 20_000, 150_000, 1_000),
            lambda: self._number("satisfaction", 2, 9, 0.5),
            lambda: self._days("date_of_birth", date(1945, 1, 1), 22_000),
            lambda: self._number("reward_points", 0, 2_000, 1),
            lambda: self._days("customer_since", date(2020, 1, 1), 2_100),
            lambda: Spec("email", "empty", (), pick.random() < 0.7),
        )
        return pick.choice(draws)()

    def _row_spec(self) -> Spec:
        pick = self._random
        draws = (
            lambda: self._text("product_id", [f"PR{n}" for n in range(PRODUCT_COUNT)], 4),
            lambda: self._text("product.category", [name for name in CATEGORIES if name], 2),
            lambda: self._number("total_price", 10, 490, 1),
            lambda: self._text("channel", [name for name in CHANNELS if name], 2),
            self._period,
            self._period,
            lambda: self._number("quantity", 1, 4, 1),
            lambda: self._number("rating", 3, 9, 0.5),
            lambda: Spec("store.city", "begins_with", (pick.choice(("San", "Sa", "Port")),), pick.random() < 0.2),
            lambda: self._number("product.list_price", 10, 390, 10),
        )
        return pick.choice(draws)()

    def _text(self, column: str, values: Sequence[str], most: int) -> Spec:
        pick = self._random
        chosen = tuple(sorted(pick.sample(list(values), pick.randint(1, most))))
        negated = pick.random() < 0.15
        return Spec(column, "any_of", chosen, negated, negated and pick.random() < 0.3)

    def _number(self, column: str, low: int, high: int, step: float) -> Spec:
        pick = self._random
        operator = pick.choice((*COMPARISONS, "between"))
        first = pick.randint(int(low / step), int(high / step)) * step if step >= 1 else pick.randint(low, high) * step
        values = (first, first + pick.randint(1, 20) * step) if operator == "between" else (first,)
        return Spec(column, operator, values, pick.random() < 0.1, pick.random() < 0.05)

    def _days(self, column: str, first: date, days: int) -> Spec:
        pick = self._random
        operator = pick.choice(("on_or_after", "before", "on_or_before", "after", "between"))
        start = first + timedelta(days=pick.randrange(days))
        end = start + timedelta(days=pick.randrange(days // 3))
        return Spec(column, operator, (start, end) if operator == "between" else (start,))

    def _period(self) -> Spec:
        start = date(2024, 1, 1) + timedelta(days=self._random.randrange(850))
        end = start + timedelta(days=self._random.choice((7, 30, 90, 365)))
        return Spec("purchased_at", "between", (start, end))

    def _price_at_most(self) -> Spec:
        return Spec("total_price", "at_most", (self._random.randint(300, 490),))
