"""Running a plan's kernels in this process: project text in, member ids out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from reference import Reference, World

from segengine.errors import Level
from segengine.kernel.bitmaps import BITMAP_BYTES, bitmap_keys
from segengine.kernel.formulas import evaluate_formulas
from segengine.kernel.scan import KEY, ScanKernel
from segengine.plan.refresh import AudiencePlan, plan_audience
from segengine.plan.scans import BUCKET_SIZE, Scan
from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.model import Segment
from segengine.project.nodes import dump_documents, parse_documents
from segengine.project.problems import Problems
from segengine.project.schema_lock import LOCK_FILE, dump_lock, load_schema
from segengine.project.settings import PROJECT_FILE, load_settings

# Keys around the edges of buckets and words, so that few profiles meet many bits.
EDGES = (1, 2, 63, 64, 65, 32_767, 32_768, 32_769, 65_536, 65_537, 98_304, 98_305, 5 * BUCKET_SIZE + 7)
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


def read_segments(folder: Path, project: str, world: World, segments: Sequence[Any]) -> tuple[Catalogue, Problems]:
    """Return the definitions resolved; those with errors other than a contradiction are left out."""
    (folder / PROJECT_FILE).write_text(project.format(zone=world.zone))
    stored = {table: {name: type_.split()[0] for name, type_ in types.items()} for table, types in world.types.items()}
    (folder / LOCK_FILE).write_text(dump_lock(stored))
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
        ids = [str(row[self.world.profile_key]) for row in self.world.rows[self.world.profile_table]]
        edges = [*EDGES, *(self.choose.randrange(1, 3 * BUCKET_SIZE) for _ in ids)]
        self.key_of = dict(zip(ids, self.choose.sample(sorted(set(edges)), len(ids)), strict=True))
        self._reference = Reference(self.world, {}, {})

    def batches(self, scan: Scan) -> list[pa.RecordBatch]:
        """Return a scan's rows as an engine hands them on: in any order, in batches of any size."""
        rows = list(self.world.rows[scan.table])
        self.choose.shuffle(rows)
        via = [hop.relationship.name for hop in scan.path.hops] if scan.path else []
        profiles = [self._reference.profile_of(scan.table, row, via) for row in rows]
        arrays = [pa.array([None if name is None else self.key_of[name] for name in profiles], pa.int64())]
        for attribute in scan.columns:
            found = [self._reference.attribute(attribute.name, row, scan.table) for row in rows]
            type_ = random_type(self.world, scan.table, attribute.name)
            arrays.append(pa.array([value for value, _ in found], arrow_type(type_)))
        names = [KEY, *(f"c{place}" for place in range(len(scan.columns)))]
        whole = pa.record_batch(arrays, names=names)
        size = self.batch_size or max(1, whole.num_rows)
        return [whole.slice(start, size) for start in range(0, whole.num_rows, size)]

    def members(self, plan: AudiencePlan, stored: Mapping[str, set[str]]) -> dict[str, set[str]]:
        """Return the member ids of every segment of a plan."""
        buckets: dict[int, dict[int, bytes]] = {}
        for number, scan in enumerate(plan.scans):
            kernel = ScanKernel(scan)
            kernel.add(self.batches(scan))
            assert not kernel.duplicate_count
            for bucket, blob in kernel.bitmaps():
                buckets.setdefault(bucket, {})[number] = blob
        parents = {place: self._bitmaps(stored[name]) for place, name in enumerate(plan.stored)}
        id_of = {key: name for name, key in self.key_of.items()}
        found: dict[str, set[str]] = {name: set() for name in plan.members}
        for bucket, scans in buckets.items():
            above = {place: bitmaps[bucket] for place, bitmaps in parents.items() if bucket in bitmaps}
            results = evaluate_formulas(plan.nodes, scans, above)
            for name, node in plan.members.items():
                found[name] |= {id_of.get(int(key), f"?{key}") for key in bitmap_keys(results[node].tobytes(), bucket)}
        return found

    def _bitmaps(self, ids: set[str]) -> dict[int, bytes]:
        bits: dict[int, Any] = {}
        for name in ids:
            bucket, place = divmod(self.key_of[name] - 1, BUCKET_SIZE)
            bits.setdefault(bucket + 1, np.zeros(BITMAP_BYTES * 8, dtype=bool))[place] = True
        return {bucket: np.packbits(flags, bitorder="little").tobytes() for bucket, flags in bits.items()}


def random_type(world: World, table: str, name: str) -> str:
    *steps, column = name.split(".")
    for step in steps:
        table = world.links[table][step].table
    return world.types[table][column]


def differences(
    folder: Path, project: str, run: KernelRun, segments: Sequence[Any], stored: Mapping[str, set[str]]
) -> tuple[int, list[str]]:
    """Return how many segments were compared, and those whose members differ from the reference's.

    `stored`: members of parents outside of the run, by name; each is defined as `where: everyone` in the project.
    """
    outside = [{"kind": "segment", "name": name, "where": "everyone"} for name in stored]
    catalogue, problems = read_segments(folder, project, run.world, [*outside, *segments])
    unexpected = [i for i in problems.issues if i.level is Level.ERROR and i.code not in ("SEG302", "SEG207")]
    assert not unexpected, "\n".join(map(str, unexpected))
    own = {key: segment for key, segment in catalogue.segments.items() if segment.name not in stored}
    usable: dict[str, Segment] = {}
    for key, segment in own.items():  # a segment with an error takes those below it along
        if all(parent in usable or parent in stored for parent in catalogue.parents(key)):
            usable[key] = segment
    plan = plan_audience("customer", usable, sorted(stored), catalogue.settings)
    reference = Reference(run.world, {segment["name"]: segment for segment in segments}, stored)
    actual = run.members(plan, stored)
    wrong = []
    for segment in segments:
        name = segment["name"]
        if name in usable and actual[name] != reference.members(name):
            expected = reference.members(name)
            more, less = sorted(actual[name] - expected), sorted(expected - actual[name])
            wrong.append(f"# too many: {more}, missing: {less}, zone {run.world.zone}\n{dump_documents([segment])}")
    return len(usable), wrong
