"""What one task leaves for another in the same process.

The embedded engine runs its tasks as threads of this process. What scans say of a bucket would be copied three times on
its way through the engine's exchange. So rows travel with a ticket, and the content stays until whoever gets the ticket
fetches it. On other engines tasks have processes of their own: there no handover is open, and contents travel.
"""

from __future__ import annotations

import itertools
import uuid
from types import TracebackType
from typing import TypeAlias

import pyarrow as pa

Content: TypeAlias = pa.Buffer | pa.RecordBatch

_open: dict[str, dict[int, Content]] = {}
_tickets = itertools.count()


class Handover:
    """While it is entered, contents can be left and fetched under its name; what nobody fetched is dropped in the end.

    Functions that run as tasks know it by `name`.
    """

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex

    def __enter__(self) -> Handover:
        """Open it."""
        _open[self.name] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        del _open[self.name]


def leave(name: str, content: Content) -> int | None:
    """Keep a content and return its ticket; None where the handover is not open in this process."""
    contents = _open.get(name)
    if contents is None:
        return None
    ticket = next(_tickets)
    contents[ticket] = content
    return ticket


def fetch(name: str, ticket: int) -> Content:
    """Return what was left for a ticket, once.

    Raises:
        LookupError: It was fetched before, or the handover is closed.
    """
    try:
        return _open[name].pop(ticket)
    except KeyError:
        raise LookupError(f"nothing is left for ticket {ticket}") from None
