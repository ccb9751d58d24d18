"""Customers to compare: fields drawn alike for all, or another way for one side."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa

from segengine.models.cells import CellCounter, choose_cells, tally_counts
from segengine.models.differentiators import Differentiators, find_differentiators
from segengine.models.fields import HASH, KEY, Field
from segengine.models.sides import plan_sides
from segengine.project.types import AttributeType

DOUBLE, INTEGER, TEXT = AttributeType("double"), AttributeType("integer"), AttributeType("text")
MONEY, BOOLEAN = AttributeType("decimal", 38, 2), AttributeType("boolean")
ARROW = {"double": pa.float64(), "text": pa.string()}

Draw = Callable[[np.random.Generator, int], np.ndarray]


Sent = TypeVar("Sent")


def send(value: Sent) -> Sent:
    """Return what arrives of a value in another process."""
    sent: Sent = pickle.loads(pickle.dumps(value))  # noqa: S301
    return sent


def normal(mean: float = 0.0, spread: float = 1.0) -> Draw:
    return lambda random, count: random.normal(mean, spread, count)


def some_missing(draw: Draw, share: float) -> Draw:
    """Return the same draws with a share of them missing: NaN, or None in an array of texts."""

    def drawn(random: np.random.Generator, count: int) -> np.ndarray:
        values = draw(random, count)
        values[random.random(count) < share] = None if values.dtype == object else np.nan
        return values

    return drawn


def words(count: int, power: float = 1.0) -> Draw:
    """Return draws of so many texts, the first ones more frequent."""
    weights = np.arange(1, count + 1) ** -power
    names = np.array([f"value {number}" for number in range(count)], dtype=object)
    return lambda random, size: random.choice(names, size, p=weights / weights.sum())


def money(scale: float = 1.0, zeros: float = 0.15) -> Draw:
    def drawn(random: np.random.Generator, count: int) -> np.ndarray:
        return np.where(random.random(count) < zeros, 0, np.rint(random.lognormal(6, 1, count) * 100 * scale))

    return drawn


MIXED: Mapping[str, tuple[AttributeType, Draw]] = {
    "income": (DOUBLE, some_missing(normal(40_000, 9_000), 0.05)),
    "spend": (MONEY, money()),
    "visits": (INTEGER, lambda random, count: random.poisson(2.5, count)),
    "state": (TEXT, words(40)),
    "channel": (TEXT, some_missing(words(4), 0.08)),
    "subscriber": (BOOLEAN, lambda random, count: random.integers(0, 2, count)),
}


def make_table(columns: Mapping[str, tuple[AttributeType, np.ndarray]], first_key: int = 1) -> pa.Table:
    """Return a feature table; NaN and None are missing."""
    count = len(next(iter(columns.values()))[1])
    keys = np.arange(first_key, first_key + count)
    arrays = {KEY: pa.array(keys), HASH: pa.array(keys * 0x5851F42D4C957F2D)}
    for name, (type_, values) in columns.items():
        arrow = ARROW.get(type_.name, pa.int64())
        arrays[name] = (
            pa.array(values, pa.float64(), from_pandas=True).cast(arrow)
            if arrow != pa.string()
            else pa.array(values, arrow)
        )
    return pa.table(arrays)


def draw_table(
    fields: Mapping[str, tuple[AttributeType, Draw]],
    counts: Sequence[int],
    seed: int,
    other: Mapping[str, Draw] | None = None,
) -> tuple[pa.Table, np.ndarray]:
    """Return a feature table and the side of each profile; the first side draws the fields of `other` from there."""
    random = np.random.default_rng(seed)
    columns = {}
    for name, (type_, draw) in fields.items():
        mine = (other or {}).get(name, draw)(random, counts[0])
        columns[name] = (type_, np.concatenate([mine, draw(random, counts[1])]))
    sides = np.repeat(np.array([1, 2], dtype=np.int8), counts)
    order = random.permutation(len(sides))
    return make_table(columns).take(order), sides[order]


def compare(
    table: pa.Table,
    sides: np.ndarray,
    types: Mapping[str, AttributeType],
    seed_text: str,
    sample_rows: int | None = None,
) -> Differentiators:
    """Return the differentiators, with cells chosen from the first rows alone."""
    sizes = [int((sides == side).sum()) for side in (1, 2)]
    fields = [Field(name, type_) for name, type_ in types.items()]
    cells = choose_cells(table.slice(0, sample_rows), fields, min(sizes))
    (batch,) = table.combine_chunks().to_batches()
    counts = tally_counts([CellCounter(cells).count(batch, sides)], cells, 2)
    return find_differentiators(counts, plan_sides("some", "others", *sizes, 0), seed_text)
