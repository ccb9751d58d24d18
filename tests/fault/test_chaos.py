"""Kills at random moments and races of several: a few always, many in the long lane."""

from __future__ import annotations

import pytest
from chaos import main


def test_one_kill(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kills", "1", "--rounds", "0"]) == 0, capsys.readouterr().out


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_kills_and_five_racers() -> None:
    assert main(["--kills", "50", "--rounds", "10", "--racers", "5"]) == 0
