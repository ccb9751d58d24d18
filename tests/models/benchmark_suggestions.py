"""Suggestions from 200,000 customers of 20 attributes, beside scikit-learn and SciPy on a pandas frame.

Run with `python tests/models/benchmark_suggestions.py [customers]`: of each, in its own process, the seconds it took,
how many groups it found, how many of the three that were planted are among them, and the peak memory, in which the
generated customers count.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
from contenders import run_contenders
from planted_groups import Mask, Planted, add_target, make_customers, name_target
from suggesting import jaccard, plant_three, suggest

from segengine.models.fields import HASH, KEY, Field
from segengine.models.groups import find_members

IRRELEVANT = 12  # attributes beside the eight that groups are planted on
TARGET = name_target("gamma")


def draw(count: int) -> tuple[pa.Table, tuple[Field, ...], tuple[Planted, ...]]:
    customers, fields = make_customers(1, count, IRRELEVANT)
    planted = plant_three(1, customers)
    return add_target(customers, planted, "gamma", 1), fields, planted


def run_ours(table: pa.Table, fields: tuple[Field, ...], planted: tuple[Planted, ...]) -> dict[str, float]:
    found = suggest(table, TARGET, fields, "benchmark").suggestions
    return _score([find_members(one.group, table) for one in found], planted, table)


def run_plain(table: pa.Table, fields: tuple[Field, ...], planted: tuple[Planted, ...]) -> dict[str, float]:
    """A tree on one half, and its leaves against everybody else on the other half: no card, no check for copies."""
    import pandas as pd
    from scipy.stats import false_discovery_control, ttest_ind
    from sklearn.tree import DecisionTreeRegressor

    frame = pd.get_dummies(table.drop_columns([KEY, HASH, TARGET.name]).to_pandas())
    target = table[TARGET.name].to_numpy()
    half = np.random.default_rng(0).random(len(frame)) < 0.5
    tree = DecisionTreeRegressor(max_depth=5, min_samples_leaf=0.02, random_state=0).fit(frame[half], target[half])
    leaves = tree.apply(frame)
    chances = [
        ttest_ind(target[~half & (leaves == leaf)], target[~half & (leaves != leaf)], equal_var=False).pvalue
        for leaf in np.unique(leaves)
    ]
    is_sure = false_discovery_control(chances) < 0.05
    return _score([leaves == leaf for leaf in np.unique(leaves)[is_sure]], planted, table)


def _score(found: list[Mask], planted: tuple[Planted, ...], table: pa.Table) -> dict[str, float]:
    wanted = [find_members(one.group, table) for one in planted]
    hits = sum(any(jaccard(members, own) >= 0.8 for own in found) for members in wanted)
    return {"groups": len(found), "planted ones among them": hits}


if __name__ == "__main__":
    run_contenders(draw, run_ours, run_plain, size=int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
