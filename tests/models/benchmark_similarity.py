"""Similar customers among a million candidates of 15 fields, beside scikit-learn on a pandas frame.

Run with `python tests/models/benchmark_similarity.py [customers]`: of each, in its own process, the seconds it took,
the processor seconds of its phases and the peak memory, in which the generated customers count.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
from contenders import run_contenders
from tastes import AS_OF, FIELDS, Bools, draw_customers, draw_source

from segengine.models.calibration import STEPS
from segengine.models.fields import HASH, Field
from segengine.models.recommended import Offer
from segengine.models.selection import find_cut, to_steps
from segengine.models.similarity import learn_similarity
from segengine.models.training import PARAMETERS, SampleDraw, arrange_sample
from segengine.project.types import AttributeType

BATCH_ROWS = 65_536
EXTRA = Field("visits", AttributeType("integer"))

Timings = dict[str, float]


def draw(count: int) -> tuple[pa.Table, Bools]:
    customers = draw_customers(1, count)
    visits = pa.array(np.random.default_rng(2).poisson(9, count))
    source = draw_source(customers, customers.find_lovers(0.1), 1, 0.5)
    return customers.table.append_column(EXTRA.name, visits), source


def run_ours(table: pa.Table, source: Bools) -> Timings:
    started = time.process_time()
    members, others = int(source.sum()), int((~source).sum())
    chosen = SampleDraw(members, others, "benchmark").choose(table[HASH].to_numpy(), source)
    sample = arrange_sample(table.filter(pa.array(chosen)), source[chosen], members, others)
    similarity = learn_similarity(sample, Offer((*FIELDS, EXTRA)), AS_OF, "benchmark")
    learnt = time.process_time()
    candidates = table.filter(pa.array(~source)).to_batches(max_chunksize=BATCH_ROWS)
    scores = [similarity.model.score(batch) for batch in candidates]
    cut = find_cut(np.bincount(to_steps(pa.concat_arrays(scores)), minlength=STEPS + 1), len(source) // 5)
    scored = time.process_time()
    return {"learning": learnt - started, "scoring": scored - learnt, "members": cut.members,
            "AUC": similarity.report.quality.auc}  # fmt: skip


def run_plain(table: pa.Table, source: Bools) -> Timings:
    """Five folds, as anybody would write them: no choice of fields, no evidence, no importance, all threads."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    started = time.process_time()
    frame = table.drop_columns(["profile_key", HASH]).to_pandas()
    texts = [name for name in frame if frame[name].dtype == object]
    frame[texts] = frame[texts].astype("category")
    folds = np.random.default_rng(0).integers(0, 5, len(frame))
    share = np.where(source, 30_000 / source.sum(), 100_000 / (~source).sum())
    sampled = np.random.default_rng(1).random(len(frame)) < share
    scores = np.empty(len(frame))
    learning = 0.0
    for fold in range(5):
        begun = time.process_time()
        model = HistGradientBoostingClassifier(
            **PARAMETERS, max_leaf_nodes=8, early_stopping=False, categorical_features="from_dtype"
        )
        rows = sampled & (folds != fold)
        model.fit(frame[rows], source[rows])
        learning += time.process_time() - begun
        scores[folds == fold] = model.predict_proba(frame[folds == fold])[:, 1]
    members = len(pd.Series(scores[~source]).nlargest(len(source) // 5))
    return {"learning": learning, "scoring": time.process_time() - started - learning, "members": members}


if __name__ == "__main__":
    run_contenders(draw, run_ours, run_plain, size=int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
