"""Finding by halves which definitions fail when they are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from segengine.operations.source_checks import find_culprits


@pytest.mark.parametrize(
    "failing",
    [
        {},
        {"d0": "bad"},
        {"d99": "bad"},
        {"d17": "bad", "d18": "worse"},
        {f"d{number}": "the table is gone" for number in range(100)},
    ],
)
def test_culprits_are_found_with_few_attempts(failing: Mapping[str, str]) -> None:
    group: dict[str, Any] = {f"d{number}": object() for number in range(100)}
    attempts: list[Sequence[str]] = []

    def attempt(ids: Sequence[str]) -> str:
        attempts.append(ids)
        return next((failing[identity] for identity in ids if identity in failing), "")

    assert find_culprits(group, attempt) == failing
    assert len(attempts) <= 1 + 2 * 8 * max(1, len(set(failing.values())))


def test_what_fails_only_together_fails_all_of_it() -> None:
    def attempt(ids: Sequence[str]) -> str:
        return "too many" if len(ids) > 2 else ""

    group: dict[str, Any] = dict.fromkeys("abcd")
    assert find_culprits(group, attempt) == dict.fromkeys("abcd", "too many")
