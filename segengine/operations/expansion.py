"""Evaluating an expansion: a model learns from the source's members and scores the candidates; the best are members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.features import Asked, Features
from segengine.engine.member_keys import make_snapshot
from segengine.kernel.bitmaps import count_members, subtract_bitmaps
from segengine.models.calibration import STEPS
from segengine.models.fields import HASH, KEY, read_flags
from segengine.models.recommended import Offer
from segengine.models.run_record import RunRecord
from segengine.models.scoring import SimilarityModel
from segengine.models.selection import LEAST_SCORE, Counts, Cut, count_bands, find_cut, to_steps
from segengine.models.similarity import Similarity, learn_similarity
from segengine.models.training import Sample, SampleDraw, arrange_sample
from segengine.operations.model_run import ModelRun
from segengine.operations.similarity_record import model_columns, record_inputs, record_members, record_model
from segengine.project.model import Expansion, Segment
from segengine.project.model_fields import is_key_field
from segengine.project.source_fields import find_rule_fields
from segengine.project.types import instant_of
from segengine.store.scores import count_scores, read_scores, write_result, write_scores
from segengine.store.snapshots import SnapshotKey, read_contents, write_snapshots

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SOURCE, _CANDIDATE = "@source", "@candidate"  # no attribute begins so


@dataclass(frozen=True)
class ExpansionRun:
    """What the evaluation of one expansion needs.

    `preceding`: the snapshot that entered and left are against. `keys`: `profile_id`, `profile_key` of the profiles
    that count.
    """

    run: ModelRun
    segment: Segment
    expansion: Expansion
    keys: DataFrame
    preceding: SnapshotKey | None
    tasks: int

    def evaluate(self, record: RunRecord) -> None:
        """Write the scores, the members and what there is to say of the model, under the run's id.

        Args:
            record: What MLflow is to know is noted there.

        Raises:
            ConfigError: The source is too small, or no field can be used.
            RunError: The fields say nothing of the source, or the engine failed.
        """
        features, offer = self._read_features()
        member_total, other_total = self._count()
        similarity = self._learn(offer, self._sample(features, member_total, other_total), record)
        own = SnapshotKey(self.run.run_id, self.segment.id)
        columns = f"{KEY} bigint, score double, candidate_count bigint"
        rows = features.map_batches(_make_scorer(similarity.model), columns)
        with engine_errors(f'scoring for "{self.segment.name}"'):
            write_scores(self.run.warehouse, own, rows)
        counts, cut = self._cut(own)
        record_members(record, counts, cut)
        members = self._members(own, cut)
        if self.expansion.include_source:
            members = members.unionByName(features.map_batches(_list_source, f"{KEY} bigint"))
        before = read_contents(self.run.warehouse, [self.preceding] if self.preceding else [])
        if before is not None and self.preceding:
            before = before.where(before["source"] == self.preceding.source)
        write_snapshots(
            self.run.warehouse, self.run.run_id, make_snapshot(self.segment.id, members, before, self.tasks)
        )
        write_result(self.run.warehouse, own, "expansion", _describe(similarity, counts, cut))

    def _read_features(self) -> tuple[Features, Offer]:
        """Return the features, and which of them the model may use; those of the source's rule show copies of it."""
        rule = find_rule_fields(self.run.catalogue, self.expansion.source)
        fields = {field.name: field.source for field in self.expansion.fields}
        of_rule = {field.name for field in self.expansion.fields if rule.has(field, self.run.catalogue)}
        extra = {each.name: each for each in rule.attributes if each not in fields.values() and each.name not in fields}
        asked = {field.name: field.asked for field in self.expansion.fields}
        flags: dict[str, Asked] = {_SOURCE: self.expansion.source}
        if self.expansion.candidates:
            flags[_CANDIDATE] = self.expansion.candidates
        settings = self.run.catalogue.settings
        features = self.run.read_features({**asked, **extra, **flags})
        offer = Offer(
            fields=tuple(field for field in features.fields if field.name not in flags),
            rule_fields=frozenset({*of_rule, *extra}),
            key_fields=frozenset(field.name for field in self.expansion.fields if is_key_field(field, settings)),
            chosen=None if self.expansion.is_recommended else tuple(fields),
        )
        return features, offer

    def _count(self) -> tuple[int, int]:
        """Return the number of members of the source, and of the candidates who are none."""
        source = self.run.bitmaps(self.expansion.source)
        member_total = sum(map(count_members, source.values()))
        if not self.expansion.candidates:
            return member_total, self.run.count_profiles() - member_total
        others = subtract_bitmaps(self.run.bitmaps(self.expansion.candidates), source)
        return member_total, sum(map(count_members, others.values()))

    def _sample(self, features: Features, member_total: int, other_total: int) -> Sample:
        draw = SampleDraw(member_total, other_total, self.run.seed_text)
        table = features.sample(
            lambda batch: _takes_part(batch) & draw.choose(np.asarray(batch.column(HASH)), _is_source(batch))
        )
        return arrange_sample(table, _is_source(table), member_total, other_total)

    def _learn(self, offer: Offer, sample: Sample, record: RunRecord) -> Similarity:
        record_inputs(record, self.expansion, self.run.seed_text, sample)
        similarity = learn_similarity(sample, offer, instant_of(self.run.as_of), self.run.seed_text)
        record_model(record, similarity.report)
        record.log_model(similarity.model, model_columns(sample, similarity.report))
        return similarity

    def _cut(self, own: SnapshotKey) -> tuple[Counts, Cut]:
        """Return how many candidates have each score, and where members end."""
        scores, candidate_counts = count_scores(self.run.warehouse, own)
        counts: Counts = np.zeros(STEPS + 1, dtype=np.int64)
        counts[to_steps(scores)] = candidate_counts
        size = self.expansion.size
        most = int(size * self.run.count_profiles()) if size <= 1 else int(size)
        return counts, find_cut(counts, max(1, most), float(self.expansion.minimum_score))

    def _members(self, own: SnapshotKey, cut: Cut) -> DataFrame:
        """Return `profile_key` of the best candidates; of those that tie at the end the first by the text of the id."""
        scores = read_scores(self.run.warehouse, own)
        above = scores.where(scores["score"] > cut.score)
        tied = scores.where(scores["score"] == cut.score)
        if cut.tied_taken < cut.tied:
            tied = tied.join(self.keys, KEY).orderBy("profile_id").limit(cut.tied_taken)
        return above.select(KEY).unionByName(tied.select(KEY))


