"""Who of the scored candidates becomes a member: the best ones up to a size, exactly, however the rows are spread.

Each task counts its scores; the counts are added up and say which score is cut at; each task then takes what lies above
it, and of those that tie with it the first ones by the text of their profile's id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.errors import ConfigError
from segengine.models.calibration import BANDS, STEPS, Steps, find_bands

Counts = npt.NDArray[np.int64]

LEAST_SCORE = 0.4
USUAL_LEAST_SCORE = 0.55


@dataclass(frozen=True)
class Cut:
    """The score that members are cut at.

    `tied_taken` of the `tied` candidates with exactly this score are members, and all those above; `warnings` are for
    the reader of the result.
    """

    score: float
    above: int
    tied: int
    tied_taken: int
    warnings: tuple[str, ...] = ()

    @property
    def members(self) -> int:
        """How many become members."""
        return self.above + self.tied_taken


@dataclass(frozen=True)
class BandCount:
    """How many candidates have a score of a band, from `least` on."""

    band: str
    least: float
    candidates: int


def count_bands(counts: Counts) -> tuple[BandCount, ...]:
    """Return how many candidates are very similar, similar and so on."""
    bands = find_bands(np.arange(STEPS + 1))
    return tuple(BandCount(band.name, band.least, int(counts[bands == i].sum())) for i, band in enumerate(BANDS))


def find_cut(counts: Counts, size: int, minimum_score: float = USUAL_LEAST_SCORE) -> Cut:
    """Return where the best candidates end.

    Args:
        counts: How many candidates have each score, shape (STEPS + 1,).
        size: The most members wanted, at least 1.
        minimum_score: The least score of a member, `LEAST_SCORE` to 1.

    Raises:
        ConfigError: The size or the score is out of range.
    """
    _check_wish(size, minimum_score)
    least = math.ceil(round(minimum_score * STEPS, 6))
    eligible = counts.copy()
    eligible[:least] = 0
    from_here_on = np.cumsum(eligible[::-1])[::-1]  # candidates with this score or a greater one
    reaching = int(from_here_on[0])
    if reaching <= size:
        tied = int(eligible[least])
        return Cut(least / STEPS, reaching - tied, tied, tied, _warn(int(counts.sum()), reaching, size, minimum_score))
    step = int(np.flatnonzero(from_here_on >= size)[-1])
    tied = int(eligible[step])
    above = int(from_here_on[step]) - tied
    return Cut(step / STEPS, above, tied, size - above)


def to_steps(scores: pa.Array) -> Steps:
    """Return scores as whole steps of 1 / `STEPS`, shape (n,)."""
    steps: Steps = np.rint(np.asarray(scores) * STEPS).astype(np.int64)
    return steps


def _check_wish(size: int, minimum_score: float) -> None:
    if size < 1:
        raise ConfigError(f"The size of an expansion must be at least 1 customer; it is {size}.")
    if not LEAST_SCORE <= minimum_score <= 1:
        raise ConfigError(
            f"minimum_score must be from {LEAST_SCORE} to 1; it is {minimum_score:g}.",
            "Below 0.4 customers are clearly less common among the members than among the others.",
        )


def _warn(candidates: int, reaching: int, size: int, minimum_score: float) -> tuple[str, ...]:
    if reaching == size:
        return ()
    found = f"only {reaching:,} have a score of {minimum_score:g} or more"
    if candidates < size:
        found = f"there are only {candidates:,} candidates, of whom {found.removeprefix('only ')}"
    return (f"{size:,} customers were asked for, but {found}.",)
