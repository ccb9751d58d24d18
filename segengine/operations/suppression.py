"""Keeping people who asked to be erased out of runs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from segengine.engine.failures import engine_errors
from segengine.errors import ConfigError
from segengine.operations.context import OpenProject
from segengine.store.erasures import Erasure, KeyedHash, read_erasures, read_secret
from segengine.store.runs import History
from segengine.store.warehouse import make_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def find_erased(
    project: OpenProject, history: History, audience: str, as_of: datetime, ids: DataFrame
) -> DataFrame | None:
    """Return the `profile_id` of the profiles that a run as of an instant must not see; None: there is none.

    Args:
        project: The project.
        history: What is published.
        audience: Whose profiles.
        as_of: The instant that counts for the run.
        ids: `profile_id` of all profiles as text.

    Raises:
        ConfigError: The secret is not to be had, or not the one that ids were hashed with.
    """
    from pyspark.sql import functions as F

    erasures = read_erasures(project.warehouse, {run.run_id for run in history.runs})
    of_audience = [each for each in erasures if each.audience == audience]
    hashes = sorted({each.profile_hash for each in of_audience if each.suppressed or as_of < each.erased_at})
    if not hashes:
        return None
    keyed = read_secret(project.settings.suppress_key)
    check_secret(keyed, erasures, project.settings.suppress_key)
    wanted = make_frame(project.session, "profile_hash string", [{"profile_hash": each} for each in hashes])
    with engine_errors(f"looking for forgotten profiles of audience {audience}"):
        hashed = keyed.add_to(project.warehouse, ids)
        found = hashed.join(F.broadcast(wanted), "profile_hash").select("profile_id").distinct().toArrow().to_pylist()
    return make_frame(project.session, "profile_id string", found) if found else None


def check_secret(keyed: KeyedHash, erasures: list[Erasure], variable: str) -> None:
    """Raise where ids were hashed with another secret: nobody would be found, and people would come back.

    Raises:
        ConfigError: So it is.
    """
    if any(each.key_check != keyed.check for each in erasures):
        message = f"The secret in {variable} is not the one that forgotten people were hashed with."
        raise ConfigError(message, "Put back the old one: with another one they could not be kept out.")
