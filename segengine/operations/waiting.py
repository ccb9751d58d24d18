"""Waiting for another run to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from segengine.errors import ConfigError, LeaseHeldError
from segengine.operations.context import OpenProject
from segengine.store.control import Control

_POLL_SECONDS = 2.0

Report = TypeVar("Report")


def wait_for_lease(
    project: OpenProject, wait: timedelta, progress: Callable[[str], None], work: Callable[[], Report]
) -> Report:
    """Do what needs the lease, and return what it returns; where another run holds it, again when that has ended.

    Args:
        project: The project.
        wait: For how long at most; 0: not at all.
        progress: Called with a line when the waiting begins.
        work: What takes the lease.

    Raises:
        LeaseHeldError: Another run held it all the time.
    """
    until = time.monotonic() + wait.total_seconds()
    while True:
        try:
            return work()
        except LeaseHeldError as held:
            if time.monotonic() >= until:
                raise
            progress(f"waiting: {held.message}")
            _wait(project, until)


def check_last_run_ended(control: Control) -> None:
    """Raise where taking the lease over would forget what a run that was killed was refreshing.

    Raises:
        ConfigError: No refresh has said yet how that run ended.
    """
    if control.read().is_abandoned(datetime.now(UTC)):
        raise ConfigError("The last run ended without saying so.", "Run `segengine refresh` first.")


def _wait(project: OpenProject, until: float) -> None:
    """Return when nobody holds the lease any more, or at a time of the monotonic clock."""
    control = Control(project.warehouse, "control")
    while time.monotonic() < until and control.read().is_held(datetime.now(UTC)):
        time.sleep(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))
