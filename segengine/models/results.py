"""Results of models as plain values, for JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Result = TypeVar("Result")


def dump_result(result: object) -> dict[str, Any]:
    """Return a result's dataclasses as plain values."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(result)).dump_python(result, mode="json")
    return plain


def load_result(kind: type[Result], plain: Mapping[str, Any]) -> Result:
    """Return what `dump_result` was given."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(plain)
