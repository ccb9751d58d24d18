"""The rows that an evaluation leaves: members, values, groups, states and facts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.parts import FACTS_BUCKET, binary_column, pack_rows
from segengine.kernel.bitmaps import Words, count_bits
from segengine.kernel.distinct import counts_distinct, share_pairs, split_pairs
from segengine.kernel.formulas import GroupRows, Result, bits_of, unpack, values_of
from segengine.kernel.groups import mask_states, merge_states
from segengine.kernel.measures import PRESENT, name_groups
from segengine.plan.formulas import FormulaBuilder
from segengine.plan.measures import Orphans
from segengine.plan.refresh import AudiencePlan
from segengine.plan.scans import MAX_STATE_BYTES, Groups

RESULTS = (
    "kind string, id string, bucket int, content binary, row_count int, entered_count int, left_count int, facts string"
)
SEGMENT, MEASURE, STATES, PAIRS, FACTS = "segment", "measure", "states", "pairs", "facts"
_ARROW = pa.schema(
    [
        ("kind", pa.string()),
        ("id", pa.string()),
        ("bucket", pa.int32()),
        ("content", pa.binary()),
        ("row_count", pa.int32()),
        ("entered_count", pa.int32()),
        ("left_count", pa.int32()),
        ("facts", pa.string()),
    ]
)
_ROWS_A_BATCH = 2_048  # of 4 KiB each
_VALUES_A_BATCH = 64  # of a bucket's values: each batch costs an engine more than the bytes in it
_MOST_WAITING = MAX_STATE_BYTES // 32  # to be merged takes states of distinct values many times as much


def facts_row(text: str) -> pa.RecordBatch:
    """Return facts, as JSON."""
    return pa.record_batch([[FACTS], [""], [FACTS_BUCKET], [None], [0], [0], [0], [text]], schema=_ARROW)


def states_row(measure_id: str, states: pa.Buffer) -> pa.RecordBatch:
    """Return what one task knows of a business measure."""
    columns = [[STATES], [measure_id], [FACTS_BUCKET], binary_column([states]), [0], [0], [0], [None]]
    return pa.record_batch(columns, schema=_ARROW)


def pairs_row(plan: str, share: int, pairs: pa.Buffer) -> pa.RecordBatch:
    """Return a share of the distinct values that one task knows of a plan's business measures."""
    return pa.record_batch([[PAIRS], [plan], [share], binary_column([pairs]), [0], [0], [0], [None]], schema=_ARROW)


