"""Dense keys for profiles: given once, kept for ever, the same on every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segengine.engine.failures import engine_errors
from segengine.store.warehouse import Warehouse, make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PIECES = 64


def read_profile_keys(warehouse: Warehouse, audience: str, run_ids: Sequence[str]) -> DataFrame:
    """Return `profile_id`, `profile_key` of an audience, as given by the runs named (the published ones)."""
    from pyspark.sql import functions as F

    rows = warehouse.read("profile_keys")
    return rows.where((F.col("audience") == audience) & F.col("run_id").isin(list(run_ids))).select(
        "profile_id", "profile_key"
    )


def find_profile_key(warehouse: Warehouse, audience: str, run_ids: Sequence[str], profile_id: str) -> int | None:
    """Return the key of a profile as given by the runs named (the published ones), or None."""
    from pyspark.sql import functions as F

    keys = read_profile_keys(warehouse, audience, run_ids)
    with engine_errors("reading table profile_keys"):
        row = keys.where(F.col("profile_id") == profile_id).first()
    return None if row is None else int(row["profile_key"])


def erase_profile_key(warehouse: Warehouse, audience: str, profile_id: str) -> None:
    """Delete a profile's key, also where an unpublished run gave it; it is never given again."""
    row = {"audience": audience, "profile_id": profile_id}
    warehouse.delete_rows("profile_keys", make_frame(warehouse.session, "audience string, profile_id string", [row]))


def add_profile_keys(
    warehouse: Warehouse, audience: str, ids: DataFrame, known: DataFrame | None, run_id: str, last_key: int
) -> int:
    """Give keys to profiles that have none, and return the last key given so far.

    Two passes instead of a global sort: count per piece of the ids' hash, then number each piece from its offset.

    Args:
        warehouse: Where keys are kept.
        audience: The audience.
        ids: `profile_id` of all profiles as text, missing ones excluded.
        known: `profile_id` that have a key; None: nobody.
        run_id: The run the keys belong to; they count once it is published.
        last_key: The last key given so far.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    fresh = (
        ids.distinct() if known is None else ids.join(known.select("profile_id"), "profile_id", "left_anti").distinct()
    )
    pieces = fresh.withColumn("piece", F.expr(f"cast(pmod(xxhash64(profile_id), {_PIECES}) as int)"))
    with engine_errors(f"counting new profiles of audience {audience}"):
        counts = sorted((row["piece"], row["count"]) for row in pieces.groupBy("piece").count().collect())
    if not counts:
        return last_key
    offsets = []
    following = last_key
    for piece, count in counts:
        offsets.append({"piece": piece, "offset": following})
        following += count
    offset_rows = make_frame(warehouse.session, "piece int, offset bigint", offsets)
    numbered = pieces.join(F.broadcast(offset_rows), "piece").withColumn(
        "place", F.row_number().over(Window.partitionBy("piece").orderBy("profile_id"))
    )
    keys = numbered.select(
        F.lit(audience).alias("audience"),
        "profile_id",
        (F.col("offset") + F.col("place")).alias("profile_key"),
        F.lit(run_id).alias("run_id"),
    )
    warehouse.append("profile_keys", keys)
    return following
