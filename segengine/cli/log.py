"""What a command says on stderr while it works: lines for people, with a bar on a terminal, or JSON for machines.

JSON is one object a line: `at` (UTC), `level`, `event`, `seconds` since the command began, and what the event has:

    progress   message; expected_seconds, where such a run took so long before
    log        message, logger: a warning (with -v also what is done)
    error      kind, message, hint, issues: why the command failed
    summary    command, exit_code, and what the command says of its result; always the last line
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

FORMATS = ("text", "json")
VARIABLE = "SEGENGINE_LOG_FORMAT"


@dataclass
class _Said:
    """What the command under way said so far, and how: its format, and the console while a bar is on it."""

    format: str = "text"
    command: str = ""
    began: float = field(default_factory=time.perf_counter)
    summary: dict[str, Any] = field(default_factory=dict)
    console: Console | None = None


_said = _Said()


@contextmanager
def logged() -> Iterator[None]:
    """Say what segengine logs inside the block: its warnings, and more where `set_verbose` asked for it."""
    global _said
    format_ = os.environ.get(VARIABLE, "text")
    outer, _said = _said, _Said(format_ if format_ in FORMATS else "text")
    own = logging.getLogger("segengine")
    handler, level = _Handler(), own.level
    own.addHandler(handler)
    try:
        yield
    finally:
        own.removeHandler(handler)
        own.setLevel(level)
        _said = outer


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if is_json():
            say_event("log", record.levelname.lower(), logger=record.name, message=record.getMessage())
        else:
            say(f"{record.name}: {record.getMessage()}" if record.levelno < logging.WARNING else record.getMessage())


def set_verbose(verbose: bool) -> None:
    """Let also what is done through, not warnings alone, until the command ends."""
    if verbose:
        logging.getLogger("segengine").setLevel(logging.DEBUG)


def is_json() -> bool:
    """Return whether machines read what is said."""
    return _said.format == "json"


def say(line: str) -> None:
    """Print a line on stderr, above the bar where there is one."""
    if _said.console is not None:
        _said.console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        click.echo(line, err=True)


def say_event(event: str, level: str = "info", **fields: object) -> None:
    """Print an event as one line of JSON."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = {"at": at, "level": level, "event": event, "seconds": _seconds(), **fields}
    click.echo(json.dumps(content, ensure_ascii=False, default=_show), err=True)


def _show(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _seconds() -> float:
    return round(time.perf_counter() - _said.began, 3)


def add_to_summary(**fields: object) -> None:
    """Say of the command's result, in the summary of a log in JSON."""
    _said.summary |= fields


def say_summary(exit_code: int) -> None:
    """Print the last line of a log in JSON."""
    if is_json() and _said.command:
        level = "info" if exit_code == 0 else "error"
        say_event("summary", level, command=_said.command, exit_code=exit_code, **_said.summary)


def _set_format(context: click.Context, _option: click.Parameter, value: str) -> None:
    _said.format, _said.command = value, context.command_path


log_format_option = click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    envvar=VARIABLE,
    show_default=True,
    expose_value=False,
    is_eager=True,
    callback=_set_format,
    help="How progress, warnings and errors are told on stderr.",
)


class ProgressReport:
    """Tells each phase of a command as it begins: called with a line; as a context manager with a bar on a terminal.

    The bar goes by how long such a run took before, where that is known; else it only shows that something is done.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._bar: Progress | None = None

    def __call__(self, line: str) -> None:
        """Tell that a phase begins; a `Phase` also says how long all of it is expected to take."""
        expected = getattr(line, "expected_seconds", None)
        if is_json():
            say_event("progress", message=str(line), **({"expected_seconds": expected} if expected else {}))
            return
        say(f"[{time.perf_counter() - self._began:6.1f} s] {line}")
        if self._bar is not None and expected is not None:
            (task,) = self._bar.tasks
            if task.total is None:
                self._bar.update(task.id, total=(task.elapsed or 0.0) + expected)

    def __enter__(self) -> ProgressReport:
        """Show the bar, where people look."""
        if not is_json() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _make_bar()
            self._bar.start()
            _said.console = self._bar.console
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away; the lines stay."""
        _said.console = None
        if self._bar is not None:
            self._bar.stop()


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    class Bar(ProgressColumn):
        def render(self, task: Task) -> ProgressBar:
            elapsed, total = task.elapsed or 0.0, task.total
            completed = min(elapsed, 0.99 * total) if total else 0.0  # only its end says that it is done
            return ProgressBar(total, completed, width=30, pulse=total is None, animation_time=task.get_time())

    class Seconds(ProgressColumn):
        def render(self, task: Task) -> Text:
            about = f" of about {task.total:.0f} s" if task.total else ""
            return Text(f"{task.elapsed or 0:.0f} s{about}")

    console = Console(stderr=True)
    bar = Progress(SpinnerColumn(), Bar(), Seconds(), console=console, transient=True, redirect_stdout=False)
    bar.add_task("", total=None)
    return bar
