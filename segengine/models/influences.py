"""Which fields can tell something new about a target: no ids, no constants, no copies of the target itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.models.codings import LeftOut, choose_coding, find_flaw
from segengine.models.fields import HASH, Codes, Field
from segengine.models.groups import Mask
from segengine.models.lookups import code_values, explain_share
from segengine.models.near_copies import (
    COPY_AUC,
    COPY_R2,
    COPY_UNCERTAINTY,
    SUM_OF_FIELDS_R2,
    SUSPECT_R2,
    SUSPECT_UNCERTAINTY,
    draw_learning_half,
    explain_together,
    explain_truth,
    has_pure_value,
)
from segengine.models.shares import show_share
from segengine.models.targets import Target

_LEAST_PURE_ROWS, _LEAST_PURE_SHARE = 50, 0.02
_LEAST_ROWS = 100  # with fewer, a look-up says nothing


@dataclass(frozen=True)
class Judged:
    """Fields that can be used, those left out with the reason, and what is doubtful of those used."""

    usable: tuple[Field, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def judge_influences(rows: pa.Table, target: Target, influences: Sequence[Field], seed_text: str, zone: str) -> Judged:
    """Return which fields may influence a target.

    Args:
        rows: A feature table of customers who all have a target.
        target: The target.
        influences: The fields named.
        seed_text: The definition's hash.
        zone: The project's time zone.
    """
    learning = draw_learning_half(np.asarray(rows[HASH]), seed_text)
    looked_up = _LookedUp(target, rows[target.field.name].combine_chunks(), learning)
    usable: list[Field] = []
    left_out: list[LeftOut] = []
    warnings: list[str] = []
    for field in dict.fromkeys(influences):
        column = rows[field.name].combine_chunks()
        reason = "is the target itself" if field.name == target.field.name else find_flaw(column, field)
        if not reason:
            reason, warning = looked_up.judge(field.name, code_values(column, field))
            warnings += [warning] if warning else []
        if reason:
            left_out.append(LeftOut(field.name, reason))
        else:
            usable.append(field)
    if len(usable) > 1 and (warning := looked_up.judge_together(rows, usable, zone)):
        warnings.append(warning)
    return Judged(tuple(usable), tuple(left_out), tuple(warnings))


class _LookedUp:
    """A target, to be looked up in fields."""

    def __init__(self, target: Target, column: pa.Array, learning: Mask) -> None:
        self._field, self._column = target.field, column
        self._learning = learning
        self._enough = min(learning.sum(), (~learning).sum()) >= _LEAST_ROWS
        self._truths = [target.is_class(column, value) for value in target.classes]

    def judge(self, field: str, codes: Codes) -> tuple[str, str]:
        """Return why a field is left out, and a warning where it is not but may be a copy; '' where there is none."""
        if not self._enough:
            return "", ""
        if not self._truths:
            explained = explain_share(codes, self._column, self._field, self._learning)
            is_copy, is_suspect = explained >= COPY_R2, explained >= SUSPECT_R2
        else:
            found = [explain_truth(codes, truth, self._learning) for truth in self._truths]
            explained = max(one.uncertainty for one in found)
            is_copy = explained >= COPY_UNCERTAINTY or max(one.auc for one in found) >= COPY_AUC
            is_suspect = explained >= SUSPECT_UNCERTAINTY
            least = round(max(_LEAST_PURE_ROWS, _LEAST_PURE_SHARE * len(codes)))
            if not is_copy and any(has_pure_value(codes, truth, least) for truth in self._truths):
                return f'repeats "{self._field.name}": one of its values goes with a single outcome', ""
        share = show_share(explained)
        if is_copy:
            return f'is nearly a copy of "{self._field.name}": alone it explains {share} of it', ""
        if is_suspect:
            return "", f'"{field}" alone explains {share} of "{self._field.name}": is it computed from it?'
        return "", ""

    def judge_together(self, rows: pa.Table, usable: Sequence[Field], zone: str) -> str:
        """Return a warning where all fields together make up the target, '' where they do not."""
        from scipy.stats import rankdata

        if not self._enough:
            return ""
        columns = [_to_feature(rows[field.name].combine_chunks(), field, zone) for field in usable]
        are_categories = np.array([not field.is_ordered for field in usable])
        truths = [truth.astype(np.float64) for truth in self._truths]
        for values in truths or [rankdata(np.asarray(self._column))]:
            explained = explain_together(np.column_stack(columns), are_categories, values, self._learning)
            if explained >= SUM_OF_FIELDS_R2:
                share = show_share(explained)
                return f'Together the fields explain {share} of "{self._field.name}": is it computed from them?'
        return ""


def _to_feature(column: pa.Array, field: Field, zone: str) -> npt.NDArray[np.float64]:
    if field.is_ordered:
        return np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan))
    return choose_coding(column, field, zone).encode(column).astype(np.float64)
