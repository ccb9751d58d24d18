"""Answering the question of an analysis."""

from __future__ import annotations

from segengine.models.run_record import RunRecord
from segengine.operations.insight import find_insight
from segengine.operations.model_run import ModelRun
from segengine.operations.suggestion import suggest
from segengine.project.analysis import ActivityQuestion, Analysis, TargetQuestion


def answer(run: ModelRun, analysis: Analysis, record: RunRecord) -> None:
    """Write the answer to the question of an analysis, under the run's id.

    Args:
        run: The run as models see it.
        analysis: The suggestion or insight.
        record: What MLflow is to know is noted there.

    Raises:
        ConfigError: The question has no answer: too few members, a field that cannot be used.
        DataContractError: A value of a source is none of its type.
        RunError: The data say nothing, or the engine failed.
    """
    question = analysis.question
    if isinstance(question, TargetQuestion | ActivityQuestion):
        suggest(run, analysis, question, record)
    else:
        find_insight(run, analysis, question, record)
