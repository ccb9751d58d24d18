"""One column index per attribute: value to code, code to the clauses it satisfies.

A *requirement* is what one clause asks of the column (all its conditions on it). A code stands for all values that
satisfy the same requirements: an interval between two cut points, or a signature of text tests. `table[code]` has one
bit per clause position: 1 where the clause's requirement is satisfied, or the clause does not mention the column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from functools import reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segengine.kernel.bitmaps import AnyArray, Words, pack_booleans
from segengine.kernel.date_parts import take_part
from segengine.kernel.ordinals import Ordinals, read_ordinals, text_values
from segengine.kernel.values import Columns
from segengine.plan.rows import Clause
from segengine.project.attributes import Attribute
from segengine.project.model import Condition
from segengine.project.types import Family
from segengine.project.values import Constant, Ranges, Test, TextTest

Codes = npt.NDArray[np.unsignedinteger[Any]]  # in as few bytes as the table asks for: many rows are joined
Mask = npt.NDArray[np.bool_]
_INT64 = np.iinfo(np.int64)
_FEW_CUTS = 4
_MAX_LOOKUP = 1 << 18  # cut points this close together are looked up, not searched


class ColumnIndex(ABC):
    """Codes of one attribute's values and the clause positions each code satisfies."""

    table: Words

    def __init__(self, attribute: Attribute, positions: Sequence[Clause | None]) -> None:
        """Prepare an index.

        Args:
            attribute: The column.
            positions: The clause at each bit position; None: never satisfied.
        """
        self.attribute = attribute
        self._width = max(1, -(-len(positions) // 64))
        wanted: dict[frozenset[Condition], int] = {}
        self._requirement_at = np.array(
            [wanted.setdefault(_conditions_on(attribute, clause), len(wanted)) for clause in positions], dtype=np.intp
        )
        self._requirements = list(wanted)
        self.invalid_count = 0

    def fresh(self) -> Self:
        """Return an index with the same tables for another task."""
        twin = copy(self)
        twin.invalid_count = 0
        return twin

    def _words(self, satisfied: npt.NDArray[np.bool_]) -> Words:
        """Return table rows (codes, words) from which requirement each code satisfies (codes, requirements)."""
        return pack_booleans(satisfied[:, self._requirement_at], self._width)

    def _missing_row(self) -> list[bool]:
        return [all(condition.missing for condition in requirement) for requirement in self._requirements]

    def compare(self) -> tuple[Mask, Mask]:
        """Return whether all values that satisfy a position satisfy another one, and whether none does.

        Both of shape (positions, positions), and true only where that is sure.
        """
        satisfied = self._outcomes().astype(np.float32)
        inside, apart = satisfied.T @ (1 - satisfied) == 0, satisfied.T @ satisfied == 0
        pairs = np.ix_(self._requirement_at, self._requirement_at)
        return inside[pairs], apart[pairs]

    @abstractmethod
    def _outcomes(self) -> Mask:
        """Return which requirements a value satisfies, of all values there may be, shape (outcomes, requirements)."""

    def read(self, columns: Columns) -> Codes:
        """Return the codes of the attribute's column in a batch."""
        return self.codes(columns.array(self.attribute.whole))

    @abstractmethod
    def codes(self, array: pa.Array) -> Codes:
        """Return the code of each value of a batch, shape (n,); `table` covers all of them afterwards."""


def _conditions_on(attribute: Attribute, clause: Clause | None) -> frozenset[Condition]:
    return frozenset(condition for condition in clause or () if condition.attribute == attribute)


def make_index(attribute: Attribute, positions: Sequence[Clause | None]) -> ColumnIndex:
    """Return the index that fits an attribute's type."""
    kind = TextIndex if attribute.type.family is Family.TEXT else OrderedIndex
    return kind(attribute, positions)


class OrderedIndex(ColumnIndex):
    """Numbers, dates, timestamps and booleans: codes are intervals between cut points, the last is missing."""

    def __init__(self, attribute: Attribute, positions: Sequence[Clause | None]) -> None:
        super().__init__(attribute, positions)
        spans = [span for test in self._distinct_tests() if isinstance(test, Ranges) for span in test.spans]
        self._cuts: list[int | float] = sorted({bound for span in spans for bound in span if bound is not None})
        is_float = attribute.type.name in ("float", "double")
        whole = [cut for cut in self._cuts if is_float or _INT64.min <= cut <= _INT64.max]
        self._below = 0 if is_float else sum(cut < _INT64.min for cut in self._cuts)
        self._searched = np.array(whole, dtype=np.float64 if is_float else np.int64)
        self._missing_code = len(self._cuts) + 1
        self._code_type = np.min_scalar_type(self._missing_code)
        self.table = self._words(self._outcomes())
        self._lookup_from, self._lookup = self._make_lookup(is_float)

    def _distinct_tests(self) -> set[Test]:
        return {condition.test for requirement in self._requirements for condition in requirement}

    def _outcomes(self) -> Mask:
        """Return which requirement each code satisfies: the intervals, of which the first lies before all cuts."""
        code_of: dict[int | float | None, int] = {cut: code for code, cut in enumerate(self._cuts, start=1)}
        count = self._missing_code
        accepted = {test: _accepted_codes(test, code_of, count) for test in self._distinct_tests()}
        everything = np.ones(count, dtype=bool)
        rows = [
            np.logical_and.reduce([accepted[condition.test] for condition in requirement])
            if requirement
            else everything
            for requirement in self._requirements
        ]
        return np.vstack([np.array(rows).T, self._missing_row()])

    def _make_lookup(self, is_float: bool) -> tuple[int, Codes | None]:
        if is_float or not len(self._searched) or int(self._searched[-1]) - int(self._searched[0]) >= _MAX_LOOKUP:
            return 0, None
        if self._searched[0] == _INT64.min or self._searched[-1] == _INT64.max:
            return 0, None  # no room for the value before the first or after the last
        start = int(self._searched[0]) - 1
        values = np.arange(start, int(self._searched[-1]) + 1, dtype=np.int64)
        return start, np.searchsorted(self._searched, values, side="right").astype(self._code_type)

    def codes(self, array: pa.Array) -> Codes:  # noqa: D102 - as in the base
        return self.ordinal_codes(read_ordinals(array, self.attribute.whole.type))

    def read(self, columns: Columns) -> Codes:  # noqa: D102 - as in the base
        return self.ordinal_codes(columns.ordinals(self.attribute.whole))

    def ordinal_codes(self, ordinals: Ordinals) -> Codes:
        """Return the code of each ordinal of the column, shape (n,); of a part's column, of its part."""
        if self.attribute.part is not None:
            ordinals = take_part(ordinals, self.attribute.part)
        codes = self._search(ordinals)
        if self._below:
            codes += self._code_type.type(self._below)
        for place, value in ordinals.large.items():
            codes[place] = bisect_right(self._cuts, value)
        if ordinals.missing is not None:
            codes[ordinals.missing] = self._missing_code
        if ordinals.invalid is not None:
            self.invalid_count += len(ordinals.invalid)
            codes[ordinals.invalid] = self._missing_code
        return codes

    def _search(self, ordinals: Ordinals) -> Codes:
        if len(self._searched) <= _FEW_CUTS:  # a comparison each is several times faster than a search
            few: Codes = np.zeros(len(ordinals.values), dtype=self._code_type)
            for cut in self._searched:
                few += (ordinals.values >= cut).view(np.uint8)
            return few
        if self._lookup is None:
            searched: Codes = np.searchsorted(self._searched, ordinals.values, side="right").astype(self._code_type)
            return searched
        values = np.asarray(ordinals.values, dtype=np.int64)
        offsets: AnyArray = np.clip(values, self._lookup_from, self._lookup_from + len(self._lookup) - 1)
        offsets -= self._lookup_from
        found: Codes = self._lookup.take(offsets, mode="clip")
        return found


def _accepted_codes(test: Test, code_of: dict[int | float | None, int], count: int) -> npt.NDArray[np.bool_]:
    """Return whether a test accepts each interval, given the code of the interval that begins at each cut."""
    if isinstance(test, Constant):
        return np.full(count, test.accepts_all)
    if not isinstance(test, Ranges):
        raise TypeError("text is not ordered")
    accepted = np.zeros(count, dtype=bool)
    for low, high in test.spans:
        accepted[code_of.get(low, 0) : code_of[high] if high is not None else count] = True
    return accepted


class TextIndex(ColumnIndex):
    """Text: tests run once per distinct value of a batch; values with the same outcome share a code."""

    def __init__(self, attribute: Attribute, positions: Sequence[Clause | None]) -> None:
        super().__init__(attribute, positions)
        found = {condition.test for requirement in self._requirements for condition in requirement}
        self._tests = sorted((test for test in found if isinstance(test, TextTest) and not _is_exact(test)), key=repr)
        exact = [test for test in found if isinstance(test, TextTest) and _is_exact(test)]
        words = sorted({word for test in exact for word in test.operands})
        self._words_known = pa.array(words, pa.string())
        place_of = {word: place for place, word in enumerate(words)}
        self._word_passes = np.zeros((len(words) + 1, len(exact)), dtype=bool)  # the last row: any other word
        for column, test in enumerate(exact):
            self._word_passes[[place_of[word] for word in test.operands], column] = True
            self._word_passes[:, column] ^= test.negated
        self._needs = self._needed([*exact, *self._tests, Constant(True), Constant(False)])
        self._codes_by_signature: dict[bytes, int] = {}
        self.table = self._words(np.array([self._missing_row()]))  # code 0: missing

    def fresh(self) -> Self:  # noqa: D102 - as in the base
        twin = copy(self)
        twin._codes_by_signature = dict(self._codes_by_signature)
        return twin

    def _needed(self, tests: Sequence[Test]) -> npt.NDArray[np.float32]:
        """Return which tests each requirement needs, shape (tests, requirements)."""
        place_of = {test: place for place, test in enumerate(tests)}
        needs = np.zeros((len(tests), len(self._requirements)), dtype=np.float32)
        for column, requirement in enumerate(self._requirements):
            needs[[place_of[condition.test] for condition in requirement], column] = 1
        return needs

    def _outcomes(self) -> Mask:
        """Return what missing values satisfy, known words, and any others: these pass just what a requirement needs.

        Or they pass all tests that are not exact. There may be no such words.
        """
        known = self._judge(self._words_known)
        others = self._needs[self._word_passes.shape[1] :][: len(self._tests)].T != 0
        others = np.vstack([others, np.ones((1, len(self._tests)), dtype=bool)])
        words = np.concatenate([known[:, 0], np.full(len(others), len(self._words_known))])
        satisfied = self._satisfied(words, np.vstack([known[:, 1:] != 0, others]))
        return np.vstack([self._missing_row(), satisfied])

    def _satisfied(self, words: npt.NDArray[np.integer], others: Mask) -> Mask:
        """Return which requirement is satisfied, given which known word it is and which of the other tests pass."""
        constants = np.tile([True, False], (len(words), 1))
        failed = ~np.hstack([self._word_passes[words], others, constants])
        satisfied: Mask = failed.astype(np.float32) @ self._needs == 0
        return satisfied

    def codes(self, array: pa.Array) -> Codes:  # noqa: D102 - as in the base
        encoded = text_values(array).dictionary_encode()
        distinct = encoded.dictionary
        code_of = self._distinct_codes(distinct)
        indices = encoded.indices.fill_null(len(distinct)) if encoded.indices.null_count else encoded.indices
        codes: Codes = code_of.take(indices.to_numpy(zero_copy_only=False), mode="clip")
        return codes

    def _distinct_codes(self, distinct: pa.Array) -> Codes:
        """Return the code of each distinct value, and 0 behind them for NULL; new signatures extend the table."""
        code_of = np.zeros(len(distinct) + 1, dtype=np.intp)
        if len(distinct):
            signatures, inverse = np.unique(self._judge(distinct), axis=0, return_inverse=True)
            code_of[:-1] = self._signature_codes(signatures)[np.asarray(inverse).reshape(-1)]
            code_of[:-1][pc.equal(distinct, "").to_numpy(zero_copy_only=False)] = 0
        return code_of.astype(np.min_scalar_type(len(self.table) - 1))

    def _judge(self, distinct: pa.Array) -> npt.NDArray[np.int32]:
        """Return of each text which known word it is, then which of the other tests it passes."""
        known = pc.index_in(distinct, value_set=self._words_known).fill_null(len(self._words_known))
        outcomes = np.empty((len(distinct), 1 + len(self._tests)), dtype=np.int32)
        outcomes[:, 0] = known.to_numpy(zero_copy_only=False)
        folded: pa.Array | None = None
        for column, test in enumerate(self._tests, start=1):
            if test.ignore_case and test.operation != "matches" and folded is None:
                folded = pa.array([text.casefold() for text in distinct.to_pylist()], pa.string())
            subject = folded if folded is not None and test.ignore_case and test.operation != "matches" else distinct
            outcomes[:, column] = judge_text(subject, test)
        return outcomes

    def _signature_codes(self, signatures: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
        """Return the codes of what `_judge` found."""
        keys = [signature.tobytes() for signature in signatures]
        new = [place for place, key in enumerate(keys) if key not in self._codes_by_signature]
        if new:
            satisfied = self._satisfied(signatures[new, 0], signatures[new, 1:] != 0)
            self._codes_by_signature |= {keys[place]: len(self.table) + row for row, place in enumerate(new)}
            self.table = np.concatenate([self.table, self._words(satisfied)])
        return np.array([self._codes_by_signature[key] for key in keys], dtype=np.intp)


def _is_exact(test: TextTest) -> bool:
    return test.operation == "equals" and not test.ignore_case


def judge_text(subject: pa.Array, test: TextTest) -> npt.NDArray[np.bool_]:
    """Return which texts pass a test, shape (n,); for ignored case both sides are folded already."""
    if test.operation == "equals":
        hits = pc.is_in(subject, value_set=pa.array(test.operands, pa.string()))
    else:
        hits = reduce(pc.or_, [_judge_fragment(subject, test, operand) for operand in test.operands])
    passed: npt.NDArray[np.bool_] = hits.to_numpy(zero_copy_only=False) != test.negated
    return passed


def _judge_fragment(subject: pa.Array, test: TextTest, operand: str) -> pa.Array:
    if test.operation == "begins_with":
        return pc.starts_with(subject, operand)
    if test.operation == "ends_with":
        return pc.ends_with(subject, operand)
    if test.operation == "contains":
        return pc.match_substring(subject, operand)
    return pc.match_substring_regex(subject, operand, ignore_case=test.ignore_case)
