"""Contents that stay in the process while their rows travel."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from segengine.engine.handover import Handover, fetch, leave
from segengine.engine.parts import PARTS, make_part, read_parts, unpack_rows

ROWS = pa.record_batch({"v0": pa.array([1, None, 2**40]), "v1": pa.array(["a", None, ""])})


def test_a_content_is_fetched_once() -> None:
    content = pa.py_buffer(b"content")
    with Handover() as handover:
        tickets = [leave(handover.name, content), leave(handover.name, ROWS)]
        assert [fetch(handover.name, ticket or 0) for ticket in tickets] == [content, ROWS]
        with pytest.raises(LookupError):
            fetch(handover.name, tickets[0] or 0)


def test_what_nobody_fetched_is_dropped() -> None:
    with Handover() as handover:
        ticket = leave(handover.name, ROWS)
    assert leave(handover.name, ROWS) is None
    with pytest.raises(LookupError):
        fetch(handover.name, ticket or 0)


def test_handovers_know_nothing_of_each_other() -> None:
    with Handover() as one, Handover() as other:
        ticket = leave(one.name, ROWS)
        with pytest.raises(LookupError):
            fetch(other.name, ticket or 0)


@pytest.mark.parametrize("is_open", [True, False])
def test_parts_are_the_same_whether_their_content_stays_or_travels(is_open: bool) -> None:
    bits = pa.py_buffer(bytes(range(256)))
    with Handover() as handover:
        name = handover.name if is_open else "of another process"
        parts = [
            make_part(3, "values 0", ROWS, handover=name),
            make_part(4, "bits 0", bits, {"overflow": {"1": [2]}}, name),
            make_part(5, "run/segment", bits),
        ]
        assert [part.column("ticket")[0].is_valid for part in parts] == [is_open, is_open, False]
        assert [len(part.column("content")[0].as_py()) == 0 for part in parts] == [is_open, is_open, False]
        assert parts[0].schema.names == [column.split()[0] for column in PARTS.split(", ")]
        (values, more_bits, stored) = read_parts(pa.Table.from_batches(parts).combine_chunks().to_batches()[0], name)
    assert (values[0], values[1], values[3]) == (3, "values 0", None)
    assert unpack_rows(values[2]).equals(ROWS)
    assert (more_bits[:2], json.loads(more_bits[3] or "")) == ((4, "bits 0"), {"overflow": {"1": [2]}})
    assert [each[2].to_pybytes() for each in (more_bits, stored)] == [bits.to_pybytes()] * 2
