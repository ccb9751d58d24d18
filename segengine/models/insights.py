"""Insights as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segengine.errors import DataContractError
from segengine.models.differentiators import Differentiators
from segengine.models.overlap import Overlap

Insight = Differentiators | Overlap


def dump_insight(insight: Insight) -> dict[str, Any]:
    """Return an insight as JSON values."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(Insight).dump_python(insight, mode="json")
    return plain


def read_insight(content: Mapping[str, Any]) -> Insight:
    """Return an insight from the JSON values that `dump_insight` made of it.

    Raises:
        DataContractError: They are none, as those of a later version may be.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        found: Insight = TypeAdapter(Insight).validate_python(content)
    except ValidationError:
        message = "What the insight found was written by another version of segengine, and cannot be read."
        raise DataContractError(message, "Refresh the insight, or use that version.") from None
    return found
