"""Measures beside members: the values that the members' run saw, where they are still to be had."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from segengine.engine.measure_rows import attribute_rows
from segengine.operations.context import OpenProject
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.store.runs import History, MeasureRun, SegmentRun
from segengine.store.snapshots import read_contents, snapshot_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def find_measure_runs(
    catalogue: Catalogue, history: History, run: SegmentRun, attributes: Iterable[Attribute]
) -> dict[str, MeasureRun]:
    """Return by id the measures' snapshots that a segment's run used, or that were the newest then.

    Left out are those that are no longer kept or of another definition, and values of the profiles' accounts.
    """
    numbers: Mapping[str, int] = json.loads(run.parents)
    found: dict[str, MeasureRun] = {}
    for identity in {each.measure for each in attributes if each.measure and not each.hops}:
        number = numbers.get(identity)
        snapshots = [
            each
            for each in history.measures.snapshots(identity)
            if (each.as_of <= run.as_of if number is None else each.snapshot_version == number)
        ]
        hashes = catalogue.hashes.get(identity)
        is_usable = snapshots and hashes and history.measures.is_kept(snapshots[-1])
        if is_usable and hashes and snapshots[-1].data_hash == hashes.data:
            found[identity] = snapshots[-1]
    return found


def read_measured(
    project: OpenProject, catalogue: Catalogue, runs: Mapping[str, MeasureRun], attributes: Sequence[Attribute]
) -> DataFrame | None:
    """Return `profile_key` and the values of measures, `m0`, `m1`, ...; None where none is asked for."""
    asked = {each.measure: snapshot_of(runs[each.measure]) for each in attributes}
    contents = read_contents(project.warehouse, list(asked.values()))
    if contents is None:
        return None
    measures = {identity: catalogue.measures[identity] for identity in asked}
    sources = {identity: key.source for identity, key in asked.items()}
    return attribute_rows(contents, sources, measures, attributes, project.session.parallelism)