class SegmentResults:
    """Collects the segments' bitmaps of one task and gives them out by segment, so that files are clustered."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, Words, int, int, int]] = []

    def add(self, segment_id: str, bucket: int, members: Words, before: bytes | pa.Buffer | None) -> None:
        """Take in the members of one bucket; `before`: those of the preceding snapshot."""
        count = count_bits(members)
        entered, left = count, 0
        if before is not None:
            old = np.frombuffer(before, dtype=np.uint64)
            both = count_bits(members & old)
            entered, left = count - both, count_bits(old) - both
        if count or left:
            self._rows.append((segment_id, bucket, members, count, entered, left))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        self._rows.sort(key=lambda row: (row[0], row[1]))
        for start in range(0, len(self._rows), _ROWS_A_BATCH):
            rows = self._rows[start : start + _ROWS_A_BATCH]
            ids, buckets, members, *counts = zip(*rows, strict=True)
            bits = binary_column([pa.py_buffer(own) for own in members])
            numbers = [pa.array(values, pa.int32()) for values in counts]
            kinds, no_facts = pa.array([SEGMENT] * len(rows)), pa.nulls(len(rows), pa.string())
            names = [kinds, pa.array(ids, pa.string()), pa.array(buckets, pa.int32())]
            yield pa.record_batch([*names, bits, *numbers, no_facts], schema=_ARROW)


class MeasureResults:
    """Gives out the values of measures, bucket by bucket; of business measures the states of one task."""

    def __init__(self, plan: AudiencePlan) -> None:
        self._plan = plan
        self._states: dict[str, list[pa.RecordBatch]] = {}
        self._waiting_bytes = 0

    def batches(self, bucket: int, results: Sequence[Result]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one bucket, and states where too many of them wait."""
        rows: list[_MeasureRow] = []
        present = unpack(bits_of(results, FormulaBuilder.EVERYONE))
        for measure_id, found in self._plan.results.items():
            if found.values:
                columns = {name: values_of(results, node).column for name, node in found.values.items()}
                rows.append(_values_row(measure_id, bucket, columns, present))
            elif found.groups is not None:
                groups = results[found.groups]
                if isinstance(groups, GroupRows) and groups.rows is not None:
                    rows.append(_rows_row(measure_id, bucket, groups.rows, groups.overflow))
            elif isinstance(found.states, int):
                states = results[found.states]
                if isinstance(states, GroupRows) and states.rows is not None:
                    yield from self._add(measure_id, states.rows)
            if len(rows) == _VALUES_A_BATCH:
                yield _measure_batch(rows)
                rows.clear()
        if rows:
            yield _measure_batch(rows)

    def add_orphans(self, place: tuple[int, int], states: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take in states of rows that no profile decides on: of all rows, or of those that reach no profile."""
        for measure_id, found in self._plan.results.items():
            if found.states == place:
                yield from self._add(measure_id, states)
            elif isinstance(found.states, int) and self._plan.nodes[found.states].operands[:2] == place:
                orphans: Orphans = self._plan.nodes[found.states].payload
                masks = [np.full(states.num_rows, counts) for counts in orphans.values]
                masked = mask_states(self._plan.scans[place[0]].groups[place[1]], states, masks)
                if orphans.count:
                    yield from self._add(measure_id, masked)

    def _add(self, measure_id: str, states: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        self._states.setdefault(measure_id, []).append(states)
        self._waiting_bytes += states.nbytes
        if self._waiting_bytes > _MOST_WAITING:
            yield from self.states()

    def states(self) -> Iterator[pa.RecordBatch]:
        """Yield what this task knows of business measures since it was last asked, distinct values apart."""
        pairs = []
        for place, (measure_id, measure) in enumerate(self._plan.measures.items()):
            batches = self._states.get(measure_id, [])
            if batches or measure.is_total:  # a total is there even of no rows
                groups = business_groups(self._plan, measure_id)
                states = merge_states(groups, batches)
                if counts_distinct(groups):
                    states, own = split_pairs(groups, states, place)
                    pairs.append(own)
                yield states_row(measure_id, pack_rows(states))
        self._states, self._waiting_bytes = {}, 0
        for share, own in share_pairs(pa.concat_batches(pairs)) if pairs else ():
            yield pairs_row(self._plan.label, share, pack_rows(own))


def business_groups(plan: AudiencePlan, measure_id: str) -> Groups:
    """Return the groups of a business measure, those of all profiles together."""
    states = plan.results[measure_id].states
    if isinstance(states, int):
        states = plan.nodes[states].operands[0], plan.nodes[states].operands[1]
    if states is None:
        raise TypeError(f"{measure_id} is no business measure")
    return replace(plan.scans[states[0]].groups[states[1]], per_profile=False, orphans=False)


def business_row(plan: AudiencePlan, measure_id: str, finished: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of a business measure from its finished groups."""
    rows = name_groups(plan.measures[measure_id], finished, (), plan.as_of, plan.zone)
    return _measure_batch([_rows_row(measure_id, FACTS_BUCKET, *rows)])


@dataclass(frozen=True)
class _MeasureRow:
    """The values of a measure in one bucket."""

    measure_id: str
    bucket: int
    content: pa.Buffer
    row_count: int
    facts: dict[str, object]


def _values_row(
    measure_id: str, bucket: int, columns: Mapping[str, pa.RecordBatch], present: pa.BooleanArray
) -> _MeasureRow:
    """Return the values of one bucket, who of its places are profiles, and how many of these have each."""
    arrays = {name: column.column(0) for name, column in columns.items()}
    counts = {name: _count_values(array, present) for name, array in arrays.items()}
    fields = [column.schema.field(0).with_name(name) for name, column in columns.items()]
    rows = pa.RecordBatch.from_arrays([*arrays.values(), present], schema=pa.schema([*fields, (PRESENT, pa.bool_())]))
    content = pack_rows(rows, small=True)
    return _MeasureRow(measure_id, bucket, content, present.true_count, {"values": counts})


def _count_values(array: pa.Array, present: pa.BooleanArray) -> int:
    there = pc.and_(present, array.is_valid()) if array.null_count else present
    return int(there.true_count)


def _rows_row(measure_id: str, bucket: int, rows: pa.RecordBatch, overflow: int) -> _MeasureRow:
    return _MeasureRow(measure_id, bucket, pack_rows(rows, small=True), rows.num_rows, {"overflow": overflow})


def _measure_batch(rows: Sequence[_MeasureRow]) -> pa.RecordBatch:
    """Return rows as one batch."""
    contents = binary_column([row.content for row in rows])
    ids, buckets, counts = zip(*((row.measure_id, row.bucket, row.row_count) for row in rows), strict=True)
    kinds, nothing = [MEASURE] * len(rows), [0] * len(rows)
    facts = [json.dumps(row.facts) for row in rows]
    return pa.record_batch([kinds, ids, buckets, contents, counts, nothing, nothing, facts], schema=_ARROW)
