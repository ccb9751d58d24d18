"""Running a plan: scans by bucket through the kernel, then all segments and measures on their profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.handover import Content
from segengine.engine.joins import BUCKET, ScanRows, bucket_numbers
from segengine.engine.parts import (
    CARRIED,
    CARRIED_VALUES,
    FACTS_BUCKET,
    PARTS,
    BatchFunction,
    facts_part,
    invalid_part,
    make_part,
    overflow_facts,
    read_overflow,
    read_parts,
    scan_source,
    unpack_narrowed,
    unpack_rows,
)
from segengine.engine.results import RESULTS, MeasureResults, SegmentResults, facts_row
from segengine.engine.sources import Sources
from segengine.errors import DATA_CONTRACT, coded_failure
from segengine.kernel.arithmetic import Clock
from segengine.kernel.carry import join_carried, join_values
from segengine.kernel.formulas import BucketParts, Formulas, Result, bits_of
from segengine.kernel.groups import merge_states
from segengine.kernel.measures import with_names
from segengine.kernel.program import compile_scan
from segengine.kernel.scan import KEY, BadColumnError, BucketAnswers, ScanKernel
from segengine.plan.refresh import AudiencePlan
from segengine.plan.scans import Scan
from segengine.project.project_file import Schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NODES_AT_ONCE = 256


def evaluate_plan(
    plan: AudiencePlan,
    sources: Sources,
    schema: Schema,
    keys: DataFrame,
    snapshots: DataFrame | None,
    parents: Mapping[str, str],
    previous: Mapping[str, str],
    partitions: int,
    carried: DataFrame | None = None,
    handover: str = "",
) -> DataFrame:
    """Return the members of every segment by bucket, and the values of every measure.

    Args:
        plan: What to evaluate.
        sources: Where tables are read.
        schema: The project's columns.
        keys: `profile_id`, `profile_key` of the profiles that count.
        snapshots: `bucket`, `source`, `content` of stored snapshots (parents outside of the run, preceding ones).
        parents: The `source` of each stored parent and measure, by id.
        previous: The `source` of each segment's preceding snapshot, by segment id.
        partitions: Number of tasks after each exchange by bucket.
        carried: The parts of `carry_over`, where the plan asks something of accounts.
        handover: The name of a `Handover` that is open until the rows have been read, once; '': contents travel.

    Returns:
        `RESULTS`: one row per segment and bucket that has members now or had some before, one per measure and bucket;
        of business measures the states and pairs that `merge_business` joins; and facts: what the scans read, and the
        counts of the outlines' nodes.
    """
    parts = None
    for number, scan in plan.table_scans.items():
        part = _scan(plan, number, scan, sources, schema, keys, partitions, handover)
        parts = part if parts is None else parts.unionByName(part)
    if parts is None:
        raise ValueError("a plan has at least the profile scan")
    if snapshots is not None:
        nothing = ("cast(null as bigint) as ticket", "cast(null as string) as facts")
        parts = parts.unionByName(snapshots.selectExpr("bucket", "source", "content", *nothing))
    if carried is not None:
        parts = parts.unionByName(carried)
    function = make_formula_function(plan, dict(parents), dict(previous), handover)
    return parts.repartition(partitions, BUCKET).mapInArrow(function, RESULTS)


def _scan(
    plan: AudiencePlan,
    number: int,
    scan: Scan,
    sources: Sources,
    schema: Schema,
    keys: DataFrame,
    partitions: int,
    handover: str = "",
) -> DataFrame:
    """Return the parts that one scan makes of its rows."""
    rows = ScanRows(scan, sources.settings, schema).frame(sources, keys)
    if scan.path is None or scan.path.hops:
        rows = rows.repartition(partitions, BUCKET)
    return rows.mapInArrow(make_scan_function(plan, scan, number, handover), PARTS)


def try_scans(plan: AudiencePlan, sources: Sources, schema: Schema, keys: DataFrame, partitions: int) -> None:
    """Run every scan of a plan by itself and keep nothing of it.

    Raises:
        DataContractError: The rows of one are not as the project says.
        RunError: One cannot be read, or the kernel fails on it.
    """
    for number, scan in plan.table_scans.items():
        with engine_errors(f"reading {scan.name}"):
            _scan(plan, number, scan, sources, schema, keys, partitions).count()


def make_scan_function(plan: AudiencePlan, scan: Scan, number: int, handover: str = "") -> BatchFunction:
    """Return the function that turns rows of one scan into parts; it sees whole buckets, in any order."""
    program = compile_scan(scan, Clock(plan.as_of, plan.zone))
    label = plan.label  # all of the plan would travel to the workers with each scan

    def accumulate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kernel = ScanKernel(scan, program)
        try:
            for piece, states in enumerate(kernel.add_in_parts(batches)):
                yield from _group_parts(scan, number, piece, states, handover)
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
        for answers in kernel.take():
            yield from _answer_parts(scan, number, answers, handover)
        counts = (kernel.row_count, kernel.orphan_count) if scan.is_first_pass else (0, 0)
        yield facts_part(scan.name, *counts)
        if invalid := kernel.invalid_counts():
            yield invalid_part(label, number, invalid)

    return accumulate


def _answer_parts(scan: Scan, number: int, answers: BucketAnswers, handover: str) -> Iterator[pa.RecordBatch]:
    if scan.outputs:
        bits, overflow = pa.py_buffer(answers.bits), overflow_facts(answers.overflow)
        yield make_part(answers.bucket, scan_source("bits", number), bits, overflow, handover)
    if scan.values:
        yield make_part(answers.bucket, scan_source("values", number), answers.values, handover=handover)


def _group_parts(
    scan: Scan, number: int, piece: int, states: Mapping[int, pa.RecordBatch], handover: str
) -> Iterator[pa.RecordBatch]:
    """Yield states of groups; those of no profile under a bucket for each piece, so that several tasks share them."""
    for place, found in states.items():
        source = scan_source("groups", number, place, piece)
        if not scan.groups[place].per_profile:
            yield make_part(FACTS_BUCKET - piece, source, found, handover=handover)
            continue
        buckets = bucket_numbers(found.column(KEY))
        for bucket in np.unique(buckets).tolist():
            own = found.filter(pa.array(buckets == bucket))
            yield make_part(bucket or FACTS_BUCKET - piece, source, own, handover=handover)


def make_formula_function(
    plan: AudiencePlan, parents: dict[str, str], previous: dict[str, str], handover: str = ""
) -> BatchFunction:
    """Return the function that evaluates all formulas on the buckets it sees.

    It also counts the profiles of the outlines' nodes, and of those that say who has too many digits.
    """
    lines = {node for lines in plan.outlines.values() for line in lines for node in line if node is not None}
    counted = sorted({*lines, *plan.overflow.values()})

    def evaluate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        buckets: dict[int, dict[str, tuple[Content, str | None]]] = {}
        carried: dict[tuple[int, str], list[Content]] = {}
        values = MeasureResults(plan)
        for batch in batches:
            for bucket, source, content, facts in read_parts(batch, handover):
                if bucket == FACTS_BUCKET and not source:
                    yield facts_row(facts or "")
                elif bucket <= FACTS_BUCKET:
                    _, scan, place, _ = source.split()
                    yield from values.add_orphans((int(scan), int(place)), unpack_rows(content))
                elif source in (CARRIED, CARRIED_VALUES):
                    carried.setdefault((bucket, source), []).append(content)
                else:
                    buckets.setdefault(bucket, {})[source] = content, facts
        if not buckets:
            yield from values.states()
            return
        formulas = Formulas(plan)
        members = SegmentResults()
        sums = np.zeros(len(counted), dtype=np.int64)
        for bucket in sorted(buckets):
            found = buckets.pop(bucket)
            parts = _bucket_parts(plan, parents, found)
            if bits := carried.pop((bucket, CARRIED), None):
                of_accounts = join_carried(bits, len(plan.carried))
                parts.stored |= dict(enumerate(of_accounts, start=len(plan.stored)))
            if rows := carried.pop((bucket, CARRIED_VALUES), None):
                parts.carried = join_values([unpack_rows(each) for each in rows])
            results = formulas.evaluate(parts)
            for segment_id, node in plan.members.items():
                before = found.get(previous.get(segment_id, ""))
                members.add(segment_id, bucket, bits_of(results, node), before[0] if before else None)
            yield from values.batches(bucket, results)
            sums += _count_nodes(results, counted)
        yield facts_row(json.dumps({"plan": plan.label, "nodes": counted, "counts": sums.tolist()}))
        yield from values.states()
        yield from members.batches()

    return evaluate


def _bucket_parts(
    plan: AudiencePlan,
    parents: Mapping[str, str],
    found: Mapping[str, tuple[Content, str | None]],
) -> BucketParts:
    """Return what came of one bucket, by what it is."""
    parts = BucketParts()
    groups: dict[tuple[int, int], list[pa.RecordBatch]] = {}
    for source, (content, facts) in found.items():
        kind, *numbers = source.split(" ")
        if kind == "bits":
            parts.bits[int(numbers[0])] = content
            parts.overflow[int(numbers[0])] = read_overflow(facts)
        elif kind == "values":
            parts.values[int(numbers[0])] = unpack_narrowed(content)
        elif kind == "groups":
            groups.setdefault((int(numbers[0]), int(numbers[1])), []).append(unpack_rows(content))
    parts.groups |= {
        (scan, place): states[0] if len(states) == 1 else merge_states(plan.scans[scan].groups[place], states)
        for (scan, place), states in groups.items()
    }
    parts.stored |= {
        place: found[parents[parent]][0] for place, parent in enumerate(plan.stored) if parents[parent] in found
    }
    outside = plan.outside.measures if plan.outside else {}
    parts.measures |= {
        identity: with_names(outside[identity], unpack_rows(found[parents[identity]][0]))
        for identity in plan.stored_measures
        if parents[identity] in found
    }
    return parts


def _count_nodes(results: Sequence[Result], counted: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return how many profiles of a bucket are in each of the nodes."""
    counts = np.zeros(len(counted), dtype=np.int64)
    for start in range(0, len(counted), _NODES_AT_ONCE):
        chosen = counted[start : start + _NODES_AT_ONCE]
        stacked = np.stack([bits_of(results, node) for node in chosen])
        counts[start : start + len(chosen)] = np.bitwise_count(stacked).sum(axis=1, dtype=np.int64)
    return counts
