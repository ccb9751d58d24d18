"""Segments and measures of one bucket from what all scans say of its profiles.

Bitmaps are boolean operations on 4,096 bytes; values are Arrow arrays of 32,768 profiles, of the type that is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.aggregates import drop_overflow
from segengine.kernel.arithmetic import Clock, compute, stored_type, to_arrow
from segengine.kernel.bitmaps import BITMAP_BYTES, AnyArray, Bytes, Words, transpose_words
from segengine.kernel.columns import ColumnIndex, make_index
from segengine.kernel.groups import finish_states, mask_states
from segengine.kernel.measures import make_nothing, name_groups, overflow_places, with_literal
from segengine.kernel.narrow import widen
from segengine.kernel.ordinals import Ordinals, read_ordinals
from segengine.kernel.program import ScanProgram, compile_scan
from segengine.kernel.scan import KEY, ScanKernel
from segengine.plan.formulas import FormulaBuilder, FormulaNode
from segengine.plan.measures import Computation, StoredValue
from segengine.plan.refresh import AudiencePlan
from segengine.plan.scans import BUCKET_SIZE
from segengine.project.attributes import Attribute, ValueOf
from segengine.project.model import Condition
from segengine.project.types import AttributeType

_WORDS = BITMAP_BYTES // 8
_NOBODY = np.zeros(_WORDS, dtype=np.uint64)
_NOBODY.flags.writeable = False
Buffer = Any  # bytes, or an Arrow buffer: what numpy reads without a copy


@dataclass
class BucketParts:
    """What is known of one bucket's profiles.

    `bits`: the outputs of each scan that has rows in the bucket, one bitmap after the other; `overflow`: by output, the
    places whose aggregate has too many digits; `values`: the values of each scan, perhaps narrowed; `groups`: the
    states of each scan's groups; `stored`: the members of parents that are not evaluated in this run; `measures`: the
    values, or the groups, of measures that are not; `carried`: values of the profiles' accounts. What is not there is
    the state of nothing: no row satisfies anything.
    """

    bits: dict[int, Buffer] = field(default_factory=dict)
    overflow: dict[int, Mapping[int, Sequence[int]]] = field(default_factory=dict)
    values: dict[int, pa.RecordBatch] = field(default_factory=dict)
    groups: dict[tuple[int, int], pa.RecordBatch] = field(default_factory=dict)
    stored: dict[int, Buffer] = field(default_factory=dict)
    measures: dict[str, pa.RecordBatch] = field(default_factory=dict)
    carried: Sequence[pa.Array] = ()


@dataclass(frozen=True)
class ProfileValues:
    """A value of each profile of a bucket, missing ones NULL; `overflow`: who has too many digits (and NULL).

    `column`: the values as one column, perhaps narrowed: most are stored as they came from the scan.
    """

    column: pa.RecordBatch
    overflow: Words = field(default_factory=lambda: _NOBODY)

    @cached_property
    def array(self) -> pa.Array:
        """The values in the type that is stored."""
        return widen(self.column).column(0)


def _values(array: pa.Array, overflow: Words = _NOBODY) -> ProfileValues:
    return ProfileValues(pa.record_batch({"": array}), overflow)


@dataclass(frozen=True)
class GroupRows:
    """The rows of a measure by dimensions; `overflow`: how many of them have too many digits."""

    rows: pa.RecordBatch | None
    overflow: int = 0


Result = Words | ProfileValues | GroupRows | None


class Formulas:
    """The formulas of one plan, compiled once a task."""

    def __init__(self, plan: AudiencePlan) -> None:
        self._plan = plan
        self._tests = _compile_tests(plan.nodes)
        self._inner = {
            node.payload: compile_scan(plan.scans[node.payload], Clock(plan.as_of, plan.zone))
            for node in plan.nodes
            if node.kind == "scan_groups"
        }
        self._nothing = values_of_nothing(plan.outside) if plan.outside else {}

    def evaluate(self, parts: BucketParts) -> list[Result]:
        """Return the result of every node for one bucket.

        Bitmaps have shape (512,) in 64-bit words, values 32,768 entries. An absent profile has the values of nothing.
        """
        return _Bucket(self._plan, parts, self._tests, self._inner, self._nothing).evaluate()


def values_of_nothing(plan: AudiencePlan) -> dict[str, pa.RecordBatch]:
    """Return the values of a plan's measures for a profile without any row."""
    results = Formulas(plan).evaluate(BucketParts())
    found: dict[str, pa.RecordBatch] = {}
    for measure_id, result in plan.results.items():
        columns = {name: values_of(results, node).array for name, node in result.values.items()}
        found[measure_id] = pa.record_batch(columns)
    return found


