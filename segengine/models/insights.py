"""Insights as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segengine.models.answers import read_answer
from segengine.models.differentiators import Differentiators
from segengine.models.overlap import Overlap

Insight = Differentiators | Overlap


def read_insight(content: Mapping[str, Any]) -> Insight:
    """Return an insight from the JSON values it is kept as.

    Raises:
        DataContractError: They are none.
    """
    found: Insight = read_answer(content, Insight, "insight")
    return found
