"""Answers of analyses as they are kept: dataclasses as JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segengine.errors import DataContractError


def dump_answer(answer: object) -> dict[str, Any]:
    """Return a dataclass as JSON values."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(answer)).dump_python(answer, mode="json")
    return plain


def read_answer(content: Mapping[str, Any], form: Any, kind: str) -> Any:
    """Return a dataclass from the JSON values that `dump_answer` made of it.

    Args:
        content: The values.
        form: The dataclass, or a union of some.
        kind: Of the analysis.

    Raises:
        DataContractError: They do not fit it, as those of a later version may not.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(form).validate_python(content)
    except ValidationError:
        message = f"What the {kind} found was written by another version of segengine, and cannot be read."
        raise DataContractError(message, f"Refresh the {kind}, or use that version.") from None
