"""What MLflow gets to see of an expansion's model: what went in, what came out, plots, tables and the model itself."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import pyarrow as pa

from segengine.models.calibration import STEPS
from segengine.models.fields import HASH
from segengine.models.plots import Band, draw_lift, draw_scores
from segengine.models.run_record import RunRecord
from segengine.models.selection import Counts, Cut, count_bands
from segengine.models.similarity import SimilarityReport
from segengine.models.training import Sample
from segengine.project.model import Expansion

_BINS = 50


def record_inputs(record: RunRecord, expansion: Expansion, seed_text: str, sample: Sample) -> None:
    """Note what a model learns from."""
    record.log_parameters(
        {
            "source": expansion.source,
            "candidates": expansion.candidates or "everyone else",
            "size": str(expansion.size),
            "minimum_score": str(expansion.minimum_score),
            "fields_are": "recommended" if expansion.is_recommended else "chosen",
            "members": sample.member_total,
            "others": sample.other_total,
            "rows": sample.rows.num_rows,
            "seed": seed_text,
        }
    )


def record_model(record: RunRecord, report: SimilarityReport) -> None:
    """Note what came of the training."""
    record.log_parameters({"fields": [choice.name for choice in report.fields if choice.used]})
    record.log_metrics({"auc": report.quality.auc, "auc_bound": report.quality.auc_bound})
    record.log_metrics({f"platt_{name}": value for name, value in asdict(report.platt).items()})
    record.log_table("fields", [{**asdict(choice), "doubt": str(choice.doubt)} for choice in report.fields])
    record.log_table("importance", [asdict(each) for each in report.importance])
    evidence = report.evidence
    if evidence is not None:
        for each in evidence.lists:
            size = f"{each.size_share * 100:g}_percent"
            record.log_metrics({f"lift_at_{size}": each.lift, f"recall_at_{size}": each.recall})
        record.log_table("evidence_bands", [asdict(band) for band in evidence.bands])
        shares, lifts = [each.size_share for each in evidence.lists], [each.lift for each in evidence.lists]
        record.log_figure("lift", partial(draw_lift, shares, lifts))


def record_members(record: RunRecord, counts: Counts, cut: Cut) -> None:
    """Note how the candidates' scores are spread, and who is chosen."""
    bands = count_bands(counts)
    record.log_metrics({"members_chosen": cut.members, "cut_score": cut.score, "candidates": int(counts.sum())})
    record.log_metrics({f"candidates_{band.band}": band.candidates for band in bands})
    record.log_table("candidate_bands", [asdict(band) for band in bands])
    width = STEPS // _BINS
    binned = [int(counts[start : start + width].sum()) for start in range(0, STEPS, width)]
    binned[-1] += int(counts[STEPS])
    shown = [Band(band.least, band.band) for band in sorted(bands, key=lambda band: band.least)]
    record.log_figure("scores", partial(draw_scores, binned, shown))


def model_columns(sample: Sample, report: SimilarityReport) -> pa.Table:
    """Return the columns of the sample that the model takes."""
    used = [choice.name for choice in report.fields if choice.used]
    return pa.Table.from_batches([sample.rows]).select([HASH, *used])
