"""What MLflow gets to see of an insight: what was asked, what was found, plots and tables."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from segengine.models.cells import describe_cell
from segengine.models.differentiators import Difference, Differentiators
from segengine.models.insight_rows import list_differences, list_rows
from segengine.models.overlap import Overlap
from segengine.models.plots import Bar, draw_differentiator, draw_overlap
from segengine.models.run_record import RunRecord
from segengine.models.sides import Sides
from segengine.operations.model_run import ModelRun
from segengine.project.analysis import DifferenceQuestion, OverlapQuestion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PLOTS = 10
_MOST_BARS = 20


def record_differentiators(
    record: RunRecord, run: ModelRun, question: DifferenceQuestion, result: Differentiators
) -> None:
    """Note a comparison of two segments."""
    sides, zone = result.sides, run.catalogue.settings.time_zone
    record.log_parameters(
        {
            "of": question.of,
            "against": question.against or sides.against,
            "fields": [field.name for field in question.fields],
            "seed": run.seed_text,
        }
    )
    significant = [one for one in result.differences if one.is_significant]
    record.log_metrics({f"{name}_count": getattr(sides, f"{name}_count") for name in ("of", "against", "shared")})
    record.log_metrics({"fields_that_differ": len(significant)})
    record.log_metrics({"highest_score": max((one.score or 0.0 for one in significant), default=None)})
    record.log_table("differences", list_differences(result))
    record.log_table("values", list_rows(result, zone))
    for one in significant[:_MOST_PLOTS]:
        record.log_figure(f"difference_{one.field}", partial(_draw_difference, one, sides, zone))


def record_overlap(record: RunRecord, run: ModelRun, question: OverlapQuestion, result: Overlap) -> None:
    """Note an overlap of segments."""
    record.log_parameters({"segments": question.segments, "fields": [field.name for field in question.fields]})
    metrics = {name: getattr(result, name) for name in ("union_count", "shared_count", "shared_share")}
    record.log_metrics(metrics)
    record.log_table("segments", [asdict(part) for part in result.segments])
    record.log_table("combinations", list_rows(result, run.catalogue.settings.time_zone))
    record.log_figure("overlap", partial(draw_overlap, _make_bars(result)))


def _make_bars(result: Overlap) -> list[Bar]:
    """Return the largest combinations and all others together, so that their sum is the union."""
    largest = [one for one in result.combinations if one.count][:_MOST_BARS]
    names = [" + ".join(one.segments) if len(one.segments) > 1 else f"only {one.segments[0]}" for one in largest]
    bars = [Bar(name, one.count) for name, one in zip(names, largest, strict=True)]
    others = result.union_count - sum(one.count for one in largest)
    return [*bars, Bar("other combinations", others)] if others else bars


def _draw_difference(one: Difference, sides: Sides, zone: str) -> Figure:
    cells = [describe_cell(cell.cell, one.type, zone) for cell in one.cells]
    ours, theirs = [cell.of_share for cell in one.cells], [cell.against_share for cell in one.cells]
    return draw_differentiator(one.field, cells, (sides.of, ours), (sides.against, theirs))
