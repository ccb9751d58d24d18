"""What the evaluation of a definition by a model needs of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from segengine.engine.features import Asked, Features
from segengine.project.catalogue import Catalogue
from segengine.store.snapshots import SnapshotKey, read_bitmaps
from segengine.store.warehouse import Warehouse


@dataclass(frozen=True)
class ModelRun:
    """A run as models see it.

    `seed_text`: what chance is drawn from: the definition's hash. `count_profiles`: of the audience, whose ids are read
    for it. `snapshot_of`: the snapshot that a segment or measure feeds with. `read_features`: of every profile, by the
    name of a field.
    """

    warehouse: Warehouse
    catalogue: Catalogue
    run_id: str
    as_of: datetime
    seed_text: str
    count_profiles: Callable[[], int]
    snapshot_of: Callable[[str], SnapshotKey]
    read_features: Callable[[Mapping[str, Asked]], Features]

    def bitmaps(self, segment_id: str) -> Mapping[int, bytes]:
        """Return the members of a segment as bitmaps by bucket."""
        key = self.snapshot_of(segment_id)
        return read_bitmaps(self.warehouse, key.run_id, key.id)
