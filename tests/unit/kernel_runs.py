"""Running a plan's kernels in this process: project text in, member ids out."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from reference import Joined, Reference
from worlds import World

from segengine.errors import Issue, Level
from segengine.kernel.arithmetic import Clock
from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys
from segengine.kernel.formulas import BucketParts, Formulas
from segengine.kernel.scan import KEY, ScanKernel
from segengine.plan.refresh import Around, AudiencePlan, plan_audience
from segengine.plan.scans import BUCKET_SIZE, Scan
from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.model import Segment
from segengine.project.nodes import dump_documents, parse_documents
from segengine.project.problems import Problems
from segengine.project.schema_lock import LOCK_FILE, dump_lock, load_schema
from segengine.project.settings import PROJECT_FILE, load_settings
from segengine.project.types import instant_of

# Keys around the edges of buckets and words, so that few profiles meet many bits.
EDGES = (1, 2, 63, 64, 65, 32_767, 32_768, 32_769, 65_536, 65_537, 98_304, 98_305, 5 * BUCKET_SIZE + 7)
EXPECTED_ERRORS = frozenset({"SEG302", "SEG207"})  # random conditions contradict themselves, random values do not fit
ARROW = {
    "text": pa.string(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}


def arrow_type(type_: str) -> pa.DataType:
    if type_.startswith("decimal"):
        precision, scale = map(int, type_[8:-1].split(","))
        return pa.decimal128(precision, scale)
    return ARROW[type_.split()[0]]


def found_keys(kernel: ScanKernel) -> list[list[int]]:
    """Return by output the keys of the profiles in it, ascending, and forget them."""
    found: dict[int, list[int]] = {}
    for answers in kernel.take():
        for output, start in enumerate(range(0, len(answers.bits), BITMAP_BYTES)):
            keys = bitmap_keys(answers.bits[start : start + BITMAP_BYTES], answers.bucket)
            found.setdefault(output, []).extend(keys.tolist())
    return [sorted(found[output]) for output in sorted(found)]


@dataclass(frozen=True)
class KernelResult:
    """Members by segment name, and what validation said; segments with errors have no members.

    `failed`: segments that use a column with values that are infinite or out of range, and those below them.
    """

    members: Mapping[str, set[str]]
    failed: Collection[str]
    issues: Sequence[Issue]

    def refused(self, allowed: Collection[str]) -> list[str]:
        """Return the errors other than those allowed, as text."""
        return [str(i) for i in self.issues if i.level is Level.ERROR and i.code not in allowed]


def read_segments(folder: Path, world: World, segments: Sequence[Any]) -> tuple[Catalogue, Problems]:
    """Return the definitions resolved; those with errors other than a contradiction are left out."""
    (folder / PROJECT_FILE).write_text(dump_documents([dict(world.project)]), encoding="utf-8")
    stored = {table: {name: type_.split()[0] for name, type_ in types.items()} for table, types in world.types.items()}
    (folder / LOCK_FILE).write_text(dump_lock(stored), encoding="utf-8")
    settings, problems = load_settings(folder), Problems()
    documents, issues = parse_documents(dump_documents(segments), "segments.yml")
    problems.issues += issues
    definitions = [found for node in documents if (found := read_definition(node, "segments.yml", problems))]
    schema = load_schema(settings, problems)
    return check_definitions(definitions, settings, schema, problems), problems


@dataclass
class KernelRun:
    """One world, its profiles' keys, and how its rows come in."""

    world: World
    choose: random.Random
    batch_size: int

    def __post_init__(self) -> None:
        self._reference = Reference(self.world, {}, {})
        ids = list(self._reference.profiles)
        edges = [*EDGES, *(self.choose.randrange(1, 3 * BUCKET_SIZE) for _ in ids)]
        self.key_of = dict(zip(ids, self.choose.sample(sorted(set(edges)), len(ids)), strict=True))

    def batches(self, scan: Scan) -> list[pa.RecordBatch]:
        """Return a scan's rows as an engine hands them on: in any order, in batches of any size."""
        rows = self._rows(scan)
        self.choose.shuffle(rows)
        arrays = [pa.array([key for key, _ in rows], pa.int64())]
        hops = self._reference.path(scan.table, _via(scan)) if scan.path else ()
        for attribute in scan.columns:
            type_ = self._reference.attribute_type(attribute.name, scan.table, hops)
            values = [self._reference.attribute(attribute.name, row) for _, row in rows]
            arrays.append(pa.array(values, arrow_type(type_)))
        names = [KEY, *(f"c{place}" for place in range(len(scan.columns)))]
        whole = pa.record_batch(arrays, names=names)
        size = self.batch_size or max(1, whole.num_rows)
        return [whole.slice(start, size) for start in range(0, whole.num_rows, size)]

    def _rows(self, scan: Scan) -> list[tuple[int | None, Joined]]:
        """Return a scan's rows with their profiles' keys, those that reach no profile among them."""
        reference, table = self._reference, scan.table
        if scan.path is None:
            alone = [Joined(table, (), (row,)) for row in self.world.rows[table]]
            return [(self.key_of[reference.profile_of(row)], row) for row in alone]
        joined = reference.joined_rows(table, _via(scan))
        found: list[tuple[int | None, Joined]] = [(self.key_of[reference.profile_of(row)], row) for row in joined]
        if not any(hop.multiplies for hop in scan.path.hops):
            reaching = [row.rows[0] for row in joined]
            lost = [row for row in self.world.rows[table] if not any(row is other for other in reaching)]
            found += [(None, Joined(table, (), (row,))) for row in lost]
        return found

    def members(self, plan: AudiencePlan, stored: Mapping[str, set[str]]) -> dict[str, set[str]]:
        """Return the member ids of every segment of a plan.

        Afterwards `failing` has the ids of the segments with bad values in their way, or with aggregates of too many
        digits.
        """
        buckets: dict[int, BucketParts] = {}
        bad: set[tuple[int, int]] = set()
        for number, scan in plan.table_scans.items():
            kernel = ScanKernel(scan, clock=Clock(plan.as_of, plan.zone))
            kernel.add(self.batches(scan))
            assert not kernel.duplicate_count
            for answers in kernel.take():
                parts = buckets.setdefault(answers.bucket, BucketParts())
                parts.bits[number], parts.overflow[number] = answers.bits, answers.overflow
            bad |= {(number, place) for place, _ in kernel.invalid_counts()}
        for place, name in enumerate(plan.stored):
            for bucket, bitmap in self._bitmaps(stored[name]).items():
                buckets.setdefault(bucket, BucketParts()).stored[place] = bitmap
        id_of = {key: name for name, key in self.key_of.items()}
        found: dict[str, set[str]] = {name: set() for name in plan.members}
        self.failing = {name for name in plan.members if plan.answers.get(name, set()) & bad}
        formulas = Formulas(plan)
        for bucket, parts in buckets.items():
            results = formulas.evaluate(parts)
            for name, node in plan.members.items():
                bits = results[node]
                assert isinstance(bits, np.ndarray)
                found[name] |= {id_of.get(int(key), f"?{key}") for key in bitmap_keys(bits.tobytes(), bucket)}
            self.failing |= {name for name, node in plan.overflow.items() if np.any(results[node])}
        return found

    def _bitmaps(self, ids: set[str]) -> dict[int, bytes]:
        bits: dict[int, Any] = {}
        for name in ids:
            bucket, place = divmod(self.key_of[name] - 1, BUCKET_SIZE)
            bits.setdefault(bucket + 1, np.zeros(BITMAP_BYTES * 8, dtype=bool))[place] = True
        return {bucket: np.packbits(flags, bitorder="little").tobytes() for bucket, flags in bits.items()}


