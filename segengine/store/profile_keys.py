"""Dense keys for profiles: given once, kept for ever, the same on every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segengine.engine.failures import engine_errors
from segengine.store.warehouse import Warehouse, make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PIECES = 64
_FEW = 10_000  # profiles whose ids one process holds and writes sooner than an engine starts the jobs


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
    warehouse: Warehouse,
    audience: str,
    ids: DataFrame,
    known: DataFrame | None,
    run_id: str,
    last_key: int,
    profile_count: int,
) -> int:
    """Give keys to profiles that have none, and return the last key given so far.

    New ids are numbered by the piece of their hash, then by their text. Where there may be many, two passes instead
    of a global sort: count per piece, then number each piece from its offset; few are numbered in this process.

    Args:
        warehouse: Where keys are kept.
        audience: The audience.
        ids: `profile_id` of all profiles as text, missing ones excluded.
        known: `profile_id` that have a key; None: nobody.
        run_id: The run the keys belong to; they count once it is published.
        last_key: The last key given so far.
        profile_count: How many profiles there are.
    """
    from pyspark.sql import functions as F

    fresh = ids if known is None else ids.join(known.select("profile_id"), "profile_id", "left_anti")
    pieces = fresh.withColumn("piece", F.expr(f"cast(pmod(xxhash64(profile_id), {_PIECES}) as int)"))
    number = _number_here if profile_count <= _FEW else _number_by_the_engine
    return number(warehouse, audience, pieces, run_id, last_key)


def _number_here(warehouse: Warehouse, audience: str, pieces: DataFrame, run_id: str, last_key: int) -> int:
    with engine_errors(f"reading new profiles of audience {audience}"):
        found = pieces.distinct().toArrow()
    ids = found.sort_by([("piece", "ascending"), ("profile_id", "ascending")])["profile_id"].to_pylist()
    same = {"audience": audience, "run_id": run_id}
    keys = [{**same, "profile_id": each, "profile_key": key} for key, each in enumerate(ids, start=last_key + 1)]
    warehouse.append_rows("profile_keys", keys)
    return last_key + len(ids)


def _number_by_the_engine(warehouse: Warehouse, audience: str, pieces: DataFrame, run_id: str, last_key: int) -> int:
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    # An id that stands twice is counted twice, for much less than it takes to find out: numbers are left out then, and
    # the run fails where the profiles are read.
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
    numbered = (
        pieces.distinct()
        .join(F.broadcast(offset_rows), "piece")
        .withColumn("place", F.row_number().over(Window.partitionBy("piece").orderBy("profile_id")))
    )
    keys = numbered.select(
        F.lit(audience).alias("audience"),
        "profile_id",
        (F.col("offset") + F.col("place")).alias("profile_key"),
        F.lit(run_id).alias("run_id"),
    )
    warehouse.append("profile_keys", keys)
    return following
