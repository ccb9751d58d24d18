"""The command line as tests run it: in this process, its exit code and what it printed in hand."""

from __future__ import annotations

import io

import pytest

from segengine.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class Terminal(io.StringIO):
    """Answers typed at a terminal, or what is printed on one."""

    def isatty(self) -> bool:
        return True