def _via(scan: Scan) -> list[str | dict[str, str]]:
    """Return a scan's path as it is written."""
    links = [(hop.relationship, hop.multiplies) for hop in scan.path.hops] if scan.path else []
    return [{"back": f"{link.from_table}.{link.name}"} if back else link.name for link, back in links]


def run_kernel(folder: Path, run: KernelRun, segments: Sequence[Any], stored: Mapping[str, set[str]]) -> KernelResult:
    """Return the members of segments that validation lets through, a contradiction or a lonely value aside.

    `stored`: members of parents outside of the run, by name; each is defined as `where: everyone` in the project.
    """
    outside = [{"kind": "segment", "name": name, "where": "everyone"} for name in stored]
    catalogue, problems = read_segments(folder, run.world, [*outside, *segments])
    usable: dict[str, Segment] = {}
    for key, segment in catalogue.segments.items():  # a segment with an error takes those below it along
        if segment.name not in stored and all(
            parent in usable or parent in stored for parent in catalogue.parents(key)
        ):
            usable[key] = segment
    around = Around(catalogue.settings, {}, instant_of(run.world.as_of), stored=tuple(sorted(stored)))
    plan = plan_audience("customer", usable, around)
    members = run.members(plan, stored)
    failed: set[str] = set()
    for key in usable:
        if key in run.failing or failed & set(catalogue.parents(key)):
            failed.add(key)
    good = {usable[key].name: found for key, found in members.items() if key not in failed}
    return KernelResult(good, {usable[key].name for key in failed}, problems.issues)
