"""The commit point: one row, changed by one MERGE.

Whoever wants to change what is published takes the lease in that row and gets a *token*. Work is written under its own
id into tables nobody reads yet; publishing is one conditional MERGE that names the token. There is no insert clause: it
would fire for a run that lost its lease. After any error the row is read back: it alone says what happened.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from segengine.engine.failures import engine_errors
from segengine.errors import LeaseHeldError, RunError
from segengine.store.warehouse import Row, Warehouse

logger = logging.getLogger(__name__)

LEASE_TIME = timedelta(minutes=30)
_FREE = ""
_TRIES = 3


@dataclass(frozen=True)
class ControlRow:
    """The state of a control table. `published_id` is the newest published run or change, '' before the first."""

    token: str
    owner: str
    work_id: str
    ids: tuple[str, ...]
    until: datetime | None
    published_id: str
    last_profile_key: Mapping[str, int]

    def is_held(self, now: datetime) -> bool:
        """Return whether somebody alive may still publish."""
        return self.owner != _FREE and self.until is not None and self.until > now and not _is_gone(self.owner)


@dataclass
class Lease:
    """The right to publish, as long as nobody took it over. `before` is the state it was taken in."""

    token: str
    work_id: str
    before: ControlRow
    published: bool = False


@dataclass(frozen=True)
class Control:
    """A control table: `control` for runs, `registry_control` for definitions."""

    warehouse: Warehouse
    table: str

    def create(self) -> None:
        """Create the table with its one row. Two creators write equal rows, which stay equal for ever."""
        first = {"name": self.table, "token": "0", "owner": _FREE, "published_id": "", "last_profile_key": "{}"}
        self.warehouse.create(self.table, [first])

    def read(self) -> ControlRow:
        """Return the present state."""
        with engine_errors(f"reading table {self.table}"):
            found = self.warehouse.read(self.table).toArrow().to_pylist()
        rows = [row for place, row in enumerate(found) if row not in found[:place]]
        if len(rows) != 1:
            raise RunError(f"Table {self.table} has {len(rows)} different rows, expected one.")
        (row,) = rows
        return ControlRow(
            token=row["token"],
            owner=row["owner"] or _FREE,
            work_id=row["work_id"] or "",
            ids=tuple(self._parse(row, "ids", "[]")),
            until=row["until"],
            published_id=row["published_id"] or "",
            last_profile_key=self._parse(row, "last_profile_key", "{}"),
        )

    def _parse(self, row: Row, column: str, default: str) -> Any:
        try:
            return json.loads(row[column] or default)
        except ValueError as error:
            raise RunError(
                f'Table {self.table} cannot be read: column "{column}" is damaged.',
                "Restore an earlier version of that table.",
            ) from error

    @contextmanager
    def lease(self, work_id: str, ids: list[str]) -> Iterator[Lease]:
        """Hold the lease inside the block; it is free again afterwards, published or not.

        Raises:
            LeaseHeldError: Another process holds it.
        """
        lease = self._take(work_id, ids)
        try:
            yield lease
        finally:
            if not lease.published:
                self._give_back(lease)

    def _take(self, work_id: str, ids: list[str]) -> Lease:
        before = self.read()
        now = datetime.now(UTC)
        if before.is_held(now):
            raise _held(before)
        token = uuid.uuid4().hex
        source = {
            "name": self.table,
            "token": before.token,
            "new_token": token,
            "owner": describe_process(),
            "work_id": work_id,
            "ids": json.dumps(ids),
            "until": now + LEASE_TIME,
        }
        columns = ("owner", "work_id", "ids", "until")
        changes = {"token": "s.new_token", **{name: f"s.{name}" for name in columns}}
        for _ in range(_TRIES):
            self._merge(source, "new_token string, owner string, work_id string, ids string, until timestamp", changes)
            after = self.read()
            if after.token == token:
                return Lease(token, work_id, before)
            if after.token != before.token:
                raise _held(after)
        raise RunError(f"The lease in table {self.table} could not be written.")

    def publish(self, lease: Lease, last_profile_key: Mapping[str, int] | None = None) -> None:
        """Make the lease's work the published state and free the lease, in one MERGE.

        Raises:
            RunError: The lease was lost; nothing is published.
        """
        keys = json.dumps(dict(last_profile_key or lease.before.last_profile_key), sort_keys=True)
        source = {
            "name": self.table,
            "token": lease.token,
            "new_token": uuid.uuid4().hex,
            "published_id": lease.work_id,
            "last_profile_key": keys,
        }
        changes = {
            "published_id": "s.published_id",
            "last_profile_key": "s.last_profile_key",
            "token": "s.new_token",
            **_FREED,
        }
        for _ in range(_TRIES):
            self._merge(source, "new_token string, published_id string, last_profile_key string", changes)
            after = self.read()
            if after.published_id == lease.work_id:
                lease.published = True
                return
            if after.token != lease.token:
                raise RunError(
                    f"{lease.work_id} lost its lease while it ran, to {after.owner or 'a run that has ended'}.",
                    "Nothing of it was published. Run it again.",
                )
        raise RunError(f"Table {self.table} could not be written; {lease.work_id} is not published.")

    def _give_back(self, lease: Lease) -> None:
        source = {"name": self.table, "token": lease.token, "new_token": uuid.uuid4().hex}
        self._merge(source, "new_token string", {"token": "s.new_token", **_FREED})

    def _merge(self, source: Mapping[str, object], columns: str, changes: dict[str, str]) -> None:
        """Try one MERGE on the row that has the source's token; what happened is for the caller to read back."""
        schema = f"name string, token string, {columns}"
        try:
            with engine_errors(f"writing to table {self.table}"):
                self.warehouse.update_one(self.table, source, schema, "t.token = s.token", changes)
        except RunError as error:
            logger.warning("%s", error)


_FREED = {"owner": "''", "work_id": "''", "ids": "'[]'", "until": "cast(null as timestamp)"}


def _held(row: ControlRow) -> LeaseHeldError:
    until = f" until {row.until:%Y-%m-%d %H:%M:%S} UTC" if row.until else ""
    return LeaseHeldError(
        f"Another run ({row.work_id}, {row.owner.split('|')[0]}) holds the lease{until}.",
        "Wait for it to end. If it was killed, its lease ends by itself.",
    )


def describe_process() -> str:
    """Return who holds a lease: user, host and process, and what tells whether that process still lives."""
    who = f"{_user()} on {socket.gethostname()}, process {os.getpid()}"
    return "|".join((who, socket.gethostname(), _boot_id(), str(os.getpid()), _start_time(os.getpid())))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _boot_id() -> str:
    """Return what is the same for processes that see each other: this boot and this process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_time(process: int) -> str:
    """Return when a process started, in clock ticks since the boot, or '' where that cannot be told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def _is_gone(owner: str) -> bool:
    """Return whether an owner is certainly dead: a process of this machine that no longer runs."""
    parts = owner.split("|")
    if len(parts) != 5 or not parts[2] or parts[2] != _boot_id() or not parts[4]:
        return False
    return _start_time(int(parts[3])) != parts[4]
