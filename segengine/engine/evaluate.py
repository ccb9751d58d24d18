"""Running a plan: scans by bucket through the kernel, then all segments on bitmaps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.joins import BUCKET, ScanRows
from segengine.engine.parts import CARRIED, FACTS_BUCKET, PARTS, BatchFunction, bits_part, facts_part, overflow_part
from segengine.engine.sources import Sources
from segengine.errors import DATA_CONTRACT, coded_failure
from segengine.kernel.bitmaps import BITMAP_BYTES, Words, count_bits
from segengine.kernel.carry import join_carried
from segengine.kernel.formulas import evaluate_formulas
from segengine.kernel.program import compile_scan
from segengine.kernel.scan import BadColumnError, ScanKernel
from segengine.plan.refresh import AudiencePlan
from segengine.plan.scans import Scan
from segengine.project.model import Schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

RESULTS = (
    "segment_id string, bucket int, members binary, member_count int, entered_count int, left_count int, facts string"
)
_RESULTS_ARROW = pa.schema(
    [
        ("segment_id", pa.string()),
        ("bucket", pa.int32()),
        ("members", pa.binary()),
        ("member_count", pa.int32()),
        ("entered_count", pa.int32()),
        ("left_count", pa.int32()),
        ("facts", pa.string()),
    ]
)
_ROWS_A_BATCH = 2_048  # of 4 KiB each
_NODES_AT_ONCE = 256


def evaluate_plan(
    plan: AudiencePlan,
    sources: Sources,
    schema: Schema,
    keys: DataFrame,
    snapshots: DataFrame | None,
    parents: Sequence[str],
    previous: Mapping[str, str],
    partitions: int,
    carried: DataFrame | None = None,
) -> DataFrame:
    """Return the members of every segment by bucket.

    Args:
        plan: What to evaluate.
        sources: Where tables are read.
        schema: The project's columns.
        keys: `profile_id`, `profile_key` of the profiles that count.
        snapshots: `bucket`, `source`, `bits` of stored members (parents outside of the run, preceding snapshots).
        parents: The `source` of each stored parent, in the order of `plan.stored`.
        previous: The `source` of each segment's preceding snapshot, by segment id.
        partitions: Number of tasks after each exchange by bucket.
        carried: The parts of `carry_over` for `plan.carried`, where there is any.

    Returns:
        One row per segment and bucket that has members now or had some before, and rows with `segment_id` ''
        that carry facts: what the scans read, and the counts of the outlines' nodes.
    """
    parts = None
    for number, scan in enumerate(plan.scans):
        rows = ScanRows(scan, sources.settings, schema).frame(sources, keys)
        part = rows.repartition(partitions, BUCKET).mapInArrow(make_scan_function(scan, number), PARTS)
        parts = part if parts is None else parts.unionByName(part)
    if parts is None:
        raise ValueError("a plan has at least the profile scan")
    if snapshots is not None:
        parts = parts.unionByName(snapshots.selectExpr("bucket", "source", "bits", "cast(null as string) as facts"))
    if carried is not None:
        parts = parts.unionByName(carried)
    counted = sorted({node for lines in plan.outlines.values() for line in lines for node in line if node is not None})
    function = make_formula_function(plan, list(parents), dict(previous), counted)
    return parts.repartition(partitions, BUCKET).mapInArrow(function, RESULTS)


def make_scan_function(scan: Scan, number: int) -> BatchFunction:
    """Return the function that turns rows of one scan into bitmaps; it sees whole buckets, in any order."""
    program = compile_scan(scan)

    def accumulate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kernel = ScanKernel(scan, program)
        try:
            kernel.add(batches)
        except BadColumnError as error:
            message = (
                f'{error.count} value(s) of "{error.column}" in table "{scan.table}" are not of type {error.type}.'
            )
            raise coded_failure(DATA_CONTRACT, message) from None
        if kernel.duplicate_count:
            message = f'Profile table "{scan.table}" has {kernel.duplicate_count} duplicate profile id(s).'
            raise coded_failure(DATA_CONTRACT, message)
        if not kernel.row_count:
            return
        for bucket, blob in kernel.bitmaps():
            yield bits_part(bucket, str(number), blob)
        counts = (kernel.row_count, kernel.orphan_count) if scan.is_first_pass else (0, 0)
        yield facts_part(scan.name, *counts, kernel.invalid_counts())
        overflow: Counter[int] = Counter()
        for places_by_output in kernel.overflow_places().values():
            overflow.update({output: len(places) for output, places in places_by_output.items()})
        if overflow:
            yield overflow_part(scan.audience, number, overflow)

    return accumulate


def make_formula_function(
    plan: AudiencePlan, parents: list[str], previous: dict[str, str], counted: list[int]
) -> BatchFunction:
    """Return the function that evaluates all segments on the bitmaps of the buckets it sees.

    It also counts the profiles of the nodes in `counted`, over all of its buckets.
    """
    audience, nodes, members = plan.audience, plan.nodes, dict(plan.members)
    first_carried, carried_count = len(plan.stored), len(plan.carried)
    parent_places = {source: place for place, source in enumerate(parents)}

    def evaluate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        buckets: dict[int, dict[str, pa.Buffer]] = {}
        carried: dict[int, list[pa.Buffer]] = {}
        for batch in batches:
            numbers, sources, bits, facts = batch.columns
            for row, (bucket, source) in enumerate(zip(numbers.to_pylist(), sources.to_pylist(), strict=True)):
                if bucket == FACTS_BUCKET:
                    yield _facts(facts[row].as_py())
                elif source == CARRIED:
                    carried.setdefault(bucket, []).append(bits[row].as_buffer())
                else:
                    buckets.setdefault(bucket, {})[source] = bits[row].as_buffer()
        results = _Results()
        sums = np.zeros(len(counted), dtype=np.int64)
        for bucket, found in sorted(buckets.items()):
            scans = {int(source): blob for source, blob in found.items() if source.isdecimal()}
            stored = {place: found[source] for source, place in parent_places.items() if source in found}
            if bucket in carried:
                stored |= dict(enumerate(join_carried(carried[bucket], carried_count), start=first_carried))
            bitmaps = evaluate_formulas(nodes, scans, stored)
            for segment_id, node in members.items():
                results.add(segment_id, bucket, bitmaps[node], found.get(previous.get(segment_id, "")))
            sums += _count_nodes(bitmaps, counted)
        if buckets:
            yield _facts(json.dumps({"audience": audience, "nodes": counted, "counts": sums.tolist()}))
        yield from results.batches()

    return evaluate


def _count_nodes(bitmaps: Sequence[Words], counted: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return how many profiles of a bucket are in each of the nodes."""
    counts = np.zeros(len(counted), dtype=np.int64)
    for start in range(0, len(counted), _NODES_AT_ONCE):
        chosen = counted[start : start + _NODES_AT_ONCE]
        stacked = np.stack([bitmaps[node] for node in chosen])
        counts[start : start + len(chosen)] = np.bitwise_count(stacked).sum(axis=1, dtype=np.int64)
    return counts


