"""Customers with groups planted among them whose target differs: what suggestions should find, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.models.fields import HASH, KEY, Field
from segengine.models.groups import Condition, Group, find_members
from segengine.project.types import AttributeType

Mask = npt.NDArray[np.bool_]
Noise = Literal["gamma", "lognormal", "boolean"]

TEXT, INTEGER, BOOLEAN = AttributeType("text"), AttributeType("integer"), AttributeType("boolean")
MONEY = AttributeType("decimal", 12, 2)
STATES = ("California", "Texas", "New York", "Florida", "Ohio", "Oregon", "Nevada", "Utah")
FIELDS = (
    Field("state", TEXT),
    Field("email_subscriber", BOOLEAN),
    Field("income", INTEGER),
    Field("loyalty_tier", TEXT),
    Field("occupation", TEXT),
    Field("reward_points", INTEGER),
    Field("age", INTEGER),
    Field("channel", TEXT),
)
SPEND, CHURNED = Field("LifetimeSpend", MONEY), Field("churned", BOOLEAN)
BASE_SHARE = 0.26


@dataclass(frozen=True)
class Planted:
    """A group and by how much its members' target is greater: in standard deviations, of a boolean as a share."""

    group: Group
    effect: float


def make_customers(seed: int, count: int, irrelevant: int = 0) -> tuple[pa.Table, tuple[Field, ...]]:
    """Return a feature table without a target, and its fields: the eight of the lab and irrelevant ones."""
    random = np.random.default_rng([seed, 1])
    income = np.rint(random.lognormal(11, 0.5, count)).astype(np.int64)
    points = np.where(random.random(count) < 0.15, 0, np.rint(random.gamma(1.5, 200, count))).astype(np.int64)
    columns = {
        KEY: pa.array(np.arange(1, count + 1)),
        HASH: pa.array(np.random.default_rng([seed, 2]).integers(-(2**63), 2**63, count, dtype=np.int64)),
        "state": _choose(random, STATES, (0.24, 0.18, 0.14, 0.12, 0.1, 0.09, 0.08, 0.05), count),
        "email_subscriber": pa.array((random.random(count) < 0.4).astype(np.int64)),
        "income": pa.array(income, mask=random.random(count) < 0.05),
        "loyalty_tier": _choose(random, ("Low", "Medium", "High"), (0.5, 0.3, 0.2), count),
        "occupation": _choose(
            random, ("Clerk", "Nurse", "Teacher", "Engineer", "Student"), (0.3, 0.2, 0.2, 0.2, 0.1), count
        ),
        "reward_points": pa.array(points),
        "age": pa.array(random.integers(18, 85, count)),
        "channel": _choose(random, ("web", "store", "app"), (0.5, 0.3, 0.2), count, missing=0.08),
    }
    more = []
    for number in range(irrelevant):
        name = f"other_{number}"
        more.append(Field(name, TEXT if number % 3 == 2 else AttributeType("double")))
        columns[name] = (
            _choose(random, "abcdef", (1 / 6,) * 6, count) if number % 3 == 2 else pa.array(random.gamma(2, 10, count))
        )
    return pa.table(columns), (*FIELDS, *more)


def _choose(
    random: np.random.Generator,
    values: tuple[str, ...] | str,
    shares: tuple[float, ...],
    count: int,
    missing: float = 0,
) -> pa.Array:
    return pa.array(random.choice(list(values), count, p=shares), mask=random.random(count) < missing)


def plant_group(
    customers: pa.Table, seed: int, size: int, least: float, most: float, apart_from: tuple[Planted, ...] = ()
) -> Group:
    """Return a random group of `size` conditions on fields of the lab with a share between the two.

    Every condition leaves out at least a fifth of those the others hold for.
    """
    random = np.random.default_rng([seed, 3])
    conditions = _list_conditions(customers)
    used = {condition.field for planted in apart_from for condition in planted.group}
    names = [field.name for field in FIELDS if field.name not in used or len(used) > len(FIELDS) - size]
    while True:
        fields = random.choice(names, size, replace=False)
        group = tuple(conditions[field][random.integers(len(conditions[field]))] for field in fields)
        share = find_members(group, customers).mean()
        rests = [tuple(other for other in group if other != one) for one in group]
        if least <= share <= most and all(find_members(rest, customers).mean() * 0.8 >= share for rest in rests):
            return group


def _list_conditions(customers: pa.Table) -> dict[str, list[Condition]]:
    found: dict[str, list[Condition]] = {}
    for field in FIELDS:
        column = customers[field.name].drop_null()
        if field.is_ordered:
            limits = np.quantile(np.asarray(column), np.linspace(0.1, 0.9, 33)).astype(int).tolist()
            found[field.name] = [Condition(field.name, "at_most", limit) for limit in limits]
            found[field.name] += [Condition(field.name, "greater_than", limit) for limit in limits]
        else:
            found[field.name] = [Condition(field.name, "equals", value) for value in column.unique().to_pylist()]
    return found


def add_target(customers: pa.Table, planted: tuple[Planted, ...], noise: Noise, seed: int) -> pa.Table:
    """Return the customers with a target: chance, and the effects of the groups they are in."""
    random = np.random.default_rng([seed, 4])
    count = customers.num_rows
    effects = sum((one.effect * find_members(one.group, customers) for one in planted), np.zeros(count))
    if noise == "boolean":
        truth = random.random(count) < BASE_SHARE + effects
        return customers.append_column(CHURNED.name, pa.array(truth.astype(np.int64)))
    if noise == "gamma":
        values, spread = random.gamma(2, 400, count), 400 * 2**0.5
    else:
        values = random.lognormal(5, 1.5, count)
        spread = float(np.exp(5 + 1.5**2 / 2) * np.sqrt(np.exp(1.5**2) - 1))
    cents = np.rint(100 * (values + spread * effects)).astype(np.int64)
    return customers.append_column(SPEND.name, pa.array(cents))


def name_target(noise: Noise) -> Field:
    """Return the target that `add_target` adds."""
    return CHURNED if noise == "boolean" else SPEND
