"""What can go wrong, in words a person can act on.

Every failure a user can cause is one of the exceptions below. Problems of definitions are collected as
`Issue` values (a check returns them, it does not raise), so that one run of `validate` shows all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How serious an issue is; only errors stop a run."""

    ERROR = "error"
    WARNING = "warning"
    DEPRECATION = "deprecation"
    INFORMATION = "information"


@dataclass(frozen=True, order=True)
class Place:
    """Where in the user's files something stands. Lines and columns count from 1; 0 means the whole file."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return `file:line`, or the file alone where no line is known."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Issue:
    """One problem of one definition: where, what, and a hint."""

    place: Place
    code: str
    name: str
    message: str
    hint: str = ""
    level: Level = Level.ERROR

    def __str__(self) -> str:
        """Return the issue as one line of text, compilers' style."""
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.place}: {self.level} {self.code} {self.name}: {self.message}{hint}"

    def as_dict(self) -> dict[str, str | int]:
        """Return the issue as plain values for JSON output."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "level": str(self.level),
            "code": self.code,
            "name": self.name,
            "message": self.message,
            "hint": self.hint,
        }


def sort_issues(issues: Iterable[Issue]) -> list[Issue]:
    """Return the issues without repeats, by file, line and column."""
    return sorted(dict.fromkeys(issues), key=lambda issue: (issue.place, issue.code, issue.message))


@dataclass
class SegEngineError(Exception):
    """Base of every error segengine raises on purpose; `hint` says what to do about it."""

    message: str
    hint: str = ""
    exit_code: int = field(default=1, kw_only=True)

    def __str__(self) -> str:
        """Return message and hint as one text."""
        return f"{self.message} {self.hint}".rstrip()


class ConfigError(SegEngineError):
    """The project file, an option or the machine is not as it must be (exit code 2)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, exit_code=2)


class EngineUnavailableError(ConfigError):
    """The engine asked for cannot start here: no Java, no jars, or nobody answers at the address."""


class DefinitionError(SegEngineError):
    """Definitions have errors; `issues` has all of them (exit code 3)."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = sort_issues(issues)
        errors = sum(issue.level is Level.ERROR for issue in self.issues)
        listed = "\n".join(map(str, self.issues))
        super().__init__(f"{errors} error{'s' if errors != 1 else ''} in the definitions\n{listed}", exit_code=3)


class DataContractError(SegEngineError):
    """A source is not as the project says: a table, column, key or type; nothing was published."""


class RunError(SegEngineError):
    """A refresh failed while it ran; the last published state is untouched."""


class LeaseHeldError(SegEngineError):
    """Another run holds the project's lease (exit code 5)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, exit_code=5)


class InternalError(SegEngineError):
    """A bug in segengine itself; please report it."""


DATA_CONTRACT = "data-contract"
"""The failure code that becomes a `DataContractError`."""

_CODED = re.compile(r"SEGENGINE\[([a-z0-9-]+)\] (?=\{)")


@dataclass(frozen=True)
class CodedFailure:
    """What a function that ran inside the engine said about its failure."""

    code: str
    message: str
    hint: str = ""


def encode_failure(code: str, message: str, hint: str = "") -> str:
    """Return one line of plain ASCII from which `decode_failure` recovers code, message and hint.

    Engines hand on the text of an exception raised in a task, but neither its type nor its attributes.
    """
    return f"SEGENGINE[{code}] {json.dumps({'message': message, 'hint': hint})}"


def decode_failure(text: str) -> CodedFailure | None:
    """Return the last coded failure in an engine's error text, or None."""
    for found in reversed(list(_CODED.finditer(text))):
        try:
            payload, _ = json.JSONDecoder().raw_decode(text, found.end())
        except ValueError:  # a quoted source line of a traceback, or text cut off by the engine
            continue
        return CodedFailure(found[1], str(payload.get("message", "")), str(payload.get("hint", "")))
    return None


def coded_failure(code: str, message: str, hint: str = "") -> Exception:
    """Return the exception a function that runs inside the engine raises, so that code and text survive."""
    return RuntimeError(encode_failure(code, message, hint))
