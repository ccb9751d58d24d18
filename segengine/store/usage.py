"""When definitions were last used: rows that nothing else depends on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from segengine.store.warehouse import Warehouse


def append_uses(warehouse: Warehouse, ids: Iterable[str], used_for: str, author: str, used_at: datetime) -> None:
    """Write that somebody used definitions."""
    warehouse.create("usage")
    rows = [{"id": each, "used_at": used_at, "used_for": used_for, "author": author} for each in ids]
    warehouse.append_rows("usage", rows)


def read_last_uses(warehouse: Warehouse) -> dict[str, datetime]:
    """Return when each definition that ever was used was used last, in UTC."""
    if not warehouse.exists("usage"):
        return {}
    newest = warehouse.fetch("usage", ("id", "used_at")).group_by("id").aggregate([("used_at", "max")])
    return {row["id"]: row["used_at_max"].astimezone(UTC) for row in newest.to_pylist()}