def values_of(results: Sequence[Result], node: int) -> ProfileValues:
    """Return the result of a node that is values."""
    found = results[node]
    if not isinstance(found, ProfileValues):
        raise TypeError(f"node {node} has no values")
    return found


def bits_of(results: Sequence[Result], node: int) -> Words:
    """Return the result of a node that is a bitmap."""
    found = results[node]
    if not isinstance(found, np.ndarray):
        raise TypeError(f"node {node} is no bitmap")
    return found


class _Bucket:
    """The evaluation of one bucket."""

    def __init__(
        self,
        plan: AudiencePlan,
        parts: BucketParts,
        tests: Mapping[int, tuple[ColumnIndex, int]],
        inner: Mapping[int, ScanProgram],
        nothing: Mapping[str, pa.RecordBatch],
    ) -> None:
        self._plan = plan
        self._parts = parts
        self._tests = tests
        self._inner = inner
        self._nothing = nothing
        self._outputs = {scan: np.frombuffer(blob, np.uint64).reshape(-1, _WORDS) for scan, blob in parts.bits.items()}
        self._results: list[Result] = []
        self._passed: dict[int, Bytes] = {}  # by index: one bitmap for each of its tests

    def evaluate(self) -> list[Result]:
        for number, node in enumerate(self._plan.nodes):
            self._results.append(self._node(number, node))
        return self._results

    def _node(self, number: int, node: FormulaNode) -> Result:
        kind, operands = node.kind, node.operands
        if kind in ("all", "any", "without"):
            return self._joined(node)
        if kind == "nobody":
            return _NOBODY
        if kind == "bit":
            return self._outputs[operands[0]][operands[1]] if operands[0] in self._outputs else _NOBODY
        if kind == "stored":
            blob = self._parts.stored.get(operands[0])
            return _NOBODY if blob is None else np.frombuffer(blob, dtype=np.uint64)
        if kind == "overflow":
            return _bitmap(self._parts.overflow.get(operands[0], {}).get(operands[1], ()))
        if kind == "test":
            return self._test(number, values_of(self._results, operands[0]).array)
        if kind == "value_overflow":
            return values_of(self._results, operands[0]).overflow
        if kind in ("value", "stored_value", "carried_value", "compute", "only", "if_missing"):
            return self._value(node)
        return self._groups(node)

    def _test(self, number: int, values: pa.Array) -> Words:
        """Return who passes a test, of those who are there: an absent profile has values too, those of nothing."""
        index, place = self._tests[number]
        if id(index) not in self._passed:
            codes = index.codes(values)  # first: it may extend the table
            self._passed[id(index)] = transpose_words(index.table[codes])
        passed: Words = self._passed[id(index)][place].view(np.uint64)
        return passed & bits_of(self._results, FormulaBuilder.EVERYONE)

    def _joined(self, node: FormulaNode) -> Words:
        found = [bits_of(self._results, operand) for operand in node.operands]
        if node.kind == "without":
            return found[0] if found[1] is _NOBODY else found[0] & ~found[1]
        if node.kind == "all" and any(bits is _NOBODY for bits in found):
            return _NOBODY
        join = np.bitwise_and if node.kind == "all" else np.bitwise_or
        result = found[0].copy()
        for bits in found[1:]:
            join(result, bits, out=result)
        return result

    def _value(self, node: FormulaNode) -> ProfileValues:
        operands, payload = node.operands, node.payload
        if node.kind == "value":
            return self._scanned(operands, *payload)
        if node.kind == "stored_value":
            return _values(self._stored_column(payload))
        if node.kind == "carried_value":
            carried = self._parts.carried
            return _values(carried[operands[0]] if carried else pa.nulls(BUCKET_SIZE, stored_type(payload)))
        if node.kind == "compute":
            return self._computed([values_of(self._results, operand) for operand in operands], payload)
        before = values_of(self._results, operands[0])
        if node.kind == "if_missing":
            return _values(with_literal(before.array, payload[0], payload[1], self._plan.zone), before.overflow)
        allowed = bits_of(self._results, operands[1])
        nothing = make_nothing(before.array.type, payload)
        return _values(pc.if_else(unpack(allowed), before.array, nothing), before.overflow & allowed)

    def _scanned(self, place: tuple[int, ...], type_: AttributeType, zero_of_nothing: bool) -> ProfileValues:
        scan, number = place
        if scan not in self._parts.values:
            return _values(pa.repeat(make_nothing(stored_type(type_), zero_of_nothing), BUCKET_SIZE))
        batch = self._parts.values[scan]
        return ProfileValues(batch.select([number]), _bitmap(overflow_places(batch).get(number, ())))

    def _stored_column(self, payload: StoredValue) -> pa.Array:
        batch = self._parts.measures.get(payload.measure_id)
        return (self._nothing[payload.measure_id] if batch is None else batch).column(payload.column)

    def _computed(self, leaves: Sequence[ProfileValues], computation: Computation) -> ProfileValues:
        of_leaf = dict(zip(computation.leaves, leaves, strict=True))
        read = partial(_read_leaf, of_leaf)
        found = compute(computation.operand, read, self._plan.as_of, self._plan.zone, BUCKET_SIZE)
        bits = _bitmap(drop_overflow(found))
        for leaf in leaves:
            bits = bits if leaf.overflow is _NOBODY else bits | leaf.overflow
        return _values(to_arrow(found, computation.operand.type), bits)

    def _groups(self, node: FormulaNode) -> GroupRows | None:
        operands, payload = node.operands, node.payload
        if node.kind == "stored_groups":
            return GroupRows(self._parts.measures.get(payload.id))
        if node.kind == "scan_groups":
            self._scan_groups(payload, self._results[operands[0]])
            return None
        states = self._parts.groups.get((operands[0], operands[1]))
        if states is None:
            return GroupRows(None)
        groups = self._plan.scans[operands[0]].groups[operands[1]]
        states = states.filter(pa.array(self._is_member(operands[2], states)))
        if node.kind == "states":
            return GroupRows(mask_states(groups, states, [self._is_member(mask, states) for mask in operands[3:]]))
        finished = finish_states(groups, states)
        masks = [self._is_member(mask, finished) for mask in operands[3:]]
        return GroupRows(*name_groups(payload, finished, masks, self._plan.as_of, self._plan.zone))

    def _is_member(self, node: int, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Return of which rows the profile is in the bitmap of a node."""
        members: npt.NDArray[np.bool_] = unpack(bits_of(self._results, node)).to_numpy(zero_copy_only=False)
        return members[_places(rows)]

    def _scan_groups(self, scan: int, groups: Result) -> None:
        """Run a scan over the groups of a measure: its bits and values are those of a scan from then on."""
        if not isinstance(groups, GroupRows) or groups.rows is None or not groups.rows.num_rows:
            return
        program = self._inner[scan]
        columns = {KEY: groups.rows.column(KEY)}
        for place, attribute in enumerate(program.scan.columns):
            columns[f"c{place}"] = groups.rows.column(attribute.column)
        kernel = ScanKernel(program.scan, program)
        kernel.add([pa.record_batch(columns)])
        for answers in kernel.take():
            self._outputs[scan] = np.frombuffer(answers.bits, np.uint64).reshape(-1, _WORDS)
            self._parts.values[scan] = answers.values
            self._parts.overflow[scan] = answers.overflow
        for number in range(len(program.scan.groups)):
            states = kernel.group_states(number)
            if states is not None:
                self._parts.groups[scan, number] = states


def _read_leaf(of_leaf: Mapping[Attribute | ValueOf, ProfileValues], leaf: Attribute | ValueOf) -> Ordinals:
    return read_ordinals(of_leaf[leaf].array, leaf.type)


def _places(rows: pa.RecordBatch) -> AnyArray:
    """Return the places of rows' profiles within their bucket."""
    keys: AnyArray = rows.column(KEY).to_numpy(zero_copy_only=False)
    return (keys - 1) & (BUCKET_SIZE - 1)


def _bitmap(places: Sequence[int] | AnyArray) -> Words:
    """Return the bitmap of places within a bucket."""
    if not len(places):
        return _NOBODY
    members = np.zeros(BUCKET_SIZE, dtype=bool)
    members[list(places)] = True
    return np.packbits(members, bitorder="little").view(np.uint64)


def unpack(bits: Words) -> pa.BooleanArray:
    """Return a bitmap as an Arrow array of booleans, which has the same layout."""
    return pa.BooleanArray.from_buffers(pa.bool_(), BUCKET_SIZE, [None, pa.py_buffer(np.ascontiguousarray(bits))])


def _compile_tests(nodes: Sequence[FormulaNode]) -> dict[int, tuple[ColumnIndex, int]]:
    """Return, for each node that tests values, the index of all tests on them and its place there."""
    by_value: dict[tuple[int, Attribute], dict[int, Condition]] = {}
    for number, node in enumerate(nodes):
        if node.kind == "test":
            by_value.setdefault((node.operands[0], node.payload.attribute), {})[number] = node.payload
    found: dict[int, tuple[ColumnIndex, int]] = {}
    for (_, attribute), conditions in by_value.items():
        index = make_index(attribute, [frozenset((condition,)) for condition in conditions.values()])
        found |= {number: (index, place) for place, number in enumerate(conditions)}
    return found
