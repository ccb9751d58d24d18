"""A small model to be tracked, a feature table it takes, and an execution that logs one of everything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.models import plots
from segengine.models.run_record import RunRecord, Subject

INCOME_LIMIT = 50_000_00
SUBJECT = Subject(
    "expansion", "summer", "Summer", "abc", "embedded", "r1", snapshot_version=3, table_versions={"customers": 7}
)


@dataclass(frozen=True)
class StandIn:
    """Scores 0.9 in one state, else 0.6 for high incomes, else 0.3; the last digit is that of the id's hash."""

    state: str

    def score(self, batch: pa.RecordBatch) -> pa.Array:
        rich = pc.fill_null(pc.greater(batch.column("income"), INCOME_LIMIT), False)
        at_home = pc.fill_null(pc.equal(batch.column("state"), self.state), False)
        digits = np.abs(np.asarray(batch.column("id_hash"))) % 10
        return pc.add(pc.if_else(at_home, 0.9, pc.if_else(rich, 0.6, 0.3)), pa.array(digits / 1000))


def make_features(count: int = 60) -> pa.Table:
    """Return a feature table with missing values; every other customer is of California."""
    places = range(count)
    return pa.table(
        {
            "profile_key": pa.array([place + 1 for place in places], pa.int64()),
            "id_hash": pa.array([(-1) ** place * (2**60 + place) for place in places], pa.int64()),
            "state": pa.array([None if place % 10 == 9 else ("CA", "NV")[place % 2] for place in places]),
            "income": pa.array([None if place % 7 == 6 else place * 2_000_00 for place in places], pa.int64()),
            "rating": pa.array([place / 8 for place in places], pa.float64()),
        }
    )


def log_everything(run: RunRecord) -> None:
    run.log_parameters({"seed_text": "abc", "salts": ["split", "fold"]})
    run.log_metrics({"auc": 0.875, "lift": 4.5})
    for size, lift in enumerate((5.0, 4.0, 3.0), start=1):
        run.log_metrics({"lift at size": lift}, step=size)
    run.log_table("bands", [{"band": "very similar", "share": 0.25}])
    run.log_document("fields", {"left out": {"email": "free text"}})
    run.log_figure("lift", partial(plots.draw_lift, [0.01, 0.1, 0.2], [9.0, 5.0, 3.0]))
    run.log_model(StandIn("CA"), make_features())
    for fold in range(2):
        with run.nested(f"fold {fold}") as nested:
            nested.log_metrics({"auc": 0.8 + fold / 8})
