"""The profiles that a suggestion is about, as a model sees them: the members of a segment, or everyone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.failures import engine_errors
from segengine.engine.features import Asked, Features
from segengine.errors import ConfigError
from segengine.kernel.bitmaps import count_members
from segengine.models.fields import HASH, Field, draw_by_hash, read_flags
from segengine.models.suggestions import choose_share, name_salt
from segengine.operations.model_run import ModelRun

LEAST_PROFILES = 50  # no smaller group is ever suggested
_OF = "@of"  # no attribute begins so

Select = Callable[[pa.RecordBatch], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Scope:
    """The `profile_count` profiles that count and their `fields`, by the names that were given to these."""

    features: Features
    fields: Mapping[str, Field]
    profile_count: int
    seed_text: str

    @property
    def share(self) -> float:
        """The share of the profiles that is enough for a sample."""
        return choose_share(self.profile_count)

    def sample(self, share: float, also: Select | None = None) -> pa.Table:
        """Return a share of the profiles, always the same; `also`: of these the ones that are wanted."""
        salt = name_salt(self.seed_text)

        def choose(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
            chosen = _is_inside(batch) & (draw_by_hash(np.asarray(batch.column(HASH)), salt) < share)
            return chosen & also(batch) if also else chosen

        return self.features.sample(choose)

    def count(self, count: Callable[[pa.RecordBatch], pa.RecordBatch], schema: pa.Schema) -> list[pa.RecordBatch]:
        """Return what a function counts in each batch of the profiles; it may be sent to the engine's tasks."""

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                inside = batch.filter(pa.array(_is_inside(batch)))
                if inside.num_rows:
                    yield count(inside)

        with engine_errors("counting groups of profiles"):
            found: list[pa.RecordBatch] = self.features.gather(run, schema).to_batches()
        return found


def open_scope(run: ModelRun, of: str, asked: Mapping[str, Asked]) -> Scope:
    """Return the profiles that a question is about, with what is asked of them.

    Args:
        run: The run.
        of: The id of the segment whose members count, '' everyone.
        asked: What is asked of them, by the name of its field.

    Raises:
        ConfigError: They are too few for any suggestion.
    """
    profile_count = sum(map(count_members, run.bitmaps(of).values())) if of else run.count_profiles()
    if profile_count < LEAST_PROFILES:
        who = f'Segment "{run.catalogue.segments[of].name}"' if of else "The audience"
        what = f"{profile_count} member{'' if profile_count == 1 else 's'}" if of else f"{profile_count} profiles"
        raise ConfigError(
            f"{who} has {what}: a suggestion needs at least {LEAST_PROFILES}.",
            "Choose a larger segment under `of`." if of else "Wait for more profiles.",
        )
    features = run.read_features({**asked, _OF: of} if of else asked)
    fields = {field.name: field for field in features.fields if field.name != _OF}
    return Scope(features, fields, profile_count, run.seed_text)


def _is_inside(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return which profiles count, shape (n,)."""
    if _OF not in batch.schema.names:
        return np.ones(batch.num_rows, dtype=bool)
    return read_flags(batch, _OF)