def _is_source(rows: pa.RecordBatch | pa.Table) -> npt.NDArray[np.bool_]:
    return read_flags(rows, _SOURCE)


def _takes_part(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return who is a member of the source or a candidate, shape (n,)."""
    if _CANDIDATE not in batch.schema.names:
        return np.ones(batch.num_rows, dtype=bool)
    return np.logical_or(_is_source(batch), read_flags(batch, _CANDIDATE))


def _make_scorer(model: SimilarityModel) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that scores candidates; those whom nobody would choose are only counted."""

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            candidates = batch.filter(pa.array(_takes_part(batch) & ~_is_source(batch)))
            if not candidates.num_rows:
                continue
            scores = np.asarray(model.score(candidates))
            keys, kept = candidates.column(KEY), scores >= LEAST_SCORE
            yield _score_rows(keys.filter(pa.array(kept)), scores[kept], np.ones(np.count_nonzero(kept), np.int64))
            about, counts = np.unique(np.floor(scores[~kept] * 100) / 100, return_counts=True)
            yield _score_rows(pa.nulls(len(about), pa.int64()), about, counts)

    return score


def _score_rows(keys: pa.Array, scores: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> pa.RecordBatch:
    return pa.record_batch([keys, pa.array(scores), pa.array(counts, pa.int64())], [KEY, "score", "candidate_count"])


def _list_source(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.filter(pa.array(_is_source(batch))).select([KEY])


def _describe(similarity: Similarity, counts: Counts, cut: Cut) -> dict[str, object]:
    """Return what a reader should know, as plain values."""
    report = asdict(similarity.report)
    report["warnings"] = [*similarity.report.warnings, *cut.warnings]
    bands = [asdict(band) for band in count_bands(counts)]
    return {**report, "cut": asdict(cut), "candidate_bands": bands}