def _facts(text: str) -> pa.RecordBatch:
    return pa.record_batch([[""], [FACTS_BUCKET], [None], [0], [0], [0], [text]], schema=_RESULTS_ARROW)


class _Results:
    """Collects the segments' bitmaps of one task and gives them out by segment, so that files are clustered."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, Words, int, int, int]] = []

    def add(self, segment_id: str, bucket: int, members: Words, before: pa.Buffer | None) -> None:
        count = count_bits(members)
        entered, left = count, 0
        if before is not None:
            old = np.frombuffer(before, dtype=np.uint64)
            both = count_bits(members & old)
            entered, left = count - both, count_bits(old) - both
        if count or left:
            self._rows.append((segment_id, bucket, members, count, entered, left))

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._rows.sort(key=lambda row: (row[0], row[1]))
        for start in range(0, len(self._rows), _ROWS_A_BATCH):
            rows = self._rows[start : start + _ROWS_A_BATCH]
            ids, buckets, members, *counts = zip(*rows, strict=True)
            offsets = pa.py_buffer((np.arange(len(rows) + 1) * BITMAP_BYTES).astype(np.int32))
            bits = pa.Array.from_buffers(pa.binary(), len(rows), [None, offsets, pa.py_buffer(np.concatenate(members))])
            numbers = [pa.array(values, pa.int32()) for values in counts]
            no_facts = pa.nulls(len(rows), pa.string())
            arrays = [pa.array(ids, pa.string()), pa.array(buckets, pa.int32()), bits, *numbers, no_facts]
            yield pa.record_batch(arrays, schema=_RESULTS_ARROW)
