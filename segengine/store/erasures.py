"""Who asked to be erased: a keyed hash of each id, which says nothing to whoever has not the secret.

The hash is HMAC-SHA-256 (H. Krawczyk, M. Bellare, R. Canetti: RFC 2104, 1997, section 2), here and, for whole tables,
put together in the engine from its SHA-256. The secret reaches an engine as a row of a frame: literals show in plans.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from segengine.errors import ConfigError
from segengine.store.warehouse import Warehouse, make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BLOCK_BYTES = 64
_CHECKED = "\x00segengine"  # no id: hashed to tell whether the secret is still the one it was


@dataclass(frozen=True)
class Erasure:
    """One person erased; `suppressed`: kept out of every run, else of those as of a time before `erased_at`."""

    audience: str
    profile_hash: str
    key_check: str
    erased_at: datetime
    suppressed: bool


@dataclass(frozen=True)
class KeyedHash:
    """Hashes ids with a secret."""

    secret: bytes

    @property
    def check(self) -> str:
        """What tells one secret from another."""
        return self.of(_CHECKED)

    def of(self, text: str) -> str:
        """Return the hash of one text, as 64 hexadecimal digits."""
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def add_to(self, warehouse: Warehouse, ids: DataFrame) -> DataFrame:
        """Return `profile_id`, `profile_hash` for rows with a `profile_id`."""
        from pyspark.sql import functions as F

        block = hashlib.sha256(self.secret).digest() if len(self.secret) > _BLOCK_BYTES else self.secret
        padded = block.ljust(_BLOCK_BYTES, b"\x00")
        pads = {"inner_pad": bytes(byte ^ 0x36 for byte in padded), "outer_pad": bytes(byte ^ 0x5C for byte in padded)}
        row = make_frame(warehouse.session, "inner_pad binary, outer_pad binary", [pads])
        inner = F.unhex(F.sha2(F.concat("inner_pad", F.col("profile_id").cast("binary")), 256))
        hashed = ids.select("profile_id").crossJoin(F.broadcast(row))
        return hashed.select("profile_id", F.sha2(F.concat(F.col("outer_pad"), inner), 256).alias("profile_hash"))


def read_secret(variable: str) -> KeyedHash:
    """Return the hash with the secret of an environment variable.

    Raises:
        ConfigError: The project names none, or it is empty.
    """
    if not variable:
        message = "The project names no secret that ids of forgotten people are hashed with."
        hint = "Add `suppress_key: ENV_NAME` to segengine.yml, and put a long random text into that variable."
        raise ConfigError(message, hint)
    secret = os.environ.get(variable, "")
    if not secret:
        message = f"The environment variable {variable}, which `suppress_key` names, is not set."
        raise ConfigError(message, "It must be there wherever segengine forgets or refreshes.")
    return KeyedHash(secret.encode())


def append_erasure(warehouse: Warehouse, run_id: str, erasure: Erasure) -> None:
    """Write who is erased; it counts once the run is published."""
    warehouse.create("erasures")
    warehouse.append_rows("erasures", [{"run_id": run_id, **vars(erasure)}])


def read_erasures(warehouse: Warehouse, run_ids: Collection[str]) -> list[Erasure]:
    """Return the erasures of published runs."""
    if not warehouse.exists("erasures"):
        return []
    rows = warehouse.fetch("erasures").to_pylist()
    return [
        Erasure(**{name: value for name, value in row.items() if name != "run_id"})
        for row in rows
        if row["run_id"] in run_ids
    ]
