"""The commit point: one row, changed by one MERGE.

Whoever wants to change what is published takes the lease in that row and gets a *token*, a number that only grows.
Work is written under its own id into tables nobody reads yet; publishing is one conditional MERGE that names the token.
There is no insert clause: it would fire for a run that lost its lease. After any error the row is read back: it alone
says what happened.

Clocks and heartbeats only decide when others stop waiting. What is published is right without them: a holder that slept
through its lease finds another token, whatever its clock says.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from segengine.engine.failures import engine_errors
from segengine.errors import LeaseHeldError, RunError
from segengine.store.processes import describe_process, is_gone
from segengine.store.warehouse import Row, Warehouse

logger = logging.getLogger(__name__)

# Spark may run a heartbeat's small jobs only when a long stage has given all of its tasks away: many may be late.
LEASE_TIME = timedelta(minutes=15)
HEARTBEAT_TIME = timedelta(seconds=30)
_FREE = ""
_TRIES = 3
_under_way: set[str] = set()  # what this process holds, or tries to get, a lease for


@dataclass(frozen=True)
class ControlRow:
    """The state of a control table. `published_id` is the newest published run or change, '' before the first.

    `progress`: what the holder of the lease was doing at its last heartbeat.
    """

    token: int
    owner: str
    work_id: str
    ids: tuple[str, ...]
    until: datetime | None
    progress: str
    published_id: str
    last_profile_key: Mapping[str, int]

    def is_held(self, now: datetime) -> bool:
        """Return whether somebody alive may still publish."""
        if self.owner == _FREE or self.until is None or self.until <= now:
            return False
        left_behind = self.owner == describe_process() and self.work_id not in _under_way  # the disk was full
        return not left_behind and not is_gone(self.owner)

    def is_abandoned(self, now: datetime) -> bool:
        """Return whether somebody took the lease to refresh something and ended without giving it back."""
        return self.owner != _FREE and bool(self.ids) and not self.is_held(now)


@dataclass
class Lease:
    """The right to publish, as long as nobody took it over. `before` is the state it was taken in.

    `progress`: what the next heartbeat says of the work. `lost_to`: who took it over, once that is known.
    """

    token: int
    work_id: str
    before: ControlRow
    progress: str = ""
    published: bool = False
    lost_to: str = ""
    writing: threading.Lock = field(default_factory=threading.Lock, repr=False)
    ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def check(self) -> None:
        """Raise where the lease is known to be lost.

        Raises:
            RunError: Another run has taken it over.
        """
        if self.lost_to:
            raise RunError(
                f"{self.work_id} lost its lease while it ran, to {self.lost_to}.",
                "Nothing of it was published. Run it again.",
            )

    def notice(self, row: ControlRow) -> None:
        """Keep whether a row that was read says that the lease is lost."""
        if row.token != self.token:
            self.lost_to = row.owner.split("|")[0] or "a run that has ended"


@dataclass(frozen=True)
class Control:
    """A control table: `control` for runs, `registry_control` for definitions."""

    warehouse: Warehouse
    table: str

    def create(self) -> None:
        """Create the table with its one row. Two creators write equal rows, which stay equal for ever."""
        first = {"name": self.table, "token": 0, "owner": _FREE, "published_id": "", "last_profile_key": "{}"}
        self.warehouse.create(self.table, [first])

    def read(self) -> ControlRow:
        """Return the present state."""
        found = self.warehouse.fetch(self.table).to_pylist()
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
            progress=row["progress"] or "",
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
        """Hold the lease inside the block, kept alive by heartbeats; it is free again afterwards, published or not.

        Raises:
            LeaseHeldError: Another process holds it.
        """
        _under_way.add(work_id)
        try:
            yield from self._hold(work_id, ids)
        finally:
            _under_way.discard(work_id)

    def _hold(self, work_id: str, ids: list[str]) -> Iterator[Lease]:
        lease = self._take(work_id, ids)
        threading.Thread(target=self._keep_alive, args=(lease,), name=f"lease of {work_id}", daemon=True).start()
        try:
            yield lease
        finally:
            with lease.writing:
                lease.ended.set()
                if not lease.published:
                    self._give_back(lease)

    def _take(self, work_id: str, ids: list[str]) -> Lease:
        before = self.read()
        now = datetime.now(UTC)
        if before.is_held(now):
            raise _held(before)
        token = before.token + 1
        source = {
            "name": self.table,
            "token": before.token,
            "new_token": token,
            "owner": describe_process(),
            "work_id": work_id,
            "ids": json.dumps(ids),
            "until": now + LEASE_TIME,
            "progress": "",
        }
        columns = ("owner", "work_id", "ids", "until", "progress")
        changes = {"token": "s.new_token", **{name: f"s.{name}" for name in columns}}
        types = "new_token bigint, owner string, work_id string, ids string, until timestamp, progress string"
        for _ in range(_TRIES):
            problem = self._merge(source, types, changes)
            after = self.read()
            if (after.token, after.work_id) == (token, work_id):
                return Lease(token, work_id, before)
            if after.token != before.token:
                raise _held(after)
        raise RunError(f"The lease in table {self.table} could not be taken. {problem}".rstrip())

    def _keep_alive(self, lease: Lease) -> None:
        """Prolong a lease every now and then until it has ended or is lost; runs in a thread of its own.

        The session is shared: every engine takes statements of several threads, and these touch one view of their own
        and this table alone. The lock keeps them apart from the statement that publishes.
        """
        while not lease.lost_to and not lease.ended.wait(HEARTBEAT_TIME.total_seconds()):
            with lease.writing:
                if lease.ended.is_set():
                    return
                try:
                    self._beat(lease)
                except Exception as error:  # noqa: BLE001 - the work goes on; publishing tells whether the lease is lost
                    logger.warning("the lease of %s could not be prolonged: %s", lease.work_id, error)

    def _beat(self, lease: Lease) -> None:
        until = datetime.now(UTC) + LEASE_TIME
        source = {"name": self.table, "token": lease.token, "until": until, "progress": lease.progress}
        changes = {"until": "s.until", "progress": "s.progress"}
        if problem := self._merge(source, "until timestamp, progress string", changes):
            logger.warning("the lease of %s could not be prolonged: %s", lease.work_id, problem)
        lease.notice(self.read())

    def publish(
        self, lease: Lease, last_profile_key: Mapping[str, int] | None = None, *, keep_lease: bool = False
    ) -> None:
        """Make the lease's work the published state and free the lease, in one MERGE.

        Args:
            lease: The right to do so.
            last_profile_key: The last key given of each audience; None: as before.
            keep_lease: Hold it on, for what has to follow before anybody else works.

        Raises:
            RunError: The lease was lost; nothing is published.
        """
        keys = json.dumps(dict(last_profile_key or lease.before.last_profile_key), sort_keys=True)
        source = {
            "name": self.table,
            "token": lease.token,
            "new_token": lease.token if keep_lease else lease.token + 1,
            "published_id": lease.work_id,
            "last_profile_key": keys,
        }
        changes = {
            "published_id": "s.published_id",
            "last_profile_key": "s.last_profile_key",
            "token": "s.new_token",
            **({} if keep_lease else _FREED),
        }
        with lease.writing:
            for _ in range(_TRIES):
                problem = self._merge(source, "new_token bigint, published_id string, last_profile_key string", changes)
                after = self.read()
                if after.published_id == lease.work_id:
                    lease.published = not keep_lease
                    return
                lease.notice(after)
                lease.check()
        raise RunError(f"{lease.work_id} is not published. {problem}".rstrip())

    def _give_back(self, lease: Lease) -> None:
        source = {"name": self.table, "token": lease.token, "new_token": lease.token + 1}
        if problem := self._merge(source, "new_token bigint", {"token": "s.new_token", **_FREED}):
            logger.warning("the lease of %s could not be given back: %s", lease.work_id, problem)

    def _merge(self, source: Mapping[str, object], columns: str, changes: dict[str, str]) -> str:
        """Try one MERGE on the row that has the source's token; return what went wrong, or ''.

        What happened is for the caller to read back.
        """
        schema = f"name string, token bigint, {columns}"
        try:
            with engine_errors(f"writing to table {self.table}"):
                self.warehouse.update_one(self.table, source, schema, "t.token = s.token", changes)
        except RunError as error:
            logger.info("%s", error)
            return str(error)
        return ""


_FREED = {"owner": "''", "work_id": "''", "ids": "'[]'", "until": "cast(null as timestamp)", "progress": "''"}


def died(row: ControlRow) -> str:
    """Return what is said of the work of a run that was killed, or of a machine that went away."""
    return f"{row.work_id} ended without saying so"


def _held(row: ControlRow) -> LeaseHeldError:
    until = f" until {row.until:%Y-%m-%d %H:%M:%S} UTC" if row.until else ""
    return LeaseHeldError(
        f"Another run ({row.work_id}, {row.owner.split('|')[0]}) holds the lease{until}.",
        "Wait for it to end, as `refresh --wait MINUTES` does. If it was killed, its lease ends by itself.",
    )


def walk_chain(table: str, newest: str, previous: Mapping[str, str]) -> list[str]:
    """Return the ids from the first published one to the newest.

    Raises:
        RunError: The table lost rows that are published.
    """
    chain: list[str] = []
    current = newest
    while current:
        if current not in previous:
            raise RunError(
                f"Table {table} has no row of {current}, which is published.",
                "Rows of it were lost; restore an earlier version of that table.",
            )
        chain.append(current)
        current = previous[current]
    return chain[::-1]
